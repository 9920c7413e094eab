"""Sarcofuse: recurrence of soft tissue sarcoma from one MRI, honestly validated.

Everything that a command of ``sarcofuse`` does is one call here. Names are loaded when they are first used, so that
``import sarcofuse`` costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    "SarcofuseError": "errors",
    "StudyConfig": "config",
    "audit": "study",
    "bayes_auc": "phantom",
    "check_study": "study",
    "convert_dicom": "imaging",
    "demo": "study",
    "explain_deep": "bundle",
    "extract_deep": "deep",
    "extract_radiomics": "radiomics",
    "load_bundle": "bundle",
    "make_cohort": "phantom",
    "make_study": "cohort",
    "read_mask": "imaging",
    "read_study": "config",
    "read_volume": "imaging",
    "run": "study",
    "write_report": "report",
}

__all__ = [
    "SarcofuseError",
    "StudyConfig",
    "audit",
    "bayes_auc",
    "check_study",
    "convert_dicom",
    "demo",
    "explain_deep",
    "extract_deep",
    "extract_radiomics",
    "load_bundle",
    "make_cohort",
    "make_study",
    "read_mask",
    "read_study",
    "read_volume",
    "run",
    "write_report",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the name stands for
    if name not in _HOMES:
        message = f"module 'sarcofuse' has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(importlib.import_module(f"sarcofuse.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
