"""Signatures: a block of features becomes one number a patient."""

from sarcofuse.signature.cox import CoxSignature
from sarcofuse.signature.lasso import LassoSignature
from sarcofuse.signature.stability import StabilityFilter

__all__ = ["CoxSignature", "LassoSignature", "StabilityFilter"]
