"""Compiled coordinate descent for the path of L1-penalised logistic regression."""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_FAST = {"reassoc", "contract"}
_LEAST_WEIGHT = 1e-5
_EXPLAINED = 0.999


@numba.njit(cache=True, fastmath=_FAST)
def _dot(column: Floats, vector: Floats) -> float:
    total = 0.0
    for i in range(column.shape[0]):
        total += column[i] * vector[i]
    return total


@numba.njit(cache=True, fastmath=_FAST)
def _squares(column: Floats, weight: Floats) -> float:
    total = 0.0
    for i in range(column.shape[0]):
        total += weight[i] * column[i] * column[i]
    return total


@numba.njit(cache=True, fastmath=_FAST)
def _move(column: Floats, weight: Floats, pull: Floats, step: float) -> None:
    for i in range(column.shape[0]):
        pull[i] -= step * weight[i] * column[i]


@numba.njit(cache=True)
def _predict(columns: Floats, beta: Floats, intercept: float, support: Integers, eta: Floats) -> None:
    eta[:] = intercept
    for j in support:
        if beta[j] != 0.0:
            for i in range(eta.shape[0]):
                eta[i] += beta[j] * columns[j, i]


@numba.njit(cache=True)
def _weigh(state: Floats, y: Floats) -> float:
    """Fill the IRLS weights and the residuals from the linear predictor; give the mean deviance."""
    eta, weight, pull = state[0], state[1], state[2]
    deviance = 0.0
    for i in range(eta.shape[0]):
        small = math.exp(-abs(eta[i]))
        p = 1.0 / (1.0 + small) if eta[i] >= 0.0 else small / (1.0 + small)
        pull[i] = y[i] - p
        weight[i] = max(p * (1.0 - p), _LEAST_WEIGHT)
        deviance += 2.0 * (math.log1p(small) + max(eta[i], 0.0) - y[i] * eta[i])
    mean: float = deviance / eta.shape[0]
    return mean


@numba.njit(cache=True)
def _descend(columns: Floats, state: Floats, beta: Floats, intercept: float, penalty: float, support: Integers, scratch: Floats, tolerance: float) -> float:
    """Solve the weighted least squares problem of one IRLS step over the support; give the intercept."""
    n, size, weight, pull = columns.shape[1], support.shape[0], state[1], state[2]
    total = weight.sum()
    curve, moving = scratch[0], scratch[1]
    for s in range(size):
        curve[support[s]] = _squares(columns[support[s]], weight) / n
        moving[support[s]] = 1.0
    everybody = True
    for _ in range(1000):
        largest = 0.0
        step = pull.sum() / total
        intercept += step
        for i in range(n):
            pull[i] -= step * weight[i]
        largest = max(largest, step * step * total / n)
        for s in range(size):
            j = support[s]
            if not everybody and moving[j] == 0.0:
                continue
            old, v = beta[j], curve[j]
            score = _dot(columns[j], pull) / n + v * old
            shrunk = abs(score) - penalty
            new = math.copysign(shrunk, score) / v if shrunk > 0.0 else 0.0
            moving[j] = 1.0 if new != 0.0 else 0.0
            if new != old:
                _move(columns[j], weight, pull, new - old)
                beta[j] = new
                largest = max(largest, v * (new - old) ** 2)
        if largest < tolerance:
            if everybody:
                break
            everybody = True
        else:
            everybody = False
    return intercept


@numba.njit(cache=True)
def _settle(columns: Floats, y: Floats, state: Floats, beta: Floats, intercept: float, penalty: float, support: Integers, limit: float) -> tuple[float, float]:
    """Repeat IRLS steps over the support until the solution rests; give intercept and mean deviance."""
    scratch, deviance = np.zeros((2, columns.shape[0])), 0.0
    for _ in range(100):
        previous_intercept, previous = intercept, beta.copy()
        intercept = _descend(columns, state, beta, intercept, penalty, support, scratch, limit)
        change = (intercept - previous_intercept) ** 2 * state[1].sum() / y.shape[0]
        for j in support:
            change = max(change, scratch[0, j] * (beta[j] - previous[j]) ** 2)
        _predict(columns, beta, intercept, support, state[0])
        deviance = _weigh(state, y)
        if change < limit:
            break
    return intercept, deviance


