"""Radiomic features that do not outlast perturbation are kept from the models."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sarcofuse.bundle import load_bundle
from sarcofuse.config import StudyConfig
from sarcofuse.metrics import icc
from sarcofuse.study import RunResult, run
from tests.study.conftest import small_study

pytestmark = pytest.mark.slow

FILTER = {"perturbations": 2, "bound": False, "masks": True, "threshold": 0.6}


@pytest.fixture(scope="module")
def filtered(finished: RunResult, home: Path) -> RunResult:
    """The small study with the filter, going on from what the study without it left."""
    shutil.copytree(finished.folder / "cache", home / "filtered" / "cache")
    plain = small_study().model_dump(mode="json")
    plain["models"]["stability"] = FILTER
    study = home / "filtered.yaml"
    import yaml

    study.write_text(yaml.safe_dump(plain), encoding="utf8")
    return run(study, home / "filtered", workers=2)


def test_what_is_reported_is_the_intraclass_correlation_over_training_patients(filtered: RunResult, finished: RunResult) -> None:
    found = pd.read_csv(filtered.folder / "stability.csv", index_col="feature")
    table = pd.read_parquet(finished.folder / "features" / "radiomic.parquet")
    training = sorted(p for p, s in pd.read_parquet(finished.folder / "cohort.parquet").set_index("patient_id")["split"].items() if s == "train" and p in table.index)
    again = np.load(filtered.folder / "features" / "radiomic-perturbed.npy")
    assert again.shape == (len(training), 3, table.shape[1])
    np.testing.assert_allclose(again[:, 0], table.loc[training].to_numpy(), rtol=1e-9)
    np.testing.assert_allclose(found["icc21"], icc(again).value, rtol=1e-9)
    both = np.load(filtered.folder / "features" / "radiomic-masks.npy")
    np.testing.assert_allclose(found["masks_icc21"], icc(both).value, rtol=1e-9)
    stable = (found["icc21"] >= 0.6) & (found["masks_icc21"] >= 0.6)
    assert found["stable"].tolist() == stable.tolist()
    assert 0 < stable.sum() < len(stable)


def test_models_and_bundle_take_stable_features_alone(filtered: RunResult, home: Path) -> None:
    found = pd.read_csv(filtered.folder / "stability.csv", index_col="feature")
    stable = set(found.index[found["stable"]])
    signatures = [m["signatures"]["radiomic"] for m in json.loads((filtered.folder / "models.json").read_text()) if "radiomic" in m["signatures"]]
    assert signatures
    assert all({*s["coefficients"], *s["stand_in"]} <= stable for s in signatures)
    assert load_bundle(filtered.folder / "bundle").manifest.columns["radiomic"] == tuple(found.index)


def test_the_report_tells(filtered: RunResult, finished: RunResult) -> None:
    count = pd.read_csv(filtered.folder / "stability.csv")["stable"].sum()
    text = (filtered.folder / "report.html").read_text()
    assert f"{count} of " in text
    assert "radiomic features are stable" in text
    assert "radiomic features are stable" not in (finished.folder / "report.html").read_text()


def test_a_second_run_perturbs_nobody_and_gives_the_same_bytes(filtered: RunResult, home: Path, tmp_path: Path) -> None:
    again = shutil.copytree(filtered.folder, tmp_path / "again")
    before = {f.name for f in (again / "cache" / "perturb").iterdir()}
    run(home / "filtered.yaml", again, workers=2, until="models")
    assert {f.name for f in (again / "cache" / "perturb").iterdir()} == before
    for name in ("stability.csv", "predictions.csv", "features/radiomic-perturbed.npy"):
        assert (again / name).read_bytes() == (filtered.folder / name).read_bytes()


def test_tables_have_no_images_to_perturb() -> None:
    with pytest.raises(ValueError, match="a study with feature tables"):
        StudyConfig.model_validate({"features": {"radiomic": "r.csv"}, "models": {"stability": {"perturbations": 5}}})
    with pytest.raises(ValueError, match=r"a study with feature tables .* set models\.stability\.deep: 0"):
        StudyConfig.model_validate({"features": {"deep": "d.csv"}, "models": {"stability": {"deep": 5}}})


def test_a_learnt_signature_is_not_judged_as_features_are() -> None:
    with pytest.raises(ValueError, match=r"one learnt signature takes their place; set models\.stability\.deep: 0"):
        StudyConfig.model_validate({"deep": {"fine_tune": {"mode": "probe"}}, "models": {"stability": {"deep": 5}}})
