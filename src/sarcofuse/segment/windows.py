"""Windows over a volume: where they lie, how they weigh, which of them hold nothing but air."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Box = tuple[slice, slice, slice]
SIGMA, LEAST = 0.125, 1e-3
"""Deviation of the Gaussian weight in windows' lengths, and its smallest value beside 1 at the centre: those of MONAI."""


def starts(size: int, window: int, overlap: float) -> list[int]:
    """Spread windows evenly over an axis.

    Parameters
    ----------
    size, window : int
        Length of the axis and of a window.
    overlap : float
        Smallest share of a window that lies in its neighbour.

    Returns
    -------
    list of int
        First voxel of each window: as few as keep the overlap, the first at the start and the last at the end.

    Examples
    --------
    >>> starts(100, 40, 0.5)
    [0, 20, 40, 60]
    >>> starts(30, 40, 0.5)
    [0]
    """
    spare = size - window
    if spare <= 0:
        return [0]
    count = math.ceil(spare / max(1.0, math.floor(window * (1.0 - overlap)))) + 1
    return [round(i * spare / (count - 1)) for i in range(count)]


def weight(window: Sequence[int]) -> NDArray[np.float32]:
    """Give the weight of each voxel of a window: a Gaussian of an eighth of its length along each axis.

    Parameters
    ----------
    window : sequence of int
        Shape (z, y, x).

    Returns
    -------
    ndarray of float32, shape `window`
        At most 1, at least 0.001.
    """
    z, y, x = (np.exp(-0.5 * ((np.arange(n) - (n - 1) / 2.0) / (SIGMA * n)) ** 2) for n in window)
    return np.asarray(np.maximum(z[:, None, None] * y[:, None] * x, LEAST), dtype=np.float32)


def air(image: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Tell which voxels are air around the patient.

    Air is what is below a tenth of the way from the 1st to the 99th percentile, as where intensities are normalised, and not enclosed by brighter voxels within
    its slice: a dark tumour inside a limb is no air.

    Parameters
    ----------
    image : ndarray of float32, shape (z, y, x)
        Intensities.

    Returns
    -------
    ndarray of bool
        The air.
    """
    from scipy.ndimage import label

    low, high = np.percentile(image, (1, 99))
    within_slices = np.zeros((3, 3, 3), dtype=bool)
    within_slices[1] = [[False, True, False], [True, True, True], [False, True, False]]
    parts, count = label(image <= low + 0.1 * (high - low), structure=within_slices)
    around = np.zeros(count + 1, dtype=bool)
    for side in (parts[:, 0], parts[:, -1], parts[:, :, 0], parts[:, :, -1]):
        around[side] = True
    around[0] = False
    return np.asarray(around[parts])


def merge(
    shape: Sequence[int], window: Sequence[int], overlap: float, passes: int, see: Callable[[list[Box]], Iterator[NDArray[np.float32]]], empty: NDArray[np.bool_] | None
) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Average what is seen in windows, from the first slice to the last; never more than one layer of windows is in memory.

    Parameters
    ----------
    shape : sequence of int
        Shape (z, y, x) of the volume.
    window : sequence of int
        Shape (z, y, x) of the windows, at most `shape` along each axis.
    overlap : float
        Smallest share of a window that lies in its neighbour.
    passes : int
        Values that are seen at each voxel.
    see : callable
        Takes windows, gives for each of them an array of shape (passes, z, y, x).
    empty : ndarray of bool, shape `shape`, or None
        Windows in which all voxels are True are left out.

    Yields
    ------
    layer : slice
        Slices of the volume that are done.
    values : ndarray of float32, shape (passes, layer, y, x)
        Weighted mean over the windows; minus infinity where none was seen.
    """
    places = [starts(size, one, overlap) for size, one in zip(shape, window, strict=True)]
    share = weight(window) if any(len(p) > 1 for p in places) else np.ones(tuple(window), dtype=np.float32)
    depth = window[0]
    total = np.zeros((passes, depth, *shape[1:]), dtype=np.float32)
    count = np.zeros(total.shape[1:], dtype=np.float32)
    for at, following in itertools.pairwise([*places[0], shape[0]]):
        boxes = [(slice(at, at + depth), slice(y, y + window[1]), slice(x, x + window[2])) for y, x in itertools.product(*places[1:])]
        boxes = [box for box in boxes if empty is None or not empty[box].all()]
        for (_, y, x), seen in zip(boxes, see(boxes), strict=True):
            total[:, :, y, x] += share * seen
            count[:, y, x] += share
        done = following - at
        yield slice(at, following), np.divide(total[:, :done], count[:done], out=np.full((passes, done, *shape[1:]), -np.inf, dtype=np.float32), where=count[:done] > 0)
        for rolling, axis in ((total, 1), (count, 0)):
            rolling[:] = np.concatenate([np.take(rolling, range(done, depth), axis), np.zeros_like(np.take(rolling, range(done), axis))], axis)
