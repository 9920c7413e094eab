"""The signature of a block of features: the linear predictor of a LASSO."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.utils.validation import check_is_fitted, validate_data

from sarcofuse.metrics import stratified_folds
from sarcofuse.signature.path import logistic_path
from sarcofuse.signature.screen import medians, uncorrelated, varying

Floats = NDArray[np.float64]

TOLERANCE = 1e-9
_BLOCK = 10


class LassoSignature(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Radiomic or deep signature: linear predictor of an L1-penalised logistic regression.

    In order: gaps are filled with the feature's median; features that hardly vary are dropped; of two that correlate too much the later one is dropped; the rest is
    standardised; an L1-penalised logistic regression [1]_ is fitted with the penalty that cross-validation of the deviance chooses. All of it is learned from the
    patients given to `fit`. Where cross-validation would rather have no feature at all, which with few patients it often does although there is something to be found, the
    features that enter the path first are taken, and `supported_` says so.

    The order of the patients decides how they are dealt into folds: sort them by identifier first.

    Parameters
    ----------
    folds : int
        Folds that choose the penalty, and folds of the out-of-fold signature; never more than patients in the smaller class.
    penalties : int
        Penalties on the path.
    ratio : float
        Smallest penalty as a share of the largest, at which the first feature enters.
    rule : {'min', '1se'}
        Penalty of least deviance, or the largest within one standard error of it.
    correlation : float
        Largest absolute correlation of two features that are both kept.
    repeats : int
        How often the cross-validation that chooses the penalty is repeated with other folds; one dealing of few patients says little.
    least : int
        Features to take where cross-validation prefers none; 0 for a constant signature then.
    seed : int
        Seed of the folds.

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
        Intercept.
    selected_ : ndarray of int
        Columns with a coefficient other than 0, in order.
    supported_ : bool
        Whether cross-validation preferred the selected features to none.
    spare_ : ndarray of int
        Columns of the strongest univariate association with the outcome, strongest first, which stand in for selected ones in `features`; only where `selected_` is empty,
        that is with `least` 0, or with too few events to cross-validate.
    penalty_ : float
        The penalty chosen.
    path_ : dict of str to ndarray
        ``penalty``, mean cross-validated ``deviance`` and its standard ``error`` (that of one cross-validation) along the path; empty where there were too few events to cross-validate.

    References
    ----------
    .. [1] Tibshirani R. Regression shrinkage and selection via the lasso. J R Stat Soc B 1996;58:267-288.
    """

    def __init__(self, folds: int = 5, penalties: int = 50, ratio: float = 0.02, rule: str = "min", correlation: float = 0.95, repeats: int = 3, least: int = 5, seed: int = 0) -> None:
        self.folds = folds
        self.penalties = penalties
        self.ratio = ratio
        self.rule = rule
        self.correlation = correlation
        self.repeats = repeats
        self.least = least
        self.seed = seed

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Learn the signature.

        Parameters
        ----------
        X : array-like, shape (patients, features)
            Features, NaN where missing.
        y : array-like of 0 and 1, shape (patients,)
            Outcome.

        Returns
        -------
        LassoSignature
            Itself.

        Raises
        ------
        ValueError
            If there is only one class.
        """
        values, outcome = _checked(self, X, y)
        self.median_ = medians(values)
        filled = np.where(np.isnan(values), self.median_, values)
        moving = np.flatnonzero(varying(filled))
        mean, scale = filled[:, moving].mean(axis=0), filled[:, moving].std(axis=0)
        Z = (filled[:, moving] - mean) / scale
        apart = uncorrelated(Z, self.correlation)
        self.kept_ = moving[apart]
        self.mean_, self.scale_ = np.full(values.shape[1], np.nan), np.full(values.shape[1], np.nan)
        self.mean_[self.kept_], self.scale_[self.kept_] = mean[apart], scale[apart]
        self._solve(np.ascontiguousarray(Z[:, apart].T), outcome)
        return self

    def _solve(self, columns: Floats, y: Floats) -> None:
        """Fit the LASSO to standardised features, one row each."""
        slope = np.abs(columns @ (y - y.mean())) / y.size
        # A hair above the penalty at which the first feature enters, so that rounding lets nothing in.
        largest = float(slope.max(initial=0.0)) * (1.0 + 1e-9)
        self.coef_, self.intercept_, self.penalty_ = np.zeros(self.n_features_in_), _log_odds(y), largest
        self.path_: dict[str, Floats] = {}
        self.supported_ = False
        if largest > 0.0 and min(y.sum(), y.size - y.sum()) >= 2:
            grid = largest * np.geomspace(1.0, self.ratio, self.penalties)
            self.path_ = _cross_validate(columns, y, grid, [stratified_folds(y, self.folds, [self.seed, 0, r]) for r in range(self.repeats)])
            self._settle(columns, y, largest)
        self.selected_ = np.flatnonzero(self.coef_)
        strongest = np.argsort(-slope, kind="stable")[: 0 if self.selected_.size else max(1, self.least)]
        self.spare_ = self.kept_[strongest]

    def _settle(self, columns: Floats, y: Floats, largest: float) -> None:
        """Take the solution at the penalty that cross-validation chose, or the first one with features enough."""
        penalties, best = self.path_["penalty"], _choose(self.path_, self.rule)
        coefficients, intercepts, _ = logistic_path(columns, y, penalties[: best + 1], TOLERANCE, _start(columns, y, largest))
        self.supported_ = bool(coefficients[best].any())
        if not self.supported_ and self.least > 0:
            coefficients, intercepts, _ = logistic_path(columns, y, penalties, TOLERANCE, _start(columns, y, largest))
            sizes = np.count_nonzero(coefficients, axis=1)
            best = int(np.argmax(sizes >= min(self.least, int(sizes.max()))))
        self.penalty_, self.coef_[self.kept_], self.intercept_ = float(penalties[best]), coefficients[best], float(intercepts[best])

    def transform(self, X: ArrayLike) -> Floats:
        """Give the signature.

        Parameters
        ----------
        X : array-like, shape (patients, features)
            Features, NaN where missing.

        Returns
        -------
        ndarray, shape (patients, 1)
            Linear predictor (log-odds). A patient's value has the same bits alone and among others.
        """
        check_is_fitted(self)
        values = validate_data(self, X, reset=False, dtype=np.float64, ensure_all_finite="allow-nan", ensure_min_samples=0)
        total = np.full(len(values), self.intercept_)
        for j in self.selected_:
            total = total + self._standardised(values, int(j)) * self.coef_[j]
        return total[:, None]

    def features(self, X: ArrayLike) -> Floats:
        """Give the features that the signature selected, standardised.

        Parameters
        ----------
        X : array-like, shape (patients, features)
            Features, NaN where missing.

        Returns
        -------
        ndarray, shape (patients, selected)
            Columns in the order of `columns`.
        """
        check_is_fitted(self)
        values = validate_data(self, X, reset=False, dtype=np.float64, ensure_all_finite="allow-nan", ensure_min_samples=0)
        return np.column_stack([np.empty((len(values), 0)), *[self._standardised(values, int(j)) for j in self.columns]])

    @property
    def columns(self) -> NDArray[np.int64]:
        """Columns that `features` gives: those selected, or the spare ones where none was."""
        chosen: NDArray[np.int64] = self.selected_ if self.selected_.size else self.spare_
        return chosen

    def _standardised(self, values: Floats, j: int) -> Floats:
        column: Floats = (np.where(np.isnan(values[:, j]), self.median_[j], values[:, j]) - self.mean_[j]) / self.scale_[j]
        return column

    def fit_transform(self, X: ArrayLike, y: ArrayLike | None = None, **fit_params: object) -> Floats:
        """Learn the signature and give it out-of-fold, so that what is trained on it sees it as new patients will show it.

        Each patient's value comes from a signature learned without that patient. It takes the intercept of the signature of all patients, since the intercept of a fold
        tells how many events were left out of it.

        Parameters
        ----------
        X : array-like, shape (patients, features)
            Features, NaN where missing.
        y : array-like of 0 and 1, shape (patients,)
            Outcome.
        **fit_params : object
            None are known.

        Returns
        -------
        ndarray, shape (patients, 1)
            Out-of-fold linear predictor; unlike ``fit(X, y).transform(X)``.

        Raises
        ------
        TypeError
            If there are `fit_params`.
        ValueError
            If there is no outcome, or a class has fewer than two patients.
        """
        if fit_params:
            message = f"LassoSignature.fit takes X and y alone, found {', '.join(fit_params)}"
            raise TypeError(message)
        values, outcome = _checked(self, X, y)
        fold = stratified_folds(outcome, self.folds, [self.seed, 1])
        self.fit(values, outcome)
        signature = np.empty((len(values), 1))
        for k in range(int(fold.max()) + 1):
            part = clone(self).fit(values[fold != k], outcome[fold != k])
            signature[fold == k] = part.transform(values[fold == k]) - part.intercept_ + self.intercept_
        return signature

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:  # noqa: ANN401, ARG002 - scikit-learn's interface
        """Name the column that `transform` gives.

        Parameters
        ----------
        input_features : array-like of str, optional
            Not used.

        Returns
        -------
        ndarray of str
            One name.
        """
        return np.asarray(["signature"], dtype=object)

    def __sklearn_tags__(self) -> Any:  # noqa: ANN401 - scikit-learn's interface
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.target_tags.required = True
        return tags


def _checked(estimator: LassoSignature, X: ArrayLike, y: ArrayLike | None) -> tuple[Floats, Floats]:
    values, outcome = validate_data(estimator, X, y, dtype=np.float64, ensure_all_finite="allow-nan", y_numeric=True)
    if not np.isin(outcome, (0, 1)).all() or np.unique(outcome).size < 2:
        message = f"a signature needs outcomes of both 0 and 1, found {np.unique(outcome)[:5]}"
        raise ValueError(message)
    return values, outcome.astype(np.float64)


def _log_odds(y: Floats) -> float:
    return float(np.log(y.sum() / (y.size - y.sum())))


def _start(columns: Floats, y: Floats, largest: float) -> tuple[Floats, float, float]:
    return np.zeros(len(columns)), _log_odds(y), largest


def _cross_validate(columns: Floats, y: Floats, grid: Floats, deals: list[NDArray[np.int64]]) -> dict[str, Floats]:
    """Give the cross-validated deviance along the path, which ends once it has risen clearly above the least for ten penalties."""
    parts = [[_part(columns, y, fold == k) for k in range(int(fold.max()) + 1)] for fold in deals]
    shares = [np.bincount(fold) / y.size for fold in deals]
    losses = [np.empty((0, len(folds))) for folds in parts]
    for begin in range(0, grid.size, _BLOCK):
        piece = grid[begin : begin + _BLOCK]
        losses = [np.vstack([known, np.column_stack([_advance(part, piece) for part in folds])]) for known, folds in zip(losses, parts, strict=True)]
        means = [loss @ share for loss, share in zip(losses, shares, strict=True)]
        spreads = [((loss - mean[:, None]) ** 2) @ share / (share.size - 1) for loss, share, mean in zip(losses, shares, means, strict=True)]
        mean, error = np.mean(means, axis=0), np.sqrt(np.mean(spreads, axis=0))
        best = int(np.argmin(mean))
        if best < begin and mean[-1] > mean[best] + error[best]:
            break
    return {"penalty": grid[: mean.size], "deviance": mean, "error": error}


def _part(columns: Floats, y: Floats, out: NDArray[np.bool_]) -> list[Any]:
    """Prepare a fold: standardised training features, outcome, features and outcome of the patients left out, and where its path begins."""
    train = np.ascontiguousarray(columns[:, ~out])
    mean, scale = train.mean(axis=1, keepdims=True), train.std(axis=1, keepdims=True)
    scale[scale < 1e-12] = np.inf
    train, outcome = (train - mean) / scale, y[~out]
    first = float(np.abs(train @ (outcome - outcome.mean())).max()) / outcome.size
    return [train, outcome, (columns[:, out] - mean) / scale, y[out], _start(train, outcome, first)]


def _advance(part: list[Any], penalties: Floats) -> Floats:
    """Follow one fold's path over the next penalties, leave its end in the part, and give the mean deviance of the fold's own patients."""
    train, outcome, test, truth, start = part
    coefficients, intercepts, _ = logistic_path(train, outcome, penalties, TOLERANCE, start)
    part[4] = (coefficients[-1], float(intercepts[-1]), float(penalties[-1]))
    used = np.flatnonzero(coefficients.any(axis=0))
    eta = coefficients[:, used] @ test[used] + intercepts[:, None]
    loss: Floats = 2.0 * (np.logaddexp(0.0, eta) - truth * eta).mean(axis=1)
    return loss


def _choose(path: dict[str, Floats], rule: str) -> int:
    best = int(np.argmin(path["deviance"]))
    if rule == "1se":
        best = int(np.flatnonzero(path["deviance"] <= path["deviance"][best] + path["error"][best])[0])
    return best
