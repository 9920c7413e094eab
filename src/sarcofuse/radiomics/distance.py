"""Distance from a region's surface, in mm."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# The surface lies between voxel centres: half a voxel from the last one where it runs along the grid, less where it runs across. With this share of the half voxel, shells around
# balls of 12 to 22 mm have their volume within 5 % on grids of 0.5 to 5 mm, isotropic or not.
SHARE = 0.7


def signed_distance(inside: NDArray[np.bool_], spacing: tuple[float, float, float]) -> Floats:
    """Measure how far every voxel's centre lies from the surface of a region.

    The Euclidean distance transform in physical space gives the distance to the nearest voxel centre across the surface; of that, 0.7 of half the voxel's extent in that direction is
    taken off. The border of the array is no surface.

    Parameters
    ----------
    inside : ndarray of bool, shape (z, y, x)
        The region.
    spacing : tuple of float
        Voxel size along z, y, x in mm.

    Returns
    -------
    ndarray of float64, shape (z, y, x)
        Distance in mm, negative inside; infinite where there is no surface.

    Examples
    --------
    >>> signed_distance(np.array([[[False, True, True, True, False]]]), (5.0, 5.0, 2.0)).round(1).tolist()
    [[[1.3, -1.3, -3.3, -1.3, 1.3]]]
    """
    if inside.all() or not inside.any():
        return np.full(inside.shape, -np.inf if inside.all() else np.inf)
    found = _to_surface(~inside, spacing)
    near = tuple(_reach(np.flatnonzero(inside.any(axis=tuple(a for a in range(3) if a != axis)))) for axis in range(3))
    found[near] -= _to_surface(inside[near], spacing)
    return found


def _reach(hit: NDArray[np.intp]) -> slice:
    """Give the extent of a region along an axis, and a voxel more, beyond which nothing is nearer."""
    return slice(max(0, int(hit[0]) - 1), int(hit[-1]) + 2)


def _to_surface(part: NDArray[np.bool_], spacing: tuple[float, float, float]) -> Floats:
    """Give the distance of voxels of a part from its surface; 0 elsewhere."""
    from scipy.ndimage import distance_transform_edt

    from sarcofuse.radiomics.turning import distances

    nearest = distance_transform_edt(part, sampling=spacing, return_distances=False, return_indices=True)
    found: Floats = distances(nearest, part, np.array(spacing, dtype=np.float64), SHARE)
    return found
