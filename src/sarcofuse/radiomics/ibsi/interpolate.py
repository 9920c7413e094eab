"""Interpolation along one axis after the other, on grids that share the image's centre [1]_.

References
----------
.. [1] Zwanenburg A, Leger S, Vallieres M, Loeck S. Image biomarker standardisation initiative: reference manual. arXiv:1612.07003, section 2.4.
.. [2] Unser M, Aldroubi A, Eden M. B-spline signal processing. IEEE Trans Signal Process 1993;41:821-848.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Kind = Literal["nearest", "linear", "cubic"]
Places = NDArray[np.float64]
PAD = 12  # voxels after which a spline has forgotten where the image ends


@dataclass(frozen=True)
class Axis:
    """An axis of the image, and of the grid that it is interpolated to.

    Attributes
    ----------
    count : int
        Voxels of the image.
    old : float
        Their size in mm.
    new : float
        Wanted size in mm.
    """

    count: int
    old: float
    new: float

    @property
    def new_count(self) -> int:
        """Voxels of the grid: as many as cover the image."""
        return max(1, math.ceil(self.count * self.old / self.new - 1e-6))  # a ratio that is whole but for rounding counts as whole

    def place(self, index: NDArray[np.int64]) -> Places:
        """Give where voxels of the grid lie in the image.

        Parameters
        ----------
        index : ndarray of int64
            Voxels of the grid.

        Returns
        -------
        ndarray of float64
            Continuous indices of the image, from 0 at the centre of its first voxel.
        """
        return np.asarray((self.count - 1) / 2.0 + (index - (self.new_count - 1) / 2.0) * self.new / self.old)

    def between(self, low: float, high: float) -> tuple[int, int]:
        """Give the voxels of the grid that lie between two places.

        Parameters
        ----------
        low : float
            Continuous index of the image.
        high : float
            Continuous index of the image.

        Returns
        -------
        first : int
            First voxel that does, or the voxel before where none does.
        last : int
            Last voxel.
        """
        first, last = ((p - (self.count - 1) / 2.0) * self.old / self.new + (self.new_count - 1) / 2.0 for p in (low, high))
        return max(0, math.floor(first)), min(self.new_count - 1, math.ceil(last))


def coefficients(image: NDArray[np.float64], axes: Sequence[bool]) -> NDArray[np.float64]:
    """Give the coefficients of the cubic B-spline through an image whose border voxels go on outwards [2]_.

    Parameters
    ----------
    image : ndarray of float64, shape (z, y, x)
        Intensities.
    axes : sequence of bool
        Along which axes to go.

    Returns
    -------
    ndarray of float64
        Coefficients, with `PAD` more on either side of these axes.
    """
    from scipy.ndimage import spline_filter1d

    for axis, wanted in enumerate(axes):
        if wanted:
            widened = np.pad(image, [(PAD, PAD) if a == axis else (0, 0) for a in range(image.ndim)], mode="edge")
            image = spline_filter1d(widened, order=3, axis=axis, mode="mirror")
    return image


def along(image: NDArray[np.float64], axis: int, places: Places, count: int, kind: Kind) -> NDArray[np.float64]:
    """Interpolate along one axis.

    Parameters
    ----------
    image : ndarray of float64, shape (z, y, x)
        Intensities, or for ``cubic`` what `coefficients` gives.
    axis : int
        Along which axis.
    places : ndarray of float64, shape (new,)
        Continuous indices; what lies beyond the centre of the outermost voxel takes its value.
    count : int
        Voxels along that axis.
    kind : {'nearest', 'linear', 'cubic'}
        How.

    Returns
    -------
    ndarray of float64
        With ``new`` voxels along that axis.
    """
    if kind == "cubic":
        places, count = places + PAD, count + 2 * PAD
    places = np.clip(places, 0.0, count - 1.0)
    if kind == "nearest" or count == 1:
        return np.take(image, np.floor(places + 0.5).astype(np.int64), axis=axis)
    first = np.minimum(np.floor(places).astype(np.int64), count - 2)
    t = places - first
    if kind == "linear":
        taps, weights = (0, 1), (1.0 - t, t)
    else:
        taps, weights = (-1, 0, 1, 2), ((1 - t) ** 3 / 6, (4 - 6 * t**2 + 3 * t**3) / 6, (1 + 3 * t + 3 * t**2 - 3 * t**3) / 6, t**3 / 6)  # type: ignore[assignment]
    shape = [-1 if a == axis else 1 for a in range(image.ndim)]
    index = [np.abs(first + tap) for tap in taps]
    mirrored = [np.where(i > count - 1, 2 * (count - 1) - i, i) for i in index]
    return np.asarray(sum(np.take(image, i, axis=axis) * w.reshape(shape) for i, w in zip(mirrored, weights, strict=True)))
