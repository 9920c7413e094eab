"""How test patients were kept out of the fitting, and what everything was made with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from sarcofuse.records import SPLITS
from sarcofuse.report.blocks import ABSENT, Block, Bullets, Callout, Details, Paragraph, Table, count, figure
from sarcofuse.report.plotting import Studio
from sarcofuse.report.run_folder import SPLIT_NAMES, RunFolder, model_name, number

SECTIONS = ("cohort", "features", "preprocess", "segment", "radiomics", "deep", "models", "evaluation", "report")
PARTS = {"machine": "Architecture", "memory_gb": "Memory in GB", "gpu": "GPU"}
PROGRAMS = {"nnunet": "nnU-Net", "totalsegmentator": "TotalSegmentator"}


def rules(run: RunFolder, studio: Studio) -> list[Block]:
    """Say, from the run's own records, how the rules of the method were kept.

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
    openings = [run.numbering.scrub(str(o)) for o in run.run.get("openings") or []]
    named = f"{model_name(*run.primary)}, named in the settings. No model was picked by its test figures."
    items = [("Sealed outcomes", _seal(openings)), ("Masks", _masks(run)), ("One threshold a model", _threshold(run)), ("Primary model", named)]
    blocks: list[Block] = [Bullets(items)]
    broken = []
    if len(openings) > 1:
        broken.append(f"The outcomes of the test patients were opened {len(openings)} times. Each further look can steer choices towards those patients; only the first is beyond doubt.")
    seen = sum(1 for q in run.quality if q.get("split") == "train" and q.get("source") == "ensemble")
    if seen:
        broken.append(f"{count(seen, 'training patient has', 'training patients have')} a mask by networks that saw the patient; features of such masks look better than they are.")
    if broken:
        blocks.insert(0, Callout("A rule was not kept", tuple(broken), "warning"))
    return blocks


def _seal(openings: Sequence[str]) -> str:
    if not openings:
        return "The outcomes of internal and external test patients were not opened in this run."
    times = "once" if len(openings) == 1 else f"{len(openings)} times"
    return f"The outcomes of internal and external test patients were opened {times}, after every model and threshold was frozen: {'; '.join(openings)}."


def _masks(run: RunFolder) -> str:
    if run.setting("features", default={}):
        return "The study started from feature tables; how their masks were made is not on record here."
    if run.setting("segment", "masks", default="given") == "given" and not any(q.get("source") in ("out-of-fold", "ensemble") for q in run.quality):
        return "All masks were given with the images; no segmentation model took part."
    kinds = Counter((str(q.get("split")), str(q.get("source"))) for q in run.quality)
    program = PROGRAMS.get(str(run.setting("segment", "masks", default="given")))
    parts = [f"{SPLIT_NAMES[s].lower()} {n} {source}" for s in SPLITS for (split, source), n in sorted(kinds.items()) if split == s]
    counts = ", ".join(parts) or "counts not on record"
    if program is not None:
        return f"By {program}, which learned outside this study ({counts}). If it learned from patients of this study, their masks are better than a new patient's will be."
    return f"By the segmentation model ({counts}). A training patient's mask comes from networks that never saw that patient (out-of-fold); test patients get the ensemble's."


def _threshold(run: RunFolder) -> str:
    how = "Youden's index" if run.setting("models", "threshold", default="youden") == "youden" else f"a wanted sensitivity of {run.setting('models', 'sensitivity', default=ABSENT)}"
    value = next((number(m.get("threshold")) for m in run.fitted if (m.get("features"), m.get("classifier")) == run.primary), None)
    return f"Chosen on out-of-fold training risks by {how}, then locked and used in every split" + (f" (primary model: {figure(value)})." if value is not None else ".")


