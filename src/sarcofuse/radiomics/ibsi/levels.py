"""Grey levels by the standard's rules, laid out for the kernels [1]_.

References
----------
.. [1] Zwanenburg A, Leger S, Vallieres M, Loeck S. Image biomarker standardisation initiative: reference manual. arXiv:1612.07003, sections 2.7 and 3.6.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np
from numpy.typing import NDArray

from sarcofuse.config import IbsiConfig
from sarcofuse.errors import ImageError

Voxels = NDArray[np.int32]
Steps = NDArray[np.int64]


def fixed_bin_size(values: NDArray[np.float64], low: float, width: float) -> NDArray[np.int64]:
    """Sort intensities into bins of a fixed size.

    Parameters
    ----------
    values : ndarray of float64, shape (voxels,)
        Intensities.
    low : float
        Where the first bin begins.
    width : float
        Size of the bins.

    Returns
    -------
    ndarray of int64, shape (voxels,)
        Bins from 1.

    Examples
    --------
    >>> fixed_bin_size(np.array([-500.0, -476.0, -475.0, 400.0]), -500.0, 25.0).tolist()
    [1, 1, 2, 37]
    """
    return np.floor((values - low) / width).astype(np.int64) + 1


def fixed_bin_number(values: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Sort intensities into a fixed number of bins from the lowest to the highest.

    Parameters
    ----------
    values : ndarray of float64, shape (voxels,)
        Intensities.
    count : int
        Number of bins.

    Returns
    -------
    ndarray of int64, shape (voxels,)
        Bins from 1. The highest intensity lies in the last bin, and so does a single intensity.

    Examples
    --------
    >>> fixed_bin_number(np.array([0.0, 0.9, 1.0, 4.0]), 4).tolist()
    [1, 1, 2, 4]
    """
    low, high = float(values.min()), float(values.max())
    if low == high:
        return np.full(len(values), count, np.int64)
    return np.minimum(np.floor(count * (values - low) / (high - low)).astype(np.int64) + 1, count)


def discretise(values: NDArray[np.float64], config: IbsiConfig, limit: int, patient_id: str) -> tuple[NDArray[np.int64], int]:
    """Sort a region's intensities into grey levels.

    Parameters
    ----------
    values : ndarray of float64, shape (voxels,)
        Intensities of the intensity mask.
    config : IbsiConfig
        Uses `discretisation`, `bin_count`, `bin_width` and `resegment_range`.
    limit : int
        Most levels that are computed.
    patient_id : str
        Whom it concerns, for errors.

    Returns
    -------
    levels : ndarray of int64, shape (voxels,)
        Grey levels from 1.
    count : int
        Number of levels: `bin_count`, or the highest level that occurs.

    Raises
    ------
    ImageError
        If there would be more than `limit` levels.
    """
    low, high = lower_end(values, config), float(values.max())
    count = config.bin_count if config.discretisation == "FBN" else math.floor((high - low) / config.bin_width) + 1
    if count > limit:
        change = f"bin_count to at most {limit}" if config.discretisation == "FBN" else f"bin_width to {(high - low) / 64:.3g} for about 64 levels, or discretisation: FBN"
        found = f"the image would have {count} grey levels: intensities run from {low:g} to {high:g}"
        message = f"{found}; at most {limit} (maximum_levels) are computed, as matrices grow with their square. Set {change}"
        raise ImageError(patient_id, message)
    if config.discretisation == "FBN":
        return fixed_bin_number(values, count), count
    return fixed_bin_size(values, low, config.bin_width), count


def lower_end(values: NDArray[np.float64], config: IbsiConfig) -> float:
    """Give the intensity at which bins of a fixed size begin.

    Parameters
    ----------
    values : ndarray of float64, shape (voxels,)
        Intensities of the intensity mask.
    config : IbsiConfig
        Uses `resegment_range`.

    Returns
    -------
    float
        The lower end of re-segmentation by range, or the lowest intensity where there is none.
    """
    low = None if config.resegment_range is None else config.resegment_range[0]
    return float(values.min()) if low is None else low


