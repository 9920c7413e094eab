"""Fixtures that all tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--oracle", metavar="PYTHON", help="interpreter that has PyRadiomics, for the live comparison with it")


@pytest.fixture(scope="session")
def reference_data() -> Path:
    """Folder of real data: $SARCOFUSE_REFERENCE_DATA, else ../shared/data beside the checkout; the test is skipped where there is none."""
    named = os.environ.get("SARCOFUSE_REFERENCE_DATA")
    folder = Path(named) if named else Path(__file__).resolve().parents[2] / "shared" / "data"
    if not (folder / "MANIFEST.csv").exists():
        pytest.skip(f"no reference data: {folder} holds no MANIFEST.csv; set SARCOFUSE_REFERENCE_DATA to a folder that does")
    return folder
