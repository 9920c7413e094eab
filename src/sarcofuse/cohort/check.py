"""Preflight: every problem of a study at once, before hours are spent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from sarcofuse.cohort.clinical import clinical_schema, encode_clinical
from sarcofuse.cohort.read import few_patients
from sarcofuse.cohort.scan import Scan, scan_table
from sarcofuse.cohort.suspect import one_sided_sites, suspicions
from sarcofuse.cohort.tables import join_tables
from sarcofuse.config import StudyConfig
from sarcofuse.errors import CaseError, CohortError
from sarcofuse.records import Patient, Prompt
from sarcofuse.runtime import Engine, Task, digest, digest_file, read_json, write_json

STAGE = "check"
VERSION = "check 2"


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is wrong, or worth knowing, about a study.

    Attributes
    ----------
    severity : {'error', 'warning'}
        An error of a patient sets that patient aside; an error without a patient stops the study.
    patient_id : str
        Whom it concerns; empty for the study as a whole.
    file : Path or None
        Which file shows it.
    text : str
        What was expected, what was found and what to do.
    """

    severity: Literal["error", "warning"]
    patient_id: str
    file: Path | None
    text: str

    def __str__(self) -> str:
        where = f" ({self.file.name})" if self.file is not None else ""
        return f"patient {self.patient_id}{where}: {self.text}" if self.patient_id else self.text


def check_study(config: StudyConfig, folder: Path, engine: Engine) -> list[Problem]:
    """Find every problem of a study: of the table, of its rows, and of each image, mask and feature table, which are really opened.

    Parameters
    ----------
    config : StudyConfig
        The study.
    folder : Path
        Folder of study.yaml.
    engine : Engine
        Opens the images in parallel; what was opened once is not opened again.

    Returns
    -------
    list of Problem
        Problems of the study first, then by patient; empty where all is well.
    """
    imaging = not config.features
    table = folder / config.cohort.file
    found: list[Problem] = []
    try:
        scan = scan_table(config.cohort, folder, config.seed, imaging=imaging, folds=needed_folds(config))
    except CohortError as error:
        return [Problem("error", "", table, str(error))]
    found += [Problem("error", "", table, text) for text in scan.problems]
    found += [Problem("error", s.patient_id, table, s.reason) for s in scan.set_aside]
    if not scan.problems:
        found += [Problem("warning", "", table, text) for text in [*scan.warnings, *few_patients(scan)]]
        found += _nested(config, scan)
        found += [Problem("warning", "", table, text) for text in one_sided_sites(scan.patients, scan.outcome)]
        if (config.models.clinical or config.models.fuse_clinical) and config.cohort.clinical:
            block = encode_clinical(scan.patients, clinical_schema(scan.patients))
            found += [Problem("warning", "", table, text) for text in suspicions(block, scan.patients, scan.outcome)]
    found += [Problem("error", "", None, text) for text in [*unfit_settings(config), *(refused_prompts(config, scan.patients) if imaging else [])]]
    if imaging:
        found += _absent_files(config, folder)
        found += [Problem("warning", "", table, text) for text in unused_prompts(config, scan.patients)]
        found += _masks(config, scan.patients) + _images(config, scan.patients, engine)
    else:
        found += _features(config, scan, folder)
    return sorted(found, key=lambda p: (p.patient_id, p.severity != "error"))


def _absent_files(config: StudyConfig, folder: Path) -> list[Problem]:
    """Find the paths of the settings that lead nowhere; the stages look at their content."""
    found = []
    if config.deep.weights is not None and not (folder / config.deep.weights).exists():
        found.append(Problem("error", "", folder / config.deep.weights, "weights file of deep.weights does not exist; correct the path, or leave it empty"))
    start = config.segment.start_from
    if config.segment.masks == "model" and isinstance(start, Path) and not (folder / start).exists():
        found.append(Problem("error", "", folder / start, "segment.start_from does not exist; correct the path, or leave it empty"))
    return found


def needed_folds(config: StudyConfig) -> int:
    """Give the training patients of each class that a study's cross-validations need at least.

    Parameters
    ----------
    config : StudyConfig
        The study.

    Returns
    -------
    int
        The larger number of outer and signature folds.
    """
    return max(config.models.folds, config.models.signature.folds)


