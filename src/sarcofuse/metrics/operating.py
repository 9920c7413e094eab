"""One operating point: choosing the threshold, and the rates at it."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sarcofuse.metrics.roc import Estimate, Floats, labels, pair

RATES = ("sensitivity", "specificity", "accuracy", "ppv", "npv")


def _cuts(y: ArrayLike, risk: ArrayLike) -> tuple[Floats, NDArray[np.int64], NDArray[np.int64], int, int]:
    """Give candidate thresholds, rising, with true and false positives at each, events and others."""
    event, values = pair(y, risk)
    levels, inverse = np.unique(values, return_inverse=True)
    hits = np.bincount(inverse[event], minlength=levels.size)
    alarms = np.bincount(inverse[~event], minlength=levels.size)
    below, above = levels[:-1], levels[1:]
    middle = below + (above - below) / 2.0
    cuts = np.concatenate([levels[:1], np.where(middle > below, middle, above)])
    return cuts, np.cumsum(hits[::-1])[::-1], np.cumsum(alarms[::-1])[::-1], int(event.sum()), int((~event).sum())


def youden_threshold(y: ArrayLike, risk: ArrayLike) -> float:
    """Threshold of the largest sensitivity + specificity - 1 [1]_.

    Parameters
    ----------
    y : array-like of 0 and 1, shape (patients,)
        Outcome.
    risk : array-like, shape (patients,)
        Risks; positive means at or above the threshold.

    Returns
    -------
    float
        Half-way between two observed risks (or the lowest risk, where calling everybody positive is best); of several equally good ones the lowest, which misses
        fewest events. NaN with one class.

    References
    ----------
    .. [1] Youden WJ. Index for rating diagnostic tests. Cancer 1950;3:32-35.

    Examples
    --------
    >>> youden_threshold([0, 0, 1, 1], [0.1, 0.2, 0.4, 0.9])
    0.30000000000000004
    """
    cuts, tp, fp, m, n = _cuts(y, risk)
    if not m or not n:
        return float("nan")
    return float(cuts[int(np.argmax(tp * n - fp * m))])


def sensitivity_threshold(y: ArrayLike, risk: ArrayLike, wanted: float) -> float:
    """Highest threshold that still reaches a wanted sensitivity.

    Parameters
    ----------
    y : array-like of 0 and 1, shape (patients,)
        Outcome.
    risk : array-like, shape (patients,)
        Risks; positive means at or above the threshold.
    wanted : float
        Least sensitivity, 0 to 1.

    Returns
    -------
    float
        Half-way between two observed risks, or the lowest risk. NaN without events.
    """
    cuts, tp, _, m, _ = _cuts(y, risk)
    if not m:
        return float("nan")
    return float(cuts[np.flatnonzero(tp >= wanted * m - 1e-9)[-1]])


def rates(y: ArrayLike, positive: ArrayLike, counts: Floats | None = None) -> dict[str, Floats]:
    """Sensitivity, specificity, accuracy, positive and negative predictive value.

    Parameters
    ----------
    y : array-like of 0 and 1, shape (patients,)
        Outcome.
    positive : array-like of bool, shape (patients,)
        Who is called positive.
    counts : ndarray, shape (samples, patients), optional
        How often each patient stands in each (bootstrap) sample; by default one sample with everybody once.

    Returns
    -------
    dict of str to ndarray, shape (samples,)
        Each rate in each sample; NaN where its denominator is zero.
    """
    event, called = pair(y, np.asarray(positive, dtype=np.float64))
    chosen = called > 0.5
    weight = np.ones((1, event.size)) if counts is None else counts
    tp, fn, fp, tn = (weight[:, group].sum(axis=1) for group in (event & chosen, event & ~chosen, ~event & chosen, ~event & ~chosen))
    parts = {"sensitivity": (tp, tp + fn), "specificity": (tn, tn + fp), "accuracy": (tp + tn, tp + tn + fp + fn), "ppv": (tp, tp + fp), "npv": (tn, tn + fn)}
    return {name: np.divide(top, bottom, out=np.full(top.shape, np.nan), where=bottom > 0) for name, (top, bottom) in parts.items()}


def rate_sizes(y: ArrayLike, positive: ArrayLike) -> dict[str, int]:
    """Denominators of the rates.

    Parameters
    ----------
    y : array-like of 0 and 1, shape (patients,)
        Outcome.
    positive : array-like of bool, shape (patients,)
        Who is called positive.

    Returns
    -------
    dict of str to int
        Patients that each rate is a share of.
    """
    event, chosen = labels(y), np.asarray(positive, dtype=bool)
    return {"sensitivity": int(event.sum()), "specificity": int((~event).sum()), "accuracy": event.size, "ppv": int(chosen.sum()), "npv": int((~chosen).sum())}


def wilson_interval(share: float, size: int, confidence: float = 0.95) -> Estimate:
    """Score interval of a proportion [1]_.

    Parameters
    ----------
    share : float
        The proportion.
    size : int
        Patients it is a share of.
    confidence : float
        Coverage.

    Returns
    -------
    Estimate
        The proportion and its interval; NaN for nobody.

    References
    ----------
    .. [1] Wilson EB. Probable inference, the law of succession, and statistical inference. J Am Stat Assoc 1927;22:209-212.
    """
    from scipy.special import ndtri

    if not size or np.isnan(share):
        return Estimate(float("nan"), float("nan"), float("nan"))
    z2 = float(ndtri(0.5 + confidence / 2.0)) ** 2
    centre = (share + z2 / (2 * size)) / (1 + z2 / size)
    half = float(np.sqrt(z2 * (share * (1 - share) / size + z2 / (4 * size**2)))) / (1 + z2 / size)
    return Estimate(share, max(0.0, centre - half), min(1.0, centre + half))
