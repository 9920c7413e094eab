"""The signature of a block of features where the time to the event is known: the linear predictor of a LASSO-Cox model."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_consistent_length, validate_data

from sarcofuse.signature.base import Floats, PenalisedSignature
from sarcofuse.signature.path import PathSettings, Walker


class CoxSignature(PenalisedSignature):
    """Signature of time to event: linear predictor of an L1-penalised Cox model.

    Features are treated as `LassoSignature` treats them; then an L1-penalised Cox model [1]_ [2]_, or an elastic net, is fitted with the penalty that cross-validation of the partial-likelihood
    deviance chooses.

    The outcome is a table of two columns, time and event (1, or 0 for censored), a structured array or a table with fields of these names, or a structured array of one number and one truth value.
    A single column is taken for times at which everybody had the event. A patient censored at the time of an event was at risk of it.

    Parameters
    ----------
    folds : int
        Folds that choose the penalty, and folds of the out-of-fold signature; never more than events.
    penalties : int
        Penalties on the path.
    ratio : float
        Smallest penalty as a share of the largest, at which the first feature enters.
    rule : {'min', '1se'}
        Penalty of least deviance, or the largest within one standard error of it.
    correlation : float
        Largest absolute correlation of two features that are both kept.
    repeats : int
        How often the cross-validation that chooses the penalty is repeated with other folds.
    least : int
        Features to take where cross-validation prefers none; 0 for a constant signature then.
    seed : int
        Seed of the folds.
    l1_ratio : float
        1 for the LASSO, less for an elastic net, 0 for ridge regression.
    factors : array-like, shape (features,), optional
        Share of the penalty that each feature bears; 0 for a feature that always stays.
    ties : {'breslow', 'efron'}
        How events at the same time are handled.

    Attributes
    ----------
    median_ : ndarray, shape (features,)
        Values for gaps.
    mean_, scale_ : ndarray, shape (features,)
        Centre and deviation of each feature; NaN for those that were dropped.
    kept_ : ndarray of int
        Columns that reached the LASSO.
    coef_ : ndarray, shape (features,)
        Coefficients for standardised features.
    intercept_ : float
        0.
    selected_ : ndarray of int
        Columns with a coefficient other than 0, in order.
    supported_ : bool
        Whether cross-validation preferred the selected features to none.
    spare_ : ndarray of int
        Columns of the strongest univariate association with the outcome, strongest first, which stand in for selected ones in `features`; only where `selected_` is empty.
    penalty_ : float
        The penalty chosen.
    path_ : dict of str to ndarray
        ``penalty``, mean cross-validated ``deviance`` and its standard ``error`` along the path; empty where there were too few events to cross-validate.

    References
    ----------
    .. [1] Tibshirani R. The lasso method for variable selection in the Cox model. Stat Med 1997;16:385-395.
    .. [2] Simon N, Friedman J, Hastie T, Tibshirani R. Regularization paths for Cox's proportional hazards model via coordinate descent. J Stat Softw 2011;39(5).
    """

    def __init__(
        self,
        folds: int = 5,
        penalties: int = 50,
        ratio: float = 0.02,
        rule: str = "min",
        correlation: float = 0.95,
        repeats: int = 3,
        least: int = 5,
        seed: int = 0,
        l1_ratio: float = 1.0,
        factors: ArrayLike | None = None,
        ties: Literal["breslow", "efron"] = "breslow",
    ) -> None:
        self.folds = folds
        self.penalties = penalties
        self.ratio = ratio
        self.rule = rule
        self.correlation = correlation
        self.repeats = repeats
        self.least = least
        self.seed = seed
        self.l1_ratio = l1_ratio
        self.factors = factors
        self.ties = ties

    def _settings(self) -> PathSettings:
        return PathSettings("cox", self.l1_ratio, self.penalties, self.ratio, self.ties)

    def _checked(self, X: ArrayLike, y: ArrayLike | None) -> tuple[Floats, Floats]:
        values: Floats = validate_data(self, X, y if y is None else "no_validation", dtype=np.float64, ensure_all_finite="allow-nan")
        outcome = time_and_event(y)
        check_consistent_length(values, outcome)
        return values, outcome

    def _enough(self, y: Floats) -> bool:
        return bool(y[:, 1].sum() >= 2)

    def _settle(self, walker: Walker, best: int, factors: Floats, weights: Floats | None) -> None:
        super()._settle(walker, best, factors, weights)
        self.intercept_ = 0.0  # the baseline hazard takes its part

    def _deal(self, y: Floats, seed: list[int]) -> NDArray[np.int64]:
        """Deal so that every fold has its share of events and of patients, and at least one event."""
        events = int(y[:, 1].sum())
        if events < 2:
            message = f"folds need at least 2 events, found {events}"
            raise ValueError(message)
        rng, fold = np.random.default_rng(seed), np.empty(len(y), dtype=np.int64)
        order = np.concatenate([rng.permutation(np.flatnonzero(y[:, 1] == 1.0)), rng.permutation(np.flatnonzero(y[:, 1] == 0.0))])
        fold[order] = np.arange(len(y)) % min(self.folds, events)
        return fold

    def __sklearn_tags__(self) -> Any:  # noqa: ANN401 - scikit-learn's interface
        tags = super().__sklearn_tags__()
        tags.target_tags.two_d_labels, tags.target_tags.multi_output, tags.target_tags.single_output = True, True, False
        tags.target_tags.positive_only = True
        return tags


def time_and_event(y: object) -> Floats:
    """Read the outcome of a study of time to event.

    Parameters
    ----------
    y : array-like, shape (patients,) or (patients, 2)
        Time and event in two columns in this order, or in a structured array or table with fields of these names, or a structured array of one number and one truth value in any order. A single
        column is taken for times at which everybody had the event.

    Returns
    -------
    ndarray, shape (patients, 2)
        Time, and 1 for an event or 0 for censoring.

    Raises
    ------
    ValueError
        If it has another form, a time is negative or not finite, an event is neither 0 nor 1, or there is no event.
    """
    names = getattr(y, "columns", None)
    if names is not None and {"time", "event"} <= set(names):
        y = y[["time", "event"]].to_numpy()  # type: ignore[index]
    given = np.asarray(y)
    if given.dtype.names is not None:
        given = _fields(given)
    try:
        found = given.astype(np.float64)
    except (TypeError, ValueError) as error:
        message = f"time and event must be numbers, found {given.dtype}"
        raise ValueError(message) from error
    if found.ndim == 1 or (found.ndim == 2 and found.shape[1] == 1):
        if given.dtype == np.bool_:
            message = "the outcome holds truth values alone, which are events without times; give the columns time and event"
            raise ValueError(message)
        found = np.column_stack([found.ravel(), np.ones(found.size)])
    if found.ndim != 2 or found.shape[1] != 2:
        message = f"the outcome must have the columns time and event, found shape {found.shape}"
        raise ValueError(message)
    if not np.isfinite(found).all() or (found[:, 0] < 0.0).any():
        wrong = int(np.flatnonzero(~np.isfinite(found).all(axis=1) | ~(found[:, 0] >= 0.0))[0])
        message = f"times must be at least 0 and neither time nor event NaN or infinite, found {found[wrong].tolist()} in row {wrong}"
        raise ValueError(message)
    if not np.isin(found[:, 1], (0.0, 1.0)).all() or not found[:, 1].any():
        message = f"events must be 0 or 1, with at least one 1, found {np.unique(found[:, 1])[:5]}"
        raise ValueError(message)
    return found


def _fields(y: NDArray[np.void]) -> NDArray[np.float64]:
    names = list(y.dtype.names or ())
    truths = [n for n in names if y.dtype[n] == np.bool_]
    if {"time", "event"} <= set(names):
        time, event = "time", "event"
    elif len(names) == 2 and len(truths) == 1:
        event, time = truths[0], next(n for n in names if n not in truths)
    else:
        message = f"a structured outcome needs the fields time and event, or one number and one truth value, found {', '.join(names)}"
        raise ValueError(message)
    return np.column_stack([y[time].astype(np.float64), y[event].astype(np.float64)])
