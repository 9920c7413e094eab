"""Who was in the study, who was not, and why."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from sarcofuse.records import SPLITS
from sarcofuse.report.blocks import ABSENT, Beside, Block, Paragraph, Picture, Table, count
from sarcofuse.report.plotting import INK, MUTED, PAPER, RULE, Studio
from sarcofuse.report.run_folder import SPLIT_NAMES, RunFolder

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True)
class _Group:
    """A split: patients as the table gives them, those who got as far as the models, their events, their sites."""

    patients: int
    evaluated: int
    events: int | None
    sites: dict[str, int]


def flow(run: RunFolder, studio: Studio) -> list[Block]:
    """Draw the flow of patients from the table into the splits, with a table of the splits beside it.

    Parameters
    ----------
    run : RunFolder
        What there is to show.
    studio : Studio
        Who draws.

    Returns
    -------
    list of Block
        What to print.
    """
    groups = _groups(run)
    if not groups:
        return []
    rows, (first, later) = (run.run.get("flow") or {}).get("rows"), _losses(run)
    started = sum(g.patients for g in groups.values())
    boxes = [[count(rows, "row") + " in the table"], [count(started, "patient") + " with usable entries"]]
    leaves = [[SPLIT_NAMES[s], count(g.evaluated, "patient"), *([] if g.events is None else [count(g.events, "event")])] for s, g in groups.items()]
    image = studio.vector("flow", (6.4, 3.9), partial(_draw_flow, boxes, [first, later], leaves))
    alt = "; ".join(", ".join(lines) for lines in [*boxes, first, later, *leaves] if lines)
    caption = "Patients from the table into the splits; the lowest boxes are those whom the models were judged on. Whoever was set aside is listed with the reason further down."
    return [Beside((Picture(image, alt, caption, 680), _table(run, groups)))]


def _losses(run: RunFolder) -> tuple[list[str], list[str]]:
    """Say how many were set aside while the table was read, and later, by stage."""
    entries = run.run.get("set_aside") or []
    stages: dict[str, set[str]] = {}
    for entry in entries:
        stages.setdefault(str(entry.get("stage", "")), set()).add(str(entry.get("patient_id", "")))
    first = sum(1 for e in entries if e.get("stage") == "cohort")
    later = {stage: len(named) for stage, named in stages.items() if stage != "cohort"}
    everybody = len(set().union(*(named for stage, named in stages.items() if stage != "cohort")))
    reading = [f"{count(first, 'row')} set aside on reading"] if first else []
    return reading, [f"{count(everybody, 'patient')} set aside later", *(f"{stage or 'unknown stage'}: {n}" for stage, n in later.items())] if later else []


def _draw_flow(trunk: list[list[str]], lost: list[list[str]], leaves: list[list[str]], made: Figure) -> None:
    axes = made.add_subplot()
    heights = [0.62 * max(1, len(lines)) / 2 + 0.25 for lines in lost]
    top = 5.0
    axes.plot([5, 5], [top, 1.7], color=MUTED, lw=0.8, zorder=0)
    at = top
    for lines, side, gap in zip(trunk, lost, heights, strict=True):
        _box(axes, (5, at), lines, width=3.6)
        at -= 0.45 + gap
        if side:
            axes.plot([5, 7.0], [at, at], color=MUTED, lw=0.8, zorder=0)
            _box(axes, (8.4, at), side, width=2.9, quiet=True)
        at -= gap + 0.3
    centres = [10 * (i + 0.5) / len(leaves) for i in range(len(leaves))]
    tallest = 0.28 + 0.36 * max(len(lines) for lines in leaves)
    axes.plot([5, 5], [1.7, at + 0.3], color=MUTED, lw=0.8, zorder=0)
    axes.plot([centres[0], centres[-1]], [at + 0.3, at + 0.3], color=MUTED, lw=0.8)
    for centre, lines in zip(centres, leaves, strict=True):
        axes.plot([centre, centre], [at + 0.3, at], color=MUTED, lw=0.8, zorder=0)
        _box(axes, (centre, at - tallest / 2), lines, width=2.8, bold=True)
    axes.set(xlim=(0, 10), ylim=(at - tallest - 0.1, top + 0.4))
    axes.axis("off")


def _box(axes: Axes, centre: tuple[float, float], lines: list[str], *, width: float, bold: bool = False, quiet: bool = False) -> None:
    from matplotlib.patches import FancyBboxPatch

    height = 0.28 + 0.36 * len(lines)
    corner = (centre[0] - width / 2, centre[1] - height / 2)
    axes.add_patch(FancyBboxPatch(corner, width, height, boxstyle="round,pad=0,rounding_size=0.1", facecolor=PAPER, edgecolor=RULE if quiet else MUTED, linewidth=0.9, zorder=2))
    for i, line in enumerate(lines):
        weight = "bold" if bold and i == 0 else "normal"
        axes.text(centre[0], centre[1] + 0.18 * (len(lines) - 1 - 2 * i), line, ha="center", va="center_baseline", color=MUTED if quiet and i else INK, weight=weight, fontsize=8)


def _table(run: RunFolder, groups: dict[str, _Group]) -> Table:
    rows = []
    for split, group in groups.items():
        share = ABSENT if group.events is None or not group.evaluated else f"{100 * group.events / group.evaluated:.0f}%"
        named = ", ".join(f"{run.numbering.scrub(str(site))} ({n:,})" for site, n in sorted(group.sites.items()) if site)
        rows.append([SPLIT_NAMES[split], named or ABSENT, f"{group.patients:,}", f"{group.evaluated:,}", ABSENT if group.events is None else f"{group.events:,}", share])
    caption = f"Patients of each split as the table gives them and where they come from, those whom the models were judged on, and how many of these have {run.outcome}."
    return Table(caption, ("Split", "Sites (patients)", "Patients", "Judged", "Events", "Share"), rows, labels=2)


def _groups(run: RunFolder) -> dict[str, _Group]:
    """Collect the splits: from run.json, else from cohort.parquet; those judged and their events from metrics.json."""
    judged = {r.split: r for r in reversed(run.scores)}
    given = dict((run.run.get("flow") or {}).get("splits") or {})
    if not given and run.cohort is not None and "split" in run.cohort:
        for split, part in run.cohort.groupby("split"):
            given[str(split)] = {"patients": len(part), "sites": dict(Counter(part["site"].astype(str))) if "site" in part else {}}
    found = {}
    for split in (s for s in SPLITS if s in given):
        row, patients = judged.get(split), int(given[split].get("patients") or 0)
        evaluated = patients if row is None or row.patients is None else row.patients
        found[str(split)] = _Group(patients, evaluated, given[split].get("events") if row is None else row.events, dict(given[split].get("sites") or {}))
    return found


def set_aside(run: RunFolder, studio: Studio) -> list[Block]:
    """List who was set aside, where, and why, without names.

    Parameters
    ----------
    run : RunFolder
        What there is to show.
    studio : Studio
        Who draws.

    Returns
    -------
    list of Block
        What to print.
    """
    del studio
    entries = run.run.get("set_aside") or []
    if not entries:
        return [Paragraph("Nobody was set aside.")]
    rows = [[run.numbering.label(str(e.get("patient_id", ""))), str(e.get("stage", "")), run.numbering.scrub(str(e.get("reason", "")), reason=True)] for e in entries]
    rows.sort(key=_in_order)
    names = "Patients are numbered in order of their identifiers, in all tables and figures alike."
    if run.numbering.identifiers:
        names = "Identifiers are printed because report.identifiers asks for them."
    return [Table(f"Whom or what each stage could not use, in its own words. {names}", ("Patient", "Stage", "Reason"), rows, labels=3)]


def _in_order(row: list[str]) -> tuple[int, str, str]:
    last = row[0].rpartition(" ")[2]
    return int(last) if last.isdigit() else 0, row[0], row[1]
