"""Signatures: a block of features becomes one number a patient; and the steps that may stand before."""

from sarcofuse.signature.components import PrincipalComponents
from sarcofuse.signature.cox import CoxSignature
from sarcofuse.signature.embedded import BorutaSelector, L1Selector
from sarcofuse.signature.gaps import MedianImputer, VarianceFilter
from sarcofuse.signature.harmonise import ComBat
from sarcofuse.signature.lasso import LassoSignature
from sarcofuse.signature.mrmr import MrmrSelector
from sarcofuse.signature.stability import StabilityFilter
from sarcofuse.signature.steps import SteppedSignature, compose_signature
from sarcofuse.signature.univariate import CorrelationFilter, UnivariateFilter

__all__ = [
    "BorutaSelector",
    "ComBat",
    "CorrelationFilter",
    "CoxSignature",
    "L1Selector",
    "LassoSignature",
    "MedianImputer",
    "MrmrSelector",
    "PrincipalComponents",
    "StabilityFilter",
    "SteppedSignature",
    "UnivariateFilter",
    "VarianceFilter",
    "compose_signature",
]
