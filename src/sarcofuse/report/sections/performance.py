"""Tables of the models' figures, the published ones beside them, and what could have been reached."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from sarcofuse.records import SPLITS, block_alone
from sarcofuse.report.blocks import ABSENT, Block, Cell, Details, Paragraph, Picture, Table, count, figure, interval
from sarcofuse.report.plotting import INK, MUTED, Studio, colour_of
from sarcofuse.report.run_folder import SPLIT_NAMES, ModelScores, RunFolder, Score, classifier_name, feature_name, model_name, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text

STUDY_FIGURES = (("sensitivity", "Sens."), ("specificity", "Spec."), ("accuracy", "Acc."), ("ppv", "PPV"), ("npv", "NPV"))
NAMES = {"auc": "AUC", "sensitivity": "Sensitivity", "specificity": "Specificity", "accuracy": "Accuracy", "ppv": "PPV", "npv": "NPV", "brier": "Brier score"}
NAMES |= {"average_precision": "Average precision", "ici": "ICI", "e90": "E90"}
PUBLISHED = (("DLR with ExtraTrees", 0.818, 0.809), ("Radiomic", 0.710, 0.612), ("Deep", 0.751, 0.667))
DOI = "10.1007/s10278-025-01653-w"


def model_table(run: RunFolder, studio: Studio) -> list[Block]:
    """Lay out all models as the study did: feature set and classifier down, cohorts and figures across.

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
    splits = run.splits
    best, last = best_external(run), splits[-1]
    rows: list[list[Cell | str]] = []
    bands, before = list[int](), ""
    for features, classifier in run.models:
        if features != before and before:
            bands.append(len(rows))
        lead = (features, classifier) == run.primary
        row: list[Cell | str] = [Cell(feature_name(features) if features != before else ""), Cell(classifier_name(classifier), "primary model" if lead else "", "lead" if lead else "")]
        before = features
        for split in splits:
            scores = run.score(features, classifier, split)
            auc = Score() if scores is None else scores.auc
            row.append(Cell(figure(auc.value), interval(auc).replace(" to ", "–"), "best" if split == last and (features, classifier) == best else ""))
            row += [Cell(figure(None if scores is None else scores.scores.get(key, Score()).value)) for key, _ in STUDY_FIGURES]
        rows.append(row)
    groups = [("", 2)] + [(_group(run, s), 1 + len(STUDY_FIGURES)) for s in splits]
    columns: list[Cell | str] = ["Features", "Classifier"]
    columns += [Cell("AUC", f"{run.coverage} CI"), *(short for _, short in STUDY_FIGURES)] * len(splits)
    where = SPLIT_NAMES[last].lower()
    caption = (
        "All models, laid out as in the published study. Sensitivity, specificity, accuracy, PPV and NPV are at each model's own threshold, fixed on training patients. "
        f"Training figures are out-of-fold. Shaded: the largest AUC on {where} patients, marked for reading only; the primary model was named in the settings before any test outcome was read."
    )
    return [Table(caption, columns, rows, groups, labels=2, bands=bands, wide=True)]


def _group(run: RunFolder, split: str) -> str:
    row = next(r for r in run.scores if r.split == split)
    name = "Training (out-of-fold)" if split == "train" else SPLIT_NAMES[split]
    return f"{name}: {count(row.patients, 'patient')}, {count(row.events, 'event')}"


def best_external(run: RunFolder) -> tuple[str, str] | None:
    """Name the model of largest AUC on the last split (external where there is one).

    Parameters
    ----------
    run : RunFolder
        What there is to show.

    Returns
    -------
    tuple of str or None
        Feature set and classifier; the earlier one of equals; None if no AUC is defined.
    """
    shown = set(run.models)
    rows = [(r.auc.value, r) for r in run.scores if r.split == run.splits[-1] and r.auc.value is not None and (r.features, r.classifier) in shown]
    if not rows:
        return None
    top = max(value for value, _ in rows)
    first = next(r for value, r in rows if value == top)
    return first.features, first.classifier


