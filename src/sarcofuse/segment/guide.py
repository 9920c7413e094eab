"""What a network is told beside the image: where the tumour is expected, by a prompt or by the image's middle, and what it looks like there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

CHANNELS = 5
"""Image, closeness, trust, contrast, likeness."""
FAR = -1.5
"""Least closeness; nothing is farther."""
FAR_OF_CLICK = -0.6
"""Least closeness to a click, which says nothing of the tumour's size."""
MARGIN_MM, MARGIN_SHARE = 25.0, 0.35
"""Margin that images cropped around the tumour are taken to have: in mm, and at most this share of the image on either side."""
FRAME_MM = 20.0
"""What networks of cropped images see around a box or a rough mask."""
TRUST = {"box": 1.0, "rough": 1.0, "click": 0.5}
CORE = 0.5
"""Closeness from which voxels are taken to be tumour, to learn what it looks like."""
LEAST_WIDTH = 0.15
"""Least width of the core's intensities, in deviations of the body."""


def closeness_to_box(shape: Sequence[int], low: Sequence[float], high: Sequence[float]) -> NDArray[np.float32]:
    """Give the closeness to the ellipsoid that fills a box: 1 in its middle, 0 on its surface, falling on outside to -1.5.

    Parameters
    ----------
    shape : sequence of int
        Shape (z, y, x).
    low, high : sequence of float
        Corners (z, y, x) in voxels; 0 is the centre of the first voxel. They may lie outside the image.

    Returns
    -------
    ndarray of float32, shape `shape`
        Closeness.
    """
    total = np.zeros(tuple(shape), dtype=np.float64)
    for axis, (size, a, b) in enumerate(zip(shape, low, high, strict=True)):
        line = (np.arange(size) - (a + b) / 2.0) / max((b - a) / 2.0, 0.5)
        total += (line**2).reshape([-1 if k == axis else 1 for k in range(3)])
    return np.maximum(1.0 - np.sqrt(total), FAR).astype(np.float32)


def closeness_to_points(shape: Sequence[int], points: Sequence[Sequence[float]], spacing: Sequence[float], radius_mm: float) -> NDArray[np.float32]:
    """Give the closeness to the nearest of some points: 1 there, 0 at a radius, falling on to -0.6.

    Parameters
    ----------
    shape : sequence of int
        Shape (z, y, x).
    points : sequence of (z, y, x)
        Places in voxels.
    spacing : sequence of float
        Voxel size along x, y, z in mm.
    radius_mm : float
        Of a middling tumour.

    Returns
    -------
    ndarray of float32, shape `shape`
        Closeness.
    """
    nearest = np.full(tuple(shape), np.inf)
    for point in points:
        total = np.zeros(tuple(shape))
        for axis, (size, at, step) in enumerate(zip(shape, point, reversed(tuple(spacing)), strict=True)):
            total += (((np.arange(size) - at) * step) ** 2).reshape([-1 if k == axis else 1 for k in range(3)])
        nearest = np.minimum(nearest, np.sqrt(total))
    return np.maximum(1.0 - nearest / radius_mm, FAR_OF_CLICK).astype(np.float32)


def closeness_to_rough(share: NDArray[np.float32], spacing: Sequence[float]) -> NDArray[np.float32]:
    """Give the closeness to a rough mask: its signed distance over the largest one inside.

    Parameters
    ----------
    share : ndarray of float32, shape (z, y, x)
        Share of each voxel that the mask covers, not 0 everywhere.
    spacing : sequence of float
        Voxel size along x, y, z in mm.

    Returns
    -------
    ndarray of float32, shape of `share`
        1 deepest inside, 0 at the border, down to -1.5.
    """
    from scipy.ndimage import distance_transform_edt

    inside = share >= min(0.5, float(share.max()))
    sampling = tuple(float(s) for s in reversed(tuple(spacing)))
    within = distance_transform_edt(np.pad(inside, 1), sampling=sampling)[1:-1, 1:-1, 1:-1]
    without = distance_transform_edt(~inside, sampling=sampling)
    half = min(sampling) / 2.0
    signed = np.where(inside, within - half, half - without) / max(float(within.max()) - half, half)
    return np.asarray(np.clip(signed, FAR, 1.0), dtype=np.float32)


def middle(shape: Sequence[int], spacing: Sequence[float]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Give the box in which the tumour is expected of an image that was cropped around it.

    Parameters
    ----------
    shape : sequence of int
        Shape (z, y, x).
    spacing : sequence of float
        Voxel size along x, y, z in mm.

    Returns
    -------
    low, high : tuple of float
        Corners (z, y, x) in voxels, as `closeness_to_box` takes them.
    """
    margins = [min(MARGIN_MM / float(step), MARGIN_SHARE * size) for size, step in zip(shape, reversed(tuple(spacing)), strict=True)]
    return tuple(m - 0.5 for m in margins), tuple(size - m - 0.5 for size, m in zip(shape, margins, strict=True))


def guided(image: NDArray[np.float32], closeness: NDArray[np.float32] | None, trust: float) -> NDArray[np.float32]:
    """Build the channels of a network that can be guided.

    Parameters
    ----------
    image : ndarray of float32, shape (z, y, x)
        Normalised intensities.
    closeness : ndarray of float32, shape (z, y, x), or None
        To where the tumour is expected; None where nobody knows.
    trust : float
        1 for a box or a rough mask, 0.5 for a click, 0 for no prompt.

    Returns
    -------
    ndarray of float32, shape (5, z, y, x)
        The image; closeness; trust; how far each intensity lies from the median of the core, in widths of its intensities (20th to 80th percentile); and how alike
        it is, 0 to 1. The core is where closeness is at least 0.5, or the eight closest voxels.
    """
    if closeness is None:
        return np.concatenate([image[None], np.zeros((CHANNELS - 1, *image.shape), dtype=np.float32)])
    core = image[closeness >= CORE]
    if core.size < 8:
        core = image[closeness >= np.sort(closeness, axis=None)[-min(8, closeness.size)]]
    low, median, high = np.percentile(core, (20, 50, 80))
    off = (image - np.float32(median)) / np.float32(max((high - low) / 2.0, LEAST_WIDTH))
    channels = [image, closeness, np.full(image.shape, trust, dtype=np.float32), np.clip(off / 2.0, -3.0, 3.0), np.exp(-0.5 * (off / 1.5) ** 2)]
    return np.stack(channels).astype(np.float32)
