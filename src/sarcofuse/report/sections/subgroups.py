"""The primary model in groups of patients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sarcofuse.records import SPLITS
from sarcofuse.report.blocks import Block, Cell, Paragraph, Picture, Table, count, figure
from sarcofuse.report.plotting import INK, MUTED, Studio, colour_of
from sarcofuse.report.run_folder import SPLIT_NAMES, RunFolder, Score, model_name, number
from sarcofuse.report.sections.performance import p_value

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Place = tuple[str, str]


def forest(run: RunFolder, studio: Studio) -> list[Block]:
    """Draw the AUC in every group with its interval, split by split, and say whether the groups differ.

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
    entries: list[dict[str, Any]] = run.metrics["subgroups"]
    splits = [s for s in SPLITS if any(e["split"] == s for e in entries)]
    places = list(dict.fromkeys((str(e["column"]), str(e["group"])) for e in entries))
    columns = [c for c, _ in places]
    places.sort(key=lambda p: (columns.index(p[0]), p[1] == "missing"))
    at = {(e["split"], e["column"], e["group"]): e for e in entries}
    heights = _heights(places)

    def draw(made: Figure) -> None:
        for axes, split in zip(made.subplots(1, len(splits), sharey=True, squeeze=False)[0], splits, strict=True):
            _draw_split(axes, run, split, {p: at[split, *p] for p in places if (split, *p) in at}, heights)
        first = made.axes[0]
        first.set_yticks([heights[p] for p in places], [_shown(g) for _, g in places])
        for column, top in {c: min(heights[p] for p in places if p[0] == c) for c, _ in places}.items():
            first.annotate(column.replace("_", " "), (0, top - 0.85), xycoords=("axes fraction", "data"), xytext=(-6, 0), textcoords="offset points", ha="right", va="center", fontweight="bold")

    caption = (
        f"AUC of the primary model ({model_name(*run.primary)}) in groups of patients, with {run.coverage} intervals; beside each the patients with {run.outcome} of all in the group. "
        "The dashed line is the AUC of all patients of the panel, the dotted line chance. Small groups have wide intervals: look for a pattern, not for the lowest point."
    )
    tall = 1.0 + 0.27 * (max(heights.values()) + 1.4)
    picture = Picture(studio.vector("subgroups", (9.6, tall), draw), "AUC of the primary model by subgroup and split", caption)
    return [picture, *_tests(run, splits)]


def _heights(places: Sequence[Place]) -> dict[Place, float]:
    """Give each row its place down the page, with room for the name of each column above its groups."""
    found: dict[Place, float] = {}
    at, before = 0.0, ""
    for column, group in places:
        at += 1.3 if column != before else 0.0
        before = column
        found[column, group] = at
        at += 1.0
    return found


def _shown(group: str) -> str:
    return group.replace("up to ", "≤ ").replace("above ", "> ")


def _draw_split(axes: Axes, run: RunFolder, split: str, rows: Mapping[Place, Mapping[str, Any]], heights: Mapping[Place, float]) -> None:
    colour, whole = colour_of(run.primary[0]), run.score(*run.primary, split)
    axes.axvline(0.5, color=MUTED, lw=0.8, ls=":")
    if whole is not None and whole.auc.value is not None:
        axes.axvline(whole.auc.value, color=INK, lw=0.8, ls=(0, (4, 3)))
    for place, row in rows.items():
        score, at = Score.read(row.get("auc")), heights[place]
        if score.low is not None and score.high is not None:
            axes.plot([score.low, score.high], [at, at], color=colour, lw=1.6)
        if score.value is not None:
            axes.plot([score.value], [at], marker="o", ms=5, color=colour, ls="none")
        axes.text(1.06, at, f"{row.get('events')} / {row.get('patients')}", va="center", ha="left", fontsize=7.2, color=MUTED)
    axes.set(title=SPLIT_NAMES[split], xlabel="AUC", xlim=(0.18, 1.27), ylim=(max(heights.values()) + 0.7, 0.0))
    axes.set_xticks([0.25, 0.5, 0.75, 1.0], ["0.25", "0.5", "0.75", "1"])
    axes.grid(visible=True, axis="x")
    axes.tick_params(axis="y", length=0)


def _tests(run: RunFolder, splits: Sequence[str]) -> list[Block]:
    tests = run.metrics.get("interactions") or []
    if not tests:
        return []
    at = {(t["split"], t["column"]): t for t in tests}
    columns = list(dict.fromkeys(str(t["column"]) for t in tests))
    rows: list[list[Cell | str]] = []
    for column in columns:
        row: list[Cell | str] = [column.replace("_", " ")]
        for split in splits:
            test = at.get((split, column), {})
            holm = number(test.get("p_holm"))
            row += [figure(number(test.get("q")), 2), p_value(number(test.get("p"))), Cell(p_value(holm), "", "lead" if holm is not None and holm < 0.05 else "")]
        rows.append(row)
    differ = sum(1 for t in tests if (h := number(t.get("p_holm"))) is not None and h < 0.05)
    says = "No column shows a difference of AUC between its groups after correction."
    if differ:
        says = f"{count(differ, 'test')} of {len(tests)} for a difference between groups {'stays' if differ == 1 else 'stay'} below 0.05 after correction (bold)."
    says += " With few patients such a test finds only gross differences: that none is seen does not prove that there is none."
    caption = "Interaction: Cochran's Q over the AUCs of a column's groups, patients without an entry left out. Holm: p corrected for the number of columns."
    return [Paragraph(says), Table(caption, ["Column", *(["Q", "p", "p, Holm"] * len(splits))], rows, [("", 1), *((SPLIT_NAMES[s], 3) for s in splits)], wide=len(splits) > 2)]