def unfit_settings(config: StudyConfig) -> list[str]:
    """Find settings that ask for clinical columns which the study does not keep.

    Parameters
    ----------
    config : StudyConfig
        The study.

    Returns
    -------
    list of str
        Problems in words.
    """
    asked = {"models.clinical": config.models.clinical, "models.fuse_clinical": config.models.fuse_clinical}
    found = [f"{name} is true, but cohort.clinical names no column" for name, wanted in asked.items() if wanted and not config.cohort.clinical]
    absent = [c for c in config.evaluation.subgroups if c not in config.cohort.clinical]
    if absent:
        found.append(f"evaluation.subgroups asks for {', '.join(absent)}, which cohort.clinical does not name; name every column of the subgroups there")
    return found


def unused_prompts(config: StudyConfig, patients: Sequence[Patient]) -> list[str]:
    """Tell of prompts that steer nothing, since the study does not draw masks by its own networks.

    Parameters
    ----------
    config : StudyConfig
        The study.
    patients : sequence of Patient
        Its patients.

    Returns
    -------
    list of str
        A warning, or nothing.
    """
    count = sum(p.prompt is not None for p in patients)
    if not count or config.segment.masks == "model":
        return []
    who = f"{count} patient{'' if count == 1 else 's'} with a box, click or rough mask"
    return [f"{who}: not used, for segment.masks is {config.segment.masks}. Set segment.masks: model to have the study's networks draw the masks"]


def refused_prompts(config: StudyConfig, patients: Sequence[Patient]) -> list[str]:
    """Tell of prompts that the networks to be trained would not heed; better told before the training than after.

    Parameters
    ----------
    config : StudyConfig
        The study.
    patients : sequence of Patient
        Its patients.

    Returns
    -------
    list of str
        A problem, or nothing.
    """
    count = sum(p.prompt is not None for p in patients)
    if not count or config.segment.masks != "model" or not (config.segment.prompts == 0 or config.segment.templates):
        return []
    who = f"{count} patient{'' if count == 1 else 's'} with a box, click or rough mask"
    why = "segment.templates names networks that know no prompts" if config.segment.templates else "segment.prompts is 0, so that networks learn to heed none"
    return [f"{who}, but {why}. Leave the prompts out, or change that setting"]


