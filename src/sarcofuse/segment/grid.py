"""Between the prepared grid, at which masks are wanted, and the working grid, at which the networks see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

CLIP = 5.0


@dataclass(frozen=True, slots=True, eq=False)
class WorkImage:
    """An image as the networks see it.

    Attributes
    ----------
    array : ndarray of float32, shape (z, y, x) or (channel, z, y, x)
        Normalised intensities on the working grid, alone or before further channels.
    spacing : tuple of float
        Working voxel size along x, y, z in mm.
    shape : tuple of int
        Shape (z, y, x) of the prepared image, or the part of it, that it was made of.
    steps : tuple of float
        Working voxel size in prepared voxels, along z, y, x.
    start : tuple of int
        First prepared voxel (z, y, x) that it shows.
    whole : tuple of int or None
        Shape (z, y, x) of the whole prepared image, where it shows a part.
    """

    array: NDArray[np.float32]
    spacing: tuple[float, float, float]
    shape: tuple[int, int, int]
    steps: tuple[float, float, float]
    start: tuple[int, int, int] = (0, 0, 0)
    whole: tuple[int, int, int] | None = None


def to_working(image: NDArray[np.float32], spacing: Sequence[float], working: Sequence[float], levels: tuple[float, float] | None = None) -> WorkImage:
    """Put an image on the working grid and normalise it: mean 0 and deviation 1 over the body, clipped at 5 deviations.

    The body is what exceeds the 1st percentile by more than a tenth of the way to the 99th.

    Parameters
    ----------
    image : ndarray of float32, shape (z, y, x)
        Prepared image.
    spacing : sequence of float
        Its voxel size along x, y, z in mm.
    working : sequence of float
        Working voxel size along x, y, z in mm.
    levels : tuple of float, optional
        Mean and deviation of the body, where the image is a part of another one; by default its own.

    Returns
    -------
    WorkImage
        Ready for a network.
    """
    steps = tuple(float(w) / float(s) for w, s in zip(reversed(working), reversed(spacing), strict=True))
    array = shrink(np.asarray(image, dtype=np.float32), steps)
    mean, deviation = levels or _levels(array)
    array = np.clip((array - np.float32(mean)) / np.float32(max(deviation, 1e-6)), -CLIP, CLIP).astype(np.float32)
    z, y, x = image.shape
    return WorkImage(array, (float(working[0]), float(working[1]), float(working[2])), (z, y, x), (steps[0], steps[1], steps[2]))


def part_to_working(image: NDArray[np.float32], spacing: Sequence[float], working: Sequence[float], part: tuple[slice, slice, slice]) -> WorkImage:
    """Put a part of an image on a working grid of its own, normalised as the whole image is.

    Parameters
    ----------
    image : ndarray of float32, shape (z, y, x)
        Prepared image.
    spacing : sequence of float
        Its voxel size along x, y, z in mm.
    working : sequence of float
        Working voxel size along x, y, z in mm.
    part : tuple of slice
        Along z, y, x; not empty.

    Returns
    -------
    WorkImage
        Of the part; what is restored from it lies in the whole.
    """
    steps = tuple(float(w) / float(s) for w, s in zip(reversed(working), reversed(spacing), strict=True))
    work = to_working(image[part], spacing, working, _levels(shrink(np.asarray(image, dtype=np.float32), steps)))
    z, y, x = image.shape
    return replace(work, start=(part[0].start, part[1].start, part[2].start), whole=(z, y, x))


def _levels(array: NDArray[np.float32]) -> tuple[float, float]:
    """Give mean and deviation of the body."""
    low, high = np.percentile(array, (1, 99))
    body = array[array > low + 0.1 * (high - low)] if high > low else array
    return float(body.mean(dtype=np.float64)), float(body.std(dtype=np.float64))


def cubic(shape: Sequence[int], spacing: Sequence[float], voxels: int) -> float:
    """Give the side of cubic voxels so that an image has a given number of them.

    Parameters
    ----------
    shape : sequence of int
        Shape (z, y, x) of the image.
    spacing : sequence of float
        Its voxel size in mm.
    voxels : int
        How many voxels.

    Returns
    -------
    float
        In mm.
    """
    return float((np.prod([float(n) for n in shape]) * np.prod([float(s) for s in spacing]) / voxels) ** (1.0 / 3.0))


def shrink(array: NDArray[np.float32], steps: Sequence[float]) -> NDArray[np.float32]:
    """Put an array on a grid of another voxel size whose first corner is the same.

    Along an axis that gets coarser every new voxel is the mean of what it covers (so that a mask becomes the share of tumour in each voxel); along one that gets
    finer values are interpolated linearly.

    Parameters
    ----------
    array : ndarray of float32, shape (z, y, x)
        Values.
    steps : sequence of float
        New voxel size in old voxels along z, y, x.

    Returns
    -------
    ndarray of float32
        Values on the new grid, which covers all of the old one.
    """
    for axis, step in enumerate(steps):
        count = array.shape[axis]
        size = max(1, int(np.ceil(count / step - 1e-3)))
        array = _apply(_means(count, size, step) if step > 1.0 else _lines(count, size, step), array, axis)
    return np.ascontiguousarray(array)


def restore(array: NDArray[np.float32], image: WorkImage) -> NDArray[np.float32]:
    """Put values of the working grid back on the prepared grid, by linear interpolation of voxel centres.

    Parameters
    ----------
    array : ndarray of float32, shape of `image.array`
        Values on the working grid.
    image : WorkImage
        The image that they belong to.

    Returns
    -------
    ndarray of float32, shape `image.shape`, or `image.whole` where that is given
        Values on the prepared grid; 0 outside the part that the image shows.
    """
    for axis, (size, step) in enumerate(zip(image.shape, image.steps, strict=True)):
        array = _apply(_lines(array.shape[axis], size, 1.0 / step), array, axis)
    if image.whole is None:
        return np.ascontiguousarray(array)
    full = np.zeros(image.whole, dtype=np.float32)
    full[tuple(slice(first, first + size) for first, size in zip(image.start, image.shape, strict=True))] = array
    return full


def _apply(matrix: NDArray[np.float32], array: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    if matrix.shape[0] == matrix.shape[1] and np.array_equal(matrix, np.eye(len(matrix), dtype=np.float32)):
        return array
    moved = np.ascontiguousarray(np.moveaxis(array, axis, 0))
    flat = matrix @ moved.reshape(moved.shape[0], -1)
    return np.asarray(np.moveaxis(flat.reshape(len(matrix), *moved.shape[1:]), 0, axis), dtype=np.float32)


def _means(count: int, size: int, step: float) -> NDArray[np.float32]:
    """Weights of the means of `step` neighbours: the share of each old voxel that a new one covers."""
    low = np.arange(size)[:, None] * step
    old = np.arange(count)[None, :]
    cover = np.clip(np.minimum(low + step, old + 1) - np.maximum(low, old), 0.0, None)
    return np.asarray(cover / cover.sum(axis=1, keepdims=True), dtype=np.float32)


def _lines(count: int, size: int, step: float) -> NDArray[np.float32]:
    """Weights of linear interpolation at the centres of new voxels; beyond the last centre the edge value holds."""
    at = np.clip((np.arange(size) + 0.5) * step - 0.5, 0, count - 1)
    low = np.minimum(np.floor(at).astype(int), max(count - 2, 0))
    share = at - low
    weights = np.zeros((size, count))
    weights[np.arange(size), low] = 1.0 - share
    weights[np.arange(size), np.minimum(low + 1, count - 1)] += share
    return weights.astype(np.float32)
