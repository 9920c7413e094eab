"""How far automatic masks can be trusted: measured figures with intervals, predicted against true Dice, volumes, groups, and the masks to look at."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sarcofuse.records import SPLITS
from sarcofuse.report.blocks import ABSENT, Block, Cell, Paragraph, Picture, Table, count, figure, interval
from sarcofuse.report.plotting import INK, MUTED, SPLIT_COLOURS, Studio, square
from sarcofuse.report.run_folder import SPLIT_NAMES, RunFolder, Score, number
from sarcofuse.report.sections.prompted import split_cell

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SHOWN = 25
_PREDICTED = (
    "Predicted Dice (from what is seen without a given mask) against the true one; bars: where nine such patients in ten are expected. "
    "For training patients the prediction was learned without the patient. "
)
_VOLUMES = "Volume of the automatic mask over that of the given one, against their geometric mean: the line is the bias, the dashed lines are the limits of agreement, the bands their intervals"
_ROUND_ML = [m * 10.0**k for k in range(-2, 5) for m in (1, 2, 5)]
_ROUND_RATIOS = [0.01, 0.02, 0.05, 0.1, 0.2, 0.33, 0.5, 0.67, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0, 100.0]
_MARKS = {"train": "o", "internal": "^", "external": "s"}


def figures(run: RunFolder, studio: Studio) -> list[Block]:
    """Tabulate what was measured of the masks, split by split, with intervals.

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
    rows: list[list[Cell | str]] = []
    for entry in _ordered(run.metrics["segmentation"]):
        if "surface_dice" not in entry:
            continue
        detection, ratio = entry.get("detection") or {}, entry.get("volume_ratio") or {}
        bias, lower, upper = (Score.read(ratio.get(k)) for k in ("bias", "lower", "upper"))
        limits = f"{_percent(lower.value)} to {_percent(upper.value)}" if lower.value is not None else ""
        cells = [_cell(entry.get(k), digits) for k, digits in (("dice", 3), ("surface_dice", 3), ("hd95_mm", 1), ("assd_mm", 1))]
        found: list[Cell | str] = [ABSENT, ABSENT]
        if detection:
            found = [Cell(f"{detection['found']} of {detection['lesions']}", interval(Score.read(detection.get("sensitivity")), 2)), _cell(detection.get("false_per_patient"), 2)]
        rows.append([split_cell(entry), *cells, Cell(_percent(bias.value), limits), *found, str(entry.get("missed", ABSENT))])
    if not rows:
        return []
    caption = (
        f"Automatic masks against the given ones, means with {run.coverage} intervals by bootstrap over patients. Surface Dice: share of both surfaces within 2 mm of the other. "
        "HD95: 95th percentile of the distance between the surfaces; ASSD: its mean; both in mm. Volume: mean of automatic over given, less one, and below it the limits between which "
        "most patients lie (Bland and Altman, on logarithms). Lesions: components of the given masks that are covered by at least a tenth; false: components of the automatic mask, a patient, "
        "that lie elsewhere. Not found: patients with a given mask "
        "in whom no tumour was found; they are in none of the other figures."
    )
    return [Table(caption, ("Split", "Dice", "Surface Dice", "HD95", "ASSD", "Volume", "Lesions found", "False", "Not found"), rows)]


