"""Kernels for the intensities of a region: their bins, their order, their sums.

Sums may be taken in any order (``reassociated``), which lets the compiler use several partial sums; which order that is depends on the processor alone.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from sarcofuse.radiomics.compiled import compiled, reassociated

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

BUCKETS = 4096


@compiled
def place(values: Floats, edges: Floats, width: float) -> Counts:
    """Count the edges that do not lie above each value.

    Parameters
    ----------
    values : ndarray of float64, shape (voxels,)
        Intensities.
    edges : ndarray of float64, shape (bins + 1,)
        Ascending, `width` apart but for rounding; the first is not above, the last above all values.
    width : float
        Width of a bin.

    Returns
    -------
    ndarray of int64, shape (voxels,)
        From 1.
    """
    found = np.empty(len(values), np.int64)
    last = len(edges) - 2
    for i in range(len(values)):
        k = min(max(int((values[i] - edges[0]) / width), 0), last)
        while k > 0 and values[i] < edges[k]:
            k -= 1
        while k < last and values[i] >= edges[k + 1]:
            k += 1
        found[i] = k + 1
    return found


def ordered(values: Floats, low: float, high: float, ranks: list[int]) -> list[float]:
    """Give values by their rank without sorting them all: only those that share a bucket with one that is asked for.

    Parameters
    ----------
    values : ndarray of float64, shape (voxels,)
        Intensities.
    low, high : float
        Least and largest of them.
    ranks : list of int
        Which, from 0.

    Returns
    -------
    list of float
        The value of each rank.
    """
    scale = (BUCKETS - 1) / (high - low) if high > low else math.inf
    if not 0.0 < scale < math.inf:
        found: list[float] = np.sort(values)[ranks].tolist()
        return found
    counts, bucket = _buckets(values, low, scale)
    before = np.cumsum(counts) - counts
    own = np.searchsorted(before, ranks, side="right") - 1
    wanted = np.zeros(BUCKETS, np.bool_)
    wanted[own] = True
    chosen = np.sort(values[wanted[bucket]])
    skipped = np.cumsum(np.where(wanted, 0, counts))  # voxels in buckets that were left out, up to each bucket
    return [float(chosen[rank - skipped[b]]) for rank, b in zip(ranks, own, strict=True)]


@compiled
def _buckets(values: Floats, low: float, scale: float) -> tuple[Counts, NDArray[np.uint16]]:
    counts, bucket = np.zeros(BUCKETS, np.int64), np.empty(len(values), np.uint16)
    for i in range(len(values)):
        bucket[i] = np.uint16((values[i] - low) * scale)
        counts[bucket[i]] += 1
    return counts, bucket


@reassociated
def moments(values: Floats, mean: float, shift: float, low: float, high: float) -> tuple[float, float, float, float, float, float, int]:
    """Sum what first-order features are made of.

    Parameters
    ----------
    values : ndarray of float64, shape (voxels,)
        Intensities.
    mean : float
        Their mean.
    shift : float
        Added before squaring.
    low, high : float
        Bounds of the inner values.

    Returns
    -------
    energy, absolute, second, third, fourth : float
        Sums of squares of the shifted values, and of absolute differences from the mean and their powers.
    inner : float
        Sum of the differences of inner values from the mean.
    number : int
        Inner values.
    """
    energy = absolute = second = third = fourth = inner = 0.0
    number = 0
    for v in values:
        away = v - mean
        square = away * away
        energy += (v + shift) * (v + shift)
        absolute += abs(away)
        second += square
        third += square * away
        fourth += square * square
        within = (v >= low) & (v <= high)
        inner += away if within else 0.0
        number += within
    return energy, absolute, second, third, fourth, inner, number


@reassociated
def absolute(values: Floats, centre: float, low: float, high: float) -> float:
    """Sum absolute differences of inner values from a centre.

    Parameters
    ----------
    values : ndarray of float64, shape (voxels,)
        Intensities.
    centre : float
        The centre.
    low, high : float
        Bounds of the inner values.

    Returns
    -------
    float
        The sum.
    """
    total = 0.0
    for v in values:
        total += abs(v - centre) if (v >= low) & (v <= high) else 0.0
    return total
