"""Settings of evaluation and report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from sarcofuse.config.base import Section


class EvaluationConfig(Section):
    """Statistics of the nine models."""

    bootstrap: Annotated[int, Field(ge=100, description="Stratified bootstrap samples.")] = 1000
    confidence: Annotated[float, Field(gt=0.5, lt=1, description="Coverage of the intervals.")] = 0.95
    truth: Annotated[Path | None, Field(description="truth.json of a phantom cohort, whose best possible (Bayes) AUC is known; relative to study.yaml.")] = None


class ReportConfig(Section):
    """The report."""

    title: Annotated[str, Field(description="Title of the report.")] = "Sarcofuse study"
    overlays: Annotated[int, Field(ge=0, description="Patients shown with their tumour mask.")] = 12
    identifiers: Annotated[bool, Field(description="Print patient identifiers; otherwise patients are numbered.")] = False
