"""Masks by the ensemble, or by the one network that never saw the patient: one task a case."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sarcofuse.config.segment import RefineConfig, SegmentConfig
from sarcofuse.errors import MaskError, StageError
from sarcofuse.records import Case, MaskQuality, MaskSource, SetAside
from sarcofuse.runtime import Engine, Task, digest, read_json, single_thread, write_json
from sarcofuse.segment.model import CARD, Segmenter

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sarcofuse.records import Mask
    from sarcofuse.segment.grid import WorkImage

STAGE = "segment"
VERSION = 1


def segment(segmenter: Segmenter, cases: Sequence[Case], config: SegmentConfig, engine: Engine, *, out_of_fold: bool) -> tuple[list[Case], list[MaskQuality], list[SetAside]]:
    """Give every case an automatic mask on its prepared grid.

    Parameters
    ----------
    segmenter : Segmenter
        The trained ensemble.
    cases : sequence of Case
        Prepared images. Where a case has a mask, the automatic one is measured against it.
    config : SegmentConfig
        ``refine`` and ``device`` count here.
    engine : Engine
        Runs and caches the work.
    out_of_fold : bool
        Use for each patient only the network that held the patient out, instead of the ensemble.

    Returns
    -------
    cases : list of Case
        In the same order, with the automatic mask.
    quality : list of MaskQuality
        One a case.
    set_aside : list of SetAside
        Cases in which no tumour was found, with reasons.

    Raises
    ------
    StageError
        If an out-of-fold mask is wanted of a patient whom no network held out.
    """
    card = read_json(segmenter.folder / CARD)
    scores = [float(item["held_out_dice"]) for item in card["folds"]]
    content = segmenter.content
    tasks = []
    for case in cases:
        fold = _fold_of(segmenter, case) if out_of_fold else None
        key = digest("segment", VERSION, content, config.refine, config.device, fold, case.image_digest, case.mask_digest)
        tasks.append(Task(case.patient_id, key, (segmenter.folder, segmenter.weights, scores, fold, case, config)))
    done, set_aside = engine.run(STAGE, segment_task, tasks)
    by_id = {c.patient_id: c for c in cases}
    masked, quality = [], []
    source: MaskSource = "out-of-fold" if out_of_fold else "ensemble"
    for entry in done:
        case, found = by_id[entry.patient_id], read_json(entry.folder / "quality.json")
        masked.append(replace(case, mask=entry.folder / "mask.nii.gz", mask_digest=found.pop("mask_digest"), mask_source=source))
        quality.append(MaskQuality(case.patient_id, case.split, source, **found))
    return masked, quality, set_aside


def _fold_of(segmenter: Segmenter, case: Case) -> int:
    if case.patient_id not in segmenter.folds:
        message = (
            f"segment: an out-of-fold mask is wanted of patient {case.patient_id} ({case.split}), but no network held that patient out; "
            f"expected one of the {len(segmenter.folds)} training patients. Use out_of_fold=False for all others"
        )
        raise StageError(message)
    return segmenter.folds[case.patient_id]


def segment_task(folder: Path, model: Path, weights: Sequence[Path], scores: Sequence[float], fold: int | None, case: Case, config: SegmentConfig) -> None:
    """Segment one case; an Engine task.

    Parameters
    ----------
    folder : Path
        Where mask.nii.gz and quality.json go.
    model : Path
        Folder of the Segmenter.
    weights : sequence of Path
        Weights of all folds.
    scores : sequence of float
        Mean held-out Dice of all folds.
    fold : int or None
        The only network to use, or None for all.
    case : Case
        What to segment.
    config : SegmentConfig
        Settings.

    Raises
    ------
    MaskError
        If nothing is left of the mask.
    """
    from sarcofuse.imaging import content_digest, read_mask, read_volume, write_mask
    from sarcofuse.records import Mask
    from sarcofuse.segment.auto3dseg import ensemble_probabilities
    from sarcofuse.segment.grid import restore, to_working
    from sarcofuse.segment.network import pick_device
    from sarcofuse.segment.plan import read_plan

    volume = read_volume(case.image, case.patient_id)
    truth = None if case.mask is None else read_mask(case.mask, case.patient_id).array
    work = to_working(volume.array, volume.geometry.spacing, read_plan(model / "plan.json").spacing)
    chosen = range(len(weights)) if fold is None else [fold]
    device = pick_device(config.device)
    with single_thread():
        each = ensemble_probabilities(model, [weights[k] for k in chosen], [scores[k] for k in chosen], work, flips=config.refine.flips, device=device)
    mean = restore(each[:, 1].mean(axis=0, dtype=np.float32), work)
    once = restore(each[:, 0].mean(axis=0, dtype=np.float32), work)
    mask, steps = _refined(once, mean, truth, volume.geometry.voxel_ml, config.refine, case.patient_id)
    result = Mask(mask.astype(np.uint8), volume.geometry)
    write_mask(result, folder / "mask.nii.gz")
    found = {**_judge(result, mean, truth, steps), "agreement": _agreement(each[:, 1], mean, work, config.refine) if fold is None and len(weights) > 1 else None}
    write_json({**found, "mask_digest": content_digest(result)}, folder / "quality.json")


def _refined(
    once: NDArray[np.float32], mean: NDArray[np.float32], truth: NDArray[np.uint8] | None, voxel_ml: float, config: RefineConfig, patient_id: str
) -> tuple[NDArray[np.bool_], dict[str, float]]:
    """Refine, with the Dice after each step where there is a truth."""
    from sarcofuse.metrics.overlap import dice
    from sarcofuse.segment.refine import refine

    steps: dict[str, float] = {}
    mask, last, before = np.zeros(mean.shape, dtype=bool), "", 0
    if truth is not None:
        steps["network"] = dice(once >= config.threshold, truth)
    for name, after in refine(mean, voxel_ml, config):
        mask = after
        if truth is not None:
            steps["flips" if name == "threshold" else name] = dice(mask, truth)
        if not mask.any():
            last = name
            break
        before = int(np.count_nonzero(mask))
    if last == "threshold":
        message = f"no tumour found: the highest tumour probability is {float(mean.max()):.2f}, below segment.refine.threshold {config.threshold:g}. Draw the mask by hand, or lower the threshold"
        raise MaskError(patient_id, message)
    if last:
        message = f"no tumour left: the component found has {before * voxel_ml:.2f} ml, below segment.refine.minimum_ml {config.minimum_ml:g}. Draw the mask by hand, or lower the minimum"
        raise MaskError(patient_id, message)
    return mask, steps


def _judge(mask: Mask, mean: NDArray[np.float32], truth: NDArray[np.uint8] | None, steps: dict[str, float]) -> dict[str, Any]:
    from sarcofuse.metrics.overlap import dice, hd95_mm, volume_error

    found = {"volume_ml": mask.volume_ml, "confidence": float(mean[mask.array != 0].mean(dtype=np.float64)), "steps": steps}
    if truth is None:
        return found
    return {**found, "dice": dice(mask.array, truth), "surface_mm": hd95_mm(mask.array, truth, mask.geometry.spacing), "volume_error": volume_error(mask.array, truth)}


def _agreement(each: NDArray[np.float32], mean: NDArray[np.float32], work: WorkImage, config: RefineConfig) -> float:
    """Give the mean Dice of the networks' own masks with the ensemble's, before refinement."""
    from sarcofuse.metrics.overlap import dice
    from sarcofuse.segment.grid import restore

    whole = mean >= config.threshold
    return float(np.mean([dice(restore(one, work) >= config.threshold, whole) for one in each]))
