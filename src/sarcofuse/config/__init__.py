"""The configuration: one frozen pydantic section a stage, read from study.yaml."""

from sarcofuse.config.base import Section
from sarcofuse.config.cohort import CohortConfig, SplitConfig
from sarcofuse.config.deep import DeepConfig, FineTuneConfig, OnnxConfig
from sarcofuse.config.evaluation import EvaluationConfig, ReportConfig
from sarcofuse.config.external import NnunetConfig, TotalSegmentatorConfig
from sarcofuse.config.ibsi import IbsiConfig
from sarcofuse.config.models import ModelsConfig, SignatureConfig
from sarcofuse.config.perturb import PerturbConfig, StabilityConfig
from sarcofuse.config.preprocess import PreprocessConfig
from sarcofuse.config.radiomics import RadiomicsConfig
from sarcofuse.config.regions import Codebook, RegionsConfig
from sarcofuse.config.segment import RefineConfig, SegmentConfig
from sarcofuse.config.selection import CombatStep, Harmonisation, SelectionStep, combat_step
from sarcofuse.config.study import StudyConfig
from sarcofuse.config.yaml import commented_yaml, read_study, write_study

__all__ = [
    "Codebook",
    "CohortConfig",
    "CombatStep",
    "DeepConfig",
    "EvaluationConfig",
    "FineTuneConfig",
    "Harmonisation",
    "IbsiConfig",
    "ModelsConfig",
    "NnunetConfig",
    "OnnxConfig",
    "PerturbConfig",
    "PreprocessConfig",
    "RadiomicsConfig",
    "RefineConfig",
    "RegionsConfig",
    "ReportConfig",
    "Section",
    "SegmentConfig",
    "SelectionStep",
    "SignatureConfig",
    "SplitConfig",
    "StabilityConfig",
    "StudyConfig",
    "TotalSegmentatorConfig",
    "combat_step",
    "commented_yaml",
    "read_study",
    "write_study",
]
