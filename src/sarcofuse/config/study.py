"""The whole of study.yaml."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from sarcofuse.config.base import Section
from sarcofuse.config.cohort import CohortConfig
from sarcofuse.config.deep import DeepConfig
from sarcofuse.config.evaluation import EvaluationConfig, ReportConfig
from sarcofuse.config.models import ModelsConfig
from sarcofuse.config.preprocess import PreprocessConfig
from sarcofuse.config.radiomics import RadiomicsConfig
from sarcofuse.config.segment import SegmentConfig


class StudyConfig(Section):
    """A study: one section a stage."""

    seed: Annotated[int, Field(ge=0, description="Seed of everything that is drawn; the same seed gives the same bytes.")] = 0
    cohort: Annotated[CohortConfig, Field(description="The patients.")] = CohortConfig()
    features: Annotated[dict[str, Path], Field(description="Feature tables made elsewhere, by block (radiomic, deep), .csv or .parquet with a patient_id column; the imaging stages are then skipped.")] = {}
    preprocess: Annotated[PreprocessConfig, Field(description="Orientation, bias field, grid, intensities.")] = PreprocessConfig()
    segment: Annotated[SegmentConfig, Field(description="Tumour masks.")] = SegmentConfig()
    radiomics: Annotated[RadiomicsConfig, Field(description="Radiomic features.")] = RadiomicsConfig()
    deep: Annotated[DeepConfig, Field(description="Deep features.")] = DeepConfig()
    models: Annotated[ModelsConfig, Field(description="Signatures and models.")] = ModelsConfig()
    evaluation: Annotated[EvaluationConfig, Field(description="Statistics.")] = EvaluationConfig()
    report: Annotated[ReportConfig, Field(description="The report.")] = ReportConfig()

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        stability = self.models.stability
        if self.features and (stability.perturbations or stability.deep):
            message = f"models.stability perturbs images, and a study with feature tables (features) has none; set models.stability.{'perturbations' if stability.perturbations else 'deep'}: 0"
            raise ValueError(message)
        if stability.deep and self.deep.fine_tune.mode != "none":
            message = "models.stability.deep judges features as they came, and with deep.fine_tune one learnt signature takes their place; set models.stability.deep: 0, or deep.fine_tune.mode: none"
            raise ValueError(message)
        if self.features and self.deep.fine_tune.mode != "none":
            message = "deep.fine_tune learns from images, and a study with feature tables (features) has none; set deep.fine_tune.mode: none"
            raise ValueError(message)
        for setting, asked in (("models.signature.model: cox", self.models.signature.model == "cox"), ("cohort.competing", self.cohort.competing is not None)):
            if asked and self.cohort.time is None:
                message = f"{setting} needs follow-up times; name their column in cohort.time"
                raise ValueError(message)
        return self
