"""Other Auto3DSeg algorithm templates: AutoRunner trains them in a process of its own, and their masks come back."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sarcofuse.config.segment import SegmentConfig
from sarcofuse.errors import ConfigError, MaskError, StageError
from sarcofuse.records import Case, MaskQuality, MaskSource, SetAside
from sarcofuse.runtime import Engine, Task, digest, digest_file, read_json, write_json
from sarcofuse.segment.distributed import PARENT
from sarcofuse.segment.folds import assign_folds

VERSION = 1
MODULE = "sarcofuse.segment.autorun"
LOG = "upstream.log"


def segment_by_templates(cases: Sequence[Case], config: SegmentConfig, engine: Engine, seed: int) -> tuple[list[Case], list[MaskQuality], list[SetAside]]:
    """Train the algorithm templates of `config.templates` by AutoRunner and give every case a mask, out-of-fold for training patients.

    Analysis, generation, training and prediction are upstream's; the best algorithm of each fold counts, as in AlgoEnsembleBestByFold. Masks are taken as they
    come, without refinement. All of it is one piece of work: stopped half way it begins again.

    Parameters
    ----------
    cases : sequence of Case
        Prepared patients of all splits; training patients with a mask are learnt from.
    config : SegmentConfig
        ``templates``, ``folds`` and ``device`` count here.
    engine : Engine
        Runs and caches the work.
    seed : int
        Seed of the folds.

    Returns
    -------
    cases : list of Case
        With the automatic mask, in the same order.
    quality : list of MaskQuality
        One a case.
    set_aside : list of SetAside
        Cases in which nothing was found.

    Raises
    ------
    ConfigError
        If the folder holds no algorithm template.
    StageError
        If fewer training patients than folds have a mask, or AutoRunner fails.
    """
    content = templates_digest(config.templates or Path())
    learnt = sorted((c for c in cases if c.split == "train" and c.mask is not None), key=lambda c: c.patient_id)
    if len(learnt) < config.folds:
        message = f"segment: {len(learnt)} training patients have a mask, but segment.folds is {config.folds}; expected at least one a fold. Give more masks, or lower segment.folds"
        raise StageError(message)
    folds = assign_folds([c.patient_id for c in learnt], config.folds, seed)
    ordered = [*learnt, *sorted((c for c in cases if c.patient_id not in folds), key=lambda c: c.patient_id)]
    known = [[c.image_digest, c.mask_digest if c.patient_id in folds else None, folds.get(c.patient_id)] for c in ordered]
    key = digest("segment-upstream", VERSION, content, config.folds, config.device, known)
    task = Task("templates", key, (ordered, folds, (config.templates or Path()).resolve(), config))
    done, lost = engine.run("segment-upstream", autorun_task, [task], unit="step")
    if lost:
        message = f"segment: the templates in {(config.templates or Path()).name} could not be trained: {lost[0].reason}"
        raise StageError(message)
    numbers = {c.patient_id: k for k, c in enumerate(ordered)}
    return _masked(cases, folds, numbers, done[0].folder, engine)


def templates_digest(folder: Path) -> str:
    """Give what masks by a folder of templates depend on.

    Parameters
    ----------
    folder : Path
        Holds a folder an algorithm, each with scripts/algo.py.

    Returns
    -------
    str
        SHA-256 of its files.

    Raises
    ------
    ConfigError
        If there is no algorithm in it.
    """
    if not list(folder.glob("*/scripts/algo.py")):
        message = (
            f"segment.templates: {folder} holds no Auto3DSeg algorithm; expected ALGORITHM/scripts/algo.py in it. Give the folder algorithm_templates of MONAI's research-contributions, or one like it"
        )
        raise ConfigError(message)
    files = sorted(f for f in folder.rglob("*") if f.is_file() and "__pycache__" not in f.parts)
    return digest("templates", [[f.relative_to(folder).as_posix(), digest_file(f)] for f in files])


def autorun_task(folder: Path, cases: Sequence[Case], folds: Mapping[str, int], templates: Path, config: SegmentConfig) -> None:
    """Run AutoRunner in a process of its own and keep its masks; an Engine task.

    Parameters
    ----------
    folder : Path
        Where 0.npy, 1.npy ... (what is tumour, shape (z, y, x)) and found.json (mean probability in each) go.
    cases : sequence of Case
        Training cases first, then the others.
    folds : mapping of str to int
        Fold of each training patient.
    templates : Path
        Folder of the templates.
    config : SegmentConfig
        Settings.

    Raises
    ------
    StageError
        If it fails.
    """
    from sarcofuse.segment.network import pick_device

    with tempfile.TemporaryDirectory(prefix="sarcofuse-") as room:
        work = Path(room)
        if " " in room:  # upstream splits its commands at spaces
            message = f"segment.templates: the folder for temporary files, {work.parent}, holds a space, which upstream's commands cannot bear. Set TMPDIR to another"
            raise StageError(message)
        rows = [_lay_out(work, k, case, folds.get(case.patient_id)) for k, case in enumerate(cases)]
        job = {"rows": rows, "folds": config.folds, "templates": str(templates), "device": pick_device(config.device), "out": str(folder)}
        write_json(job, work / "job.json")
        settings = {**os.environ, "PATH": os.pathsep.join([str(_interpreter(work)), str(Path(sys.executable).parent), os.environ.get("PATH", "")]), PARENT: str(os.getpid())}
        if job["device"] == "cpu":
            settings["CUDA_VISIBLE_DEVICES"] = ""
        with (work / LOG).open("w", encoding="utf8") as log:
            done = subprocess.run([sys.executable, "-m", MODULE, str(work / "job.json")], cwd=work, env=settings, stdout=log, stderr=subprocess.STDOUT, check=False)
        if done.returncode:
            last = [line for line in (work / LOG).read_text(encoding="utf8", errors="replace").splitlines() if line.strip()]
            message = f"segment: Auto3DSeg's AutoRunner failed on the templates in {templates.name}: {' | '.join(last[-3:]) or f'exit code {done.returncode}'}"
            raise StageError(message)


def _lay_out(work: Path, number: int, case: Case, fold: int | None) -> dict[str, Any]:
    """Copy a case under a name that says nothing of the patient."""
    row: dict[str, Any] = {"image": f"{number:05d}.nii.gz", "fold": fold}
    shutil.copyfile(case.image, work / row["image"])
    if fold is not None and case.mask is not None:
        row["label"] = f"{number:05d}_label.nii.gz"
        shutil.copyfile(case.mask, work / row["label"])
    return row


def _interpreter(work: Path) -> Path:
    """Make a folder in which `python`, as upstream calls it, is the interpreter that runs this."""
    folder = work / "bin"
    folder.mkdir()
    if os.name == "posix":
        (folder / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n', encoding="utf8")
        (folder / "python").chmod(0o755)
    return folder


def _masked(cases: Sequence[Case], folds: Mapping[str, int], numbers: Mapping[str, int], found: Path, engine: Engine) -> tuple[list[Case], list[MaskQuality], list[SetAside]]:
    confidence = read_json(found / "found.json")
    tasks = [
        Task(c.patient_id, digest("segment-upstream-mask", VERSION, found.name, numbers[c.patient_id], c.image_digest, c.mask_digest), (c, found / f"{numbers[c.patient_id]}.npy")) for c in cases
    ]
    done, set_aside = engine.run("segment-upstream-mask", mask_task, tasks)
    by_id = {c.patient_id: c for c in cases}
    masked, quality = [], []
    for entry in done:
        case, judged = by_id[entry.patient_id], read_json(entry.folder / "quality.json")
        source: MaskSource = "out-of-fold" if entry.patient_id in folds else "ensemble"
        masked.append(replace(case, mask=entry.folder / "mask.nii.gz", mask_digest=judged.pop("mask_digest"), mask_source=source))
        quality.append(MaskQuality(case.patient_id, case.split, source, agreement=None, confidence=confidence[numbers[entry.patient_id]], **judged))
    return masked, quality, set_aside


def mask_task(folder: Path, case: Case, file: Path) -> None:
    """Put what was found on the prepared grid and measure it; an Engine task.

    Parameters
    ----------
    folder : Path
        Where mask.nii.gz and quality.json go.
    case : Case
        Whose it is.
    file : Path
        What is tumour, shape (z, y, x).

    Raises
    ------
    MaskError
        If nothing was found, or what was found is not on the grid of the image.
    """
    import numpy as np

    from sarcofuse.imaging import content_digest, read_mask, read_volume, write_mask
    from sarcofuse.records import Mask
    from sarcofuse.segment.quality import measured

    volume, tumour = read_volume(case.image, case.patient_id), np.load(file, allow_pickle=False)
    if tumour.shape != volume.array.shape:
        message = f"the templates' mask has shape {tumour.shape}, expected {volume.array.shape}, that of the prepared image. Let InferClass give masks on the grid of the image it is given"
        raise MaskError(case.patient_id, message)
    if not tumour.any():
        message = "no tumour found by the templates' networks. Draw the mask by hand"
        raise MaskError(case.patient_id, message)
    mask = Mask(tumour.astype(np.uint8), volume.geometry)
    write_mask(mask, folder / "mask.nii.gz")
    truth = None if case.mask is None else read_mask(case.mask, case.patient_id).array
    write_json({**measured(mask, truth), "mask_digest": content_digest(mask)}, folder / "quality.json")
