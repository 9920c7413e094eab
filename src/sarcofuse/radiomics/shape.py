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
    slices, columns, rows, widest = _diameters(padded, size)
    least, minor, major = _axes(np.argwhere(inside) * size)
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
    points = _border(padded)
    minor, major = _axes(np.argwhere(inside) * size)
    sphericity = 2.0 * math.sqrt(math.pi * surface) / perimeter
    return {
        "Elongation": minor / major if major else math.nan,
        "MajorAxisLength": 4.0 * major,
        "MaximumDiameter": _widest(points * (size / 2.0)),
        "MeshSurface": surface,
        "MinorAxisLength": 4.0 * minor,
        "Perimeter": perimeter,
        "PerimeterSurfaceRatio": perimeter / surface,
        "PixelSurface": int(inside.sum()) * float(size.prod()),
        "Sphericity": sphericity,
        "SphericalDisproportion": 1.0 / sphericity,
    }


def _axes(places: NDArray[np.float64]) -> list[float]:
    """Give the square roots of the eigenvalues of the covariance of voxel centres, ascending."""
    centred = places - places[0]
    centred -= centred.mean(axis=0)
    values = np.sort(np.linalg.eigvalsh(centred.T @ centred / len(places)))
    return [math.sqrt(v) if v > 1e-12 * values[-1] else 0.0 for v in values]  # what is smaller is rounding: a flat region has no third axis


def _border(padded: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Give the middles of the edges between inside and outside, in half voxels."""
    found = []
    for axis in range(padded.ndim):
        low, high = [slice(None)] * padded.ndim, [slice(None)] * padded.ndim
        low[axis], high[axis] = slice(None, -1), slice(1, None)
        places = 2 * np.argwhere(padded[tuple(low)] != padded[tuple(high)])
        places[:, axis] += 1
        found.append(places)
    return np.concatenate(found)


def _diameters(padded: NDArray[np.bool_], size: NDArray[np.float64]) -> tuple[float, float, float, float]:
    """Give the largest distance of mesh vertices of equal z, of equal y, of equal x, and of any."""
    points = _border(padded)
    planar, ends = [], points
    for axis, along in ((0, 2), (1, 2), (2, 1)):
        other = 3 - axis - along
        kept = _row_ends(points, (along, other, axis))
        starts = np.flatnonzero(np.r_[True, np.diff(kept[:, axis]) != 0, True])
        planar.append(math.sqrt(_widest_by_group(kept * (size / 2.0), starts)))
    for order in ((2, 1, 0), (1, 2, 0), (0, 1, 2)):
        ends = _row_ends(ends, order)
    return planar[0], planar[1], planar[2], _widest(ends * (size / 2.0))


def _row_ends(points: NDArray[np.int64], order: tuple[int, int, int]) -> NDArray[np.int64]:
    """Keep the first and last point of every row along the axis ``order[0]``, sorted by ``order[2]``: the two farthest points of a set are always such ends."""
    ordered = points[np.lexsort([points[:, axis] for axis in order])]
    change = (np.diff(ordered[:, order[1]]) != 0) | (np.diff(ordered[:, order[2]]) != 0)
    kept: NDArray[np.int64] = ordered[np.r_[True, change] | np.r_[change, True]]
    return kept


def _widest(points: NDArray[np.float64]) -> float:
    from scipy.spatial import ConvexHull

    hull = points[np.sort(ConvexHull(points).vertices)]
    return math.sqrt(_widest_by_group(np.column_stack([hull, np.zeros((len(hull), 3 - points.shape[1]))]), np.array([0, len(hull)])))


@compiled
def _widest_by_group(points: NDArray[np.float64], starts: NDArray[np.int64]) -> float:
    best = 0.0
    for g in range(len(starts) - 1):
        for i in range(starts[g], starts[g + 1]):
            for j in range(i + 1, starts[g + 1]):
                square = (points[i, 0] - points[j, 0]) ** 2 + (points[i, 1] - points[j, 1]) ** 2 + (points[i, 2] - points[j, 2]) ** 2
                best = max(best, square)
    return best


@compiled
def _cubes(inside: NDArray[np.uint8], corners: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Count the cases of all cubes of 2 by 2 by 2 voxels, and sum where they are."""
    counts, places = np.zeros(256, np.int64), np.zeros((256, 3), np.int64)
    for z in range(inside.shape[0] - 1):
        for y in range(inside.shape[1] - 1):
            for x in range(inside.shape[2] - 1):
                case = 0
                for k in range(8):
                    case |= inside[z + corners[k, 0], y + corners[k, 1], x + corners[k, 2]] << k
                if case not in (0, 255):
                    counts[case] += 1
                    places[case, 0] += z
                    places[case, 1] += y
                    places[case, 2] += x
    return counts, places
