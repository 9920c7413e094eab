"""What a study tells of its automatic masks, and carries of their uncertainty into the features."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sarcofuse.config import RadiomicsConfig
from sarcofuse.records import Case, FeatureTable, MaskQuality
from sarcofuse.runtime import Engine, atomic_file


def to_review(quality: Sequence[MaskQuality], below: float) -> list[str]:
    """Warn of masks that a person should look at.

    Parameters
    ----------
    quality : sequence of MaskQuality
        All automatic masks.
    below : float
        The limit of the predicted Dice.

    Returns
    -------
    list of str
        A warning with their number and the worst of them, or nothing.
    """
    worst = sorted((q for q in quality if q.review and q.predicted_dice is not None), key=lambda q: (q.predicted_dice, q.patient_id))
    if not worst:
        return []
    named = ", ".join(f"patient {q.patient_id} ({q.predicted_dice:.2f})" for q in worst[:5])
    why = f"the predicted Dice is below {below:g}, or another structure is almost as likely to be the tumour"
    return [f"{len(worst)} of {len(quality)} automatic masks should be looked at ({why}), worst first: {named}{' ...' if len(worst) > 5 else ''}"]


def scanners(file: Path) -> dict[str, str]:
    """Read the column ``scanner`` of cohort.csv, by which masks are judged where it is there; it is no clinical variable.

    Parameters
    ----------
    file : Path
        cohort.csv.

    Returns
    -------
    dict of str to str
        Scanner by patient; empty where there is no such column.
    """
    from sarcofuse.cohort.text import missing, read_text

    table = read_text(file)
    if "scanner" not in table.columns:
        return {}
    return {row["patient_id"]: row["scanner"] for row in table.rows if row.get("patient_id") and not missing(row.get("scanner", ""))}


def write_spread(cases: Sequence[Case], table: FeatureTable, config: RadiomicsConfig, engine: Engine, file: Path) -> None:
    """Take the radiomic features within every network's own mask as well, and write how far they move: a row a patient and feature.

    Columns: ``patient_id``, ``feature``, ``value`` (within the ensemble's mask), ``low``, ``high``, ``sd`` over the networks, ``networks`` (in whose mask it is defined) and ``relative``, the sd
    over the feature's deviation among the training patients.

    Parameters
    ----------
    cases : sequence of Case
        With the masks that features are taken from; those without masks of single networks are passed over.
    table : FeatureTable
        Radiomic features of the cases.
    config : RadiomicsConfig
        How they were taken.
    engine : Engine
        Runs and caches the work, one task a patient and network.
    file : Path
        Where to: a parquet file.
    """
    import pandas as pd

    from sarcofuse.radiomics import extract
    from sarcofuse.segment import fold_cases

    measured = [extract(own, config, engine)[0] for own in fold_cases([c for c in cases if c.patient_id in set(table.patient_ids)]).values()]
    who = sorted({p for t in measured for p in t.patient_ids})
    training = table.rows([c.patient_id for c in cases if c.split == "train" and c.patient_id in set(table.patient_ids)])
    usual = _deviation(training)
    rows = []
    for patient in who:
        values = np.concatenate([t.rows([patient]) for t in measured if patient in t.patient_ids])
        there = np.isfinite(values).sum(axis=0)
        low, high = (np.where(there > 0, found, np.nan) for found in (np.fmin.reduce(values, axis=0), np.fmax.reduce(values, axis=0)))
        sd = _deviation(values)
        with np.errstate(divide="ignore", invalid="ignore"):
            relative = np.where(usual > 0, sd / usual, np.nan)
        columns = {"value": table.rows([patient])[0], "low": low, "high": high, "sd": sd, "networks": there, "relative": relative}
        rows.append(pd.DataFrame({"patient_id": patient, "feature": table.names, **columns}))
    if rows:
        with atomic_file(file) as part:
            pd.concat(rows, ignore_index=True).to_parquet(part)


def _deviation(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Give the sample deviation of each column's finite values; NaN of fewer than two."""
    there = np.isfinite(values)
    count = there.sum(axis=0)
    mean = np.where(there, values, 0.0).sum(axis=0) / np.maximum(count, 1)
    squares = np.where(there, (values - mean) ** 2, 0.0).sum(axis=0)
    return np.where(count > 1, np.sqrt(squares / np.maximum(count - 1, 1)), np.nan)
