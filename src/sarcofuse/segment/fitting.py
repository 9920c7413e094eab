"""Training as a stage: analysis, plan, arrays, folds, model; each step cached by content."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sarcofuse.config.segment import SegmentConfig
from sarcofuse.errors import StageError
from sarcofuse.records import Case, SetAside
from sarcofuse.runtime import Engine, Task, atomic_file, digest, digest_file, read_json, single_thread, versions, write_json
from sarcofuse.segment.folds import assign_folds
from sarcofuse.segment.guidance import own_digest
from sarcofuse.segment.memory import folds_at_once, gpu_memory_mib, memory_gb
from sarcofuse.segment.model import CARD, FORMAT, PLAN, Segmenter
from sarcofuse.segment.plan import Plan, explain, read_plan
from sarcofuse.segment.pseudo import PSEUDO, FirstRound, second_round
from sarcofuse.segment.timing import say_time
from sarcofuse.segment.transfer import start_file, start_of

VERSION = 2
ELSEWHERE = {"masks", "refine", "start_from", "templates", "inference", "nnunet", "totalsegmentator", "unlabelled", "unlabelled_agreement", "review_below", "fold_masks"}
"""Settings that training does not depend on, or that are known by content."""


def train(cases: Sequence[Case], config: SegmentConfig, engine: Engine, seed: int) -> Segmenter:
    """Train one network a fold on the training patients who have a mask.

    Nothing of internal and external patients is read. Training patients without a usable mask get a fold too, so that theirs is the mask of one network like
    everybody else's.

    Parameters
    ----------
    cases : sequence of Case
        Prepared patients, in any order.
    config : SegmentConfig
        Settings.
    engine : Engine
        Runs and caches the work.
    seed : int
        Seed of folds, weights and augmentation.

    Returns
    -------
    Segmenter
        The ensemble, with the fold of every training patient.

    Raises
    ------
    StageError
        If fewer patients than folds have a usable mask, or a training diverges twice.
    """
    patients = sorted((c for c in cases if c.split == "train"), key=lambda c: c.patient_id)
    stats, set_aside = _analyse([c for c in patients if c.mask is not None], engine)
    usable = [c for c in patients if c.patient_id in stats]
    if len(usable) < config.folds:
        lost = f"; {len(set_aside)} more could not be used, the first of them {set_aside[0].patient_id}: {set_aside[0].reason}" if set_aside else ""
        message = (
            f"segment: {len(usable)} training patients have a usable mask, but segment.folds is {config.folds}; expected at least one a fold{lost}. "
            "Give more masks, or lower segment.folds"
        )
        raise StageError(message)
    folds = {**assign_folds([c.patient_id for c in usable], config.folds, seed), **assign_folds([c.patient_id for c in patients if c.patient_id not in stats], config.folds, seed)}
    planned = _plan([stats[c.patient_id] for c in usable], config, engine, seed)
    plan = read_plan(planned / PLAN)
    engine.say("Plan of the segmentation:", *(f"  {line}" for line in explain(plan)))
    arrays = _arrays(usable, plan, engine)
    networks = _networks(usable, arrays, folds, planned, config.start_from, engine)
    notes = _notes(networks, set_aside, plan)
    if config.unlabelled == "pseudo" and any(c.mask is None for c in patients):
        networks, told = second_round([c for c in patients if c.mask is None], FirstRound(planned, tuple(networks), arrays, folds), config, engine)
        notes = (*notes, told)
    return Segmenter(_model(planned, networks, engine), {p: folds[p] for p in sorted(folds)}, tuple(set_aside), notes)


def _analyse(cases: Sequence[Case], engine: Engine) -> tuple[dict[str, Path], list[SetAside]]:
    tasks = [Task(c.patient_id, digest("segment-analyse", VERSION, c.image_digest, c.mask_digest), (c.patient_id, c.image, c.mask)) for c in cases]
    done, set_aside = engine.run("segment-analyse", analyse_task, tasks)
    return {entry.patient_id: entry.folder for entry in done}, set_aside


def analyse_task(folder: Path, patient_id: str, image: Path, mask: Path) -> None:
    """Run Auto3DSeg's data analysis on one case; an Engine task.

    Parameters
    ----------
    folder : Path
        Where stats.json goes.
    patient_id : str
        Whose case it is.
    image, mask : Path
        Prepared image and mask.
    """
    from sarcofuse.imaging import check_geometry, read_mask, read_volume
    from sarcofuse.segment.auto3dseg import analyse_case

    volume, region = read_volume(image, patient_id), read_mask(mask, patient_id)
    check_geometry(volume, region, patient_id)
    with single_thread():
        write_json(analyse_case(volume, region, patient_id), folder / "stats.json")


def _plan(stats: Sequence[Path], config: SegmentConfig, engine: Engine, seed: int) -> Path:
    start = start_of(config.start_from)
    gpus = () if config.device == "cpu" else gpu_memory_mib()
    settings = config.model_dump(mode="json", exclude=ELSEWHERE)
    key = digest("segment-plan", VERSION, settings, seed, start, own_digest(), gpus, memory_gb("cpu"), [s.name for s in stats])
    return _only(engine, "segment-plan", plan_task, Task("plan", key, (list(stats), config, seed, start)))


def plan_task(folder: Path, stats: Sequence[Path], config: SegmentConfig, seed: int, start: str = "") -> None:
    """Sum the analysis up and let BundleGen make the bundle of each fold; an Engine task.

    Parameters
    ----------
    folder : Path
        Where plan.json, datastats.json and the bundles go.
    stats : sequence of Path
        Folders of `analyse_task`, in order of the patients' names.
    config : SegmentConfig
        Settings.
    seed : int
        Seed of the study.
    start : str
        SHA-256 of the weights to start from; empty for none.
    """
    from sarcofuse.segment.auto3dseg import generate_bundles, summarise
    from sarcofuse.segment.network import pick_device

    with single_thread():
        summary = summarise([read_json(s / "stats.json") for s in stats])
        device = pick_device(config.device)
        settings = config.model_dump(mode="json", exclude=ELSEWHERE)
        source = {"settings": settings, "device": device, "seed": seed, "start": start, "memory_gb": memory_gb(device)}
        bundles = generate_bundles(folder, summary, source, config.folds)
    shutil.copyfile(bundles[0] / PLAN, folder / PLAN)


def _arrays(cases: Sequence[Case], plan: Plan, engine: Engine) -> dict[str, Path]:
    tasks = [Task(c.patient_id, digest("segment-arrays", VERSION, plan.spacing, plan.voxels, c.image_digest, c.mask_digest), (c.patient_id, c.image, c.mask, plan.spacing, plan.voxels)) for c in cases]
    done, lost = engine.run("segment-arrays", array_task, tasks)
    if lost:
        message = f"segment: the training image of {lost[0].patient_id} could be analysed but not resampled: {lost[0].reason}"
        raise StageError(message)
    return {entry.patient_id: entry.folder for entry in done}


def array_task(folder: Path, patient_id: str, image: Path, mask: Path, spacing: tuple[float, float, float], voxels: int = 0) -> None:
    """Put one training case on the working grid; an Engine task.

    Parameters
    ----------
    folder : Path
        Where case.npz goes: ``image`` (float16), ``label`` (share of tumour in each voxel, 255 for all of it) and ``spacing`` (x, y, z in mm).
    patient_id : str
        Whose case it is.
    image, mask : Path
        Prepared image and mask.
    spacing : tuple of float
        Working voxel size along x, y, z in mm.
    voxels : int
        Working voxels of an image that is cropped around the tumour; it is kept finer, for training crops it further. 0 where images are not.
    """
    import numpy as np

    from sarcofuse.imaging import read_mask, read_volume
    from sarcofuse.segment.drawing import FINER
    from sarcofuse.segment.grid import cubic, shrink, to_working

    volume, region = read_volume(image, patient_id), read_mask(mask, patient_id)
    if voxels:
        spacing = (cubic(volume.array.shape, volume.geometry.spacing, voxels * FINER),) * 3
    work = to_working(volume.array, volume.geometry.spacing, spacing)
    share = shrink(region.array.astype(np.float32), work.steps)
    with atomic_file(folder / "case.npz") as part, part.open("wb") as stream:
        np.savez(stream, image=work.array.astype(np.float16), label=np.rint(share * 255.0).astype(np.uint8), spacing=np.array(spacing))


def _networks(cases: Sequence[Case], arrays: Mapping[str, Path], folds: Mapping[str, int], planned: Path, start: Path | str | None, engine: Engine) -> list[Path]:
    plan, gpus = read_plan(planned / PLAN), len(gpu_memory_mib())
    source = start_file(start, plan)
    tasks = []
    for fold in range(plan.folds):
        training, held_out = ({c.patient_id: arrays[c.patient_id] for c in cases if (folds[c.patient_id] == fold) is out} for out in (False, True))
        key = digest("segment-train", VERSION, asdict(plan), fold, [[p, a.name] for p, a in training.items()], [[p, a.name] for p, a in held_out.items()])
        tasks.append(Task(f"fold {fold}", key, (planned, fold, training, held_out, source, gpus)))
    at_once = folds_at_once(plan, len(cases), memory_gb("cpu"), gpus)
    if any(not (engine.cache / "segment-train" / t.key).is_dir() for t in tasks):
        say_time([arrays[c.patient_id] / "case.npz" for c in cases], plan, at_once, engine)
    networks = []
    for first in range(0, len(tasks), at_once):
        done, lost = engine.run("segment-train", train_task, tasks[first : first + at_once], unit="epoch", steps=plan.epochs)
        if lost:
            message = f"segment: training of {lost[0].patient_id} failed: {lost[0].reason}"
            raise StageError(message)
        networks += [entry.folder for entry in done]
    return networks


def _notes(networks: Sequence[Path], set_aside: Sequence[SetAside], plan: Plan) -> tuple[str, ...]:
    """Tell what did not go as planned."""
    from sarcofuse.segment.training import HISTORY

    notes = [f"segment: no network learnt from patient {s.patient_id}: {s.reason}" for s in set_aside]
    for fold, network in enumerate(networks):
        history = read_json(network / HISTORY)
        if history["attempts"] > 1:
            notes.append(f"segment: training of fold {fold} diverged and began again with half the learning rate")
        if history["stepped_down"]:
            notes.append(f"segment: the GPU was out of memory in fold {fold}, which went on with less: {'; '.join(history['stepped_down'])}")
        if fold == 0 and history["start"] and plan.start != own_digest():
            notes.append(f"segment: training started from given weights: {history['start']}. Out-of-fold masks are honest only if these weights never learnt from patients of this study")
    return tuple(notes)


def train_task(folder: Path, planned: Path, fold: int, training: Mapping[str, Path], held_out: Mapping[str, Path], start: Path | None, gpus: int) -> None:
    """Train the bundle of one fold, or go on where it was left; an Engine task.

    Parameters
    ----------
    folder : Path
        Where weights.safetensors, history.json and patients.json (who was seen, who was held out; stays in the cache) go.
    planned : Path
        Folder of `plan_task`.
    fold : int
        Which fold.
    training, held_out : mapping of str to Path
        Folders of `array_task` by patient, in order of the names.
    start : Path or None
        Weights to start from.
    gpus : int
        How many GPUs the machine has.
    """
    from sarcofuse.segment.auto3dseg import ALGORITHM, TEMPLATES
    from sarcofuse.segment.template.segresnetds.scripts.algo import SegresnetdsAlgo

    algorithm = SegresnetdsAlgo(str(TEMPLATES))
    algorithm.output_path = str(planned / f"{ALGORITHM}_{fold}")
    files = {name: [a / "case.npz" for a in some.values()] for name, some in (("training", training), ("held_out", held_out))}
    algorithm.train({"folder": folder, "fold": fold, "start": start, "gpus": gpus, **files})
    write_json({"fold": fold, "training": list(training), "held_out": list(held_out)}, folder / "patients.json")


def _model(planned: Path, networks: Sequence[Path], engine: Engine) -> Path:
    key = digest("segment-model", VERSION, FORMAT, planned.name, [n.name for n in networks])
    return _only(engine, "segment-model", model_task, Task("model", key, (planned, list(networks))))


def model_task(folder: Path, planned: Path, networks: Sequence[Path]) -> None:
    """Put plan and weights together as the folder of a Segmenter; an Engine task.

    Parameters
    ----------
    folder : Path
        Where to.
    planned : Path
        Folder of `plan_task`.
    networks : sequence of Path
        Folders of `train_task`, in order of the folds.
    """
    from sarcofuse.segment.training import HISTORY, WEIGHTS

    plan, histories = read_plan(planned / PLAN), [read_json(network / HISTORY) for network in networks]
    shutil.copyfile(planned / PLAN, folder / PLAN)
    items: list[dict[str, Any]] = []
    for fold, network in enumerate(networks):
        name, scores = f"fold_{fold}.safetensors", histories[fold]["held_out_dice"]
        shutil.copyfile(network / WEIGHTS, folder / name)
        items.append({"file": name, "sha256": digest_file(folder / name), "held_out_patients": len(scores), "held_out_dice": sum(scores) / len(scores)})
        if (network / PSEUDO).exists():
            items[-1]["pseudo"] = read_json(network / PSEUDO)
    card: dict[str, Any] = {
        "format": FORMAT,
        "network": {"class": "monai.networks.nets.SegResNetDS", "arguments": plan.network},
        "ensemble": "mean probability",
        "plan": digest_file(folder / PLAN),
        "folds": items,
        "versions": {k: v for k, v in versions().items() if k in ("sarcofuse", "torch", "monai")},
    }
    if plan.start:
        card["start"] = {"sha256": plan.start, "taken": histories[0]["start"]}
    write_json(card, folder / CARD)


def _only(engine: Engine, stage: str, function: Any, task: Task) -> Path:  # noqa: ANN401 - any task function
    done, lost = engine.run(stage, function, [task], unit="step")
    if lost:
        message = f"segment: {lost[0].patient_id} failed: {lost[0].reason}"
        raise StageError(message)
    return done[0].folder
