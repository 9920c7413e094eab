"""Evaluation of frozen models: figures with intervals, comparisons, curves, subgroups, follow-up."""

from sarcofuse.evaluation.evaluate import Evaluation, evaluate
from sarcofuse.evaluation.followup import PatientData

__all__ = ["Evaluation", "PatientData", "evaluate"]
