"""Feature tables on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sarcofuse.errors import CohortError
from sarcofuse.records import FeatureTable
from sarcofuse.runtime.files import atomic_file


def write_table(table: FeatureTable, file: Path) -> None:
    """Write a feature table atomically as Parquet or CSV, by the file's ending.

    Parameters
    ----------
    table : FeatureTable
        What to write.
    file : Path
        ``.parquet`` or ``.csv``.
    """
    frame = table.to_frame()
    with atomic_file(file) as part:
        if file.suffix == ".parquet":
            frame.to_parquet(part)
        else:
            frame.to_csv(part, lineterminator="\n")


def read_table(file: Path, block: str) -> FeatureTable:
    """Read a feature table with a patient_id column; every other column must be numeric.

    Parameters
    ----------
    file : Path
        ``.parquet`` or ``.csv``.
    block : str
        Name of the block.

    Returns
    -------
    FeatureTable
        Rows in order of patient_id.

    Raises
    ------
    CohortError
        If the file cannot be read, has no patient_id, names a patient or a feature twice, or holds text or infinities.
    """
    import pandas as pd

    try:
        frame = pd.read_parquet(file) if file.suffix == ".parquet" else pd.read_csv(file, dtype={"patient_id": str})
    except Exception as error:
        message = f"feature table {file} of block {block} cannot be read: {error}"
        raise CohortError(message) from error
    if frame.index.name == "patient_id":
        frame = frame.reset_index()
    if "patient_id" not in frame.columns:
        message = f"feature table {file} of block {block} has no column patient_id; its columns begin {list(frame.columns[:5])}"
        raise CohortError(message)
    frame = frame.set_index(frame.pop("patient_id").astype(str))
    for kind, labels in (("patient", frame.index), ("feature", frame.columns)):
        if labels.has_duplicates:
            message = f"feature table {file} of block {block} has {kind} {labels[labels.duplicated()][0]} twice"
            raise CohortError(message)
    text = [c for c in frame.columns if not pd.api.types.is_numeric_dtype(frame[c])]
    if text:
        message = f"feature table {file} of block {block} has text in {len(text)} columns that should be numbers: {', '.join(map(str, text[:5]))}"
        raise CohortError(message)
    frame = frame.sort_index()
    values = frame.to_numpy(dtype=np.float64, na_value=np.nan)
    if np.isinf(values).any():
        at = np.argwhere(np.isinf(values))[0]
        message = f"feature table {file} of block {block} has an infinite value: patient {frame.index[at[0]]}, feature {frame.columns[at[1]]}"
        raise CohortError(message)
    return FeatureTable(block, tuple(frame.index), tuple(map(str, frame.columns)), values)
