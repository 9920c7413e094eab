"""Where a study's masks come from: given, the study's own networks, an installed program, or other algorithm templates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from sarcofuse.config import SegmentConfig
from sarcofuse.records import Case, MaskQuality, SetAside
from sarcofuse.runtime import Engine
from sarcofuse.study.masks import to_review
from sarcofuse.study.prompts import uneven_prompts


@dataclass(frozen=True)
class Masked:
    """The cases of a study with the masks that features are taken from.

    Attributes
    ----------
    cases : list of Case
        Those that have a mask.
    quality : list of MaskQuality
        One an automatic mask.
    set_aside : list of SetAside
        Cases without a mask, with reasons.
    warnings : list of str
        What a careful reader should know.
    given : list of Case
        Training cases with their given masks, where features are taken from automatic ones.
    segmenter : Path or None
        Folder of the study's own networks.
    plan : list of str
        What was decided for them, and why.
    unfound : set of str
        Patients in whom no tumour was found.
    """

    cases: list[Case]
    quality: list[MaskQuality] = field(default_factory=list)
    set_aside: list[SetAside] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    given: list[Case] = field(default_factory=list)
    segmenter: Path | None = None
    plan: list[str] = field(default_factory=list)
    unfound: set[str] = field(default_factory=set)


def segment_study(cases: Sequence[Case], config: SegmentConfig, engine: Engine, seed: int, home: Path) -> Masked:
    """Give every case of a study the mask that features are taken from.

    Parameters
    ----------
    cases : sequence of Case
        Prepared patients.
    config : SegmentConfig
        Settings; paths in it are meant from `home`.
    engine : Engine
        Runs and caches the work.
    seed : int
        Seed of the study.
    home : Path
        Folder of study.yaml.

    Returns
    -------
    Masked
        Cases with masks, and all there is to say of them.

    Raises
    ------
    StageError
        If masks cannot be had at all.
    """
    if config.masks == "given":
        reason = "has no mask, and the study uses given masks; draw one, or set segment.masks: model"
        return Masked([replace(c, mask_source="given") for c in cases if c.mask is not None], set_aside=[SetAside(c.patient_id, "segment", reason) for c in cases if c.mask is None])
    if config.masks != "model":
        return _externally(cases, config, engine, home)
    if config.templates is not None:
        return _by_templates(cases, config, engine, seed, home)
    return _by_networks(cases, config, engine, seed, home)


def _by_networks(cases: Sequence[Case], config: SegmentConfig, engine: Engine, seed: int, home: Path) -> Masked:
    from sarcofuse import segment

    if isinstance(config.start_from, Path):
        config = config.model_copy(update={"start_from": home / config.start_from})
    training = [c for c in cases if c.split == "train" and (c.mask is not None or config.unlabelled == "pseudo")]
    segmenter = segment.train(training, config, engine, seed)
    learned = [c for c in training if c.patient_id in segmenter.folds]
    held_out, quality_out, aside_out = segment.segment(segmenter, learned, config, engine, out_of_fold=True)
    segmenter, quality_out = segment.learn_quality(segmenter, quality_out, config, engine)
    known = {c.patient_id for c in learned}
    ensemble, quality, aside = segment.segment(segmenter, [c for c in cases if c.patient_id not in known], config, engine, out_of_fold=False)
    masked, judged, lost = _sorted([*held_out, *ensemble]), sorted([*quality_out, *quality], key=lambda q: q.patient_id), [*aside_out, *aside]
    odd = Counter(w for q in judged for w in q.warnings)
    told = [f"segment: {count} of {len(judged)} masks: {warning}" for warning, count in odd.items()]
    warnings = [*segmenter.notes, *told, *to_review(judged, config.review_below), *uneven_prompts(masked)]
    given = [c for c in learned if c.mask is not None]
    return Masked(masked, judged, lost, warnings, given, segmenter.folder, segment.explain(segmenter.plan), {a.patient_id for a in lost})


def _externally(cases: Sequence[Case], config: SegmentConfig, engine: Engine, home: Path) -> Masked:
    from sarcofuse import segment

    masked, quality, aside = segment.segment_external(cases, config, engine, home)
    warning = f"masks are those of {config.masks}, which learned outside this study: if it learned from patients of this study, their masks are better than a new patient's will be"
    return Masked(list(masked), list(quality), list(aside), [warning], _training(cases))


def _by_templates(cases: Sequence[Case], config: SegmentConfig, engine: Engine, seed: int, home: Path) -> Masked:
    from sarcofuse import segment

    config = config.model_copy(update={"templates": home / (config.templates or Path())})
    masked, quality, aside = segment.segment_by_templates(cases, config, engine, seed)
    warning = "masks are by algorithm templates from outside, which the bundle does not hold: new patients need a mask"
    return Masked(list(masked), list(quality), list(aside), [warning], _training(cases))


def _training(cases: Sequence[Case]) -> list[Case]:
    return [c for c in cases if c.split == "train" and c.mask is not None]


def _sorted(cases: Sequence[Case]) -> list[Case]:
    return sorted(cases, key=lambda c: c.patient_id)
