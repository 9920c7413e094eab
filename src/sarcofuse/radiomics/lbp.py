"""Local binary patterns in the plane and in space.

References
----------
.. [1] Ojala T, Pietikainen M, Maenpaa T. Multiresolution gray-scale and rotation invariant texture classification with local binary patterns. IEEE Trans Pattern Anal
   Mach Intell 2002;24:971-987.
.. [2] Banerjee J et al. 3D LBP-based rotationally invariant region description. ACCV 2012 Workshops, LNCS 7728:26-37.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from sarcofuse.config import RadiomicsConfig
from sarcofuse.radiomics.prepare import Box

Floats = NDArray[np.float64]


def in_plane(image: NDArray[np.generic], box: Box, config: RadiomicsConfig) -> NDArray[np.generic]:
    """Compute the local binary pattern of every slice [1]_.

    A voxel is compared with samples on a circle around it, interpolated linearly, with 0 beyond the image. Values take the image's own type, as PyRadiomics has it.

    Parameters
    ----------
    image : ndarray, shape (z, y, x)
        The whole image.
    box : tuple of slice
        Which part is wanted.
    config : RadiomicsConfig
        Uses `lbp2DRadius` (in voxels), `lbp2DSamples`, `lbp2DMethod` and `force2Ddimension`, the axis across the slices.

    Returns
    -------
    ndarray, shape of the box
        The pattern; NaN for the method ``var`` where all samples are equal.
    """
    axis, count, radius = config.force2Ddimension, config.lbp2DSamples, config.lbp2DRadius
    margin = math.ceil(radius) + 1
    slices = np.swapaxes(image, 0, axis)
    own = np.swapaxes(np.empty(image.shape, bool)[box], 0, axis).shape
    order = [box[axis], *(box[0] if a == axis else box[a] for a in (1, 2))]
    rows, columns = order[1], order[2]
    around = np.pad(slices[order[0]].astype(np.float64), ((0, 0), (margin, margin), (margin, margin)))[:, rows.start : rows.stop + 2 * margin, columns.start : columns.stop + 2 * margin]
    centre = around[:, margin : margin + own[1], margin : margin + own[2]]
    samples = np.empty((count, *own))
    for k in range(count):
        down, right = round(-radius * math.sin(2.0 * math.pi * k / count), 5), round(radius * math.cos(2.0 * math.pi * k / count), 5)
        y, x = math.floor(down), math.floor(right)
        corner = [around[:, margin + y + i : margin + y + i + own[1], margin + x + j : margin + x + j + own[2]] for i in (0, 1) for j in (0, 1)]
        v, u = down - y, right - x
        samples[k] = (1.0 - v) * ((1.0 - u) * corner[0] + u * corner[1]) + v * ((1.0 - u) * corner[2] + u * corner[3])
    found = _variance(samples) if config.lbp2DMethod == "var" else _code(samples >= centre, config.lbp2DMethod)
    with np.errstate(invalid="ignore"):
        return np.ascontiguousarray(np.swapaxes(found.astype(image.dtype), 0, axis))


def _variance(samples: Floats) -> Floats:
    count = len(samples)
    found: Floats = ((samples**2).sum(axis=0) - samples.sum(axis=0) ** 2 / count) / count
    return np.where(found == 0.0, np.nan, found)


def _code(above: NDArray[np.bool_], method: str) -> Floats:
    count = len(above)
    if method == "uniform":
        changes = np.sum([a != b for a, b in pairwise(above)], axis=0)
        return np.where(changes <= 2, above.sum(axis=0), count + 1.0)
    turned = [np.tensordot(2.0 ** np.roll(np.arange(count), k), above.astype(np.float64), 1) for k in range(count if method == "ror" else 1)]
    found: Floats = np.min(turned, axis=0)
    return found


def in_space(image: NDArray[np.generic], box: Box, inside: NDArray[np.bool_], config: RadiomicsConfig) -> Iterator[Floats]:
    """Compute the rotation-invariant local binary patterns in three dimensions [2]_, level by level, and the kurtosis of the samples last.

    A voxel is compared with samples on a sphere around it (cubic B-splines, 0 beyond the image); the pattern is expanded in spherical harmonics, and a level's value is the
    norm of its part. Angles and axes are PyRadiomics': its samples lie along z, y, x as the sphere's corners do along x, y, z.

    Parameters
    ----------
    image : ndarray, shape (z, y, x)
        The whole image.
    box : tuple of slice
        The region's bounding box.
    inside : ndarray of bool, shape of the box
        The region; nothing is computed elsewhere.
    config : RadiomicsConfig
        Uses `lbp3DLevels`, `lbp3DIcosphereRadius` (in voxels) and `lbp3DIcosphereSubdivision`.

    Yields
    ------
    ndarray of float64, shape of the box
        One level, 0 outside the region.
    """
    from scipy.ndimage import map_coordinates

    radius = config.lbp3DIcosphereRadius
    corners = icosphere(config.lbp3DIcosphereSubdivision) * radius
    places = np.argwhere(inside) + [s.start for s in box]
    samples = map_coordinates(image, (places[:, None, :] + corners[None, :, :]).transpose(2, 0, 1), order=3)
    centre = image[tuple(places.T)]
    above = (samples >= centre[:, None]).astype(np.float64)
    azimuth, polar = np.arccos(np.clip(corners[:, 2] / radius, -1.0, 1.0)), np.arctan2(corners[:, 1], corners[:, 0])
    found = np.zeros(inside.shape)
    for level in range(config.lbp3DLevels):
        basis = np.array([_harmonic(order, level, azimuth, polar) for order in range(-level, level + 1)])
        part = (above @ basis.T) @ basis
        found[inside] = np.real(np.sqrt((part**2).sum(axis=1)))
        yield found.copy()
    found[inside] = _kurtosis(samples)
    yield found


def icosphere(subdivisions: int) -> Floats:
    """Give points spread over the unit sphere: an icosahedron whose triangles are split in four, again and again.

    Parameters
    ----------
    subdivisions : int
        How often to split.

    Returns
    -------
    ndarray of float64, shape (points, 3)
        12 points, 42 after one split, 162 after two.
    """
    golden = (1.0 + math.sqrt(5.0)) / 2.0
    points = np.array([p for a in (-1.0, 1.0) for b in (-golden, golden) for p in ((a, b, 0.0), (0.0, a, b), (b, 0.0, a))]) / math.sqrt(1.0 + golden**2)
    edge = 2.0 / math.sqrt(1.0 + golden**2)
    faces = [(i, j, k) for i in range(12) for j in range(i) for k in range(j) if all(abs(math.dist(points[a], points[b]) - edge) < 1e-9 for a, b in ((i, j), (j, k), (i, k)))]
    for _ in range(subdivisions):
        middle: dict[tuple[int, int], int] = {}
        made, split = [*points], []
        for face in faces:
            edges = [(min(face[a], face[b]), max(face[a], face[b])) for a, b in ((0, 1), (1, 2), (2, 0))]
            for a, b in edges:
                if (a, b) not in middle:
                    middle[a, b] = len(made)
                    made.append((points[a] + points[b]) / np.linalg.norm(points[a] + points[b]))
            ab, bc, ca = (middle[e] for e in edges)
            split += [(face[0], ab, ca), (face[1], bc, ab), (face[2], ca, bc), (ab, bc, ca)]
        points, faces = np.array(made), split
    return points


def _harmonic(order: int, degree: int, azimuth: Floats, polar: Floats) -> NDArray[np.complex128]:
    """Give a spherical harmonic with the Condon-Shortley phase."""
    from scipy.special import lpmv

    m = abs(order)
    scale = math.sqrt((2 * degree + 1) / (4.0 * math.pi) * math.factorial(degree - m) / math.factorial(degree + m))
    found: NDArray[np.complex128] = scale * lpmv(m, degree, np.cos(polar)) * np.exp(1j * m * azimuth)
    return (-1) ** m * np.conj(found) if order < 0 else found


def _kurtosis(samples: NDArray[np.generic]) -> Floats:
    values = samples.astype(np.float64)
    away = values - values.mean(axis=1, keepdims=True)
    square = (away**2).mean(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Floats = (away**4).mean(axis=1) / square**2 - 3.0
    return found
