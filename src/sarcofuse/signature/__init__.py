"""Signatures: a block of features becomes one number a patient."""

from sarcofuse.signature.lasso import LassoSignature

__all__ = ["LassoSignature"]
