"""A region cut out of its image, and its grey levels laid out for the kernels."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache, cached_property
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

Offset = tuple[int, int, int]
Levels = NDArray[np.unsignedinteger[Any]]  # uint8 or uint16


@dataclass(frozen=True)
class Region:
    """Where a region's voxels lie, once for all images of a case.

    Attributes
    ----------
    inside : ndarray of bool, shape (z, y, x)
        The region in its bounding box.
    spacing : tuple of float
        Voxel size along z, y, x in mm.
    margin : int
        Zeros that the padded array has on every side.
    near : dict of tuple of int to ndarray of uint16
        Number of neighbours of each voxel, by the steps to them; found once, for all images.
    """

    inside: NDArray[np.bool_]
    spacing: tuple[float, float, float]
    margin: int = 1
    near: dict[tuple[int, ...], NDArray[np.uint16]] = field(default_factory=dict, init=False, repr=False, compare=False)
    _directions: dict[tuple[tuple[int, ...], int | None], tuple[tuple[Offset, ...], NDArray[np.uint64]]] = field(default_factory=dict, init=False, repr=False, compare=False)

    @cached_property
    def shape(self) -> tuple[int, int, int]:
        """Shape of the padded array."""
        z, y, x = (n + 2 * self.margin for n in self.inside.shape)
        return z, y, x

    @cached_property
    def places(self) -> NDArray[np.int64]:
        """Places of the region's voxels in its flat bounding box, in raster order."""
        return np.flatnonzero(self.inside)

    @cached_property
    def voxels(self) -> NDArray[np.int32]:
        """Places of the region's voxels in the flat padded array, in raster order."""
        return np.flatnonzero(np.pad(self.inside, self.margin)).astype(np.int32)

    @cached_property
    def rows(self) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
        """Where the region's rows along the last axis start and stop in the flat padded array."""
        change = np.diff(np.pad(self.inside, self.margin).ravel().view(np.int8))
        return (np.flatnonzero(change == 1) + 1).astype(np.uint64), (np.flatnonzero(change == -1) + 1).astype(np.uint64)

    def directions(self, distances: tuple[int, ...], flat: int | None) -> tuple[tuple[Offset, ...], NDArray[np.uint64]]:
        """List neighbours at the given distances, each direction once.

        Parameters
        ----------
        distances : tuple of int
            Wanted distances in voxels.
        flat : int or None
            Axis along which not to step.

        Returns
        -------
        offsets : tuple of tuple of int
            Steps along z, y, x.
        steps : ndarray of uint64, shape (directions,)
            The same in the flat padded array, all positive.
        """
        if (distances, flat) not in self._directions:
            found = tuple(offsets(self.inside.shape, distances, flat, both=False))
            self._directions[distances, flat] = found, np.array([self.step(o) for o in found], dtype=np.uint64)
        return self._directions[distances, flat]

    def step(self, offset: Offset) -> int:
        """Give the distance in the flat padded array that an offset means.

        Parameters
        ----------
        offset : tuple of int
            Voxels along z, y, x.

        Returns
        -------
        int
            Distance.
        """
        return int((offset[0] * self.shape[1] + offset[1]) * self.shape[2] + offset[2])

    def lay_out(self, levels: NDArray[np.integer[Any]], highest: int) -> Levels:
        """Put levels in place.

        Parameters
        ----------
        levels : ndarray of int, shape (voxels,)
            Level of every voxel of the region, from 1.
        highest : int
            The highest of them.

        Returns
        -------
        ndarray of uint8 or uint16, shape (padded voxels,)
            The flat padded array, in the smaller type if that holds the levels and the length of any run.
        """
        kind: type[np.uint8] | type[np.uint16] = np.uint8 if max(highest, *self.inside.shape) < 255 else np.uint16
        flat = np.zeros(int(np.prod(self.shape)), kind)
        flat[self.voxels] = levels
        return flat


def offsets(shape: tuple[int, ...], distances: tuple[int, ...], flat: int | None, *, both: bool) -> list[Offset]:
    """List the neighbours at the given distances (largest step along any axis), in PyRadiomics' order.

    Parameters
    ----------
    shape : tuple of int
        Shape of the region's bounding box; steps that leave it are left out.
    distances : tuple of int
        Wanted distances in voxels.
    flat : int or None
        Axis along which not to step.
    both : bool
        Whether to give every direction both ways, or once.

    Returns
    -------
    list of tuple of int
        Steps along z, y, x.

    Examples
    --------
    >>> len(offsets((9, 9, 9), (1,), None, both=False)), len(offsets((9, 9, 9), (1,), 0, both=True))
    (13, 8)
    """
    reach = max(distances)
    limits = tuple(min(reach, n - 1) for n in shape)
    found = list(_within(limits, distances, flat))
    return found if both else found[: len(found) // 2]


@cache
def _within(limits: tuple[int, ...], distances: tuple[int, ...], flat: int | None) -> tuple[Offset, ...]:
    z, y, x = (range(n, -n - 1, -1) if axis != flat else range(1) for axis, n in enumerate(limits))
    return tuple(offset for offset in product(z, y, x) if max(map(abs, offset)) in distances)


@dataclass(frozen=True)
class Discretised:
    """A region's grey levels.

    Attributes
    ----------
    region : Region
        Where.
    levels : ndarray of int64, shape (voxels,)
        Grey level of every voxel, from 1, in raster order.
    """

    region: Region
    levels: NDArray[np.int64]

    @cached_property
    def highest(self) -> int:
        """The highest grey level."""
        return len(self._counts) - 1

    @cached_property
    def _counts(self) -> NDArray[np.int64]:
        return np.bincount(self.levels)

    @cached_property
    def histogram(self) -> NDArray[np.int64]:
        """Voxels of each level that occurs."""
        return self._counts[self.present]

    @cached_property
    def present(self) -> NDArray[np.int64]:
        """The levels that occur, ascending."""
        return np.flatnonzero(self._counts).astype(np.int64)

    @cached_property
    def grey(self) -> Levels:
        """The flat padded array of the levels themselves."""
        return self.region.lay_out(self.levels, self.highest)

    @cached_property
    def ranks(self) -> Levels:
        """The flat padded array, with levels numbered from 1 without gaps."""
        if len(self.present) == self.highest:
            return self.grey
        rank = np.zeros(self.highest + 1, np.int64)
        rank[self.present] = np.arange(1, len(self.present) + 1)
        return self.region.lay_out(rank[self.levels], len(self.present))
