"""Keep the features that outlast perturbation."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.feature_selection import SelectorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from sarcofuse.metrics import icc


class StabilityFilter(SelectorMixin, BaseEstimator):  # type: ignore[misc]
    """Drop features whose intraclass correlation under perturbation is too low.

    The correlations are data of the training patients: either those that were computed from them beforehand (`reliability`), or the perturbed features themselves (`repeats` of `fit`), of
    which each fold takes its own patients' part.

    Parameters
    ----------
    reliability : array-like, shape (features,), optional
        Intraclass correlation of each feature, or the lower end of its interval; NaN, where it is not defined, counts as too low. Without it and without `repeats` all features are kept.
    threshold : float
        Least correlation of a kept feature: 0.75 is called good, 0.9 excellent [1]_.
    bound : bool
        Whether the lower end of the interval must reach the threshold, or the correlation itself; with `repeats` alone.
    form : {'2,1', '3,1'}
        Agreement, or consistency; with `repeats` alone.

    Attributes
    ----------
    reliability_ : ndarray, shape (features,)
        What was compared with the threshold.
    kept_ : ndarray of bool, shape (features,)
        Features that are kept.

    References
    ----------
    .. [1] Koo TK, Li MY. A guideline of selecting and reporting intraclass correlation coefficients for reliability research. J Chiropr Med 2016;15:155-163.

    Examples
    --------
    >>> X = np.arange(12.0).reshape(4, 3)
    >>> StabilityFilter(reliability=[0.95, 0.4, 0.8]).fit(X).transform(X).shape
    (4, 2)
    """

    def __init__(self, reliability: ArrayLike | None = None, threshold: float = 0.75, *, bound: bool = True, form: str = "2,1") -> None:
        self.reliability = reliability
        self.threshold = threshold
        self.bound = bound
        self.form = form

    def fit(self, X: ArrayLike, y: ArrayLike | None = None, repeats: ArrayLike | None = None) -> Self:  # noqa: ARG002 - scikit-learn's interface
        """Choose the features.

        Parameters
        ----------
        X : array-like, shape (patients, features)
            Features, NaN where missing.
        y : array-like, optional
            Not used.
        repeats : array-like, shape (patients, perturbations, features), optional
            The same patients' features under perturbation, the unperturbed ones among them; takes the place of `reliability`. In a pipeline it is passed on by scikit-learn's metadata
            routing, ``set_fit_request(repeats=True)``.

        Returns
        -------
        StabilityFilter
            Itself.

        Raises
        ------
        ValueError
            If correlations or repeats are not of these features and patients, or no feature is stable enough.
        """
        values = validate_data(self, X, dtype=np.float64, ensure_all_finite="allow-nan")
        count = values.shape[1]
        if repeats is not None:
            again = np.asarray(repeats, dtype=np.float64)
            if again.ndim != 3 or (again.shape[0], again.shape[2]) != values.shape:
                message = f"repeats must be of shape (patients, perturbations, features) = ({len(values)}, ..., {count}), found {again.shape}"
                raise ValueError(message)
            found = icc(again, "2,1" if self.form == "2,1" else "3,1")
            self.reliability_ = found.low if self.bound else found.value
        else:
            self.reliability_ = np.ones(count) if self.reliability is None else np.asarray(self.reliability, dtype=np.float64)
            if self.reliability_.shape != (count,):
                message = f"reliability must have one value a feature, {count} in all, found shape {self.reliability_.shape}"
                raise ValueError(message)
        self.kept_: NDArray[np.bool_] = self.reliability_ >= self.threshold
        if not self.kept_.any():
            best = f"the highest is {np.nanmax(self.reliability_):.2f}" if np.isfinite(self.reliability_).any() else "none is defined"
            message = f"none of {count} features has an intraclass correlation of {self.threshold:g} or more; {best}. Lower the threshold, or perturb less"
            raise ValueError(message)
        return self

    def _get_support_mask(self) -> NDArray[np.bool_]:
        check_is_fitted(self)
        return self.kept_

    def __sklearn_tags__(self) -> Any:  # noqa: ANN401 - scikit-learn's interface
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags
