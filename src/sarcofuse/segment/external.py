"""Masks by an installed nnU-Net v2 or TotalSegmentator: one child process a patient, one task a case."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sarcofuse.config.segment import RefineConfig, SegmentConfig
from sarcofuse.errors import GeometryError, MaskError
from sarcofuse.records import Case, Mask, MaskQuality, MaskSource, SetAside
from sarcofuse.runtime import Engine, Task, digest, digest_file, read_json, write_json
from sarcofuse.segment.programs import CASE, Model, find_nnunet, find_totalsegmentator, nnunet_arguments, run_case, totalsegmentator_arguments

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sarcofuse.records import Geometry

STAGE = "segment"
VERSION = 2
FOREIGN: tuple[MaskSource, ...] = ("nnunet", "totalsegmentator")
"""Values of segment.masks that call another program."""


def identify(config: SegmentConfig, home: Path) -> SegmentConfig:
    """Find the program and note which model it is, so that a bundle can ask for the same.

    Parameters
    ----------
    config : SegmentConfig
        Settings with ``masks`` one of `FOREIGN`.
    home : Path
        Folder of study.yaml.

    Returns
    -------
    SegmentConfig
        With ``nnunet.model`` or ``totalsegmentator.version``.

    Raises
    ------
    ConfigError
        If program or model is absent, or not the one expected.
    """
    found = _model(config, home)
    if config.masks == "nnunet":
        return config.model_copy(update={"nnunet": config.nnunet.model_copy(update={"model": found.identity})})
    return config.model_copy(update={"totalsegmentator": config.totalsegmentator.model_copy(update={"version": found.identity})})


def portable(config: SegmentConfig) -> SegmentConfig:
    """Give the settings without what holds on one machine only: where programs, models and weights lie.

    Parameters
    ----------
    config : SegmentConfig
        Settings of a study.

    Returns
    -------
    SegmentConfig
        For a bundle: programs are found on the PATH, and nnU-Net's models through nnUNet_results.
    """
    fresh = SegmentConfig()
    nnunet = config.nnunet.model_copy(update={"command": fresh.nnunet.command, "results": None})
    total = config.totalsegmentator.model_copy(update={"command": fresh.totalsegmentator.command})
    return config.model_copy(update={"nnunet": nnunet, "totalsegmentator": total, "start_from": None, "templates": None})


def segment_external(cases: Sequence[Case], config: SegmentConfig, engine: Engine, home: Path) -> tuple[list[Case], list[MaskQuality], list[SetAside]]:
    """Give every case a mask by the program that ``config.masks`` names, on its prepared grid.

    The program sees the image as it came, under a name that says nothing; its mask is refined like the package's own networks'. Programs run one after another, since
    each takes all cores or the GPU, unless a dask scheduler hands them out.

    Parameters
    ----------
    cases : sequence of Case
        Prepared images. Where a case has a mask, the program's is measured against it.
    config : SegmentConfig
        Settings.
    engine : Engine
        Caches the work.
    home : Path
        Folder of study.yaml.

    Returns
    -------
    cases : list of Case
        In the same order, with the program's mask.
    quality : list of MaskQuality
        One a case, without agreement and confidence: such masks come without probabilities.
    set_aside : list of SetAside
        Cases in which the program failed or found nothing, with reasons.

    Raises
    ------
    ConfigError
        If program or model is absent, or not the one expected.
    """
    from sarcofuse.segment.network import pick_device

    if not cases:
        return [], [], []
    model, device = _model(config, home), pick_device(config.device)
    said = (config.nnunet if config.masks == "nnunet" else config.totalsegmentator).model_dump(mode="json", exclude={"command", "results", "timeout_minutes", "model", "version"})
    tasks = []
    for case in cases:
        key = digest(config.masks, VERSION, model.identity, said, config.refine, digest_file(case.native_image), case.image_digest, case.mask_digest)
        tasks.append(Task(case.patient_id, key, (model, device, case, config)))
    alone = Engine(engine.cache, scheduler="serial", progress=engine.progress, timings=engine.timings) if engine.scheduler == "processes" else engine
    done, set_aside = alone.run(STAGE, external_task, tasks)
    by_id = {c.patient_id: c for c in cases}
    source: MaskSource = "nnunet" if config.masks == "nnunet" else "totalsegmentator"
    masked, quality = [], []
    for entry in done:
        case, found = by_id[entry.patient_id], read_json(entry.folder / "quality.json")
        masked.append(replace(case, mask=entry.folder / "mask.nii.gz", mask_digest=found.pop("mask_digest"), mask_source=source))
        quality.append(MaskQuality(case.patient_id, case.split, source, **found))
    return masked, quality, set_aside


def _model(config: SegmentConfig, home: Path) -> Model:
    return find_nnunet(config.nnunet, home) if config.masks == "nnunet" else find_totalsegmentator(config.totalsegmentator)


def external_task(folder: Path, model: Model, device: str, case: Case, config: SegmentConfig) -> None:
    """Let the program segment one case; an Engine task.

    Parameters
    ----------
    folder : Path
        Where mask.nii.gz and quality.json go.
    model : Model
        The program.
    device : str
        ``cpu`` or ``cuda``.
    case : Case
        What to segment.
    config : SegmentConfig
        Settings.

    Raises
    ------
    MaskError
        If the program fails, finds nothing, or nothing is left of its mask.
    GeometryError
        If its mask lies on another grid than the image.
    """
    from sarcofuse.imaging import content_digest, read_mask, read_volume, resample_mask, write_mask, write_volume
    from sarcofuse.segment.quality import measured

    native = read_volume(case.native_image, case.patient_id)
    with tempfile.TemporaryDirectory(prefix="sarcofuse-") as room:
        images, masks = Path(room) / "images", Path(room) / "masks"
        images.mkdir()
        masks.mkdir()
        image = images / f"{CASE}_0000{model.ending}"
        write_volume(native, image)
        if config.masks == "nnunet":
            run_case(model, nnunet_arguments(config.nnunet, images, masks, flips=config.refine.flips, device=device), config.nnunet.timeout_minutes, case.patient_id)
            wanted = {masks / f"{CASE}{model.ending}": model.labels[0]}
        else:
            run_case(model, totalsegmentator_arguments(config.totalsegmentator, image, masks, device), config.totalsegmentator.timeout_minutes, case.patient_id)
            wanted = {masks / f"{roi}.nii.gz": 1 for roi in model.labels}
        drawn = np.any([_read(file, int(label), native.geometry, model, case.patient_id) for file, label in wanted.items()], axis=0)
    if not drawn.any():
        message = f"{model.name} found no tumour ({', '.join(map(str, model.labels))}). Draw the mask by hand"
        raise MaskError(case.patient_id, message)
    prepared = read_volume(case.image, case.patient_id).geometry
    truth = None if case.mask is None else read_mask(case.mask, case.patient_id).array
    placed = resample_mask(Mask(drawn.astype(np.uint8), native.geometry), prepared)
    array, steps = _refined(placed.array, truth, prepared, config.refine, case.patient_id)
    result = Mask(array.astype(np.uint8), prepared)
    write_mask(result, folder / "mask.nii.gz")
    write_json({**measured(result, truth), "agreement": None, "confidence": None, "steps": steps, "mask_digest": content_digest(result)}, folder / "quality.json")


def _read(file: Path, label: int, grid: Geometry, model: Model, patient_id: str) -> NDArray[np.bool_]:
    """Read a program's label map and check that it is one, on the image's grid."""
    import SimpleITK as sitk

    from sarcofuse.imaging import geometry_of
    from sarcofuse.imaging.files import read_sitk

    if not file.is_file():
        message = f"{model.name} ended well, but wrote no {file.name}. Look whether the structure belongs to the task, and run it by hand on this image"
        raise MaskError(patient_id, message)
    image = read_sitk(file, patient_id, MaskError, f"what {model.name} wrote,")
    differences = grid.differences(geometry_of(image), 0.01)
    if differences:
        message = f"{model.name} gave a mask on another grid: {'; '.join(differences)} (image against mask); expected the image's own. Run it by hand on this image"
        raise GeometryError(patient_id, message)
    values = sitk.GetArrayFromImage(image)
    if not np.array_equal(values, np.rint(values)):
        message = f"{model.name} wrote {file.name} with values that are not whole numbers; expected a label map"
        raise MaskError(patient_id, message)
    return np.asarray(values == label)


def _refined(drawn: NDArray[np.uint8], truth: NDArray[np.uint8] | None, grid: Geometry, config: RefineConfig, patient_id: str) -> tuple[NDArray[np.bool_], dict[str, float]]:
    """Refine, with the Dice after each step where there is a truth."""
    from sarcofuse.metrics.overlap import dice
    from sarcofuse.segment.refine import refine

    steps: dict[str, float] = {}
    mask, left_ml = np.zeros(drawn.shape, dtype=bool), 0.0
    for name, mask in refine((drawn != 0).astype(np.float32), grid.spacing, config):
        if truth is not None:
            steps["network" if name == "threshold" else name] = dice(mask, truth)
        if not mask.any():
            message = f"nothing is left of the mask after {name}: it had {left_ml:.2f} ml (segment.refine.minimum_ml is {config.minimum_ml:g}). Draw the mask by hand, or lower the minimum"
            raise MaskError(patient_id, message)
        left_ml = np.count_nonzero(mask) * math.prod(grid.spacing) / 1000.0
    return mask, steps
