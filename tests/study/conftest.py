"""One small study of synthetic patients, run once for all tests here."""

from __future__ import annotations

from pathlib import Path

import pytest

from sarcofuse.config import StudyConfig, read_study, write_study
from sarcofuse.phantom import make_cohort
from sarcofuse.runtime import Engine
from sarcofuse.study import RunResult, demo_study, run

SMALL = {
    "segment": {"masks": "model", "folds": 2, "epochs": 12, "filters": 8, "spacing": [4.0, 4.0, 6.0]},
    "radiomics": {"log_sigma": [3.0], "wavelet": None, "regions": {"ring": [0, 5], "rim": 4, "habitats": 2, "classes": ["firstorder"]}},
    "deep": {"crop": "largest"},
    "models": {"folds": 3, "tuning": False, "signature": {"folds": 3, "penalties": 12}},
    "evaluation": {"bootstrap": 100, "truth": "cohort/truth.json"},
}
PATIENTS = 30


def small_study(**changes: object) -> StudyConfig:
    """The demo's settings, made quick."""
    plain = demo_study().model_dump(mode="json")
    for name, section in {**SMALL, **changes}.items():
        plain[name] = {**plain[name], **section} if isinstance(section, dict) and isinstance(plain[name], dict) else section
    return StudyConfig.model_validate(plain)


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a synthetic cohort and the small study's study.yaml."""
    folder = tmp_path_factory.mktemp("study")
    with Engine(folder / "cache") as engine:
        make_cohort(folder / "cohort", patients=PATIENTS, seed=1, engine=engine)
    write_study(small_study(), folder / "study.yaml")
    assert read_study(folder / "study.yaml") == small_study()
    return folder


@pytest.fixture(scope="session")
def finished(home: Path) -> RunResult:
    """The small study, run to its end."""
    return run(home / "study.yaml", home / "run", workers=2)
