"""From scores to probabilities."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LEAST_SLOPE = 0.05


def fit_sigmoid(score: Floats, y: Floats) -> tuple[float, float]:
    """Fit Platt's sigmoid, probability = 1 / (1 + exp(-(slope x score + offset))).

    Parameters
    ----------
    score : ndarray, shape (patients,)
        Scores of patients that the classifier has not seen.
    y : ndarray of 0 and 1, shape (patients,)
        Outcome.

    Returns
    -------
    slope, offset : float
        Maximum likelihood with Platt's softened targets [1]_. The slope is at least 0.05 per standard deviation of the scores, so that the order of patients survives
        where unseen patients give it no support.

    References
    ----------
    .. [1] Platt J. Probabilistic outputs for support vector machines and comparisons to regularized likelihood methods. Advances in Large Margin Classifiers 1999;61-74.
    """
    from scipy.optimize import minimize
    from scipy.special import expit

    events = float(y.sum())
    others = y.size - events
    target = np.where(y > 0.5, (events + 1.0) / (events + 2.0), 1.0 / (others + 2.0))
    centre, spread = float(score.mean()), float(score.std())
    scaled = (score - centre) / spread if spread > 0.0 else np.zeros(score.size)

    def loss(line: Floats) -> tuple[float, Floats]:
        eta = line[0] * scaled + line[1]
        rest = expit(eta) - target
        return float((np.logaddexp(0.0, eta) - target * eta).sum()), np.array([float((rest * scaled).sum()), float(rest.sum())])

    start = np.array([LEAST_SLOPE, math.log((events + 1.0) / (others + 1.0))])
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(LEAST_SLOPE, None), (None, None)], options={"ftol": 1e-14, "gtol": 1e-9})
    slope, offset = float(found.x[0]), float(found.x[1])
    return (slope / spread, offset - slope / spread * centre) if spread > 0.0 else (1.0, offset - centre)


def probability(score: float, slope: float, offset: float) -> float:
    """Apply a sigmoid to one score, in scalar arithmetic: vectorised exponentials may round by their place in the array.

    Parameters
    ----------
    score, slope, offset : float
        The score and the sigmoid.

    Returns
    -------
    float
        Probability, 0 to 1.
    """
    eta = slope * score + offset
    if eta >= 0.0:
        return 1.0 / (1.0 + math.exp(-eta))
    small = math.exp(max(eta, -700.0))
    return small / (1.0 + small)


