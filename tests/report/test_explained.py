"""Sections of the audit, the nomogram, the Shapley values and the further training figures: there where their files are, and the files' own numbers."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from sarcofuse.models.explain import nomogram
from sarcofuse.report import write_report
from sarcofuse.runtime import read_json, write_json

ROWS = {"recipe": "honest", "auc": {"value": 0.6543, "low": 0.55, "high": 0.75}, "sensitivity": 0.61, "specificity": 0.72}
CHANCE = {"auc": [0.5, 0.52], "mean": 0.5123, "low": 0.47, "high": 0.55, "p_above_chance": 0.3}
AUDIT = {
    "format": 1,
    "model": {"features": "dlr", "classifier": "extratrees"},
    "patients": 60,
    "events": 21,
    "checks": [
        {"name": "permuted training outcomes give chance", "passed": True, "found": "mean AUC 0.512", "expected": "not above 0.5"},
        {"name": "test rows altered change nothing", "passed": False, "found": "another model", "expected": "the same model"},
    ],
    "permutations": {"count": 20, "honest": CHANCE, "leaky": {**CHANCE, "mean": 0.8771}, "reached_by_permutations": 0.0476},
    "recipes": [ROWS, {**ROWS, "recipe": "leaky", "auc": {"value": 0.9111, "low": 0.8, "high": 0.95}}],
}
AREA = {"value": 0.7012, "low": 0.61, "high": 0.79}
VALIDATION = {
    "repeats": {"repeats": 5, "auc": [0.7, 0.71], "auc_mean": 0.7051, "auc_deviation": 0.0123, "auc_pooled": 0.7234, "risk_deviation": 0.03},
    "ablation": [
        {"blocks": ["radiomic"], "view": "signatures", "auc": AREA, "independent": 0.7012, "full_minus_this": {"value": 0.0311, "low": -0.01, "high": 0.07, "p": 0.1312}},
        {"blocks": ["radiomic", "deep"], "view": "signatures", "auc": {**AREA, "value": 0.7323}, "independent": 0.7444, "full_minus_this": None},
    ],
    "optimism": {"samples": 200, "figures": {"auc": {"apparent": 0.8123, "optimism": 0.0921, "corrected": 0.7202}}},
    "learning_curve": [{"share": s, "patients": 48.0 * s, "events": 17.0 * s, "auc": None if s < 0.3 else AREA} for s in (0.25, 0.5, 1.0)],
}


def explanation() -> dict[str, object]:
    columns = np.random.default_rng(0).normal(size=(40, 2))
    shapley = {"scale": "log-odds", "method": "exact", "base": 0.0, "inputs": columns.tolist(), "values": (columns * [1.0, 0.5]).tolist(), "importance": [0.8, 0.4]}
    names = ["radiomic signature", "deep signature"]
    line = {"features": "dlr", "classifier": "logistic", "columns": names, "nomogram": nomogram(-1.0, np.array([1.0, 0.5]), columns)}
    return {"format": 1, "formulas": {}, "models": [line, {"features": "dlr", "classifier": "extratrees", "columns": names, "shapley": shapley}]}


@pytest.fixture(scope="module")
def folder(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = shutil.copytree(finished, tmp_path_factory.mktemp("explained") / "run")
    write_json(AUDIT, folder / "audit.json")
    write_json(explanation(), folder / "explain.json")
    rows = read_json(folder / "models.json")
    for row in rows:
        if (row["features"], row["classifier"]) == ("dlr", "extratrees"):
            row["validation"] = VALIDATION
    write_json(rows, folder / "models.json")
    write_report(folder)
    return folder


@pytest.fixture(scope="module")
def page(folder: Path) -> str:
    return (folder / "report.html").read_text()


def test_sections_are_there_only_where_their_files_are(page: str, finished: Path) -> None:
    assert {"explained", "leakage"} <= set(re.findall(r'<section id="([^"]+)"', page))
    plain = (finished / "report.html").read_text()
    assert not {"explained", "leakage"} & set(re.findall(r'<section id="([^"]+)"', plain))


def test_the_numbers_are_those_of_the_files(page: str) -> None:
    for number in ("0.654", "0.911", "0.512", "0.877", "+0.257", "p = 0.048", "0.705", "0.012", "0.723", "0.701", "0.732", "0.744", "0.031", "0.131", "0.812", "0.092", "0.720"):
        assert number in page, number
    assert "FAILED" in page
    assert "another model" in page
    assert "of 200 bootstrap samples" in page


def test_nomogram_swarm_and_learning_curve_are_drawn(page: str, folder: Path) -> None:
    kept = {f.stem for f in (folder / "figures").glob("*.png")}
    assert {"nomogram", "shapley", "learning"} <= kept
    assert page.count("Nomogram of DLR with logistic regression") == 1


def test_without_a_chart_the_rest_is_printed(writer, undrawn) -> None:
    folder = writer.write()
    content = explanation()
    content["models"] = [{"features": "dlr", "classifier": "svm", "columns": ["radiomic signature"]}]
    write_json(content, folder / "explain.json")
    html = write_report(folder).read_text()
    assert 'id="explained"' not in html
    assert 'id="models"' in html


def test_maps_of_the_deep_signature_are_shown_without_names(writer, undrawn) -> None:
    import SimpleITK as sitk

    folder = writer.write()
    (folder / "deep" / "why").mkdir(parents=True)
    sitk.WriteImage(sitk.GetImageFromArray(np.random.default_rng(0).integers(0, 255, (40, 60, 3)).astype(np.uint8), isVector=True), str(folder / "deep" / "why" / "01.png"))
    row = {"patient_id": "SECRET-0003", "split": "external", "picture": "why/01.png", "risk": 1.234, "base": -1.5, "sanity": 0.876, "pictures": []}
    rows = [{**row, "agreement": {"inside": 0.613, "area": 0.171, "hits": None}}, {**row, "picture": "why/gone.png", "agreement": {}}]
    write_json({"format": 1, "method": "exact", "patients": rows}, folder / "deep" / "why.json")
    html = write_report(folder).read_text()
    assert html.count('alt="Map of the deep signature of Patient') == 1
    for words in ("1.23", "−1.50", "61%", "17%", "0.88", "edges and regions rather than what the network learned"):
        assert words in html, words
    assert "SECRET" not in html
