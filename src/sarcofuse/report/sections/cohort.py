"""Who was in the study, who was not, and why."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from sarcofuse.records import SPLITS
from sarcofuse.report.blocks import ABSENT, Beside, Block, Paragraph, Picture, Table, count
from sarcofuse.report.plotting import INK, MUTED, PAPER, RULE, Studio
from sarcofuse.report.run_folder import SPLIT_NAMES, RunFolder

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


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
    numbers = _by_split(run)
    if not numbers:
        return []
    rows = (run.run.get("flow") or {}).get("rows")
    stages = Counter(str(s.get("stage", "")) for s in run.run.get("set_aside") or [])
    lost = [f"{stage or 'unknown stage'}: {n}" for stage, n in sorted(stages.items())]
    kept = sum(n for n, _, _ in numbers.values())
    lines = {s: [SPLIT_NAMES[s], count(n, "patient"), "" if events is None else count(events, "event")] for s, (n, events, _) in numbers.items()}

    def draw(made: Figure) -> None:
        axes = made.add_subplot()
        axes.set(xlim=(0, 10), ylim=(0, 5.3))
        axes.axis("off")
        _box(axes, (5, 4.7), [f"{count(rows, 'row')} in the table"], width=3.4)
        _box(axes, (8.35, 3.55), [f"{count(sum(stages.values()), 'entry', 'entries')} set aside", *lost], width=2.9, quiet=True)
        _box(axes, (5, 2.5), [f"{count(kept, 'patient')} in the study"], width=3.4)
        axes.plot([5, 6.9], [3.55, 3.55], color=MUTED, lw=0.8)
        axes.plot([5, 5], [4.4, 2.8], color=MUTED, lw=0.8)
        centres = [10 * (i + 0.5) / len(lines) for i in range(len(lines))]
        axes.plot([5, 5], [2.2, 1.75], color=MUTED, lw=0.8)
        axes.plot([centres[0], centres[-1]], [1.75, 1.75], color=MUTED, lw=0.8)
        for centre, text in zip(centres, lines.values(), strict=True):
            axes.plot([centre, centre], [1.75, 1.3], color=MUTED, lw=0.8)
            _box(axes, (centre, 0.7), [t for t in text if t], width=2.8, bold=True)

    alt = f"{rows} rows, {sum(stages.values())} set aside, {kept} in the study: " + ", ".join(" ".join(t) for t in lines.values())
    caption = "Patients from the table into the splits. Whoever was set aside is listed with the reason further down; entries that concern only a part of a patient's data are counted as well."
    return [Beside((Picture(studio.vector("flow", (6.4, 3.4), draw), alt, caption, 680), _table(run, numbers)))]


def _box(axes: Axes, centre: tuple[float, float], lines: list[str], *, width: float, bold: bool = False, quiet: bool = False) -> None:
    from matplotlib.patches import FancyBboxPatch

    height = 0.28 + 0.36 * len(lines)
    corner = (centre[0] - width / 2, centre[1] - height / 2)
    axes.add_patch(FancyBboxPatch(corner, width, height, boxstyle="round,pad=0,rounding_size=0.1", facecolor=PAPER, edgecolor=RULE if quiet else MUTED, linewidth=0.9))
    for i, line in enumerate(lines):
        weight = "bold" if bold and i == 0 else "normal"
        axes.text(centre[0], centre[1] + 0.18 * (len(lines) - 1 - 2 * i), line, ha="center", va="center_baseline", color=MUTED if quiet and i else INK, weight=weight, fontsize=8)


def _table(run: RunFolder, numbers: dict[str, tuple[int, int | None, dict[str, int]]]) -> Table:
    rows = []
    for split, (n, events, sites) in numbers.items():
        share = ABSENT if events is None or not n else f"{100 * events / n:.0f}%"
        named = ", ".join(f"{run.numbering.scrub(str(site))} ({m})" for site, m in sorted(sites.items()) if site)
        rows.append([SPLIT_NAMES[split], named or ABSENT, f"{n:,}", ABSENT if events is None else f"{events:,}", share])
    caption = f"Patients of each split, those with {run.outcome}, and where they come from."
    return Table(caption, ("Split", "Sites (patients)", "Patients", "Events", "Share"), rows, labels=2)


def _by_split(run: RunFolder) -> dict[str, tuple[int, int | None, dict[str, int]]]:
    """Patients, events and sites by split: from run.json, else from cohort.parquet; events from metrics.json."""
    events = {r.split: r.events for r in reversed(run.scores)}
    given = (run.run.get("flow") or {}).get("splits") or {}
    if given:
        return {s: (int(given[s].get("patients") or 0), events.get(s), dict(given[s].get("sites") or {})) for s in SPLITS if s in given}
    frame = run.cohort
    if frame is None or "split" not in frame:
        return {}
    found: dict[str, tuple[int, int | None, dict[str, int]]] = {}
    for split in SPLITS:
        part = frame[frame["split"] == split]
        if len(part):
            found[split] = (len(part), events.get(split), dict(Counter(part["site"].astype(str))) if "site" in part else {})
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
