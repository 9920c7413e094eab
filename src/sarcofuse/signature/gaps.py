"""Gaps in a table, and columns that hardly vary."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.feature_selection import SelectorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from sarcofuse.signature.screen import FLAT, medians

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


class Selector(SelectorMixin, BaseEstimator):  # type: ignore[misc]
    """What estimators that keep some of the columns share; `fit` leaves them in `kept_`."""

    kept_: Bools

    def _get_support_mask(self) -> Bools:
        check_is_fitted(self)
        return self.kept_

    def _table(self, X: ArrayLike) -> Floats:
        """Give the training patients' values, at least two patients."""
        values: Floats = validate_data(self, X, dtype=np.float64, ensure_all_finite="allow-nan", ensure_min_samples=2)
        return values

    def __sklearn_tags__(self) -> Any:  # noqa: ANN401 - scikit-learn's interface
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags


def filled(values: Floats) -> Floats:
    """Give a table whose gaps hold the column's median.

    Parameters
    ----------
    values : ndarray, shape (patients, features)
        Features, NaN where missing.

    Returns
    -------
    ndarray, shape (patients, features)
        Without gaps; 0 throughout a column that nobody has.
    """
    gaps = np.isnan(values)
    if not gaps.any():
        return values
    return np.where(gaps, np.nan_to_num(medians(values)), values)


class MedianImputer(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Fill gaps with the training patients' median, and drop features that too many of them lack.

    Parameters
    ----------
    limit : float
        Largest share of training patients who may lack a kept feature, 0 to 1. A feature that nobody has is dropped in any case.

    Attributes
    ----------
    median_ : ndarray, shape (features,)
        Values for gaps; NaN for a feature that nobody has.
    missing_ : ndarray, shape (features,)
        Share of training patients without the feature.
    kept_ : ndarray of bool, shape (features,)
        Features that are kept.

    Examples
    --------
    >>> MedianImputer(limit=0.5).fit_transform([[1.0, np.nan], [np.nan, np.nan], [3.0, 5.0]]).tolist()
    [[1.0], [2.0], [3.0]]
    """

    def __init__(self, limit: float = 0.2) -> None:
        self.limit = limit

    def fit(self, X: ArrayLike, y: ArrayLike | None = None) -> Self:  # noqa: ARG002 - scikit-learn's interface
        """Learn medians and shares.

        Parameters
        ----------
        X : array-like, shape (patients, features)
            Features, NaN where missing.
        y : array-like, optional
            Not used.

        Returns
        -------
        MedianImputer
            Itself.

        Raises
        ------
        ValueError
            If no feature is known for enough patients.
        """
        values = validate_data(self, X, dtype=np.float64, ensure_all_finite="allow-nan")
        self.median_ = medians(values)
        self.missing_: Floats = np.isnan(values).mean(axis=0)
        self.kept_: Bools = (self.missing_ <= self.limit) & (self.missing_ < 1.0)
        if not self.kept_.any():
            message = f"each of {values.shape[1]} features is missing in more than {self.limit:.0%} of the {len(values)} patients; raise the limit of the imputation, or look at how the table was made"
            raise ValueError(message)
        return self

    def transform(self, X: ArrayLike) -> Floats:
        """Fill and drop.

        Parameters
        ----------
        X : array-like, shape (patients, features)
            Features, NaN where missing.

        Returns
        -------
        ndarray, shape (patients, kept features)
            Without gaps.
        """
        check_is_fitted(self)
        values = validate_data(self, X, reset=False, dtype=np.float64, ensure_all_finite="allow-nan", ensure_min_samples=0)[:, self.kept_]
        result: Floats = np.where(np.isnan(values), self.median_[self.kept_], values)
        return result

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:  # noqa: ANN401 - scikit-learn's interface
        """Name the columns that `transform` gives.

        Parameters
        ----------
        input_features : array-like of str, optional
            Names of the columns given; by default those seen by `fit`.

        Returns
        -------
        ndarray of str
            Names of the kept ones.
        """
        from sklearn.utils.validation import _check_feature_names_in

        check_is_fitted(self)
        names: NDArray[np.object_] = _check_feature_names_in(self, input_features)[self.kept_]
        return names

    def __sklearn_tags__(self) -> Any:  # noqa: ANN401 - scikit-learn's interface
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags


class VarianceFilter(Selector):
    """Drop features with hardly any variance.

    A feature goes if it is constant (to 8 digits), or if both its most common value is much more frequent than the next [1]_ and it has few distinct values. Gaps are passed over.

    Parameters
    ----------
    ratio : float
        Largest frequency of the most common value relative to that of the second; 19 is 95 to 5.
    distinct : float
        Distinct values as a share of the patients, above which the ratio does not matter.

    Attributes
    ----------
    kept_ : ndarray of bool, shape (features,)
        Features that are kept.

    References
    ----------
    .. [1] Kuhn M, Johnson K. Applied predictive modeling. Springer 2013, section 3.5.

    Examples
    --------
    >>> VarianceFilter().fit_transform([[1.0, 7.0], [2.0, 7.0], [3.0, 7.0]]).tolist()
    [[1.0], [2.0], [3.0]]
    """

    def __init__(self, ratio: float = 19.0, distinct: float = 0.1) -> None:
        self.ratio = ratio
        self.distinct = distinct

    def fit(self, X: ArrayLike, y: ArrayLike | None = None) -> Self:  # noqa: ARG002 - scikit-learn's interface
        """Choose the features.

        Parameters
        ----------
        X : array-like, shape (patients, features)
            Features, NaN where missing.
        y : array-like, optional
            Not used.

        Returns
        -------
        VarianceFilter
            Itself.

        Raises
        ------
        ValueError
            If no feature varies.
        """
        values = self._table(X)
        self.kept_ = np.array([self._varies(column[~np.isnan(column)]) for column in values.T])
        if not self.kept_.any():
            message = f"none of {values.shape[1]} features varies among the {len(values)} patients: each is constant, missing, or nearly so"
            raise ValueError(message)
        return self

    def _varies(self, known: Floats) -> bool:
        if known.size == 0 or known.std() <= FLAT * np.abs(known).max():
            return False
        _, counts = np.unique(known, return_counts=True)
        if counts.size <= self.distinct * known.size:
            second, first = np.partition(counts, -2)[-2:]
            return bool(first <= self.ratio * second)
        return True
