"""Preflight: every problem at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sarcofuse.cohort import Problem, check_study, needed_folds
from sarcofuse.config import CohortConfig, DeepConfig, EvaluationConfig, ModelsConfig, SegmentConfig, SignatureConfig, StudyConfig
from sarcofuse.records import Geometry
from sarcofuse.runtime import Engine
from tests.cohort.conftest import COLUMNS, GRID, Rows, box_mask, make_rows, write_patient, write_rows

Table = Callable[..., Path]
FEW = ModelsConfig(folds=3, signature=SignatureConfig(folds=3))
STUDY = StudyConfig(cohort=CohortConfig(clinical=("age",)), models=FEW)


def errors(problems: list[Problem]) -> dict[str, str]:
    return {p.patient_id: p.text for p in problems if p.severity == "error"}


def write_own(folder: Path, name: str, **how: object) -> None:
    """Replace a patient's files, which are links."""
    for part in ("images", "masks"):
        (folder / part / f"{name}.nii.gz").unlink()
    write_patient(folder, name, **how)  # type: ignore[arg-type]


def test_a_sound_study_has_no_errors(folder: Path, table: Table, engine: Engine) -> None:
    table()
    problems = check_study(STUDY, folder, engine)
    assert errors(problems) == {}
    assert all(p.severity == "warning" and p.patient_id == "" for p in problems)
    assert "24 patients cannot carry a model" in problems[0].text


def test_everything_is_told_at_once(folder: Path, engine: Engine) -> None:
    rows = make_rows()
    rows[1]["image"] = "images/gone.nii.gz"
    rows[2]["recurrence"] = ""
    rows[3]["recurrence"] = "maybe"
    rows[4]["split"] = "trian"
    rows[5]["mask"] = ""
    write_rows([*rows, rows[20]], folder / "cohort.csv")
    write_own(folder, "P-06", image=np.full(GRID.shape, np.nan, np.float32))
    write_own(folder, "P-07", mask=np.zeros(GRID.shape, np.uint8))
    thin = box_mask()
    thin[2:] = 0
    write_own(folder, "P-08", mask=thin)
    write_own(folder, "P-09", mask=box_mask() * 3 - (box_mask() & (np.arange(12) < 6)))
    write_own(folder, "P-10", mask_grid=Geometry(GRID.size, (1.5, 1.5, 5.5)))
    write_own(folder, "P-11", image=np.full(GRID.shape, 5.0, np.float32))
    write_own(folder, "P-12")
    broken = folder / "images" / "P-12.nii.gz"
    broken.write_bytes(broken.read_bytes()[:300])
    (folder / "masks" / "P-13.nii.gz").unlink()
    (folder / "masks" / "P-13.nii.gz").write_text("not a mask")
    found = errors(check_study(STUDY, folder, engine))
    expected = {
        "": "patient_id 'P-20' stands there twice or more (lines 22, 26)",
        "P-01": "image does not exist: images/gone.nii.gz",
        "P-02": "outcome missing",
        "P-03": "outcome not 0 or 1: column 'recurrence' says 'maybe'",
        "P-04": "unknown split value: column 'split' says 'trian'",
        "P-05": "no mask, and segment.masks is given",
        "P-06": "image holds 792 voxels of 792 that are NaN or infinite",
        "P-07": "tumour mask of P-07 is empty: 0 voxels in P-07.nii.gz",
        "P-08": "tumour of P-08 lies in 1 slice; expected at least 2",
        "P-09": "tumour mask of P-09 holds 2 labels: 2 (24 voxels), 3 (24 voxels)",
        "P-10": "image and mask lie on different grids: spacing",
        "P-11": "image is constant",
        "P-12": "image is cut short or damaged",
        "P-13": "mask cannot be read",
    }
    assert set(found) == set(expected)
    for name, words in expected.items():
        assert found[name].startswith(words), found[name]


