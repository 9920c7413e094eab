"""Kernels of moved images and masks: cubic convolution within and across slices [1]_, distances from a surface.

References
----------
.. [1] Keys RG. Cubic convolution interpolation for digital image processing. IEEE Trans Acoust Speech Signal Process 1981;29:1153-1160.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from sarcofuse.radiomics.compiled import compiled

Floats = NDArray[np.float64]


@compiled
def cubic(t: float) -> tuple[float, float, float, float]:
    """Give the weights of four neighbours.

    Parameters
    ----------
    t : float
        Place between the middle two, 0 to 1.

    Returns
    -------
    tuple of float
        Weights; their sum is 1.
    """
    return t * (-0.5 + t * (1.0 - 0.5 * t)), 1.0 + t * t * (-2.5 + 1.5 * t), t * (0.5 + t * (2.0 - 1.5 * t)), t * t * (-0.5 + 0.5 * t)


@compiled
def slide_columns(part: Floats, shift: float) -> Floats:
    """Translate across slices; beyond the border the border's values go on.

    Parameters
    ----------
    part : ndarray of float64, shape (y, x, z)
        Values.
    shift : float
        By how many slices.

    Returns
    -------
    ndarray of float64, shape (y, x, z)
        The moved values.
    """
    height, width, depth = part.shape
    found = np.empty_like(part)
    low = math.floor(-shift)
    weights = cubic(-shift - low)
    for i in range(height):
        for j in range(width):
            for z in range(depth):
                total = 0.0
                for k in range(4):
                    total += weights[k] * part[i, j, min(max(z + low + k - 1, 0), depth - 1)]
                found[i, j, z] = total
    return found


@compiled
def turn_columns(part: Floats, matrix: Floats, centre: Floats, shift: Floats) -> Floats:
    """Map every slice linearly; beyond the border the border's values go on.

    Parameters
    ----------
    part : ndarray of float64, shape (y, x, z)
        Values; z runs fastest, since the weights are the same along it.
    matrix : ndarray of float64, shape (4,)
        The value at p comes from centre + matrix (p - centre - shift), in voxels (y, x); by rows.
    centre, shift : ndarray of float64, shape (2,)
        In voxels (y, x).

    Returns
    -------
    ndarray of float64, shape (y, x, z)
        The mapped values.
    """
    height, width, depth = part.shape
    found = np.zeros_like(part)
    for i in range(height):
        for j in range(width):
            dy, dx = i - centre[0] - shift[0], j - centre[1] - shift[1]
            y, x = centre[0] + matrix[0] * dy + matrix[1] * dx, centre[1] + matrix[2] * dy + matrix[3] * dx
            y0, x0 = math.floor(y), math.floor(x)
            wy, wx = cubic(y - y0), cubic(x - x0)
            for a in range(4):
                row = min(max(y0 + a - 1, 0), height - 1)
                for b in range(4):
                    column, weight = min(max(x0 + b - 1, 0), width - 1), wy[a] * wx[b]
                    for z in range(depth):
                        found[i, j, z] += weight * part[row, column, z]
    return found


@compiled
def distances(nearest: NDArray[np.int32], part: NDArray[np.bool_], spacing: Floats, share: float) -> Floats:
    """Measure the distance of voxels from the nearest voxel of another part, less a share of half a voxel in its direction.

    Parameters
    ----------
    nearest : ndarray of int32, shape (3, z, y, x)
        Index along z, y, x of the nearest voxel of the other part.
    part : ndarray of bool, shape (z, y, x)
        Whose distance to measure.
    spacing : ndarray of float64, shape (3,)
        Voxel size along z, y, x in mm.
    share : float
        Share of half a voxel that is taken off.

    Returns
    -------
    ndarray of float64, shape (z, y, x)
        Distance in mm; 0 elsewhere.
    """
    found = np.zeros(part.shape)
    for z in range(part.shape[0]):
        for y in range(part.shape[1]):
            for x in range(part.shape[2]):
                if part[z, y, x]:
                    dz, dy, dx = nearest[0, z, y, x] - z, nearest[1, z, y, x] - y, nearest[2, z, y, x] - x
                    away = math.sqrt((dz * spacing[0]) ** 2 + (dy * spacing[1]) ** 2 + (dx * spacing[2]) ** 2)
                    steps = math.sqrt(float(dz) ** 2 + float(dy) ** 2 + float(dx) ** 2)
                    found[z, y, x] = away * (1.0 - 0.5 * share / max(steps, 1.0))
    return found
