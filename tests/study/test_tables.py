"""The modelling half alone: from tables to report, bundle and risks of new rows, in seconds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sarcofuse.cli import main
from sarcofuse.errors import CohortError, ConfigError, StageError
from sarcofuse.metrics import auc
from sarcofuse.study import RunResult, run

STUDY = """
cohort: {outcome: relapse, split: {by: time, date: operated, cut: 2019}}
features: {radiomic: radiomic.csv, deep: deep.parquet, proteins: proteins.csv}
models: {classifiers: [logistic], primary: [dlr, logistic], folds: 3, tuning: false, signature: {folds: 3, repeats: 1, penalties: 20}}
evaluation: {bootstrap: 100}
"""
COUNT = 240


def write_tables(folder: Path) -> None:
    rng = np.random.default_rng(3)
    ids = [f"P-{i:03d}" for i in range(COUNT)]
    y = rng.random(COUNT) < 0.4
    pd.DataFrame({"patient_id": ids, "relapse": y.astype(int), "operated": [f"{2012 + i % 10}-05-{1 + i % 28:02d}" for i in range(COUNT)]}).to_csv(folder / "cohort.csv", index=False)
    for block, ending, count in (("radiomic", "csv", 30), ("deep", "parquet", 20), ("proteins", "csv", 8)):
        values = rng.normal(size=(COUNT, count))
        values[:, :2] += y[:, None]
        frame = pd.DataFrame(values, index=pd.Index(ids, name="patient_id"), columns=[f"{block}_{j}" for j in range(count)]).sample(frac=1.0, random_state=1)
        if ending == "csv":
            frame.to_csv(folder / f"{block}.csv")
        else:
            frame.to_parquet(folder / f"{block}.parquet")
    (folder / "study.yaml").write_text(STUDY, encoding="utf8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("tables")
    write_tables(home)
    return home


@pytest.fixture(scope="module")
def result(folder: Path) -> RunResult:
    return run(folder / "study.yaml", scheduler="serial", progress=False)


def test_from_tables_to_report(result: RunResult, folder: Path) -> None:
    assert result.finished == "report"
    assert result.set_aside == ()
    table = pd.read_csv(result.folder / "predictions.csv").merge(pd.read_csv(folder / "cohort.csv"), on="patient_id")
    assert set(table["features"]) >= {"radiomic", "deep", "dlr", "proteins"}
    assert ((table["split"] == "external") == (table["operated"] >= "2019")).all()
    own = {(f, s): auc(g["relapse"], g["risk"]) for (f, s), g in table.groupby(["features", "split"])}
    told = {(m["features"], m["split"]): m["auc"]["value"] for m in json.loads((result.folder / "metrics.json").read_text())["models"]}
    assert own == pytest.approx(told)
    assert own["dlr", "external"] > 0.8
    inputs = json.loads((result.folder / "run.json").read_text())["inputs"]
    assert set(inputs) == {"cohort", "radiomic", "deep", "proteins"}


def test_new_rows_are_scored_with_the_bundle(result: RunResult, folder: Path, tmp_path: Path) -> None:
    table = pd.read_csv(result.folder / "predictions.csv")
    row = table[(table["split"] == "external") & (table["primary"] == 1)].iloc[0]
    tables = [part for block, ending in (("radiomic", "csv"), ("deep", "parquet")) for part in ("--table", f"{block}={folder / block}.{ending}")]
    with pytest.raises(SystemExit, match="0"):
        main(["predict", str(result.folder / "bundle"), *tables, "--out", str(tmp_path / "risk.json")])
    risks = {r["patient_id"]: r["risk"] for r in json.loads((tmp_path / "risk.json").read_text())}
    assert risks[row["patient_id"]] == row["risk"]


def test_a_second_run_gives_the_same_bytes_whatever_the_order_of_rows(result: RunResult, tmp_path: Path) -> None:
    write_tables(tmp_path)
    for name in ("cohort.csv", "radiomic.csv", "proteins.csv"):
        lines = (tmp_path / name).read_text().splitlines()
        (tmp_path / name).write_text("\n".join([lines[0], *lines[:0:-1]]) + "\n")
    again = run(tmp_path / "study.yaml", scheduler="serial", progress=False, until="evaluation")
    for name in ("predictions.csv", "metrics.json", "models.json"):
        assert (again.folder / name).read_bytes() == (result.folder / name).read_bytes(), name


def test_bad_tables_are_told_by_check_and_by_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_tables(tmp_path)
    frame = pd.read_csv(tmp_path / "radiomic.csv", index_col="patient_id").sort_index()
    frame["number"] = range(COUNT)
    frame["relapsed"] = 5.0 * pd.read_csv(tmp_path / "cohort.csv", index_col="patient_id")["relapse"]
    frame["machine"] = 1.0
    frame.rename(index={"P-003": "p-003"}).to_csv(tmp_path / "radiomic.csv")
    with pytest.raises(SystemExit, match="2"):
        main(["check", str(tmp_path / "study.yaml")])
    shown = capsys.readouterr().out
    result = run(tmp_path / "study.yaml", scheduler="serial", progress=False, until="deep")
    (aside,) = result.set_aside
    assert (aside.patient_id, "'p-003', which differs in case" in aside.reason) == ("P-003", True)
    assert aside.reason in shown
    for words in ("perfectly: relapsed; does it hold the outcome", "one and the same value in all training patients: machine", "1 of the cohort are not there ('P-003')"):
        assert words in shown, words
        assert any(words in w for w in result.warnings), words
    (tmp_path / "deep.parquet").unlink()
    with pytest.raises(CohortError, match=r"deep.parquet of block deep cannot be read: it does not exist"):
        run(tmp_path / "study.yaml", scheduler="serial", progress=False, until="deep")


def test_the_how_tos_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import re

    page = (Path(__file__).resolve().parents[2] / "docs" / "how-to" / "own-features.md").read_text(encoding="utf8")
    (code,) = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "own-features.md", "exec"), {})  # noqa: S102 - our own page
    found = run("study.yaml", scheduler="serial", progress=False)
    assert found.finished == "report"
    models = {m["features"] for m in json.loads((found.folder / "metrics.json").read_text())["models"]}
    assert models == {"radiomic", "proteins", "radiomic-signature", "proteins-signature", "radiomic+proteins"}
    metrics = json.loads((found.folder / "metrics.json").read_text())
    sources = ("radiomic", "proteins", "radiomic-signature", "proteins-signature")
    assert {(r["first"], r["second"]) for r in metrics["comparisons"]} == {*(("radiomic+proteins", s) for s in sources), ("radiomic", "proteins")}
    assert {m["features"] for m in metrics["models"] if m["primary"]} == {"radiomic+proteins"}


def test_tumours_of_one_patient_stay_together_and_time_to_event_is_told(tmp_path: Path) -> None:
    write_tables(tmp_path)
    cohort = pd.read_csv(tmp_path / "cohort.csv")
    rng = np.random.default_rng(0)
    cohort["whose"] = [f"S{i // 2}" for i in range(COUNT)]
    cohort["months"] = rng.exponential(30, COUNT).round(1) + 0.1
    cohort.to_csv(tmp_path / "cohort.csv", index=False)
    study = tmp_path / "study.yaml"
    study.write_text(STUDY.replace("{outcome: relapse, split: {by: time, date: operated, cut: 2019}}", "{outcome: relapse, group: whose, time: months, split: {by: stratified, internal: 0.3}}"))
    result = run(study, scheduler="serial", progress=False, until="evaluation")
    table = pd.read_csv(result.folder / "predictions.csv").merge(cohort, on="patient_id")
    assert len(table[["whose", "split"]].drop_duplicates()) == COUNT // 2
    metrics = json.loads((result.folder / "metrics.json").read_text())
    assert {row["split"] for row in metrics["survival"]} == {"train", "internal"}
    assert not [w for w in result.warnings if "follow-up" in w]
    cohort.loc[3, "months"] = np.nan
    cohort.to_csv(tmp_path / "cohort.csv", index=False)
    again = run(study, scheduler="serial", progress=False, until="evaluation")
    assert any(w.startswith("1 of 240 patients have no follow-up time (P-003); nothing is said of time to event") for w in again.warnings)
    assert json.loads((again.folder / "metrics.json").read_text())["survival"] == []


def test_signatures_of_time_to_event(tmp_path: Path) -> None:
    """Hazard follows a feature, everybody has the event or dies of something else: the Cox signature knows when, which the outcome alone does not tell."""
    rng = np.random.default_rng(8)
    ids = [f"P-{i:03d}" for i in range(COUNT)]
    values = rng.normal(size=(COUNT, 12))
    time, death = rng.exponential(np.exp(-1.2 * values[:, 0])) * 20, rng.exponential(60, COUNT)
    event = time <= death
    frame = pd.DataFrame({"patient_id": ids, "relapse": event.astype(int), "months": np.minimum(time, death).clip(0.01), "died": (~event).astype(int), "split": ["train"] * 160 + ["external"] * 80})
    frame.to_csv(tmp_path / "cohort.csv", index=False)
    pd.DataFrame(values, index=pd.Index(ids, name="patient_id"), columns=[f"f{j}" for j in range(12)]).to_csv(tmp_path / "radiomic.csv")
    text = """
