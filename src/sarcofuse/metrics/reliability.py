"""Reliability of repeated measurements: intraclass correlation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Form = Literal["2,1", "3,1"]


@dataclass(frozen=True, slots=True, eq=False)
class Reliability:
    """Intraclass correlations and their intervals.

    Attributes
    ----------
    value : ndarray of float64, shape (features,)
        The correlations; at most 1, NaN where they are not defined.
    low, high : ndarray of float64, shape (features,)
        Ends of the intervals.
    subjects : ndarray of int64, shape (features,)
        Subjects that each figure rests on.
    """

    value: Floats
    low: Floats
    high: Floats
    subjects: NDArray[np.int64]


def icc(ratings: ArrayLike, form: Form = "2,1", confidence: float = 0.95) -> Reliability:
    """Intraclass correlation of single measurements, with the interval from the F distribution.

    ICC(2,1) [1]_, which is ICC(A,1) of [2]_, takes raters for a sample of all raters and asks for absolute agreement: one that is always higher lowers it. ICC(3,1), or
    ICC(C,1), takes the raters as they are and asks for consistency alone.

    Parameters
    ----------
    ratings : array-like, shape (subjects, raters) or (subjects, raters, features)
        Every rater's measurement of every subject. Subjects with a value that is not finite are left out, feature by feature.
    form : {'2,1', '3,1'}
        Which.
    confidence : float
        Coverage of the interval.

    Returns
    -------
    Reliability
        One figure a feature. NaN with fewer than two subjects, and where nothing differs; where raters alone differ, ICC(2,1) is 0 without an interval and ICC(3,1) NaN.

    Raises
    ------
    ValueError
        If there are fewer than two raters, or the array has another number of axes.

    References
    ----------
    .. [1] Shrout PE, Fleiss JL. Intraclass correlations: uses in assessing rater reliability. Psychol Bull 1979;86:420-428.
    .. [2] McGraw KO, Wong SP. Forming inferences about some intraclass correlation coefficients. Psychol Methods 1996;1:30-46, table 7; correction 1996;1:390.

    Examples
    --------
    >>> judges = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]
    >>> float(icc(judges).value[0].round(2)), float(icc(judges, "3,1").value[0].round(2))
    (0.29, 0.71)
    """
    values = np.asarray(ratings, dtype=np.float64)
    if values.ndim == 2:
        values = values[:, :, None]
    if values.ndim != 3 or values.shape[1] < 2 or form not in ("2,1", "3,1"):
        message = f"ICC(2,1) and ICC(3,1) need subjects x raters (x features) with at least 2 raters, found ICC({form}) of shape {values.shape}"
        raise ValueError(message)
    complete = np.isfinite(values).all(axis=1)
    count = values.shape[2]
    found = np.full((3, count), np.nan)
    patterns, which = np.unique(complete, axis=1, return_inverse=True)
    for p, rows in enumerate(patterns.T):
        columns = np.flatnonzero(which.ravel() == p)
        if np.count_nonzero(rows) >= 2:
            found[:, columns] = _estimate(values[np.ix_(rows, np.arange(values.shape[1]), columns)], form, confidence)
    return Reliability(found[0], found[1], found[2], complete.sum(axis=0))


def _estimate(values: Floats, form: Form, confidence: float) -> Floats:
    """Give value, low and high, one column a feature."""
    n, k = values.shape[:2]
    between, raters, rest = _mean_squares(values)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        if form == "3,1":
            value = (between - rest) / (between + (k - 1) * rest)
            low, high = _consistency(between, rest, n, k, confidence)
        else:
            value = (between - rest) / (between + (k - 1) * rest + k * (raters - rest) / n)
            low, high = _agreement(value, between, raters, rest, (n, k), confidence)
    exact = (rest == 0.0) & (between > 0.0) & ((raters == 0.0) | (form == "3,1"))
    undefined = (between == 0.0) & (rest == 0.0) & ((raters == 0.0) | (form == "3,1"))
    found = np.where(exact, 1.0, np.stack([value, low, high]))
    return np.where(undefined, np.nan, np.minimum(found, 1.0))


def _mean_squares(values: Floats) -> tuple[Floats, Floats, Floats]:
    """Give the mean squares between subjects, between raters and of the residual; those that are rounding alone are 0."""
    n, k = values.shape[:2]
    centred = values - values.mean(axis=(0, 1))
    of_subject, of_rater = centred.mean(axis=1), centred.mean(axis=0)
    between = k * (of_subject**2).sum(axis=0) / (n - 1)
    raters = n * (of_rater**2).sum(axis=0) / (k - 1)
    rest = ((centred - of_subject[:, None] - of_rater[None]) ** 2).sum(axis=(0, 1)) / ((n - 1) * (k - 1))
    rounding = (np.finfo(np.float64).eps * 8.0 * np.abs(values).max(axis=(0, 1))) ** 2
    return tuple(np.where(m <= rounding * n * k, 0.0, m) for m in (between, raters, rest))  # type: ignore[return-value]


def _consistency(between: Floats, rest: Floats, n: int, k: int, confidence: float) -> tuple[Floats, Floats]:
    from scipy.stats import f

    tail, ratio, within = 0.5 + confidence / 2.0, between / rest, (n - 1) * (k - 1)
    lower, upper = ratio / f.ppf(tail, n - 1, within), ratio * f.ppf(tail, within, n - 1)
    return (lower - 1.0) / (lower + k - 1.0), (upper - 1.0) / (upper + k - 1.0)


def _agreement(value: Floats, between: Floats, raters: Floats, rest: Floats, size: tuple[int, int], confidence: float) -> tuple[Floats, Floats]:
    from scipy.stats import f

    (n, k), tail = size, 0.5 + confidence / 2.0
    a = k * value / (n * (1.0 - value))
    b = 1.0 + k * value * (n - 1) / (n * (1.0 - value))
    freedom = (a * raters + b * rest) ** 2 / ((a * raters) ** 2 / (k - 1) + (b * rest) ** 2 / ((n - 1) * (k - 1)))
    lower, upper = f.ppf(tail, n - 1, freedom), f.ppf(tail, freedom, n - 1)
    spread = k * raters + (k * n - k - n) * rest
    return n * (between - lower * rest) / (lower * spread + n * between), n * (upper * between - rest) / (spread + n * upper * between)
