"""The penalty that cross-validation chooses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sarcofuse.signature.path.families import ETA, ROWS, Floats, weigh
from sarcofuse.signature.path.fit import falling
from sarcofuse.signature.path.walker import PathSettings, Walker, outcome_of, sample_of, shares

_BLOCK = 10


@dataclass(frozen=True, slots=True, eq=False)
class CrossValidation:
    """Cross-validated deviance along a path.

    Attributes
    ----------
    penalties : ndarray, shape (penalties,)
        Falling penalties.
    deviance : ndarray, shape (penalties,)
        Mean deviance of patients left out.
    error : ndarray, shape (penalties,)
        Its standard error over folds, that of one cross-validation.
    """

    penalties: Floats
    deviance: Floats
    error: Floats

    def choose(self, rule: str) -> int:
        """Give the position of the penalty that a rule chooses.

        Parameters
        ----------
        rule : {'min', '1se'}
            The penalty of least deviance (glmnet's ``lambda.min``), or the largest within one standard error of it (``lambda.1se``) [1]_.

        Returns
        -------
        int
            Position on the path.

        Raises
        ------
        ValueError
            If the rule is unknown.

        References
        ----------
        .. [1] Hastie T, Tibshirani R, Friedman J. The elements of statistical learning. 2nd edition, Springer 2009; section 7.10.
        """
        best = int(np.argmin(self.deviance))
        if rule == "1se":
            return int(np.flatnonzero(self.deviance <= self.deviance[best] + self.error[best])[0])
        if rule != "min":
            message = f"rule must be min or 1se, found {rule!r}"
            raise ValueError(message)
        return best


def cross_validate(
    X: ArrayLike, y: ArrayLike, penalties: ArrayLike, folds: Sequence[ArrayLike], settings: PathSettings, *, weights: ArrayLike | None = None, factors: ArrayLike | None = None, stop: bool = False
) -> CrossValidation:
    """Cross-validate the deviance along a path.

    Each fold's path is fitted to the other folds alone, standardised there. The mean over folds weighs each by its patients, or for Cox by its events, and so does the error [1]_. For Cox a fold's
    deviance is what it adds to that of the others ("grouped" in glmnet).

    Parameters
    ----------
    X : array-like, shape (patients, features)
        Features without gaps.
    y : array-like, shape (patients,) or (patients, 2)
        Outcome: numbers, 0 and 1, or time and event in two columns (Cox).
    penalties : array-like, shape (penalties,)
        Falling penalties.
    folds : sequence of array-like of int, each of shape (patients,)
        Fold of each patient, from 0; one array for each dealing, over which deviance and squared error are averaged.
    settings : PathSettings
        What to fit.
    weights : array-like, shape (patients,), optional
        Observation weights of at least 0.
    factors : array-like, shape (features,), optional
        Share of the penalty that each feature bears, 0 for none.
    stop : bool
        Whether the path may end early, once the deviance has risen clearly above the least for ten penalties.

    Returns
    -------
    CrossValidation
        Deviance and error by penalty.

    Raises
    ------
    ValueError
        If shapes do not fit, there are fewer than two folds, or a fold leaves nothing to learn from.

    References
    ----------
    .. [1] Simon N, Friedman J, Hastie T, Tibshirani R. Regularization paths for Cox's proportional hazards model via coordinate descent. J Stat Softw 2011;39(5).
    """
    columns, grid = np.asarray(X, dtype=np.float64).T, falling(penalties)
    outcome, share = outcome_of(y, settings.family, columns.shape[1]), shares(weights, columns.shape[1])
    counted = share * columns.shape[1]
    parts = [[_Fold(columns, outcome, out, settings, counted, factors) for out in _left_out(fold, outcome, share, settings)] for fold in folds]
    masses = [np.array([part.weight for part in deal]) / sum(part.weight for part in deal) for deal in parts]
    losses = [np.empty((0, len(deal))) for deal in parts]
    for begin in range(0, grid.size, _BLOCK):
        piece = grid[begin : begin + _BLOCK]
        losses = [np.vstack([known, np.column_stack([part.advance(piece) for part in deal])]) for known, deal in zip(losses, parts, strict=True)]
        means = [loss @ mass for loss, mass in zip(losses, masses, strict=True)]
        spreads = [((loss - mean[:, None]) ** 2) @ mass / (mass.size - 1) for loss, mass, mean in zip(losses, masses, means, strict=True)]
        mean, error = np.mean(means, axis=0), np.sqrt(np.mean(spreads, axis=0))
        best = int(np.argmin(mean))
        if stop and best < begin and mean[-1] > mean[best] + error[best]:
            break
    return CrossValidation(grid[: mean.size], mean, error)


def _left_out(fold: ArrayLike, y: Floats, share: Floats, settings: PathSettings) -> list[NDArray[np.bool_]]:
    """Give the patients of each fold that has any, or for Cox any event."""
    deal = np.asarray(fold)
    if deal.shape != share.shape:
        message = f"folds must be {share.size} numbers, one a patient, found shape {deal.shape}"
        raise ValueError(message)
    counts = share * y[:, 1] if settings.family == "cox" else share
    found = [deal == k for k in np.unique(deal) if counts[deal == k].any()]
    if len(found) < 2:
        message = f"cross-validation needs at least 2 folds with {'events' if settings.family == 'cox' else 'patients'}, found {len(found)}"
        raise ValueError(message)
    return found


class _Fold:
    """The path of one fold's training set and the deviance of those left out."""

    def __init__(self, columns: Floats, y: Floats, out: NDArray[np.bool_], settings: PathSettings, weights: Floats, factors: ArrayLike | None) -> None:
        self.cox = settings.family == "cox"
        self.walker = Walker(columns[:, ~out], y[~out], settings, weights[~out], factors)
        # Grouped as in glmnet: what the fold adds to the partial likelihood is that of everybody less that of the rest.
        seen = np.ones_like(out) if self.cox else out
        self.test = columns[:, seen] - self.walker.mean[:, None]
        self.weight = float(weights[out] @ y[out, 1]) if self.cox else float(weights[out].sum())
        self.parts = [_Judge(y, weights, part, settings, within=seen) for part in ([seen, ~out] if self.cox else [out])]

    def advance(self, penalties: Floats) -> Floats:
        """Give the deviance of the patients left out, by weight or by event, at the next penalties."""
        coefficients, intercepts, _ = self.walker.advance(penalties)
        used = np.flatnonzero(coefficients.any(axis=0))
        eta = (coefficients[:, used] / self.walker.scale[used]) @ self.test[used] + intercepts[:, None]
        total = self.parts[0](eta) - (self.parts[1](eta) if self.cox else 0.0)
        loss: Floats = total / self.weight
        return loss


class _Judge:
    """Total deviance of some patients at given linear predictors."""

    def __init__(self, y: Floats, weights: Floats, chosen: NDArray[np.bool_], settings: PathSettings, within: NDArray[np.bool_]) -> None:
        at = np.flatnonzero(chosen & (weights > 0.0))
        if settings.family == "cox":
            at = at[np.argsort(-y[at, 0], kind="stable")]
        self.at = np.cumsum(within)[at] - 1
        self.total = float(weights[at].sum())
        self.sample = sample_of(np.zeros((0, at.size)), y[at], weights[at] / self.total, settings)

    def __call__(self, eta: Floats) -> Floats:
        state, found = np.zeros((ROWS, self.at.size)), np.empty(len(eta))
        for k, row in enumerate(eta[:, self.at]):
            state[ETA] = row
            found[k] = weigh(self.sample, state)
        return self.total * found
