"""Kernels that run a recursive filter of fourth order along the axes of an image.

Along a line, ``y[k] = b0 x[k] + ... + b3 x[k-3] - a1 y[k-1] - ... - a4 y[k-4]`` goes forward and ``z[k] = m1 x[k+1] + ... + m4 x[k+4] - a1 z[k+1] - ... - a4 z[k+4]``
backward; the result is their sum. Beyond its ends a line is continued by its end values. Many lines are filtered side by side, one step along all of them at a
time, in double precision; what comes out is rounded to single. Coefficients are held as b0 to b3, m1 to m4, a1 to a4 and the gains of both runs for a constant.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sarcofuse.radiomics.compiled import compiled

Singles = NDArray[np.float32]
Doubles = NDArray[np.float64]
Numbers = NDArray[np.floating[Any]]

U = np.uint64
BEFORE, AROUND = 4, 9  # rows of end values before a line, and before and behind it together
LANES = 128  # lines side by side, so that the rows in use stay in a near cache


@compiled
def planes(volume: Numbers, last_first: bool, first: Doubles, ends: tuple[int, int], second: Doubles, other: tuple[int, int], found: Singles) -> None:
    """Filter every slice along both of its axes.

    Parameters
    ----------
    volume : ndarray of float32 or float64, shape (slices, rows, columns)
        The image.
    last_first : bool
        Whether to begin along columns' index (the last axis) and go on along rows', or the other way round.
    first, second : ndarray of float64, shape (14,)
        Coefficients of the two filters, in the order of use.
    ends, other : tuple of int
        First voxel wanted, and the one behind the last, along the axes of the first and of the second filter.
    found : ndarray of float32, shape (slices, rows wanted, columns wanted)
        Receives the result.
    """
    slices, rows, columns = volume.shape
    length, lines = (columns, rows) if last_first else (rows, columns)
    wide, thin = ends[1] - ends[0], other[1] - other[0]
    one, two = np.empty((length + AROUND, lines)), np.empty((lines + AROUND, wide))
    one_y, one_z, two_y, two_z = np.empty_like(one), np.empty_like(one), np.empty_like(two), np.empty_like(two)
    between, end = np.empty((wide, lines), np.float32), np.empty((thin, wide), np.float32)
    for s in range(slices):
        if last_first:
            _turn(volume[s], one[BEFORE:])
        else:
            _copy(volume[s], one[BEFORE:])
        _sweep(one, one_y, one_z, first, ends, between)
        _turn(between, two[BEFORE:])
        _sweep(two, two_y, two_z, second, other, end)
        if last_first:
            _copy(end, found[s])
        else:
            _turn(end, found[s])


@compiled
def across(volume: Numbers, filter_: Doubles, ends: tuple[int, int], found: Singles) -> None:
    """Filter along the first axis.

    Parameters
    ----------
    volume : ndarray of float32 or float64, shape (slices, lines)
        The image.
    filter_ : ndarray of float64, shape (14,)
        Coefficients.
    ends : tuple of int
        First slice wanted, and the one behind the last.
    found : ndarray of float32, shape (slices wanted, lines)
        Receives the result.
    """
    slices, lines = volume.shape
    for start in range(0, lines, LANES):
        stop = min(start + LANES, lines)
        x = np.empty((slices + AROUND, stop - start))
        y, z, end = np.empty_like(x), np.empty_like(x), np.empty((ends[1] - ends[0], stop - start), np.float32)
        _copy(volume[:, start:stop], x[BEFORE:])
        _sweep(x, y, z, filter_, ends, end)
        _copy(end, found[:, start:stop])


@compiled
def add(found: Singles, weight: float, total: Singles) -> None:
    """Add an image to a sum, with its weight.

    Parameters
    ----------
    found : ndarray of float32, shape (slices, rows, columns)
        The image.
    weight : float
        Its weight.
    total : ndarray of float32, shape (slices, rows, columns)
        The sum; every step is rounded to single.
    """
    values, into = found.reshape(-1), total.reshape(-1)
    for i in range(len(values)):
        into[i] = into[i] + values[i] * weight


@compiled
def _copy(values: Numbers, into: Numbers) -> None:
    for i in range(U(values.shape[0])):
        for j in range(U(values.shape[1])):
            into[i, j] = values[i, j]


@compiled
def _turn(values: Numbers, into: Numbers) -> None:
    for i in range(U(values.shape[1])):
        for j in range(U(values.shape[0])):
            into[i, j] = values[j, i]


@compiled
def _sweep(around: Doubles, forward: Doubles, backward: Doubles, filter_: Doubles, ends: tuple[int, int], found: Singles) -> None:
    """Filter lines side by side, from row 4 of `around` on; the other two hold the runs."""
    length, m = around.shape[0] - AROUND, U(around.shape[1])
    x, y, z = around.reshape(-1), forward.reshape(-1), backward.reshape(-1)
    b0, b1, b2, b3, m1, m2, m3, m4, a1, a2, a3, a4, gain, gain_back = filter_
    head, tail = U(BEFORE) * m, U(length + BEFORE) * m
    for j in range(m):
        for i in range(U(BEFORE)):
            x[i * m + j], y[i * m + j] = x[head + j], x[head + j] * gain
        for i in range(U(AROUND - BEFORE)):
            x[tail + i * m + j], z[tail + i * m + j - head] = x[tail - m + j], x[tail - m + j] * gain_back
    one, two, three, four, five, six, seven, eight = m, U(2) * m, U(3) * m, U(4) * m, U(5) * m, U(6) * m, U(7) * m, U(8) * m
    for k in range(ends[1]):
        row = U(k) * m
        for j in range(row, row + m):
            y[j + four] = (b0 * x[j + four] + b1 * x[j + three] + b2 * x[j + two] + b3 * x[j + one]) - (a4 * y[j] + a3 * y[j + one] + a2 * y[j + two] + a1 * y[j + three])
    for k in range(length - 1, ends[0] - 1, -1):
        row = U(k) * m
        for j in range(row, row + m):
            z[j] = (m1 * x[j + five] + m2 * x[j + six] + m3 * x[j + seven] + m4 * x[j + eight]) - (a4 * z[j + four] + a3 * z[j + three] + a2 * z[j + two] + a1 * z[j + one])
        if k < ends[1]:
            for j in range(m):
                found[k - ends[0], j] = y[row + four + j] + z[row + j]
