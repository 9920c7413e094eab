"""Which deep features are stable: training patients looked at again, their images and masks perturbed as for radiomic features."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sarcofuse.config import DeepConfig, PerturbConfig, StabilityConfig
from sarcofuse.records import Case, FeatureTable, Mask, Volume
from sarcofuse.runtime import Engine, Task, atomic_file, digest, digest_file

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sarcofuse.deep.look import Source
    from sarcofuse.models import Repeats

BLOCK, STAGE, VERSION = "deep", "deep-stability", "deep stability 1"
EVERYWHERE = 1e4  # mm; the network may look anywhere, so the whole image is perturbed


@dataclass(frozen=True, slots=True)
class Again:
    """How training patients are looked at again.

    Attributes
    ----------
    perturbations : int
        How many a patient.
    seed : int
        Seed of everything drawn.
    changes : PerturbConfig
        What the perturbations are, and how strong.
    """

    perturbations: int
    seed: int
    changes: PerturbConfig


def perturb_deep(
    cases: Sequence[Case], table: FeatureTable, deep: DeepConfig, config: StabilityConfig, engine: Engine, seed: int, folder: Path, files: tuple[Path | None, Path | None]
) -> tuple[tuple[Repeats, ...], str]:
    """Look at training patients again under perturbation, report how far each deep feature outlasts it, and give what each fold needs to judge for itself.

    No outcome is looked at, and no patient of another split.

    Parameters
    ----------
    cases : sequence of Case
        With the masks that features are taken from; those of other splits are passed over.
    table : FeatureTable
        Deep features of the cases; only its features are judged.
    deep : DeepConfig
        How they were taken.
    config : StabilityConfig
        How to perturb, and what is stable enough.
    engine : Engine
        Runs and caches the work, one task a patient.
    seed : int
        Seed of the perturbations.
    folder : Path
        The run folder: ``stability-deep.csv`` and ``features/deep-perturbed.npy`` are written there.
    files : (Path or None, Path or None)
        Weights file, and folder of the segmenter.

    Returns
    -------
    repeats : tuple of Repeats
        Features as they are and under perturbation.
    note : str
        What it took, and how many features are stable.
    """
    from sarcofuse.deep.stage import find_source
    from sarcofuse.models import Repeats
    from sarcofuse.signature import StabilityFilter

    start, there = time.perf_counter(), set(table.patient_ids)
    training = sorted((c for c in cases if c.split == "train" and c.patient_id in there and c.mask is not None), key=lambda c: c.patient_id)
    source, settings = find_source(deep, *files), deep.model_copy(update={"weights": None, "device": "auto"})
    again = Again(config.deep, seed, config.changes)
    fixed = (VERSION, settings, source.digest, source.device, again.perturbations, seed, config.changes)
    tasks = [Task(c.patient_id, digest(*fixed, c.image_digest, c.mask_digest), (c.patient_id, c.image, c.mask, settings, source, again)) for c in training]
    done, failed = engine.run(STAGE, _look_again, tasks)
    at = [int(name.rpartition("_")[2]) - 1 for name in table.names]
    values = [np.load(entry.folder / "rows.npy", allow_pickle=False)[:, at] for entry in done]
    who = tuple(entry.patient_id for entry in done)
    stable = _report(values, table.names, config, folder / "stability-deep.csv")
    file = folder / "features" / f"{BLOCK}-perturbed.npy"
    with atomic_file(file) as part, part.open("wb") as stream:
        np.save(stream, np.stack(values), allow_pickle=False)
    keeper = StabilityFilter(threshold=config.threshold, bound=config.bound, form=config.form)
    note = (
        f"{stable} of {len(table.names)} deep features outlast {config.deep} perturbations in {len(who)} training patients; that took {config.deep + 1} looks a patient, "
        f"{time.perf_counter() - start:.0f} s in this run" + (f"; {len(failed)} could not be looked at again, such as {failed[0].patient_id}: {failed[0].reason}" if failed else "")
    )
    return (Repeats(who, file, digest_file(file), keeper),), note


def _report(values: Sequence[NDArray[np.float64]], names: tuple[str, ...], config: StabilityConfig, file: Path) -> int:
    """Write how far each feature outlasts the perturbations; give how many are stable."""
    from sarcofuse.radiomics import stability

    steps = tuple(f"look {i}" for i in range(config.deep + 1))
    frame = stability([FeatureTable(BLOCK, steps, names, rows) for rows in values]).to_frame()
    column = f"icc{config.form.replace(',', '')}" + "_low" * config.bound
    frame.insert(0, "stable", frame[column] >= config.threshold)
    with atomic_file(file) as part:
        frame.to_csv(part, lineterminator="\n")
    return int(frame["stable"].sum())


def _look_again(folder: Path, patient_id: str, image: Path, mask: Path, config: DeepConfig, source: Source, again: Again) -> None:
    """Write one patient's deep features as they are and under each perturbation (a task of the engine)."""
    from sarcofuse.deep.look import measure
    from sarcofuse.imaging import read_mask, read_volume
    from sarcofuse.radiomics.perturb import AS_GIVEN, Scene, plan

    volume, region = read_volume(image, patient_id), read_mask(mask, patient_id)
    x, y, z = volume.geometry.spacing
    scene = Scene(volume.array, region.array > 0, (z, y, x), (EVERYWHERE,) * 3, again.changes, again.seed)
    steps, found = [AS_GIVEN, *plan(again.perturbations, again.changes)], {}
    for array, own, masks in scene.groups(steps):
        changed = Volume(np.ascontiguousarray(array, dtype=np.float32), volume.geometry)
        for step, inside in zip(own, masks, strict=True):
            found[step.name] = measure(patient_id, changed, Mask(inside.astype(np.uint8), volume.geometry), config, source).features
    np.save(folder / "rows.npy", np.stack([found[s.name] for s in steps]), allow_pickle=False)