def fitted(run: RunFolder, studio: Studio) -> list[Block]:
    """Tabulate what was fitted on whom.

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
    outer, inner = run.setting("models", "folds", default=ABSENT), run.setting("models", "signature", "folds", default=ABSENT)
    applied = "out-of-fold for training patients; fitted once on all of them for the others"
    rows: list[list[str]] = []
    if not run.setting("features", default={}):
        rows.append(["Bias field, intensity normalisation", "each image by itself", "every image alike"])
        if run.setting("segment", "masks", default="given") == "model":
            rows.append(["Segmentation networks", f"training patients, {run.setting('segment', 'folds', default=ABSENT)} folds", "out-of-fold for training patients, ensemble for the others"])
        rows.append(["Radiomic settings", "nothing (fixed in the settings)", "every patient alike"])
        network = run.setting("deep", "backbone", default=ABSENT)
        whom = "training patients' images and masks (segmentation)" if "segresnet" in str(network) else "other images, before this study (frozen)"
        rows.append([f"Deep network ({network})", whom, "every patient alike"])
        mode = run.setting("deep", "fine_tune", "mode", default="none")
        if mode != "none":
            whom = f"training patients and their outcomes, {outer} folds, anew in every outer fold"
            rows.append([f"Fine-tuning of the deep network ({mode})", whom, "out-of-fold for training patients, mean of the networks for the others"])
    rows += [
        ["Imputation, scaling, pruning of correlated features, LASSO", f"training patients, penalty by {inner} inner folds", applied],
        ["Classifiers and their tuning", f"training patients, {outer} outer folds", applied],
        ["Threshold", "out-of-fold risks of training patients", "every split"],
        ["Intervals, tests, curves", "nothing", "each split by itself"],
    ]
    return [Table("What learned from whom. Nothing was fitted on internal or external test patients.", ("What", "Fitted on", "Applied"), rows, labels=3)]


def settings(run: RunFolder, studio: Studio) -> list[Block]:
    """List the settings of the study.

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
    config = run.run.get("config") or {}
    if not config:
        return []
    rows: list[list[str]] = []
    bands: list[int] = []
    top = {k: v for k, v in config.items() if not isinstance(v, Mapping)}
    for name, section in [("", top), *((k, config[k]) for k in SECTIONS if isinstance(config.get(k), Mapping))]:
        if rows and section:
            bands.append(len(rows))
        for i, (key, value) in enumerate(flat(section)):
            rows.append([name if i == 0 else "", key, _plain(run, value)])
    caption = "As run.json holds them; file names are left out unless report.identifiers asks for them."
    return [Details("All settings", (Table(caption, ("Section", "Setting", "Value"), rows, labels=3, bands=bands),))]


def flat(section: Mapping[str, object], before: str = "") -> list[tuple[str, object]]:
    """Flatten nested settings.

    Parameters
    ----------
    section : mapping
        Settings by name, some of them mappings again.
    before : str
        Name of what holds it.

    Returns
    -------
    list of (str, object)
        Name and value.

    Examples
    --------
    >>> flat({"folds": 4, "refine": {"flips": True}})
    [('folds', 4), ('refine.flips', True)]
    """
    found: list[tuple[str, object]] = []
    for key, value in section.items():
        found += flat(value, f"{before}{key}.") if isinstance(value, Mapping) and value else [(f"{before}{key}", value)]
    return found


def _plain(run: RunFolder, value: object) -> str:
    if isinstance(value, list):
        return ", ".join(_plain(run, v) for v in value) or "none"
    if value is None or value == {}:
        return "empty"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return run.numbering.scrub(str(value))


def provenance(run: RunFolder, studio: Studio) -> list[Block]:
    """List versions and the machine.

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
    blocks: list[Block] = []
    versions, machine = run.run.get("versions") or {}, run.run.get("hardware") or {}
    if versions:
        rows = [[str(k), str(v)] for k, v in versions.items()]
        blocks.append(Details("Versions", (Table("Software that the results were made with.", ("Package", "Version"), rows, labels=2),)))
    if machine:
        rows = [[PARTS.get(str(k), str(k).capitalize()), "none" if v is None else str(v)] for k, v in machine.items()]
        blocks.append(Details("Machine", (Table("Where it was computed.", ("Part", "Value"), rows, labels=2),)))
    blocks.append(Paragraph("How long each stage took is in run.json. It is left out here, so that two runs of the same study give the same report to the last byte.", "fine"))
    return blocks
