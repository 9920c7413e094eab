"""What flows between the stages: small frozen records, valid once constructed.

Arrays are in (z, y, x) order, as SimpleITK gives them; spacing, origin and direction are in (x, y, z) order, in
millimetres, in the patient coordinate system of DICOM (LPS).
"""

from sarcofuse.records.images import Geometry, Mask, Volume
from sarcofuse.records.names import alone, block_alone
from sarcofuse.records.patients import SPLITS, Case, Cohort, MaskQuality, MaskSource, Outcomes, Patient, SetAside, Split
from sarcofuse.records.prompts import PROMPTS, Prompt, PromptKind
from sarcofuse.records.tables import FeatureTable, Prediction

__all__ = [
    "PROMPTS",
    "SPLITS",
    "Case",
    "Cohort",
    "FeatureTable",
    "Geometry",
    "Mask",
    "MaskQuality",
    "MaskSource",
    "Outcomes",
    "Patient",
    "Prediction",
    "Prompt",
    "PromptKind",
    "SetAside",
    "Split",
    "Volume",
    "alone",
    "block_alone",
]
