"""Evaluation of frozen models: figures with intervals, comparisons, curves, subgroups, follow-up."""

from sarcofuse.evaluation.evaluate import Evaluation, evaluate
from sarcofuse.evaluation.followup import PatientData
from sarcofuse.evaluation.masks import mask_figures

__all__ = ["Evaluation", "PatientData", "evaluate", "mask_figures"]
