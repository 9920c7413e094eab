"""Time to the event: the locked risk groups over time, and how well risks foretell when."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from sarcofuse.report.blocks import Block, Cell, Picture, Table, count, figure, interval
from sarcofuse.report.plotting import BLUE, INK, MUTED, ORANGE, Studio
from sarcofuse.report.run_folder import SPLIT_NAMES, RunFolder, Score, model_name, number
from sarcofuse.report.sections.curves import numbers
from sarcofuse.report.sections.performance import p_value

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GROUPS = {"low": ("Low risk", BLUE, "solid"), "high": ("High risk", ORANGE, (0, (5, 1.6)))}


def risk_groups(run: RunFolder, studio: Studio) -> list[Block]:
    """Draw the share free of the event over time in the primary model's locked risk groups.

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
    mine = {str(e["split"]): e for e in run.lines if (e.get("features"), e.get("classifier")) == run.primary}
    splits = [s for s in run.splits if s in mine]
    if not splits:
        return []
    tests = {str(e["split"]): e for e in run.metrics.get("survival") or [] if (e.get("features"), e.get("classifier")) == run.primary}
    competing = any("incidence" in g for e in mine.values() for g in e["groups"])

    def draw(made: Figure) -> None:
        panels = made.subplots(2 if competing else 1, len(splits), squeeze=False, sharey="row")
        for axes, split in zip(panels[0], splits, strict=True):
            _draw_free(axes, mine[split], number((tests.get(split, {}).get("log_rank") or {}).get("p")))
            axes.set(title=SPLIT_NAMES[split], ylabel=f"Share free of {run.outcome}" if split == splits[0] else "")
        for axes, split in zip(panels[1] if competing else (), splits, strict=competing):
            _draw_incidence(axes, mine[split])
            axes.set(ylabel=f"Cumulative incidence of {run.outcome}" if split == splits[0] else "")

    caption = (
        f"Patients whom the primary model ({model_name(*run.primary)}) puts above and below its locked threshold: the share still free of {run.outcome} (Kaplan-Meier, {run.coverage} intervals; "
        "log-rank test). Below: patients still watched. Training groups are by out-of-fold risks."
    )
    if competing:
        caption += f" Lower row: the share who have had {run.outcome}, with deaths from other causes as competing events (Aalen-Johansen); patients who died cannot have it any more."
    size = (3.35 * len(splits), 6.4 if competing else 3.6)
    return [Picture(studio.vector("risk_groups", size, draw), "Follow-up of the risk groups by split", caption, 400 * len(splits))]


def _steps(axes: Axes, group: Mapping[str, Any], start: float, found: Mapping[str, Any], key: str) -> None:
    label, colour, dashes = GROUPS[str(group["risk"])]
    time = np.concatenate([[0.0], numbers(group["time"])])
    value, low, high = (np.concatenate([[start], numbers(found[k])]) for k in (key, "low", "high"))
    axes.fill_between(time, np.where(np.isnan(low), value, low), np.where(np.isnan(high), value, high), step="post", color=colour, alpha=0.14, linewidth=0)
    axes.step(time, value, where="post", color=colour, ls=dashes, label=label)


def _last(entry: Mapping[str, Any]) -> float:
    return max((float(numbers(g["time"])[-1]) for g in entry["groups"] if g["time"]), default=1.0) or 1.0


def _draw_free(axes: Axes, entry: Mapping[str, Any], p: float | None) -> None:
    last = _last(entry)
    for group in entry["groups"]:
        _steps(axes, group, 1.0, group, "free")
    if p is not None:
        says = p_value(p)
        axes.text(0.03, 0.04, f"log-rank p {says}" if says.startswith("<") else f"log-rank p = {says}", transform=axes.transAxes, fontsize=8, color=INK)
    axes.set(xlim=(0, last), ylim=(0, 1.02))
    axes.grid(visible=True)
    ticks = [t for t in axes.get_xticks() if 0 <= t <= last]
    axes.set_xticks(ticks)
    for line, group in enumerate(entry["groups"]):
        time, at_risk = numbers(group["time"]), np.append(numbers(group["at_risk"]), 0)
        for t in ticks:
            n = int(at_risk[np.searchsorted(time, t, side="left")])
            axes.annotate(str(n), (t, 0), xycoords=("data", "axes fraction"), xytext=(0, -27 - 10 * line), textcoords="offset points", ha="center", fontsize=7.2, color=GROUPS[str(group["risk"])][1])
    axes.set_xlabel("Follow-up in months", labelpad=8 + 10 * len(entry["groups"]))
    axes.legend(loc="lower right" if p is None else "upper right")


