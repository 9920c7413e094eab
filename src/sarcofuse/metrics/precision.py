"""Precision-recall curve and its area, which see rare events where the ROC curve does not."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from sarcofuse.metrics.roc import Floats, pair


def precision_recall_curve(y: ArrayLike, score: ArrayLike) -> tuple[Floats, Floats, Floats]:
    """Give the points of the precision-recall curve, one a distinct score, from the highest score down.

    Parameters
    ----------
    y : array-like of 0 and 1, shape (patients,)
        Outcome.
    score : array-like, shape (patients,)
        Higher means more likely an event.

    Returns
    -------
    precision, recall : ndarray, shape (points,)
        Positive predictive value and sensitivity when every score at or above the threshold is called positive; recall is NaN without events.
    threshold : ndarray, shape (points,)
        Thresholds, falling.
    """
    event, values = pair(y, score)
    order = np.argsort(-values, kind="stable")
    ranked, hit = values[order], event[order]
    last = np.append(ranked[1:] != ranked[:-1], [True] * min(1, ranked.size)).astype(bool)
    tp, called = np.cumsum(hit)[last].astype(np.float64), np.flatnonzero(last) + 1.0
    events = int(event.sum())
    return tp / called, tp / events if events else tp * np.nan, ranked[last]


def average_precision(y: ArrayLike, score: ArrayLike, counts: Floats | None = None) -> Floats:
    """Average precision: precision weighted by the steps of recall, without interpolation [1]_.

    Parameters
    ----------
    y : array-like of 0 and 1, shape (patients,)
        Outcome.
    score : array-like, shape (patients,)
        Higher means more likely an event; patients of equal score make one step.
    counts : ndarray, shape (samples, patients), optional
        How often each patient stands in each (bootstrap) sample; by default one sample with everybody once.

    Returns
    -------
    ndarray, shape (samples,)
        A score that orders nobody has the share of events; NaN with one class or a score that is not a number.

    References
    ----------
    .. [1] Boyd K, Eng KH, Page CD. Area under the precision-recall curve: point estimates and confidence intervals. ECML PKDD 2013, LNCS 8190:451-466.
    """
    event, values = pair(y, score)
    weight = np.ones((1, event.size)) if counts is None else counts
    if event.all() or not event.any() or np.isnan(values).any():
        return np.full(len(weight), np.nan)
    order = np.argsort(-values, kind="stable")
    ranked = values[order]
    last = np.append(ranked[1:] != ranked[:-1], np.True_)
    called = np.cumsum(weight[:, order], axis=1)[:, last]
    tp = np.cumsum(weight[:, order] * event[order], axis=1)[:, last]
    step = np.diff(tp, axis=1, prepend=0.0)
    area: Floats = (step * np.divide(tp, called, out=np.zeros_like(tp), where=called > 0)).sum(axis=1) / tp[:, -1]
    return area
