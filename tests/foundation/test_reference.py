"""The committed reference pages are those of the schema."""

from __future__ import annotations

from pathlib import Path

import pytest

from sarcofuse.config.reference import cohort_reference, study_reference

DOCS = Path(__file__).resolve().parents[2] / "docs" / "reference"


@pytest.mark.parametrize(("file", "text"), [("study-yaml.md", study_reference()), ("cohort-csv.md", cohort_reference())], ids=["study", "cohort"])
def test_reference_is_up_to_date(file: str, text: str) -> None:
    assert (DOCS / file).read_text(encoding="utf8") == text, "run: python -m sarcofuse.config.reference"
