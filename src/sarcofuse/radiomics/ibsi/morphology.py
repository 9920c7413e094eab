"""Morphological features of a region [1]_.

The mesh is that of marching cubes on the morphological mask; lengths, hull, box and ellipsoid are taken of its vertices. Intensities are those of the intensity mask.

References
----------
.. [1] Zwanenburg A, Leger S, Vallieres M, Loeck S. Image biomarker standardisation initiative: reference manual. arXiv:1612.07003, section 3.1.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from sarcofuse.radiomics.compiled import compiled
from sarcofuse.radiomics.ibsi.enclose import ellipsoid_area, smallest_box, smallest_ellipsoid
from sarcofuse.radiomics.ibsi.mesh import measure_mesh
from sarcofuse.radiomics.ibsi.prepare import Masked
from sarcofuse.radiomics.ibsi.spatial import autocorrelation

Points = NDArray[np.float64]


def compute(masked: Masked) -> dict[str, float]:
    """Compute the morphological features.

    Parameters
    ----------
    masked : Masked
        Image and masks.

    Returns
    -------
    dict of str to float
        Value by code; NaN where a feature is not defined, as are the axes of a single voxel and the volume density of a flat ellipsoid.
    """
    box, size = masked.box, np.asarray(masked.spacing)
    image, inside, outline = masked.image[box], masked.inside[box], masked.outline[box]
    area, volume = measure_mesh(outline, size)
    ball = (36.0 * math.pi * volume**2) ** (1.0 / 3.0)
    moran, geary = autocorrelation(image, inside, masked.spacing)
    return {
        "RNU0": volume,
        "YEKZ": np.count_nonzero(outline) * float(size.prod()),
        "C0JK": area,
        "2PR5": area / volume,
        "SKGS": volume / (math.sqrt(math.pi) * area**1.5),
        "BQWJ": 36.0 * math.pi * volume**2 / area**3,
        "KRCK": area / ball,
        "QCFX": ball / area,
        "25C7": area / ball - 1.0,
        "KLMA": _shift(image, inside, outline, size),
        **_axes(np.argwhere(outline) * size, area, volume),
        **_around(vertices(outline) * (size / 2.0), area, volume),
        "99N0": float(image[inside].mean()) * volume,
        "N365": moran,
        "NPT7": geary,
    }


def vertices(outline: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Give the vertices of the surface mesh: the middles between neighbouring voxels inside and outside.

    Parameters
    ----------
    outline : ndarray of bool, shape (z, y, x)
        The mask.

    Returns
    -------
    ndarray of int64, shape (vertices, 3)
        Places in half voxels.
    """
    padded, found = np.pad(outline, 1), []
    for axis in range(3):
        places = 2 * np.argwhere(np.diff(padded, axis=axis))
        places[:, axis] += 1
        found.append(places)
    return np.concatenate(found)


def _shift(image: NDArray[np.float64], inside: NDArray[np.bool_], outline: NDArray[np.bool_], size: NDArray[np.float64]) -> float:
    """Give the distance of the centre of the morphological mask from the centre of the intensities."""
    values = image[inside]
    total = float(values.sum())
    if total == 0.0:
        return math.nan
    return float(np.linalg.norm((np.argwhere(outline).mean(axis=0) - values @ np.argwhere(inside) / total) * size))


def _axes(places: Points, area: float, volume: float) -> dict[str, float]:
    """Give lengths by principal components, and densities by the ellipsoid that has them."""
    codes = ("7J51", "P9VJ", "TDIC", "Q3CK", "N17B", "6BDE", "RDD2")
    if len(places) < 2:
        return dict.fromkeys(codes, math.nan)
    values = np.sort(np.linalg.eigvalsh(np.cov(places, rowvar=False)))
    c, b, a = (2.0 * math.sqrt(v) if v > 1e-12 * values[-1] else 0.0 for v in values)  # what is smaller is rounding: a flat region has no third axis
    ellipsoid, surface = 4.0 * math.pi * a * b * c / 3.0, ellipsoid_area(a, b, c)
    densities = volume / ellipsoid if ellipsoid else math.nan, area / surface if surface else math.nan
    return dict(zip(codes, (2.0 * c, 2.0 * b, 2.0 * a, b / a, c / a, *densities), strict=True))


def _around(points: Points, area: float, volume: float) -> dict[str, float]:
    """Give the diameter, and densities by hull, boxes and ellipsoid around the mesh."""
    from scipy.spatial import ConvexHull

    body = ConvexHull(points - points[0])
    hull = np.ascontiguousarray(body.points[body.vertices])
    normals = np.unique(np.round(body.equations[:, :3], 9), axis=0)
    normals = normals[np.linalg.norm(normals, axis=1) > 0.5]
    straight, turned = np.ptp(hull, axis=0), smallest_box(hull, normals[_half(normals)])
    c, b, a = smallest_ellipsoid(hull)
    ellipsoid = 4.0 * math.pi * a * b * c / 3.0
    return {
        "L0JK": math.sqrt(_widest(hull)),
        "PBX1": volume / float(straight.prod()),
        "R59B": area / _box_area(straight),
        "ZH1A": volume / float(turned.prod()),
        "IQYR": area / _box_area(turned),
        "SWZ1": volume / ellipsoid,
        "BRI8": area / ellipsoid_area(a, b, c),
        "R3ER": volume / float(body.volume),
        "7T7F": area / float(body.area),
    }


def _half(normals: Points) -> NDArray[np.bool_]:
    """Choose one of every two opposite normals."""
    z, y, x = normals.T
    return np.asarray((z > 0) | ((z == 0) & ((y > 0) | ((y == 0) & (x > 0)))) | ~_has_opposite(normals))


def _has_opposite(normals: Points) -> NDArray[np.bool_]:
    there = {tuple(n) for n in (normals + 0.0).tolist()}
    return np.array([tuple(n) in there for n in (0.0 - normals).tolist()])


def _box_area(sides: NDArray[np.float64]) -> float:
    return 2.0 * float(sides[0] * sides[1] + sides[0] * sides[2] + sides[1] * sides[2])


@compiled
def _widest(points: Points) -> float:
    best = 0.0
    for i in range(len(points)):
        for j in range(i + 1, len(points)):
            best = max(best, (points[i, 0] - points[j, 0]) ** 2 + (points[i, 1] - points[j, 1]) ** 2 + (points[i, 2] - points[j, 2]) ** 2)
    return best
