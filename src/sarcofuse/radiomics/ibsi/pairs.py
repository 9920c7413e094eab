"""Features of a grey level co-occurrence matrix [1]_.

References
----------
.. [1] Zwanenburg A, Leger S, Vallieres M, Loeck S. Image biomarker standardisation initiative: reference manual. arXiv:1612.07003, section 3.6.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from sarcofuse.radiomics.compiled import compiled

NUMBER = 25


def features(counts: NDArray[np.float64], values: NDArray[np.float64], levels: int) -> NDArray[np.float64]:
    """Compute the features of a symmetric matrix.

    Parameters
    ----------
    counts : ndarray of float64, shape (present, present)
        Pairs of the row's and the column's level.
    values : ndarray of float64, shape (present,)
        The levels, ascending.
    levels : int
        Number of levels, present or not.

    Returns
    -------
    ndarray of float64, shape (25,)
        In the catalogue's order. Without pairs all are NaN; with a single level, correlation and information correlation 1 are, being 0 / 0.
    """
    total = float(counts.sum())
    if total == 0.0:
        return np.full(NUMBER, math.nan)
    p = counts / total
    px = p.sum(axis=1)
    mean = float(px @ values)
    variance = float(px @ (values - mean) ** 2)
    found, gaps, sums = _sums(p, values, mean, levels)
    k = np.arange(len(gaps), dtype=np.float64)
    gap_mean, sum_mean = float(gaps @ k), 2.0 * mean
    several = np.count_nonzero(px) > 1
    joint, marginal = _entropy(p.ravel()), _entropy(px)
    independent = 2.0 * marginal  # of p(i) p(j), and of the joint probabilities' mean log p(i) p(j) as well, the matrix being symmetric
    contrast, energy, auto, shade, prominence = found[0], found[1], found[2], found[3], found[4]
    tendency = float(sums @ (np.arange(len(sums)) - sum_mean) ** 2)
    return np.array(
        [
            p.max(), mean, variance, joint,
            gap_mean, float(gaps @ (k - gap_mean) ** 2), _entropy(gaps),
            sum_mean, tendency, _entropy(sums),
            energy, contrast, gap_mean,
            float(gaps @ (1.0 / (1.0 + k))), float(gaps @ (1.0 / (1.0 + k / levels))),
            float(gaps @ (1.0 / (1.0 + k**2))), float(gaps @ (1.0 / (1.0 + k**2 / levels**2))),
            float(gaps[1:] @ (1.0 / k[1:] ** 2)),
            (auto - mean**2) / variance if several else math.nan,
            auto, tendency, shade, prominence,
            (joint - independent) / marginal if several else math.nan,
            math.sqrt(max(0.0, 1.0 - math.exp(-2.0 * (independent - joint)))),
        ]
    )  # fmt: skip


def _entropy(share: NDArray[np.float64]) -> float:
    some = share[share > 0]
    return max(0.0, -float(some @ np.log2(some)))


@compiled
def _sums(p: NDArray[np.float64], values: NDArray[np.float64], mean: float, levels: int) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Sum over the matrix: contrast, energy, autocorrelation, cluster shade and prominence; probabilities by difference, and by sum, of the levels."""
    found, gaps, sums = np.zeros(5), np.zeros(levels), np.zeros(2 * levels + 1)
    for a in range(len(values)):
        for b in range(len(values)):
            share = p[a, b]
            if share > 0.0:
                i, j = values[a], values[b]
                off = i + j - 2.0 * mean
                found[0] += share * (i - j) ** 2
                found[1] += share * share
                found[2] += share * i * j
                found[3] += share * off**3
                found[4] += share * off**4
                gaps[int(abs(i - j))] += share
                sums[int(i + j)] += share
    return found, gaps, sums
