"""What the models are made of: nomogram, Shapley values, and the further figures of the training patients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sarcofuse.report.blocks import ABSENT, Block, Cell, Paragraph, Picture, Table, figure
from sarcofuse.report.plotting import BLUE, INK, MUTED, ORANGE, Studio, colour_of
from sarcofuse.report.run_folder import RunFolder, feature_name, model_name, number
from sarcofuse.report.sections.performance import p_value
from sarcofuse.runtime import read_json

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHOWN = 12
FIGURES = {"auc": "AUC", "brier": "Brier score", "calibration_slope": "Calibration slope", "calibration_intercept": "Calibration intercept"}


def nomogram(run: RunFolder, studio: Studio) -> list[Block]:
    """Draw the nomogram of the logistic model on the primary model's features.

    Parameters
    ----------
    run : RunFolder
        What there is to show.
    studio : Studio
        Who draws.

    Returns
    -------
    list of Block
        What to print; nothing without such a model, or where it has too many columns for a chart.
    """
    rows = [r for r in read_json(run.path / "explain.json")["models"] if r["features"] == run.primary[0] and r.get("nomogram")]
    if not rows or len(rows[0]["columns"]) > SHOWN:
        return []
    chart, names = rows[0]["nomogram"], rows[0]["columns"]

    def draw(made: Figure) -> None:
        axes, low = made.subplots(), len(names) + 1
        _scale(axes, 0, "Points", [(v, f"{v:g}") for v in range(0, 101, 10)], 100.0)
        for place, axis in enumerate(chart["axes"], 1):
            _scale(axes, place, names[axis["column"]], [(p, f"{v:.2f}") for p, v in zip(axis["points"], axis["values"], strict=True)], 100.0)
        most = chart["most"]
        step = next(s for s in (5, 10, 20, 50, 100, 200, 500, 1000) if most / s <= 12)
        _scale(axes, low, "Total points", [(v, f"{v:g}") for v in np.arange(0, most + 1e-9, step)], most)
        _scale(axes, low + 1, "Risk", [(t["points"], f"{t['risk']:g}") for t in chart["total"]], most)
        axes.set(xlim=(-0.02, 1.02), ylim=(low + 1.6, -0.6))
        axes.set_axis_off()

    caption = (
        f"Nomogram of {model_name(rows[0]['features'], rows[0]['classifier'])}: read the points above each value, add them, and find the risk below the total. "
        "The axes span the training patients. The points and the formulas of the signatures are in explain.json."
    )
    return [Picture(studio.vector("nomogram", (7.4, 0.75 + 0.5 * (len(names) + 3)), draw), "Nomogram", caption, 800)]


def _scale(axes: Axes, place: int, name: str, ticks: Sequence[tuple[float, str]], span: float) -> None:
    """Draw one horizontal scale; ticks too near their neighbour lose their text."""
    at = sorted((x / span, text) for x, text in ticks)
    axes.text(-0.03, place, name, ha="right", va="center", color=INK)
    if not at:
        return
    axes.plot([at[0][0], at[-1][0]], [place, place], color=INK, lw=0.9)
    last = -1.0
    for x, text in at:
        axes.plot([x, x], [place, place + 0.12], color=INK, lw=0.9)
        if x - last > 0.045:
            axes.text(x, place + 0.18, text, ha="center", va="top", fontsize=7, color=MUTED)
            last = x


def attributions(run: RunFolder, studio: Studio) -> list[Block]:
    """Draw the Shapley values of the primary model.

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
    rows = [r for r in read_json(run.path / "explain.json")["models"] if (r["features"], r["classifier"]) == run.primary and r.get("shapley")]
    if not rows:
        return []
    found, names = rows[0]["shapley"], rows[0]["columns"]
    values, inputs = np.asarray(found["values"]), np.asarray(found["inputs"])
    order = np.argsort(-np.asarray(found["importance"]), kind="stable")[:SHOWN]

    def draw(made: Figure) -> None:
        axes = made.subplots()
        for place, j in enumerate(order):
            rank = np.argsort(np.argsort(inputs[:, j], kind="stable"), kind="stable") / max(1, len(inputs) - 1)
            for part, colour in ((rank < 0.5, BLUE), (rank >= 0.5, ORANGE)):
                axes.plot(values[part, j], place + _swarm(values[:, j])[part], ls="none", marker="o", ms=3.2, color=colour, alpha=0.75)
        axes.axvline(0, color=MUTED, lw=0.8)
        axes.set_yticks(range(len(order)), [names[j][:60] for j in order])
        axes.set(ylim=(len(order) - 0.4, -0.6), xlabel="Shapley value (log-odds)")

    caption = (
        f"Shapley values of {model_name(*run.primary)} for {len(values)} training patients: how far each input moves a patient's log-odds from the mean of the others. "
        "Orange: the upper half of the input's values; blue: the lower half. They explain the model, not the disease."
    )
    return [Picture(studio.vector("shapley", (6.4, 1.0 + 0.5 * len(order)), draw), "Shapley values of each input", caption, 700)]


