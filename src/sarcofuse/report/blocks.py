"""What a section of the report is made of: plain records, which one template turns into HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from markupsafe import Markup

from sarcofuse.report.run_folder import Score

ABSENT = "–"


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a table.

    Attributes
    ----------
    text : str
        What it says.
    note : str
        A second, smaller line.
    mark : str
        Class for the style sheet: ``best``, ``lead``, ``poor``.
    href : str
        Where it links to.
    """

    text: str
    note: str = ""
    mark: str = ""
    href: str = ""


@dataclass(frozen=True, slots=True)
class Paragraph:
    """A paragraph of text; `tone` is ``lead`` for the sentence to read first and ``fine`` for small print."""

    kind: ClassVar[str] = "paragraph"
    text: str
    tone: str = ""


@dataclass(frozen=True, slots=True)
class Callout:
    """Sentences set apart, because they must not be missed (``warning``) or help to read on (``note``)."""

    kind: ClassVar[str] = "callout"
    title: str
    items: tuple[str, ...]
    tone: Literal["warning", "note"] = "note"


@dataclass(frozen=True, slots=True)
class Tile:
    """A figure in large type with what it is above and its interval, and whatever else, below."""

    label: str
    value: str
    notes: tuple[str, ...] = ()
    mark: str = ""


@dataclass(frozen=True, slots=True)
class Tiles:
    """A row of tiles."""

    kind: ClassVar[str] = "tiles"
    tiles: tuple[Tile, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A table.

    Attributes
    ----------
    caption : str
        What it shows and how to read it.
    columns : sequence of Cell or str
        Column heads.
    rows : sequence of sequences of Cell or str
        Cells; the first of each row is its head.
    groups : sequence of (str, int)
        Heads over the column heads, each with the number of columns it spans.
    labels : int
        How many of the first columns hold text; the others hold figures.
    bands : sequence of int
        Rows before which a rule is drawn.
    wide : bool
        Whether it needs the whole width, and a page turned on its side when printed.
    """

    kind: ClassVar[str] = "table"
    caption: str
    columns: Sequence[Cell | str]
    rows: Sequence[Sequence[Cell | str]]
    groups: Sequence[tuple[str, int]] = ()
    labels: int = 1
    bands: Sequence[int] = ()
    wide: bool = False

    @property
    def starts(self) -> frozenset[int]:
        """Columns at which a group begins."""
        at, found = 0, set()
        for _, span in self.groups:
            found.add(at)
            at += span
        return frozenset(found - {0})


@dataclass(frozen=True, slots=True)
class Picture:
    """A figure.

    Attributes
    ----------
    image : Markup or str
        Inline SVG, or a data URI of a PNG.
    alt : str
        What it shows, for those who cannot see it.
    caption : str
        What it shows and how to read it.
    width : int
        Widest it is drawn, in CSS pixels.
    """

    kind: ClassVar[str] = "picture"
    image: Markup | str
    alt: str
    caption: str
    width: int = 1100


@dataclass(frozen=True, slots=True)
class Gallery:
    """Several small pictures under one caption; each is (data URI, title, note)."""

    kind: ClassVar[str] = "gallery"
    caption: str
    pictures: Sequence[tuple[str, str, str]]


@dataclass(frozen=True, slots=True)
class Bullets:
    """A list; each item is a head and its text."""

    kind: ClassVar[str] = "bullets"
    items: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Details:
    """Blocks that open at a click; on paper they are always open."""

    kind: ClassVar[str] = "details"
    summary: str
    blocks: Sequence[Block]


@dataclass(frozen=True, slots=True)
class Beside:
    """Blocks that stand side by side where the page is wide enough."""

    kind: ClassVar[str] = "beside"
    blocks: Sequence[Block]


Block = Paragraph | Callout | Tiles | Table | Picture | Gallery | Bullets | Details | Beside


def figure(value: float | None, digits: int = 3) -> str:
    """Print a number; a dash where there is none.

    Parameters
    ----------
    value : float or None
        The number.
    digits : int
        Decimals.

    Returns
    -------
    str
        With a true minus sign.

    Examples
    --------
    >>> figure(0.8184), figure(None), figure(-0.25, 2)
    ('0.818', '–', '−0.25')
    """
    return ABSENT if value is None else f"{value:.{digits}f}".replace("-", "−")


def interval(score: Score, digits: int = 3) -> str:
    """Print the interval of a figure; empty where there is none.

    Parameters
    ----------
    score : Score
        The figure.
    digits : int
        Decimals.

    Returns
    -------
    str
        ``0.741 to 0.880``, say.

    Examples
    --------
    >>> interval(Score(0.8, 0.7412, 0.88))
    '0.741 to 0.880'
    """
    return "" if score.low is None or score.high is None else f"{figure(score.low, digits)} to {figure(score.high, digits)}"


def count(n: int | None, one: str, many: str = "") -> str:
    """Print a count with its noun.

    Parameters
    ----------
    n : int or None
        How many.
    one : str
        Singular.
    many : str
        Plural, where it is not the singular with an s.

    Returns
    -------
    str
        ``1 event``, ``23 patients``.

    Examples
    --------
    >>> count(1, "event"), count(1023, "patient")
    ('1 event', '1,023 patients')
    """
    if n is None:
        return f"{ABSENT} {many or one + 's'}"
    return f"{n:,} {one if n == 1 else many or one + 's'}"