def test_image_and_mask_of_one_patient_are_both_told(folder: Path, table: Table, engine: Engine) -> None:
    table()
    write_own(folder, "P-06", image=np.full(GRID.shape, np.nan, np.float32), mask=np.zeros(GRID.shape, np.uint8))
    found = [p for p in check_study(STUDY, folder, engine) if p.patient_id == "P-06"]
    assert [p.file.name if p.file else "" for p in found] == ["P-06.nii.gz", "P-06.nii.gz"]
    assert {p.file.parent.name for p in found if p.file} == {"images", "masks"}
    assert str(found[0]).startswith("patient P-06 (P-06.nii.gz): image holds 792 voxels")


def test_the_same_image_of_two_patients(folder: Path, table: Table, engine: Engine) -> None:
    table()
    (folder / "images" / "P-20.nii.gz").unlink()
    (folder / "images" / "P-20.nii.gz").symlink_to((folder / "images" / "P-02.nii.gz").resolve())
    assert errors(check_study(STUDY, folder, engine)) == {"P-20": "the very same image as that of P-02: one of the two is wrong, or a patient stands there twice"}


def test_what_was_opened_once_is_not_opened_again(folder: Path, table: Table, engine: Engine) -> None:
    table()
    write_own(folder, "P-07", mask=np.zeros(GRID.shape, np.uint8))
    first = check_study(STUDY, folder, engine)
    entries = {f: f.stat().st_mtime_ns for f in (engine.cache / "check").glob("*/found.json")}
    assert len(entries) == 24
    assert check_study(STUDY, folder, engine) == first
    assert {f: f.stat().st_mtime_ns for f in (engine.cache / "check").glob("*/found.json")} == entries
    write_own(folder, "P-07")
    assert errors(check_study(STUDY, folder, engine)) == {}


def test_workers_find_the_same(folder: Path, table: Table, engine: Engine, tmp_path: Path) -> None:
    table()
    write_own(folder, "P-07", mask=np.zeros(GRID.shape, np.uint8))
    with Engine(tmp_path / "other", workers=2, progress=False) as parallel:
        assert check_study(STUDY, folder, parallel) == check_study(STUDY, folder, engine)


@pytest.mark.parametrize(("column", "told"), [("recurrence", "'recurrence' (cohort.outcome)"), ("split", "'split' (cohort.split_column)"), ("age", "'age' (cohort.clinical)")])
def test_images_are_opened_even_if_a_column_is_missing(folder: Path, table: Table, engine: Engine, column: str, told: str) -> None:
    table(columns=[c for c in COLUMNS if c != column])
    write_own(folder, "P-07", mask=np.zeros(GRID.shape, np.uint8))
    found = errors(check_study(STUDY, folder, engine))
    assert set(found) == {"", "P-07"}
    assert found[""].startswith(f"there is no column {told}")


def test_one_class_and_too_few_events(folder: Path, table: Table, engine: Engine) -> None:
    table(lambda rows: [r | {"recurrence": "1"} if r["split"] == "external" else r for r in rows])
    study = StudyConfig(models=ModelsConfig(folds=7))
    texts = [p.text for p in check_study(study, folder, engine) if p.severity == "error"]
    assert texts == [
        "only one class in the external split: all 4 patients have outcome 1; expected both 0 and 1",
        "fewer events than folds: 6 in the training split, 7 folds; expected at least one a fold. Set fewer folds, or train on more patients",
    ]


def test_inner_folds_without_a_class_are_a_warning(folder: Path, table: Table, engine: Engine) -> None:
    table()
    study = StudyConfig(models=ModelsConfig(folds=3, signature=SignatureConfig(folds=5)))
    assert needed_folds(study) == 5
    assert any("within an outer fold 4 training patients of the rarer class are left for 5 inner folds" in p.text for p in check_study(study, folder, engine))


def test_masks_that_are_needed(folder: Path, engine: Engine, table: Table) -> None:
    def erase(rows: Rows) -> None:
        rows[3]["mask"] = rows[20]["mask"] = ""

    table(erase)
    assert set(errors(check_study(STUDY, folder, engine))) == {"P-03", "P-20"}
    model = STUDY.model_copy(update={"segment": SegmentConfig(masks="model")})
    found = errors(check_study(model, folder, engine))
    assert set(found) == {"P-03"}, "others get the model's mask"
    assert found["P-03"].startswith("no mask of a training patient, and segment.masks is model")
    table(lambda rows: [r | {"mask": ""} if r["patient_id"] > "P-02" else r for r in rows])
    found = errors(check_study(model, folder, engine))
    assert found[""] == "3 training patients have a mask, fewer than the 4 folds of the segmentation (segment.folds). Draw more tumours, or set fewer folds"


