"""Images and masks in patient space."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Geometry:
    """Where a voxel grid lies in the patient.

    Attributes
    ----------
    size : tuple of int
        Voxels along x, y, z.
    spacing : tuple of float
        Distance of voxel centres along x, y, z in mm.
    origin : tuple of float
        Centre of the first voxel in mm.
    direction : tuple of float
        Nine direction cosines, row by row.
    """

    size: tuple[int, int, int]
    spacing: tuple[float, float, float]
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)
    direction: tuple[float, ...] = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)

    def __post_init__(self) -> None:
        if len(self.size) != 3 or min(self.size) < 1:
            message = f"size must be three counts of at least 1, found {self.size}"
            raise ValueError(message)
        if len(self.spacing) != 3 or not all(np.isfinite(self.spacing)) or min(self.spacing) <= 0:
            message = f"spacing must be three positive lengths in mm, found {self.spacing}"
            raise ValueError(message)
        if len(self.direction) != 9:
            message = f"direction must be nine cosines, found {len(self.direction)}"
            raise ValueError(message)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of an array on this grid, (z, y, x)."""
        return self.size[2], self.size[1], self.size[0]

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel in ml."""
        return float(np.prod(self.spacing)) / 1000.0

    def differences(self, other: Geometry, tolerance: float = 1e-3) -> list[str]:
        """Say in words where two grids differ.

        Parameters
        ----------
        other : Geometry
            The grid to compare with.
        tolerance : float
            Largest difference that counts as rounding: in mm for spacing and origin, absolute for cosines.

        Returns
        -------
        list of str
            Empty where they agree.
        """
        found = [] if self.size == other.size else [f"size {self.size} against {other.size}"]
        for name in ("spacing", "origin", "direction"):
            mine, theirs = np.asarray(getattr(self, name)), np.asarray(getattr(other, name))
            gap = float(np.abs(mine - theirs).max())
            if gap > tolerance:
                found.append(f"{name} {_short(mine)} against {_short(theirs)} (off by up to {gap:.4g})")
        return found


def _short(values: NDArray[np.float64]) -> str:
    return "(" + ", ".join(f"{v:.4g}" for v in values) + ")"


@dataclass(frozen=True, slots=True, eq=False)
class Volume:
    """An image: intensities on a grid.

    Attributes
    ----------
    array : ndarray of float32, shape (z, y, x)
        Intensities, in the scanner's arbitrary units unless normalised.
    geometry : Geometry
        Where the grid lies.
    """

    array: NDArray[np.float32]
    geometry: Geometry

    def __post_init__(self) -> None:
        _check_shape(self.array, self.geometry)


@dataclass(frozen=True, slots=True, eq=False)
class Mask:
    """A region: 1 inside, 0 outside.

    Attributes
    ----------
    array : ndarray of uint8, shape (z, y, x)
        The region.
    geometry : Geometry
        Where the grid lies.
    """

    array: NDArray[np.uint8]
    geometry: Geometry

    def __post_init__(self) -> None:
        _check_shape(self.array, self.geometry)

    @property
    def volume_ml(self) -> float:
        """Volume of the region in ml."""
        return float(np.count_nonzero(self.array)) * self.geometry.voxel_ml


def _check_shape(array: NDArray[np.generic], geometry: Geometry) -> None:
    if array.shape != geometry.shape:
        message = f"array of shape {array.shape} does not fit a grid of shape {geometry.shape}"
        raise ValueError(message)