def _ordered(entries: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return sorted((e for e in entries if e.get("split") in SPLITS), key=lambda e: SPLITS.index(e["split"]))


def _cell(content: object, digits: int) -> Cell:
    score = Score.read(content)
    return Cell(figure(score.value, digits), interval(score, digits))


def _percent(ratio: float | None) -> str:
    return ABSENT if ratio is None else f"{100 * (ratio - 1):+.0f}%".replace("-", "−")


def plots(run: RunFolder, studio: Studio) -> list[Block]:
    """Draw predicted against true Dice, volumes by Bland and Altman, and Dice by size, site and scanner.

    Parameters
    ----------
    run : RunFolder
        What there is to show.
    studio : Studio
        Who draws.

    Returns
    -------
    list of Block
        What to print; nothing where no mask can be compared.
    """
    graded = [q for q in run.quality if number(q.get("dice")) is not None]
    rated, sized = ([q for q in graded if number(q.get(key))] for key in ("predicted_dice", "truth_ml"))
    panels = [(_draw_predicted, rated)] * bool(rated) + [(_draw_volumes, sized)] * bool(sized)
    blocks: list[Block] = []
    if panels:

        def draw(made: Figure) -> None:
            for axes, (panel, entries) in zip(np.atleast_1d(made.subplots(1, len(panels))), panels, strict=True):
                panel(axes, run, entries)

        caption = _PREDICTED if rated else ""
        caption += f"{_VOLUMES}, of the split {SPLIT_NAMES[_foremost(run)].lower()}." if sized else ""
        blocks.append(Picture(studio.vector("masks-judged", (4.4 * len(panels), 3.7), draw), "Predicted against true Dice, and Bland-Altman plot of volumes", caption, 470 * len(panels)))
    return [*_predicted_table(run), *blocks, *_groups(run, studio)]


def _foremost(run: RunFolder) -> str:
    """Give the split that is most like new patients, of those with limits of agreement."""
    there = [str(e["split"]) for e in _ordered(run.metrics.get("segmentation") or []) if Score.read((e.get("volume_ratio") or {}).get("lower")).value is not None]
    return there[-1] if there else "train"


def _draw_predicted(axes: Axes, run: RunFolder, entries: Sequence[Mapping[str, Any]]) -> None:
    for split in SPLITS:
        own = [q for q in entries if q.get("split") == split]
        if own:
            said, true = [float(q["predicted_dice"]) for q in own], [float(q["dice"]) for q in own]
            low = [s - min(number(q.get("predicted_low")) or 0.0, s) for s, q in zip(said, own, strict=True)]
            high = [max(number(q.get("predicted_high")) or 1.0, s) - s for s, q in zip(said, own, strict=True)]
            axes.errorbar(said, true, xerr=[low, high], fmt="none", ecolor=SPLIT_COLOURS[split], elinewidth=0.5, alpha=0.35)
            axes.scatter(said, true, s=14, color=SPLIT_COLOURS[split], marker=_MARKS[split], linewidths=0, label=SPLIT_NAMES[split], zorder=3)
    axes.plot([0, 1], [0, 1], color=MUTED, lw=0.8, ls=":")
    below = number(run.setting("segment", "review_below"))
    if below:
        axes.axvline(below, color=MUTED, lw=0.8, ls=(0, (4, 3)))
    square(axes, "Predicted Dice", "Dice")
    axes.set_title("Predicted against true Dice")
    axes.legend(loc="upper left")


def _draw_volumes(axes: Axes, run: RunFolder, entries: Sequence[Mapping[str, Any]]) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    for split in SPLITS:
        pairs = [(float(q["volume_ml"]), float(q["truth_ml"])) for q in entries if q.get("split") == split and (number(q.get("volume_ml")) or 0) > 0]
        if pairs:
            axes.scatter([math.sqrt(a * b) for a, b in pairs], [a / b for a, b in pairs], s=14, color=SPLIT_COLOURS[split], marker=_MARKS[split], linewidths=0, label=SPLIT_NAMES[split])
    shown: Mapping[str, Any] = next((e for e in run.metrics.get("segmentation") or [] if e.get("split") == _foremost(run)), {})
    for name, score in {k: Score.read(v) for k, v in (shown.get("volume_ratio") or {}).items()}.items():
        if score.value is not None:
            axes.axhline(score.value, color=INK, lw=1.0, ls="solid" if name == "bias" else (0, (4, 3)))
        if score.low is not None and score.high is not None:
            axes.axhspan(score.low, score.high, color=MUTED, alpha=0.13, lw=0)
    axes.axhline(1.0, color=MUTED, lw=0.8, ls=":")
    axes.set(xscale="log", yscale="log", xlabel="Mean volume in ml", ylabel="Automatic / given volume", title="Volumes (Bland-Altman)")
    for axis, (low, high), round_ones in ((axes.xaxis, axes.get_xlim(), _ROUND_ML), (axes.yaxis, axes.get_ylim(), _ROUND_RATIOS)):
        axis.set_major_locator(FixedLocator([v for v in round_ones if low <= v <= high]))
        axis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
        axis.set_minor_locator(NullLocator())
    axes.grid(visible=True)


def _predicted_table(run: RunFolder) -> list[Block]:
    rows: list[list[Cell | str]] = []
    for e in _ordered(run.metrics.get("predicted_dice") or []):
        mae, constant, bias = (_cell(e.get(k), 3) for k in ("mae", "constant_mae", "bias"))
        share = number(e.get("within_interval"))
        flagged = f"{e.get('review')}" + ("" if number(e.get("review_dice_mean")) is None else f" (Dice {figure(number(e['review_dice_mean']), 2)})")
        rows.append([SPLIT_NAMES[str(e["split"])], str(e.get("patients")), mae, constant, bias, figure(number(e.get("correlation")), 2), ABSENT if share is None else f"{100 * share:.0f}%", flagged])
    if not rows:
        return []
    caption = (
        "How well the Dice of a mask is predicted without a given one. Error: mean absolute difference of predicted and true Dice; beside it the error of the training patients' "
        "mean Dice as everybody's prediction. Bias: predicted less true. "
        "Within: share of patients whose Dice lies in its interval, which is made for 90%. To review: masks below the limit, with their true mean Dice."
    )
    return [Table(caption, ("Split", "Patients", "Error", "Error of the mean", "Bias", "Correlation", "Within", "To review"), rows)]


def _groups(run: RunFolder, studio: Studio) -> list[Block]:
    entries: list[dict[str, Any]] = list(run.metrics.get("segmentation_groups") or [])
    places = list(dict.fromkeys((str(e["column"]), str(e["group"])) for e in entries))
    if not places:
        return []
    columns = list(dict.fromkeys(c for c, _ in places))
    places.sort(key=lambda p: columns.index(p[0]))  # groups stay in the order of metrics.json
    heights, at = dict[tuple[str, str], float](), 0.0
    for k, place in enumerate(places):
        at += 1.6 if k and place[0] != places[k - 1][0] else 1.0
        heights[place] = at

    def draw(made: Figure) -> None:
        axes = made.subplots()
        for e in entries:
            score, y = Score.read(e.get("dice")), heights[str(e["column"]), str(e["group"])] + 0.22 * (SPLITS.index(e["split"]) - 1)
            if score.low is not None and score.high is not None:
                axes.plot([score.low, score.high], [y, y], color=SPLIT_COLOURS[e["split"]], lw=1.5)
            axes.plot([np.nan if score.value is None else score.value], [y], marker=_MARKS[e["split"]], ms=4.5, ls="none", color=SPLIT_COLOURS[e["split"]])
            axes.text(1.03, y, str(e["patients"]), fontsize=6.5, color=MUTED, va="center")
        for split in (s for s in SPLITS if any(e["split"] == s for e in entries)):
            axes.plot([], [], marker=_MARKS[split], color=SPLIT_COLOURS[split], label=SPLIT_NAMES[split])
        axes.set(xlim=(-0.02, 1.1), ylim=(max(heights.values()) + 0.7, 0.3), xlabel="Mean Dice", title="Dice by " + ", ".join(columns))
        axes.set_yticks(list(heights.values()), [run.numbering.scrub(g) for _, g in places])
        axes.grid(visible=True, axis="x")
        axes.legend(loc="lower left")

    caption = f"Mean Dice with {run.coverage} intervals, by volume of the given mask (thirds of the training patients), site, and scanner where the cohort names it; on the right the patients."
    return [Picture(studio.vector("dice-groups", (6.4, 1.3 + 0.42 * max(heights.values())), draw), "Mean Dice by group", caption, 700)]


def review(run: RunFolder, studio: Studio) -> list[Block]:
    """List the masks to look at, worst first: of a predicted Dice below the limit, or beside which another structure is almost as likely.

    Parameters
    ----------
    run : RunFolder
        What there is to show.
    studio : Studio
        Who draws.

    Returns
    -------
    list of Block
        What to print; nothing where no Dice was predicted.
    """
    del studio
    rated = sorted((q for q in run.quality if number(q.get("predicted_dice")) is not None), key=lambda q: (float(q["predicted_dice"]), str(q.get("patient_id"))))
    if not rated:
        return []
    flagged, below = [q for q in rated if q.get("review")], figure(number(run.setting("segment", "review_below", default=0.6)), 2)
    if not flagged:
        return [Paragraph(f"No mask has a predicted Dice below {below} or a rival.")]
    rows: list[list[Cell | str]] = []
    for q in flagged[:_SHOWN]:
        low, high = number(q.get("predicted_low")), number(q.get("predicted_high"))
        said = Cell(figure(float(q["predicted_dice"]), 2), "" if low is None or high is None else f"{figure(low, 2)} to {figure(high, 2)}")
        split = SPLIT_NAMES.get(str(q.get("split")), str(q.get("split")))
        known = (number(q.get("dice")), number((q.get("signs") or {}).get("share_kept")), number(q.get("confidence")))
        rows.append([run.numbering.label(str(q.get("patient_id"))), split, said, *(figure(v, 2) for v in known), figure(number(q.get("volume_ml")), 1)])
    rest = f" {len(flagged) - _SHOWN} more follow in quality.csv." if len(flagged) > _SHOWN else ""
    caption = (
        f"Masks to look at, worst first: {count(len(flagged), 'mask')} of {len(rated)}, with a predicted Dice below {below} (segment.review_below), or with another structure "
        "that is almost as likely: kept is the share of the probability that lies in the part taken for the tumour, and below 0.75 the tumour may be elsewhere. "
        f"Below the prediction, where nine such masks in ten are expected; beside it the true Dice, where a mask was given. Confidence: mean tumour probability inside the mask.{rest}"
    )
    return [Table(caption, ("Patient", "Split", "Predicted Dice", "Dice", "Kept", "Confidence", "Volume in ml"), rows, labels=2)]
