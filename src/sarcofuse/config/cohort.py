"""Settings of the cohort stage."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from sarcofuse.config.base import Section


def _as_text(value: object) -> object:
    """Give a year or date that YAML has read as such back as text."""
    return str(value) if isinstance(value, int | datetime.date) and not isinstance(value, bool) else value


class SplitConfig(Section):
    """How patients are divided into training, internal and external test."""

    by: Annotated[
        Literal["column", "stratified", "site", "time"],
        Field(
            description="`column`: as the split column says; `stratified`: drawn at random, keeping the share of events; `site`: `external_sites` are external, the others are drawn; `time`: those from `cut` on are external, the others are drawn."
        ),
    ] = "column"
    internal: Annotated[float, Field(ge=0, lt=1, description="Share of the patients drawn as the internal test split (stratified, site, time).")] = 0.2
    external: Annotated[float, Field(ge=0, lt=1, description="Share of the patients drawn as the external test split (stratified only).")] = 0.0
    external_sites: Annotated[tuple[str, ...], Field(description="Sites that make up the external split (site only).")] = ()
    date: Annotated[str | None, Field(description="Column of a year, month or date: 2019, 2019-07, 2019-07-01 or 20190701 (time only).")] = None
    cut: Annotated[str | None, BeforeValidator(_as_text), Field(description="First year, month or date of the external split (time only).")] = None


class CohortConfig(Section):
    """The spreadsheet of patients: where it is and what its columns are called."""

    file: Annotated[Path, Field(description="Table of patients (.csv), one row a patient; relative to study.yaml.")] = Path("cohort.csv")
    outcome: Annotated[str, Field(description="Column of the outcome: 1 the event happened, 0 it did not.")] = "recurrence"
    time: Annotated[str | None, Field(description="Column of the follow-up time in months, if there is one: of the event, or of the last sight without it.")] = None
    competing: Annotated[str | None, Field(description="Column that is 1 where follow-up ended with a death of something else, and 0 or empty elsewhere (with time).")] = None
    patient_id: Annotated[str, Field(description="Column of the patient's identifier; every value once.")] = "patient_id"
    image: Annotated[str, Field(description="Column of the image: NIfTI file or DICOM folder, relative to the table.")] = "image"
    mask: Annotated[str, Field(description="Column of the tumour mask: label map (NIfTI, NRRD, MetaImage), segmentation of 3D Slicer, DICOM SEG or RTSTRUCT file, on the image's grid or a part of it; may be empty or absent.")] = "mask"
    box: Annotated[str, Field(description="Column of a box around the tumour that steers the networks' mask: `x y z x y z`, two opposite corners in patient mm as DICOM has them (LPS), or `RAS x y z x y z`; may be empty or absent.")] = "box"
    click: Annotated[str, Field(description="Column of a point inside the tumour that steers the networks' mask: `x y z`, as for the box; several points are parted by semicolons. May be empty or absent.")] = "click"
    rough_mask: Annotated[str, Field(description="Column of a rough mask (file) that steers the networks' mask; may be empty or absent. A row has one of box, click and rough mask at most.")] = "rough_mask"
    site: Annotated[str, Field(description="Column of the hospital or scanner; may be absent.")] = "site"
    group: Annotated[str | None, Field(description="Column of who or what rows belong to, where a patient has several tumours or scans, a row each: rows of one group stay together in every split and fold.")] = None
    split_column: Annotated[str, Field(description="Column that says train, internal or external (split by column).")] = "split"
    split: Annotated[SplitConfig, Field(description="How patients are divided.")] = SplitConfig()
    clinical: Annotated[tuple[str, ...], Field(description="Clinical columns to keep. With models.clinical they become a feature set.")] = ()
    mask_label: Annotated[
        Annotated[int, Field(ge=1)] | Annotated[str, Field(min_length=1)] | None,
        Field(description="The tumour in masks that hold several labels or segments: its number, or its name in files that name segments (3D Slicer, DICOM SEG, RTSTRUCT); without it such a mask is an error."),
    ] = None
