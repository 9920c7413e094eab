"""Local regression in many weighted samples at once, compiled."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_FAST = {"reassoc", "contract", "nsz", "nnan", "ninf", "arcp"}  # sums may be taken in any order


@numba.njit(cache=True, nogil=True)
def _reach(x: Floats, w: Floats, total: float, span: float, at: float) -> float:
    """Distance within which `span` of the weight lies: points are dropped from the two ends, the farther first."""
    wanted, left, right = max(2.0, np.floor(span * total + 1e-7)), 0, x.size - 1
    kept = total
    while left < right:
        far_left, far_right = abs(at - x[left]), abs(x[right] - at)
        end = left if far_left > far_right else right
        if w[end] > 0.0:
            if kept - w[end] < wanted - 1e-7:
                break
            kept -= w[end]
        if end == left:
            left += 1
        else:
            right -= 1
    return float(max(abs(at - x[left]), abs(x[right] - at)))


@numba.njit(cache=True, nogil=True, fastmath=_FAST)
def _sums(x: Floats, y: Floats, w: Floats, at: float, scale: float) -> tuple[float, float, float, float, float]:
    s0 = s1 = s2 = t0 = t1 = 0.0
    for i in range(x.size):
        u = (x[i] - at) / scale
        v = max(0.0, 1.0 - abs(u * u * u))
        k = w[i] * v * v * v
        s0 += k
        s1 += k * u
        s2 += k * u * u
        t0 += k * y[i]
        t1 += k * u * y[i]
    return s0, s1, s2, t0, t1


@numba.njit(cache=True, nogil=True, fastmath=_FAST)
def _higher_sums(x: Floats, y: Floats, w: Floats, at: float, scale: float) -> tuple[float, float, float]:
    s3 = s4 = t2 = 0.0
    for i in range(x.size):
        u = (x[i] - at) / scale
        v = max(0.0, 1.0 - abs(u * u * u))
        k = w[i] * v * v * v * u * u
        s3 += k * u
        s4 += k * u * u
        t2 += k * y[i]
    return s3, s4, t2


@numba.njit(cache=True, nogil=True)
def _local(x: Floats, y: Floats, w: Floats, at: float, reach: float, degree: int, floor: float) -> float:
    """Value at `at` of a line or parabola fitted with tricube weights; of a lower degree where the neighbours' x are too alike."""
    scale = reach if reach > 0.0 else 1.0
    start, stop = np.searchsorted(x, at - reach), np.searchsorted(x, at + reach, side="right")
    s0, s1, s2, t0, t1 = _sums(x[start:stop], y[start:stop], w[start:stop], at, scale)
    if s0 <= 0.0:  # all neighbours lie at the edge, where tricube is 0
        for i in range(start, stop):
            s0 += w[i]
            t0 += w[i] * y[i]
        return t0 / s0 if s0 > 0.0 else np.nan
    if degree == 2:
        s3, s4, t2 = _higher_sums(x[start:stop], y[start:stop], w[start:stop], at, scale)
        determinant = s0 * (s2 * s4 - s3 * s3) - s1 * (s1 * s4 - s2 * s3) + s2 * (s1 * s3 - s2 * s2)
        if determinant > 1e-9 * s0 * s0 * s0:
            return (t0 * (s2 * s4 - s3 * s3) - s1 * (t1 * s4 - s3 * t2) + s2 * (t1 * s3 - s2 * t2)) / determinant
    spread = s2 - s1 * s1 / s0
    if scale * np.sqrt(max(spread, 0.0) / s0) > floor:
        return (t0 - (t1 - s1 * t0 / s0) / spread * s1) / s0
    return t0 / s0


@numba.njit(cache=True, nogil=True)
def distances(x: Floats, y: Floats, weight: Floats, at: Floats, span: float, degree: int) -> Floats:
    """Distance of every x from the smooth curve of y over x, within 0 and 1, in every weighted sample.

    Parameters
    ----------
    x : ndarray, shape (points,)
        Rising.
    y : ndarray, shape (points,)
        What is smoothed.
    weight : ndarray, shape (samples, points)
        Weights, 0 for a point that is not in a sample.
    at : ndarray, shape (places,)
        Rising places of fit, the first and last those of x; between them the curve is straight.
    span : float
        Share of the weight that each fit rests on.
    degree : int
        1 for lines, 2 for parabolas.

    Returns
    -------
    ndarray, shape (samples, points)
        Distances.
    """
    floor = max(1e-3 * (x[-1] - x[0]), 1e-12)
    found = np.empty(weight.shape)
    fit = np.empty(at.size)
    for s in range(weight.shape[0]):
        w = weight[s]
        total = w.sum()
        for j in range(at.size):
            value = _local(x, y, w, at[j], _reach(x, w, total, span, at[j]), degree, floor)
            fit[j] = min(1.0, max(0.0, value))
        j = 0
        for i in range(x.size):
            while j < at.size - 2 and x[i] > at[j + 1]:
                j += 1
            if at.size == 1:
                curve = fit[0]
            else:
                part = (x[i] - at[j]) / (at[j + 1] - at[j])
                curve = fit[j] + part * (fit[j + 1] - fit[j])
            found[s, i] = abs(curve - x[i])
    return found


@numba.njit(cache=True, nogil=True)
def weighted_quantiles(values: Floats, weight: Floats, level: float) -> Floats:
    """Quantile of every row of values, each standing there as often as its weight says.

    Parameters
    ----------
    values : ndarray, shape (samples, points)
        Values.
    weight : ndarray, shape (samples, points)
        How often each stands there.
    level : float
        Level, 0 to 1.

    Returns
    -------
    ndarray, shape (samples,)
        With whole weights the quantile, linear between order statistics (R's type 7), of the repeated values.
    """
    found = np.empty(values.shape[0])
    for s in range(values.shape[0]):
        order = np.argsort(values[s])
        place = level * (weight[s].sum() - 1.0)
        under, upper = np.floor(place + 1e-9), np.floor(place + 1e-9) + 1.0
        low = high = values[s, order[-1]]
        gone, first = 0.0, True
        for i in order:
            if weight[s, i] > 0.0:
                gone += weight[s, i]
                if first and gone > under + 1e-9:
                    low, first = values[s, i], False
                if gone > upper + 1e-9:
                    high = values[s, i]
                    break
        found[s] = low + max(0.0, place - under) * (high - low)
    return found
