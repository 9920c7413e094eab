"""Steps before the LASSO, and the LASSO, as one signature."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.utils import ClassifierTags
from sklearn.utils.validation import check_is_fitted, validate_data

from sarcofuse.config import SignatureConfig
from sarcofuse.config.selection import SelectionStep, combat_step
from sarcofuse.errors import StepError
from sarcofuse.metrics import stratified_folds
from sarcofuse.signature.components import PrincipalComponents
from sarcofuse.signature.cox import CoxSignature
from sarcofuse.signature.embedded import BorutaSelector, L1Selector
from sarcofuse.signature.gaps import MedianImputer, VarianceFilter
from sarcofuse.signature.harmonise import ComBat
from sarcofuse.signature.lasso import LassoSignature
from sarcofuse.signature.mrmr import MrmrSelector
from sarcofuse.signature.univariate import CorrelationFilter, UnivariateFilter

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

STEPS: dict[str, Any] = {
    "impute": MedianImputer,
    "variance": VarianceFilter,
    "univariate": UnivariateFilter,
    "correlation": CorrelationFilter,
    "mrmr": MrmrSelector,
    "boruta": BorutaSelector,
    "l1": L1Selector,
    "combat": ComBat,
    "pca": PrincipalComponents,
}
_SEEDED = ("boruta",)


class SteppedSignature(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """A signature whose features first go through steps: harmonisation, imputation, filters, selectors. All of it is learned from the patients given to `fit`.

    Parameters
    ----------
    steps : sequence of mapping
        Each step's ``kind``, one of those in `STEPS`, and its settings.
    lasso : mapping, optional
        Settings of the `LassoSignature` that follows.
    design : int
        How many of the last columns of X are no features: the site, and then covariates of the harmonisation.
    seed : int
        Seed of whatever draws.

    Attributes
    ----------
    steps_ : list
        The fitted steps.
    lasso_ : LassoSignature
        The fitted LASSO; its columns are those that the steps left.
    at_ : ndarray of int
        Columns of X that reached the LASSO, or the components that it chose from.
    median_, mean_, scale_, coef_ : ndarray, shape (columns,)
        As of `LassoSignature`, for every column of X; NaN (0 for `coef_`) for those that a step dropped. With a harmonisation they are meant after it.
    intercept_, penalty_ : float
        As of `LassoSignature`.
    kept_, selected_, spare_ : ndarray of int
        As of `LassoSignature`: columns of X.
    supported_ : bool
        As of `LassoSignature`.
    path_ : dict of str to ndarray
        As of `LassoSignature`.
    notes_ : tuple of str
        What a careful reader should know.
    """

    def __init__(self, steps: Sequence[Mapping[str, Any]] = (), lasso: Mapping[str, Any] | None = None, design: int = 0, seed: int = 0) -> None:
        self.steps = steps
        self.lasso = lasso
        self.design = design
        self.seed = seed

    def fit(self, X: ArrayLike, y: ArrayLike, groups: ArrayLike | None = None) -> Self:
        """Learn steps and signature.

        Parameters
        ----------
        X : array-like, shape (patients, columns)
            Features, NaN where missing, and the columns of `design`.
        y : array-like of 0 and 1, shape (patients,)
            Outcome; of any two values the larger is the event.
        groups : array-like of int, shape (patients,), optional
            Rows of one number stay together in the folds that choose the penalty.

        Returns
        -------
        SteppedSignature
            Itself.

        Raises
        ------
        ValueError
            If there is only one class, or a step is unknown.
        StepError
            If a step cannot do its work with these patients; the message begins with the step. It is a ValueError, too.
        """
        values, outcome = self._checked(X, y)
        width = values.shape[1] - self.design
        table, extra, at = values[:, :width], values[:, width:], np.arange(width)
        self.steps_: list[Any] = []
        for place, settings in enumerate(self.steps):
            step = self._build(settings, extra.shape[1])
            if self.steps_ and isinstance(self.steps_[-1], PrincipalComponents):
                message = "components (pca) can only be the last step, for what follows would choose among features that are no more"
                raise ValueError(message)
            given = np.hstack([table, extra]) if isinstance(step, ComBat) else table
            try:
                step.fit(given, outcome)
            except ValueError as error:
                raise _named(place, settings, error) from error
            table, at = self._apply(step, table, extra), at[step.kept_[: at.size]]
            self.steps_.append(step)
        self.at_: Integers = at
        self.lasso_ = LassoSignature(**{**(self.lasso or {}), "seed": self.seed}).fit(table, outcome, groups)
        self.notes_ = tuple(note for step in self.steps_ for note in getattr(step, "notes_", ()))
        self._spread()
        return self

    def _checked(self, X: ArrayLike, y: ArrayLike | None) -> tuple[Floats, Floats]:
        values, outcome = validate_data(self, X, y, dtype=np.float64, ensure_all_finite="allow-nan", y_numeric=True)
        classes = np.unique(outcome)
        if classes.size != 2:
            message = f"a signature needs outcomes of both 0 and 1, found {classes.size} class{'es' if classes.size > 1 else ''}: {classes[:5]}"
            raise ValueError(message)
        return values, (outcome == classes[1]).astype(np.float64)

    def _build(self, settings: Mapping[str, Any], extra: int) -> Any:  # noqa: ANN401 - any step
        """Give an unfitted step."""
        plain = dict(settings)
        kind = plain.pop("kind", None)
        if kind not in STEPS:
            message = f"there is no step {kind!r}; known are {', '.join(STEPS)}"
            raise ValueError(message)
        if kind == "combat" and extra:
            plain |= {"site": -extra, "covariates": tuple(range(1 - extra, 0))}
        if kind in _SEEDED:
            plain["seed"] = self.seed
        return STEPS[kind](**plain)

    @staticmethod
    def _apply(step: Any, table: Floats, extra: Floats) -> Floats:  # noqa: ANN401 - any step
        """Apply a fitted step without the checks and warnings of `transform`."""
        if isinstance(step, ComBat):
            table = step.transform(np.hstack([table, extra]))
        elif isinstance(step, MedianImputer | PrincipalComponents):
            table = step.transform(table)
        else:
            table = np.ascontiguousarray(table[:, step.kept_])
        return table

    def _spread(self) -> None:
        """Say for the columns of X what the LASSO says for those that the steps left."""
        found = self.lasso_
        self.median_, self.mean_, self.scale_ = (np.full(self.n_features_in_, np.nan) for _ in range(3))
        self.coef_ = np.zeros(self.n_features_in_)
        last = self.steps_[-1] if self.steps_ else None
        if isinstance(last, PrincipalComponents):
            self._spread_components(last)
            return
        for name in ("median_", "mean_", "scale_", "coef_"):
            getattr(self, name)[self.at_] = getattr(found, name)
        self.intercept_, self.penalty_, self.supported_, self.path_ = found.intercept_, found.penalty_, found.supported_, found.path_
        self.kept_, self.selected_, self.spare_ = self.at_[found.kept_], self.at_[found.selected_], self.at_[found.spare_]

    def _spread_components(self, step: PrincipalComponents) -> None:
        """Say for the columns of X what the LASSO says for components: each feature's part in all of them together."""
        found, used = self.lasso_, step.kept_
        for name in ("median_", "mean_", "scale_"):
            getattr(self, name)[self.at_] = getattr(step, name)[used]
        chosen = found.selected_
        slopes = found.coef_[chosen] / found.scale_[chosen] if chosen.size else np.empty(0)
        self.coef_[self.at_] = (slopes @ step.components_[chosen])[used] if chosen.size else 0.0
        self.intercept_ = found.intercept_ - float(slopes @ found.mean_[chosen]) if chosen.size else found.intercept_
        self.penalty_, self.supported_, self.path_ = found.penalty_, found.supported_, found.path_
        self.kept_, self.selected_, self.spare_ = self.at_, np.flatnonzero(self.coef_), self.at_

    def column_names(self, names: Sequence[str]) -> list[str]:
        """Name what `features` gives.

        Parameters
        ----------
        names : sequence of str
            Names of the columns of X.

        Returns
        -------
        list of str
            Features, or components where they take the features' place.
        """
        if self.steps_ and isinstance(self.steps_[-1], PrincipalComponents):
            return [f"component {j + 1}" for j in self.lasso_.columns]
        return [names[j] for j in self.columns]

    def _stepped(self, X: ArrayLike) -> Floats:
        check_is_fitted(self)
        values = validate_data(self, X, reset=False, dtype=np.float64, ensure_all_finite="allow-nan", ensure_min_samples=0)
        width = values.shape[1] - self.design
        table, extra = values[:, :width], values[:, width:]
        for place, (step, settings) in enumerate(zip(self.steps_, self.steps, strict=True)):
            try:
                table = self._apply(step, table, extra)
            except ValueError as error:
                raise _named(place, settings, error) from error
        result: Floats = table
        return result

    def transform(self, X: ArrayLike) -> Floats:
        """Give the signature.

        Parameters
        ----------
        X : array-like, shape (patients, columns)
            As for `fit`.

        Returns
        -------
        ndarray, shape (patients, 1)
            Linear predictor (log-odds). A patient's value has the same bits alone and among others, but for patients of an unseen site that is harmonised by its own location and scale.
        """
        return self.lasso_.transform(self._stepped(X))

    def features(self, X: ArrayLike) -> Floats:
        """Give the features that the signature selected, harmonised and standardised.

        Parameters
        ----------
        X : array-like, shape (patients, columns)
            As for `fit`.

        Returns
        -------
        ndarray, shape (patients, selected)
            Columns in the order of `columns`.
        """
        return self.lasso_.features(self._stepped(X))

    @property
    def columns(self) -> Integers:
        """Columns of X that `features` gives: those selected, or the spare ones where none was."""
        chosen: Integers = self.selected_ if self.selected_.size else self.spare_
        return chosen

    def fit_transform(self, X: ArrayLike, y: ArrayLike | None = None, **fit_params: object) -> Floats:
        """Learn steps and signature, and give the signature out-of-fold, as `LassoSignature.fit_transform` does; the steps are learned anew in each fold.

        Parameters
        ----------
        X : array-like, shape (patients, columns)
            As for `fit`.
        y : array-like of 0 and 1, shape (patients,)
            Outcome; of any two values the larger is the event.
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
            message = f"SteppedSignature.fit takes X and y alone, found {', '.join(fit_params)}"
            raise TypeError(message)
        values, outcome = self._checked(X, y)
        self.fit(X, outcome)
        fold = stratified_folds(outcome, self.lasso_.folds, [self.seed, 1])
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
        tags.classifier_tags = ClassifierTags(multi_class=False)
        # scikit-learn has no tag for a fit_transform that gives out-of-fold values; this one alone waives the check that it equals fit and transform.
        tags.non_deterministic = True
        return tags


def _named(place: int, settings: Mapping[str, Any], error: ValueError) -> StepError:
    return StepError(f"step {place + 1} of the selection ({settings['kind']}): {error}")


def compose_signature(selection: Sequence[SelectionStep], settings: SignatureConfig, seed: int, sites: Sequence[str] = ()) -> LassoSignature | CoxSignature | SteppedSignature:
    """Put steps and LASSO together.

    Parameters
    ----------
    selection : sequence of SelectionStep
        The steps, in order.
    settings : SignatureConfig
        Settings of the LASSO.
    seed : int
        Seed of whatever draws.
    sites : sequence of str
        Names of the training sites, for a harmonisation; see `sarcofuse.signature.sites.with_sites`.

    Returns
    -------
    LassoSignature, CoxSignature or SteppedSignature
        Unfitted; without steps the LASSO by itself.
    """
    lasso = settings.model_dump(exclude={"model"})
    if settings.model == "cox":
        return CoxSignature(**lasso, seed=seed)
    if not selection:
        return LassoSignature(**lasso, seed=seed)
    harmonised = combat_step(tuple(selection))
    steps = []
    for step in selection:
        plain = step.model_dump(mode="json")
        if step is harmonised:
            del plain["spare"], plain["covariates"]
            plain["labels"] = list(sites)
        steps.append(plain)
    return SteppedSignature(steps, lasso, 0 if harmonised is None else 1 + len(harmonised.covariates), seed)
