"""Masks that a box, a click or a rough mask steered, beside what the same networks drew alone."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from sarcofuse.records import SPLITS
from sarcofuse.report.blocks import Block, Cell, Table, figure
from sarcofuse.report.plotting import Studio
from sarcofuse.report.run_folder import SPLIT_NAMES, RunFolder, number

NAMES = {"box": "box", "click": "click", "rough": "rough mask"}


def steered(entry: Mapping[str, Any] | None) -> str:
    """Say in words what steered a mask.

    Parameters
    ----------
    entry : mapping or None
        Entry of quality.json or cases.json.

    Returns
    -------
    str
        ``steered by a box``, say; empty for a mask that was not steered.
    """
    kind = str((entry or {}).get("prompted") or "")
    return f"steered by a {NAMES.get(kind, kind)}" if kind else ""


def split_cell(entry: Mapping[str, Any]) -> Cell:
    """Name the split of a row of figures, and say where steered masks are among them.

    Parameters
    ----------
    entry : mapping
        Row of the list ``segmentation`` of metrics.json.

    Returns
    -------
    Cell
        The split; below it, how many of its masks were steered.
    """
    count = entry.get("prompted")
    return Cell(SPLIT_NAMES.get(str(entry.get("split")), str(entry.get("split", ""))), f"{count} of them steered" if count else "")


def side_by_side(run: RunFolder, studio: Studio) -> list[Block]:
    """Tabulate steered masks by split, with Dice and volume of the automatic ones beside theirs.

    Parameters
    ----------
    run : RunFolder
        What there is to show.
    studio : Studio
        Who draws.

    Returns
    -------
    list of Block
        What to print; nothing where no mask was steered.
    """
    del studio
    rows = []
    for split in SPLITS:
        everybody = [q for q in run.quality if q.get("split") == split]
        chosen = [q for q in everybody if q.get("prompted")]
        if not chosen:
            continue
        kinds = Counter(NAMES.get(str(q["prompted"]), str(q["prompted"])) for q in chosen)
        how = ", ".join(f"{name} {kinds[name]}" for name in NAMES.values() if kinds[name])
        compared = [q for q in chosen if number(q.get("dice")) is not None and number(q.get("automatic_dice")) is not None]
        figures = [
            figure(_mean(compared, "automatic_dice")),
            figure(_mean(compared, "dice")),
            str(sum(float(q["dice"]) < float(q["automatic_dice"]) for q in compared)),
            figure(_middle(chosen, "automatic_ml"), 1),
            figure(_middle(chosen, "volume_ml"), 1),
        ]
        rows.append([SPLIT_NAMES[split], how, f"{len(chosen)} of {len(everybody)}", str(len(compared)), *figures])
    if not rows:
        return []
    caption = (
        "Masks steered by a person: features and all other figures come from the steered masks. Beside them what the same networks drew of the same patients alone; "
        "worse: patients whose steered mask has a lower Dice. A steered mask is no longer automatic: its Dice is not that of the method alone."
    )
    columns = ("Split", "Steered by", "Patients", "Compared", "Dice alone, mean", "Dice steered, mean", "Worse", "ml alone, median", "ml steered, median")
    return [Table(caption, columns, rows, labels=2)]


def _mean(entries: Sequence[Mapping[str, Any]], key: str) -> float | None:
    return statistics.fmean(float(q[key]) for q in entries) if entries else None


def _middle(entries: Sequence[Mapping[str, Any]], key: str) -> float | None:
    values = [v for q in entries if (v := number(q.get(key))) is not None]
    return statistics.median(values) if values else None
