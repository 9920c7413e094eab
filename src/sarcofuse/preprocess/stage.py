"""The preprocessing stage: one task a patient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from sarcofuse.config import PreprocessConfig
from sarcofuse.errors import ImageError, MaskError
from sarcofuse.preprocess.prompts import place_prompts
from sarcofuse.records import Case, Mask, Patient, SetAside, Volume
from sarcofuse.runtime import Engine, Task, digest, digest_file, read_json, write_json

STAGE = "preprocess"
VERSION = "preprocess 1"


def prepare(patients: Sequence[Patient], config: PreprocessConfig, engine: Engine, *, mask_label: int | str | None = None) -> tuple[list[Case], list[SetAside]]:
    """Prepare the images of patients, their masks where there are any, and their prompts.

    Parameters
    ----------
    patients : sequence of Patient
        Whom to prepare.
    config : PreprocessConfig
        How.
    engine : Engine
        Runs and caches the work.
    mask_label : int or str, optional
        Number or name of the tumour in masks that hold several.

    Returns
    -------
    cases : list of Case
        In the order of the patients.
    set_aside : list of SetAside
        Patients whose image, mask or prompt cannot be used, with reasons.
    """
    tasks: list[Task] = []
    unread: list[SetAside] = []
    for patient in patients:
        try:
            tasks.append(Task(patient.patient_id, _key(patient, config, mask_label), (patient, config, mask_label)))
        except (ImageError, MaskError) as error:
            where = "" if error.file is None else f"{error.file.name}: "
            unread.append(SetAside(patient.patient_id, STAGE, where + error.problem))
    done, failed = engine.run(STAGE, _task, tasks)
    by_id = {p.patient_id: p for p in patients}
    order = {p.patient_id: i for i, p in enumerate(patients)}
    cases, unfit = place_prompts([_case(by_id[entry.patient_id], entry.folder) for entry in done], by_id, engine, mask_label)
    return cases, sorted([*unread, *failed, *unfit], key=lambda s: order[s.patient_id])


def prepare_one(patient: Patient, config: PreprocessConfig, folder: Path, mask_label: int | str | None = None) -> Case:
    """Prepare one patient.

    Parameters
    ----------
    patient : Patient
        Whom.
    config : PreprocessConfig
        How.
    folder : Path
        Where image.nii.gz, mask.nii.gz (if there is a mask) and info.json are written.
    mask_label : int or str, optional
        Number or name of the tumour in a mask that holds several.

    Returns
    -------
    Case
        The prepared patient.

    Raises
    ------
    ImageError
        If the image is missing, unreadable, not finite, or without contrast.
    MaskError
        If the mask is unreadable, empty, has several labels or spans too few slices.
    GeometryError
        If image and mask lie on different grids.
    """
    from sarcofuse.imaging import content_digest, place_mask, read_mask, read_volume, write_mask, write_volume

    native = read_volume(_image_of(patient), patient.patient_id)
    given = None if patient.mask is None else read_mask(patient.mask, patient.patient_id, mask_label, native.geometry)
    if given is not None:
        given = place_mask(given, native.geometry, patient.patient_id, config.geometry_tolerance, resample=config.other_grids == "resample")
    image, mask, statistics = prepare_volume(native, given, config, patient)
    write_volume(image, folder / "image.nii.gz")
    if mask is not None:
        write_mask(mask, folder / "mask.nii.gz")
    info = {
        "image_digest": content_digest(image),
        "mask_digest": None if mask is None else content_digest(mask),
        "native": asdict(native.geometry),
        "body": statistics,
        "tumour": None if mask is None else {"voxels": int(mask.array.sum()), "slices": _slices(mask), "ml": mask.volume_ml},
    }
    write_json(info, folder / "info.json")
    return _case(patient, folder)


def prepare_volume(native: Volume, given: Mask | None, config: PreprocessConfig, patient: Patient) -> tuple[Volume, Mask | None, dict[str, float]]:
    """Prepare an image, and its mask, in memory.

    Parameters
    ----------
    native : Volume
        The image as it came.
    given : Mask or None
        Its mask on the same grid.
    config : PreprocessConfig
        How.
    patient : Patient
        Whose they are, for error messages.

    Returns
    -------
    image : Volume
        Axial, on the working grid, corrected and normalised.
    mask : Mask or None
        On the same grid.
    statistics : dict
        Of the body, before normalisation.

    Raises
    ------
    ImageError
        If the image has no contrast.
    MaskError
        If the mask spans too few slices.
    """
    from sarcofuse.imaging import regrid, reorient, resample_mask, resample_volume
    from sarcofuse.preprocess.intensity import body_mask, correct_bias, normalise

    image = reorient(native)
    mask = None if given is None else reorient(given)
    grid = image.geometry if config.spacing is None else regrid(image.geometry, config.spacing)
    if mask is not None:
        _check_extent(mask, config, patient, "")
        mask = resample_mask(mask, grid)
        _check_extent(mask, config, patient, f" after resampling to {'x'.join(f'{s:g}' for s in grid.spacing)} mm")
    image = resample_volume(image, grid, config.interpolation)
    if float(image.array.max()) <= float(image.array.min()):
        message = f"image is constant: every voxel is {float(image.array.max()):g}; expected an image with contrast. Export it again"
        raise ImageError(patient.patient_id, message, patient.image)
    try:
        if config.n4:
            image = correct_bias(image, config.n4_spacing, config.n4_iterations)
        array, statistics = normalise(image.array, body_mask(image.array), config)
    except (RuntimeError, ValueError) as error:
        message = f"intensities cannot be corrected: {str(error).strip().splitlines()[-1]}. Look at the image, or set preprocess.n4: false"
        raise ImageError(patient.patient_id, message, patient.image) from error
    if not np.isfinite(array).all():
        message = "bias field correction gave values that are not finite. Look at the image, or set preprocess.n4: false"
        raise ImageError(patient.patient_id, message, patient.image)
    return Volume(array, image.geometry), mask, statistics


def _task(folder: Path, patient: Patient, config: PreprocessConfig, mask_label: int | str | None) -> None:
    prepare_one(patient, config, folder, mask_label)


def _check_extent(mask: Mask, config: PreprocessConfig, patient: Patient, when: str) -> None:
    slices = _slices(mask)
    if slices < config.minimum_slices:
        message = (
            f"tumour of {patient.patient_id} lies in {slices} slice{'' if slices == 1 else 's'}{when}; expected at least {config.minimum_slices}. "
            "Draw it on every slice that shows it, choose a finer preprocess.spacing, or set preprocess.minimum_slices lower"
        )
        raise MaskError(patient.patient_id, message, patient.mask)


def _slices(mask: Mask) -> int:
    return int(np.count_nonzero(mask.array.any(axis=(1, 2))))


def _image_of(patient: Patient) -> Path:
    if patient.image is None:
        message = "no image is named in the table; expected a NIfTI file or a DICOM folder"
        raise ImageError(patient.patient_id, message)
    return patient.image


def _key(patient: Patient, config: PreprocessConfig, mask_label: int | str | None) -> str:
    image = _image_of(patient)
    if not image.exists():
        message = "image does not exist. Correct the path in the table, or copy the file there"
        raise ImageError(patient.patient_id, message, image)
    if patient.mask is not None and not patient.mask.is_file():
        message = "mask file does not exist. Correct the path in the table, copy the file there, or leave the cell empty"
        raise MaskError(patient.patient_id, message, patient.mask)
    return digest(VERSION, config, mask_label, digest_file(image), None if patient.mask is None else digest_file(patient.mask))


def _case(patient: Patient, folder: Path) -> Case:
    info = read_json(folder / "info.json")
    mask = None if info["mask_digest"] is None else folder / "mask.nii.gz"
    return Case(
        patient.patient_id, patient.split, patient.site, folder / "image.nii.gz", mask, _image_of(patient), info["image_digest"], info["mask_digest"], None if mask is None else "given"
    )
