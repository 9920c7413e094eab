"""A study whose backbone learns the outcome, from images to a new patient."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sarcofuse.bundle import explain_deep, load_bundle
from sarcofuse.cli import main
from sarcofuse.config import StudyConfig, read_study, write_study
from sarcofuse.errors import CaseError
from sarcofuse.imaging import read_geometry, read_volume, write_mask, write_volume
from sarcofuse.metrics import auc
from sarcofuse.records import Mask, Outcomes, Patient
from sarcofuse.report.plotting import Studio
from sarcofuse.report.run_folder import RunFolder
from sarcofuse.report.sections.deep import maps
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
    names = {Path(n).name for n in bundle.manifest.files if n.startswith("networks/")}
    assert names == {"recipe.json", "network.safetensors", "notes.json"}
    assert json.loads((bundle.folder / "networks" / "recipe.json").read_text())["settings"]["head"] == "attention"


def signatures(tuned: RunResult) -> dict[str, float]:
    return dict(pd.read_parquet(tuned.folder / "features" / "deep.parquet")["deep_signature"])


def test_the_run_maps_the_highest_and_lowest_signatures_of_test_patients(tuned: RunResult, tmp_path: Path) -> None:
    found, known = json.loads((tuned.folder / "deep" / "why.json").read_text()), signatures(tuned)
    ordered = sorted((p for p in known if int(p[1:]) >= TRAIN), key=lambda p: -known[p])
    rows = found["patients"]
    assert [r["patient_id"] for r in rows] == [*ordered[:3], *ordered[-3:]]
    assert [r["risk"] for r in rows] == [known[r["patient_id"]] for r in rows]  # what is mapped is the very signature
    assert found["method"] == "integrated"
    for row in rows:
        assert (row["method"], row["networks"]) == ("integrated", 4)
        assert sum(p["share"] for p in row["pictures"]) == pytest.approx(row["risk"] - row["base"], abs=1e-5)
        assert sum(p["attention"] for p in row["pictures"]) == pytest.approx(1.0)
    text = str([vars(b) if hasattr(b, "__dict__") else repr(b) for b in maps(RunFolder(tuned.folder), Studio(tmp_path))])
    for words in ("integrated gradients", "did not learn from the patient", "average slices", "Attention of the head, slice by slice"):
        assert words in text
    assert len(list((tuned.folder / "deep" / "why").glob("*.png"))) == 6


def test_the_command_maps_new_patients_from_the_bundle(tuned: RunResult, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle, name = tuned.folder / "bundle", f"{TRAIN + 3:02d}"
    call = ["explain", str(bundle), str(home / f"{name}.nii.gz"), "--mask", str(home / f"{name}m.nii.gz"), "--out", str(tmp_path)]
    with pytest.raises(SystemExit, match="0"):
        main(call)
    value = signatures(tuned)[f"P{name}"]
    assert f"{name}: deep signature {value:.2f} (average slices " in capsys.readouterr().out
    (record,) = json.loads((tmp_path / "explain.json").read_text())
    assert (record["risk"], record["method"], record["networks"]) == (value, "integrated", 4)
    mapped = read_volume(tmp_path / f"{name}_map.nii.gz")
    assert not mapped.geometry.differences(read_geometry(home / f"{name}.nii.gz"))
    assert mapped.array.sum(dtype=np.float64) + record["beyond"] == pytest.approx(record["risk"] - record["base"], rel=1e-3, abs=1e-4)
    assert (tmp_path / f"{name}_map.png").is_file()
    with pytest.raises(SystemExit, match="2"):
        main([*call, "--method", "exact"])
    assert "no exact map of deep.head attention" in capsys.readouterr().err
    cam = explain_deep(bundle, home / f"{name}.nii.gz", home / f"{name}m.nii.gz", method="gradcam")
    assert (cam.signature, cam.record["method"]) == (value, "gradcam")
    assert cam.map.array.min() == 0.0 < cam.map.array.max()


def test_an_empty_mask_of_a_new_patient_gets_advice_that_helps(tuned: RunResult, home: Path, tmp_path: Path) -> None:
    write_mask(Mask(np.zeros_like(ball(shape=(6, 20, 22))[1].array), read_geometry(home / "00.nii.gz")), tmp_path / "none.nii.gz")
    with pytest.raises(CaseError, match=r"is empty: 0 voxels in none.nii.gz; expected at least 1. Draw the tumour, or give another mask$"):
        explain_deep(tuned.folder / "bundle", home / "00.nii.gz", tmp_path / "none.nii.gz")


def test_without_test_patients_each_is_mapped_by_the_network_that_did_not_learn_from_him(tuned: RunResult, home: Path) -> None:
    pd.read_csv(home / "cohort.csv").query("split == 'train'").to_csv(home / "training.csv", index=False)
    content = read_study(home / "study.yaml").model_dump(mode="json")
    write_study(StudyConfig.model_validate({**content, "cohort": {**content["cohort"], "file": "training.csv"}}), home / "training.yaml")
    shutil.copytree(tuned.folder / "cache", home / "again" / "cache")
    again = run(home / "training.yaml", home / "again", scheduler="serial", until="models", progress=False)
    rows, known = json.loads((again.folder / "deep" / "why.json").read_text())["patients"], signatures(again)
    assert len(rows) == 6
    assert {(r["split"], r["networks"]) for r in rows} == {("train", 1)}
    assert [r["risk"] for r in rows] == [known[r["patient_id"]] for r in rows]  # out-of-fold, to the last bit
    assert known == {p: v for p, v in signatures(tuned).items() if int(p[1:]) < TRAIN}


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