def _draw_incidence(axes: Axes, entry: Mapping[str, Any]) -> None:
    for group in entry["groups"]:
        if "incidence" in group:
            _steps(axes, group, 0.0, group["incidence"], "value")
    axes.set(xlabel="Follow-up in months", xlim=(0, _last(entry)), ylim=(0, 1.02))
    axes.grid(visible=True)
    axes.tick_params(colors=MUTED, labelcolor=INK)


def concordance(run: RunFolder, studio: Studio) -> list[Block]:
    """Tabulate concordance of every model, and the primary model's figures at given times.

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
    entries = run.metrics["survival"]
    at = {(str(e["features"]), str(e["classifier"]), str(e["split"])): e for e in entries}
    splits = [s for s in run.splits if any(place[2] == s for place in at)]
    rows: list[list[Cell | str]] = []
    for model in dict.fromkeys((f, c) for f, c in run.models if any((f, c, s) in at for s in splits)):
        row: list[Cell | str] = [Cell(model_name(*model), "", "lead" if model == run.primary else "")]
        for split in splits:
            row += [_cell(at.get((*model, split), {}).get(key)) for key in ("harrell_c", "uno_c")]
        rows.append(row)
    until = next((number(e["uno_c"].get("until")) for e in entries if e.get("uno_c")), None)
    caption = (
        f"Concordance with {run.coverage} intervals: of two patients, how often the one with the higher risk has {run.outcome} first (0.5 is chance). Uno's takes the censoring out of it"
        + (f" and looks at events before {until:g} months." if until is not None else ".")
    )
    heads = [f"{SPLIT_NAMES[s]}: {count(next(e['patients'] for p, e in at.items() if p[2] == s), 'patient')}" for s in splits]
    table = Table(caption, ["Model", *(["Harrell's C", "Uno's C"] * len(splits))], rows, [("", 1), *((h, 2) for h in heads)], wide=len(splits) > 1)
    return [table, *_at_times(run, {s: at[*run.primary, s] for s in splits if (*run.primary, s) in at})]


def _at_times(run: RunFolder, mine: Mapping[str, Mapping[str, Any]]) -> list[Block]:
    times = list(dict.fromkeys(float(a["time"]) for e in mine.values() for a in e.get("timed_auc") or ()))
    if not times:
        return []
    scored = any(e.get("timed_brier") for e in mine.values())
    kinds = [("timed_auc", "AUC"), *([("timed_brier", "Brier score")] if scored else [])]
    rows: list[list[Cell | str]] = []
    for time in times:
        row: list[Cell | str] = [f"{time:.4g}"]
        for entry in mine.values():
            row += [_cell(next((a for a in entry.get(key) or () if float(a["time"]) == time), None)) for key, _ in kinds]
        rows.append(row)
    if any(e.get("integrated_brier") for e in mine.values()):
        row = ["Mean over these"]
        for entry in mine.values():
            row += [Cell(""), _cell(entry.get("integrated_brier"))]
        rows.append(row)
    caption = (
        f"The primary model at given times: how well risks part those with {run.outcome} by then from those still free of it, "
        f"censored patients made up for by their likes, with {run.coverage} intervals."
    )
    return [Table(caption, ["Months", *([name for _, name in kinds] * len(mine))], rows, [("", 1), *((SPLIT_NAMES[s], len(kinds)) for s in mine)])]


def _cell(found: object) -> Cell:
    score = Score.read(found)
    return Cell(figure(score.value), interval(score).replace(" to ", "–"))
