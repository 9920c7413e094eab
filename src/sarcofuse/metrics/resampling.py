"""Bootstrap intervals, folds and correction for many tests."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sarcofuse.metrics.roc import Estimate, Floats, labels, pair


def stratified_folds(y: ArrayLike, folds: int, seed: int | list[int]) -> NDArray[np.int64]:
    """Deal patients into folds so that every fold has its share of events and of patients.

    Parameters
    ----------
    y : array-like of 0 and 1, shape (patients,)
        Outcome, in an order that does not depend on chance (by patient_id, say).
    folds : int
        Folds wanted. There are never more than patients in the smaller class, so that each fold holds both classes.
    seed : int or list of int
        Seed of the dealing.

    Returns
    -------
    ndarray of int, shape (patients,)
        Fold of each patient, from 0.

    Raises
    ------
    ValueError
        If a class has fewer than two patients.
    """
    event = labels(y)
    smaller = min(int(event.sum()), int((~event).sum()))
    if smaller < 2:
        message = f"folds need at least 2 events and 2 non-events, found {int(event.sum())} and {int((~event).sum())}"
        raise ValueError(message)
    count, rng = min(folds, smaller), np.random.default_rng(seed)
    order = np.concatenate([rng.permutation(np.flatnonzero(event)), rng.permutation(np.flatnonzero(~event))])
    fold = np.empty(event.size, dtype=np.int64)
    fold[order] = np.arange(event.size) % count
    return fold


def stratified_counts(y: ArrayLike, samples: int, seed: int | list[int]) -> Floats:
    """Draw bootstrap samples within each class.

    Parameters
    ----------
    y : array-like of 0 and 1, shape (patients,)
        Outcome.
    samples : int
        Samples.
    seed : int or list of int
        Seed of the draw.

    Returns
    -------
    ndarray, shape (samples, patients)
        How often each patient stands in each sample; every sample has as many events and as many non-events as there are.
    """
    event, rng = labels(y), np.random.default_rng(seed)
    counts = np.zeros((samples, event.size))
    for group in (np.flatnonzero(event), np.flatnonzero(~event)):
        if group.size:
            drawn = rng.integers(0, group.size, size=(samples, group.size)) + np.arange(samples)[:, None] * group.size
            counts[:, group] = np.bincount(drawn.ravel(), minlength=samples * group.size).reshape(samples, group.size)
    return counts


def bootstrap_auc(y: ArrayLike, score: ArrayLike, counts: Floats) -> Floats:
    """AUC in every bootstrap sample.

    Parameters
    ----------
    y : array-like of 0 and 1, shape (patients,)
        Outcome.
    score : array-like, shape (patients,)
        Higher means more likely an event.
    counts : ndarray, shape (samples, patients)
        From `stratified_counts`.

    Returns
    -------
    ndarray, shape (samples,)
        Areas, ties counting half; NaN with one class.
    """
    event, values = pair(y, score)
    if event.all() or not event.any() or np.isnan(values).any():
        return np.full(len(counts), np.nan)
    return weighted_auc(np.where(event, counts, 0.0), np.where(event, 0.0, counts), values)


def weighted_auc(events: Floats, others: Floats, score: ArrayLike) -> Floats:
    """AUC where every patient stands for so many with the event and so many without it.

    Parameters
    ----------
    events, others : ndarray, shape (samples, patients)
        Weights of each patient in each sample.
    score : array-like, shape (patients,)
        Higher means more likely an event.

    Returns
    -------
    ndarray, shape (samples,)
        Areas, ties counting half; NaN without weight on either side.
    """
    values = np.asarray(score, dtype=np.float64)
    if not values.size:
        return np.full(len(events), np.nan)
    order = np.argsort(values, kind="stable")
    ranked = values[order]
    last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], np.True_))
    found = np.cumsum(events[:, order], axis=1)[:, last]  # up to each distinct score
    passed = np.cumsum(others[:, order], axis=1)[:, last]
    step = np.diff(found, axis=1, prepend=0.0)
    below = np.concatenate([np.zeros((len(events), 1)), passed[:, :-1]], axis=1)
    pairs = 2.0 * found[:, -1] * passed[:, -1]
    areas: Floats = np.divide((step * (below + passed)).sum(axis=1), pairs, out=np.full(len(events), np.nan), where=pairs > 0)
    return areas


def percentile_interval(value: float, samples: ArrayLike, confidence: float = 0.95) -> Estimate:
    """Percentile interval of a bootstrapped figure [1]_.

    Parameters
    ----------
    value : float
        The figure itself.
    samples : array-like, shape (samples,)
        The figure in each bootstrap sample.
    confidence : float
        Coverage.

    Returns
    -------
    Estimate
        Without an interval (NaN) where the figure is undefined, or is undefined in more than one sample of twenty.

    References
    ----------
    .. [1] Efron B, Tibshirani RJ. An introduction to the bootstrap. Chapman & Hall 1993, chapter 13.
    """
    drawn = np.asarray(samples, dtype=np.float64)
    defined = drawn[np.isfinite(drawn)]
    if np.isnan(value) or defined.size < 0.95 * drawn.size or not defined.size:
        return Estimate(float(value), float("nan"), float("nan"))
    low, high = np.quantile(defined, [0.5 - confidence / 2.0, 0.5 + confidence / 2.0])
    return Estimate(float(value), float(low), float(high))


def holm(p: ArrayLike) -> Floats:
    """Adjust p-values for their number by Holm's step-down method [1]_.

    Parameters
    ----------
    p : array-like, shape (tests,)
        P-values; NaN for a test that could not be done, which then counts for nothing.

    Returns
    -------
    ndarray, shape (tests,)
        Adjusted p-values.

    References
    ----------
    .. [1] Holm S. A simple sequentially rejective multiple test procedure. Scand J Stat 1979;6:65-70.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03]).round(4).tolist()
    [0.03, 0.06, 0.06]
    """
    values = np.asarray(p, dtype=np.float64)
    adjusted = np.full(values.shape, np.nan)
    tested = np.flatnonzero(~np.isnan(values))
    order = tested[np.argsort(values[tested], kind="stable")]
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(values[order] * np.arange(order.size, 0, -1)))
    return adjusted
