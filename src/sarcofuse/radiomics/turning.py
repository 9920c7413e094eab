"""Kernels that turn and shift slices by cubic convolution [1]_.

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
