from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarcofuse.report.privacy import Numbering


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("STS_002_t2.nii.gz: tumour mask is empty: 0 voxels", "tumour mask is empty: 0 voxels"),
        ("John Smith MRI.nii.gz: file does not exist", "file does not exist"),
        ("Smith John: no DICOM series in the folder", "no DICOM series in the folder"),
        ("image and mask differ: size (3, 3, 3) against (4, 3, 3)", "image and mask differ: size (3, 3, 3) against (4, 3, 3)"),
        ("unexpected ValueError: STS_002 has 12 voxels", "unexpected ValueError: patient 3 has 12 voxels"),
        ("patient STS_002 (mask.nrrd): two labels", "two labels"),
        ("cannot open /data/anna/sts_002/img and C:\\pacs\\anna", "cannot open (file) and (file)"),
        ("image does not exist: dicom/Smith John", "image does not exist: (file)"),
        ("mask is a folder, expected one file: Smith John", "mask is a folder, expected one file: (file)"),
        ("outcome not 0 or 1: column 'recurrence' says '2'", "outcome not 0 or 1: column 'recurrence' says '2'"),
        ("row 4: patient 7 stands twice, 7 columns", "row 4: patient 2 stands twice, 7 columns"),
        ("sts_0021 and Sts_002 overlap", "patient 4 and patient 3 overlap"),
    ],
)
def test_reasons_lose_names_and_files_and_keep_their_sense(reason: str, expected: str) -> None:
    numbering = Numbering(["7", "STS_002", "STS_0021", "1"], identifiers=False)
    assert numbering.scrub(reason, reason=True) == expected


def test_numbers_follow_sorted_order_whatever_order_they_come_in() -> None:
    assert [Numbering(order, identifiers=False).label("B-20") for order in (["C-3", "B-20", "A-1"], ["A-1", "B-20", "C-3"])] == ["Patient 2"] * 2


def test_a_row_that_names_nobody_is_not_numbered() -> None:
    numbering = Numbering(["row 4", "B-20"], identifiers=False)
    assert (numbering.label("row 4"), numbering.label("B-20")) == ("row 4", "Patient 1")


def test_identifiers_are_left_alone_where_asked_for() -> None:
    numbering = Numbering(["STS_002"], identifiers=True)
    assert numbering.label("STS_002") == "STS_002"
    assert numbering.scrub("STS_002.nii.gz: empty", reason=True) == "STS_002.nii.gz: empty"


NAMES = st.from_regex(r"[A-Z]{3}[-_ ]?[0-9]{2,4}", fullmatch=True)


@given(st.lists(NAMES, min_size=1, max_size=4, unique=True), st.text(max_size=30), st.text(max_size=30))
def test_no_identifier_survives_in_any_surroundings(names: list[str], before: str, after: str) -> None:
    numbering = Numbering(names, identifiers=False)
    for name in names:
        for written in (name, name.lower()):
            assert name.casefold() not in numbering.scrub(f"{before}{written}{after}").casefold()
