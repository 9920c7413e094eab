"""What the report consists of, as data: to add a figure or a table, write its function and add one entry here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sarcofuse.report.blocks import Block
from sarcofuse.report.plotting import Studio
from sarcofuse.report.run_folder import RunFolder
from sarcofuse.report.sections import (
    audit,
    cohort,
    curves,
    deep,
    explained,
    fine_tuning,
    headline,
    honesty,
    judged,
    leakage,
    performance,
    prompted,
    segmentation,
    signatures,
    spread,
    subgroups,
    survival,
    training,
)

Build = Callable[[RunFolder, Studio], list[Block]]


@dataclass(frozen=True, slots=True)
class Part:
    """One figure, table or paragraph of a section.

    Attributes
    ----------
    what : str
        What it shows, for the note that says what was left out.
    needs : tuple of str
        Files of the run without which it is left out (``metrics.json:bayes`` asks for a list within a file).
    build : callable
        Makes its blocks; none if there is nothing to show.
    expected : bool
        Whether its absence is worth a note.
    """

    what: str
    needs: tuple[str, ...]
    build: Build
    expected: bool = True


@dataclass(frozen=True, slots=True)
class Section:
    """A section: identifier (the anchor), title, parts in order."""

    identifier: str
    title: str
    parts: tuple[Part, ...]


SECTIONS: tuple[Section, ...] = (
    Section("result", "What came out", (Part("headline", (), headline.headline),)),
    Section(
        "cohort",
        "Patients",
        (Part("flow of patients", (), cohort.flow), Part("sample size", ("metrics.json:sample_size",), audit.sample_size, expected=False)),
    ),
    Section(
        "overlays",
        "Tumour outlines",
        (Part("tumour outlines", ("cases.json",), segmentation.overlays),),
    ),
    Section(
        "segmentation",
        "Segmentation",
        (
            Part("Dice by split", ("metrics.json:segmentation",), segmentation.dice_table),
            Part("figures of masks", ("metrics.json:segmentation",), judged.figures, expected=False),
            Part("steered masks", ("quality.json",), prompted.side_by_side, expected=False),
            Part("quality of each mask", ("quality.json",), segmentation.quality_plot),
            Part("plan of the networks", ("run.json:segmentation_plan",), training.plan, expected=False),
            Part("masks judged", ("quality.json",), judged.plots, expected=False),
            Part("masks to look at", ("quality.json",), judged.review, expected=False),
        ),
    ),
    Section(
        "signatures",
        "Signatures",
        (
            Part("signatures", ("models.json",), signatures.signatures),
            Part("stable features", ("stability.csv",), signatures.stable, expected=False),
            Part("stable deep features", ("stability-deep.csv",), signatures.stable_deep, expected=False),
            Part("grey levels", ("features/levels.csv",), signatures.levels, expected=False),
            Part("spread over masks", (spread.FILE,), spread.spread, expected=False),
        ),
    ),
    Section(
        "models",
        "The models",
        (
            Part("table of models", ("metrics.json:models",), performance.model_table),
            Part("AUC of all models", ("metrics.json:models",), performance.forest),
            Part("intervals of all figures", ("metrics.json:models",), performance.all_figures),
            Part("published figures", ("metrics.json:models",), performance.published, expected=False),
        ),
    ),
    Section("bayes", "What could have been reached", (Part("Bayes AUC", ("metrics.json:bayes",), performance.bayes, expected=False),)),
    Section(
        "curves",
        "Discrimination, calibration and benefit",
        (
            Part("ROC curves", ("curves.json:models",), curves.roc),
            Part("precision-recall curves", ("curves.json:models",), curves.precision_recall),
            Part("calibration plots", ("curves.json:models",), curves.calibration),
            Part("goodness of fit", ("metrics.json:models",), audit.goodness, expected=False),
            Part("decision curves", ("curves.json:models",), curves.decision),
            Part("net reduction", ("curves.json:models",), curves.reduction),
        ),
    ),
    Section(
        "comparisons",
        "Are the differences real?",
        (
            Part("DeLong comparisons", ("metrics.json:comparisons",), performance.comparisons),
            Part("reclassification", ("metrics.json:comparisons",), audit.reclassification, expected=False),
            Part("audit of fusion", ("metrics.json:fusion",), audit.fusion, expected=False),
        ),
    ),
    Section("subgroups", "Does it work alike in all patients?", (Part("subgroups", ("metrics.json:subgroups",), subgroups.forest, expected=False),)),
    Section(
        "survival",
        "When the event comes",
        (
            Part("follow-up of the risk groups", ("curves.json:survival",), survival.risk_groups, expected=False),
            Part("concordance", ("metrics.json:survival",), survival.concordance, expected=False),
        ),
    ),
    Section(
        "explained",
        "What the models are made of",
        (
            Part("nomogram", ("explain.json",), explained.nomogram, expected=False),
            Part("Shapley values", ("explain.json",), explained.attributions, expected=False),
            Part("maps of the deep signature", ("deep/why.json",), deep.maps, expected=False),
            Part("further figures of the training patients", ("models.json",), explained.validation, expected=False),
        ),
    ),
    Section("fine-tuning", "What the network learnt of the outcome", (Part("fine-tuning", ("deep/fine_tuning.json",), fine_tuning.fine_tuning, expected=False),)),
    Section("leakage", "Leakage audit", (Part("leakage audit", ("audit.json",), leakage.leakage, expected=False),)),
    Section("honesty", "How the test patients were kept out", (Part("rules", (), honesty.rules), Part("what was fitted where", (), honesty.fitted))),
    Section("aside", "Patients set aside", (Part("patients set aside", (), cohort.set_aside),)),
    Section("settings", "Settings, versions, machine", (Part("settings", (), honesty.settings), Part("versions", (), honesty.provenance))),
)


def built(section: Section, run: RunFolder, studio: Studio) -> tuple[list[Block], list[Part]]:
    """Build a section.

    Parameters
    ----------
    section : Section
        Which.
    run : RunFolder
        What there is to show.
    studio : Studio
        Who draws.

    Returns
    -------
    tuple of (list of Block, list of Part)
        What to print, and the parts that were left out for want of a file.
    """
    blocks: list[Block] = []
    absent: list[Part] = []
    for part in section.parts:
        if all(run.has(name) for name in part.needs):
            blocks += part.build(run, studio)
        elif part.expected:
            absent.append(part)
    return blocks, absent
