"""Starting a study from a folder, and naming new patients."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from sarcofuse.cohort import encode_clinical, make_study, new_patients, read_cohort
from sarcofuse.config import CohortConfig, SplitConfig, read_study
from sarcofuse.errors import CohortError
from tests.imaging.dicom_files import write_contours, write_series
from tests.imaging.test_dicom import ARRAY


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")


def rows(file: Path) -> list[tuple[str, str, str]]:
    with file.open(encoding="utf8") as stream:
        return [(r["patient_id"], r["image"], r["mask"]) for r in csv.DictReader(stream)]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("P1_image.nii.gz P1_mask.nii.gz P2_image.nii.gz", "P1 P1_image.nii.gz P1_mask.nii.gz; P2 P2_image.nii.gz"),
        ("P-1.nii.gz P-1_seg.nii.gz P-2.nrrd P-2-label.nrrd", "P-1 P-1.nii.gz P-1_seg.nii.gz; P-2 P-2.nrrd P-2-label.nrrd"),
        ("images/P1.nii.gz masks/P1.nii.gz images/P2.nii.gz", "P1 images/P1.nii.gz masks/P1.nii.gz; P2 images/P2.nii.gz"),
        ("imagesTr/S_01_0000.nii.gz labelsTr/S_01.nii.gz imagesTr/S_02_0000.nii.gz", "S_01 imagesTr/S_01_0000.nii.gz labelsTr/S_01.nii.gz; S_02 imagesTr/S_02_0000.nii.gz"),
        ("S_1/MR_T1_image.nii.gz S_1/MR_T1_mask.nii.gz S_2/MR_T1_image.nii.gz", "S_1 S_1/MR_T1_image.nii.gz S_1/MR_T1_mask.nii.gz; S_2 S_2/MR_T1_image.nii.gz"),
        ("all/S_1/MR/image/a.nii.gz all/S_1/MR/mask/a.nii.gz all/S_2/MR/image/a.nii.gz", "S_1 all/S_1/MR/image/a.nii.gz all/S_1/MR/mask/a.nii.gz; S_2 all/S_2/MR/image/a.nii.gz"),
        ("A/P1.nii.gz A/P2.nii.gz A/P2_mask.nii.gz B/P3.nii.gz B/P4.nii.gz", "P1 A/P1.nii.gz; P2 A/P2.nii.gz A/P2_mask.nii.gz; P3 B/P3.nii.gz; P4 B/P4.nii.gz"),
        ("only/P1.mha only/P1_roi.mha", "P1 only/P1.mha only/P1_roi.mha"),
    ],
)
def test_images_and_masks_are_told_apart(tmp_path: Path, names: str, expected: str) -> None:
    touch(tmp_path, *names.split())
    made = make_study(tmp_path)
    assert "; ".join(" ".join(cells).strip() for cells in rows(made.cohort)) == expected
    assert (made.patients, made.masks) == (expected.count(";") + 1, sum(bool(m) for _, _, m in rows(made.cohort)))
    assert "fill in recurrence" in made.notes[-1]


def test_the_study_file_reads_back_and_explains_itself(tmp_path: Path) -> None:
    touch(tmp_path, "P1.nii.gz")
    made = make_study(tmp_path)
    assert read_study(made.study).cohort == CohortConfig()
    assert "# Column of the outcome: 1 the event happened, 0 it did not." in made.study.read_text(encoding="utf8")


def test_what_is_written_becomes_a_cohort_once_it_is_filled_in(tmp_path: Path) -> None:
    touch(tmp_path / "data", *[f"P{i}.nii.gz" for i in range(10)])
    made = make_study(tmp_path / "data", tmp_path / "study")
    assert rows(made.cohort)[0] == ("P0", "../data/P0.nii.gz", "")
    with made.cohort.open(encoding="utf8") as stream:
        filled = list(csv.DictReader(stream))
    with made.cohort.open("w", encoding="utf8", newline="") as stream:
        writer = csv.DictWriter(stream, filled[0])
        writer.writeheader()
        writer.writerows({**r, "recurrence": i % 2} for i, r in enumerate(filled))
    cohort = read_cohort(CohortConfig(split=SplitConfig(by="stratified")), tmp_path / "study", 0)
    assert len(cohort.patients) == 10


def test_several_images_of_a_patient_are_a_choice(tmp_path: Path) -> None:
    touch(tmp_path, *[f"S_{i}/{kind}.nii.gz" for i in (1, 2) for kind in ("T1", "T2_fs", "T2_fs_mask")])
    made = make_study(tmp_path, tmp_path / "a")
    assert rows(made.cohort) == [("S_1", "", "../S_1/T2_fs_mask.nii.gz"), ("S_2", "", "../S_2/T2_fs_mask.nii.gz")]
    assert made.notes[0].startswith("2 patients have several images (the first, S_1: T1.nii.gz, T2_fs.nii.gz)")
    chosen = make_study(tmp_path, tmp_path / "b", image="*T2*")
    assert [r[1] for r in rows(chosen.cohort)] == ["../S_1/T2_fs.nii.gz", "../S_2/T2_fs.nii.gz"]


def test_masks_without_images_and_several_masks_are_noted(tmp_path: Path) -> None:
    touch(tmp_path, "P1.nii.gz", "P1_mask.nii.gz", "P1_seg.nii.gz", "P9_mask.nii.gz")
    made = make_study(tmp_path)
    assert rows(made.cohort) == [("P1", "P1.nii.gz", "")]
    assert made.notes[0] == "1 patients have several masks (the first: P1); their mask cells are empty. Fill them in"
    assert made.notes[1] == "1 masks belong to no image (the first: P9_mask.nii.gz)"


def test_dicom_folders(tmp_path: Path) -> None:
    write_series(tmp_path / "P-1" / "mr", ARRAY)
    write_contours(tmp_path / "P-1" / "rt" / "c.dcm", {"GTV": []})
    write_series(tmp_path / "P-2", ARRAY, series="other")
    made = make_study(tmp_path)
    assert rows(made.cohort) == [("P-1", "P-1/mr", ""), ("P-2", "P-2", "")]
    assert made.notes[0] == "1 DICOM series are masks (RTSTRUCT, SEG): `sarcofuse dicom convert` turns image and mask into NIfTI"


def test_nothing_is_overwritten_and_nothing_is_made_of_nothing(tmp_path: Path) -> None:
    with pytest.raises(CohortError, match="holds no image; expected NIfTI"):
        make_study(tmp_path)
    touch(tmp_path, "P1.nii.gz")
    with pytest.raises(CohortError, match=r"holds no image that matches \*T2\*"):
        make_study(tmp_path, image="*T2*")
    make_study(tmp_path)
    with pytest.raises(CohortError, match=r"cohort\.csv is there already; nothing was written"):
        make_study(tmp_path)
    with pytest.raises(CohortError, match="is not a folder"):
        make_study(tmp_path / "none")


def test_real_folders(reference_data: Path, tmp_path: Path) -> None:
    made = make_study(reference_data / "sts_t1", tmp_path / "nifti")
    assert (made.patients, made.masks) == (23, 23)
    assert rows(made.cohort)[0][0] == "STS_002"
    assert all((tmp_path / "nifti" / cell).is_file() for row in rows(made.cohort) for cell in row[1:])
    folders = make_study(reference_data / "sts_dicom", tmp_path / "dicom")
    assert [r[0] for r in rows(folders.cohort)] == ["STS_002", "STS_003"]


def test_new_patients_by_files_and_folders(tmp_path: Path) -> None:
    touch(tmp_path, "a/P1.nii.gz", "P2.nrrd", "P3/1.dcm", "mask.nii.gz")
    named = new_patients([tmp_path / "a" / "P1.nii.gz", tmp_path / "P2.nrrd", tmp_path / "P3"])
    assert [(p.patient_id, p.split, p.mask) for p in named] == [("P1", "external", None), ("P2", "external", None), ("P3", "external", None)]
    assert new_patients([tmp_path / "P2.nrrd"], tmp_path / "mask.nii.gz")[0].mask == tmp_path / "mask.nii.gz"


def test_new_patients_that_cannot_be_named(tmp_path: Path) -> None:
    touch(tmp_path, "a/P1.nii.gz", "b/P1.nii.gz", "m.nii.gz")
    with pytest.raises(CohortError, match=r"name P1 more than once"):
        new_patients([tmp_path / "a" / "P1.nii.gz", tmp_path / "b" / "P1.nii.gz"])
    with pytest.raises(CohortError, match=r"none\.nii\.gz does not exist"):
        new_patients([tmp_path / "none.nii.gz"])
    with pytest.raises(CohortError, match="a mask belongs to one image, found 2"):
        new_patients([tmp_path / "a" / "P1.nii.gz", tmp_path / "m.nii.gz"], tmp_path / "m.nii.gz")
    with pytest.raises(CohortError, match=r"mask .*gone\.nii\.gz does not exist"):
        new_patients([tmp_path / "a" / "P1.nii.gz"], tmp_path / "gone.nii.gz")


def test_new_patients_by_a_table(tmp_path: Path) -> None:
    table = tmp_path / "new.csv"
    table.write_text("\ufeffpatient_id;image;mask;age;grade\nP1;a.nii.gz;;61,5;High\nP2;b.nii.gz;m.nii.gz;NA;\n", encoding="utf8")
    one, two = new_patients([table])
    assert (one.image, one.mask, two.mask) == (tmp_path / "a.nii.gz", None, tmp_path / "m.nii.gz")
    assert dict(two.clinical) == {"age": None, "grade": None}
    assert encode_clinical([one], {"age": None}).values[0].tolist() == [61.5]
    assert encode_clinical([one, two], {"grade": ("High", "Low")}).values[0].tolist() == [0.0]
    table.write_text("patient_id,image\n../P1,a.nii.gz\nP2,\nP3,c.nii.gz\n", encoding="utf8")
    with pytest.raises(CohortError, match=r"new\.csv: line 2: unusable patient_id: it holds '/'.*; line 3: no image"):
        new_patients([table])
    table.write_text("patient,image\nP1,a.nii.gz\n", encoding="utf8")
    with pytest.raises(CohortError, match="patient_id is absent, found patient, image"):
        new_patients([table])
    with pytest.raises(CohortError, match="give either one table of patients or images"):
        new_patients([table, table])