def forest(run: RunFolder, studio: Studio) -> list[Block]:
    """Draw the AUC of every model with its interval, split by split.

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
    splits, models = run.splits, run.models
    known = bool(run.metrics.get("bayes"))
    lowest = min([0.4, *(v - 0.03 for r in run.scores for v in (r.auc.low, r.auc.value) if v is not None)])

    def draw(made: Figure) -> None:
        for axes, split in zip(made.subplots(1, len(splits), sharey=True, squeeze=False)[0], splits, strict=True):
            for i, model in enumerate(models):
                row = run.score(*model, split)
                if row is not None:
                    _draw_score(axes, i, row, lead=model == run.primary)
                reached = bayes_auc(run, model[0], split)
                if reached is not None:
                    axes.plot([reached], [i], marker="|", ms=11, mec=INK, mew=1.3, ls="none")
            axes.axvline(0.5, color=MUTED, lw=0.8, ls=":")
            axes.set(title=SPLIT_NAMES[split], xlabel="AUC", xlim=(lowest, 1.02), ylim=(len(models) - 0.4, -0.6))
            axes.grid(visible=True, axis="x")
            axes.tick_params(axis="y", length=0)
        for label, model in zip(_label_models(made.axes[0], models), models, strict=True):
            label.set_fontweight("bold" if model == run.primary else "normal")

    caption = f"AUC of every model with its {run.coverage} interval; the primary model in bold. The dotted line is chance."
    caption += " Upright strokes: the Bayes AUC, the most that any model could reach from the same sources." if known else ""
    return [Picture(studio.vector("auc", (9.6, 0.9 + 0.25 * len(models)), draw), "AUC of every model with interval, by split", caption)]


def _label_models(axes: Axes, models: list[tuple[str, str]]) -> list[Text]:
    axes.set_yticks(range(len(models)), [model_name(*m) for m in models])
    return list(axes.get_yticklabels())


def _draw_score(axes: Axes, place: int, row: ModelScores, *, lead: bool) -> None:
    auc, colour = row.auc, colour_of(row.features)
    if auc.low is not None and auc.high is not None:
        axes.plot([auc.low, auc.high], [place, place], color=colour, lw=2.4 if lead else 1.4)
    if auc.value is not None:
        axes.plot([auc.value], [place], marker="o", ms=6 if lead else 4.5, color=colour, ls="none")


def all_figures(run: RunFolder, studio: Studio) -> list[Block]:
    """Tabulate every figure of metrics.json with its interval, a table a split.

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
    keys = list(dict.fromkeys(k for r in run.scores for k, s in r.scores.items() if s.value is not None))
    keys = sorted(keys, key=lambda k: list(NAMES).index(k) if k in NAMES else len(NAMES))
    blocks: list[Block] = []
    for split in run.splits:
        rows = [_every_figure(row, keys, lead=model == run.primary) for model in run.models if (row := run.score(*model, split)) is not None]
        blocks.append(Table(f"{_group(run, split)}.", ["Model", *(NAMES.get(k, k.replace("_", " ").capitalize()) for k in keys)], rows, wide=True))
    return [Details(f"Every figure with its {run.coverage} interval", blocks)]


def _every_figure(row: ModelScores, keys: Sequence[str], *, lead: bool) -> list[Cell | str]:
    scores = [row.scores.get(k, Score()) for k in keys]
    return [Cell(row.name, "", "lead" if lead else ""), *(Cell(figure(s.value), interval(s).replace(" to ", "–")) for s in scores)]


def published(run: RunFolder, studio: Studio) -> list[Block]:
    """Show the published study's figures, clearly as another cohort's.

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
    del run, studio
    rows: list[list[Cell | str]] = [[name, figure(a), figure(b)] for name, a, b in PUBLISHED]
    rows.append([Cell("Source", f"doi {DOI}", href=f"https://doi.org/{DOI}"), "", ""])
    caption = (
        "For reference only: AUC in the published study that this pipeline follows. It is another cohort (803 patients, T2 fat-suppressed MRI) with other events; "
        "a difference from the figures above shows no merit or fault of either. Its automatic masks reach a Dice of 0.728."
    )
    return [Table(caption, ("Published study", "Internal test AUC", "External test AUC"), rows)]


def bayes_auc(run: RunFolder, features: str, split: str) -> float | None:
    """Find the Bayes AUC of a feature set's sources on a split.

    Parameters
    ----------
    run : RunFolder
        What there is to show.
    features, split : str
        Which.

    Returns
    -------
    float or None
        None if it is not known; a figure that names no split holds for all.
    """
    entries = [e for e in run.metrics.get("bayes") or [] if e.get("features") == features and e.get("split") in (split, None)]
    return number(entries[0].get("auc")) if entries else None


def recovered(auc: float | None, bayes: float | None) -> float | None:
    """Give the share of the Bayes AUC's excess over chance that a model reaches.

    Parameters
    ----------
    auc, bayes : float or None
        The model's AUC and the Bayes AUC.

    Returns
    -------
    float or None
        (AUC − 0.5) / (Bayes AUC − 0.5); None where either is not known or the Bayes AUC is no better than chance.

    Examples
    --------
    >>> recovered(0.65, 0.8)
    0.5
    """
    if auc is None or bayes is None or bayes <= 0.5:
        return None
    return round((auc - 0.5) / (bayes - 0.5), 12)


def bayes(run: RunFolder, studio: Studio) -> list[Block]:
    """Compare external AUCs with the Bayes AUC of the sources that each model uses.

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
    if not run.splits:
        return []
    split = run.splits[-1]
    rows: list[list[Cell | str]] = []
    bands, before = list[int](), ""
    for features, classifier in run.models:
        row, most = run.score(features, classifier, split), bayes_auc(run, features, split)
        auc = Score() if row is None else row.auc
        share = recovered(auc.value, most)
        if before and features != before:
            bands.append(len(rows))
        before = features
        name = Cell(model_name(features, classifier), "", "lead" if (features, classifier) == run.primary else "")
        rows.append([name, figure(auc.value), interval(auc) or ABSENT, figure(most), ABSENT if share is None else f"{figure(100 * share, 0)}%"])
    text = (
        "In a synthetic cohort the true risk of every patient is known, and with it the Bayes AUC: the AUC of a perfect reader of the sources that a model may use. "
        "A model that recovers 100% has found all there is to find; a negative share means worse than chance. With few patients a model may pass 100% by luck."
    )
    caption = f"{SPLIT_NAMES[split]} patients. Recovered: (AUC − 0.5) / (Bayes AUC − 0.5)."
    return [Paragraph(text), Table(caption, ("Model", "AUC", f"{run.coverage} CI", "Bayes AUC of its sources", "Recovered"), rows, bands=bands)]


