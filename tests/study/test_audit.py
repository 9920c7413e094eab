"""The leakage audit: an honest run passes, a leak is found, and nothing is unsealed."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import sarcofuse
from sarcofuse import models
from sarcofuse.cli import main
from sarcofuse.errors import CohortError, ConfigError
from sarcofuse.records import Outcomes
from sarcofuse.study import audit, run

STUDY = """
cohort: {file: cohort.csv, clinical: [age]}
features: {radiomic: radiomic.csv, deep: deep.parquet}
models:
  classifiers: [logistic]
  primary: [dlr, logistic]
  folds: 3
  signature: {folds: 3, repeats: 1, penalties: 15}
evaluation: {bootstrap: 100}
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of tables: 90 training and 40 test patients, 60 features a block of which one matters."""
    folder, rng, count = tmp_path_factory.mktemp("study"), np.random.default_rng(0), 130
    ids = [f"P{i:03d}" for i in range(count)]
    blocks = {name: pd.DataFrame(rng.normal(size=(count, 60)), index=pd.Index(ids, name="patient_id"), columns=[f"{name}_{j}" for j in range(60)]) for name in ("radiomic", "deep")}
    odds = 1.2 * blocks["radiomic"]["radiomic_3"] + 1.2 * blocks["deep"]["deep_5"]
    event = (rng.random(count) < 1 / (1 + np.exp(-odds))).astype(int)
    split = np.repeat(["train", "internal", "external"], [90, 20, 20])
    pd.DataFrame({"patient_id": ids, "split": split, "recurrence": event, "age": 60}).to_csv(folder / "cohort.csv", index=False)
    blocks["radiomic"].to_csv(folder / "radiomic.csv")
    blocks["deep"].to_parquet(folder / "deep.parquet")
    (folder / "study.yaml").write_text(STUDY)
    run(folder / "study.yaml", scheduler="serial", progress=False)
    return folder


@pytest.fixture
def copy(home: Path, tmp_path: Path) -> Path:
    return shutil.copytree(home, tmp_path / "study")


def work(folder: Path, **how: object) -> sarcofuse.study.Audit:
    return audit(folder / "run", permutations=4, scheduler="serial", progress=False, **how)  # type: ignore[arg-type]


def test_an_honest_run_passes_and_leakage_shows(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Outcomes, "open", lambda *_: pytest.fail("the audit opened the seal"))
    found = work(home)
    assert found.passed
    content = json.loads((home / "run" / "audit.json").read_text())
    assert content == json.loads(json.dumps(found.content))
    assert [c["passed"] for c in content["checks"]] == [True] * 4
    assert content["test_rows"]["rows"] == 40
    assert content["model"] == {"features": "dlr", "classifier": "logistic"}
    rows = {r["recipe"]: r["auc"]["value"] for r in content["recipes"]}
    record = next(r for r in json.loads((home / "run" / "metrics.json").read_text())["models"] if (r["features"], r["split"]) == ("dlr", "train"))
    assert rows["honest"] == pytest.approx(record["auc"]["value"])
    assert rows["leaky"] > rows["honest"] + 0.05
    assert content["permutations"]["honest"]["mean"] < 0.6
    assert content["permutations"]["leaky"]["mean"] > 0.75


def test_again_gives_the_same_bytes(home: Path) -> None:
    work(home)
    first = (home / "run" / "audit.json").read_bytes()
    work(home, study=home / "study.yaml")
    assert (home / "run" / "audit.json").read_bytes() == first


def test_selection_outside_the_folds_is_caught(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def peek(*arguments: object) -> dict[tuple[str, str], dict[str, float]]:
        *others, (model,) = arguments
        return {model: models.leaky_risks(*others, model)}

    monkeypatch.setattr(models, "out_of_fold", peek)
    found = work(copy)
    assert not found.passed
    assert [c["name"] for c in found.content["checks"] if c["passed"] is False] == ["permuted training outcomes give chance"]


def test_test_rows_that_reach_the_fit_are_caught(copy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    fit = models.fit_chosen

    def scale_first(tables, *others):
        return fit({b: replace(t, values=(t.values - t.values.mean(axis=0)) / t.values.std(axis=0)) for b, t in tables.items()}, *others)

    monkeypatch.setattr(models, "fit_chosen", scale_first)
    with pytest.raises(SystemExit, match="1"):
        main(["audit", str(copy / "run"), "--permutations", "2", "--scheduler", "serial"])
    out = capsys.readouterr().out
    assert "FAILED      test rows altered change nothing: 40 rows: another model" in out
    assert "FAILED      test rows removed change nothing" in out
    assert "passed      permuted training outcomes give chance" in out


def test_an_altered_bundle_is_noticed(copy: Path) -> None:
    file = copy / "run" / "bundle" / "models" / "dlr-logistic.skops"
    file.write_bytes((copy / "run" / "bundle" / "models" / "deep-logistic.skops").read_bytes())
    found = work(copy)
    assert [c["name"] for c in found.content["checks"] if c["passed"] is False] == ["the bundle holds this very model"]


def test_what_has_changed_since_the_run_is_not_audited(copy: Path) -> None:
    with pytest.raises(ConfigError, match="at least 2 permutations"):
        audit(copy / "run", permutations=1)
    with pytest.raises(CohortError, match=r"holds no run.json"):
        audit(copy)
    (copy / "radiomic.csv").write_text((copy / "radiomic.csv").read_text() + "P999," + ",".join(["0"] * 60) + "\n")
    with pytest.raises(CohortError, match=r"radiomic.csv \(radiomic\) is not what the run saw"):
        work(copy)
    (copy / "cohort.csv").unlink()
    with pytest.raises(CohortError, match=r"cohort.csv \(cohort\) is not there.*--study"):
        work(copy)
