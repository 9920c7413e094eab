"""ROC, calibration and decision curves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sarcofuse.report.blocks import Block, Picture, figure
from sarcofuse.report.plotting import INK, MUTED, PAPER, Studio, colour_of, dashes_of, square
from sarcofuse.report.run_folder import CLASSIFIER_NAMES, SPLIT_NAMES, RunFolder, feature_name, model_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

PRINTED = {"calibration_slope": "slope", "slope": "slope", "calibration_intercept": "intercept", "intercept": "intercept", "brier": "Brier", "ici": "ICI", "e90": "E90"}
KEY: dict[str, Any] = {"frameon": True, "framealpha": 0.8, "edgecolor": "none", "facecolor": PAPER}


def _panels(run: RunFolder, kind: str) -> tuple[list[str], list[str]]:
    """Give the splits and the feature sets that have such curves with the primary classifier."""
    classifier = run.primary[1]
    feature_sets = list(dict.fromkeys(f for f, c in run.models if c == classifier))
    splits = [s for s in run.splits if any(run.curve(f, classifier, s, kind) for f in feature_sets)]
    return splits, feature_sets


def numbers(values: object) -> NDArray[np.float64]:
    """Turn a list with gaps into an array.

    Parameters
    ----------
    values : object
        List of numbers and None; None for no list.

    Returns
    -------
    ndarray of float64
        NaN for None.

    Examples
    --------
    >>> numbers([1, None])
    array([ 1., nan])
    """
    return np.array([np.nan if v is None else float(v) for v in (values if isinstance(values, Sequence) else ())], dtype=np.float64)


def roc(run: RunFolder, studio: Studio) -> list[Block]:
    """Draw the ROC curves of the feature sets with the primary classifier.

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
    splits, feature_sets = _panels(run, "roc")
    if not splits:
        return []
    classifier = run.primary[1]

    def draw(made: Figure) -> None:
        for axes, split in zip(made.subplots(1, len(splits), squeeze=False)[0], splits, strict=True):
            axes.plot([0, 1], [0, 1], color=MUTED, lw=0.8, ls=":")
            for features in feature_sets:
                points, row = run.curve(features, classifier, split, "roc"), run.score(features, classifier, split)
                if points:
                    label = f"{feature_name(features)} {figure(row.auc.value) if row else ''}"
                    axes.plot(numbers(points.get("fpr")), numbers(points.get("tpr")), color=colour_of(features), ls=dashes_of(features), label=label)
            square(axes, "1 − specificity", "Sensitivity" if split == splits[0] else "")
            axes.set_title(SPLIT_NAMES[split])
            axes.legend(loc="lower right", title="AUC", title_fontsize=8, alignment="left")

    caption = f"ROC curves with {CLASSIFIER_NAMES.get(classifier, classifier)}, the classifier of the primary model. Training curves are of out-of-fold risks. The dotted line is chance."
    return [Picture(studio.vector("roc", (3.35 * len(splits), 3.45), draw), "ROC curves by split", caption, 400 * len(splits))]


def precision_recall(run: RunFolder, studio: Studio) -> list[Block]:
    """Draw the precision-recall curves of the feature sets with the primary classifier.

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
    splits, feature_sets = _panels(run, "pr")
    if not splits:
        return []
    classifier = run.primary[1]

    def draw(made: Figure) -> None:
        for axes, split in zip(made.subplots(1, len(splits), squeeze=False)[0], splits, strict=True):
            row = next((r for r in run.scores if r.split == split), None)
            if row is not None and row.patients and row.events is not None:
                axes.axhline(row.events / row.patients, color=MUTED, lw=0.8, ls=":")
            for features in feature_sets:
                points, row = run.curve(features, classifier, split, "pr"), run.score(features, classifier, split)
                if points:
                    label = f"{feature_name(features)} {figure(row.scores['average_precision'].value) if row and 'average_precision' in row.scores else ''}"
                    recall, precision = numbers(points.get("recall")), numbers(points.get("precision"))
                    axes.plot(recall, precision, color=colour_of(features), ls=dashes_of(features), label=label, drawstyle="steps-pre")
            square(axes, "Sensitivity (recall)", "PPV (precision)" if split == splits[0] else "")
            axes.set_title(SPLIT_NAMES[split])
            axes.legend(loc="upper right", title="Average precision", title_fontsize=8, alignment="left", **KEY)

    caption = (
        f"Precision-recall curves with {CLASSIFIER_NAMES.get(classifier, classifier)}: of those called positive, the share with {run.outcome}, against the share of all patients with "
        f"{run.outcome} that is found. The dotted line is the share of patients with {run.outcome}, which calling everybody positive reaches."
    )
    return [Picture(studio.vector("precision_recall", (3.35 * len(splits), 3.45), draw), "Precision-recall curves by split", caption, 400 * len(splits))]


def calibration(run: RunFolder, studio: Studio) -> list[Block]:
    """Draw the calibration of the primary model.

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
    splits = [s for s in run.splits if run.curve(*run.primary, s, "calibration")]
    if not splits:
        return []

    def draw(made: Figure) -> None:
        for axes, split in zip(made.subplots(1, len(splits), squeeze=False)[0], splits, strict=True):
            _draw_calibration(axes, run, split)
            square(axes, "Predicted risk", f"Observed share with {run.outcome}" if split == splits[0] else "")
            axes.set_title(SPLIT_NAMES[split])

    caption = (
        f"Calibration of the primary model ({model_name(*run.primary)}): among patients given a risk of 30%, 30% should have the event (dotted line). "
        "Points: groups of patients by predicted risk, with intervals of the observed share. Curve: smoothed over all patients. Below the line, risks are overestimated."
    )
    return [Picture(studio.vector("calibration", (3.35 * len(splits), 3.45), draw), "Calibration plots by split", caption, 400 * len(splits))]


