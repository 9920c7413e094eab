"""Reading cohort.csv: what is wrong with a row sets the row aside, what is wrong with the table is told all at once."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from sarcofuse.cohort import flow_counts, read_cohort
from sarcofuse.config import CohortConfig
from sarcofuse.errors import CohortError
from sarcofuse.records import Cohort
from tests.cohort.conftest import COLUMNS, Rows, make_rows, write_rows

Table = Callable[..., Path]
CLINICAL = CohortConfig(clinical=("age", "grade"))


def read(folder: Path, config: CohortConfig = CLINICAL, **how: object) -> Cohort:
    return read_cohort(config, folder, 0, **how)  # type: ignore[arg-type]


def set_cell(name: str, column: str, value: str) -> Callable[[Rows], None]:
    def change(rows: Rows) -> None:
        next(r for r in rows if r["patient_id"] == name)[column] = value

    return change


def test_patients_come_in_order_with_everything_known_of_them(folder: Path, table: Table) -> None:
    table(lambda rows: rows[::-1])
    cohort = read(folder)
    assert [p.patient_id for p in cohort.patients] == [f"P-{i:02d}" for i in range(24)]
    first, last = cohort.patients[0], cohort.patients[-1]
    assert (first.image, first.mask) == (folder / "images" / "P-00.nii.gz", folder / "masks" / "P-00.nii.gz")
    assert (first.split, first.site, dict(first.clinical)) == ("train", "A", {"age": 40.0, "grade": "Low"})
    assert (last.split, last.site) == ("external", "B")
    assert cohort.set_aside == ()


def test_outcomes_of_test_patients_are_sealed(folder: Path, table: Table) -> None:
    table()
    cohort = read(folder)
    assert cohort.outcomes.training == {f"P-{i:02d}": int(i % 3 == 0) for i in range(16)}
    assert cohort.outcomes.openings == ()
    assert cohort.outcomes.open("a test") == {f"P-{i:02d}": int(i % 3 == 0) for i in range(16, 24)}


@pytest.mark.parametrize(("separator", "encoding"), [(",", "utf-8"), (",", "utf-8-sig"), (";", "utf-8"), ("\t", "utf-8-sig"), ("\t", "utf-16")])
def test_tables_as_people_save_them(folder: Path, table: Table, separator: str, encoding: str) -> None:
    file = table(separator=separator, encoding=encoding)
    file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n") if encoding != "utf-16" else file.read_bytes())
    cohort = read(folder)
    assert len(cohort.patients) == 24
    assert cohort.patients[3].clinical["age"] == 43.0


def test_decimal_commas_quoted_cells_and_blank_lines(folder: Path, table: Table) -> None:
    def change(rows: Rows) -> None:
        rows[0]["age"], rows[1]["grade"], rows[2]["site"] = "61,5", '"High; very"', "  A  "

    file = table(change, separator=";")
    file.write_text(file.read_text(encoding="utf8") + "\n;;;;;;;\n", encoding="utf8")
    cohort = read(folder)
    assert cohort.patients[0].clinical["age"] == 61.5
    assert cohort.patients[1].clinical["grade"] == "High; very"
    assert cohort.patients[2].site == "A"
    assert len(cohort.patients) == 24


@pytest.mark.parametrize("empty", ["", "NA", "nan", "--", "?", "None"])
def test_missing_clinical_values(folder: Path, table: Table, empty: str) -> None:
    table(lambda rows: [r | {"age": empty, "grade": empty} if r["patient_id"] == "P-03" else r for r in rows])
    assert dict(read(folder).patients[3].clinical) == {"age": None, "grade": None}


def test_whether_a_column_holds_numbers_is_decided_by_training_alone(folder: Path, table: Table) -> None:
    table(set_cell("P-20", "age", "unknown"))
    cohort = read(folder)
    assert cohort.patients[0].clinical["age"] == 40.0
    assert cohort.patients[20].clinical["age"] is None
    assert "clinical column 'age' holds numbers in training; 1 test value that are no numbers count as missing" in cohort.warnings


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("image", "images/none.nii.gz", "image does not exist: images/none.nii.gz"),
        ("image", "", "no image: column 'image' is empty"),
        ("mask", "masks/none.nii.gz", "mask does not exist: masks/none.nii.gz"),
        ("mask", "masks", "mask is a folder, expected one file: masks"),
        ("recurrence", "", "outcome missing: column 'recurrence' is empty; expected 0 or 1"),
        ("recurrence", "NA", "outcome missing: column 'recurrence' is empty; expected 0 or 1"),
        ("recurrence", "2", "outcome not 0 or 1: column 'recurrence' says '2'"),
        ("recurrence", "yes", "outcome not 0 or 1: column 'recurrence' says 'yes'"),
        ("recurrence", "0.5", "outcome not 0 or 1: column 'recurrence' says '0.5'"),
        ("split", "test", "unknown split value: column 'split' says 'test'; expected train, internal or external"),
        ("split", "", "unknown split value: column 'split' says ''; expected train, internal or external"),
        ("split", "extern", "unknown split value: column 'split' says 'extern'; expected train, internal or external; did you mean external?"),
        ("patient_id", "../P-05", "unusable patient_id: it holds '/'; expected letters"),
        ("patient_id", "P\\05", "unusable patient_id: it holds '\\\\'"),
        ("patient_id", "P\x0705", "unusable patient_id: it holds '\\x07'"),
        ("patient_id", "..", "unusable patient_id: it holds a dot at an end"),
        ("patient_id", "P" * 101, "unusable patient_id: 101 characters"),
        ("patient_id", "", "no patient_id: the cell is empty"),
    ],
)
def test_a_bad_row_is_set_aside_and_the_rest_goes_on(folder: Path, table: Table, column: str, value: str, reason: str) -> None:
    table(set_cell("P-05", column, value))
    cohort = read(folder)
    assert len(cohort.patients) == 23
    (aside,) = cohort.set_aside
    assert aside.patient_id == ((value or "row 7") if column == "patient_id" else "P-05")
    assert aside.stage == "cohort"
    assert aside.reason.startswith(reason)
    assert "P-05" not in cohort.outcomes.training


def test_outcomes_may_be_written_as_numbers_with_a_point(folder: Path, table: Table) -> None:
    table(lambda rows: [r | {"recurrence": r["recurrence"] + ".0", "split": r["split"].upper()} for r in rows])
    assert len(read(folder).patients) == 24


def test_a_row_of_too_many_cells_is_set_aside(folder: Path, table: Table) -> None:
    table(set_cell("P-05", "grade", "Low,or high"))
    (aside,) = read(folder).set_aside
    assert aside.reason.startswith("row with a wrong number of cells: line 7 has 9, the header 8")


def test_a_missing_mask_is_allowed(folder: Path, table: Table) -> None:
    table(set_cell("P-05", "mask", ""))
    assert read(folder).patients[5].mask is None
    table(columns=[c for c in COLUMNS if c != "mask"])
    assert all(p.mask is None for p in read(folder).patients)


def test_images_are_not_looked_at_where_features_come_from_tables(folder: Path, table: Table) -> None:
    table(columns=[c for c in COLUMNS if c not in ("image", "mask")])
    assert read(folder, imaging=False).patients[0].image is None
    with pytest.raises(CohortError, match=r"there is no column 'image' \(cohort\.image\)"):
        read(folder)


def test_every_problem_of_the_table_is_told_at_once(folder: Path) -> None:
    rows = make_rows()
    rows[4]["patient_id"], rows[9]["patient_id"], rows[10]["patient_id"] = "P-03", "P-08", "p-08"
    write_rows([{**r, "recurence": r["recurrence"], "Split": r["split"]} for r in rows], folder / "cohort.csv", columns=["patient_id", "image", "recurence", "Split", "age"])
    with pytest.raises(CohortError, match="problems") as caught:
        read(folder)
    message = str(caught.value)
    assert message.startswith(f"{folder / 'cohort.csv'}: 5 problems: ")
    for words in (
        "there is no column 'recurrence' (cohort.outcome); did you mean 'recurence'?",
        "there is no column 'split' (cohort.split_column); did you mean 'Split'?",
        "there is no column 'grade' (cohort.clinical)",
        "patient_id 'P-03' stands there twice or more (lines 5, 6)",
        "(lines 10, 11, 12)",
    ):
        assert words in message, words


def test_the_outcome_must_not_be_a_clinical_variable(folder: Path, table: Table) -> None:
    table()
    with pytest.raises(CohortError, match="column 'recurrence' is the outcome and must not be a clinical variable"):
        read(folder, CohortConfig(clinical=("age", "recurrence")))


@pytest.mark.parametrize(("split", "count"), [("train", 16), ("internal", 4), ("external", 4)])
def test_only_one_class_in_a_split(folder: Path, table: Table, split: str, count: int) -> None:
    table(lambda rows: [r | {"recurrence": "0"} if r["split"] == split else r for r in rows])
    with pytest.raises(CohortError, match=rf"only one class in the {split} split: all {count} patients have outcome 0; expected both 0 and 1"):
        read(folder)


def test_an_empty_training_split(folder: Path, table: Table) -> None:
    table(lambda rows: [r | {"split": "external"} for r in rows])
    with pytest.raises(CohortError, match="the training split is empty"):
        read(folder)


def test_no_test_split_is_a_warning(folder: Path, table: Table) -> None:
    table(lambda rows: [r | {"split": "train"} for r in rows])
    assert any("no patient is kept for testing" in w for w in read(folder).warnings)


def test_fewer_events_than_folds(folder: Path, table: Table) -> None:
    table()
    assert len(read(folder, folds=6).patients) == 24
    with pytest.raises(CohortError, match="fewer events than folds: 6 in the training split, 7 folds"):
        read(folder, folds=7)
    table(lambda rows: [r | {"recurrence": str(1 - int(r["recurrence"]))} for r in rows])
    with pytest.raises(CohortError, match="fewer patients without the event than folds: 6 in the training split, 7 folds"):
        read(folder, folds=7)


def test_a_table_where_no_row_can_be_used(folder: Path, table: Table) -> None:
    table(lambda rows: [r | {"recurrence": ""} for r in rows])
    with pytest.raises(CohortError, match="the training split is empty"):
        read(folder)
    table(lambda rows: [r | {"image": ""} for r in rows])
    with pytest.raises(CohortError, match="no row can be used; the first, P-00: no image"):
        read_cohort(CohortConfig(), folder, 0, outcomes=False)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, r"cohort\.csv does not exist; expected one row a patient"),
        (b"", "has no header"),
        (b"patient_id,image\n", "has a header but no rows"),
        (b"PK\x03\x04\xff\xfe\x00\x01", r"is not UTF-8 text .*\(\.xlsx\) must be exported"),
        ("patient_id,naïve\nA,1\n".encode("latin-1"), "is not UTF-8 text"),
        (b"a\x00b,c\n1,2\n", "holds zero bytes"),
        (b"patient_id,age,age\nA,1,2\n", "has columns of the same name: 'age'"),
        (b'patient_id,age\n"A,1\n', "has a header but no rows|no column"),
    ],
)
def test_a_file_that_is_no_table(tmp_path: Path, content: bytes | None, told: str) -> None:
    if content is not None:
        (tmp_path / "cohort.csv").write_bytes(content)
    with pytest.raises(CohortError, match=told):
        read(tmp_path)


def test_few_patients_are_a_warning_with_a_yardstick(folder: Path, table: Table) -> None:
    """16 training patients, 6 events: (1.96 / 0.05)**2 * 0.375 * 0.625 = 360.2."""
    table()
    warnings = read(folder).warnings
    assert warnings[0].startswith("24 patients cannot carry a model: training has 16 with 6 events, and 361 would be needed")
    assert "Riley" in warnings[0]
    assert [w.split(";")[0] for w in warnings[1:]] == ["the internal split has 4 patients", "the external split has 4 patients"]


def test_enough_patients_are_no_warning(tmp_path: Path) -> None:
    rows = [{"patient_id": f"P{i}", "split": "train" if i < 527 else "external", "recurrence": str(int(i % 3 == 0))} for i in range(800)]
    write_rows(rows, tmp_path / "cohort.csv", columns=["patient_id", "split", "recurrence"])
    assert read(tmp_path, CohortConfig(), imaging=False).warnings == ()


def test_the_flow_of_patients(folder: Path, table: Table) -> None:
    table(lambda rows: [r | {"recurrence": "" if r["patient_id"] in ("P-05", "P-06") else r["recurrence"], "image": "gone" if r["patient_id"] == "P-20" else r["image"]} for r in rows])
    assert flow_counts(read(folder)) == {
        "rows": 24,
        "set_aside": 3,
        "reasons": {"image does not exist": 1, "outcome missing": 2},
        "splits": {"train": {"patients": 14, "sites": {"A": 14}, "events": 5}, "internal": {"patients": 4, "sites": {"A": 4}}, "external": {"patients": 3, "sites": {"B": 3}}},
    }


def test_patients_without_outcomes_can_be_read_for_prediction(folder: Path, table: Table) -> None:
    table(columns=["patient_id", "image", "age", "grade"])
    cohort = read(folder, outcomes=False)
    assert {p.split for p in cohort.patients} == {"external"}
    assert cohort.outcomes.training == {}
    assert dict(cohort.patients[0].clinical) == {"age": "40", "grade": "Low"}
    assert cohort.warnings == ()


def test_a_follow_up_time_that_is_missing_is_a_warning(folder: Path) -> None:
    rows = [r | {"time": "" if r["patient_id"] == "P-01" else "12.5"} for r in make_rows()]
    write_rows(rows, folder / "cohort.csv", columns=[*COLUMNS, "time"])
    assert "follow-up time (column 'time') is missing or not a positive number for 1 of 24 patients" in read(folder, CohortConfig(time="time")).warnings
    with pytest.raises(CohortError, match=re.escape("there is no column 'months' (cohort.time)")):
        read(folder, CohortConfig(time="months"))
