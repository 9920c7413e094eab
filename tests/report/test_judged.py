"""What the report says of masks: the numbers of metrics.json, and the masks to look at, worst first."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sarcofuse.report import write_report
from sarcofuse.report.blocks import Paragraph, Picture, Table
from sarcofuse.report.plotting import Studio
from sarcofuse.report.run_folder import RunFolder
from sarcofuse.report.sections import judged, spread
from sarcofuse.runtime import read_json, write_json
from tests.report.conftest import FEATURES, RunWriter


@pytest.fixture
def folder(writer: RunWriter) -> Path:
    return writer.write()


@pytest.fixture
def studio(tmp_path: Path) -> Studio:
    return Studio(tmp_path / "figures")


def cells(row: list) -> list[str]:
    return [c if isinstance(c, str) else c.text for c in row]


def test_figures_are_those_of_metrics_json(folder: Path, studio: Studio) -> None:
    (table,) = judged.figures(RunFolder(folder), studio)
    entries = {e["split"]: e for e in read_json(folder / "metrics.json")["segmentation"]}
    assert [cells(row)[0] for row in table.rows] == ["Training", "Internal test", "External test"]
    last, entry = table.rows[2], entries["external"]
    assert cells(last)[1:5] == [f"{entry['dice']['value']:.3f}", f"{entry['surface_dice']['value']:.3f}", f"{entry['hd95_mm']['value']:.1f}", f"{entry['assd_mm']['value']:.1f}"]
    assert last[1].note == f"{entry['dice']['low']:.3f} to {entry['dice']['high']:.3f}"
    ratio = entry["volume_ratio"]
    assert last[5].text.replace("−", "-") == f"{100 * (ratio['bias']['value'] - 1):+.0f}%"
    assert last[5].note.replace("−", "-") == f"{100 * (ratio['lower']['value'] - 1):+.0f}% to {100 * (ratio['upper']['value'] - 1):+.0f}%"
    assert last[6].text == f"{entry['detection']['found']} of {entry['detection']['lesions']}"
    assert last[8] == "1"


def test_masks_to_look_at_come_worst_first_and_without_names(folder: Path, studio: Studio) -> None:
    (table,) = judged.review(RunFolder(folder), studio)
    quality = sorted((q for q in read_json(folder / "quality.json") if q["review"]), key=lambda q: q["predicted_dice"])
    assert 0 < len(table.rows) == min(len(quality), 25)
    assert [row[2].text for row in table.rows] == [f"{q['predicted_dice']:.2f}" for q in quality[:25]]
    assert not any("SECRET" in str(c) for row in table.rows for c in row)


def test_none_to_look_at(folder: Path, studio: Studio) -> None:
    write_json([{**q, "review": False} for q in read_json(folder / "quality.json")], folder / "quality.json")
    (says,) = judged.review(RunFolder(folder), studio)
    assert isinstance(says, Paragraph)
    assert says.text == "No mask has a predicted Dice below 0.60 or a rival."


def test_everything_is_drawn(folder: Path, studio: Studio) -> None:
    blocks = judged.plots(RunFolder(folder), studio)
    assert [type(b) for b in blocks] == [Table, Picture, Picture]
    assert sorted(studio.written) == ["dice-groups.png", "masks-judged.png"]
    row = read_json(folder / "metrics.json")["predicted_dice"][2]
    assert [blocks[0].rows[2][k].text for k in (2, 3)] == [f"{row['mae']['value']:.3f}", f"{row['constant_mae']['value']:.3f}"]


@pytest.mark.usefixtures("undrawn")
def test_runs_of_earlier_versions_have_none_of_it(folder: Path, studio: Studio) -> None:
    known = ("patient_id", "split", "source", "volume_ml", "agreement", "confidence", "dice", "steps", "surface_mm", "volume_error")
    write_json([{k: q[k] for k in known} for q in read_json(folder / "quality.json")], folder / "quality.json")
    metrics = read_json(folder / "metrics.json")
    metrics["segmentation"] = [{k: e[k] for k in ("split", "patients", "dice_mean", "dice_median")} for e in metrics["segmentation"]]
    for name in ("segmentation_groups", "predicted_dice"):
        del metrics[name]
    write_json(metrics, folder / "metrics.json")
    run = RunFolder(folder)
    assert judged.figures(run, studio) == judged.plots(run, studio) == judged.review(run, studio) == []
    write_report(folder)


def test_spread_of_features_over_masks(folder: Path, studio: Studio) -> None:
    names = [*FEATURES[:2], "original_glcm_Contrast", "original_glcm_Idm"]
    moved = {FEATURES[0]: (0.1, 0.2, 0.3), FEATURES[1]: (0.4, 0.6, 0.5), "original_glcm_Contrast": (0.9, 1.1, 1.3), "original_glcm_Idm": (np.nan, np.nan, np.nan)}
    rows = [{"patient_id": f"SECRET-{i:04d}", "feature": n, "value": 1.0, "low": 0.0, "high": 2.0, "sd": 0.1, "networks": 4, "relative": moved[n][i]} for i in range(3) for n in names]
    pd.DataFrame(rows).to_parquet(folder / spread.FILE)
    says, table = spread.spread(RunFolder(folder), studio)
    assert "(3 patients" in says.text
    assert "is 0.50 of its deviation" in says.text  # of 0.2, 0.5 and 1.1
    assert "of the 2 features that signatures use, 0.35" in says.text
    assert [row[:3] for row in table.rows] == [[FEATURES[1], "yes", "0.50"], [FEATURES[0], "yes", "0.20"], ["original_glcm_Contrast", "no", "1.10"]]
