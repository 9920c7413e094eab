"""The first screen: what came out, in a sentence, and what must be known before it is believed."""

from __future__ import annotations

from collections.abc import Sequence

from sarcofuse.report.blocks import Block, Callout, Paragraph, Tile, Tiles, count, figure, interval
from sarcofuse.report.plotting import Studio
from sarcofuse.report.run_folder import SPLIT_NAMES, ModelScores, RunFolder, model_name

FEW = 10
SYNTHETIC = "These patients were made by a computer, so that the truth is known. The figures show what the pipeline can do; they say nothing about sarcoma."
WHERE = {"train": "On the training patients (risks out-of-fold)", "internal": "On the internal test patients", "external": "On the external test patients"}


def headline(run: RunFolder, studio: Studio) -> list[Block]:
    """Show the primary model's AUC by split, its meaning in words, and every warning.

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
    shown = [row for row in (run.score(*run.primary, s) for s in ("external", "internal", "train")) if row is not None]
    blocks: list[Block] = []
    if run.run.get("phantom") or run.metrics.get("bayes"):
        blocks.append(Callout("Synthetic patients", (SYNTHETIC,), "note"))
    if not shown:
        blocks.append(Callout("No result yet", (f"The run holds no evaluation of the primary model ({model_name(*run.primary)}).",), "warning"))
    else:
        defined = next((i for i, row in enumerate(shown) if row.auc.value is not None), 0)
        blocks += [*(Paragraph(meaning(row, run), "lead") for row in shown[: defined + 1]), _tiles(run, shown)]
    given = [str(w) for w in run.run.get("warnings") or []]
    warnings = [sentence(run.numbering.scrub(w)) for w in given] + few_events(run, given)
    if warnings:
        blocks.append(Callout("Before you rely on this", tuple(dict.fromkeys(warnings)), "warning"))
    return blocks


def meaning(row: ModelScores, run: RunFolder) -> str:
    """Say in words what an AUC and its interval mean.

    Parameters
    ----------
    row : ModelScores
        The primary model on one split.
    run : RunFolder
        For the names of model and outcome.

    Returns
    -------
    str
        Two or three sentences.
    """
    auc, where = row.auc, WHERE.get(row.split, f"On {row.split} patients")
    if auc.value is None:
        return f"{where}, the AUC of the primary model ({row.name}) is not defined: it takes patients with {run.outcome} and patients without."
    pairs = f"of 100 pairs of a patient with {run.outcome} and one without, the one with {run.outcome} gets the higher risk in {round(100 * auc.value)}; chance would be 50."
    says = f"{where}, the primary model ({row.name}) reaches an AUC of {figure(auc.value)}: {pairs}"
    if auc.low is None or auc.high is None:
        return f"{says} No interval could be computed."
    span = f"The {run.coverage} interval runs from {interval(auc)}"
    if auc.low <= 0.5 <= auc.high:
        return f"{says} {span} and includes 0.5: these patients do not show that the model is better than chance."
    if auc.high < 0.5:
        return f"{says} {span}, all of it below 0.5: the model ranks these patients worse than chance would."
    wide = f" It is {figure(auc.high - auc.low, 2)} wide, so the true value may be far from the figure." if auc.high - auc.low > 0.2 else ""
    return f"{says} {span}, all of it above 0.5.{wide}"


def _tiles(run: RunFolder, shown: list[ModelScores]) -> Tiles:
    tiles = [Tile(f"AUC, {SPLIT_NAMES[r.split].lower()}", figure(r.auc.value), _bounds(r, run), "first" if i == 0 else "") for i, r in enumerate(shown)]
    dice = {str(d.get("split")): d for d in run.metrics.get("segmentation") or []}
    best = next((dice[s] for s in ("external", "internal", "train") if s in dice), None)
    if best is not None and best.get("dice_mean") is not None:
        tiles.append(Tile(f"Mean Dice, {SPLIT_NAMES[str(best['split'])].lower()}", figure(best["dice_mean"]), (f"median {figure(best.get('dice_median'))}", count(best.get("patients"), "patient"))))
    return Tiles(tuple(tiles))


def _bounds(row: ModelScores, run: RunFolder) -> tuple[str, str]:
    bounds = f"{run.coverage} CI {interval(row.auc)}" if interval(row.auc) else "no interval"
    return bounds, f"{count(row.patients, 'patient')}, {count(row.events, 'event')}"


def sentence(text: str) -> str:
    """Make a warning a sentence: a capital first, a full stop last.

    Parameters
    ----------
    text : str
        The warning.

    Returns
    -------
    str
        The sentence.

    Examples
    --------
    >>> sentence("two sites have one patient each")
    'Two sites have one patient each.'
    """
    text = text.strip()
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


def few_events(run: RunFolder, given: Sequence[str]) -> list[str]:
    """Warn of splits with too few events, or too few patients without, to judge a model by.

    Parameters
    ----------
    run : RunFolder
        What there is to show.
    given : sequence of str
        The run's own warnings, which may have said so already.

    Returns
    -------
    list of str
        A sentence a split.
    """
    found = []
    for split in (s for s in run.splits if not any(w.startswith(f"split {s} has") for w in given)):
        row = next(r for r in run.scores if r.split == split)
        if row.patients is None or row.events is None or min(row.events, row.patients - row.events) >= FEW:
            continue
        numbers = f"{SPLIT_NAMES[split]}: {count(row.events, 'event')} among {count(row.patients, 'patient')}."
        found.append(f"{numbers} With fewer than {FEW} on either side, every figure here can move a long way by the chance of a few patients.")
    return found
