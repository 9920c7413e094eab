"""Records are valid once constructed; sealed outcomes stay sealed; errors survive a process boundary."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from sarcofuse.errors import CaseError, GeometryError, MaskError, SarcofuseError
from sarcofuse.records import FeatureTable, Geometry, Mask, Outcomes, Volume
from sarcofuse.runtime import digest, digest_file, read_json, read_table, write_json, write_table

GRID = Geometry((4, 3, 2), (1.5, 1.5, 5.0))


def test_shapes_must_fit() -> None:
    assert GRID.shape == (2, 3, 4)
    assert pytest.approx(0.01125) == GRID.voxel_ml
    with pytest.raises(ValueError, match=r"array of shape \(4, 3, 2\) does not fit a grid of shape \(2, 3, 4\)"):
        Volume(np.zeros((4, 3, 2), np.float32), GRID)
    assert Mask(np.ones(GRID.shape, np.uint8), GRID).volume_ml == pytest.approx(24 * 0.01125)


@pytest.mark.parametrize(("size", "spacing", "words"), [((0, 1, 1), (1, 1, 1), "size"), ((1, 1, 1), (1, 0, 1), "spacing"), ((1, 1, 1), (1, float("nan"), 1), "spacing")])
def test_impossible_grids(size: tuple[int, int, int], spacing: tuple[float, float, float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Geometry(size, spacing)


def test_differences_of_grids_are_told_in_words() -> None:
    other = Geometry((4, 3, 3), (1.5, 1.5, 5.5), (0, 0, 0.0005))
    assert GRID.differences(GRID) == []
    found = GRID.differences(other)
    assert found[0] == "size (4, 3, 2) against (4, 3, 3)"
    assert "off by up to 0.5" in found[1]
    assert len(found) == 2


def test_test_outcomes_are_sealed_and_openings_counted() -> None:
    outcomes = Outcomes({"a": 1, "b": 0, "c": 1}, {"a": "train", "b": "internal", "c": "external"})
    assert outcomes.training == {"a": 1}
    assert outcomes.openings == ()
    assert outcomes.open("evaluation") == {"b": 0, "c": 1}
    assert outcomes.openings == ("evaluation",)
    assert not [name for name in vars(outcomes) if not name.startswith("_")]


def test_feature_tables(tmp_path: Path) -> None:
    table = FeatureTable("radiomic", ("b", "a"), ("x", "y"), np.array([[0.1, np.nan], [1 / 3, 4.0]]))
    assert table.rows(["a"]).tolist() == [[1 / 3, 4.0]]
    for name in ("t.parquet", "t.csv"):
        write_table(table, tmp_path / name)
        back = read_table(tmp_path / name, "radiomic")
        assert back.patient_ids == ("a", "b")
        assert np.array_equal(back.rows(["b", "a"]), table.values, equal_nan=True)
    with pytest.raises(ValueError, match="patient a stands there twice"):
        FeatureTable("radiomic", ("a", "a"), ("x",), np.zeros((2, 1)))


def test_errors_cross_process_boundaries() -> None:
    error = pickle.loads(pickle.dumps(MaskError("P-017", "is empty", Path("here/mask.nii.gz"))))  # noqa: S301 - our own bytes
    assert (error.patient_id, error.problem, str(error)) == ("P-017", "is empty", "patient P-017 (mask.nii.gz): is empty")
    assert isinstance(error, CaseError)
    assert (SarcofuseError.exit_code, GeometryError.exit_code) == (1, 1)


def test_json_is_atomic_and_plain(tmp_path: Path) -> None:
    write_json({"a": np.float64(0.1), "b": float("inf"), "c": (np.int64(1), Path("x/y"))}, tmp_path / "deep" / "f.json")
    assert read_json(tmp_path / "deep" / "f.json") == {"a": 0.1, "b": None, "c": [1, "x/y"]}
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["f.json"]
    with pytest.raises(TypeError, match="not JSON serializable"):
        write_json({"a": object()}, tmp_path / "deep" / "f.json")
    assert read_json(tmp_path / "deep" / "f.json")["a"] == 0.1
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["f.json"]


def test_digests_see_content_alone(tmp_path: Path) -> None:
    assert digest({"a": 1, "b": (2.0, None)}) == digest({"b": [2.0, None], "a": 1})
    assert digest({"a": 1}) != digest({"a": 2})
    for name in ("one", "two"):
        (tmp_path / name / "sub").mkdir(parents=True)
        (tmp_path / name / "sub" / "f").write_text("same")
    assert digest_file(tmp_path / "one") == digest_file(tmp_path / "two")
    (tmp_path / "two" / "sub" / "f").write_text("other")
    assert digest_file(tmp_path / "one") != digest_file(tmp_path / "two")
