"""The signature of a block of features: the linear predictor of a LASSO."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import ClassifierTags
from sklearn.utils.validation import validate_data

from sarcofuse.metrics import stratified_folds
from sarcofuse.signature.base import Floats, PenalisedSignature
from sarcofuse.signature.path import PathSettings


class LassoSignature(PenalisedSignature):
    """Radiomic or deep signature: linear predictor of an L1-penalised logistic regression.

    In order: gaps are filled with the feature's median; features that hardly vary are dropped; of two that correlate too much the later one is dropped; the rest is
    standardised; an L1-penalised logistic regression [1]_, or an elastic net [2]_, is fitted with the penalty that cross-validation of the deviance chooses. All of it is learned from the
    patients given to `fit`. Where cross-validation would rather have no feature at all, which with few patients it often does although there is something to be found, the
    features that enter the path first are taken, and `supported_` says so.

    The outcome has two values, the event being the larger one. The order of the patients decides how they are dealt into folds: sort them by identifier first.

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
    l1_ratio : float
        1 for the LASSO, less for an elastic net, 0 for ridge regression.
    factors : array-like, shape (features,), optional
        Share of the penalty that each feature bears, so that blocks can be penalised differently; 0 for a feature that always stays.
    class_weight : {'balanced'}, optional
        Let both classes weigh the same, in the fit and in the deviance.

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
    .. [2] Zou H, Hastie T. Regularization and variable selection via the elastic net. J R Stat Soc B 2005;67:301-320.
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
        class_weight: str | None = None,
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
        self.class_weight = class_weight

    def _settings(self) -> PathSettings:
        return PathSettings("binomial", self.l1_ratio, self.penalties, self.ratio)

    def _checked(self, X: ArrayLike, y: ArrayLike | None) -> tuple[Floats, Floats]:
        values, outcome = validate_data(self, X, y, dtype=np.float64, ensure_all_finite="allow-nan", y_numeric=True)
        classes = np.unique(outcome)
        if classes.size != 2:
            found = "1 class" if classes.size == 1 else f"{classes.size} values"
            message = f"a signature needs outcomes of both 0 and 1, found {found}: {classes[:5]}"
            raise ValueError(message)
        return values, (outcome == classes[1]).astype(np.float64)

    def _weights(self, y: Floats) -> Floats | None:
        if self.class_weight is None:
            return None
        if self.class_weight != "balanced":
            message = f"class_weight must be 'balanced' or None, found {self.class_weight!r}"
            raise ValueError(message)
        weights: Floats = np.where(y == 1.0, 0.5 / y.mean(), 0.5 / (1.0 - y.mean()))
        return weights

    def _enough(self, y: Floats) -> bool:
        return bool(min(y.sum(), y.size - y.sum()) >= 2)

    def _deal(self, y: Floats, seed: list[int]) -> NDArray[np.int64]:
        return stratified_folds(y, self.folds, seed)

    def __sklearn_tags__(self) -> Any:  # noqa: ANN401 - scikit-learn's interface
        tags = super().__sklearn_tags__()
        tags.classifier_tags = ClassifierTags(multi_class=False)
        return tags
