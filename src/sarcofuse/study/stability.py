"""Which radiomic features are stable: training patients measured again, for the filter inside every fold."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sarcofuse.config import RadiomicsConfig, StabilityConfig
from sarcofuse.records import Case, FeatureTable
from sarcofuse.runtime import Engine, atomic_file, digest_file

if TYPE_CHECKING:
    from sarcofuse.models import Repeats

BLOCK = "radiomic"


def perturb_training(
    cases: Sequence[Case], given: Sequence[Case], table: FeatureTable, radiomics: RadiomicsConfig, config: StabilityConfig, engine: Engine, seed: int, folder: Path
) -> tuple[Repeats, ...]:
    """Perturb images and masks of training patients, report how far each radiomic feature outlasts it, and give what each fold needs to judge for itself.

    No outcome is looked at, and no patient of another split.

    Parameters
    ----------
    cases : sequence of Case
        With the masks that features are taken from; those of other splits are passed over.
    given : sequence of Case
        The same patients with the given masks, where features are taken from automatic ones; else empty.
    table : FeatureTable
        Radiomic features of the cases.
    radiomics : RadiomicsConfig
        How they were taken.
    config : StabilityConfig
        How to perturb, and what is stable enough.
    engine : Engine
        Runs and caches the work, one task a patient.
    seed : int
        Seed of the perturbations.
    folder : Path
        The run folder: ``stability.csv`` and ``features/radiomic-perturbed.npy`` are written there.

    Returns
    -------
    tuple of Repeats
        Features under perturbation; with `masks` also those within out-of-fold and given masks.
    """
    from sarcofuse.models import Repeats
    from sarcofuse.radiomics import extract, mask_agreement, perturb_cases, stability
    from sarcofuse.signature import StabilityFilter

    training = sorted((c for c in cases if c.split == "train" and c.patient_id in set(table.patient_ids)), key=lambda c: c.patient_id)
    tables, _ = perturb_cases(training, radiomics, engine, config.perturbations, seed=seed, changes=config.changes)  # who fails here has failed in radiomics, and is set aside there
    who = tuple(tables)
    keeper = StabilityFilter(threshold=config.threshold, bound=config.bound, form=config.form)
    frame = stability(list(tables.values())).to_frame()
    found = [_keep(np.stack([t.values for t in tables.values()]), folder / "features" / f"{BLOCK}-perturbed.npy")]
    drawn = [c for c in given if c.patient_id in tables]
    if len(drawn) >= 2:
        by_hand, _ = extract(drawn, radiomics, engine)
        frame = frame.join(mask_agreement(table, by_hand).to_frame().add_prefix("masks_"))
        if config.masks:
            both = np.full((len(who), 2, len(table.names)), np.nan)
            at = [who.index(p) for p in by_hand.patient_ids]
            both[at, 0], both[at, 1] = table.rows(by_hand.patient_ids), by_hand.values
            found.append(_keep(both, folder / "features" / f"{BLOCK}-masks.npy"))
    column = f"icc{config.form.replace(',', '')}" + "_low" * config.bound
    frame.insert(0, "stable", (frame[column] >= config.threshold) & ((frame[f"masks_{column}"] >= config.threshold) if len(found) > 1 else True))
    with atomic_file(folder / "stability.csv") as part:
        frame.to_csv(part, lineterminator="\n")
    return tuple(Repeats(who, file, digest_file(file), keeper) for file in found)


def _keep(values: NDArray[np.float64], file: Path) -> Path:
    with atomic_file(file) as part, part.open("wb") as stream:
        np.save(stream, values, allow_pickle=False)
    return file
