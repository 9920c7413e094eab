"""A study whose backbone learns the outcome, from images to a new patient."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sarcofuse.bundle import explain_deep, load_bundle
from sarcofuse.config import StudyConfig, write_study
from sarcofuse.errors import BundleError
from sarcofuse.imaging import write_mask, write_volume
from sarcofuse.metrics import auc
from sarcofuse.records import Outcomes, Patient
from sarcofuse.report.plotting import Studio
from sarcofuse.report.run_folder import RunFolder
from sarcofuse.report.sections.fine_tuning import fine_tuning
from sarcofuse.report.spec import SECTIONS
from sarcofuse.study import RunResult, audit, run
from tests.deep.conftest import ball

TRAIN, TEST = 32, 8
STUDY = {
    "cohort": {"file": "cohort.csv"},
    "preprocess": {"n4": False, "spacing": None},
    "radiomics": {"classes": ["firstorder"], "log_sigma": [], "wavelet": None},
    "deep": {"backbone": "cifar-resnet20", "crop": "neighbours", "layer": "last", "pooling": "average", "head": "attention", "fine_tune": {"mode": "probe", "epochs": 12, "learning_rate": 0.005}},
    "models": {"classifiers": ["logistic"], "primary": ["dlr", "logistic"], "folds": 4, "tuning": False, "signature": {"folds": 3, "penalties": 12, "repeats": 1}},
    "evaluation": {"bootstrap": 100},
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, reference_data: Path) -> Path:
    """Tumours with a halo, which is brighter with the event and which radiomics of the tumour cannot see."""
    folder, rows = tmp_path_factory.mktemp("tuned"), []
    for i in range(TRAIN + TEST):
        event = int(i % 3 == 0)
        image, mask = ball(i, shape=(6, 20, 22), centre=(3, 10, 11), radius_mm=9.0, halo=40.0 + 60.0 * event)
        write_volume(image, folder / f"{i:02d}.nii.gz")
        write_mask(mask, folder / f"{i:02d}m.nii.gz")
        rows.append({"patient_id": f"P{i:02d}", "image": f"{i:02d}.nii.gz", "mask": f"{i:02d}m.nii.gz", "split": "train" if i < TRAIN else "external", "recurrence": event})
    pd.DataFrame(rows).to_csv(folder / "cohort.csv", index=False)
    plain = {**STUDY, "deep": {**STUDY["deep"], "weights": str(reference_data / "weights" / "resnet20-12fca82f.th")}}  # type: ignore[dict-item]
    write_study(StudyConfig.model_validate(plain), folder / "study.yaml")
    return folder


@pytest.fixture(scope="module")
def tuned(home: Path) -> RunResult:
    return run(home / "study.yaml", home / "run", scheduler="serial", until="models", progress=False)


def patient(home: Path, i: int) -> Patient:
    return Patient(f"P{i:02d}", "external", home / f"{i:02d}.nii.gz", home / f"{i:02d}m.nii.gz")


def test_the_signature_enters_the_models_as_one_column(tuned: RunResult) -> None:
    table = pd.read_parquet(tuned.folder / "features" / "deep.parquet")
    assert list(table.columns) == ["deep_signature"]
    assert len(table) == TRAIN + TEST
    assert np.isfinite(table.to_numpy()).all()
    y = pd.read_csv(tuned.folder.parent / "cohort.csv").set_index("patient_id")["recurrence"]
    for split, least in (("train", 0.9), ("external", 1.0)):
        risk = pd.read_csv(tuned.folder / "predictions.csv").query(f"features == 'deep' and split == '{split}'").set_index("patient_id")["risk"]
        assert auc(y[risk.index].to_numpy(), risk.to_numpy()) >= least
    figures = json.loads((tuned.folder / "deep" / "fine_tuning.json").read_text())
    own = table.loc[[p for p in table.index if int(p[1:]) < TRAIN]]
    assert figures["out_of_fold"]["value"] == auc(y[own.index].to_numpy(), own["deep_signature"].to_numpy())
    assert (figures["patients"], len(figures["networks"])) == (TRAIN, 4)
    assert len(list((tuned.folder / "cache" / "deep-networks").iterdir())) == 4 + 6


def test_the_bundle_predicts_to_the_last_bit(tuned: RunResult, home: Path) -> None:
    bundle = load_bundle(tuned.folder / "bundle")
    frame = pd.read_csv(tuned.folder / "predictions.csv")
    known = frame[frame["primary"] == 1].set_index("patient_id")["risk"]
    risks, aside = bundle.predict([patient(home, i) for i in (TRAIN + 3, TRAIN)])
    assert not aside
    assert [r.risk for r in risks] == [known[f"P{TRAIN + 3}"], known[f"P{TRAIN}"]]
    with pytest.raises(BundleError, match="learnt the outcome"):
        explain_deep(bundle, home / "00.nii.gz", home / "00m.nii.gz")
    names = {Path(n).name for n in bundle.manifest.files if n.startswith("networks/")}
    assert names == {"recipe.json", "network.safetensors", "notes.json"}
    assert json.loads((bundle.folder / "networks" / "recipe.json").read_text())["settings"]["head"] == "attention"


def test_the_audit_finds_the_very_signatures_of_the_run(tuned: RunResult, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Outcomes, "open", lambda *_: pytest.fail("the audit opened the seal"))
    found = audit(tuned.folder, study=tuned.folder.parent / "study.yaml", permutations=2, scheduler="serial", progress=False)
    assert [c["passed"] for c in found.content["checks"]] == [True] * 4
    risk = pd.read_csv(tuned.folder / "predictions.csv").query("primary == 1 and split == 'train'").set_index("patient_id")["risk"]
    y = pd.read_csv(tuned.folder.parent / "cohort.csv").set_index("patient_id")["recurrence"][risk.index]
    assert found.content["recipes"][0]["auc"]["value"] == pytest.approx(auc(y.to_numpy(), risk.to_numpy()))


def test_the_report_prints_the_honest_gap(tuned: RunResult, tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    content = json.loads((tuned.folder / "deep" / "fine_tuning.json").read_text())
    content |= {"in_sample": {"value": 0.95, "low": 0.9, "high": 0.99}, "out_of_fold": {"value": 0.6, "low": 0.5, "high": 0.7}, "gap": 0.35}
    (tmp_path / "deep" / "fine_tuning.json").write_text(json.dumps(content))
    (tmp_path / "run.json").write_text(json.dumps({"format": 1}))
    text = str([vars(b) if hasattr(b, "__dict__") else repr(b) for b in fine_tuning(RunFolder(tmp_path), Studio(tmp_path))])
    for words in ("looked better by +0.350", "0.950", "0.900 to 0.990", "0.600", "32 training patients", "gated attention over slices", "4 networks"):
        assert words in text
    assert [s.identifier for s in SECTIONS if any(p.build is fine_tuning for p in s.parts)] == ["fine-tuning"]


def test_tables_have_no_pictures_to_learn_from() -> None:
    with pytest.raises(ValueError, match="fine_tune learns from images"):
        StudyConfig.model_validate({"features": {"deep": "deep.csv"}, "deep": {"fine_tune": {"mode": "probe"}}})
