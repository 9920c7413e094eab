"""From what a network saw back to the image: maps on the prepared grid, and on the image's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from sarcofuse.deep.crops import Place
from sarcofuse.records import Geometry, Volume

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

ALIGNED = 1e-4  # largest difference of direction cosines that counts as rounding


def pictures_to_grid(maps: Sequence[Floats], places: Sequence[Place], shape: tuple[int, int, int], *, whole: bool) -> Floats:
    """Put maps of pictures where the pictures were cut.

    Parameters
    ----------
    maps : sequence of ndarray, each of shape (size, size)
        A map a picture.
    places : sequence of Place
        Where each was cut.
    shape : tuple of int
        Shape of the image (z, y, x).
    whole : bool
        True: voxels get what pixels have, so that the sum stays (less what lies beyond the image). False: a voxel gets the mean of its pixels.

    Returns
    -------
    ndarray of float64, shape `shape`
        0 wherever the network saw nothing.
    """
    total, seen = np.zeros(shape), np.zeros(shape)
    for own, place in zip(maps, places, strict=True):
        at = tuple(place.number if axis == place.axis else slice(None) for axis in range(3))
        total[at] += place.rows.T @ own @ place.columns
        if not whole:
            seen[at] += np.outer(place.rows.sum(axis=0), place.columns.sum(axis=0))
    return total if whole else np.divide(total, seen, out=np.zeros(shape), where=seen > 0)


def box_to_grid(values: Floats, spans: Sequence[NDArray[np.float32]], *, whole: bool) -> Floats:
    """Put the map of a box where the box was cut.

    Parameters
    ----------
    values : ndarray, shape (planes, rows, columns)
        The map.
    spans : sequence of ndarray, each of shape (length, voxels)
        As of `sarcofuse.deep.boxes.Box`.
    whole : bool
        As in `pictures_to_grid`.

    Returns
    -------
    ndarray of float64, shape of the image
        0 wherever the network saw nothing.
    """
    found, seen = np.asarray(values, dtype=np.float64), np.ones(())
    for axis, span in enumerate(spans):
        weights = span.astype(np.float64)
        found = np.moveaxis(np.tensordot(weights, found, (0, axis)), 0, axis)
        seen = np.multiply.outer(seen, weights.sum(axis=0))
    return found if whole else np.divide(found, seen, out=np.zeros(found.shape), where=seen > 0)


def to_native(volume: Volume, grid: Geometry, *, whole: bool) -> Volume:
    """Put a map of the prepared image on the grid of the image as it came.

    Parameters
    ----------
    volume : Volume
        The map on the prepared grid.
    grid : Geometry
        Grid of the native image.
    whole : bool
        True: what each voxel has is shared out among the voxels around, so that the sum stays (less what lies beyond the image). False: interpolated linearly; where voxels get
        longer, their mean.

    Returns
    -------
    Volume
        On `grid`.
    """
    import SimpleITK as sitk

    from sarcofuse.imaging import reorient, resample_volume

    def letters(geometry: Geometry) -> str:
        return str(sitk.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(geometry.direction))

    turned = reorient(Volume(np.zeros(grid.shape, dtype=np.float32), grid), letters(volume.geometry)).geometry
    if np.abs(np.subtract(turned.direction, volume.geometry.direction)).max() > ALIGNED:
        return resample_volume(volume, grid, "linear", smooth=False)
    axes = np.asarray(turned.direction).reshape(3, 3)
    offset = axes.T @ (np.asarray(turned.origin) - np.asarray(volume.geometry.origin))
    found = volume.array.astype(np.float64)
    for axis in range(3):
        i = 2 - axis
        step, own = turned.spacing[i], volume.geometry.spacing[i]
        at = (offset[i] + np.arange(turned.size[i]) * step) / own
        found = np.moveaxis(np.tensordot(_between(at, volume.geometry.size[i], step / own, whole=whole), found, (1, axis)), 0, axis)
    back = reorient(Volume(np.ascontiguousarray(found, dtype=np.float32), turned), letters(grid))
    return Volume(back.array, grid)


def _between(at: Floats, count: int, step: float, *, whole: bool) -> Floats:
    """Weights, shape (new voxels, old voxels), of linear interpolation, widened to the longer of both voxels."""
    weights = np.clip(1.0 - np.abs(at[:, None] - np.arange(count)[None, :]) / max(1.0, step), 0.0, None)
    total = weights.sum(axis=0 if whole else 1, keepdims=True)
    return np.asarray(weights / np.where(total > 0, total, 1.0))
