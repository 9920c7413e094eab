"""Compiled likelihoods: weights, residuals and deviance of the Gaussian, binomial and Cox families at a linear predictor."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sarcofuse.runtime.compiled import compiled

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

GAUSSIAN, BINOMIAL, COX = 0, 1, 2
ETA, WEIGHT, PULL, HAZARD = 0, 1, 2, 3
ROWS = 4
_AT_RISK, _HAZARD, _DIED, _EVENTS = 0, 1, 2, 3
_LEAST_WEIGHT = 1e-5
_LEAST_AT_RISK = 1e-300


class Sample(NamedTuple):
    """Patients as the kernels want them.

    Attributes
    ----------
    columns : ndarray, shape (features, patients), C-contiguous
        Standardised features, one row a feature.
    y : ndarray, shape (patients,)
        Outcome: a number, 0 or 1, or (Cox) 1 for an event and 0 for censoring.
    share : ndarray, shape (patients,)
        Observation weights; they sum to 1.
    ends : ndarray of int, shape (distinct times,)
        Cox: patients are sorted by falling time, and those from one end to the next share a time. Otherwise empty.
    family : int
        GAUSSIAN, BINOMIAL or COX.
    efron : bool
        Cox: Efron's handling of tied events instead of Breslow's.
    """

    columns: Floats
    y: Floats
    share: Floats
    ends: Integers
    family: int
    efron: bool


@compiled
def weigh(sample: Sample, state: Floats) -> float:
    """Fill the weights and residuals of `state` from its linear predictor; give the mean deviance.

    The rows of `state` are the linear predictor, the weights, the residuals and (Cox) each patient's share of the hazard. The loss is half the mean deviance; residuals are minus its gradient by the
    linear predictor, weights its curvature, or for Cox an upper bound of it once an intercept is free.
    """
    if sample.family == COX:
        return _weigh_cox(sample, state)
    if sample.family == BINOMIAL:
        return _weigh_binomial(sample, state)
    deviance = 0.0
    for i in range(sample.y.shape[0]):
        rest = sample.y[i] - state[ETA, i]
        state[WEIGHT, i], state[PULL, i] = sample.share[i], sample.share[i] * rest
        deviance += sample.share[i] * rest * rest
    return deviance


@compiled
def _weigh_binomial(sample: Sample, state: Floats) -> float:
    deviance = 0.0
    for i in range(sample.y.shape[0]):
        eta, y, share = state[ETA, i], sample.y[i], sample.share[i]
        small = math.exp(-abs(eta))
        p = 1.0 / (1.0 + small) if eta >= 0.0 else small / (1.0 + small)
        state[PULL, i] = share * (y - p)
        state[WEIGHT, i] = share * max(p * (1.0 - p), _LEAST_WEIGHT)
        deviance += 2.0 * share * (math.log1p(small) + max(eta, 0.0) - y * eta)
    return deviance


@compiled
def _weigh_cox(sample: Sample, state: Floats) -> float:
    """Partial likelihood: a sweep up the risk sets from the latest time gives the deviance, one down again the cumulated hazard.

    With p the share of each patient in the hazard of a risk set, the curvature of its term is diag(p) - pp'. Summed over events that is at most D - D11'D / (1'D1) with D the diagonal of cumulated
    hazards, which is what a least squares problem with weights D and a free intercept has.
    """
    groups, top = sample.ends.shape[0], state[ETA].max()
    rises = np.zeros((2, groups))
    at_risk, loss, begin = 0.0, 0.0, 0
    for g in range(groups):
        died, hazard, events = 0.0, 0.0, 0
        for i in range(begin, sample.ends[g]):
            own = sample.share[i] * math.exp(state[ETA, i] - top)
            state[HAZARD, i] = own
            at_risk += own
            if sample.y[i] != 0.0:
                died, hazard, events = died + sample.share[i], hazard + own, events + 1
                loss -= sample.share[i] * (state[ETA, i] - top)
        begin = sample.ends[g]
        for k in range(events if sample.efron else min(events, 1)):
            part, gone = (died / events, k / events) if sample.efron else (died, 0.0)
            left = max(at_risk - gone * hazard, _LEAST_AT_RISK)
            loss += part * (math.log(left) - math.log(died * (1.0 - gone)))
            rises[0, g] += part / left
            rises[1, g] += part * (1.0 - gone) / left
    cumulated = 0.0
    for g in range(groups - 1, -1, -1):
        for i in range(sample.ends[g - 1] if g > 0 else 0, sample.ends[g]):
            state[WEIGHT, i] = state[HAZARD, i] * (cumulated + (rises[1, g] if sample.y[i] != 0.0 else rises[0, g]))
            state[PULL, i] = sample.share[i] * sample.y[i] - state[WEIGHT, i]
        cumulated += rises[0, g]
    return 2.0 * loss


@compiled
def risk_sets(sample: Sample, state: Floats) -> Floats:
    """Sum up each time of a Cox model: hazard at risk, hazard of those with the event, their weight, their number."""
    groups, at_risk, begin = np.zeros((4, sample.ends.shape[0])), 0.0, 0
    for g in range(sample.ends.shape[0]):
        for i in range(begin, sample.ends[g]):
            at_risk += state[HAZARD, i]
            if sample.y[i] != 0.0:
                groups[_HAZARD, g] += state[HAZARD, i]
                groups[_DIED, g] += sample.share[i]
                groups[_EVENTS, g] += 1.0
        groups[_AT_RISK, g], begin = max(at_risk, _LEAST_AT_RISK), sample.ends[g]
    return groups


@compiled
def curve(sample: Sample, state: Floats, groups: Floats, column: Floats, out: Floats) -> float:
    """Fill the second derivative of the partial likelihood times a feature; give the feature's own curvature."""
    count = groups.shape[1]
    sums = np.empty((2, count))
    total, begin = 0.0, 0
    for g in range(count):
        gone = 0.0
        for i in range(begin, sample.ends[g]):
            own = state[HAZARD, i] * column[i]
            total += own
            gone += own * sample.y[i]
        sums[0, g], sums[1, g], begin = total, gone, sample.ends[g]
    cumulated, inner = 0.0, 0.0
    for g in range(count - 1, -1, -1):
        events, everybody, dying = groups[_EVENTS, g], 0.0, 0.0
        for k in range(int(events) if sample.efron else int(min(events, 1.0))):
            part, less = (groups[_DIED, g] / events, k / events) if sample.efron else (groups[_DIED, g], 0.0)
            left = max(groups[_AT_RISK, g] - less * groups[_HAZARD, g], _LEAST_AT_RISK)
            mean = (sums[0, g] - less * sums[1, g]) / left
            everybody += part * mean / left
            dying += part * mean * (1.0 - less) / left
        for i in range(sample.ends[g - 1] if g > 0 else 0, sample.ends[g]):
            out[i] = state[WEIGHT, i] * column[i] - state[HAZARD, i] * (cumulated + (dying if sample.y[i] != 0.0 else everybody))
            inner += column[i] * out[i]
        cumulated += everybody
    bent: float = max(inner, _LEAST_AT_RISK)
    return bent
