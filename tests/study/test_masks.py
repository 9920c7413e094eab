"""What a study says of its masks: whom to look at, scanners, and how far features move, worked by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sarcofuse.config import RadiomicsConfig
from sarcofuse.records import Case, FeatureTable, MaskQuality
from sarcofuse.study.masks import scanners, to_review, write_spread


def rated(patient: str, said: float | None) -> MaskQuality:
    return MaskQuality(patient, "external", "ensemble", 10.0, None, 0.9, predicted_dice=said, predicted_low=0.1, predicted_high=0.9, review=said is not None and said < 0.6)


def test_worst_first_and_counted() -> None:
    quality = [rated(f"p{i}", said) for i, said in enumerate((0.59, 0.2, 0.9, None, 0.4, 0.5, 0.3, 0.1))]
    (warning,) = to_review(quality, 0.6)
    assert warning.startswith("6 of 8 automatic masks should be looked at (the predicted Dice is below 0.6, or")
    assert warning.endswith("worst first: patient p7 (0.10), patient p1 (0.20), patient p6 (0.30), patient p4 (0.40), patient p5 (0.50) ...")
    assert to_review([rated("p0", 0.7), rated("p1", None)], 0.6) == []


def test_scanners_are_read_where_the_table_has_them(tmp_path: Path) -> None:
    (tmp_path / "cohort.csv").write_text("patient_id;scanner;recurrence\na;Avanto;1\nb;;0\nc; Skyra ;0\n")
    assert scanners(tmp_path / "cohort.csv") == {"a": "Avanto", "c": "Skyra"}
    (tmp_path / "cohort.csv").write_text("patient_id,recurrence\na,1\n")
    assert scanners(tmp_path / "cohort.csv") == {}


def test_spread_by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("f", "g")
    whole = FeatureTable("radiomic", ("t1", "t2", "t3", "x", "y"), names, np.array([[1.0, 5.0], [2.0, 5.0], [3.0, 5.0], [10.0, 7.0], [20.0, 7.0]]))
    own = {
        0: FeatureTable("radiomic", ("x", "y"), names, np.array([[8.0, 1.0], [20.0, np.nan]])),
        1: FeatureTable("radiomic", ("x",), names, np.array([[10.0, 1.0]])),
        2: FeatureTable("radiomic", ("x", "y"), names, np.array([[12.0, 4.0], [23.0, np.nan]])),
    }
    cases = [Case(p, "train" if p.startswith("t") else "external", "A", Path(p), Path(p), Path(p), p, p) for p in whole.patient_ids]
    monkeypatch.setattr("sarcofuse.segment.fold_cases", lambda given: {k: [c for c in given if c.patient_id in t.patient_ids] for k, t in own.items()})
    measured = iter(own.values())
    monkeypatch.setattr("sarcofuse.radiomics.extract", lambda *_: (next(measured), []))
    write_spread(cases, whole, RadiomicsConfig(), None, tmp_path / "spread.parquet")
    found = pd.read_parquet(tmp_path / "spread.parquet").set_index(["patient_id", "feature"])
    assert found.index.tolist() == [("x", "f"), ("x", "g"), ("y", "f"), ("y", "g")]
    assert found.loc[("x", "f")].to_dict() == {"value": 10.0, "low": 8.0, "high": 12.0, "sd": 2.0, "networks": 3.0, "relative": 2.0}  # of 1, 2 and 3 in training
    assert found.loc[("x", "g"), "sd"] == pytest.approx(np.sqrt(3.0))
    assert np.isnan(found.loc[("x", "g"), "relative"])  # constant in training
    assert found.loc[("y", "f")].to_dict() == {"value": 20.0, "low": 20.0, "high": 23.0, "sd": pytest.approx(3 / np.sqrt(2)), "networks": 2.0, "relative": pytest.approx(3 / np.sqrt(2))}
    assert found.loc[("y", "g"), "networks"] == 0
    assert np.isnan(found.loc[("y", "g"), ["low", "high", "sd"]].to_numpy(dtype=float)).all()


def test_no_masks_of_single_networks_give_no_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = FeatureTable("radiomic", ("a",), ("f",), np.ones((1, 1)))
    monkeypatch.setattr("sarcofuse.segment.fold_cases", lambda _: {})
    write_spread([], table, RadiomicsConfig(), None, tmp_path / "spread.parquet")
    assert not (tmp_path / "spread.parquet").exists()