cohort: {outcome: relapse, time: months, competing: died}
features: {radiomic: radiomic.csv}
models: {classifiers: [logistic], primary: [radiomic, logistic], folds: 3, tuning: false, signature: {MODELfolds: 3, repeats: 1, penalties: 20, least: 0}}
evaluation: {bootstrap: 100}
"""
    found = {}
    for model in ("logistic", "cox"):
        (tmp_path / f"{model}.yaml").write_text(text.replace("MODEL", f"model: {model}, "), encoding="utf8")
        result = run(tmp_path / f"{model}.yaml", tmp_path / model, scheduler="serial", progress=False)
        found[model] = json.loads((result.folder / "models.json").read_text())[0]["signatures"]["radiomic"]
    assert found["cox"]["coefficients"]["f0"] == pytest.approx(1.2, abs=0.3)  # log hazard ratio of a standard deviation
    assert found["cox"]["intercept"] == 0.0  # the baseline hazard takes its part
    assert found["logistic"]["coefficients"].get("f0", 0.0) < 0.9
    rows = {row["split"]: row for row in json.loads((tmp_path / "cox" / "metrics.json").read_text())["survival"]}
    assert rows["external"]["harrell_c"]["value"] > 0.7
    assert rows["external"]["competing"] == int((~event[160:]).sum())
    assert 0.0 < rows["external"]["integrated_brier"]["value"] < 0.25
    assert "Mean over these" in (tmp_path / "cox" / "report.html").read_text(encoding="utf8")
    table = pd.read_csv(tmp_path / "cox" / "predictions.csv")
    with pytest.raises(SystemExit, match="0"):
        main(["predict", str(tmp_path / "cox" / "bundle"), "--table", f"radiomic={tmp_path / 'radiomic.csv'}", "--out", str(tmp_path / "risk.json")])
    risks = {r["patient_id"]: r["risk"] for r in json.loads((tmp_path / "risk.json").read_text())}
    assert all(risks[p] == r for p, r, s in zip(table["patient_id"], table["risk"], table["split"], strict=True) if s == "external")


def test_times_that_are_asked_for_and_not_there(tmp_path: Path) -> None:
    write_tables(tmp_path)
    (tmp_path / "study.yaml").write_text(STUDY.replace("signature: {folds", "signature: {model: cox, folds"), encoding="utf8")
    with pytest.raises(ConfigError, match=r"study.yaml: models.signature.model: cox needs follow-up times; name their column in cohort.time$"):
        run(tmp_path / "study.yaml", scheduler="serial", progress=False)
    cohort = pd.read_csv(tmp_path / "cohort.csv")
    cohort["months"] = [np.nan, *range(1, COUNT)]
    cohort.to_csv(tmp_path / "cohort.csv", index=False)
    text = STUDY.replace("signature: {folds", "signature: {model: cox, folds").replace("{outcome: relapse,", "{outcome: relapse, time: months,")
    (tmp_path / "study.yaml").write_text(text, encoding="utf8")
    with pytest.raises(StageError, match=r"models.signature.model is cox, and 1 of \d+ training patients have no follow-up time"):
        run(tmp_path / "study.yaml", scheduler="serial", progress=False)
