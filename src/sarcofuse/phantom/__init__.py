"""Synthetic patients of two hospitals, for whom the truth is known: who recurs and why, where the tumour is, and how good a model can get."""

from sarcofuse.phantom.cohort import PhantomCohort, make_cohort
from sarcofuse.phantom.patient import draw_patient
from sarcofuse.phantom.plan import PatientPlan, plan_cohort
from sarcofuse.phantom.truth import SOURCES, Latents, bayes_auc

__all__ = ["SOURCES", "Latents", "PatientPlan", "PhantomCohort", "bayes_auc", "draw_patient", "make_cohort", "plan_cohort"]