@dataclass(frozen=True)
class Texture:
    """A region's grey levels, laid out for the kernels.

    Attributes
    ----------
    inside : ndarray of bool, shape (z, y, x)
        Intensity mask, in the bounding box of the morphological mask.
    outline : ndarray of bool, shape (z, y, x)
        Morphological mask in that box.
    levels : ndarray of int64, shape (voxels,)
        Grey level of every voxel of `inside`, from 1, in raster order.
    count : int
        Number of levels.
    distance : int
        Chebyshev distance of neighbours.
    """

    inside: NDArray[np.bool_]
    outline: NDArray[np.bool_]
    levels: NDArray[np.int64]
    count: int
    distance: int

    @cached_property
    def present(self) -> NDArray[np.int64]:
        """The levels that occur, ascending."""
        return np.flatnonzero(np.bincount(self.levels)).astype(np.int64)

    @cached_property
    def values(self) -> NDArray[np.float64]:
        """The levels that occur, ascending, after a 0 for what lies outside."""
        return np.asarray(np.r_[0, self.present], dtype=np.float64)

    @cached_property
    def shape(self) -> tuple[int, int, int]:
        """Shape of the padded array."""
        z, y, x = (n + 2 * self.distance for n in self.inside.shape)
        return z, y, x

    @cached_property
    def voxels(self) -> Voxels:
        """Places of the region's voxels in the flat padded array."""
        return np.flatnonzero(np.pad(self.inside, self.distance)).astype(np.int32)

    @cached_property
    def slices(self) -> list[Voxels]:
        """Places of the voxels of every slice that has any."""
        ends = np.cumsum(self.inside.sum(axis=(1, 2)))
        return [part for part in np.split(self.voxels, ends[:-1]) if len(part)]

    @cached_property
    def flat(self) -> NDArray[np.uint16]:
        """The flat padded array, with levels numbered from 1 without gaps."""
        rank = np.zeros(int(self.present[-1]) + 1, np.uint16)
        rank[self.present] = np.arange(1, len(self.present) + 1)
        laid = np.zeros(int(np.prod(self.shape)), np.uint16)
        laid[self.voxels] = rank[self.levels]
        return laid

    def depth(self, *, planar: bool) -> NDArray[np.int32]:
        """Give the distance of every voxel from the border of the morphological mask, counted in steps to face neighbours.

        Parameters
        ----------
        planar : bool
            Whether to step within slices only.

        Returns
        -------
        ndarray of int32, shape (padded voxels,)
            1 for voxels at the border, 0 outside.
        """
        from scipy.ndimage import distance_transform_cdt

        padded = np.pad(self.outline, 1)
        found = np.stack([distance_transform_cdt(p, metric="taxicab") for p in padded]) if planar else distance_transform_cdt(padded, metric="taxicab")
        widened = np.zeros(self.shape, np.int32)
        margin = self.distance - 1
        widened[tuple(slice(margin, n - margin) for n in self.shape)] = found
        return widened.ravel()

    def steps(self, *, planar: bool, both: bool) -> Steps:
        """Give the offsets of neighbours in the flat padded array.

        Parameters
        ----------
        planar : bool
            Whether to stay within the slice.
        both : bool
            True for all neighbours up to `distance`; False for those at `distance` along the directions of space, each direction once.

        Returns
        -------
        ndarray of int64, shape (neighbours,)
            Offsets.
        """
        reach = range(-self.distance, self.distance + 1) if both else (-self.distance, 0, self.distance)
        found = [self._step((z, y, x)) for z, y, x in product((0,) if planar else reach, reach, reach)]
        return np.array([s for s in found if (s != 0 if both else s > 0)], np.int64)

    def nearest(self, *, planar: bool, both: bool) -> Steps:
        """Give the offsets of neighbours one step away, as runs and zones have them whatever `distance` is.

        Parameters
        ----------
        planar : bool
            Whether to stay within the slice.
        both : bool
            Whether to give every direction both ways, or once.

        Returns
        -------
        ndarray of int64, shape (neighbours,)
            Offsets.
        """
        found = [self._step((z, y, x)) for z, y, x in product((0,) if planar else (-1, 0, 1), (-1, 0, 1), (-1, 0, 1))]
        return np.array([s for s in found if (s != 0 if both else s > 0)], np.int64)

    def weights(self, steps: Steps, config: IbsiConfig) -> NDArray[np.float64]:
        """Give the weights of neighbours by their distance in voxels.

        Parameters
        ----------
        steps : ndarray of int64, shape (neighbours,)
            Their offsets, as `steps` or `nearest` gives them.
        config : IbsiConfig
            Uses `weighting` and `weighting_norm`.

        Returns
        -------
        ndarray of float64, shape (neighbours,)
            1 without weighting.
        """
        if config.weighting == "none":
            return np.ones(len(steps))
        reach = range(-self.distance, self.distance + 1)
        at = {self._step(o): o for o in product(reach, reach, reach)}
        away = np.abs([at[int(s)] for s in steps]).astype(np.float64)
        length = {"euclidean": np.sqrt((away**2).sum(axis=1)), "manhattan": away.sum(axis=1), "chebyshev": away.max(axis=1)}[config.weighting_norm]
        found: NDArray[np.float64] = 1.0 / length if config.weighting == "inverse" else np.exp(-(length**2))
        return found

    def _step(self, offset: tuple[int, int, int]) -> int:
        return (offset[0] * self.shape[1] + offset[1]) * self.shape[2] + offset[2]
