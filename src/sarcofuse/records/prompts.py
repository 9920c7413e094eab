"""What a user points at to steer a mask."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Point = tuple[float, float, float]
PromptKind = Literal["box", "click", "rough"]
PROMPTS: tuple[PromptKind, ...] = ("box", "click", "rough")


@dataclass(frozen=True, slots=True)
class Prompt:
    """A box, clicks or a rough mask: exactly one of them.

    Places are (x, y, z) in mm in the patient coordinate system of DICOM (LPS): x grows to the patient's left, y to the back, z to the head.

    Attributes
    ----------
    box : tuple of two points or None
        Corner of the smallest x, y and z, and that of the largest, of a box along the patient's axes around the tumour. Any two opposite corners may be given.
    click : tuple of points
        Points inside the tumour; empty without.
    rough : Path or None
        File of a rough mask.
    """

    box: tuple[Point, Point] | None = None
    click: tuple[Point, ...] = ()
    rough: Path | None = None

    def __post_init__(self) -> None:
        given = [self.box is not None, bool(self.click), self.rough is not None]
        if sum(given) != 1:
            message = f"a prompt is a box, a click or a rough mask; expected exactly one of them, found {sum(given)}"
            raise ValueError(message)
        points = [*(self.box or ()), *self.click]
        if any(len(p) != 3 or not all(map(math.isfinite, p)) for p in points):
            message = f"places of a prompt must be three finite numbers x, y, z in mm each, found {points}"
            raise ValueError(message)
        if self.box is not None:
            (ax, ay, az), (bx, by, bz) = self.box
            low, high = (min(ax, bx), min(ay, by), min(az, bz)), (max(ax, bx), max(ay, by), max(az, bz))
            flat = [name for name, a, b in zip("xyz", low, high, strict=True) if a == b]
            if flat:
                message = f"a box must have an extent along every axis; its two corners have the same {' and '.join(flat)}: {self.box}"
                raise ValueError(message)
            object.__setattr__(self, "box", (low, high))

    @property
    def kind(self) -> PromptKind:
        """Which of the three it is."""
        return "box" if self.box is not None else "click" if self.click else "rough"
