"""Compiled coordinate descent along a path of falling penalties."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from sarcofuse.runtime.compiled import compiled, reassociated
from sarcofuse.signature.path.families import COX, ETA, GAUSSIAN, PULL, ROWS, WEIGHT, Floats, Integers, Sample, curve, risk_sets, weigh

CURVE, MOVING, LASSO, RIDGE = 0, 1, 2, 3
_SWEEPS, _STEPS, _HALVINGS, _TRAIL, _PATIENCE = 1000, 100, 30, 5, 50
_MOST_KEPT = 20_000_000


@reassociated
def dot(column: Floats, vector: Floats) -> float:
    """Give the inner product."""
    total = 0.0
    for i in range(column.shape[0]):
        total += column[i] * vector[i]
    return total


@reassociated
def squares(column: Floats, weight: Floats) -> float:
    """Give the weighted sum of squares."""
    total = 0.0
    for i in range(column.shape[0]):
        total += weight[i] * column[i] * column[i]
    return total


@reassociated
def move(column: Floats, weight: Floats, pull: Floats, step: float) -> None:
    """Renew the residuals of least squares after a coefficient took a step."""
    for i in range(column.shape[0]):
        pull[i] -= step * weight[i] * column[i]


@reassociated
def _shift(pull: Floats, slope: Floats, step: float) -> None:
    """Renew the residuals of least squares where the second derivative times the column is known."""
    for i in range(pull.shape[0]):
        pull[i] -= step * slope[i]


@compiled
def predict(sample: Sample, beta: Floats, intercept: float, support: Integers, eta: Floats) -> None:
    """Fill the linear predictor."""
    eta[:] = intercept
    for j in support:
        if beta[j] != 0.0:
            for i in range(eta.shape[0]):
                eta[i] += beta[j] * sample.columns[j, i]


@compiled
def _penalty(table: Floats, beta: Floats, support: Integers) -> float:
    total = 0.0
    for j in support:
        total += table[LASSO, j] * abs(beta[j]) + 0.5 * table[RIDGE, j] * beta[j] * beta[j]
    return total


@compiled
def _slopes(sample: Sample, state: Floats, table: Floats, support: Integers) -> Floats:
    """Fill the curvature along each coefficient; for Cox give the second derivative times each column, unless that took too much memory."""
    if sample.family != COX or support.shape[0] * sample.y.shape[0] > _MOST_KEPT:
        for j in support:
            table[CURVE, j] = squares(sample.columns[j], state[WEIGHT])
        return np.empty((0, 0))
    slopes, groups = np.empty((support.shape[0], sample.y.shape[0])), risk_sets(sample, state)
    for s in range(support.shape[0]):
        table[CURVE, support[s]] = curve(sample, state, groups, sample.columns[support[s]], slopes[s])
    return slopes


@compiled
def _sweep(sample: Sample, state: Floats, table: Floats, beta: Floats, intercept: float, support: Integers, slopes: Floats, everybody: bool) -> tuple[float, float]:
    """Step once along the intercept and each coefficient of the support, or of those that moved; give the intercept and the largest gain."""
    columns, weight, pull, step, largest = sample.columns, state[WEIGHT], state[PULL], 0.0, 0.0
    exact = slopes.shape[0] > 0
    if not exact:
        total = weight.sum()
        step = pull.sum() / total
        _shift(pull, weight, step)
        largest = step * step * total
    for s in range(support.shape[0]):
        j = support[s]
        if not everybody and table[MOVING, j] == 0.0:
            continue
        old, own = beta[j], table[CURVE, j]
        score = dot(columns[j], pull) + own * old
        shrunk = abs(score) - table[LASSO, j]
        new = math.copysign(shrunk, score) / (own + table[RIDGE, j]) if shrunk > 0.0 else 0.0
        table[MOVING, j] = 1.0 if new != 0.0 else 0.0
        if new != old:
            if exact:
                _shift(pull, slopes[s], new - old)
            else:
                move(columns[j], weight, pull, new - old)
            beta[j] = new
            largest = max(largest, own * (new - old) ** 2)
    return intercept + step, largest


@compiled
def _mixture(trail: Floats) -> Floats:
    """Give the weights, which sum to 1, with which the last steps of a sequence of points cancel best."""
    count = trail.shape[0] - 1
    gram = np.zeros((count, count))
    for a in range(count):
        for b in range(a + 1):
            for i in range(trail.shape[1]):
                gram[a, b] += (trail[a + 1, i] - trail[a, i]) * (trail[b + 1, i] - trail[b, i])
            gram[b, a] = gram[a, b]
    for a in range(count):
        gram[a, a] += 1e-12 * gram[0, 0] + 1e-300
    # Gaussian elimination of a system of five equations.
    weights = np.ones(count)
    for a in range(count):
        for b in range(a + 1, count):
            share = gram[b, a] / gram[a, a]
            gram[b] -= share * gram[a]
            weights[b] -= share * weights[a]
    for a in range(count - 1, -1, -1):
        for b in range(a + 1, count):
            weights[a] -= gram[a, b] * weights[b]
        weights[a] /= gram[a, a]
    mixture: Floats = weights / weights.sum()
    return mixture


@compiled
def _leap(sample: Sample, state: Floats, table: Floats, beta: Floats, intercept: float, support: Integers, trail: Floats) -> float:
    """Go to where the last sweeps lead (Anderson's extrapolation), if that is better; give the intercept."""
    size, pull = support.shape[0], state[PULL]
    mixture = _mixture(trail[:, : size + 1])
    if not np.isfinite(mixture).all():
        return intercept
    point = np.zeros(trail.shape[1])
    for k in range(mixture.shape[0]):
        point += mixture[k] * trail[k + 1]
    there = point[size + 1 :]
    both = pull + there
    gain = 0.5 * (point[0] - intercept) * both.sum()
    for s in range(size):
        j, new = support[s], point[s + 1]
        if new != beta[j]:
            gain += 0.5 * (new - beta[j]) * dot(sample.columns[j], both) - table[LASSO, j] * (abs(new) - abs(beta[j])) - 0.5 * table[RIDGE, j] * (new * new - beta[j] * beta[j])
    if not gain > 0.0:
        return intercept
    for s in range(size):
        beta[support[s]] = point[s + 1]
    pull[:] = there
    return float(point[0])


@compiled
def _descend(sample: Sample, state: Floats, table: Floats, beta: Floats, intercept: float, support: Integers, limit: float) -> float:
    """Solve the penalised least squares problem of one step over the support; give the intercept."""
    size, slopes = support.shape[0], _slopes(sample, state, table, support)
    trail, known = np.empty((_TRAIL + 1, 1 + size + sample.y.shape[0])), 0
    table[MOVING] = 1.0
    everybody = True
    for count in range(_SWEEPS):
        intercept, largest = _sweep(sample, state, table, beta, intercept, support, slopes, everybody)
        if largest < limit and everybody:
            break
        everybody = largest < limit
        if count < _PATIENCE:
            continue
        trail[known, 0] = intercept
        for s in range(size):
            trail[known, 1 + s] = beta[support[s]]
        trail[known, 1 + size :] = state[PULL]
        known += 1
        if known == _TRAIL + 1:
            intercept, known = _leap(sample, state, table, beta, intercept, support, trail), 0
    return intercept


@compiled
def _settle(sample: Sample, state: Floats, table: Floats, beta: Floats, intercept: float, support: Integers, limit: float) -> tuple[float, float]:
    """Repeat steps over the support until the solution rests; give intercept and mean deviance."""
    deviance = weigh(sample, state)
    before = 0.5 * deviance + _penalty(table, beta, support)
    for _ in range(_STEPS):
        old_intercept, old = intercept, beta.copy()
        total = state[WEIGHT].sum()
        intercept = _descend(sample, state, table, beta, intercept, support, limit)
        change = (intercept - old_intercept) ** 2 * total
        for j in support:
            change = max(change, table[CURVE, j] * (beta[j] - old[j]) ** 2)
        for _ in range(_HALVINGS):
            predict(sample, beta, intercept, support, state[ETA])
            deviance = weigh(sample, state)
            after = 0.5 * deviance + _penalty(table, beta, support)
            if after <= before + limit or change < limit:
                break
            intercept = 0.5 * (intercept + old_intercept)
            for j in support:
                beta[j] = 0.5 * (beta[j] + old[j])
        before = after
        if change < limit or sample.family == GAUSSIAN:
            break
    return intercept, deviance


@compiled
def gradients(sample: Sample, pull: Floats, out: Floats) -> None:
    """Fill minus the gradient of the loss by each coefficient."""
    for j in range(sample.columns.shape[0]):
        out[j] = dot(sample.columns[j], pull)


@compiled
def _let_in(sample: Sample, state: Floats, table: Floats, inside: NDArray[np.bool_], gradient: Floats) -> int:
    """Renew the gradient and let in the features that break the optimality conditions; give how many."""
    gradients(sample, state[PULL], gradient)
    more = 0
    for j in range(inside.shape[0]):
        if not inside[j] and abs(gradient[j]) > table[LASSO, j]:
            inside[j], more = True, more + 1
    return more


@compiled
def follow(sample: Sample, factors: Floats, penalties: Floats, l1_ratio: float, limit: float, floor: float, start: tuple[Floats, float, float]) -> tuple[Floats, Floats, Floats]:
    """Minimise half the mean deviance + penalty x elastic net for falling penalties, each starting from the one before.

    Iteratively reweighted least squares outside, halved where the objective would rise, cyclic coordinate descent over the features in the model inside [1]_; for Cox the weights of [2]_, bounded from
    above. Features are screened by the sequential strong rule [3]_ and let in again where they break the optimality conditions.

    Parameters
    ----------
    sample : Sample
        Patients.
    factors : ndarray, shape (features,)
        Share of the penalty that each feature bears.
    penalties : ndarray, shape (penalties,)
        Falling penalties.
    l1_ratio : float
        1 for the L1 norm, 0 for half the squared L2 norm, between them a mixture.
    limit : float
        Coordinate descent ends when no step changes the objective by more.
    floor : float
        The path ends below this mean deviance; the last solution is repeated.
    start : tuple of ndarray, float and float
        Coefficients, intercept and penalty of a solution to go on from.

    Returns
    -------
    coefficients : ndarray, shape (penalties, features)
        Solutions.
    intercepts : ndarray, shape (penalties,)
        Intercepts.
    deviances : ndarray, shape (penalties,)
        Mean deviance on the data.

    References
    ----------
    .. [1] Friedman J, Hastie T, Tibshirani R. Regularization paths for generalized linear models via coordinate descent. J Stat Softw 2010;33(1).
    .. [2] Simon N, Friedman J, Hastie T, Tibshirani R. Regularization paths for Cox's proportional hazards model via coordinate descent. J Stat Softw 2011;39(5).
    .. [3] Tibshirani R et al. Strong rules for discarding predictors in lasso-type problems. J R Stat Soc B 2012;74:245-266.
    """
    p, n = sample.columns.shape
    coefficients, intercepts, deviances = np.zeros((penalties.shape[0], p)), np.zeros(penalties.shape[0]), np.zeros(penalties.shape[0])
    beta, intercept, before = start[0].copy(), start[1], start[2]
    state, table, gradient = np.zeros((ROWS, n)), np.zeros((4, p)), np.zeros(p)
    inside = (beta != 0.0) | (factors == 0.0)
    predict(sample, beta, intercept, np.flatnonzero(inside), state[ETA])
    weigh(sample, state)
    gradients(sample, state[PULL], gradient)
    for at in range(penalties.shape[0]):
        penalty = penalties[at]
        table[LASSO], table[RIDGE] = penalty * l1_ratio * factors, penalty * (1.0 - l1_ratio) * factors
        inside |= np.abs(gradient) >= l1_ratio * factors * (2.0 * penalty - before)
        while True:
            intercept, deviance = _settle(sample, state, table, beta, intercept, np.flatnonzero(inside), limit)
            if _let_in(sample, state, table, inside, gradient) == 0:
                break
        before = penalty
        coefficients[at], intercepts[at], deviances[at] = beta, intercept, deviance
        if deviance < floor:
            coefficients[at:], intercepts[at:], deviances[at:] = beta, intercept, deviance
            break
    return coefficients, intercepts, deviances
