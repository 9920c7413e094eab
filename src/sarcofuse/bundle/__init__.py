"""The frozen model: written by the study, read at another hospital."""

from sarcofuse.bundle.manifest import Manifest, read_manifest
from sarcofuse.bundle.predict import Bundle, Risk, load_bundle
from sarcofuse.bundle.why import Explanation, deep_formulas, deep_signatures, explain_deep, explain_patients
from sarcofuse.bundle.write import Parts, lead_model, write_bundle

__all__ = ["Bundle", "Explanation", "Manifest", "Parts", "Risk", "deep_formulas", "deep_signatures", "explain_deep", "explain_patients", "lead_model", "load_bundle", "read_manifest", "write_bundle"]
