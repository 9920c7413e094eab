"""Prompts as people write them: a box or clicks as numbers, a rough mask as a file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from sarcofuse.cohort.text import missing, number
from sarcofuse.errors import CohortError
from sarcofuse.records import Prompt

OPTIONS = ("--box", "--click", "--rough")
SYSTEMS = {"lps": 1.0, "ras": -1.0}
"""Coordinate systems by name, and the sign that x and y take to become LPS."""


def read_prompt(texts: Sequence[str], folder: Path, names: Sequence[str] = OPTIONS, *, decimal_comma: bool = False) -> Prompt | None:
    """Read what stands in the three cells of a row, or in the three options of a command.

    Parameters
    ----------
    texts : sequence of three str
        Box: six numbers, x y z of one corner and x y z of the opposite one. Click: x y z, several points parted by semicolons. Rough mask: a file. Empty where there is none.
        Numbers are in mm as DICOM has them (LPS); with the word RAS before or after them, x and y count the other way, of all points.
    folder : Path
        What the file is relative to.
    names : sequence of three str
        What the three are called, for error messages.
    decimal_comma : bool
        Whether ``1,5`` is one and a half.

    Returns
    -------
    Prompt or None
        None where all three are empty.

    Raises
    ------
    CohortError
        If more than one is given, or the numbers cannot be read.

    Examples
    --------
    >>> read_prompt(("", "12 -40.5 88", ""), Path()).click
    ((12.0, -40.5, 88.0),)
    >>> read_prompt(("", "RAS 12 -40.5 88", ""), Path()).click
    ((-12.0, 40.5, 88.0),)
    """
    given = [(name, text) for name, text in zip(names, texts, strict=True) if not missing(text)]
    if not given:
        return None
    if len(given) > 1:
        message = f"{' and '.join(name for name, _ in given)} are both given; expected one of box, click and rough mask. Keep the one that says most"
        raise CohortError(message)
    name, text = given[0]
    if name == names[2]:
        return Prompt(rough=folder / text)
    sign, parts = _systems([text.replace(";", " ")] if name == names[0] else text.split(";"))
    if sign is None:
        message = f"{name} says {text!r}, which names both LPS and RAS; expected one of them, or none for LPS"
        raise CohortError(message)
    if name == names[0]:
        found = _numbers(parts[0], 6, decimal_comma=decimal_comma)
        if found is None:
            message = f"{name} says {text!r}; expected six numbers in mm: x y z of one corner and x y z of the opposite one"
            raise CohortError(message)
        try:
            return Prompt(box=(_lps(found[:3], sign), _lps(found[3:], sign)))
        except ValueError as error:
            message = f"{name} says {text!r}: {error}"
            raise CohortError(message) from error
    points = [_numbers(part, 3, decimal_comma=decimal_comma) for part in parts if part.strip()]
    if not points or None in points:
        message = f"{name} says {text!r}; expected three numbers in mm, x y z, or several such points parted by semicolons"
        raise CohortError(message)
    return Prompt(click=tuple(_lps(p, sign) for p in points if p is not None))


def _systems(parts: Sequence[str]) -> tuple[float | None, list[str]]:
    """Take the name of the coordinate system off either end of texts; give the sign of x and y, None where texts name different systems, and the rest."""
    pattern = re.compile(r"^\s*(lps|ras)\b:?|\b(lps|ras)\s*$", re.IGNORECASE)
    named = {(found[1] or found[2]).lower() for part in parts for found in pattern.finditer(part)}
    signs = {SYSTEMS[word] for word in named} or {1.0}
    return (signs.pop() if len(signs) == 1 else None), [pattern.sub("", part) for part in parts]


def _numbers(text: str, count: int, *, decimal_comma: bool) -> list[float] | None:
    parts = text.split() if decimal_comma else re.split(r"[\s,]+", text.strip())
    found = [number(part, decimal_comma=decimal_comma) for part in parts]
    return [v for v in found if v is not None] if len(found) == count and None not in found else None


def _lps(point: Sequence[float], sign: float) -> tuple[float, float, float]:
    x, y, z = point
    return sign * x + 0.0, sign * y + 0.0, z  # no negative zeros
