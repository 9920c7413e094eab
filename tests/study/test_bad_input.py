"""Everything that can be wrong with a cohort, at once: `check` lists it all, `run` carries on with the rest."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from sarcofuse.cli import main
from sarcofuse.config import write_study
from sarcofuse.errors import CohortError, SarcofuseError
from sarcofuse.study import run
from tests.study.conftest import small_study

BAD = {
    "P001": ("image", "exist"),
    "P002": ("unreadable", "cannot be read"),
    "P003": ("grid", "spacing"),
    "P004": ("empty", "empty"),
    "P005": ("labels", "label"),
    "P006": ("nan", "NaN"),
    "P007": ("slice", "1 slice"),
    "P008": ("outcome", "recurrence"),
    "P009": ("split", "split"),
}


def edit(source: Path, target: Path, change: object) -> None:
    image = sitk.ReadImage(str(source))
    array = sitk.GetArrayFromImage(image)
    edited = sitk.GetImageFromArray(change(array))
    edited.CopyInformation(image)
    sitk.WriteImage(edited, str(target))


@pytest.fixture
def broken(home: Path, tmp_path: Path) -> Path:
    """The synthetic cohort with nine patients spoilt in nine ways."""
    cohort = shutil.copytree(home / "cohort", tmp_path / "cohort")
    (cohort / "images" / "P001.nii.gz").unlink()
    (cohort / "images" / "P002.nii.gz").write_bytes(b"not an image")
    mask = sitk.ReadImage(str(cohort / "masks" / "P003.nii.gz"))
    mask.SetSpacing([s * 1.1 for s in mask.GetSpacing()])
    sitk.WriteImage(mask, str(cohort / "masks" / "P003.nii.gz"))
    for name, change in {"P004": lambda a: a * 0, "P005": lambda a: a + (np.arange(a.size).reshape(a.shape) % 7 == 0) * 2, "P007": _one_slice}.items():
        edit(cohort / "masks" / f"{name}.nii.gz", cohort / "masks" / f"{name}.nii.gz", change)
    edit(cohort / "images" / "P006.nii.gz", cohort / "images" / "P006.nii.gz", _with_nan)
    with (cohort / "cohort.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    for row in rows:
        if row["patient_id"] == "P008":
            row["recurrence"] = "perhaps"
        if row["patient_id"] == "P009":
            row["split"] = "extrenal"
    with (cohort / "cohort.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    write_study(small_study(segment={"masks": "given"}), tmp_path / "study.yaml")
    return tmp_path


def _one_slice(array: np.ndarray) -> np.ndarray:
    kept = np.zeros_like(array)
    at = int(array.sum(axis=(1, 2)).argmax())
    kept[at] = array[at]
    return kept


def _with_nan(array: np.ndarray) -> np.ndarray:
    spoilt = array.astype(np.float32)
    spoilt[0, 0, 0] = np.nan
    return spoilt


def test_check_lists_every_problem_at_once(broken: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["check", str(broken / "study.yaml"), "--workers", "2"])
    lines = capsys.readouterr().out.splitlines()
    for patient, (_, words) in BAD.items():
        about = [line for line in lines if patient in line]
        assert any(words in line for line in about), f"{patient}: {words} not in {about}"


def test_run_sets_the_bad_ones_aside_and_goes_on(broken: Path) -> None:
    result = run(broken / "study.yaml", broken / "run", until="segment", workers=2)
    reasons = {s.patient_id: s.reason for s in result.set_aside}
    assert set(reasons) == set(BAD)
    for patient, (_, words) in BAD.items():
        assert words in reasons[patient], f"{patient}: {reasons[patient]}"
    assert result.finished == "segment"


def test_problems_of_the_whole_table_stop_a_run_with_all_of_them(home: Path, tmp_path: Path) -> None:
    cohort = shutil.copytree(home / "cohort", tmp_path / "cohort")
    text = (cohort / "cohort.csv").read_text().splitlines()
    (cohort / "cohort.csv").write_text("\n".join([text[0], *text[1:], text[1]]) + "\n")
    write_study(small_study(cohort={"clinical": ["aeg"]}), tmp_path / "study.yaml")
    with pytest.raises(CohortError, match="P001") as caught:
        run(tmp_path / "study.yaml", tmp_path / "run", until="cohort")
    assert "aeg" in str(caught.value)
    assert "age" in str(caught.value)


@pytest.mark.parametrize(
    ("deep", "masks", "words"),
    [
        ({"backbone": "squeezenet1_0"}, "given", "are not here: it is not offered for download"),
        ({"backbone": "segresnet-encoder"}, "given", "there is none; set segment.masks: model, or another backbone"),
        ({"backbone": "resnet"}, "model", "is not in the registry"),
    ],
)
def test_a_network_that_is_not_there_is_told_before_any_work(deep: dict[str, object], masks: str, words: str, home: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    study = small_study(deep=deep, segment={"masks": masks}, cohort={"file": str(home / "cohort" / "cohort.csv")})
    with pytest.raises(SarcofuseError, match=words):
        run(study, tmp_path / "run", scheduler="serial", progress=False)
    assert list((tmp_path / "run").rglob("*")) == []
    write_study(study, tmp_path / "study.yaml")
    monkeypatch.setattr("sarcofuse.cohort.check_study", lambda *_: [])  # images are looked at elsewhere
    with pytest.raises(SystemExit, match="2"):
        main(["check", str(tmp_path / "study.yaml")])
    told = capsys.readouterr().out
    assert told.startswith("error    ")
    assert words in told


def test_fewer_events_than_folds_stop_a_run(home: Path, tmp_path: Path) -> None:
    study = small_study(models={"folds": 6}, cohort={"file": str(home / "cohort" / "cohort.csv")})
    with pytest.raises(CohortError, match="fewer events than folds: 5 in the training split, 6 folds"):
        run(study, tmp_path / "run", until="cohort")
