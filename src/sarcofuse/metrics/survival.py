"""Time to an event with censoring: Kaplan-Meier, log-rank, cumulative incidence where something else may come first."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from sarcofuse.metrics.goodness import GoodnessTest
from sarcofuse.metrics.roc import Bools, Floats, labels


@dataclass(frozen=True, slots=True, eq=False)
class StepCurve:
    """A curve that changes at the observed times only.

    Attributes
    ----------
    time : ndarray, shape (times,)
        Distinct observed times, rising.
    value : ndarray, shape (times,)
        The curve from each time on.
    low, high : ndarray, shape (times,)
        Its pointwise interval; NaN where there is none.
    at_risk : ndarray, shape (times,)
        Patients still watched just before each time.
    start : float
        The curve before the first time.
    """

    time: Floats
    value: Floats
    low: Floats
    high: Floats
    at_risk: Floats
    start: float

    def at(self, times: ArrayLike, *, before: bool = False) -> Floats:
        """Read the curve off.

        Parameters
        ----------
        times : array-like, shape (n,)
            When.
        before : bool
            Just before each time, instead of at it.

        Returns
        -------
        ndarray, shape (n,)
            The curve; beyond the last time its last value.
        """
        place = np.searchsorted(self.time, np.asarray(times, dtype=np.float64), side="left" if before else "right")
        return np.concatenate([[self.start], self.value])[place]


def timed(time: ArrayLike, event: ArrayLike) -> tuple[Floats, Bools]:
    """Give times and events as arrays of one length.

    Parameters
    ----------
    time : array-like, shape (patients,)
        Time of the event, or of the last sight without it.
    event : array-like of 0 and 1, shape (patients,)
        Whether the event was seen.

    Returns
    -------
    time : ndarray of float64
        The times.
    event : ndarray of bool
        The events.

    Raises
    ------
    ValueError
        If they differ in length, or a time is negative or not a number.
    """
    when, seen = np.asarray(time, dtype=np.float64), labels(event)
    if when.shape != seen.shape:
        message = f"{seen.shape[0]} events but times of shape {when.shape}"
        raise ValueError(message)
    if not np.isfinite(when).all() or (when < 0).any():
        message = f"times must be numbers of at least 0, found {when[~np.isfinite(when) | (when < 0)][:5].tolist()}"
        raise ValueError(message)
    return when, seen


def _table(when: Floats, *marks: Bools) -> tuple[Floats, Floats, list[Floats]]:
    """Give the distinct times, patients at risk just before each, and how often each mark falls on each."""
    times, inverse = np.unique(when, return_inverse=True)
    total = np.bincount(inverse, minlength=times.size)
    at_risk = (when.size - np.concatenate([[0], np.cumsum(total)[:-1]])).astype(np.float64) if times.size else np.empty(0)
    return times, at_risk, [np.bincount(inverse[mark], minlength=times.size).astype(np.float64) for mark in marks]


def kaplan_meier(time: ArrayLike, event: ArrayLike, confidence: float = 0.95) -> StepCurve:
    """Share of patients without the event over time [1]_.

    Parameters
    ----------
    time : array-like, shape (patients,)
        Time of the event, or of the last sight without it. At equal times events come before censoring.
    event : array-like of 0 and 1, shape (patients,)
        Whether the event was seen.
    confidence : float
        Coverage of the pointwise intervals.

    Returns
    -------
    StepCurve
        With Greenwood's variance on the scale log(-log) [2]_; no interval where the curve is 1 or 0.

    References
    ----------
    .. [1] Kaplan EL, Meier P. Nonparametric estimation from incomplete observations. J Am Stat Assoc 1958;53:457-481.
    .. [2] Kalbfleisch JD, Prentice RL. The statistical analysis of failure time data. Wiley 1980, section 1.3.
    """
    when, seen = timed(time, event)
    times, at_risk, (deaths,) = _table(when, seen)
    survival: Floats = np.cumprod(1.0 - deaths / at_risk, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = survival**2 * np.cumsum(deaths / (at_risk * (at_risk - deaths)))
    low, high = _loglog(survival, variance, confidence)
    return StepCurve(times, survival, low, high, at_risk, 1.0)


def _loglog(share: Floats, variance: Floats, confidence: float) -> tuple[Floats, Floats]:
    """Interval of a share whose log(-log) is taken as normal."""
    from scipy.special import ndtri

    sound = (share > 0) & (share < 1) & np.isfinite(variance)
    held = np.where(sound, share, 0.5)
    half = float(ndtri(0.5 + confidence / 2.0)) * np.sqrt(np.where(sound, variance, 0.0)) / (held * np.abs(np.log(held)))
    low, high = held ** np.exp(half), held ** np.exp(-half)
    return np.where(sound, low, np.nan), np.where(sound, high, np.nan)


def cumulative_incidence(time: ArrayLike, cause: ArrayLike, of: int = 1, confidence: float = 0.95) -> StepCurve:
    """Share of patients who have had an event of one cause, where others (death, say) may come first [1]_.

    One less Kaplan-Meier with the other causes taken as censoring would be too high: those patients can no longer have the event.

    Parameters
    ----------
    time : array-like, shape (patients,)
        Time of the first event of any cause, or of the last sight without any.
    cause : array-like of int, shape (patients,)
        0 without any event, else the cause.
    of : int
        The cause in question.
    confidence : float
        Coverage of the pointwise intervals.

    Returns
    -------
    StepCurve
        Aalen and Johansen's estimate, with the variance of [2]_ on the scale log(-log); no interval where the curve is 0 or 1.

    References
    ----------
    .. [1] Aalen OO, Johansen S. An empirical transition matrix for non-homogeneous Markov chains based on censored observations. Scand J Stat 1978;5:141-150.
    .. [2] Marubini E, Valsecchi MG. Analysing survival data from clinical trials and observational studies. Wiley 1995, section 10.3.
    """
    kinds = np.asarray(cause, dtype=np.int64)
    when, _ = timed(time, kinds != 0)
    times, at_risk, (any_cause, wanted) = _table(when, kinds != 0, kinds == of)
    free = np.concatenate([[1.0], np.cumprod(1.0 - any_cause / at_risk)[:-1]]) if times.size else np.empty(0)
    share = np.cumsum(free * wanted / at_risk)
    with np.errstate(divide="ignore", invalid="ignore"):
        leaving = np.where(at_risk > any_cause, any_cause / (at_risk * (at_risk - any_cause)), 0.0)
    entering, crossed = free**2 * wanted * (at_risk - wanted) / at_risk**3, free * wanted / at_risk**2
    first = share**2 * np.cumsum(leaving) - 2.0 * share * np.cumsum(share * leaving) + np.cumsum(share**2 * leaving)
    variance = first + np.cumsum(entering) - 2.0 * (share * np.cumsum(crossed) - np.cumsum(share * crossed))
    low, high = _loglog(share, np.maximum(variance, 0.0), confidence)
    return StepCurve(times, share, low, high, at_risk, 0.0)


def log_rank(time: ArrayLike, event: ArrayLike, group: ArrayLike) -> GoodnessTest:
    """Test whether groups of patients have events at the same rate [1]_.

    Parameters
    ----------
    time : array-like, shape (patients,)
        Time of the event, or of the last sight without it.
    event : array-like of 0 and 1, shape (patients,)
        Whether the event was seen.
    group : array-like, shape (patients,)
        Group of each patient.

    Returns
    -------
    GoodnessTest
        Chi-squared with one degree of freedom less than groups; NaN with one group, or without events.

    References
    ----------
    .. [1] Mantel N. Evaluation of survival data and two new rank order statistics arising in its consideration. Cancer Chemother Rep 1966;50:163-170.
    """
    from scipy.special import chdtrc

    when, seen = timed(time, event)
    names, member = np.unique(np.asarray(group), return_inverse=True)
    freedom = max(names.size - 1, 0)
    if names.size < 2 or not seen.any():
        return GoodnessTest(float("nan"), freedom, float("nan"), int(names.size))
    times = np.unique(when[seen])
    watched = np.array([[(when[member == k] >= t).sum() for k in range(names.size)] for t in times], dtype=np.float64)
    died = np.array([[((when == t) & seen & (member == k)).sum() for k in range(names.size)] for t in times], dtype=np.float64)
    n, d = watched.sum(axis=1), died.sum(axis=1)
    share = watched / n[:, None]
    gap = (died - d[:, None] * share).sum(axis=0)[:-1]
    factor = np.where(n > 1, d * (n - d) / np.maximum(n - 1, 1), 0.0)
    spread = np.diag((factor[:, None] * share).sum(axis=0)) - (factor[:, None] * share).T @ share
    statistic = float(gap @ np.linalg.pinv(spread[:-1, :-1]) @ gap)
    return GoodnessTest(statistic, freedom, float(chdtrc(freedom, statistic)), int(names.size))
