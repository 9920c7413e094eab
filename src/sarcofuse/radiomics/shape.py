"""Shape features in 3D and in 2D.

References
----------
.. [1] Zwanenburg A et al. The Image Biomarker Standardization Initiative. Radiology 2020;295:328-338, reference manual section 3.1.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from sarcofuse.radiomics.compiled import compiled
from sarcofuse.radiomics.cubes import CORNERS, area_and_volume
from sarcofuse.radiomics.diameters import diameter_in_plane, diameters


def compute(inside: NDArray[np.bool_], spacing: tuple[float, float, float]) -> dict[str, float]:
    """Compute the 3D shape features.

    Parameters
    ----------
    inside : ndarray of bool, shape (z, y, x)
        The region in its bounding box.
    spacing : tuple of float
        Voxel size along z, y, x in mm.

    Returns
    -------
    dict of str to float
        Value by name; lengths in mm.
    """
    size, padded = np.asarray(spacing), np.pad(inside, 1)
    area, volume = area_and_volume(*_cubes(padded.view(np.uint8), np.array(CORNERS)), size)
    slices, columns, rows, widest = diameters(padded, size)
    least, minor, major = _axes(inside, size)
    ball = (36.0 * math.pi * volume**2) ** (1.0 / 3.0)
    return {
        "Elongation": minor / major if major else math.nan,
        "Flatness": least / major if major else math.nan,
        "LeastAxisLength": 4.0 * least,
        "MajorAxisLength": 4.0 * major,
        "Maximum2DDiameterColumn": columns,
        "Maximum2DDiameterRow": rows,
        "Maximum2DDiameterSlice": slices,
        "Maximum3DDiameter": widest,
        "MeshVolume": volume,
        "MinorAxisLength": 4.0 * minor,
        "Sphericity": ball / area,
        "SurfaceArea": area,
        "SurfaceVolumeRatio": area / volume,
        "VoxelVolume": int(inside.sum()) * float(size.prod()),
        "Compactness1": volume / (area**1.5 * math.sqrt(math.pi)),
        "Compactness2": 36.0 * math.pi * volume**2 / area**3,
        "SphericalDisproportion": area / ball,
    }


def compute_plane(inside: NDArray[np.bool_], spacing: tuple[float, float]) -> dict[str, float]:
    """Compute the 2D shape features.

    The outline joins the middles of the edges between pixels inside and outside; where two pixels touch at a corner only, it keeps them apart.

    Parameters
    ----------
    inside : ndarray of bool, shape (rows, columns)
        The region in its bounding box.
    spacing : tuple of float
        Pixel size along rows and columns in mm.

    Returns
    -------
    dict of str to float
        Value by name; lengths in mm.
    """
    size, padded = np.asarray(spacing), np.pad(inside, 1)
    corners = padded[:-1, :-1], padded[:-1, 1:], padded[1:, 1:], padded[1:, :-1]
    number = np.sum(corners, axis=0)
    diagonal = (number == 2) & (corners[0] == corners[2])
    straight_rows = (number == 2) & (corners[0] == corners[1])
    straight_columns = (number == 2) & (corners[0] == corners[3])
    slants = int((number == 1).sum() + (number == 3).sum() + 2 * diagonal.sum())
    perimeter = slants * float(np.hypot(*size)) / 2.0 + int(straight_rows.sum()) * float(size[1]) + int(straight_columns.sum()) * float(size[0])
    # Each square adds the share of it that the outline encloses: an eighth for one corner, a half for two, seven eighths for three.
    eighths = int((number == 1).sum() + 4 * (straight_rows | straight_columns).sum() + 2 * diagonal.sum() + 7 * (number == 3).sum() + 8 * (number == 4).sum())
    surface = eighths * float(size.prod()) / 8.0
    minor, major = _axes(inside, size)
    sphericity = 2.0 * math.sqrt(math.pi * surface) / perimeter
    return {
        "Elongation": minor / major if major else math.nan,
        "MajorAxisLength": 4.0 * major,
        "MaximumDiameter": diameter_in_plane(padded, size),
        "MeshSurface": surface,
        "MinorAxisLength": 4.0 * minor,
        "Perimeter": perimeter,
        "PerimeterSurfaceRatio": perimeter / surface,
        "PixelSurface": int(inside.sum()) * float(size.prod()),
        "Sphericity": sphericity,
        "SphericalDisproportion": 1.0 / sphericity,
    }


def _axes(inside: NDArray[np.bool_], size: NDArray[np.float64]) -> list[float]:
    """Give the square roots of the eigenvalues of the covariance of voxel centres, ascending; sums are of whole numbers, so exact."""
    along, number = [np.arange(n) for n in inside.shape], int(np.count_nonzero(inside))
    single = [_profile(inside, a) for a in range(inside.ndim)]
    total = [int(n @ x) for n, x in zip(single, along, strict=True)]
    covariance = np.empty((inside.ndim, inside.ndim))
    for a in range(inside.ndim):
        for b in range(a + 1):
            product = int(single[a] @ along[a] ** 2) if a == b else int(along[b] @ _profile(inside, b, a) @ along[a])
            covariance[a, b] = covariance[b, a] = (number * product - total[a] * total[b]) / number**2 * size[a] * size[b]
    values = np.linalg.eigvalsh(covariance)
    return [math.sqrt(v) if v > 1e-12 * values[-1] else 0.0 for v in values]  # what is smaller is rounding: a flat region has no third axis


def _profile(inside: NDArray[np.bool_], *axes: int) -> NDArray[np.int64]:
    found: NDArray[np.int64] = inside.sum(axis=tuple(a for a in range(inside.ndim) if a not in axes))
    return found


@compiled
def _cubes(inside: NDArray[np.uint8], corners: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Count the cases of all cubes of 2 by 2 by 2 voxels, and sum where they are."""
    counts, places = np.zeros(256, np.int64), np.zeros((256, 3), np.int64)
    cases = np.empty(inside.shape[2] - 1, np.uint8)
    for z in range(inside.shape[0] - 1):
        for y in range(inside.shape[1] - 1):
            for x in range(len(cases)):
                cases[x] = 0
            for k in range(8):
                row, shift = inside[z + corners[k, 0], y + corners[k, 1]], np.uint64(corners[k, 2])
                for x in range(np.uint64(len(cases))):
                    cases[x] |= row[x + shift] << np.uint8(k)
            for x in range(len(cases)):
                case = cases[x]
                if case != 0 and case != 255:
                    counts[case] += 1
                    places[case, 0] += z
                    places[case, 1] += y
                    places[case, 2] += x
    return counts, places
