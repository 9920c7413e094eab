"""Patients without outcomes: the ones that a bundle is to score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from sarcofuse.cohort.prompt import read_prompt
from sarcofuse.cohort.scan import ragged, unusable
from sarcofuse.cohort.text import TextTable, missing, read_text, with_point
from sarcofuse.errors import CohortError
from sarcofuse.records import Patient, Prompt

PROMPTS = ("box", "click", "rough_mask")
COLUMNS = ("patient_id", "image", "mask", "site", "split", *PROMPTS)
PYRADIOMICS = {"ID": "patient_id", "Image": "image", "Mask": "mask", "Label": "label"}
"""Headings of PyRadiomics' tables of cases, and ours."""
IMAGE_ENDINGS = (".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd")


def new_patients(paths: Sequence[Path], mask: Path | None = None, prompt: Prompt | None = None) -> list[Patient]:
    """Give the patients behind what a user named: image files, DICOM folders, or one table.

    Parameters
    ----------
    paths : sequence of Path
        NIfTI, NRRD or MetaImage files, DICOM folders, or a single ``.csv`` (or ``.tsv``) with the columns ``patient_id`` and ``image``,
        and if need be ``mask``, ``site`` and one of ``box``, ``click`` and ``rough_mask``; further columns are clinical variables, kept as text for `encode_clinical`. Whether the files
        of a table exist is found out patient by patient, when they are read. PyRadiomics' headings (``ID``, ``Image``, ``Mask``, ``Label``) will do.
    mask : Path, optional
        The tumour's mask; only with a single image.
    prompt : Prompt, optional
        What steers the networks' mask; only with a single image.

    Returns
    -------
    list of Patient
        Named after their files where there is no table; in the split ``external``.

    Raises
    ------
    CohortError
        If a path does not exist, two patients would have the same name, a mask or a prompt is given for several images, or rows of the table cannot be used; all of them are named.
    """
    absent = [p for p in paths if not p.exists()]
    if absent:
        message = f"{', '.join(map(str, absent[:5]))} does not exist; give image files, DICOM folders or one cohort.csv"
        raise CohortError(message)
    if any(p.suffix in (".csv", ".tsv", ".txt") for p in paths):
        if len(paths) > 1 or mask is not None or prompt is not None:
            message = "give either one table of patients or images, not both; masks of a table stand in its column mask, prompts in box, click and rough_mask"
            raise CohortError(message)
        return _from_table(paths[0])
    if mask is not None and len(paths) != 1:
        message = f"a mask belongs to one image, found {len(paths)} images; for several, give a table with the columns patient_id, image, mask"
        raise CohortError(message)
    if prompt is not None and len(paths) != 1:
        message = f"a {prompt.kind} belongs to one image, found {len(paths)} images; for several, give a table with the columns patient_id, image, and box, click or rough_mask"
        raise CohortError(message)
    for what, file in (("mask", mask), ("rough mask", None if prompt is None else prompt.rough)):
        if file is not None and not file.exists():
            message = f"{what} {file} does not exist"
            raise CohortError(message)
    return _unique([Patient(_name(p), "external", p, mask, prompt=prompt) for p in paths], "the images")


def _name(path: Path) -> str:
    name = path.resolve().name
    ending = next((e for e in IMAGE_ENDINGS if name.lower().endswith(e)), "")
    return name[: len(name) - len(ending)] or "patient"


def _from_table(file: Path) -> list[Patient]:
    table = _from_pyradiomics(read_text(file))
    absent = [c for c in ("patient_id", "image") if c not in table.columns]
    if absent:
        message = f"{file.name} must have the columns patient_id and image; {' and '.join(absent)} is absent, found {', '.join(table.columns[:20])}"
        raise CohortError(message)
    problems, patients = [], []
    for position, (line, row) in enumerate(zip(table.lines, table.rows, strict=True)):
        name, image, mask = row["patient_id"], row["image"], row.get("mask", "")
        reason = ragged(table, position) or unusable(name) or ("no image" if missing(image) else None)
        prompt = None
        try:
            prompt = read_prompt([row.get(c, "") for c in PROMPTS], file.parent, [f"column {c!r}" for c in PROMPTS], decimal_comma=table.decimal_comma)
        except CohortError as error:
            reason = reason or f"unusable prompt: {error}"
        if reason is not None:
            problems.append(f"line {line}: {reason}")
            continue
        clinical: dict[str, float | str | None] = {c: None if missing(v) else with_point(v, decimal_comma=table.decimal_comma) for c, v in row.items() if c not in COLUMNS}
        patients.append(Patient(name, "external", file.parent / image, None if missing(mask) else file.parent / mask, row.get("site", ""), clinical, prompt))
    if problems:
        message = f"{file.name}: {'; '.join(problems)}"
        raise CohortError(message)
    return _unique(patients, file.name)


def _from_pyradiomics(table: TextTable) -> TextTable:
    """Give a table with PyRadiomics' headings ours; cases are numbered where it names none."""
    if "image" in table.columns or not {"Image", "Mask"} <= set(table.columns):
        return table
    rows = tuple({"patient_id": f"case-{k}", **{PYRADIOMICS.get(c, c): v for c, v in row.items()}} for k, row in enumerate(table.rows, start=1))
    return replace(table, columns=tuple(rows[0]), rows=rows)


def _unique(patients: list[Patient], source: str) -> list[Patient]:
    names = [p.patient_id for p in patients]
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        message = f"{source} name {', '.join(twice[:5])} more than once; every patient needs a name of its own"
        raise CohortError(message)
    return patients
