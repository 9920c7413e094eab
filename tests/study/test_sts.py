"""The example on 23 real patients, made short: it must run, and find nothing to boast of."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from sarcofuse.config import StudyConfig, read_study
from sarcofuse.records import block_alone
from sarcofuse.study import run

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
QUICK = {
    "segment": {"folds": 2, "epochs": 20, "filters": 8, "spacing": [4.0, 4.0, 8.0]},
    "radiomics": {"log_sigma": [3.0], "wavelet": None},
    "deep": {"crop": "largest"},
    "models": {"folds": 3, "tuning": False},
    "evaluation": {"bootstrap": 200},
}


@pytest.fixture(scope="module")
def example(reference_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sts")
    command = [sys.executable, str(ROOT / "examples" / "sts" / "prepare.py"), "--data", str(reference_data / "sts_t1"), "--out", str(folder)]
    assert "23 patients" in subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return folder


def short(file: Path) -> StudyConfig:
    """The example's study, quicker, with its paths made absolute."""
    plain = read_study(file).model_dump(mode="json")
    for name, section in QUICK.items():
        plain[name] |= section
    plain["cohort"]["file"] = str(file.parent / "cohort.csv")
    return StudyConfig.model_validate(plain)


@pytest.mark.parametrize("masks", ["given", "model"])
def test_23_real_patients_run_through_and_carry_no_model(example: Path, masks: str) -> None:
    result = run(short(example / f"{masks}.yaml"), example / masks, workers=2, progress=False)
    assert result.finished == "report"
    table = pd.read_csv(result.folder / "predictions.csv")
    assert table["patient_id"].nunique() + len({s.patient_id for s in result.set_aside}) == 23
    assert table.groupby(["features", "classifier"]).ngroups == 18  # the nine, three on age and grade, and the two signatures by themselves
    if masks == "given":
        assert result.set_aside == ()
        assert not (result.folder / "quality.json").exists()
    else:
        quality = pd.DataFrame(json.loads((result.folder / "quality.json").read_text()))
        assert set(quality.loc[quality["split"] == "train", "source"]) == {"out-of-fold"}
        assert quality["dice"].mean() > 0.2  # real tumours, networks of seconds
    metrics = json.loads((result.folder / "metrics.json").read_text())
    internal = [row for row in metrics["models"] if row["split"] == "internal"]
    primary = next(row["auc"] for row in internal if (row["features"], row["classifier"]) == ("dlr", "extratrees"))
    assert primary["low"] <= 0.5 <= primary["high"]
    risks = table.query("split == 'internal' and features == 'dlr' and classifier == 'extratrees'")["risk"]
    assert primary["high"] - primary["low"] > 0.3 or risks.max() == risks.min()  # no feature was found to tell anything: everybody's risk is the same
    assert sum(row["auc"]["low"] > 0.5 for row in internal if block_alone(row["features"]) is None) <= 1
    assert any("23 patients cannot carry a model" in w for w in result.warnings)
    assert "23 patients cannot carry a model" in (result.folder / "report.html").read_text()
