"""What a doubting reader asks: enough patients, risks that fit, fusion that is not too good to be true."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sarcofuse.records import SPLITS
from sarcofuse.report.blocks import ABSENT, Block, Cell, Paragraph, Table, count, figure, interval
from sarcofuse.report.plotting import Studio
from sarcofuse.report.run_folder import SPLIT_NAMES, RunFolder, Score, classifier_name, feature_name, model_name, number
from sarcofuse.report.sections.performance import p_value

MOVES = (("nri", "NRI"), ("nri_continuous", "Continuous NRI"), ("idi", "IDI"))


def sample_size(run: RunFolder, studio: Studio) -> list[Block]:
    """Say whether the training patients were enough.

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
    return [Paragraph(_enough(row)) for row in run.metrics["sample_size"]]


def _enough(row: Mapping[str, Any]) -> str:
    who = f"{count(row.get('patients'), 'training patient')} with {count(row.get('events'), 'event')}"
    r2, affordable = number(row.get("r2")), row.get("affordable")
    if affordable is None:
        return f"Sample size: with an out-of-fold AUC of {figure(number(row.get('auc')))} the {who} show no signal that a number of patients could be reckoned from."
    says = (
        f"Sample size: an out-of-fold AUC of {figure(number(row.get('auc')))} stands for a Cox-Snell R² of {figure(r2)} (at most {figure(number(row.get('r2_max')))} here). "
        f"By Riley's criteria (shrinkage of at least 0.9, optimism of R² of at most 0.05, overall risk known to within 0.05) the {who} are enough for "
    )
    says += f"up to {count(affordable, 'candidate predictor')}." if affordable else "no model at all."
    if row.get("minimum") is not None:
        says += (
            f" The primary model had {count(row.get('candidates'), 'candidate')}, which ask for {count(row.get('minimum'), 'patient')}; "
            f"with those there are, a shrinkage of {figure(number(row.get('expected_shrinkage')), 2)} is to be expected."
        )
    return f"{says} The criteria are made for models without a penalty; a penalised model shrinks itself, yet what counts is what it was offered, not what it kept."


def goodness(run: RunFolder, studio: Studio) -> list[Block]:
    """Tabulate Hosmer and Lemeshow's test of the primary model, where it was asked for.

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
    for row in run.metrics["models"]:
        test = row.get("hosmer_lemeshow")
        if test and (row.get("features"), row.get("classifier")) == run.primary:
            rows.append([SPLIT_NAMES.get(row["split"], row["split"]), figure(number(test.get("statistic")), 2), str(test.get("freedom", ABSENT)), p_value(number(test.get("p")))])
    caption = "Hosmer and Lemeshow's test of the primary model. It depends on the number of patients more than on how far risks are off: many reject good models, few pass poor ones."
    return [Table(caption, ("Patients", "Chi-squared", "Degrees of freedom", "p"), rows)] if rows else []


def reclassification(run: RunFolder, studio: Studio) -> list[Block]:
    """Tabulate how DLR moves patients against one source alone.

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
    entries = [e for e in run.metrics["comparisons"] if "nri" in e]
    if not entries:
        return []
    splits = [s for s in SPLITS if any(e.get("split") == s for e in entries)]
    pairs = list(dict.fromkeys((str(e.get("classifier")), str(e.get("first")), str(e.get("second"))) for e in entries))
    at = {(e.get("split"), e.get("classifier"), e.get("first"), e.get("second")): e for e in entries}
    rows: list[list[Cell | str]] = []
    bands, before = list[int](), ""
    for classifier, first, second in pairs:
        if before and classifier != before:
            bands.append(len(rows))
        row: list[Cell | str] = [classifier_name(classifier) if classifier != before else "", f"{feature_name(first)} against {feature_name(second)}"]
        before = classifier
        for split in splits:
            found = at.get((split, classifier, first, second), {})
            row += [_move(found.get(key)) for key, _ in MOVES]
        rows.append(row)
    cuts = run.setting("evaluation", "risk_categories", default=())
    by = f"the risk categories parted at {', '.join(f'{float(c):g}' for c in cuts)}" if cuts else "each model's own locked threshold"
    caption = (
        f"Reclassification by the fused model against one source alone, with {run.coverage} intervals. NRI: net share of patients moved to the right side by {by}, those with "
        f"{run.outcome} and those without added. Continuous NRI: by any change of risk. IDI: gain in the distance between mean risks with and without {run.outcome}. Above 0 the fused model is "
        "better. These measures reward risks that are merely spread wider; read them with the calibration plots."
    )
    columns: list[Cell | str] = ["Classifier", "Moved by", *([name for _, name in MOVES] * len(splits))]
    return [Table(caption, columns, rows, [("", 2), *((SPLIT_NAMES[s], len(MOVES)) for s in splits)], labels=2, bands=bands, wide=True)]


def _move(found: object) -> Cell:
    score = Score.read(found)
    return Cell(figure(score.value), interval(score), "lead" if score.low is not None and score.low > 0 else "")


def fusion(run: RunFolder, studio: Studio) -> list[Block]:
    """Lay fused AUCs beside what independent sources would give.

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
    entries = sorted(run.metrics["fusion"], key=lambda e: SPLITS.index(e["split"]))
    sources = list(dict.fromkeys(str(s["features"]) for e in entries for s in e["sources"]))
    rows: list[list[Cell | str]] = []
    bands, before = list[int](), ""
    beyond = 0
    for entry in entries:
        split, excess = str(entry["split"]), Score.read(entry.get("excess"))
        if before and split != before:
            bands.append(len(rows))
        alone = {str(s["features"]): Score.read(s) for s in entry["sources"]}
        too_good = excess.low is not None and excess.low > 0
        beyond += too_good
        row: list[Cell | str] = [SPLIT_NAMES.get(split, split) if split != before else "", model_name(str(entry["features"]), str(entry["classifier"]))]
        before = split
        row += [figure(alone.get(s, Score()).value) for s in sources] + [figure(number(entry.get("correlation")), 2)]
        row += [_with_interval(entry.get("independent")), _with_interval(entry.get("auc")), Cell(figure(excess.value), interval(excess), "poor" if too_good else "")]
        rows.append(row)
    says = "No fused model goes beyond what its sources would give if they were independent."
    if beyond:
        says = (
            f"{beyond} of {len(entries)} fused AUCs {'lies' if beyond == 1 else 'lie'} above what {'its' if beyond == 1 else 'their'} sources would give if they were independent. Unless the "
            "sources correct each other's noise, that is too good to be true: look for leakage before you believe it."
        )
    caption = (
        "Fusion beside its sources. If independent: the AUC of the best joint reading of sources that are independent within each class (binormal; their distances add in squares). "
        f"Sources that agree (correlation above 0, mean rank correlation within the classes) can only give less. Excess: fused AUC less that, with its {run.coverage} interval."
    )
    columns = ["Patients", "Fused model", *(f"{feature_name(s)} alone" for s in sources), "Correlation", "If independent", "Fused AUC", "Excess"]
    return [Paragraph(says), Table(caption, columns, rows, labels=2, bands=bands, wide=True)]


def _with_interval(found: object) -> Cell:
    score = Score.read(found)
    return Cell(figure(score.value), interval(score).replace(" to ", "–"))
