"""Prompts against the prepared images: boxes and clicks are checked, rough masks put on the grid; one task a patient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from sarcofuse.errors import PromptError
from sarcofuse.records import Case, Patient, Prompt, SetAside
from sarcofuse.runtime import Engine, Task, digest, digest_file, read_json, write_json

STAGE = "prompts"
VERSION = 1


def place_prompts(cases: Sequence[Case], patients: Mapping[str, Patient], engine: Engine, mask_label: int | str | None = None) -> tuple[list[Case], list[SetAside]]:
    """Give the cases of patients with a prompt that prompt.

    Parameters
    ----------
    cases : sequence of Case
        Prepared images.
    patients : mapping of str to Patient
        Their patients by name.
    engine : Engine
        Runs and caches the work.
    mask_label : int or str, optional
        Label of the tumour in rough masks that hold several.

    Returns
    -------
    cases : list of Case
        In the same order, without those set aside.
    set_aside : list of SetAside
        Patients whose prompt cannot be used, with reasons.
    """
    tasks: list[Task] = []
    failed: list[SetAside] = []
    for case in cases:
        prompt = patients[case.patient_id].prompt
        if prompt is None:
            continue
        try:
            key = digest("prompt", VERSION, case.image_digest, content(prompt, mask_label, case.patient_id))
        except PromptError as error:
            failed.append(SetAside(case.patient_id, STAGE, f"{error.file.name}: {error.problem}" if error.file else error.problem))
            continue
        tasks.append(Task(case.patient_id, key, (case.image, prompt, case.patient_id, mask_label)))
    if not tasks:
        return [c for c in cases if c.patient_id not in {s.patient_id for s in failed}], failed
    done, aside = engine.run(STAGE, prompt_task, tasks)
    failed += aside
    gone = {s.patient_id for s in failed}
    folders = {entry.patient_id: entry.folder for entry in done}
    return [_with_prompt(c, patients[c.patient_id].prompt, folders.get(c.patient_id)) for c in cases if c.patient_id not in gone], failed


def content(prompt: Prompt, mask_label: int | str | None, patient_id: str = "") -> str:
    """Give the digest of all that a prompt says.

    Parameters
    ----------
    prompt : Prompt
        What was pointed at.
    mask_label : int, str or None
        Label of the tumour in rough masks that hold several.
    patient_id : str
        Whom it belongs to, for error messages.

    Returns
    -------
    str
        SHA-256.

    Raises
    ------
    PromptError
        If the file of a rough mask is missing.
    """
    if prompt.rough is None:
        return digest(prompt.kind, prompt.box, prompt.click)
    if not prompt.rough.is_file():
        message = f"rough mask {'is a folder, expected one file' if prompt.rough.is_dir() else 'file does not exist'}. Correct the path, or leave it out"
        raise PromptError(patient_id, message, prompt.rough)
    return digest(prompt.kind, digest_file(prompt.rough), mask_label)


def prompt_task(folder: Path, image: Path, prompt: Prompt, patient_id: str, mask_label: int | str | None) -> None:
    """Check one prompt, and put a rough mask on the prepared grid; an Engine task.

    Parameters
    ----------
    folder : Path
        Where prompt.json and, of a rough mask, rough.nii.gz go.
    image : Path
        Prepared image.
    prompt : Prompt
        What was pointed at.
    patient_id : str
        Whom it belongs to.
    mask_label : int, str or None
        Label of the tumour in a rough mask that holds several.

    Raises
    ------
    PromptError
        If box, click or rough mask lie outside the image.
    MaskError
        If the rough mask cannot be read.
    """
    from sarcofuse.imaging import check_prompt, content_digest, place_rough, read_geometry, write_mask

    grid = read_geometry(image, patient_id)
    if prompt.rough is None:
        check_prompt(prompt, grid, patient_id)
        write_json({"digest": content(prompt, None)}, folder / "prompt.json")
        return
    mask = place_rough(prompt.rough, grid, patient_id, mask_label)
    write_mask(mask, folder / "rough.nii.gz")
    write_json({"digest": digest("rough", content_digest(mask))}, folder / "prompt.json")


def _with_prompt(case: Case, prompt: Prompt | None, folder: Path | None) -> Case:
    if prompt is None or folder is None:
        return case
    said = prompt if prompt.rough is None else Prompt(rough=folder / "rough.nii.gz")
    return replace(case, prompt=said, prompt_digest=read_json(folder / "prompt.json")["digest"])
