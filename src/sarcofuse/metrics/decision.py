"""Decision curves: is acting on the risk better than treating everybody or nobody."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from sarcofuse.metrics.roc import Floats, pair


def net_benefit(y: ArrayLike, risk: ArrayLike, thresholds: ArrayLike, counts: Floats | None = None) -> Floats:
    """Net benefit of treating the patients whose risk reaches a threshold [1]_.

    True positives less false positives times the odds of the threshold, per patient. Treating nobody has 0.

    Parameters
    ----------
    y : array-like of 0 and 1, shape (patients,)
        Outcome.
    risk : array-like, shape (patients,)
        Risks.
    thresholds : array-like, shape (thresholds,)
        Threshold probabilities, at least 0 and below 1.
    counts : ndarray, shape (samples, patients), optional
        How often each patient stands in each (bootstrap) sample; by default one sample with everybody once.

    Returns
    -------
    ndarray, shape (samples, thresholds)
        Net benefits; NaN without patients.

    References
    ----------
    .. [1] Vickers AJ, Elkin EB. Decision curve analysis: a novel method for evaluating prediction models. Med Decis Making 2006;26:565-574.
    """
    event, values = pair(y, risk)
    cut = np.asarray(thresholds, dtype=np.float64)
    weight = np.ones((1, event.size)) if counts is None else counts
    if not event.size:
        return np.full((len(weight), cut.size), np.nan)
    called = (values[:, None] >= cut[None, :]).astype(np.float64)
    true = (weight[:, event] @ called[event]) if event.any() else np.zeros((len(weight), cut.size))
    false = (weight[:, ~event] @ called[~event]) if (~event).any() else np.zeros((len(weight), cut.size))
    benefit: Floats = (true - false * (cut / (1.0 - cut))) / weight.sum(axis=1, keepdims=True)
    return benefit


def treat_all(y: ArrayLike, thresholds: ArrayLike) -> Floats:
    """Net benefit of treating everybody.

    Parameters
    ----------
    y : array-like of 0 and 1, shape (patients,)
        Outcome.
    thresholds : array-like, shape (thresholds,)
        Threshold probabilities, at least 0 and below 1.

    Returns
    -------
    ndarray, shape (thresholds,)
        Net benefits.
    """
    benefit: Floats = net_benefit(y, np.ones(np.asarray(y).shape), thresholds)[0]
    return benefit


def net_reduction(y: ArrayLike, risk: ArrayLike, thresholds: ArrayLike, counts: Floats | None = None) -> Floats:
    """Interventions avoided per 100 patients, with no fewer events found, against treating everybody [1]_.

    Parameters
    ----------
    y : array-like of 0 and 1, shape (patients,)
        Outcome.
    risk : array-like, shape (patients,)
        Risks.
    thresholds : array-like, shape (thresholds,)
        Threshold probabilities, above 0 and below 1.
    counts : ndarray, shape (samples, patients), optional
        How often each patient stands in each (bootstrap) sample; by default one sample with everybody once.

    Returns
    -------
    ndarray, shape (samples, thresholds)
        Gain in net benefit over treating everybody, over the odds of the threshold, times 100; NaN without patients.

    References
    ----------
    .. [1] Vickers AJ, Cronin AM, Elkin EB, Gonen M. Extensions to decision curve analysis, a novel method for evaluating diagnostic tests, prediction models and molecular
       markers. BMC Med Inform Decis Mak 2008;8:53.
    """
    cut = np.asarray(thresholds, dtype=np.float64)
    everybody = net_benefit(y, np.ones(np.asarray(y).shape), cut, counts)
    gained: Floats = 100.0 * (net_benefit(y, risk, cut, counts) - everybody) * (1.0 - cut) / cut
    return gained
