"""Settings of the steps that stand before a signature's LASSO, each of them learned inside every fold."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from sarcofuse.config.base import Section

TestField = Annotated[
    Literal["mannwhitney", "t", "anova"],
    Field(description="Mann and Whitney's test, Welch's t-test, or the F-test of an analysis of variance."),
]


class ImputeStep(Section):
    """Gaps are filled with the median; features that too many patients lack are dropped."""

    kind: Annotated[Literal["impute"], Field(description="Which step this is.")] = "impute"
    limit: Annotated[float, Field(ge=0, le=1, description="Largest share of training patients who may lack a kept feature.")] = 0.2


class VarianceStep(Section):
    """Features with hardly any variance are dropped."""

    kind: Annotated[Literal["variance"], Field(description="Which step this is.")] = "variance"
    ratio: Annotated[float, Field(ge=1, description="Largest frequency of the most common value relative to the second.")] = 19.0
    distinct: Annotated[float, Field(ge=0, le=1, description="Distinct values as a share of the patients, above which the ratio does not matter.")] = 0.1


class UnivariateStep(Section):
    """Features associated with the outcome by themselves are kept, with control of false discoveries."""

    kind: Annotated[Literal["univariate"], Field(description="Which step this is.")] = "univariate"
    test: TestField = "mannwhitney"
    control: Annotated[Literal["bh", "by", "none"], Field(description="False discovery rate by Benjamini and Hochberg, by Benjamini and Yekutieli, or plain p-values.")] = "bh"
    level: Annotated[float, Field(gt=0, le=1, description="Largest false discovery rate, or p-value, of a kept feature.")] = 0.05
    count: Annotated[int | None, Field(ge=1, description="Keep so many of the strongest instead.")] = None
    least: Annotated[int, Field(ge=1, description="Features to keep where fewer reach the level.")] = 5


class CorrelationStep(Section):
    """Of features that correlate too much one is kept."""

    kind: Annotated[Literal["correlation"], Field(description="Which step this is.")] = "correlation"
    limit: Annotated[float, Field(gt=0, le=1, description="Largest absolute correlation of two kept features.")] = 0.9
    keep: Annotated[Literal["stronger", "first"], Field(description="Keep the one of the stronger association with the outcome, or the first of the table.")] = "stronger"
    method: Annotated[Literal["pearson", "spearman"], Field(description="Correlation of values or of ranks.")] = "pearson"
    test: TestField = "mannwhitney"


class MrmrStep(Section):
    """Minimum redundancy, maximum relevance."""

    kind: Annotated[Literal["mrmr"], Field(description="Which step this is.")] = "mrmr"
    count: Annotated[int, Field(ge=1, description="Features to keep.")] = 20
    measure: Annotated[Literal["f", "binned"], Field(description="F-statistic and correlation (FCQ, FCD), or mutual information of features in three states (MIQ, MID).")] = "f"
    scheme: Annotated[Literal["quotient", "difference"], Field(description="Relevance over redundancy, or relevance less redundancy.")] = "quotient"


class BorutaStep(Section):
    """Features that a forest finds more important than the best of shuffled copies."""

    kind: Annotated[Literal["boruta"], Field(description="Which step this is.")] = "boruta"
    forest: Annotated[Literal["extratrees", "randomforest"], Field(description="Which forest.")] = "extratrees"
    trees: Annotated[int, Field(ge=1, description="Trees in each forest.")] = 200
    depth: Annotated[int | None, Field(ge=1, description="Depth of the trees; empty for no limit.")] = 5
    rounds: Annotated[int, Field(ge=1, description="Most rounds.")] = 50
    level: Annotated[float, Field(gt=0, lt=1, description="Level of the binomial tests, corrected by Bonferroni.")] = 0.05
    tentative: Annotated[bool, Field(description="Keep also features that are neither confirmed nor rejected.")] = False
    least: Annotated[int, Field(ge=1, description="Features to keep where fewer are confirmed.")] = 5


class L1Step(Section):
    """Features of the largest coefficients in an L1-penalised logistic regression at a fixed penalty, unstandardised."""

    kind: Annotated[Literal["l1"], Field(description="Which step this is.")] = "l1"
    count: Annotated[int, Field(ge=1, description="Features to keep.")] = 16
    C: Annotated[float, Field(gt=0, description="Inverse strength of the penalty.")] = 1.0


class CombatStep(Section):
    """ComBat: the effect of sites is taken out."""

    kind: Annotated[Literal["combat"], Field(description="Which step this is.")] = "combat"
    unseen: Annotated[
        Literal["refuse", "reference", "location-scale"],
        Field(description="Patients of a site that training did not have: refuse them; treat them like the reference site; or learn the site's own shift and scale from all its images together, without outcomes."),
    ] = "refuse"
    reference: Annotated[str | None, Field(description="Site whose values stay as they are; empty for the mean of all.")] = None
    covariates: Annotated[tuple[str, ...], Field(description="Numeric clinical variables whose effect is preserved.")] = ()
    least: Annotated[int, Field(ge=2, description="Fewest patients of an unseen site to learn from (location-scale).")] = 10
    bayes: Annotated[bool, Field(description="Shrink shifts and scales by empirical Bayes.")] = True
    spare: Annotated[tuple[str, ...], Field(description="Blocks that are not harmonised.")] = ("clinical",)

    @model_validator(mode="after")
    def _check_reference(self) -> Self:
        if self.unseen == "reference" and self.reference is None:
            message = "unseen: reference treats patients of other sites like the reference site; name it (reference: SITE)"
            raise ValueError(message)
        return self


class PcaStep(Section):
    """Principal components take the place of the features; only as the last step."""

    kind: Annotated[Literal["pca"], Field(description="Which step this is.")] = "pca"
    share: Annotated[float, Field(gt=0, le=1, description="Share of the variance of the standardised features that the components explain together.")] = 0.95
    count: Annotated[int | None, Field(ge=1, description="Number of components instead.")] = None


SelectionStep = Annotated[ImputeStep | VarianceStep | UnivariateStep | CorrelationStep | MrmrStep | BorutaStep | L1Step | CombatStep | PcaStep, Field(discriminator="kind")]


class Harmonisation(Section):
    """What it takes to harmonise new patients: the training sites, and the rule for others."""

    sites: tuple[str, ...]
    step: CombatStep


def combat_step(selection: tuple[SelectionStep, ...]) -> CombatStep | None:
    """Give the harmonisation among the steps.

    Parameters
    ----------
    selection : tuple of SelectionStep
        The steps.

    Returns
    -------
    CombatStep or None
        None where nothing is harmonised.
    """
    return next((s for s in selection if isinstance(s, CombatStep)), None)
