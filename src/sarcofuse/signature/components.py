"""Principal components in place of features."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from sarcofuse.signature.gaps import Bools, Floats, filled
from sarcofuse.signature.screen import medians, varying


class PrincipalComponents(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Turn features into their principal components, learned from the training patients; the outcome is not looked at.

    Gaps take the median; features are standardised first, so that none counts for its unit [1]_.

    Parameters
    ----------
    share : float
        Share of the variance that the components must explain together, 0 to 1.
    count : int, optional
        Number of components instead; fewer where there are no more.

    Attributes
    ----------
    kept_ : ndarray of bool, shape (features,)
        Features that vary among the training patients.
    median_, mean_, scale_ : ndarray, shape (features,)
        Stand-in for gaps, centre and deviation of each feature; NaN, and 1 for `scale_`, where a feature is not kept.
    components_ : ndarray, shape (components, features)
        Weights of the standardised features; 0 for those that are not kept. The weight of largest size is positive.
    explained_ : ndarray, shape (components,)
        Share of the variance that each explains.

    References
    ----------
    .. [1] Jolliffe IT. Principal Component Analysis. 2nd ed. Springer, 2002; sections 2.3 and 6.1.

    Examples
    --------
    >>> X = np.array([[1.0, 2.0, 0.0], [2.0, 4.0, 1.0], [3.0, 6.0, 0.0], [4.0, 8.0, 1.0]])
    >>> PrincipalComponents(count=1).fit(X).components_.round(2).tolist()
    [[0.64, 0.64, 0.44]]
    """

    def __init__(self, share: float = 0.95, count: int | None = None) -> None:
        self.share = share
        self.count = count

    def fit(self, X: ArrayLike, y: ArrayLike | None = None) -> Self:  # noqa: ARG002 - scikit-learn's interface
        """Learn the components.

        Parameters
        ----------
        X : array-like, shape (patients, features)
            Features, NaN where missing.
        y : array-like, optional
            Not used.

        Returns
        -------
        PrincipalComponents
            Itself.

        Raises
        ------
        ValueError
            If no feature varies, or a setting is out of range.
        """
        values: Floats = validate_data(self, X, dtype=np.float64, ensure_all_finite="allow-nan", ensure_min_samples=2)
        if not 0.0 < self.share <= 1.0 or (self.count is not None and self.count < 1):
            message = f"share must lie above 0 and be at most 1, and count be at least 1; found {self.share} and {self.count}"
            raise ValueError(message)
        complete = filled(values)
        self.kept_: Bools = varying(complete) & ~np.isnan(values).all(axis=0)
        if not self.kept_.any():
            message = f"none of {values.shape[1]} features varies among the {len(values)} patients, so there are no components"
            raise ValueError(message)
        self.median_: Floats = medians(values)
        self.mean_, self.scale_ = np.full(values.shape[1], np.nan), np.ones(values.shape[1])
        self.mean_[self.kept_], self.scale_[self.kept_] = complete[:, self.kept_].mean(axis=0), complete[:, self.kept_].std(axis=0)
        _, sizes, rows = np.linalg.svd((complete[:, self.kept_] - self.mean_[self.kept_]) / self.scale_[self.kept_], full_matrices=False)
        explained = sizes**2 / float((sizes**2).sum())
        most = int(np.count_nonzero(explained > 1e-12))
        wanted = self.count or int(np.searchsorted(np.cumsum(explained), self.share - 1e-12)) + 1
        number = min(wanted, most)
        signs = np.sign(rows[np.arange(number), np.abs(rows[:number]).argmax(axis=1)])
        self.components_: Floats = np.zeros((number, values.shape[1]))
        self.components_[:, self.kept_] = rows[:number] * signs[:, None]
        self.explained_: Floats = explained[:number]
        return self

    def transform(self, X: ArrayLike) -> Floats:
        """Give the components.

        Parameters
        ----------
        X : array-like, shape (patients, features)
            Features, NaN where missing.

        Returns
        -------
        ndarray, shape (patients, components)
            A patient's values have the same bits alone and among others.
        """
        check_is_fitted(self)
        values = validate_data(self, X, reset=False, dtype=np.float64, ensure_all_finite="allow-nan", ensure_min_samples=0)
        centred = (np.where(np.isnan(values), self.median_, values) - self.mean_) / self.scale_
        whole = np.where(self.kept_, centred, 0.0)
        return np.stack([self.components_ @ row for row in whole]) if len(whole) else np.empty((0, len(self.components_)))

    def get_feature_names_out(self, input_features: Any = None) -> Any:  # noqa: ANN401, ARG002 - scikit-learn's interface
        """Name the components.

        Parameters
        ----------
        input_features : array-like of str, optional
            Not used.

        Returns
        -------
        ndarray of str
            ``component 1`` and so on.
        """
        return np.asarray([f"component {i + 1}" for i in range(len(self.components_))], dtype=object)

    def __sklearn_tags__(self) -> Any:  # noqa: ANN401 - scikit-learn's interface
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags
