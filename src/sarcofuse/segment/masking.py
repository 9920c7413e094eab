"""Masks by the ensemble, or by the one network that never saw the patient: one task a case."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sarcofuse.config.segment import RefineConfig, SegmentConfig
from sarcofuse.errors import MaskError, StageError
from sarcofuse.records import Case, MaskQuality, MaskSource, SetAside
from sarcofuse.runtime import Engine, Task, digest, read_json, single_thread, write_json
from sarcofuse.segment.model import CARD, Segmenter
from sarcofuse.segment.rating import rated

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sarcofuse.records import Geometry, Mask
    from sarcofuse.segment.grid import WorkImage
    from sarcofuse.segment.prompting import WorkPrompt

STAGE = "segment"
VERSION = 3
FOLDS = "fold_digests"


def segment(segmenter: Segmenter, cases: Sequence[Case], config: SegmentConfig, engine: Engine, *, out_of_fold: bool) -> tuple[list[Case], list[MaskQuality], list[SetAside]]:
    """Give every case an automatic mask on its prepared grid.

    Parameters
    ----------
    segmenter : Segmenter
        The trained ensemble.
    cases : sequence of Case
        Prepared images. Where a case has a mask, the automatic one is measured against it; where it has a prompt, the networks draw with and without it.
    config : SegmentConfig
        ``refine``, ``inference``, ``device``, ``fold_masks`` and ``review_below`` count here.
    engine : Engine
        Runs and caches the work.
    out_of_fold : bool
        Use for each patient only the network that held the patient out, instead of the ensemble.

    Returns
    -------
    cases : list of Case
        In the same order, with the automatic mask, or the prompted one where there is a prompt.
    quality : list of MaskQuality
        One a case. Ensemble masks have their predicted Dice where the segmenter has learned to (`learn_quality`, which gives it to out-of-fold masks as well).
    set_aside : list of SetAside
        Cases in which no tumour was found, with reasons.

    Raises
    ------
    ConfigError
        If OpenVINO is to compute and is not installed.
    StageError
        If an out-of-fold mask is wanted of a patient whom no network held out, or the networks know no prompts and there are some.
    """
    refuse_prompts(segmenter, cases)
    if config.inference.backend == "openvino":
        from sarcofuse.segment.openvino import require_openvino

        require_openvino()
    card = read_json(segmenter.folder / CARD)
    scores = [float(item["held_out_dice"]) for item in card["folds"]]
    content = segmenter.content
    tasks = []
    for case in cases:
        fold = _fold_of(segmenter, case) if out_of_fold else None
        said = (() if case.prompt is None else (case.prompt_digest,)) + (("fold masks",) if config.fold_masks and fold is None else ())
        key = digest("segment", VERSION, content, config.refine, config.inference, config.device, fold, case.image_digest, case.mask_digest, *said)
        tasks.append(Task(case.patient_id, key, (segmenter.folder, segmenter.weights, scores, fold, case, config)))
    done, set_aside = engine.run(STAGE, segment_task, tasks)
    by_id = {c.patient_id: c for c in cases}
    masked, quality = [], []
    source: MaskSource = "out-of-fold" if out_of_fold else "ensemble"
    for entry in done:
        case, found = by_id[entry.patient_id], read_json(entry.folder / "quality.json")
        found.pop(FOLDS, None)
        masked.append(replace(case, mask=entry.folder / "mask.nii.gz", mask_digest=found.pop("mask_digest"), mask_source=source, prompted=found.get("prompted", "")))
        quality.append(MaskQuality(case.patient_id, case.split, source, **{**found, "warnings": tuple(found["warnings"])}))
    return masked, quality if out_of_fold else rated(quality, segmenter.forecast, config.review_below), set_aside


def refuse_prompts(segmenter: Segmenter, cases: Sequence[Case]) -> None:
    """Refuse prompts for networks that know none: their masks would not heed them.

    Parameters
    ----------
    segmenter : Segmenter
        The trained ensemble.
    cases : sequence of Case
        With or without prompts.

    Raises
    ------
    StageError
        If there are prompts, and the networks were trained without.
    """
    prompted = [c.patient_id for c in cases if c.prompt is not None]
    if prompted and not segmenter.takes_prompts:
        who = f"patient {prompted[0]}" + (f" and {len(prompted) - 1} more" if len(prompted) > 1 else "")
        message = f"segment: {who} came with a box, click or rough mask, but these networks were trained without prompts. Leave the prompts out, or train networks that take them"
        raise StageError(message)


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
        Where mask.nii.gz and quality.json go; of a prompted case also automatic.nii.gz, the mask without the prompt, unless that is empty.
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
        If nothing is left of the mask, or the image does not fit into memory.
    """
    from sarcofuse.imaging import content_digest, read_mask, read_volume, write_mask
    from sarcofuse.records import Mask
    from sarcofuse.segment.grid import restore
    from sarcofuse.segment.plan import read_plan
    from sarcofuse.segment.prompting import heed, work_image, work_prompt
    from sarcofuse.segment.quality import agreement, judge, signs

    volume = read_volume(case.image, case.patient_id)
    truth = None if case.mask is None else read_mask(case.mask, case.patient_id).array
    plan = read_plan(model / "plan.json")
    work = work_image(volume, plan, case.prompt)
    chosen = range(len(weights)) if fold is None else [fold]
    notes: list[str] = []
    see = partial(_see, model, [weights[k] for k in chosen], [scores[k] for k in chosen], config, notes)
    try:
        each = see(work, None if case.prompt is None else work_prompt(case.prompt, volume.geometry, work))
    except StageError as error:
        raise MaskError(case.patient_id, f"cannot be segmented: {error}") from error
    mean = restore(each[:, 1].mean(axis=0, dtype=np.float32), work)
    once = restore(each[:, 0].mean(axis=0, dtype=np.float32), work)
    agreed = agreement(each[:, 1], mean, work, config.refine) if fold is None and len(weights) > 1 else None
    heeded = partial(heed, prompt=case.prompt, geometry=volume.geometry, threshold=config.refine.threshold)
    mean, pointed = heeded(mean), case.prompt is not None and case.prompt.box is None
    refine = config.refine.model_copy(update={"keep": "all"}) if pointed else config.refine  # whatever was pointed at stays
    mask, steps = _refined(once, mean, truth, volume.geometry.spacing, refine, case.patient_id)
    result = Mask(mask.astype(np.uint8), volume.geometry)
    write_mask(result, folder / "mask.nii.gz")
    found = {**judge(result, mean, truth, steps), "agreement": agreed, "signs": signs(each, work.spacing, config.refine)}
    if config.fold_masks and fold is None:
        found[FOLDS] = _keep_folds(folder, [heeded(restore(one, work), refuse=False) for one in each[:, 1]], volume.geometry, refine)
    if case.prompt is not None:
        whole = work_image(volume, plan)
        found |= {"prompted": case.prompt.kind, **_compared(folder, _automatic(see(whole, None), whole, volume.geometry, config.refine), truth)}
    write_json({**found, "warnings": list(dict.fromkeys(notes)), "mask_digest": content_digest(result)}, folder / "quality.json")


def _see(
    model: Path, weights: Sequence[Path], scores: Sequence[float], config: SegmentConfig, notes: list[str], work: WorkImage, prompt: WorkPrompt | None
) -> NDArray[np.float32]:
    """Give what each network says, with the prompt or without."""
    from sarcofuse.segment.auto3dseg import ensemble_probabilities
    from sarcofuse.segment.network import pick_device
    from sarcofuse.segment.plan import read_plan
    from sarcofuse.segment.prompting import network_input

    with single_thread():
        seen = network_input(work, prompt, read_plan(model / "plan.json"))
        return ensemble_probabilities(model, weights, scores, seen, flips=config.refine.flips, device=pick_device(config.device), inference=config.inference, notes=notes)


def _compared(folder: Path, without: Mask, truth: NDArray[np.uint8] | None) -> dict[str, Any]:
    """Keep the mask without the prompt, and measure it."""
    from sarcofuse.imaging import write_mask
    from sarcofuse.metrics.overlap import dice

    if without.array.any():
        write_mask(without, folder / "automatic.nii.gz")
    return {"automatic_ml": without.volume_ml, "automatic_dice": None if truth is None else dice(without.array, truth)}


def _keep_folds(folder: Path, each: Sequence[NDArray[np.float32]], geometry: Geometry, config: RefineConfig) -> dict[str, str]:
    """Keep every network's own refined mask; give their digests, but for those of networks that find no tumour."""
    from sarcofuse.imaging import content_digest, write_mask

    found = {}
    for k, mean in enumerate(each):
        own = _cleaned(mean, geometry, config)
        if own.array.any():
            write_mask(own, folder / f"fold_{k}.nii.gz")
            found[str(k)] = content_digest(own)
    return found


def fold_cases(cases: Sequence[Case]) -> dict[int, list[Case]]:
    """Give the cases with every network's own mask in place of the ensemble's.

    Parameters
    ----------
    cases : sequence of Case
        As `segment` gave them with ``segment.fold_masks``.

    Returns
    -------
    dict of int to list of Case
        By network; without cases in which that network found no tumour, and those without such masks (out-of-fold ones).
    """
    found: dict[int, list[Case]] = {}
    for case in cases:
        if case.mask is None or case.mask_source != "ensemble":
            continue
        for k, content in read_json(case.mask.with_name("quality.json")).get(FOLDS, {}).items():
            found.setdefault(int(k), []).append(replace(case, mask=case.mask.with_name(f"fold_{k}.nii.gz"), mask_digest=content))
    return dict(sorted(found.items()))


def _automatic(each: NDArray[np.float32], work: WorkImage, geometry: Geometry, config: RefineConfig) -> Mask:
    """Give the mask that the networks draw without the prompt; empty where they find no tumour."""
    from sarcofuse.segment.grid import restore

    return _cleaned(restore(each[:, 1].mean(axis=0, dtype=np.float32), work), geometry, config)


def _cleaned(mean: NDArray[np.float32], geometry: Geometry, config: RefineConfig) -> Mask:
    """Give the refined mask of a probability; empty where nothing is left."""
    from sarcofuse.records import Mask

    try:
        mask, _ = _refined(mean, mean, None, geometry.spacing, config, "")
    except MaskError:
        mask = np.zeros(mean.shape, dtype=bool)
    return Mask(mask.astype(np.uint8), geometry)


def _refined(
    once: NDArray[np.float32], mean: NDArray[np.float32], truth: NDArray[np.uint8] | None, spacing: Sequence[float], config: RefineConfig, patient_id: str
) -> tuple[NDArray[np.bool_], dict[str, float]]:
    """Refine, with the Dice after each step where there is a truth."""
    from sarcofuse.metrics.overlap import dice
    from sarcofuse.segment.refine import refine

    steps: dict[str, float] = {}
    mask, last, left_ml = np.zeros(mean.shape, dtype=bool), "", 0.0
    if truth is not None:
        steps["network"] = dice(once >= config.threshold, truth)
    for name, after in refine(mean, spacing, config):
        mask = after
        if truth is not None:
            steps["flips" if name == "threshold" else name] = dice(mask, truth)
        if not mask.any():
            last = name
            break
        left_ml = np.count_nonzero(mask) * math.prod(spacing) / 1000.0
    if last == "threshold":
        message = f"no tumour found: the highest tumour probability is {float(mean.max()):.2f}, below segment.refine.threshold {config.threshold:g}. Draw the mask by hand, or lower the threshold"
        raise MaskError(patient_id, message)
    if last:
        message = f"no tumour left: the component found has {left_ml:.2f} ml, below segment.refine.minimum_ml {config.minimum_ml:g}. Draw the mask by hand, or lower the minimum"
        raise MaskError(patient_id, message)
    return mask, steps
