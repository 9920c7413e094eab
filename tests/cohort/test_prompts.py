"""Boxes, clicks and rough masks as people write them: in cohort.csv, in a table to predict, on the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sarcofuse.cohort import check_study, new_patients, read_cohort, read_prompt
from sarcofuse.config import CohortConfig, SegmentConfig, StudyConfig
from sarcofuse.errors import CohortError, ConfigError
from sarcofuse.imaging import write_mask
from sarcofuse.records import Geometry, Mask, Prompt
from sarcofuse.runtime import Engine
from sarcofuse.study import run
from tests.cohort.conftest import COLUMNS, GRID, Rows, box_mask
from tests.cohort.test_check import STUDY, errors

Table = Callable[..., Path]
WITH = (*COLUMNS, "box", "click", "rough_mask")
MODEL = STUDY.model_copy(update={"segment": SegmentConfig(masks="model")})


def put(**cells: dict[str, str]) -> Callable[[Rows], None]:
    """Fill columns: column=patient -> text."""

    def change(rows: Rows) -> None:
        for column, by_patient in cells.items():
            for row in rows:
                row[column] = by_patient.get(row["patient_id"], row.get(column, ""))

    return change


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (("", "", ""), None),
        (("NA", "-", "none"), None),
        (("10 -20 30 40 5.5 60", "", ""), Prompt(box=((10, -20, 30), (40, 5.5, 60)))),
        (("10, -20, 30; 40, 5.5, 60", "", ""), Prompt(box=((10, -20, 30), (40, 5.5, 60)))),
        (("RAS 10 -20 30 40 5.5 60", "", ""), Prompt(box=((-40, -5.5, 30), (-10, 20, 60)))),
        (("10 -20 30 40 5.5 60 lps", "", ""), Prompt(box=((10, -20, 30), (40, 5.5, 60)))),
        (("", "1 2 3", ""), Prompt(click=((1, 2, 3),))),
        (("", "1e1 -2 3.5; 4 5 6;", ""), Prompt(click=((10, -2, 3.5), (4, 5, 6)))),
        (("", "ras: 1 0 3; 4 5 6", ""), Prompt(click=((-1, 0, 3), (-4, -5, 6)))),
        (("", "RAS 1 2 3;RAS 4 5 6", ""), Prompt(click=((-1, -2, 3), (-4, -5, 6)))),
        (("", "", "rough/a b.nii.gz"), Prompt(rough=Path("home/rough/a b.nii.gz"))),
    ],
)
def test_prompts_are_read(texts: tuple[str, str, str], expected: Prompt | None) -> None:
    assert read_prompt(texts, Path("home")) == expected


def test_a_decimal_comma_is_no_separator() -> None:
    assert read_prompt(("", "1,5 -2,25 3", ""), Path(), decimal_comma=True) == Prompt(click=((1.5, -2.25, 3.0),))


def test_a_zero_has_no_sign() -> None:
    """So that the same place has the same digest."""
    found = read_prompt(("", "RAS 0 0 3", ""), Path())
    assert found is not None
    assert str(found.click) == "((0.0, 0.0, 3.0),)"


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (("1 2 3", "", ""), r"--box says '1 2 3'; expected six numbers in mm"),
        (("1 2 3 4 5 six", "", ""), "expected six numbers"),
        (("1 2 3 4 5 nan", "", ""), "expected six numbers"),
        (("1 2 3 4 5 inf", "", ""), "expected six numbers"),
        (("1 2 3 1 5 6", "", ""), "two corners have the same x"),
        (("", "1 2", ""), r"--click says '1 2'; expected three numbers"),
        (("", "1 2 3; 4 5", ""), "expected three numbers"),
        (("", ";", ""), "expected three numbers"),
        (("", "RAS 1 2 3; LPS 4 5 6", ""), "names both LPS and RAS"),
        (("", "RSA 1 2 3", ""), "expected three numbers"),
        (("1 2 3 4 5 6", "1 2 3", ""), "--box and --click are both given; expected one of box, click and rough mask"),
    ],
)
def test_prompts_that_cannot_be_read(texts: tuple[str, str, str], words: str) -> None:
    with pytest.raises(CohortError, match=words):
        read_prompt(texts, Path())


def test_columns_of_the_cohort(folder: Path, table: Table) -> None:
    write_mask(Mask(box_mask(), GRID), folder / "rough.nii.gz")
    table(put(box={"P-01": "1 2 3 4 5 6"}, click={"P-02": "RAS 1 2 3"}, rough_mask={"P-20": "rough.nii.gz"}), columns=WITH)
    found = {p.patient_id: p.prompt for p in read_cohort(CohortConfig(clinical=("age", "grade")), folder, 0).patients}
    assert {k: v for k, v in found.items() if v is not None} == {
        "P-01": Prompt(box=((1, 2, 3), (4, 5, 6))),
        "P-02": Prompt(click=((-1, -2, 3),)),
        "P-20": Prompt(rough=folder / "rough.nii.gz"),
    }


def test_columns_may_have_other_names(folder: Path, table: Table) -> None:
    table(put(seed={"P-02": "1 2 3"}, click={"P-03": "often"}), columns=(*COLUMNS, "seed", "click"))
    found = read_cohort(CohortConfig(click="seed", clinical=("click",)), folder, 0)
    assert [p.patient_id for p in found.patients if p.prompt is not None] == ["P-02"]
    assert {p.patient_id: p.clinical["click"] for p in found.patients}["P-03"] == "often"


def test_prompts_are_no_clinical_variables(folder: Path, table: Table) -> None:
    table(put(box={"P-01": "1 2 3 4 5 6"}), columns=WITH)
    with pytest.raises(CohortError, match=r"column 'box' is a box that steers masks and must not be a clinical variable"):
        read_cohort(CohortConfig(clinical=("box",)), folder, 0)


def test_rows_with_an_unusable_prompt_are_set_aside(folder: Path, table: Table) -> None:
    table(put(box={"P-01": "1 2 3", "P-04": "1 2 3 4 5 6"}, click={"P-02": "here", "P-04": "1 2 3"}, rough_mask={"P-03": "gone.nii.gz"}), columns=WITH)
    aside = {s.patient_id: s.reason for s in read_cohort(CohortConfig(), folder, 0).set_aside}
    assert set(aside) == {"P-01", "P-02", "P-03", "P-04"}
    assert aside["P-01"].startswith("unusable prompt: column 'box' says '1 2 3'; expected six numbers")
    assert aside["P-02"].startswith("unusable prompt: column 'click' says 'here'")
    assert aside["P-03"] == "rough mask does not exist: gone.nii.gz"
    assert aside["P-04"].startswith("unusable prompt: column 'box' and column 'click' are both given")


def test_preflight_finds_prompts_that_miss_the_image(folder: Path, table: Table, engine: Engine) -> None:
    """Images reach from (-0.75, -0.75, -2.5) to (17.25, 15.75, 27.5) mm."""
    far = Geometry(GRID.size, GRID.spacing, (300.0, 0.0, 0.0))
    write_mask(Mask(box_mask(), far), folder / "far.nii.gz")
    (folder / "broken.nii.gz").write_text("no mask")
    table(
        put(
            box={"P-01": "2 2 2 12 12 20", "P-02": "200 2 2 212 12 20"},
            click={"P-03": "8 8 10", "P-04": "-8 -8 10", "P-05": "8 8 10; 8 8 28"},
            rough_mask={"P-20": "far.nii.gz", "P-21": "broken.nii.gz"},
        ),
        columns=WITH,
    )
    problems = check_study(MODEL, folder, engine)
    found = errors(problems)
    assert set(found) == {"P-02", "P-04", "P-05", "P-20", "P-21"}
    assert "lies outside the image, which reaches from (-0.8, -0.8, -2.5) to (17.2, 15.8, 27.5) mm" in found["P-02"]
    assert "With the signs of x and y turned it would lie inside" in found["P-04"]
    assert found["P-05"].startswith("the click (8, 8, 28) mm lies outside")
    assert "marks nothing inside the image" in found["P-20"]
    assert "cannot be read" in found["P-21"]
    assert {p.patient_id: p.file.name for p in problems if p.file and p.patient_id} == {"P-20": "far.nii.gz", "P-21": "broken.nii.gz"}
    table(put(click={"P-04": "8 8 10"}), columns=WITH)
    assert errors(check_study(MODEL, folder, engine)) == {}, "another prompt is looked at again"


def test_prompts_without_networks_are_told(folder: Path, table: Table, engine: Engine) -> None:
    table(put(click={"P-03": "800 8 10", "P-20": "8 8 10"}), columns=WITH)
    problems = check_study(STUDY, folder, engine)
    assert errors(problems) == {}
    assert any(p.text.startswith("2 patients with a box, click or rough mask: not used, for segment.masks is given") for p in problems)
    assert not any("not used" in p.text for p in check_study(MODEL, folder, engine))


@pytest.mark.parametrize(("settings", "words"), [({"prompts": 0.0}, "segment.prompts is 0"), ({"templates": Path("algorithm_templates")}, "segment.templates names networks that know no prompts")])
def test_prompts_that_no_network_would_heed_are_refused_before_training(folder: Path, table: Table, engine: Engine, settings: dict[str, object], words: str) -> None:
    table(put(click={"P-20": "8 8 10"}), columns=WITH)
    deaf = STUDY.model_copy(update={"segment": SegmentConfig(masks="model", **settings)})  # type: ignore[arg-type]
    assert errors(check_study(deaf, folder, engine))[""].startswith(f"1 patient with a box, click or rough mask, but {words}")
    with pytest.raises(ConfigError, match=words):
        run(deaf.model_copy(update={"cohort": CohortConfig(file=folder / "cohort.csv")}), folder / "run", scheduler="serial", progress=False)
    table()
    assert errors(check_study(deaf, folder, engine)) == {}


def test_studies_of_feature_tables_pass_over_prompts(folder: Path, table: Table) -> None:
    table(put(click={"P-03": "here"}), columns=WITH)
    assert len(read_cohort(StudyConfig().cohort, folder, 0, imaging=False).patients) == 24


def test_new_patients(folder: Path) -> None:
    image, other = folder / "images" / "P-01.nii.gz", folder / "images" / "P-02.nii.gz"
    click = Prompt(click=((1, 2, 3),))
    (patient,) = new_patients([image], prompt=click)
    assert (patient.patient_id, patient.prompt) == ("P-01", click)
    with pytest.raises(CohortError, match="a click belongs to one image, found 2 images"):
        new_patients([image, other], prompt=click)
    with pytest.raises(CohortError, match=r"rough mask .*none.nii.gz does not exist"):
        new_patients([image], prompt=Prompt(rough=folder / "none.nii.gz"))
    file = folder / "new.csv"
    file.write_text(f"patient_id,image,box,click,rough_mask,age\nA,{image},1 2 3 4 5 6,,,61\nB,{other},,,r.nii.gz,70\n")
    with pytest.raises(CohortError, match="prompts in box, click and rough_mask"):
        new_patients([file], prompt=click)
    first, second = new_patients([file])
    assert (first.prompt, second.prompt) == (Prompt(box=((1, 2, 3), (4, 5, 6))), Prompt(rough=folder / "r.nii.gz"))
    assert dict(first.clinical) == {"age": "61"}, "prompts are no clinical variables"
    file.write_text(f"patient_id,image,click\nA,{image},1 2\n")
    with pytest.raises(CohortError, match=r"line 2: unusable prompt: column 'click' says '1 2'"):
        new_patients([file])
