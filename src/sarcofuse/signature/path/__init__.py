"""Penalised regression along a path of penalties: Gaussian, binomial and Cox, compiled."""

from sarcofuse.signature.path.crossval import CrossValidation, cross_validate
from sarcofuse.signature.path.fit import Path, fit_path
from sarcofuse.signature.path.walker import PathSettings, Walker

__all__ = ["CrossValidation", "Path", "PathSettings", "Walker", "cross_validate", "fit_path"]