def test_feature_tables_are_read_instead_of_images(folder: Path, table: Table, engine: Engine) -> None:
    table(columns=["patient_id", "split", "recurrence", "age"])
    names = [f"P-{i:02d}" for i in range(24) if i != 5]
    (folder / "radiomic.csv").write_text("patient_id,a,b\n" + "".join(f"{n},{i},\n" for i, n in enumerate(names)))
    (folder / "deep.csv").write_text("patient_id,a\nP-00,high\n")
    study = STUDY.model_copy(update={"features": {"radiomic": Path("radiomic.csv"), "deep": Path("deep.csv")}})
    problems = check_study(study, folder, engine)
    found = errors(problems)
    assert found["P-05"] == "is not in the table of radiomic features (radiomic.csv)"
    assert "has text in 1 columns that should be numbers: a" in found[""]
    told = [p.text for p in problems if p.severity == "warning"]
    assert "1 of 2 radiomic features have no value for any training patient: b; models pass over them" in told
    assert any(t.startswith("1 of 2 radiomic features tell the splits apart without error: a; a number in the order of the table") for t in told)
    assert not (engine.cache / "check").exists()


def test_settings_that_point_nowhere(folder: Path, table: Table, engine: Engine) -> None:
    table()
    study = StudyConfig(models=FEW.model_copy(update={"clinical": True}), deep=DeepConfig(weights=Path("weights.pt")), evaluation=EvaluationConfig(subgroups=("age",)))
    texts = [p.text for p in check_study(study, folder, engine) if p.severity == "error"]
    asked = "evaluation.subgroups asks for age, which cohort.clinical does not name; name every column of the subgroups there"
    assert texts == ["models.clinical is true, but cohort.clinical names no column", asked, "weights file of deep.weights does not exist; correct the path, or leave it empty"]


def test_no_table_at_all(tmp_path: Path, engine: Engine) -> None:
    (problem,) = check_study(STUDY, tmp_path, engine)
    assert (problem.severity, problem.file) == ("error", tmp_path / "cohort.csv")
    assert "does not exist" in str(problem)


def test_real_patients(reference_data: Path, tmp_path: Path) -> None:
    """Three real sarcomas, one of them with the mask of another."""
    names = ["STS_002", "STS_003", "STS_004"]
    home = reference_data / "sts_t1"
    drawn_on = {"STS_003": "STS_002"}
    files = {n: (str(home / n / "MR_T1_image.nii.gz"), str(home / drawn_on.get(n, n) / "MR_T1_mask.nii.gz")) for n in names}
    rows = [{"patient_id": n, "image": files[n][0], "mask": files[n][1], "split": "train", "recurrence": "01"[i % 2]} for i, n in enumerate(names)]
    write_rows(rows, tmp_path / "cohort.csv")
    with Engine(tmp_path / "cache", scheduler="serial", progress=False) as engine:
        found = errors(check_study(StudyConfig(models=FEW), tmp_path, engine))
    assert set(found) == {"", "STS_003"}
    assert found["STS_003"].startswith("image and mask lie on different grids: size (121, 138, 47) against (115, 90, 35)")


@pytest.mark.parametrize(("start", "count"), [(Path("gone.pt"), 1), ("nothing", 0), (None, 0)])
def test_weights_to_start_from_must_be_there(folder: Path, table: Table, engine: Engine, start: Path | str | None, count: int) -> None:
    table()
    study = STUDY.model_copy(update={"segment": SegmentConfig(masks="model", start_from=start)})
    texts = [p.text for p in check_study(study, folder, engine) if p.severity == "error"]
    assert texts.count("segment.start_from does not exist; correct the path, or leave it empty") == count
