"""Kernels that read a matrix's features off it, in one pass over what is not zero."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from sarcofuse.radiomics.compiled import compiled

EPSILON = float(np.spacing(1.0))  # PyRadiomics adds it within logarithms


@compiled
def cooccurrence_features(p: NDArray[np.float64], levels: NDArray[np.int64], highest: int) -> NDArray[np.float64]:
    """Compute the features of one normalised grey-level co-occurrence matrix (GLCM).

    Parameters
    ----------
    p : ndarray of float64, shape (levels, levels)
        Probability of each pair; sums to 1.
    levels : ndarray of int64, shape (levels,)
        Grey level of each row and column.
    highest : int
        Number of grey levels that features are normalised by.

    Returns
    -------
    ndarray of float64, shape (23,)
        In the order of `sarcofuse.radiomics.glcm.ORDER`.
    """
    n = len(levels)
    px, py = np.zeros(n), np.zeros(n)
    plus, minus = np.zeros(2 * highest + 1), np.zeros(highest + 1)
    auto = energy = hxy = largest = 0.0
    for i in range(n):
        for j in range(n):
            q = p[i, j]
            if q > 0.0:
                px[i] += q
                py[j] += q
                plus[levels[i] + levels[j]] += q
                minus[abs(levels[i] - levels[j])] += q
                auto += q * levels[i] * levels[j]
                energy += q * q
                hxy -= q * math.log2(q + EPSILON)
                largest = max(largest, q)
    (ux, hx), (uy, hy) = _margin(px, levels), _margin(py, levels)
    vx = vy = covariance = hxy1 = hxy2 = 0.0
    for i in range(n):
        vx += px[i] * (levels[i] - ux) ** 2
        vy += py[i] * (levels[i] - uy) ** 2
        for j in range(n):
            q, product = p[i, j], px[i] * py[j]
            logarithm = math.log2(product + EPSILON)
            hxy2 -= product * logarithm
            if q > 0.0:
                hxy1 -= q * logarithm
                covariance += q * (levels[i] - ux) * (levels[j] - uy)
    found = np.empty(23)
    deviations = math.sqrt(vx) * math.sqrt(vy)
    widest = max(hx, hy)
    found[0], found[1], found[2] = auto, ux, vx
    found[3] = covariance / (deviations + EPSILON) if deviations != 0.0 else 1.0
    found[4], found[5], found[6] = energy, hxy, largest
    found[7] = (hxy - hxy1) / widest if widest != 0.0 else 0.0
    found[8] = 0.0 if hxy2 == hxy else (math.sqrt(1.0 - math.exp(-2.0 * (hxy2 - hxy))) if hxy2 > hxy else math.nan)
    _sums(plus, ux + uy, found, 9)
    _differences(minus, highest, found, 14)
    return found


@compiled
def _margin(p: NDArray[np.float64], levels: NDArray[np.int64]) -> tuple[float, float]:
    mean = entropy = 0.0
    for i in range(len(p)):
        mean += p[i] * levels[i]
        entropy -= p[i] * math.log2(p[i] + EPSILON)
    return mean, entropy


@compiled
def _sums(plus: NDArray[np.float64], mean: float, found: NDArray[np.float64], at: int) -> None:
    average = entropy = tendency = shade = prominence = 0.0
    for k in range(len(plus)):
        q = plus[k]
        if q > 0.0:
            away = k - mean
            average += k * q
            entropy -= q * math.log2(q + EPSILON)
            tendency += q * away**2
            shade += q * away**3
            prominence += q * away**4
    found[at], found[at + 1], found[at + 2], found[at + 3], found[at + 4] = average, entropy, tendency, shade, prominence


@compiled
def _differences(minus: NDArray[np.float64], highest: int, found: NDArray[np.float64], at: int) -> None:
    for k in range(9):
        found[at + k] = 0.0
    for k in range(len(minus)):
        q = minus[k]
        if q > 0.0:
            found[at] += k * q
            found[at + 1] -= q * math.log2(q + EPSILON)
            found[at + 3] += q * k * k
            found[at + 4] += q / (1.0 + k)
            found[at + 5] += q / (1.0 + k / highest)
            found[at + 6] += q / (1.0 + k * k)
            found[at + 7] += q / (1.0 + (k * k) / (highest * highest))
            if k > 0:
                found[at + 8] += q / (k * k)
    for k in range(len(minus)):
        found[at + 2] += minus[k] * (k - found[at]) ** 2


@compiled
def emphasis_features(counts: NDArray[np.float64], levels: NDArray[np.float64], sizes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute the features that GLRLM, GLSZM and GLDM share, from a matrix of grey level by size.

    Parameters
    ----------
    counts : ndarray of float64, shape (levels, sizes)
        How many runs, zones or voxels there are of each level and size.
    levels : ndarray of float64, shape (levels,)
        Grey level of each row.
    sizes : ndarray of float64, shape (sizes,)
        Length, size or dependence of each column.

    Returns
    -------
    ndarray of float64, shape (16,)
        In the order of `sarcofuse.radiomics.emphasis.ORDER`.
    """
    n, m = counts.shape
    by_level, by_size, total = np.zeros(n), np.zeros(m), 0.0
    for i in range(n):
        for j in range(m):
            c = counts[i, j]
            if c > 0.0:
                by_level[i] += c
                by_size[j] += c
                total += c
    found, entropy = np.zeros(16), 0.0
    for i in range(n):
        square = levels[i] ** 2
        for j in range(m):
            c = counts[i, j]
            if c > 0.0:
                p, area = c / total, sizes[j] ** 2
                entropy -= p * math.log2(p + EPSILON)
                found[12] += p / (square * area)
                found[13] += p * square / area
                found[14] += p * area / square
                found[15] += p * square * area
    voxels = mean_size = mean_level = 0.0
    for j in range(m):
        p = by_size[j] / total
        found[0] += p / sizes[j] ** 2
        found[1] += p * sizes[j] ** 2
        found[4] += p * by_size[j]
        found[5] += p * p
        voxels += by_size[j] * sizes[j]
        mean_size += p * sizes[j]
    for i in range(n):
        p = by_level[i] / total
        found[2] += p * by_level[i]
        found[3] += p * p
        found[10] += p / levels[i] ** 2
        found[11] += p * levels[i] ** 2
        mean_level += p * levels[i]
    for i in range(n):
        found[7] += by_level[i] / total * (levels[i] - mean_level) ** 2
    for j in range(m):
        found[8] += by_size[j] / total * (sizes[j] - mean_size) ** 2
    found[6], found[9] = total / voxels, entropy
    return found


