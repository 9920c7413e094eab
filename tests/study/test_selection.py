"""A study of feature tables from three hospitals, harmonised and selected inside every fold, and its bundle."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sarcofuse.bundle import load_bundle
from sarcofuse.cohort import read_cohort
from sarcofuse.config import StudyConfig, write_study
from sarcofuse.errors import BundleError, CohortError
from sarcofuse.metrics import auc
from sarcofuse.records import Patient
from sarcofuse.runtime import read_table
from sarcofuse.study import run

PATIENTS = 150
STEPS = [{"kind": "combat", "covariates": ["age"]}, {"kind": "impute"}, {"kind": "univariate", "level": 0.2}, {"kind": "correlation"}]


def make(folder: Path, selection: list[dict[str, object]], **columns: object) -> StudyConfig:
    """Three sites whose scanners shift and stretch the features; the third is the external one."""
    rng = np.random.default_rng(0)
    ids = [f"P{i:03d}" for i in range(PATIENTS)]
    site = np.arange(PATIENTS) % 3
    age = rng.normal(60, 8, PATIENTS).round()
    latent = rng.normal(size=(PATIENTS, 12)) + 0.05 * (age - 60)[:, None]
    y = (rng.random(PATIENTS) < 1 / (1 + np.exp(-1.5 * (latent[:, 0] - latent[:, 1])))).astype(int)
    values = latent * (1.0 + site)[:, None] + 4.0 * site[:, None]
    split = np.where(site == 2, "external", np.where(np.arange(PATIENTS) % 10 == 0, "internal", "train"))
    table = {"patient_id": ids, "site": np.array(["North", "South", "West"])[site], "split": split, "recurrence": y, "age": age, **columns}
    pd.DataFrame(table).to_csv(folder / "cohort.csv", index=False)
    pd.DataFrame(values, columns=[f"f{j}" for j in range(12)]).assign(patient_id=ids).to_csv(folder / "radiomic.csv", index=False)
    return StudyConfig.model_validate(
        {
            "cohort": {"file": str(folder / "cohort.csv"), "clinical": ["age"]},
            "features": {"radiomic": str(folder / "radiomic.csv")},
            "models": {"classifiers": ["logistic"], "folds": 3, "tuning": False, "primary": ["radiomic", "logistic"], "signature": {"folds": 3, "repeats": 1, "penalties": 15}, "selection": selection},
        }
    )


def scored(config: StudyConfig, folder: Path) -> tuple[pd.Series, list[Patient]]:
    """Run up to the models; give the risks by patient."""
    run(config, folder, scheduler="serial", progress=False, until="models")
    table = pd.read_csv(folder / "predictions.csv", dtype={"patient_id": str})
    patients = read_cohort(config.cohort, Path(), config.seed, imaging=False, folds=3).patients
    return table.set_index("patient_id")["risk"], list(patients)


def test_bundle_scores_a_patient_of_a_known_site_alone(tmp_path):
    config = make(tmp_path, [{**STEPS[0], "unseen": "reference", "reference": "South"}, *STEPS[1:]])
    risk, patients = scored(config, tmp_path / "run")
    bundle = load_bundle(tmp_path / "run" / "bundle")
    assert bundle.manifest.harmonisation.sites == ("North", "South")
    table = read_table(tmp_path / "radiomic.csv", "radiomic")
    for patient in [p for p in patients if p.split != "train"]:
        (found,) = bundle.predict_tables({"radiomic": table}, [patient.patient_id], patients=[patient])
        assert found.risk == risk[patient.patient_id]
    with pytest.raises(BundleError, match=r"harmonises features by site \(North, South\); say each patient's site"):
        bundle.predict_tables({"radiomic": table}, ["P000"])


def test_unseen_site_by_its_own_images(tmp_path):
    y = {}
    for name, selection in {"plain": STEPS[1:], "harmonised": [{**STEPS[0], "unseen": "location-scale"}, *STEPS[1:]]}.items():
        folder = tmp_path / name
        folder.mkdir()
        config = make(folder, selection)
        risk, patients = scored(config, folder / "run")
        outcome = pd.read_csv(folder / "cohort.csv").set_index("patient_id")["recurrence"]
        outside = [p.patient_id for p in patients if p.split == "external"]
        y[name] = risk[outside], outcome[outside]
    gap = {name: abs(float(r.mean()) - float(t.mean())) for name, (r, t) in y.items()}
    assert gap["harmonised"] < min(0.1, gap["plain"])
    assert auc(y["harmonised"][1], y["harmonised"][0]) > 0.7
    bundle = load_bundle(tmp_path / "harmonised" / "run" / "bundle")
    table = read_table(tmp_path / "harmonised" / "radiomic.csv", "radiomic")
    few = [p for p in patients if p.split == "external"][:4]
    with pytest.raises(BundleError, match="patient P002 is of site West with 4 patients here; a new site's shift and scale take 10 at once"):
        bundle.predict_tables({"radiomic": table}, [p.patient_id for p in few], patients=few)


def test_unseen_site_is_refused_before_work_begins(tmp_path):
    with pytest.raises(CohortError, match=r"50 patients cannot be harmonised: patient P002 is of site West, which the harmonisation did not learn; it learned North, South"):
        run(make(tmp_path, STEPS), tmp_path / "run", scheduler="serial", progress=False, until="models")
    assert not (tmp_path / "run" / "bundle").exists()


@pytest.mark.parametrize(
    ("columns", "settings", "message"),
    [
        ({"site": ["North"] * PATIENTS}, {}, "takes training patients of two sites or more; found North [0-9]+"),
        ({"site": ["North", "Tiny", *["North", "South"] * (PATIENTS // 2 - 1)]}, {}, "site Tiny has 1 training patients, and the harmonisation learns from at least"),
        ({}, {"reference": "East"}, "the reference site East of the harmonisation is not among those of the training patients: North [0-9]+, South [0-9]+"),
        ({"age": ["old"] * PATIENTS}, {"unseen": "location-scale"}, "patient P000: the covariate age of the harmonisation must be a number, found 'old'"),
    ],
)
def test_bad_sites_in_words(tmp_path, columns, settings, message):
    with pytest.raises(CohortError, match=message):
        run(make(tmp_path, [{**STEPS[0], **settings}, *STEPS[1:]], **columns), tmp_path / "run", scheduler="serial", progress=False, until="models")


def test_audit_knows_sites_and_steps(tmp_path):
    from sarcofuse.study.audit import audit

    config = make(tmp_path, [{**STEPS[0], "unseen": "location-scale"}, *STEPS[1:]])
    run(config, tmp_path / "run", scheduler="serial", progress=False, until="models")
    write_study(config, tmp_path / "study.yaml")
    found = audit(tmp_path / "run", study=tmp_path / "study.yaml", permutations=2, scheduler="serial")
    rows = found.content["test_rows"]
    assert rows["as_they_are"] == rows["altered"] == rows["removed"]
    assert rows["as_they_are"]["estimator"] == rows["bundle"]
