"""Feature tables on disk."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sarcofuse.errors import CohortError
from sarcofuse.records import FeatureTable
from sarcofuse.runtime.files import atomic_file

if TYPE_CHECKING:
    import pyarrow as pa

IDENTIFIER = "patient_id"
MISSING = ("", "NA", "na", "N/A", "n/a", "#N/A", "NaN", "nan", "NAN", "NULL", "null", "None", "none", "-", "--", ".", "?")
INDEX = "__index_level_"  # what pandas calls an index without a name in Parquet
BLOCK_SIZE = 1 << 25  # bytes of a CSV that are read at once; a line must fit
ROWS = 16384  # of Parquet that are read at once
SHOWN = 5


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


@dataclass
class _Content:
    """What a file holds: identifiers, names of the other columns, their values, and text where numbers should be, by column."""

    patient_ids: list[str]
    names: list[str]
    values: NDArray[np.float64]
    text: dict[str, tuple[str, str]]


def read_table(file: Path, block: str) -> FeatureTable:
    """Read a feature table with a patient_id column; every other column must be numeric.

    Numbers are read to the last bit. Empty cells, NA, NaN, null, none, dashes, a dot or a question mark stand for missing values. Tables with semicolons or tabs may have decimal commas.

    Parameters
    ----------
    file : Path
        ``.parquet``, or comma-, semicolon- or tab-separated text (UTF-8, or UTF-16 with a byte order mark).
    block : str
        Name of the block.

    Returns
    -------
    FeatureTable
        Rows in order of patient_id.

    Raises
    ------
    CohortError
        If the file cannot be read, has no patient_id, names a patient or a feature twice, or holds text or infinities; everything that is wrong is told.
    """
    import pyarrow as pa

    about = f"feature table {file} of block {block}"
    try:
        found = _read_parquet(file, about) if file.suffix.lower() == ".parquet" else _read_text(file, about)
    except (OSError, pa.ArrowException, UnicodeError, csv.Error) as error:
        reason = "it does not exist" if not file.exists() else str(error).splitlines()[0] if str(error) else type(error).__name__
        message = f"{about} cannot be read: {reason}"
        raise CohortError(message) from error
    problems = _problems(found)
    if problems:
        message = f"{about} has {'; '.join(problems)}"
        raise CohortError(message)
    order = sorted(range(len(found.patient_ids)), key=found.patient_ids.__getitem__)
    values = found.values if order == list(range(len(order))) else found.values[order]
    return FeatureTable(block, tuple(found.patient_ids[i] for i in order), tuple(found.names), values)


def _problems(found: _Content) -> list[str]:
    problems = []
    nobody = [i for i, p in enumerate(found.patient_ids) if not p.strip()]
    if nobody:
        problems.append(f"no patient_id in {len(nobody)} rows, the first being row {nobody[0] + 1}")
    for kind, labels in (("patient", found.patient_ids), ("feature", found.names)):
        twice = _twice(labels)
        if twice:
            more = f" and {len(twice) - 1} more that stand there more than once" if len(twice) > 1 else ""
            problems.append(f"{kind} {twice[0]} twice{more}; expected every one once")
    if any(not n.strip() for n in found.names):
        problems.append("a column without a name, which most often numbers the rows; name it or delete it")
    if found.text:
        shown = [f"{name} ({value!r}, patient {patient})" for name, (value, patient) in list(found.text.items())[:SHOWN]]
        problems.append(f"text in {len(found.text)} columns that should be numbers: {', '.join(shown)}{', ...' if len(found.text) > SHOWN else ''}; leave the cell empty where there is no value")
    infinite = np.isinf(found.values)
    if infinite.any():
        row, column = np.argwhere(infinite)[0]
        problems.append(f"an infinite value: patient {found.patient_ids[row]}, feature {found.names[column]}, {np.count_nonzero(infinite)} in all")
    return problems


def _twice(labels: Sequence[str]) -> list[str]:
    seen, twice = set[str](), dict[str, None]()
    for label in labels:
        if label in seen:
            twice[label] = None
        seen.add(label)
    return list(twice)


def _split_columns(columns: Sequence[str], about: str) -> tuple[int, list[int]]:
    """Give the place of the identifier, and of the features."""
    if IDENTIFIER not in columns:
        message = f"{about} has no column {IDENTIFIER}; its columns begin {list(columns[:SHOWN])}. Name the column of identifiers so"
        raise CohortError(message)
    at = list(columns).index(IDENTIFIER)
    return at, [j for j, name in enumerate(columns) if j != at and not name.startswith(INDEX)]


def _read_parquet(file: Path, about: str) -> _Content:
    import pyarrow as pa
    from pyarrow import parquet

    with parquet.ParquetFile(file, memory_map=True, pre_buffer=False) as source:
        names, types = source.schema_arrow.names, source.schema_arrow.types
        at, others = _split_columns(names, about)
        values = np.empty((source.metadata.num_rows, len(others)))
        patient_ids: list[str] = []
        text: dict[str, tuple[str, str]] = {}
        plain = [t if not isinstance(t, pa.DictionaryType) else t.value_type for t in types]
        numeric = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_decimal, pa.types.is_null)
        wordy = {j for j in others if not any(check(plain[j]) for check in numeric)}
        for batch in source.iter_batches(ROWS, use_threads=False):
            start = len(patient_ids)
            patient_ids += ["" if p is None else p for p in batch.column(at).cast(pa.string()).to_pylist()]
            for k, j in enumerate(others):
                column = batch.column(j)
                if j in wordy:
                    found = next(((str(v), p) for v, p in zip(column.to_pylist(), patient_ids[start:], strict=True) if v is not None), None)
                    values[start : len(patient_ids), k] = np.nan
                    if found is not None:
                        text.setdefault(names[j], found)
                else:
                    values[start : len(patient_ids), k] = _numbers(column)
    return _Content(patient_ids, [names[j] for j in others], values, text)


def _numbers(column: pa.Array) -> NDArray[np.float64]:
    import pyarrow as pa

    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    found: NDArray[np.float64] = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return found


def _read_text(file: Path, about: str) -> _Content:
    """Read a text table as numbers; once more as text where that fails, to say what is wrong."""
    import pyarrow as pa

    encoding, separator, columns = _head(file)
    at, others = _split_columns(columns, about)
    names, content = [columns[j] for j in others], (file, encoding, separator, len(columns))
    for decimal in (".", ",") if separator != "," else (".",):
        patient_ids: list[str] = []
        parts = [np.empty((0, len(others)))]
        try:
            for batch in _batches(content, at, decimal):
                patient_ids += batch.column(at).to_pylist()
                part = np.empty((batch.num_rows, len(others)))
                for k, j in enumerate(others):
                    part[:, k] = batch.column(j).to_numpy(zero_copy_only=False)
                parts.append(part)
        except pa.ArrowInvalid as error:
            if "conversion error" not in str(error):
                raise
            continue
        return _Content(patient_ids, names, np.concatenate(parts) if len(parts) > 2 else parts[-1], {})
    return _read_words(content, at, others, names)


def _head(file: Path) -> tuple[str, str, list[str]]:
    """Give encoding, separator and names of the columns."""
    with file.open("rb") as stream:
        mark = stream.read(2)
    encoding = "utf-16" if mark in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    with file.open(encoding=encoding, newline="") as stream:
        first = stream.readline()
        separator = max(",;\t", key=first.count)
        stream.seek(0)
        columns = next(csv.reader(stream, delimiter=separator), [])
    return encoding, separator, [c.strip() for c in columns]


def _batches(content: tuple[Path, str, str, int], at: int, decimal: str | None) -> Iterator[pa.RecordBatch]:
    """Read columns under their numbers, so that they may be called anything; all as text without a decimal sign."""
    import pyarrow as pa
    from pyarrow import csv as text

    file, encoding, separator, count = content
    names = [str(j) for j in range(count)]
    kinds = {name: pa.string() if decimal is None or j == at else pa.float64() for j, name in enumerate(names)}
    reader = text.open_csv(
        file,
        read_options=text.ReadOptions(use_threads=False, block_size=BLOCK_SIZE, column_names=names, skip_rows_after_names=1, encoding="utf-8" if encoding == "utf-8-sig" else encoding),
        parse_options=text.ParseOptions(delimiter=separator, newlines_in_values=True),
        convert_options=text.ConvertOptions(column_types=kinds, null_values=list(MISSING), strings_can_be_null=False, decimal_point=decimal or "."),
    )
    with reader:
        yield from reader


def _read_words(content: tuple[Path, str, str, int], at: int, others: list[int], names: list[str]) -> _Content:
    """Read cell by cell, more patiently, and find those that are no numbers."""
    patient_ids: list[str] = []
    text: dict[str, tuple[str, str]] = {}
    parts = [np.empty((0, len(others)))]
    for batch in _batches(content, at, None):
        start = len(patient_ids)
        patient_ids += batch.column(at).to_pylist()
        part = np.full((batch.num_rows, len(others)), np.nan)
        for k, (name, j) in enumerate(zip(names, others, strict=True)):
            for i, cell in enumerate(batch.column(j).to_pylist()):
                value = _number(cell, comma=content[2] != ",")
                if value is None:
                    text.setdefault(name, (cell, patient_ids[start + i]))
                else:
                    part[i, k] = value
        parts.append(part)
    return _Content(patient_ids, names, np.concatenate(parts), text)


def _number(cell: str, *, comma: bool) -> float | None:
    """Read a cell as a number, true and false as 1 and 0; None for any other text."""
    cell = cell.strip()
    if cell in MISSING:
        return float("nan")
    if cell.lower() in ("true", "false"):
        return float(cell.lower() == "true")
    if comma and cell.count(",") == 1 and "." not in cell:
        cell = cell.replace(",", ".")
    try:
        return None if "_" in cell else float(cell)
    except ValueError:
        return None
