"""ROC curve, its area, and what can be said about the area's error (DeLong)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure and its interval.

    Attributes
    ----------
    value : float
        The figure; NaN where it is not defined.
    low, high : float
        Ends of the interval; NaN where there is none.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class AucTest:
    """Comparison of two AUCs on the same patients.

    Attributes
    ----------
    difference : Estimate
        First AUC minus second, with its Wald interval.
    z : float
        The difference over its standard error.
    p : float
        Two-sided p-value.
    """

    difference: Estimate
    z: float
    p: float


def labels(y: ArrayLike) -> Bools:
    """Give the outcome as booleans.

    Parameters
    ----------
    y : array-like of 0 and 1, shape (patients,)
        Outcome.

    Returns
    -------
    ndarray of bool, shape (patients,)
        True for an event.

    Raises
    ------
    ValueError
        If there are other values than 0 and 1, or more than one axis.
    """
    values = np.asarray(y)
    if values.ndim != 1 or not np.isin(values, (0, 1)).all():
        message = f"outcomes must be a list of 0 and 1, found shape {values.shape} with values {np.unique(values)[:5]}"
        raise ValueError(message)
    return values.astype(bool)


def pair(y: ArrayLike, score: ArrayLike) -> tuple[Bools, Floats]:
    """Give outcome and score as arrays of one length.

    Parameters
    ----------
    y : array-like of 0 and 1, shape (patients,)
        Outcome.
    score : array-like, shape (patients,)
        Score or risk.

    Returns
    -------
    event : ndarray of bool
        True for an event.
    values : ndarray of float64
        The scores.

    Raises
    ------
    ValueError
        If they differ in length, or the outcome is not 0 and 1.
    """
    event, values = labels(y), np.asarray(score, dtype=np.float64)
    if values.shape != event.shape:
        message = f"{event.shape[0]} outcomes but scores of shape {values.shape}"
        raise ValueError(message)
    return event, values


def roc_curve(y: ArrayLike, score: ArrayLike) -> tuple[Floats, Floats, Floats]:
    """Give the points of the ROC curve, one a distinct score, from (0, 0) to (1, 1).

    Parameters
    ----------
    y : array-like of 0 and 1, shape (patients,)
        Outcome.
    score : array-like, shape (patients,)
        Higher means more likely an event.

    Returns
    -------
    fpr, tpr : ndarray, shape (points,)
        False and true positive rate when every score at or above the threshold is called positive; NaN with one class.
    threshold : ndarray, shape (points,)
        Thresholds, from infinity down.
    """
    event, values = pair(y, score)
    order = np.argsort(-values, kind="stable")
    ranked, hit = values[order], event[order]
    last = np.append(ranked[1:] != ranked[:-1], [True] * min(1, ranked.size)).astype(bool)
    tp = np.concatenate([[0.0], np.cumsum(hit)[last]])
    fp = np.concatenate([[0.0], np.cumsum(~hit)[last]])
    m, n = int(event.sum()), int((~event).sum())
    return fp / n if n else fp * np.nan, tp / m if m else tp * np.nan, np.concatenate([[np.inf], ranked[last]])


def midranks(values: ArrayLike) -> Floats:
    """Rank from 1, equal values sharing the mean of their ranks.

    Parameters
    ----------
    values : array-like, shape (n,)
        What to rank.

    Returns
    -------
    ndarray, shape (n,)
        Ranks.

    Examples
    --------
    >>> midranks([10, 20, 20, 5]).tolist()
    [2.0, 3.5, 3.5, 1.0]
    """
    _, inverse, counts = np.unique(np.asarray(values, dtype=np.float64), return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks: Floats = (ends - (counts - 1) / 2.0)[inverse]
    return ranks


def auc(y: ArrayLike, score: ArrayLike) -> float:
    """Area under the ROC curve: the share of (event, non-event) pairs in the right order, ties counting half.

    Parameters
    ----------
    y : array-like of 0 and 1, shape (patients,)
        Outcome.
    score : array-like, shape (patients,)
        Higher means more likely an event.

    Returns
    -------
    float
        Mann-Whitney's U over the number of pairs [1]_; NaN with one class or a score that is not a number.

    References
    ----------
    .. [1] Hanley JA, McNeil BJ. The meaning and use of the area under a receiver operating characteristic (ROC) curve. Radiology 1982;143:29-36.

    Examples
    --------
    >>> auc([0, 0, 1, 1], [0.1, 0.4, 0.4, 0.8])
    0.875
    """
    event, values = pair(y, score)
    m, n = int(event.sum()), int((~event).sum())
    if not m or not n or np.isnan(values).any():
        return float("nan")
    return float((midranks(values)[event].sum() - m * (m + 1) / 2.0) / (m * n))


def delong(y: ArrayLike, scores: ArrayLike) -> tuple[Floats, Floats]:
    """AUCs of several scores of the same patients, and their covariance by DeLong's method.

    Parameters
    ----------
    y : array-like of 0 and 1, shape (patients,)
        Outcome.
    scores : array-like, shape (scores, patients)
        One row a score.

    Returns
    -------
    aucs : ndarray, shape (scores,)
        Areas.
    covariance : ndarray, shape (scores, scores)
        Estimated covariance of the areas [1]_ through midranks [2]_; NaN with fewer than two patients in a class.

    References
    ----------
    .. [1] DeLong ER, DeLong DM, Clarke-Pearson DL. Comparing the areas under two or more correlated receiver operating characteristic curves. Biometrics 1988;44:837-845.
    .. [2] Sun X, Xu W. Fast implementation of DeLong's algorithm. IEEE Signal Processing Letters 2014;21:1389-1393.
    """
    rows = np.atleast_2d(np.asarray(scores, dtype=np.float64))
    pairs = [pair(y, row) for row in rows]
    event = pairs[0][0]
    m, n, k = int(event.sum()), int((~event).sum()), len(rows)
    aucs = np.array([auc(event, row) for row in rows])
    if m < 2 or n < 2 or np.isnan(aucs).any():
        return aucs, np.full((k, k), np.nan)
    every = np.array([midranks(row) for row in rows])
    above = (every[:, event] - np.array([midranks(row[event]) for row in rows])) / n
    below = 1.0 - (every[:, ~event] - np.array([midranks(row[~event]) for row in rows])) / m
    return aucs, _covariance(above) / m + _covariance(below) / n


def _covariance(rows: Floats) -> Floats:
    centred = rows - rows.mean(axis=1, keepdims=True)
    products: Floats = np.array([[float((a * b).sum()) for b in centred] for a in centred])
    products /= rows.shape[1] - 1
    return products


def delong_interval(y: ArrayLike, score: ArrayLike, confidence: float = 0.95) -> Estimate:
    """AUC with DeLong's interval.

    Parameters
    ----------
    y : array-like of 0 and 1, shape (patients,)
        Outcome.
    score : array-like, shape (patients,)
        Higher means more likely an event.
    confidence : float
        Coverage.

    Returns
    -------
    Estimate
        The area and its Wald interval within 0 and 1, see `delong`.
    """
    areas, covariance = delong(y, [np.asarray(score, dtype=np.float64)])
    value, half = float(areas[0]), _quantile(confidence) * float(np.sqrt(covariance[0, 0]))
    return Estimate(value, float(np.clip(value - half, 0.0, 1.0)), float(np.clip(value + half, 0.0, 1.0)))


def delong_test(y: ArrayLike, first: ArrayLike, second: ArrayLike, confidence: float = 0.95) -> AucTest:
    """Compare the AUCs of two scores of the same patients (DeLong's paired test).

    Parameters
    ----------
    y : array-like of 0 and 1, shape (patients,)
        Outcome.
    first, second : array-like, shape (patients,)
        Scores.
    confidence : float
        Coverage of the interval of the difference.

    Returns
    -------
    AucTest
        Difference, z and p, see `delong`. Scores that rank the patients alike give p = 1; where the test is not defined everything but the difference is NaN.
    """
    from scipy.special import ndtr

    areas, covariance = delong(y, [np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)])
    difference = float(areas[0] - areas[1])
    variance = float(covariance[0, 0] + covariance[1, 1] - 2.0 * covariance[0, 1])
    if np.isnan(variance) or (variance <= 1e-15 and abs(difference) > 1e-12):
        return AucTest(Estimate(difference, float("nan"), float("nan")), float("nan"), float("nan"))
    if variance <= 1e-15:
        return AucTest(Estimate(difference, difference, difference), 0.0, 1.0)
    error = float(np.sqrt(variance))
    z, half = difference / error, _quantile(confidence) * error
    return AucTest(Estimate(difference, difference - half, difference + half), z, float(2.0 * ndtr(-abs(z))))


def newcombe_interval(area: float, events: int, others: int, confidence: float = 0.95) -> Estimate:
    """Score-like interval of an AUC from the area and the class sizes alone.

    It keeps a width where the area is 0 or 1 and DeLong's and the bootstrap's intervals have none.

    Parameters
    ----------
    area : float
        The AUC.
    events, others : int
        Patients with and without the event.
    confidence : float
        Coverage.

    Returns
    -------
    Estimate
        The area with the interval of Newcombe's method 5 [1]_: all areas t whose distance to `area` is at most z times the standard error that Hanley and McNeil
        give for t, with both class sizes replaced by their mean in its numerator.

    References
    ----------
    .. [1] Newcombe RG. Confidence intervals for an effect size measure based on the Mann-Whitney statistic. Part 2: asymptotic methods and evaluation. Stat Med 2006;25:559-573.
    """
    if not events or not others or np.isnan(area):
        return Estimate(area, float("nan"), float("nan"))
    z, star = _quantile(confidence), (events + others) / 2.0 - 1.0

    def excess(t: float) -> float:
        variance = t * (1.0 - t) * (1.0 + star * ((1.0 - t) / (2.0 - t) + t / (1.0 + t))) / (events * others)
        return abs(t - area) - z * float(np.sqrt(variance))

    ends = []
    for outer in (0.0, 1.0):
        inside, outside = area, outer
        for _ in range(60):
            middle = (inside + outside) / 2.0
            inside, outside = (inside, middle) if excess(middle) > 0 else (middle, outside)
        ends.append(outside)
    return Estimate(area, ends[0], ends[1])


def _quantile(confidence: float) -> float:
    from scipy.special import ndtri

    return float(ndtri(0.5 + confidence / 2.0))
