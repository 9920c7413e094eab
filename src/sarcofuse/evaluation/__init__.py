"""Evaluation of frozen models: figures with intervals, comparisons, curves."""

from sarcofuse.evaluation.evaluate import Evaluation, evaluate

__all__ = ["Evaluation", "evaluate"]
