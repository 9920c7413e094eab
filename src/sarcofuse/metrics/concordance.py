"""How well a risk foretells when: Harrell's and Uno's concordance, time-dependent AUC, Brier score with censoring."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from sarcofuse.metrics.resampling import weighted_auc
from sarcofuse.metrics.roc import Bools, Floats
from sarcofuse.metrics.survival import StepCurve, timed


def censoring(time: ArrayLike, event: ArrayLike) -> StepCurve:
    """Share of patients still watched over time: Kaplan-Meier with censoring as the event.

    Parameters
    ----------
    time : array-like, shape (patients,)
        Time of the event, or of the last sight without it.
    event : array-like of 0 and 1, shape (patients,)
        Whether the event was seen. A patient whose event falls on a time is not at risk of being censored at it.

    Returns
    -------
    StepCurve
        The curve, without interval.
    """
    when, seen = timed(time, event)
    times, inverse = np.unique(when, return_inverse=True)
    lost, died = np.bincount(inverse[~seen], minlength=times.size), np.bincount(inverse[seen], minlength=times.size)
    before = np.concatenate([[0], np.cumsum(lost + died)[:-1]]) if times.size else np.empty(0)
    at_risk = (when.size - before - died).astype(np.float64)
    share: Floats = np.cumprod(1.0 - np.divide(lost, at_risk, out=np.zeros(times.size), where=at_risk > 0), dtype=np.float64)
    none = np.full(times.size, np.nan)
    return StepCurve(times, share, none, none, at_risk, 1.0)


def _pairs(when: Floats, seen: Bools, score: Floats, weight: Floats, counts: Floats) -> Floats:
    """Concordance of the pairs whose first patient has the event while the other is still free of it, in every sample."""
    from sarcofuse.metrics.ranks import concordant

    if not when.size:
        return np.full(len(counts), np.nan)
    order = np.lexsort((seen, -when))  # the latest first; at equal times those without the event first
    _, rank = np.unique(score, return_inverse=True)
    right, all_pairs = concordant(when[order], seen[order], rank[order], weight[order], np.ascontiguousarray(counts[:, order], dtype=np.float64))
    found: Floats = np.divide(right, all_pairs, out=np.full(len(counts), np.nan), where=all_pairs > 0)
    return found


def harrell_c(time: ArrayLike, event: ArrayLike, risk: ArrayLike, counts: Floats | None = None) -> Floats:
    """Harrell's concordance: of the pairs in which it is known who had the event first, the share whose risks say so [1]_.

    Parameters
    ----------
    time : array-like, shape (patients,)
        Time of the event, or of the last sight without it.
    event : array-like of 0 and 1, shape (patients,)
        Whether the event was seen.
    risk : array-like, shape (patients,)
        Higher means sooner. Equal risks count half.
    counts : ndarray, shape (samples, patients), optional
        How often each patient stands in each (bootstrap) sample; by default one sample with everybody once.

    Returns
    -------
    ndarray, shape (samples,)
        NaN where no pair can be compared. Two events at the same time are no pair; an event and a censoring at the same time are.

    References
    ----------
    .. [1] Harrell FE, Lee KL, Mark DB. Multivariable prognostic models. Stat Med 1996;15:361-387.
    """
    when, seen = timed(time, event)
    return _pairs(when, seen, np.asarray(risk, dtype=np.float64), np.ones(when.size), np.ones((1, when.size)) if counts is None else counts)


def uno_c(time: ArrayLike, event: ArrayLike, risk: ArrayLike, watched: StepCurve, until: float | None = None, counts: Floats | None = None) -> Floats:
    """Uno's concordance, whose value does not depend on how patients are censored [1]_.

    Parameters
    ----------
    time : array-like, shape (patients,)
        Time of the event, or of the last sight without it.
    event : array-like of 0 and 1, shape (patients,)
        Whether the event was seen.
    risk : array-like, shape (patients,)
        Higher means sooner. Equal risks count half.
    watched : StepCurve
        From `censoring`, of the training patients or of these; held fixed over the samples.
    until : float, optional
        Only events before this time count; by default, all before the time at which nobody is watched any more.
    counts : ndarray, shape (samples, patients), optional
        How often each patient stands in each (bootstrap) sample; by default one sample with everybody once.

    Returns
    -------
    ndarray, shape (samples,)
        NaN where no pair can be compared.

    References
    ----------
    .. [1] Uno H, Cai T, Pencina MJ, D'Agostino RB, Wei LJ. On the C-statistics for evaluating overall adequacy of risk prediction procedures with censored survival data. Stat
       Med 2011;30:1105-1117.
    """
    when, seen = timed(time, event)
    weight = _inverse(watched.at(when, before=True)) ** 2
    if until is not None:
        weight = np.where(when < until, weight, 0.0)
    return _pairs(when, seen, np.asarray(risk, dtype=np.float64), weight, np.ones((1, when.size)) if counts is None else counts)


def timed_auc(time: ArrayLike, event: ArrayLike, risk: ArrayLike, at: float, watched: StepCurve, counts: Floats | None = None) -> Floats:
    """Time-dependent AUC: how well the risk parts those with the event by a time from those still free of it (cumulative, dynamic) [1]_.

    Parameters
    ----------
    time : array-like, shape (patients,)
        Time of the event, or of the last sight without it.
    event : array-like of 0 and 1, shape (patients,)
        Whether the event was seen.
    risk : array-like, shape (patients,)
        Higher means sooner. Equal risks count half.
    at : float
        The time.
    watched : StepCurve
        From `censoring`, of the training patients or of these; held fixed over the samples.
    counts : ndarray, shape (samples, patients), optional
        How often each patient stands in each (bootstrap) sample; by default one sample with everybody once.

    Returns
    -------
    ndarray, shape (samples,)
        NaN where nobody has had the event by then, or nobody is left.

    References
    ----------
    .. [1] Uno H, Cai T, Tian L, Wei LJ. Evaluating prediction rules for t-year survivors with censored regression models. J Am Stat Assoc 2007;102:527-537.
    """
    when, seen = timed(time, event)
    weight = np.ones((1, when.size)) if counts is None else counts
    early = np.where(seen & (when <= at), _inverse(watched.at(when, before=True)), 0.0)
    return weighted_auc(weight * early, weight * (when > at), np.asarray(risk, dtype=np.float64))


def timed_brier(time: ArrayLike, event: ArrayLike, survival: ArrayLike, at: ArrayLike, watched: StepCurve, counts: Floats | None = None) -> Floats:
    """Brier score of predicted survival at given times, censored patients made up for by their likes [1]_.

    Parameters
    ----------
    time : array-like, shape (patients,)
        Time of the event, or of the last sight without it.
    event : array-like of 0 and 1, shape (patients,)
        Whether the event was seen.
    survival : array-like, shape (patients, times)
        Predicted probability to be free of the event at each time.
    at : array-like, shape (times,)
        The times.
    watched : StepCurve
        From `censoring`, of the training patients or of these; held fixed over the samples.
    counts : ndarray, shape (samples, patients), optional
        How often each patient stands in each (bootstrap) sample; by default one sample with everybody once.

    Returns
    -------
    ndarray, shape (samples, times)
        NaN beyond the time at which nobody is watched any more.

    References
    ----------
    .. [1] Graf E, Schmoor C, Sauerbrei W, Schumacher M. Assessment and comparison of prognostic classification schemes for survival data. Stat Med 1999;18:2529-2545.
    """
    when, seen = timed(time, event)
    free, when_asked = np.asarray(survival, dtype=np.float64), np.asarray(at, dtype=np.float64)
    weight = np.ones((1, when.size)) if counts is None else counts
    had = (seen[:, None] & (when[:, None] <= when_asked)) * _inverse(watched.at(when, before=True))[:, None]
    still = (when[:, None] > when_asked) * _inverse(watched.at(when_asked))
    error = free**2 * had + (1.0 - free) ** 2 * still
    scores: Floats = (weight @ error) / weight.sum(axis=1, keepdims=True)
    scores[:, watched.at(when_asked) <= 0] = np.nan
    return scores


def integrated_brier(scores: ArrayLike, at: ArrayLike) -> Floats:
    """Mean of Brier scores over time, by trapezoids.

    Parameters
    ----------
    scores : array-like, shape (samples, times)
        From `timed_brier`.
    at : array-like, shape (times,)
        Their times, rising, at least two.

    Returns
    -------
    ndarray, shape (samples,)
        The integral over the span of the times, divided by it.
    """
    times = np.asarray(at, dtype=np.float64)
    mean: Floats = np.trapezoid(np.asarray(scores, dtype=np.float64), times, axis=1) / (times[-1] - times[0])
    return mean


def _inverse(share: Floats) -> Floats:
    """1 over the share still watched; 0 where nobody is."""
    return np.divide(1.0, share, out=np.zeros(share.shape), where=share > 0)
