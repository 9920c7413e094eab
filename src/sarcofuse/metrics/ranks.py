"""Counting pairs in the right order in many weighted samples at once, compiled."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@numba.njit(cache=True, nogil=True)
def _add(tree: Floats, rank: int, weight: float) -> None:
    i = rank + 1
    while i < tree.size:
        tree[i] += weight
        i += i & -i


@numba.njit(cache=True, nogil=True)
def _up_to(tree: Floats, rank: int) -> float:
    """Weight of all ranks below `rank`."""
    total, i = 0.0, rank
    while i > 0:
        total += tree[i]
        i -= i & -i
    return total


@numba.njit(cache=True, nogil=True)
def concordant(time: Floats, event: NDArray[np.bool_], rank: NDArray[np.int64], weight: Floats, counts: Floats) -> tuple[Floats, Floats]:
    """Weigh the pairs whose first patient has the event while the other is still free of it, and those of them in the right order.

    A binary indexed tree over the ranks holds whoever is still free: n log n steps a sample.

    Parameters
    ----------
    time : ndarray, shape (patients,)
        Falling; at equal times those without the event first.
    event : ndarray of bool, shape (patients,)
        Whether the event was seen.
    rank : ndarray of int, shape (patients,)
        Rank of the risk, from 0; equal risks share one.
    weight : ndarray, shape (patients,)
        Weight of a pair by its first patient.
    counts : ndarray, shape (samples, patients)
        How often each patient stands in each sample.

    Returns
    -------
    right, pairs : ndarray, shape (samples,)
        Weights; equal risks count half as right.
    """
    samples, patients = counts.shape
    right, pairs = np.zeros(samples), np.zeros(samples)
    tree = np.zeros(rank.max() + 2)
    for s in range(samples):
        tree[:] = 0.0
        free, start = 0.0, 0
        while start < patients:
            stop = start
            while stop < patients and time[stop] == time[start]:
                if not event[stop]:
                    _add(tree, rank[stop], counts[s, stop])
                    free += counts[s, stop]
                stop += 1
            for i in range(start, stop):
                share = counts[s, i] * weight[i]
                if event[i] and share > 0.0:
                    lower = _up_to(tree, rank[i])
                    right[s] += share * (lower + _up_to(tree, rank[i] + 1)) / 2.0
                    pairs[s] += share * free
            for i in range(start, stop):
                if event[i]:
                    _add(tree, rank[i], counts[s, i])
                    free += counts[s, i]
            start = stop
    return right, pairs
