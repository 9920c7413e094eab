"""The whole pipeline on a small synthetic study."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pandas as pd
import pytest

from sarcofuse.bundle import load_bundle
from sarcofuse.cli import main
from sarcofuse.config import SignatureConfig, read_study
from sarcofuse.errors import BundleError, ConfigError
from sarcofuse.records import Patient, block_alone
from sarcofuse.signature import CoxSignature, LassoSignature
from sarcofuse.study import RunResult, demo, run
from sarcofuse.study.run import make_signature
from tests.study.conftest import PATIENTS, small_study

pytestmark = pytest.mark.slow


def predictions(folder: Path) -> pd.DataFrame:
    table = pd.read_csv(folder / "predictions.csv", dtype=str)
    return table.assign(risk=[float(v) for v in table["risk"]], primary=table["primary"].astype(int), positive=table["positive"].astype(int))


def test_everything_that_a_run_promises_is_there(finished: RunResult) -> None:
    folder = finished.folder
    files = ("run.json", "cohort.parquet", "predictions.csv", "metrics.json", "curves.json", "models.json", "cases.json", "quality.json", "report.html")
    for name in (*files, "bundle/bundle.json", "features/radiomic.parquet", "features/deep.parquet", "features/levels.csv"):
        assert (folder / name).is_file(), name
    assert finished.finished == "report"
    table = predictions(folder)
    used = table["patient_id"].nunique()
    assert used + len(finished.set_aside) == PATIENTS
    assert len(table) == 15 * used  # the nine, and both signatures by themselves
    assert table.groupby(["features", "classifier"]).ngroups == 15
    assert len(list((folder / "bundle" / "models").iterdir())) == 9
    assert table.loc[table["primary"] == 1, ["features", "classifier"]].drop_duplicates().to_numpy().tolist() == [["dlr", "extratrees"]]
    assert table["risk"].between(0, 1).all()
    assert len(list((folder / "masks").glob("*.nii.gz"))) >= used


def test_metrics_have_the_promised_form(finished: RunResult) -> None:
    metrics = json.loads((finished.folder / "metrics.json").read_text())
    assert metrics["format"] == 1
    frame = pd.DataFrame(metrics["models"])
    assert set(frame["split"]) == {"train", "internal", "external"}
    assert len(frame) == 45
    for figure in ("auc", "sensitivity", "specificity", "accuracy", "ppv", "npv"):
        assert all(set(value) >= {"value", "low", "high"} for value in frame[figure])
    assert {row["split"] for row in metrics["segmentation"]} == {"train", "internal", "external"}
    assert {row["features"] for row in metrics["bayes"]} == {"radiomic", "deep", "radiomic-signature", "deep-signature", "dlr"}
    assert {(row["first"], row["second"]) for row in metrics["comparisons"]} >= {("dlr", "radiomic-signature"), ("dlr", "deep-signature"), ("dlr", "radiomic")}


def test_seal_is_opened_once_and_counted(finished: RunResult) -> None:
    record = json.loads((finished.folder / "run.json").read_text())
    assert record["openings"] == ["evaluation"]
    again = run(finished.folder.parent / "study.yaml", finished.folder, workers=2)
    assert json.loads((again.folder / "run.json").read_text())["openings"] == ["evaluation"]


def test_training_masks_are_out_of_fold_and_the_others_by_the_ensemble(finished: RunResult) -> None:
    quality = pd.DataFrame(json.loads((finished.folder / "quality.json").read_text()))
    assert set(quality.loc[quality["split"] == "train", "source"]) == {"out-of-fold"}
    assert set(quality.loc[quality["split"] != "train", "source"]) == {"ensemble"}


def test_bundle_gives_the_runs_own_risk_to_the_last_bit(finished: RunResult, home: Path, tmp_path: Path) -> None:
    table = predictions(finished.folder)
    external = table[table["split"] == "external"]
    who = external["patient_id"].iloc[0]
    bundle = load_bundle(finished.folder / "bundle")
    risks, aside = bundle.predict([Patient("somebody", "external", home / "cohort" / "images" / f"{who}.nii.gz")], all_models=True, masks=tmp_path)
    assert aside == []
    wanted = {f"{row.features}-{row.classifier}": row.risk for row in external[external["patient_id"] == who].itertuples() if block_alone(row.features) is None}
    assert len(wanted) == 9
    assert {r.model: r.risk for r in risks} == wanted
    assert (tmp_path / "somebody.nii.gz").exists()


def test_predict_command_equals_the_run(finished: RunResult, home: Path, tmp_path: Path) -> None:
    table = predictions(finished.folder)
    row = table[(table["split"] == "external") & (table["primary"] == 1)].iloc[-1]
    with pytest.raises(SystemExit, match="0"):
        main(["predict", str(finished.folder / "bundle"), str(home / "cohort" / "images" / f"{row['patient_id']}.nii.gz"), "--out", str(tmp_path / "risk.json")])
    (risk,) = json.loads((tmp_path / "risk.json").read_text())
    assert risk["risk"] == row["risk"]
    assert risk["positive"] == bool(row["positive"])
    assert risk["patient_id"] == row["patient_id"]
    assert set(risk) == {"patient_id", "risk", "positive", "threshold", "model", "warnings"}


def test_a_table_with_masks_gives_the_runs_risks_unless_its_masks_are_asked_for(finished: RunResult, home: Path, tmp_path: Path) -> None:
    table = predictions(finished.folder)
    wanted = table[(table["split"] == "external") & (table["primary"] == 1)].set_index("patient_id")["risk"]
    rows = pd.read_csv(home / "cohort" / "cohort.csv").query("patient_id in @wanted.index").iloc[:2]
    assert rows["mask"].notna().all()
    rows.to_csv(home / "cohort" / "two.csv", index=False)
    found = {}
    for name, more in {"drawn": [], "given": ["--given-masks"]}.items():
        with pytest.raises(SystemExit, match="0"):
            main(["predict", str(finished.folder / "bundle"), str(home / "cohort" / "two.csv"), "--out", str(tmp_path / f"{name}.json"), *more])
        found[name] = {risk["patient_id"]: risk for risk in json.loads((tmp_path / f"{name}.json").read_text())}
    for patient in rows["patient_id"]:
        assert found["drawn"][patient]["risk"] == wanted[patient]
        assert found["drawn"][patient]["warnings"][0].startswith("the given mask was not used")
        assert found["given"][patient]["warnings"][0].startswith("the given mask was used")
    assert any(found["given"][patient]["risk"] != wanted[patient] for patient in rows["patient_id"])  # trees may give both masks one risk


def test_test_patients_altered_or_deleted_change_no_byte_of_the_bundle(finished: RunResult, home: Path, tmp_path: Path) -> None:
    import shutil

    import SimpleITK as sitk

    cohort = shutil.copytree(home / "cohort", tmp_path / "cohort")
    table = pd.read_csv(cohort / "cohort.csv", dtype=str)
    tests = table[table["split"] != "train"]
    gone = tests.groupby("split")["patient_id"].first()
    table = table[~table["patient_id"].isin(gone)]
    for who in tests.groupby("split")["patient_id"].last():
        file = cohort / "images" / f"{who}.nii.gz"
        sitk.WriteImage(sitk.Cast(sitk.ReadImage(str(file)), sitk.sitkFloat32) * 3.0 + 100.0, str(file))
        table.loc[table["patient_id"] == who, "age"] = "18"
    changed = table["split"] != "train"
    table.loc[changed, "recurrence"] = (1 - table.loc[changed, "recurrence"].astype(int)).astype(str)
    table.to_csv(cohort / "cohort.csv", index=False)
    shutil.copy(home / "study.yaml", tmp_path / "study.yaml")
    run(tmp_path / "study.yaml", tmp_path / "run", workers=2, until="models")
    files = [f.relative_to(finished.folder) for f in sorted((finished.folder / "bundle").rglob("*")) if f.is_file()]
    assert len(files) == 15
    for name in (*files, Path("models.json")):
        assert (tmp_path / "run" / name).read_bytes() == (finished.folder / name).read_bytes(), name


def test_bundle_holds_no_patient_and_refuses_a_changed_byte(finished: RunResult, tmp_path: Path) -> None:
    import shutil

    names = set(predictions(finished.folder)["patient_id"])
    copy = shutil.copytree(finished.folder / "bundle", tmp_path / "bundle")
    for file in copy.rglob("*"):
        if file.is_file():
            content = file.read_bytes()
            assert not [n for n in names if n.encode() in content], file.name
    victim = next((copy / "segmenter").glob("*.safetensors"))
    victim.write_bytes(victim.read_bytes()[:-1] + b"\x00")
    with pytest.raises(BundleError, match="was altered"):
        load_bundle(copy)


def test_report_names_no_patient(finished: RunResult) -> None:
    text = (finished.folder / "report.html").read_text()
    assert not [p for p in predictions(finished.folder)["patient_id"].unique() if f">{p}<" in text]
    assert "Bayes" in text


def test_a_moved_run_folder_is_reused(finished: RunResult, home: Path, tmp_path: Path) -> None:
    import shutil

    moved = shutil.copytree(finished.folder, tmp_path / "moved")
    before = {p.name for stage in (moved / "cache").iterdir() if stage.is_dir() for p in stage.iterdir()}
    again = run(home / "study.yaml", moved, workers=2)
    after = {p.name for stage in (moved / "cache").iterdir() if stage.is_dir() for p in stage.iterdir()}
    assert after == before
    assert (again.folder / "predictions.csv").read_bytes() == (finished.folder / "predictions.csv").read_bytes()


def test_tables_alone_give_the_modelling_half(finished: RunResult, home: Path, tmp_path: Path) -> None:
    features = {name: str((finished.folder / "features" / f"{name}.parquet").resolve()) for name in ("radiomic", "deep")}
    study = small_study(features=features, cohort={"file": str((home / "cohort" / "cohort.csv").resolve())}, evaluation={"truth": None})
    result = run(study, tmp_path / "tables", scheduler="serial")
    mine, whole = predictions(result.folder), predictions(finished.folder)
    assert mine["risk"].tolist() == whole["risk"].tolist()
    bundle = load_bundle(result.folder / "bundle")
    with pytest.raises(BundleError, match="was made from feature tables"):
        bundle.predict([Patient("x", "external", home)])


def test_every_setting_of_the_signature_reaches_it() -> None:
    config = SignatureConfig(model="cox", l1_ratio=0.5, folds=4, repeats=2, penalties=9, ratio=0.1, rule="1se", least=2, correlation=0.8)
    assert config.model_dump().items() & SignatureConfig().model_dump().items() == set(), "the test changes every setting"
    for model, kind in (("cox", CoxSignature), ("logistic", LassoSignature)):
        made = make_signature(config.model_copy(update={"model": model}), 7)
        assert type(made) is kind
        assert made.get_params() == {**kind().get_params(), **config.model_dump(exclude={"model"}), "seed": 7}


def test_the_smallest_demo_has_no_more_folds_than_events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[demo.__module__], "run", lambda *args, **options: run(*args, **options, until="cohort"))
    assert demo(tmp_path / "demo", patients=24, workers=2, progress=False).finished == "cohort"
    models = read_study(tmp_path / "demo" / "study.yaml").models
    assert (models.folds, models.signature.folds) == (4, 4)


def test_until_stops_where_asked_and_knows_its_stages(home: Path, tmp_path: Path) -> None:
    assert run(home / "study.yaml", tmp_path / "r", until="cohort").finished == "cohort"
    with pytest.raises(ConfigError, match="there is no stage 'lunch'; expected one of cohort"):
        run(home / "study.yaml", tmp_path / "r", until="lunch")