def _nested(config: StudyConfig, scan: Scan) -> list[Problem]:
    """Warn where an inner cross-validation gets fewer patients of a class than folds."""
    training = [scan.outcome[p.patient_id] for p in scan.patients if p.split == "train"]
    rare = min(sum(training), len(training) - sum(training))
    outer, inner = config.models.folds, config.models.signature.folds
    left = rare - -(-rare // outer)
    if outer <= rare and left < inner:
        text = f"within an outer fold {left} training patients of the rarer class are left for {inner} inner folds (models.signature.folds); some inner folds will lack that class. Set fewer folds"
        return [Problem("warning", "", None, text)]
    return []


def _masks(config: StudyConfig, patients: Sequence[Patient]) -> list[Problem]:
    found = []
    given = config.segment.masks == "given"
    if not given and config.segment.masks != "model":
        return []  # another program draws everybody's mask
    for patient in patients:
        if patient.mask is not None:
            continue
        if given:
            found.append(Problem("error", patient.patient_id, None, "no mask, and segment.masks is given. Draw the tumour, or set segment.masks: model"))
        elif patient.split == "train" and config.segment.unlabelled == "ignore":
            found.append(Problem("error", patient.patient_id, None, "no mask of a training patient, and segment.masks is model, which learns from them. Draw the tumour"))
    drawn = sum(p.mask is not None and p.split == "train" for p in patients)
    if not given and drawn < config.segment.folds:
        text = f"{drawn} training patients have a mask, fewer than the {config.segment.folds} folds of the segmentation (segment.folds). Draw more tumours, or set fewer folds"
        found.append(Problem("error", "", None, text))
    return found


def _images(config: StudyConfig, patients: Sequence[Patient], engine: Engine) -> list[Problem]:
    tasks, found = [], []
    for patient in patients if config.segment.masks == "model" else [replace(p, prompt=None) for p in patients]:
        if patient.image is None:
            continue
        try:
            content = digest_file(patient.image), None if patient.mask is None else digest_file(patient.mask), _said(patient.prompt)
        except OSError as error:
            found.append(Problem("error", patient.patient_id, patient.image, f"file cannot be read: {error.strerror or error}"))
            continue
        rules = (config.preprocess.geometry_tolerance, config.preprocess.minimum_slices, config.cohort.mask_label, config.preprocess.other_grids == "resample")
        tasks.append(Task(patient.patient_id, digest(VERSION, content, *rules, patient.patient_id), (patient, *rules)))
    done, failed = engine.run(STAGE, _look, tasks)
    found += [Problem("error", s.patient_id, None, s.reason) for s in failed]
    by_id = {p.patient_id: p for p in patients}
    same: dict[str, list[str]] = {}
    for entry in done:
        patient, seen = by_id[entry.patient_id], read_json(entry.folder / "found.json")
        files = {"image": patient.image, "mask": patient.mask, "prompt": None if patient.prompt is None else patient.prompt.rough}
        found += [Problem(severity, patient.patient_id, files[which], text) for severity, which, text in seen["problems"]]
        if seen["image_digest"] is not None:
            same.setdefault(seen["image_digest"], []).append(patient.patient_id)
    for names in same.values():
        found += [Problem("error", p, by_id[p].image, f"the very same image as that of {names[0]}: one of the two is wrong, or a patient stands there twice") for p in names[1:]]
    return found


def _said(prompt: Prompt | None) -> object:
    return None if prompt is None else (prompt.box, prompt.click, None if prompt.rough is None else digest_file(prompt.rough))


def _look(folder: Path, patient: Patient, tolerance: float, slices: int, label: int | str | None, resample: bool) -> None:
    """Open a patient's image, mask and prompt, and write down what is wrong with them."""
    from sarcofuse.imaging import check_prompt, content_digest, place_mask, place_rough, read_mask, read_volume, reorient

    problems: list[tuple[str, str, str]] = []
    volume = mask = content = None
    try:
        volume = read_volume(patient.image or folder, patient.patient_id)
        content = content_digest(volume)
        if float(volume.array.max()) <= float(volume.array.min()):
            problems.append(("error", "image", "image is constant; expected an image with contrast. Export it again"))
    except CaseError as error:
        problems.append(("error", "image", error.problem))
    if patient.mask is not None:
        try:
            mask = read_mask(patient.mask, patient.patient_id, label, None if volume is None else volume.geometry)
            extent = int(reorient(mask).array.any(axis=(1, 2)).sum())
            if extent < slices:
                text = f"tumour of {patient.patient_id} lies in {extent} slice{'' if extent == 1 else 's'}; expected at least {slices}"
                text += ". Draw it on every slice that shows it, or set preprocess.minimum_slices lower"
                problems.append(("error", "mask", text))
        except CaseError as error:
            problems.append(("error", "mask", error.problem))
    if volume is not None and mask is not None:
        try:
            place_mask(mask, volume.geometry, patient.patient_id, tolerance, resample=resample)
        except CaseError as error:
            problems.append(("error", "mask", error.problem))
    if volume is not None and patient.prompt is not None:
        try:
            if patient.prompt.rough is None:
                check_prompt(patient.prompt, volume.geometry, patient.patient_id)
            else:
                place_rough(patient.prompt.rough, volume.geometry, patient.patient_id, label)
        except CaseError as error:
            problems.append(("error", "prompt", error.problem))
    write_json({"problems": problems, "image_digest": content}, folder / "found.json")


def _features(config: StudyConfig, scan: Scan, folder: Path) -> list[Problem]:
    joined = join_tables(config, folder, scan.patients, scan.outcome, needed_folds(config) if scan.outcome else 0)
    found = [Problem("error", "", None, text) for text in joined.problems] + [Problem("warning", "", None, text) for text in joined.warnings]
    return found + [Problem("error", s.patient_id, None, s.reason) for s in joined.set_aside]
