"""Scikit-learn's own checks of every estimator that stands in a fold."""

from __future__ import annotations

import pytest
from sklearn.utils.estimator_checks import estimator_checks_generator

from sarcofuse.models.resample import OverSampler, SmoteSampler, UnderSampler
from sarcofuse.signature.embedded import BorutaSelector, L1Selector
from sarcofuse.signature.gaps import MedianImputer, VarianceFilter
from sarcofuse.signature.harmonise import ComBat
from sarcofuse.signature.mrmr import MrmrSelector
from sarcofuse.signature.steps import SteppedSignature
from sarcofuse.signature.univariate import CorrelationFilter, UnivariateFilter

ESTIMATORS = [
    MedianImputer(),
    VarianceFilter(),
    UnivariateFilter(),
    UnivariateFilter(test="anova", control="by"),
    CorrelationFilter(),
    CorrelationFilter(keep="stronger", method="spearman"),
    MrmrSelector(),
    MrmrSelector(measure="binned", scheme="difference"),
    L1Selector(),
    BorutaSelector(trees=10, rounds=4),
    ComBat(),
    SteppedSignature([{"kind": "impute"}, {"kind": "variance"}, {"kind": "univariate", "least": 2}, {"kind": "combat"}, {"kind": "mrmr"}], {"folds": 3, "repeats": 1, "penalties": 8}),
    UnderSampler(),
    OverSampler(),
    SmoteSampler(),
]
CHECKS = [pytest.param(e, c, id=f"{type(e).__name__}-{i}-{getattr(c, 'func', c).__name__}") for i, e in enumerate(ESTIMATORS) for _, c in estimator_checks_generator(e)]


@pytest.mark.parametrize(("estimator", "check"), CHECKS)
def test_scikit_learns_conventions(estimator, check):
    check(estimator)
