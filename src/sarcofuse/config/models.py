"""Settings of signatures and models."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from sarcofuse.config.base import Section
from sarcofuse.config.perturb import StabilityConfig
from sarcofuse.config.selection import CombatStep, SelectionStep


class SignatureConfig(Section):
    """LASSO signatures: the linear predictor of an L1-penalised logistic regression, or Cox model."""

    model: Annotated[Literal["logistic", "cox"], Field(description="`logistic` learns from the outcome; `cox` from the time to it as well, in months (cohort.time).")] = "logistic"
    l1_ratio: Annotated[float, Field(gt=0, le=1, description="1 for the LASSO; less for an elastic net, which keeps correlated features together.")] = 1.0
    folds: Annotated[int, Field(ge=2, description="Inner folds that choose the penalty and give out-of-fold signatures.")] = 5
    repeats: Annotated[int, Field(ge=1, description="How often the cross-validation that chooses the penalty is repeated with other folds.")] = 3
    penalties: Annotated[int, Field(ge=2, description="Penalties on the path.")] = 50
    ratio: Annotated[float, Field(gt=0, lt=1, description="Smallest penalty as a share of the largest.")] = 0.02
    rule: Annotated[Literal["min", "1se"], Field(description="`min`: the penalty of least deviance; `1se`: the largest penalty within one standard error of it.")] = "min"
    least: Annotated[int, Field(ge=0, description="Features to take where the inner cross-validation would rather have none, as it often does with few patients; 0 for a constant signature then.")] = 5
    correlation: Annotated[float, Field(gt=0, le=1, description="Of two features that correlate more than this the later one is dropped.")] = 0.95


class ModelsConfig(Section):
    """Feature sets, classifiers, and how they are tuned."""

    classifiers: Annotated[tuple[str, ...], Field(min_length=1, description="extratrees, svm, logistic; by name also randomforest, gradientboosting, knn, naivebayes, mlp, and lightgbm and xgboost where they are installed (extras). With -weights, -under, -over or -smote (logistic-smote) the classes of the training rows are balanced inside every fold.")] = ("extratrees", "svm", "logistic")
    fused: Annotated[tuple[str, ...], Field(min_length=2, description="Blocks whose fusion is a feature set of its own: `dlr` for radiomic and deep, else their names joined with `+`.")] = ("radiomic", "deep")
    fusion: Annotated[Literal["signatures", "features"], Field(description="What is fused: the out-of-fold signatures of the blocks, or the selected features.")] = "signatures"
    alone: Annotated[bool, Field(description="With fusion: signatures, fit each fused block's signature by itself too (`radiomic-signature`, `deep-signature`): what fusion adds is told against these, for nothing but the other signature differs.")] = True
    clinical: Annotated[bool, Field(description="Add the clinical variables as a fourth feature set.")] = False
    fuse_clinical: Annotated[bool, Field(description="Join the clinical variables to the fused set as one more block (`dlr+clinical`).")] = False
    ablation: Annotated[bool, Field(description="Out-of-fold AUC of the primary classifier on every subset of the blocks, recorded with the primary model.")] = False
    primary: Annotated[tuple[str, str], Field(description="Feature set and classifier that the bundle leads with.")] = ("dlr", "extratrees")
    folds: Annotated[int, Field(ge=2, description="Outer folds for the training patients' out-of-fold risks.")] = 5
    repeats: Annotated[int, Field(ge=1, description="How often the outer cross-validation is repeated with other folds; a patient's out-of-fold risk is then the mean of its log-odds, and the spread of the AUC over the repeats is recorded.")] = 1
    tuning: Annotated[bool, Field(description="Tune the classifiers by cross-validation inside each fold.")] = True
    search: Annotated[Literal["grid", "random", "optuna"], Field(description="Where tuning looks: a small `grid`, `random` draws, or Optuna's sampler (extra `optuna`).")] = "grid"
    budget: Annotated[int, Field(ge=1, description="Trials of `random` and `optuna`; the first is the default setting.")] = 20
    optimism: Annotated[int, Field(ge=0, description="Bootstrap samples that correct the training figures of the primary model for optimism (Harrell), its settings being fixed; 0 for none.")] = 0
    learning_curve: Annotated[tuple[Annotated[float, Field(gt=0, le=1)], ...], Field(description="Shares of the training patients at which the primary model's out-of-fold AUC is measured, such as [0.25, 0.5, 0.75, 1.0]; empty for no learning curve.")] = ()
    threshold: Annotated[Literal["youden", "sensitivity"], Field(description="How the operating point is chosen on out-of-fold training risks.")] = "youden"
    sensitivity: Annotated[float, Field(gt=0, lt=1, description="Wanted sensitivity (threshold: sensitivity).")] = 0.9
    selection: Annotated[
        tuple[SelectionStep, ...], Field(description="Steps that features go through before the LASSO, in order, each learned inside every fold: impute, variance, univariate, correlation, mrmr, boruta, l1, combat, pca.")
    ] = ()
    signature: Annotated[SignatureConfig, Field(description="LASSO signatures.")] = SignatureConfig()
    stability: Annotated[StabilityConfig, Field(description="Radiomic and deep features must outlast perturbation.")] = StabilityConfig()

    @model_validator(mode="after")
    def _check_selection(self) -> Self:
        if sum(isinstance(s, CombatStep) for s in self.selection) > 1:
            message = "selection harmonises (combat) more than once; keep one of the steps"
            raise ValueError(message)
        if any(s.kind == "pca" for s in self.selection[:-1]):
            message = "components (pca) can only be the last step of the selection; put the others before it"
            raise ValueError(message)
        if self.selection and self.signature.model == "cox":
            message = "selection is made for the outcome, not for the time to it; take signature.model: logistic, or leave selection out"
            raise ValueError(message)
        return self
