"""Clinical variables as features."""

from __future__ import annotations

import numpy as np

from sarcofuse.cohort import clinical_schema, clinical_table, encode_clinical
from sarcofuse.records import Cohort, Outcomes, Patient, Split


def patient(name: str, split: Split, **clinical: float | str | None) -> Patient:
    return Patient(name, split, clinical=clinical)


PATIENTS = (
    patient("A", "train", age=61.0, grade="High", sex="F"),
    patient("B", "train", age=None, grade="Low", sex="M"),
    patient("C", "train", age=50.0, grade="Intermediate", sex=None),
    patient("D", "external", age=70.0, grade="Unheard of", sex="M"),
)


def test_numbers_stay_and_categories_become_columns_of_zero_and_one() -> None:
    table = clinical_table(Cohort(PATIENTS, Outcomes({}, {})))
    assert table.block == "clinical"
    assert table.patient_ids == ("A", "B", "C", "D")
    assert table.names == ("age", "grade=High", "grade=Intermediate", "grade=Low", "sex=M")
    nan = np.nan
    np.testing.assert_array_equal(table.values, [[61, 1, 0, 0, 0], [nan, 0, 0, 1, 1], [50, 0, 1, 0, nan], [70, 0, 0, 0, 1]])


def test_test_patients_teach_nothing() -> None:
    assert clinical_schema(PATIENTS) == clinical_schema(PATIENTS[:3]) == {"age": None, "grade": ("High", "Intermediate", "Low"), "sex": ("F", "M")}


def test_one_patient_alone_gives_the_same_row() -> None:
    """As in prediction, where cells are still text."""
    whole = encode_clinical(PATIENTS, clinical_schema(PATIENTS))
    alone = encode_clinical([patient("D", "external", age="70", grade="Unheard of", sex="M")], clinical_schema(PATIENTS))
    assert alone.names == whole.names
    np.testing.assert_array_equal(alone.values[0], whole.values[3])


def test_text_where_a_number_should_be_and_absent_columns_are_missing() -> None:
    table = encode_clinical([patient("E", "external", age="old")], clinical_schema(PATIENTS))
    assert np.isnan(table.values).all()


def test_no_clinical_columns_give_an_empty_block() -> None:
    table = clinical_table(Cohort((patient("A", "train"), patient("B", "train")), Outcomes({}, {})))
    assert table.values.shape == (2, 0)
