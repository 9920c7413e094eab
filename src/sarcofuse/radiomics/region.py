"""A region cut out of its image, and its grey levels laid out for the kernels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

Offset = tuple[int, int, int]


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
    """

    inside: NDArray[np.bool_]
    spacing: tuple[float, float, float]
    margin: int = 1

    @cached_property
    def shape(self) -> tuple[int, int, int]:
        """Shape of the padded array."""
        z, y, x = (n + 2 * self.margin for n in self.inside.shape)
        return z, y, x

    @cached_property
    def voxels(self) -> NDArray[np.int32]:
        """Places of the region's voxels in the flat padded array, in raster order."""
        return np.flatnonzero(np.pad(self.inside, self.margin)).astype(np.int32)

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

    def lay_out(self, levels: NDArray[np.integer[Any]]) -> NDArray[np.uint16]:
        """Put levels in place.

        Parameters
        ----------
        levels : ndarray of int, shape (voxels,)
            Level of every voxel of the region, from 1.

        Returns
        -------
        ndarray of uint16, shape (padded voxels,)
            The flat padded array.
        """
        flat = np.zeros(int(np.prod(self.shape)), np.uint16)
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
    found: list[Offset] = []
    way = range(reach, -reach - 1, -1)
    for offset in product(way, way, way):
        fits = all(abs(o) < n for o, n in zip(offset, shape, strict=True)) and (flat is None or offset[flat] == 0)
        if fits and max(map(abs, offset)) in distances:
            found.append(offset)
    return found if both else found[: len(found) // 2]


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
        return int(self.levels.max())

    @cached_property
    def histogram(self) -> NDArray[np.int64]:
        """Voxels of each level that occurs."""
        return np.bincount(self.levels)[self.present]

    @cached_property
    def present(self) -> NDArray[np.int64]:
        """The levels that occur, ascending."""
        return np.flatnonzero(np.bincount(self.levels)).astype(np.int64)

    @cached_property
    def ranks(self) -> NDArray[np.uint16]:
        """The flat padded array, with levels numbered from 1 without gaps."""
        rank = np.zeros(self.highest + 1, np.int64)
        rank[self.present] = np.arange(1, len(self.present) + 1)
        return self.region.lay_out(rank[self.levels])
