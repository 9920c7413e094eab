"""Patients without outcomes: the ones that a bundle is to score."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from pathlib import Path

from sarcofuse.errors import CohortError
from sarcofuse.records import Patient

IMAGE_ENDINGS = (".nii.gz", ".nii", ".nrrd", ".mha", ".mhd")


def new_patients(paths: Sequence[Path], mask: Path | None = None) -> list[Patient]:
    """Give the patients behind what a user named: image files, DICOM folders, or one table.

    Parameters
    ----------
    paths : sequence of Path
        NIfTI, NRRD or MetaImage files, DICOM folders, or a single ``.csv`` with the columns ``patient_id`` and ``image``, and if need be ``mask`` and ``site``.
    mask : Path, optional
        The tumour's mask; only with a single image.

    Returns
    -------
    list of Patient
        Named after their files where there is no table; in the split ``external``.

    Raises
    ------
    CohortError
        If a path does not exist, two patients would have the same name, or a mask is given for several images.
    """
    absent = [p for p in paths if not p.exists()]
    if absent:
        message = f"{', '.join(map(str, absent[:5]))} does not exist; give image files, DICOM folders or one cohort.csv"
        raise CohortError(message)
    if any(p.suffix == ".csv" for p in paths):
        if len(paths) > 1 or mask is not None:
            message = "give either one table of patients or images, not both; masks of a table stand in its column mask"
            raise CohortError(message)
        return _from_table(paths[0])
    if mask is not None and len(paths) != 1:
        message = f"a mask belongs to one image, found {len(paths)} images; for several, give a table with the columns patient_id, image, mask"
        raise CohortError(message)
    if mask is not None and not mask.exists():
        message = f"mask {mask} does not exist"
        raise CohortError(message)
    return _unique([Patient(_name(p), "external", p, mask) for p in paths], "the images")


def _name(path: Path) -> str:
    name = path.resolve().name
    ending = next((e for e in IMAGE_ENDINGS if name.lower().endswith(e)), "")
    return name[: len(name) - len(ending)] or "patient"


def _from_table(file: Path) -> list[Patient]:
    try:
        rows = list(csv.DictReader(file.read_text(encoding="utf-8-sig").splitlines()))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        message = f"{file.name} cannot be read as a table: {error}"
        raise CohortError(message) from error
    columns = set(rows[0]) if rows else set()
    if not {"patient_id", "image"} <= columns:
        message = f"{file.name} must have the columns patient_id and image, and at least one row; found {', '.join(sorted(map(str, columns))) or 'nothing'}"
        raise CohortError(message)
    patients = []
    for number, row in enumerate(rows, start=2):
        name, image, mask = (str(row.get(c) or "").strip() for c in ("patient_id", "image", "mask"))
        if not name or not image or re.search(r"[/\\\x00-\x1f]", name):
            message = f"{file.name}, line {number}: expected a patient_id without slashes and an image, found {name!r} and {image!r}"
            raise CohortError(message)
        patients.append(Patient(name, "external", file.parent / image, file.parent / mask if mask else None, str(row.get("site") or "")))
    return _unique(patients, file.name)


def _unique(patients: list[Patient], source: str) -> list[Patient]:
    names = [p.patient_id for p in patients]
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        message = f"{source} name {', '.join(twice[:5])} more than once; every patient needs a name of its own"
        raise CohortError(message)
    return patients
