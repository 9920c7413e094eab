"""Settings of evaluation and report."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator

from sarcofuse.config.base import Section

Risk = Annotated[float, Field(gt=0, lt=1)]
Months = Annotated[float, Field(gt=0)]


class EvaluationConfig(Section):
    """Statistics of the nine models."""

    bootstrap: Annotated[int, Field(ge=100, description="Stratified bootstrap samples.")] = 1000
    confidence: Annotated[float, Field(gt=0.5, lt=1, description="Coverage of the intervals.")] = 0.95
    intervals: Annotated[Literal["bca", "percentile"], Field(description="`bca`: bias-corrected and accelerated bootstrap intervals; `percentile`: plain percentiles of the samples.")] = "bca"
    hosmer_lemeshow: Annotated[bool, Field(description="Add the test of Hosmer and Lemeshow, which some journals ask for; the distances from the calibration curve (ICI, E90) say more.")] = False
    risk_categories: Annotated[tuple[Risk, ...], Field(description="Rising cuts between risk categories for the net reclassification improvement; by default each model's locked threshold is the one cut.")] = ()
    subgroups: Annotated[tuple[str, ...], Field(description="Clinical columns in whose groups the primary model is measured; numbers of more than 5 values are parted at the training median.")] = ()
    horizons: Annotated[tuple[Months, ...], Field(description="Times in months, rising, at which risks are judged where follow-up times are given; by default the quartiles of the training patients' event times.")] = ()
    truth: Annotated[Path | None, Field(description="truth.json of a phantom cohort, whose best possible (Bayes) AUC is known; relative to study.yaml.")] = None

    @field_validator("risk_categories", "horizons")
    @classmethod
    def _rising(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        if any(later <= earlier for earlier, later in itertools.pairwise(values)):
            message = f"values must rise, found {list(values)}"
            raise ValueError(message)
        return values


class ReportConfig(Section):
    """The report."""

    title: Annotated[str, Field(description="Title of the report.")] = "Sarcofuse study"
    overlays: Annotated[int, Field(ge=0, description="Patients shown with their tumour mask.")] = 12
    maps: Annotated[int, Field(ge=0, description="Patients shown with the map of their deep signature: half of them those of the highest, half those of the lowest, of the test splits if there are any.")] = 6
    identifiers: Annotated[bool, Field(description="Print patient identifiers; otherwise patients are numbered.")] = False
