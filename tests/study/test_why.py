"""A run maps its deep signature, and the command gives the same map from the bundle."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sarcofuse import explain_deep
from sarcofuse.bundle import deep_formulas, deep_signatures, load_bundle
from sarcofuse.cli import main
from sarcofuse.errors import BundleError, StageError
from sarcofuse.imaging import read_geometry, read_volume
from sarcofuse.records import FeatureTable
from sarcofuse.signature import LassoSignature, SteppedSignature
from sarcofuse.study import RunResult

pytestmark = pytest.mark.slow


def test_the_highest_and_lowest_signatures_of_test_patients_are_mapped(finished: RunResult) -> None:
    found = json.loads((finished.folder / "deep" / "why.json").read_text())["patients"]
    bundle = load_bundle(finished.folder / "bundle")
    frame = pd.read_parquet(finished.folder / "features" / "deep.parquet")
    table = FeatureTable("deep", tuple(frame.index), tuple(frame.columns), frame.to_numpy())
    split = pd.read_parquet(finished.folder / "cohort.parquet").set_index("patient_id")["split"]
    values = deep_signatures([bundle.model(m) for m in bundle.manifest.models], {"deep": table}, [p for p in table.patient_ids if split[p] != "train"])
    ordered = sorted(values, key=lambda p: -values[p])
    assert [r["patient_id"] for r in found] == [*ordered[:3], *ordered[-3:]]
    assert [r["risk"] for r in found] == pytest.approx([values[r["patient_id"]] for r in found], rel=1e-9)
    assert all((finished.folder / "deep" / r["picture"]).is_file() for r in found)
    page = (finished.folder / "report.html").read_text()
    assert page.count("Map of the deep signature of Patient") == len(found)


def test_the_command_maps_a_new_patient_as_the_run_did(finished: RunResult, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    row = next(r for r in json.loads((finished.folder / "deep" / "why.json").read_text())["patients"] if r["split"] == "external")
    image = home / "cohort" / "images" / f"{row['patient_id']}.nii.gz"
    with pytest.raises(SystemExit, match="0"):
        main(["explain", str(finished.folder / "bundle"), str(image), "--out", str(tmp_path)])
    assert f"{row['patient_id']}: deep signature {row['risk']:.2f}" in capsys.readouterr().out
    (record,) = json.loads((tmp_path / "explain.json").read_text())
    assert {k: record[k] for k in ("risk", "base", "agreement", "sanity")} == {k: row[k] for k in ("risk", "base", "agreement", "sanity")}
    mapped = read_volume(tmp_path / f"{row['patient_id']}_map.nii.gz")
    assert not mapped.geometry.differences(read_geometry(image))
    assert mapped.array.sum(dtype=np.float64) + record["beyond"] == pytest.approx(record["risk"] - record["base"], rel=1e-3, abs=1e-4)
    assert (tmp_path / f"{row['patient_id']}_map.png").is_file()
    again = explain_deep(finished.folder / "bundle", image, method="gradcam", name="somebody")
    assert again.signature == record["risk"]
    assert again.map.array.min() == 0.0


class Model:
    """A model of one block whose signature is given."""

    def __init__(self, signature: object, names: tuple[str, ...]) -> None:
        self.blocks, self.estimator = {"deep": names}, type("Estimator", (), {"signatures": [signature]})()


def test_formulas_say_what_signatures_say() -> None:
    rng = np.random.default_rng(0)
    values, names = rng.normal(size=(60, 12)) * np.logspace(-3, 3, 12), tuple(f"e_{i:04d}" for i in range(1, 13))
    y = (values[:, 0] / values[:, 0].std() - values[:, 5] / values[:, 5].std() + rng.normal(size=60) > 0).astype(int)
    sites = (np.arange(60) % 2).astype(float)
    steps = [{"kind": "combat", "unseen": "refuse", "labels": ["A", "B"]}, {"kind": "univariate", "count": 6}]
    for signature, columns, rows in (
        (LassoSignature(folds=3).fit(values, y), names, values),
        (SteppedSignature([{"kind": "pca", "share": 0.9}], {"folds": 3}).fit(values, y), names, values),
        (SteppedSignature(steps, {"folds": 3}, 1).fit(np.column_stack([values, sites]), y), (*names, "site"), np.column_stack([values, sites])),
    ):
        table = FeatureTable("deep", tuple(f"P{i}" for i in range(60)), columns, rows)
        for p, formula in deep_formulas([Model(signature, columns)], {"deep": table}, ["P3", "P4"]).items():
            row = rows[int(p[1:])]
            told = formula.base + sum(w * (row[int(n[2:]) - 1] - c) for n, (w, c) in formula.terms.items())
            assert told == pytest.approx(float(signature.transform(row[None])[0, 0]), rel=1e-6)
            assert 0 < len(formula.terms) < 12 + any(s["kind"] == "pca" for s in getattr(signature, "steps", ()))
    crooked = LassoSignature(folds=3).fit(values, y)
    straight = crooked.transform
    crooked.transform = lambda X: straight(X) ** 3  # type: ignore[method-assign]
    with pytest.raises(StageError, match="not linear in its features"):
        deep_formulas([Model(crooked, names)], {"deep": FeatureTable("deep", ("P0",), names, values[:1])}, ["P0"])
    with pytest.raises(BundleError, match="none of the models reads deep features"):
        deep_formulas([], {}, [])
