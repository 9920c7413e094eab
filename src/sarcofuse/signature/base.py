"""What all signatures share: gaps, useless features, the penalty's choice, the linear predictor and its out-of-fold form."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.utils.validation import check_is_fitted, validate_data

from sarcofuse.metrics import group_outcomes
from sarcofuse.signature.path import PathSettings, Walker, cross_validate
from sarcofuse.signature.screen import medians, uncorrelated, varying

Floats = NDArray[np.float64]


class PenalisedSignature(TransformerMixin, BaseEstimator, ABC):  # type: ignore[misc]
    """Linear predictor of a penalised regression; `LassoSignature` and `CoxSignature` say of which.

    Attributes
    ----------
    median_ : ndarray, shape (features,)
        Values for gaps.
    coef_ : ndarray, shape (features,)
        Coefficients for standardised features.
    intercept_ : float
        Intercept.
    selected_ : ndarray of int
        Columns with a coefficient other than 0, in order.
    """

    folds: int
    penalties: int
    ratio: float
    rule: str
    correlation: float
    repeats: int
    least: int
    seed: int
    l1_ratio: float
    factors: ArrayLike | None

    def fit(self, X: ArrayLike, y: ArrayLike, groups: ArrayLike | None = None) -> Self:
        """Learn the signature.

        Parameters
        ----------
        X : array-like, shape (patients, features)
            Features, NaN where missing.
        y : array-like
            Outcome, as the class describes it.
        groups : array-like of int, shape (patients,), optional
            Rows of one number stay together in the folds that choose the penalty.

        Returns
        -------
        PenalisedSignature
            Itself.

        Raises
        ------
        ValueError
            If the outcome or a setting is not what it must be.
        """
        values, outcome = self._checked(X, y)
        borne = _factors(self.factors, values.shape[1])
        self.median_ = medians(values)
        filled = np.where(np.isnan(values), self.median_, values)
        moving = np.flatnonzero(varying(filled))
        mean, scale = filled[:, moving].mean(axis=0), filled[:, moving].std(axis=0)
        Z = (filled[:, moving] - mean) / scale
        apart = uncorrelated(Z, self.correlation)
        self.kept_ = moving[apart]
        self.mean_, self.scale_ = np.full(values.shape[1], np.nan), np.full(values.shape[1], np.nan)
        self.mean_[self.kept_], self.scale_[self.kept_] = mean[apart], scale[apart]
        self._solve(np.ascontiguousarray(Z[:, apart].T), outcome, borne[self.kept_], None if groups is None else np.asarray(groups))
        return self

    def _solve(self, columns: Floats, y: Floats, factors: Floats, groups: NDArray[np.int64] | None) -> None:
        """Fit the path to standardised features, one row each, and take the solution that cross-validation chooses."""
        settings, weights = self._settings(), self._weights(y)
        walker = Walker(columns, y, settings, weights, factors)
        # A hair above the penalty at which the first feature enters, so that rounding lets nothing in.
        largest = walker.largest * (1.0 + 1e-9)
        self.coef_, self.intercept_, self.penalty_ = np.zeros(self.n_features_in_), walker.intercept, largest
        self.path_: dict[str, Floats] = {}
        self.supported_ = False
        one, number = _one_each(y, groups)
        if largest > 0.0 and self._enough(y[one]):
            grid, deals = settings.grid(largest, y.shape[0], len(columns)), [self._deal(y[one], [self.seed, 0, r])[number] for r in range(self.repeats)]
            found = cross_validate(columns.T, y, grid, deals, settings, weights=weights, factors=factors, stop=True)
            self.path_ = {"penalty": found.penalties, "deviance": found.deviance, "error": found.error}
            self._settle(walker, found.choose(self.rule), factors, weights)
        self.selected_ = np.flatnonzero(self.coef_)
        strongest = np.argsort(-np.abs(walker.gradient), kind="stable")[: 0 if self.selected_.size else max(1, self.least)]
        self.spare_ = self.kept_[strongest]

    def _settle(self, walker: Walker, best: int, factors: Floats, weights: Floats | None) -> None:
        """Take the solution at the penalty that cross-validation chose, or the first one with features enough."""
        penalties = self.path_["penalty"]
        coefficients, intercepts, _ = walker.advance(penalties[: best + 1])
        self.supported_ = bool(coefficients[best, factors > 0.0].any())
        if not self.supported_ and self.least > 0 and best + 1 < penalties.size:
            more, more_intercepts, _ = walker.advance(penalties[best + 1 :])
            coefficients, intercepts = np.vstack([coefficients, more]), np.concatenate([intercepts, more_intercepts])
            sizes = np.count_nonzero(coefficients, axis=1)
            best = int(np.argmax(sizes >= min(self.least, int(sizes.max()))))
        chosen = coefficients[best]
        if weights is not None:
            # The path was standardised with the weights, the stored centres and deviations are not.
            chosen = chosen / walker.scale
            intercepts[best] -= chosen @ walker.mean
        self.penalty_, self.coef_[self.kept_], self.intercept_ = float(penalties[best]), chosen, float(intercepts[best])

    @abstractmethod
    def _checked(self, X: ArrayLike, y: ArrayLike | None) -> tuple[Floats, Floats]:
        """Check the data; give features and outcome as numbers."""

    @abstractmethod
    def _settings(self) -> PathSettings:
        """Say what is fitted."""

    def _weights(self, y: Floats) -> Floats | None:  # noqa: ARG002 - some outcomes decide
        """Give the observation weights, None for equal ones."""
        return None

    @abstractmethod
    def _enough(self, y: Floats) -> bool:
        """Say whether there are events enough to cross-validate."""

    @abstractmethod
    def _deal(self, y: Floats, seed: list[int]) -> NDArray[np.int64]:
        """Deal the patients into folds."""

    def transform(self, X: ArrayLike) -> Floats:
        """Give the signature.

        Parameters
        ----------
        X : array-like, shape (patients, features)
            Features, NaN where missing.

        Returns
        -------
        ndarray, shape (patients, 1)
            Linear predictor: log-odds, or for Cox the log-hazard ratio to the average patient. A patient's value has the same bits alone and among others.
        """
        values = self._seen(X)
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
        values = self._seen(X)
        return np.column_stack([np.empty((len(values), 0)), *[self._standardised(values, int(j)) for j in self.columns]])

    @property
    def columns(self) -> NDArray[np.int64]:
        """Columns that `features` gives: those selected, or the spare ones where none was."""
        chosen: NDArray[np.int64] = self.selected_ if self.selected_.size else self.spare_
        return chosen

    def _seen(self, X: ArrayLike) -> Floats:
        check_is_fitted(self)
        values: Floats = validate_data(self, X, reset=False, dtype=np.float64, ensure_all_finite="allow-nan", ensure_min_samples=0)
        return values

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
        y : array-like
            Outcome, as the class describes it.
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
            If there is no outcome, or too few events to deal into folds.
        """
        if fit_params:
            message = f"{type(self).__name__}.fit takes X and y alone, found {', '.join(fit_params)}"
            raise TypeError(message)
        values, outcome = self._checked(X, y)
        fold = self._deal(outcome, [self.seed, 1])
        self.fit(X, outcome)
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
        # scikit-learn has no tag for a fit_transform that gives out-of-fold values; this one alone waives the check that it equals fit and transform.
        tags.non_deterministic = True
        return tags


def _one_each(y: Floats, groups: NDArray[np.int64] | None) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Give the place of one row a group, one with the event where there is such, and each row's group."""
    event = y if y.ndim == 1 else y[:, 1]
    if groups is None:
        return np.arange(event.size), np.arange(event.size)
    number, happened = group_outcomes(event, groups)
    fits = np.flatnonzero(event == happened[number])
    return fits[np.unique(number[fits], return_index=True)[1]], number


def _factors(given: ArrayLike | None, features: int) -> Floats:
    if given is None:
        return np.ones(features)
    found = np.asarray(given, dtype=np.float64)
    if found.shape != (features,) or not np.isfinite(found).all() or found.min() < 0.0:
        message = f"factors must be {features} finite numbers of at least 0, one a feature, found shape {found.shape}"
        raise ValueError(message)
    return found
