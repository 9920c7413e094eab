"""What a 3D network is shown: a box around the tumour, at the network's own voxel size and in deviations from the body's mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sarcofuse.config.deep import DeepConfig
from sarcofuse.deep.crops import check_drawn
from sarcofuse.records import Mask, Volume

if TYPE_CHECKING:
    from numpy.typing import NDArray

CLIP = 5.0  # deviations, as in the training of the segmentation networks


@dataclass(frozen=True, slots=True, eq=False)
class Box:
    """A box around one tumour.

    Attributes
    ----------
    array : ndarray of float32, shape (planes, rows, columns)
        Intensities, mean 0 and deviation 1 over the body (or the tumour), clipped at 5.
    tumour : ndarray of float32, same shape
        Share of each voxel that is tumour, 0 to 1.
    spans : tuple of ndarray of float32, each of shape (length, voxels)
        Weights of the image's voxels in each plane, row and column of the box.
    """

    array: NDArray[np.float32]
    tumour: NDArray[np.float32]
    spans: tuple[NDArray[np.float32], ...]

    def picture(self) -> NDArray[np.uint8]:
        """Give the box as grey pictures, one a plane.

        Returns
        -------
        ndarray of uint8, shape (planes, rows, columns)
            From -5 deviations (0) to 5 (255).
        """
        found: NDArray[np.uint8] = np.rint((self.array + CLIP) * (255.0 / (2.0 * CLIP))).astype(np.uint8)
        return found


def make_box(image: Volume, mask: Mask, config: DeepConfig, spacing: Sequence[float], factor: Sequence[int]) -> Box:
    """Cut the box of a tumour: its bounding box with ``margin_mm`` around it, resampled to the network's voxel size.

    Parameters
    ----------
    image : Volume
        The image.
    mask : Mask
        The tumour on the same grid, not empty.
    config : DeepConfig
        Margin, intensities, and whether to blank what is not tumour.
    spacing : sequence of float
        The network's voxel size along x, y, z in mm.
    factor : sequence of int
        What the numbers of planes, rows and columns must be multiples of.

    Returns
    -------
    Box
        Beyond the image its last planes are repeated.

    Raises
    ------
    MaskError
        If the mask is empty.
    """
    check_drawn(mask)
    array, region = working_image(image, mask, spacing, config.intensities)
    if config.masked:
        array = np.where(region >= min(0.5, float(region.max())), array, np.float32(array.min()))
    ends = _box(region > 0, spacing, config.margin_mm, factor)
    steps = [working / own for own, working in zip(image.geometry.spacing[::-1], tuple(spacing)[::-1], strict=True)]
    spans = (np.take(_resampling(count, step), np.arange(*end), axis=0, mode="clip") for count, step, end in zip(image.array.shape, steps, ends, strict=True))
    return Box(_cut(array, ends), _cut(region, ends), tuple(spans))


def working_image(image: Volume, mask: Mask, spacing: Sequence[float], intensities: str = "body") -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Bring image and mask to the network's voxel size, corners of the first voxels kept; the image to mean 0 and deviation 1 over the body, or the tumour.

    The first is what the segmentation networks are trained with: the body is what exceeds the 1st percentile by more than a tenth of the way to the 99th.

    Parameters
    ----------
    image : Volume
        The prepared image.
    mask : Mask
        The tumour on the same grid.
    spacing : sequence of float
        Working voxel size along x, y, z in mm.
    intensities : {'body', 'region'}
        ``deep.intensities``; ``region`` is what the mask covers by half, or by most where it covers no voxel by half.

    Returns
    -------
    array, region : ndarray of float32, shape (z, y, x)
        Normalised intensities, and the share of each voxel that is tumour.
    """
    array, region = image.array.astype(np.float32), mask.array.astype(np.float32)
    for axis, (own, working) in enumerate(zip(image.geometry.spacing[::-1], tuple(spacing)[::-1], strict=True)):
        matrix = _resampling(array.shape[axis], working / own)
        array, region = (np.moveaxis(np.tensordot(matrix, a, (1, axis)), 0, axis) for a in (array, region))
    low, high = np.percentile(array, (1, 99))
    body = array[array > low + 0.1 * (high - low)] if high > low else array
    if intensities == "region":
        body = array[region >= min(0.5, float(region.max()))]
    mean, deviation = float(body.mean(dtype=np.float64)), float(body.std(dtype=np.float64))
    return np.clip((array - np.float32(mean)) / np.float32(max(deviation, 1e-6)), -CLIP, CLIP), region


def _resampling(count: int, step: float) -> NDArray[np.float32]:
    """Weights that take `count` voxels to voxels `step` times as long: means of what a new voxel covers where it is longer, linear interpolation where it is shorter."""
    size = max(1, int(np.ceil(count / step - 1e-3)))
    low, old = np.arange(size)[:, None] * step, np.arange(count)[None, :]
    means, lines = np.minimum(low + step, old + 1) - np.maximum(low, old), 1.0 - np.abs(np.clip(low + step / 2 - 0.5, 0, count - 1) - old)
    weights = np.clip(means if step > 1.0 else lines, 0.0, None)
    found: NDArray[np.float32] = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    return found


def _box(region: NDArray[np.bool_], spacing: Sequence[float], margin_mm: float, factor: Sequence[int]) -> list[tuple[int, int]]:
    """Give first and last-plus-one voxel along z, y, x of the tumour's bounding box with its margin, as long as a multiple of `factor`; it may reach beyond the image."""
    box = []
    for axis, (length, multiple) in enumerate(zip(tuple(spacing)[::-1], factor, strict=True)):
        there = np.flatnonzero(region.any(axis=tuple(i for i in range(3) if i != axis)))
        margin = int(np.ceil(margin_mm / length))
        low, high = max(0, int(there[0]) - margin), min(region.shape[axis], int(there[-1]) + 1 + margin)
        grow = -(high - low) % multiple
        low = max(0, low - grow // 2)
        box.append((low, low + -(-(high - low) // multiple) * multiple))
    return box


def _cut(array: NDArray[np.float32], box: Sequence[tuple[int, int]]) -> NDArray[np.float32]:
    """Cut a box; beyond the image its last planes are repeated."""
    for axis, (low, high) in enumerate(box):
        array = np.take(array, np.arange(low, high), axis=axis, mode="clip")
    return np.ascontiguousarray(array)