@compiled
def tone_features(number: NDArray[np.float64], difference: NDArray[np.float64], levels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute the features of a neighbouring grey-tone difference matrix (NGTDM).

    Parameters
    ----------
    number : ndarray of float64, shape (levels,)
        Voxels of each level; all above 0.
    difference : ndarray of float64, shape (levels,)
        Sum of their absolute differences from their neighbours' mean.
    levels : ndarray of float64, shape (levels,)
        The grey levels.

    Returns
    -------
    ndarray of float64, shape (5,)
        Busyness, coarseness, complexity, contrast, strength.
    """
    n, total, differences = len(levels), 0.0, 0.0
    for i in range(n):
        total += number[i]
        differences += difference[i]
    weighted = spread = tones = complexity = strength = 0.0
    for i in range(n):
        pi = number[i] / total
        weighted += pi * difference[i]
        for j in range(n):
            pj = number[j] / total
            apart = levels[i] - levels[j]
            spread += pi * pj * apart**2
            tones += abs(pi * levels[i] - pj * levels[j])
            complexity += abs(apart) * (pi * difference[i] + pj * difference[j]) / (pi + pj)
            strength += (pi + pj) * apart**2
    found = np.empty(5)
    found[0] = weighted / tones if tones != 0.0 else 0.0
    found[1] = 1.0 / weighted if weighted != 0.0 else 1e6
    found[2] = complexity / total
    found[3] = spread * differences / total / (n * (n - 1)) if n > 1 else 0.0
    found[4] = strength / differences if differences != 0.0 else 0.0
    return found