@numba.njit(cache=True)
def _let_in(columns: Floats, pull: Floats, inside: NDArray[np.bool_], gradient: Floats, penalty: float) -> int:
    """Renew the gradient and let in the features that break the optimality conditions; give how many."""
    more = 0
    for j in range(columns.shape[0]):
        gradient[j] = _dot(columns[j], pull) / pull.shape[0]
        if not inside[j] and abs(gradient[j]) > penalty:
            inside[j], more = True, more + 1
    return more


@numba.njit(cache=True)
def logistic_path(columns: Floats, y: Floats, penalties: Floats, tolerance: float, start: tuple[Floats, float, float]) -> tuple[Floats, Floats, Floats]:
    """Fit mean log-loss + penalty x L1 norm for falling penalties, each starting from the one before.

    Iteratively reweighted least squares outside, cyclic coordinate descent over the features in the model inside [1]_; features are screened by the sequential strong
    rule [2]_ and let in again where they break the optimality conditions.

    Parameters
    ----------
    columns : ndarray, shape (features, patients), C-contiguous
        Standardised features, one row a feature.
    y : ndarray of 0.0 and 1.0, shape (patients,)
        Outcome.
    penalties : ndarray, shape (penalties,)
        Falling penalties.
    tolerance : float
        Coordinate descent ends when no step changes the objective by more than this share of the null deviance.
    start : tuple of ndarray, float and float
        Coefficients, intercept and penalty of a solution to go on from; for a first call zeros, the log-odds of the event and the penalty at which the first feature enters.

    Returns
    -------
    coefficients : ndarray, shape (penalties, features)
        Solutions; once 99.9 % of the deviance is explained the last solution is repeated.
    intercepts : ndarray, shape (penalties,)
        Intercepts.
    deviances : ndarray, shape (penalties,)
        Mean deviance on the data.

    References
    ----------
    .. [1] Friedman J, Hastie T, Tibshirani R. Regularization paths for generalized linear models via coordinate descent. J Stat Softw 2010;33(1).
    .. [2] Tibshirani R et al. Strong rules for discarding predictors in lasso-type problems. J R Stat Soc B 2012;74:245-266.
    """
    p, n = columns.shape
    coefficients, intercepts, deviances = np.zeros((penalties.shape[0], p)), np.zeros(penalties.shape[0]), np.zeros(penalties.shape[0])
    beta, intercept, before = start[0].copy(), start[1], start[2]
    state, gradient, share = np.zeros((3, n)), np.zeros(p), y.mean()
    state[0, :] = math.log(share / (1.0 - share))
    null = _weigh(state, y)
    inside = beta != 0.0
    _predict(columns, beta, intercept, np.flatnonzero(inside), state[0])
    deviance = _weigh(state, y)
    _let_in(columns, state[2], inside, gradient, np.inf)
    for at in range(penalties.shape[0]):
        penalty = penalties[at]
        inside |= np.abs(gradient) >= 2.0 * penalty - before
        while True:
            intercept, deviance = _settle(columns, y, state, beta, intercept, penalty, np.flatnonzero(inside), tolerance * null)
            if _let_in(columns, state[2], inside, gradient, penalty) == 0:
                break
        before = penalty
        coefficients[at], intercepts[at], deviances[at] = beta, intercept, deviance
        if deviance < (1.0 - _EXPLAINED) * null:
            coefficients[at:], intercepts[at:], deviances[at:] = beta, intercept, deviance
            break
    return coefficients, intercepts, deviances
