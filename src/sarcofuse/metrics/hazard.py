"""From a score to the chance of staying free of the event: a Cox model of one variable.

References
----------
.. [1] Cox DR. Regression models and life-tables. J R Stat Soc B 1972;34:187-220.
.. [2] Breslow NE. Covariance analysis of censored survival data. Biometrics 1974;30:89-99.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sarcofuse.metrics.roc import Floats
from sarcofuse.metrics.survival import StepCurve, timed

Integers = NDArray[np.int64]

STEEPEST = 10.0  # slope per standard deviation of the score, where events follow it so exactly that the likelihood has no maximum
LARGEST = 300.0  # exponent that double precision holds with room for a factor
CONSTANT = 1e-9  # standard deviation, as a share of the score's size, that is rounding
TOLERANCE = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class Hazards:
    """A fitted Cox model of one variable.

    Attributes
    ----------
    slope : float
        Log hazard ratio of one unit of the score.
    centre : float
        Mean score.
    baseline : StepCurve
        Cumulative hazard of a patient with the mean score.
    """

    slope: float
    centre: float
    baseline: StepCurve

    def free(self, score: ArrayLike, at: ArrayLike) -> Floats:
        """Give the probability to be free of the event.

        Parameters
        ----------
        score : array-like, shape (patients,)
            The variable.
        at : array-like, shape (times,)
            When.

        Returns
        -------
        ndarray, shape (patients, times)
            ``exp(-H(t) exp(slope (score - centre)))``; beyond the last event its last value.
        """
        odds = np.clip(self.slope * (np.asarray(score, dtype=np.float64) - self.centre), -LARGEST, LARGEST)
        found: Floats = np.exp(-self.baseline.at(at)[None, :] * np.exp(odds)[:, None])
        return found


def proportional_hazards(time: ArrayLike, event: ArrayLike, score: ArrayLike) -> Hazards:
    """Fit a Cox model of one variable [1]_, with Breslow's handling of ties and his estimate of the baseline [2]_.

    Parameters
    ----------
    time : array-like, shape (patients,)
        Time of the event, or of the last sight without it.
    event : array-like of 0 and 1, shape (patients,)
        Whether the event happened.
    score : array-like, shape (patients,)
        The variable.

    Returns
    -------
    Hazards
        The slope is 0 for a constant score, and at most 10 per standard deviation in size.

    Raises
    ------
    ValueError
        If times, events and scores are not of one length, or there is no event.

    References
    ----------
    .. [1] Cox DR. Regression models and life-tables. J R Stat Soc B 1972;34:187-220.
    .. [2] Breslow NE. Covariance analysis of censored survival data. Biometrics 1974;30:89-99.

    Examples
    --------
    >>> model = proportional_hazards([1, 2, 3, 4], [1, 1, 1, 0], [0, 0, 0, 0])
    >>> model.slope, model.baseline.at([1, 3]).round(4).tolist()
    (0.0, [0.25, 1.0833])
    """
    when, seen = timed(time, event)
    x = np.asarray(score, dtype=np.float64)
    if x.shape != when.shape or not seen.any():
        message = f"a Cox model needs a score for each of {when.size} times, and at least one event; found {x.size} scores and {int(seen.sum())} events"
        raise ValueError(message)
    order = np.argsort(when, kind="stable")
    when, seen, centre, width = when[order], seen[order], float(x.mean()), float(x.std())
    varies = width > CONSTANT * float(np.abs(x).max())
    z = (x[order] - centre) / width if varies else np.zeros(x.size)
    times, count = np.unique(when[seen], return_counts=True)
    first = np.searchsorted(when, times, side="left")
    slope = _maximise(z, float(z[seen].sum()), first, count) if varies else 0.0
    value, nothing = np.cumsum(count / _from(np.exp(slope * z))[first]), np.full(times.size, np.nan)
    return Hazards(slope / width if varies else 0.0, centre, StepCurve(times, value, nothing, nothing, (when.size - first).astype(np.float64), 0.0))


def _from(values: Floats) -> Floats:
    """Sum each value and all behind it."""
    found: Floats = np.cumsum(values[::-1])[::-1]
    return found


def _maximise(z: Floats, total: float, first: Integers, count: Integers) -> float:
    """Find the slope of greatest partial likelihood by Newton's steps, halved until they climb."""

    def look(slope: float) -> tuple[float, float, float]:
        shift = float((slope * z).max())
        weight = np.exp(slope * z - shift)
        s0, s1, s2 = (_from(weight * power)[first] for power in (1.0, z, z * z))
        mean = s1 / s0
        return slope * total - float((count * (np.log(s0) + shift)).sum()), total - float((count * mean).sum()), float((count * (s2 / s0 - mean**2)).sum())

    slope, (height, climb, bend) = 0.0, look(0.0)
    for _ in range(100):
        if bend <= 0.0 or abs(climb) <= TOLERANCE * max(1.0, abs(total)):
            break
        step = float(np.clip(slope + climb / bend, -STEEPEST, STEEPEST)) - slope
        while abs(step) > TOLERANCE and look(slope + step)[0] < height:
            step /= 2.0
        if abs(step) <= TOLERANCE:
            break
        slope += step
        height, climb, bend = look(slope)
    return slope