def _swarm(values: np.ndarray[Any, np.dtype[np.float64]]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Spread points of like value up and down, in a fixed pattern."""
    span = float(np.ptp(values)) or 1.0
    bins, places = np.floor((values - values.min()) / span * 30).astype(int), np.zeros(values.size)
    for b in np.unique(bins):
        members = np.flatnonzero(bins == b)
        steps = np.arange(members.size)
        places[members] = np.where(steps % 2 == 0, 1, -1) * ((steps + 1) // 2) * min(0.06, 0.7 / members.size)
    return places


def validation(run: RunFolder, studio: Studio) -> list[Block]:
    """Tabulate repeats, ablation, optimism and learning curve of the training patients.

    Parameters
    ----------
    run : RunFolder
        What there is to show.
    studio : Studio
        Who draws.

    Returns
    -------
    list of Block
        What the settings asked for.
    """
    row = next((m for m in run.fitted if (m.get("features"), m.get("classifier")) == run.primary), {})
    found = row.get("validation") or {}
    blocks: list[Block] = []
    if "repeats" in found:
        blocks.append(_repeats(found["repeats"]))
    if "ablation" in found:
        blocks.append(_ablation(found["ablation"]))
    if "optimism" in found:
        blocks.append(_optimism(found["optimism"]))
    if "learning_curve" in found:
        blocks += _learning(found["learning_curve"], run, studio)
    return blocks


def _repeats(found: Mapping[str, Any]) -> Block:
    return Paragraph(
        f"The outer cross-validation was dealt {found['repeats']} times: the AUC of the primary model was {figure(found['auc_mean'])} on average, with a standard deviation of "
        f"{figure(found['auc_deviation'])} between dealings; {figure(found['auc_pooled'])} with each patient's log-odds averaged, which is what this report uses."
    )


def _ablation(rows: Sequence[Mapping[str, Any]]) -> Block:
    caption = (
        "Ablation: out-of-fold AUC of the primary classifier on every subset of the blocks, with DeLong's interval. Independent: the AUC that the blocks' own AUCs would give if their scores "
        "were independent; a fused AUC far above it is too good to be true. Last columns: what all blocks together add to the subset."
    )
    table = []
    for r in rows:
        more = r["full_minus_this"]
        gap: list[Cell | str] = [ABSENT, ABSENT] if more is None else [Cell(figure(more["value"]), _range(more)), p_value(number(more["p"]))]
        table.append([" + ".join(feature_name(b) for b in r["blocks"]), Cell(figure(r["auc"]["value"]), _range(r["auc"])), figure(r["independent"]), *gap])
    return Table(caption, ("Blocks", Cell("AUC", "95% CI"), "Independent", Cell("All minus this", "95% CI"), "p"), table)


def _optimism(found: Mapping[str, Any]) -> Block:
    caption = (
        f"Figures that the primary model shows on its own training patients, and what is left after the optimism of {found['samples']} bootstrap samples is taken off; "
        "signatures were learned anew on each, the classifier with its settings fixed. With many features this takes off too little: the out-of-fold figures are the ones to trust."
    )
    rows = [[FIGURES[name], *(figure(number(r[k])) for k in ("apparent", "optimism", "corrected"))] for name, r in found["figures"].items()]
    return Table(caption, ("Figure", "Apparent", "Optimism", "Corrected"), rows)


def _learning(rows: Sequence[Mapping[str, Any]], run: RunFolder, studio: Studio) -> list[Block]:
    known = [r for r in rows if r["auc"] is not None]
    if not known:
        return [Paragraph("A learning curve was asked for, but at every share some fold had too few patients of a class.")]
    x, y, low, high = ([float(v) for v in column] for column in zip(*((r["patients"], r["auc"]["value"], r["auc"]["low"], r["auc"]["high"]) for r in known), strict=True))

    def draw(made: Figure) -> None:
        axes, colour = made.subplots(), colour_of(run.primary[0])
        axes.fill_between(x, low, high, color=colour, alpha=0.16, linewidth=0)
        axes.plot(x, y, color=colour, marker="o", ms=4)
        axes.axhline(0.5, color=MUTED, lw=0.8, ls=":")
        axes.set(xlabel="Training patients", ylabel="Out-of-fold AUC")
        axes.grid(visible=True)

    caption = "Learning curve of the primary model: out-of-fold AUC, with DeLong's interval, by the number of patients that each fold learned from. A curve that still rises asks for more patients."
    return [Picture(studio.vector("learning", (4.2, 3.0), draw), "Learning curve", caption, 480)]


def _range(found: Mapping[str, Any]) -> str:
    return f"{figure(number(found['low']))}–{figure(number(found['high']))}"
