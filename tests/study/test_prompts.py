"""What a study tells of steered masks."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from sarcofuse.imaging import write_mask
from sarcofuse.records import Case, Geometry, Mask, MaskQuality, Prediction, Split
from sarcofuse.runtime import read_json
from sarcofuse.study.folder import RunFolder
from sarcofuse.study.prompts import dice_side_by_side, prompt_counts, uneven_prompts


def case(name: str, split: Split, prompted: str = "") -> Case:
    return Case(name, split, "A", Path("image.nii.gz"), None, Path("native.nii.gz"), "0", mask_source="ensemble", prompted=prompted)  # type: ignore[arg-type]


def some(split: Split, count: int, steered: int, kind: str = "box") -> list[Case]:
    return [case(f"{split}-{i}", split, kind if i < steered else "") for i in range(count)]


def test_counts_by_split_and_kind() -> None:
    cases = [*some("train", 5, 2), *some("train", 3, 1, "click"), *some("internal", 4, 0), *some("external", 2, 2, "rough")]
    assert prompt_counts(cases) == {"prompted": {"train": {"box": 2, "click": 1}, "external": {"rough": 2}}}
    assert prompt_counts(some("train", 5, 0)) == {}


def test_uneven_splits_are_told() -> None:
    assert uneven_prompts([*some("train", 10, 1), *some("internal", 10, 3), *some("external", 10, 3)]) == []
    (told,) = uneven_prompts([*some("train", 10, 0), *some("internal", 10, 3), *some("external", 4, 1)])
    assert "(train 0%, internal 30%, external 25%)" in told
    assert uneven_prompts([]) == uneven_prompts(some("train", 3, 3)) == []


def quality(split: Split, dice: float | None, automatic: float | None, prompted: str = "box") -> MaskQuality:
    return MaskQuality("a", split, "ensemble", 10.0, None, 0.9, dice, prompted=prompted, automatic_dice=automatic)  # type: ignore[arg-type]


def test_dice_side_by_side_is_of_the_same_patients() -> None:
    rows = [quality("train", 0.9, 0.5), quality("train", 0.8, 0.0), quality("train", 0.7, 0.7), quality("train", 0.2, None, ""), quality("external", None, None), quality("train", None, None)]
    assert dice_side_by_side(rows, "train") == {
        "prompted": 3,
        "prompted_dice_mean": pytest.approx(0.8),
        "prompted_dice_median": pytest.approx(0.8),
        "automatic_dice_mean": pytest.approx(0.4),
        "automatic_dice_median": pytest.approx(0.5),
    }
    assert dice_side_by_side(rows, "external") == {}


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf8") as stream:
        return list(csv.DictReader(stream))


def test_predictions_carry_a_mark_only_where_there_is_one(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    risks = [Prediction(p, "train", "dlr", "svm", True, 0.1 + 0.2, False) for p in ("a", "b")]
    folder.write_predictions(risks, {"a": "", "b": ""})
    plain = (tmp_path / "predictions.csv").read_bytes()
    assert plain.splitlines()[0] == b"patient_id,split,features,classifier,primary,risk,positive"
    folder.write_predictions(risks, {"a": "", "b": "click"})
    assert [(r["patient_id"], r["prompted"], float(r["risk"])) for r in rows(tmp_path / "predictions.csv")] == [("a", "", 0.1 + 0.2), ("b", "click", 0.1 + 0.2)]
    folder.write_predictions(risks)
    assert (tmp_path / "predictions.csv").read_bytes() == plain


def test_tables_of_masks_carry_the_mark(tmp_path: Path) -> None:
    grid = Geometry((3, 3, 3), (1.0, 1.0, 1.0))
    made = tmp_path / "cache" / "segment" / "x"
    for name in ("mask", "automatic"):
        write_mask(Mask(ones(grid), grid), made / f"{name}.nii.gz")
    folder = RunFolder(tmp_path)
    steered = Case("b", "train", "A", made / "image.nii.gz", made / "mask.nii.gz", made / "image.nii.gz", "0", mask_source="out-of-fold", prompted="box")
    folder.write_mask_sources([case("a", "external"), steered])
    assert [list(r.values()) for r in rows(tmp_path / "features" / "masks.csv")] == [["a", "external", "ensemble", ""], ["b", "train", "out-of-fold", "box"]]
    folder.write_cases([case("a", "external"), steered], {})
    first, second = read_json(tmp_path / "cases.json")
    assert "prompted" not in first
    assert (second["prompted"], second["automatic"]) == ("box", "cache/segment/x/automatic.nii.gz")


def ones(grid: Geometry) -> np.ndarray:
    return np.ones(grid.shape, np.uint8)
