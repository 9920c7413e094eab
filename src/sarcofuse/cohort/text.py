"""Tables as people save them: comma, semicolon or tab, with or without a byte order mark; all cells as text."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path

from sarcofuse.errors import CohortError

MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "-", "--", ".", "?"})


@dataclass(frozen=True, slots=True)
class TextTable:
    """A table whose cells are still text.

    Attributes
    ----------
    columns : tuple of str
        Names, without surrounding blanks.
    rows : tuple of dict
        Cells by column, without surrounding blanks.
    lines : tuple of int
        Line of the file that each row begins on, the header being line 1.
    ragged : dict of int to int
        Number of cells of those rows (by position) that have more or fewer than the header.
    decimal_comma : bool
        Whether numbers may be written with a comma (cells are parted by semicolons or tabs).
    """

    columns: tuple[str, ...]
    rows: tuple[dict[str, str], ...]
    lines: tuple[int, ...]
    ragged: dict[int, int]
    decimal_comma: bool


def read_text(file: Path) -> TextTable:
    """Read a table as text.

    Parameters
    ----------
    file : Path
        Comma-, semicolon- or tab-separated; UTF-8, or UTF-16 with a byte order mark.

    Returns
    -------
    TextTable
        Its cells; lines without any are left out.

    Raises
    ------
    CohortError
        If the file is absent, is no text, or has no header or no rows.
    """
    text = _decode(file)
    head = next((line for line in text.splitlines() if line.strip()), "")
    separator = max(",;\t", key=head.count)
    reader = csv.reader(io.StringIO(text), delimiter=separator)
    found: list[tuple[int, list[str]]] = []
    start = 1
    try:
        for cells in reader:
            if any(c.strip() for c in cells):
                found.append((start, [c.strip() for c in cells]))
            start = reader.line_num + 1
    except csv.Error as error:
        message = f"{file} cannot be read as a table: line {reader.line_num}: {error}"
        raise CohortError(message) from error
    if len(found) < 2:
        message = f"{file} has {'a header but no rows' if found else 'no header'}; expected a line of column names and one row a patient"
        raise CohortError(message)
    columns = found[0][1]
    while columns and not columns[-1]:
        columns.pop()
    twice = sorted({c for c in columns if columns.count(c) > 1})
    if twice:
        message = f"{file} has columns of the same name: {', '.join(repr(c) for c in twice)}; expected every name once"
        raise CohortError(message)
    rows, ragged = [], {}
    for position, (_, cells) in enumerate(found[1:]):
        if len(cells) < len(columns) or any(cells[len(columns) :]):
            ragged[position] = len(cells)
        rows.append(dict(zip(columns, [*cells, *[""] * len(columns)], strict=False)))
    return TextTable(tuple(columns), tuple(rows), tuple(line for line, _ in found[1:]), ragged, separator != ",")


def number(text: str, *, decimal_comma: bool = False) -> float | None:
    """Read a number.

    Parameters
    ----------
    text : str
        A cell.
    decimal_comma : bool
        Whether ``1,5`` is one and a half.

    Returns
    -------
    float or None
        None where it is no finite number.

    Examples
    --------
    >>> number("61"), number("1,5", decimal_comma=True), number("high")
    (61.0, 1.5, None)
    """
    if decimal_comma and text.count(",") == 1 and "." not in text:
        text = text.replace(",", ".")
    if "_" in text:
        return None
    try:
        value = float(text)
    except ValueError:
        return None
    return value if abs(value) < float("inf") else None


def with_point(text: str, *, decimal_comma: bool) -> str:
    """Write a number that has a decimal comma with a point; give any other text as it is.

    Parameters
    ----------
    text : str
        A cell.
    decimal_comma : bool
        Whether ``1,5`` is one and a half.

    Returns
    -------
    str
        The cell.

    Examples
    --------
    >>> with_point("61,5", decimal_comma=True), with_point("T2, fat sat", decimal_comma=True)
    ('61.5', 'T2, fat sat')
    """
    return text.replace(",", ".") if decimal_comma and number(text) is None and number(text, decimal_comma=True) is not None else text


def missing(text: str) -> bool:
    """Say whether a cell stands for a missing value.

    Parameters
    ----------
    text : str
        A cell.

    Returns
    -------
    bool
        True for an empty cell, NA, N/A, NaN, null, none, dashes, a dot or a question mark.
    """
    return text.strip().lower() in MISSING


def _decode(file: Path) -> str:
    try:
        raw = file.read_bytes()
    except FileNotFoundError as error:
        message = f"table {file} does not exist; expected one row a patient. `sarcofuse init FOLDER` writes one to fill in"
        raise CohortError(message) from error
    except OSError as error:
        message = f"table {file} cannot be read: {error.strerror or error}"
        raise CohortError(message) from error
    kind = "utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = raw.decode(kind)
    except UnicodeDecodeError as error:
        message = f"table {file} is not UTF-8 text (byte {error.start}); save it as CSV UTF-8. A spreadsheet file (.xlsx) must be exported as CSV first"
        raise CohortError(message) from error
    if "\x00" in text:
        message = f"table {file} holds zero bytes, so it is no text table; save it as CSV UTF-8"
        raise CohortError(message)
    return text