def comparisons(run: RunFolder, studio: Studio) -> list[Block]:
    """Tabulate DeLong's paired comparisons with Holm's correction.

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
    entries = run.metrics["comparisons"]
    splits = [s for s in SPLITS if any(e.get("split") == s for e in entries)]
    pairs = list(dict.fromkeys((str(e.get("classifier", "")), str(e.get("first", "")), str(e.get("second", ""))) for e in entries))
    at = {(str(e.get("split", "")), str(e.get("classifier", "")), str(e.get("first", "")), str(e.get("second", ""))): e for e in entries}
    rows: list[list[Cell | str]] = []
    bands, before = list[int](), ""
    for classifier, first, second in pairs:
        if before and classifier != before:
            bands.append(len(rows))
        row: list[Cell | str] = [classifier_name(classifier) if classifier != before else "", f"{feature_name(first)} − {feature_name(second)}"]
        before = classifier
        for split in splits:
            row += _difference(at.get((split, classifier, first, second), {}))
        rows.append(row)
    small = sum(1 for e in entries if (h := number(e.get("p_holm"))) is not None and h < 0.05)
    says = "No difference between feature sets is significant after correction: the order of the models above may be chance."
    if small:
        says = f"{count(small, 'difference')} of {len(entries)} {'stays' if small == 1 else 'stay'} below 0.05 after Holm's correction (bold)."
    caption = (
        "Differences of AUC between feature sets with the same classifier, on the same patients (DeLong's test for paired curves), "
        f"with {run.coverage} intervals. Holm: p corrected for the number of comparisons."
    )
    if any(block_alone(second) for _, _, second in pairs):
        caption += (
            " What fusion adds is told by the rows against a signature: that model sees what the fused one sees, less the other signature. Radiomic and deep models see the selected features "
            "instead, so that a difference from them is also that of another way in."
        )
    groups = [("", 2)] + [(SPLIT_NAMES[s], 3) for s in splits]
    columns: list[Cell | str] = ["Classifier", "Difference of"]
    columns += [Cell("Difference", f"{run.coverage} CI"), "p", "p, Holm"] * len(splits)
    return [*(Paragraph(told, "lead") for told in fusion_adds(run)), Paragraph(says), Table(caption, columns, rows, groups, labels=2, bands=bands, wide=True)]


def fusion_adds(run: RunFolder) -> list[str]:
    """Say whether fusion adds to each signature in the primary classifier, on the last split (external where there is one).

    Parameters
    ----------
    run : RunFolder
        What there is to show.

    Returns
    -------
    list of str
        A sentence a signature; empty where signatures are not fused.
    """
    found = []
    for row in run.metrics["comparisons"]:
        low, high = number(row.get("low")), number(row.get("high"))
        if row.get("split") != run.splits[-1] or row.get("classifier") != run.primary[1] or not block_alone(str(row.get("second"))) or low is None or high is None:
            continue
        verdict = "fusion adds to it" if low > 0 else "fusion takes away from it" if high < 0 else "these patients do not show that fusion adds to it"
        names = f"{model_name(row['first'], row['classifier'])} less the {feature_name(row['second']).lower()} in the same classifier"
        found.append(f"{SPLIT_NAMES[row['split']]} patients, {names}: AUC {figure(number(row['difference']))} ({run.coverage} CI {figure(low)} to {figure(high)}); {verdict}.")
    return found


def _difference(entry: Mapping[str, object]) -> list[Cell | str]:
    score = Score(*(number(entry.get(k)) for k in ("difference", "low", "high")))
    p, holm = number(entry.get("p")), number(entry.get("p_holm"))
    return [Cell(figure(score.value), interval(score)), p_value(p), Cell(p_value(holm), "", "lead" if holm is not None and holm < 0.05 else "")]


def p_value(p: float | None) -> str:
    """Print a p value.

    Parameters
    ----------
    p : float or None
        The value.

    Returns
    -------
    str
        Three decimals, or ``< 0.001``.

    Examples
    --------
    >>> p_value(0.00004), p_value(0.0421)
    ('< 0.001', '0.042')
    """
    return "< 0.001" if p is not None and p < 0.001 else figure(p)