def _draw_calibration(axes: Axes, run: RunFolder, split: str) -> None:
    points, colour = run.curve(*run.primary, split, "calibration"), colour_of(run.primary[0])
    axes.plot([0, 1], [0, 1], color=MUTED, lw=0.8, ls=":")
    smooth_x, smooth_y = numbers(points.get("smooth_x")), numbers(points.get("smooth_y"))
    if smooth_x.size and smooth_x.size == smooth_y.size:
        axes.plot(smooth_x, smooth_y, color=colour)
    x, y, low, high = (numbers(points.get(k)) for k in ("predicted", "observed", "low", "high"))
    if low.size == x.size == high.size:
        axes.vlines(x, low, high, color=INK, lw=0.9)
    if x.size == y.size:
        axes.plot(x, y, ls="none", marker="o", ms=4.5, color=INK)
    row = run.score(*run.primary, split)
    if row is not None:
        known = [(name, row.scores[key].value) for key, name in PRINTED.items() if key in row.scores]
        axes.text(0.02, 0.98, "\n".join(f"{name} {figure(value, 2)}" for name, value in known), transform=axes.transAxes, va="top", fontsize=8, color=INK)


def decision(run: RunFolder, studio: Studio) -> list[Block]:
    """Draw the decision curves of the feature sets with the primary classifier, with treat-all and treat-none.

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
    splits, feature_sets = _panels(run, "decision")
    if not splits:
        return []
    classifier = run.primary[1]

    def draw(made: Figure) -> None:
        for axes, split in zip(made.subplots(1, len(splits), squeeze=False)[0], splits, strict=True):
            _draw_decision(axes, run, split, feature_sets, classifier)
            axes.set(title=SPLIT_NAMES[split], xlabel="Threshold risk", ylabel="Net benefit" if split == splits[0] else "")
            axes.grid(visible=True)
        made.axes[-1].legend(loc="upper right")

    caption = (
        "Decision curves: the net benefit of treating those whose risk passes the threshold, against treating everybody and nobody. "
        "A model helps where its curve lies above both. Shaded: the interval of the primary model."
    )
    return [Picture(studio.vector("decision", (3.35 * len(splits), 3.2), draw), "Decision curves by split", caption, 400 * len(splits))]


def reduction(run: RunFolder, studio: Studio) -> list[Block]:
    """Draw the interventions that the feature sets with the primary classifier avoid.

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
    splits, feature_sets = _panels(run, "reduction")
    if not splits:
        return []
    classifier = run.primary[1]

    def draw(made: Figure) -> None:
        for axes, split in zip(made.subplots(1, len(splits), squeeze=False, sharey=True)[0], splits, strict=True):
            axes.axhline(0, color=INK, lw=1.1)
            for features in feature_sets:
                points = run.curve(features, classifier, split, "reduction")
                x, y, low, high = (numbers(points.get(k)) for k in ("threshold", "avoided", "low", "high"))
                if (features, classifier) == run.primary and low.size == x.size == high.size:
                    axes.fill_between(x, low, high, color=colour_of(features), alpha=0.16, linewidth=0)
                axes.plot(x, y, color=colour_of(features), ls=dashes_of(features), label=feature_name(features))
            axes.set(title=SPLIT_NAMES[split], xlabel="Threshold risk", xlim=(0, 1), ylim=(-50, 102), ylabel="Avoided per 100 patients" if split == splits[0] else "")
            axes.grid(visible=True)
        made.axes[-1].legend(loc="lower right")

    caption = (
        "Net reduction: interventions avoided per 100 patients, with no patient who needs one missed on balance, against treating everybody. "
        "Below 0 treating everybody is better. Shaded: the interval of the primary model."
    )
    return [Picture(studio.vector("net_reduction", (3.35 * len(splits), 3.2), draw), "Net reduction in interventions by split", caption, 400 * len(splits))]


def _draw_decision(axes: Axes, run: RunFolder, split: str, feature_sets: Sequence[str], classifier: str) -> None:
    top, treated = 0.05, False
    for features in feature_sets:
        points = run.curve(features, classifier, split, "decision")
        x, y, everybody, low, high = (numbers(points.get(k)) for k in ("threshold", "net_benefit", "treat_all", "low", "high"))
        if not x.size or x.size != y.size:
            continue
        if not treated and everybody.size == x.size:
            axes.plot(x, everybody, color=INK, lw=1.1, label="Treat all")
            axes.axhline(0, color=INK, lw=1.1, ls=(0, (6, 2)), label="Treat none")
            treated, top = True, max(top, _peak(everybody))
        if (features, classifier) == run.primary and low.size == x.size == high.size:
            axes.fill_between(x, low, high, color=colour_of(features), alpha=0.16, linewidth=0)
            top = max(top, _peak(high))
        axes.plot(x, y, color=colour_of(features), ls=dashes_of(features), label=feature_name(features))
        top = max(top, _peak(y))
    axes.set(xlim=(0, 1), ylim=(-0.3 * top, 1.08 * top))


def _peak(values: NDArray[np.float64]) -> float:
    return float(values[np.isfinite(values)].max(initial=0.0))
