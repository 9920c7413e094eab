"""Learn to predict the Dice of masks from the out-of-fold ones, and rate every mask by it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from sarcofuse.config.segment import SegmentConfig
from sarcofuse.errors import StageError
from sarcofuse.records import MaskQuality
from sarcofuse.runtime import Engine, Task, digest, digest_file, read_json, single_thread, write_json
from sarcofuse.segment.forecast import LEAST, Forecast, learn_forecast, to_plain
from sarcofuse.segment.model import CARD, QUALITY, Segmenter, save_segmenter

STAGE = "segment-quality"
VERSION = 1
RIVAL = 0.75
"""Share of the probability in the component kept, below which another structure rivals it: of 501 masks of phantoms and patients 9 lay below, among them 4 of the 5 of a Dice below 0.1."""


def learn_quality(segmenter: Segmenter, quality: Sequence[MaskQuality], config: SegmentConfig, engine: Engine) -> tuple[Segmenter, list[MaskQuality]]:
    """Learn to predict the Dice of automatic masks, from the out-of-fold masks of training patients who have a given one; those that a prompt steered are left out.

    Parameters
    ----------
    segmenter : Segmenter
        The trained ensemble.
    quality : sequence of MaskQuality
        Out-of-fold masks.
    config : SegmentConfig
        ``review_below`` counts here.
    engine : Engine
        Runs and caches the work.

    Returns
    -------
    segmenter : Segmenter
        The same networks with the model beside them; as it was, where fewer than 10 masks have a known Dice.
    quality : list of MaskQuality
        In the same order, each with a Dice that was predicted without it; patients without a given mask have the final model's prediction.

    Raises
    ------
    StageError
        If the model cannot be learned.
    """
    signs = {q.patient_id: dict(q.signs) for q in quality if q.dice is not None and not q.prompted}
    dice = {q.patient_id: q.dice for q in quality if q.dice is not None and not q.prompted}
    if len(dice) < LEAST:
        return segmenter, list(quality)
    seed = segmenter.plan.seed
    key = digest(STAGE, VERSION, segmenter.folder.name, segmenter.content, seed, [[p, signs[p], dice[p]] for p in sorted(dice)])
    done, lost = engine.run(STAGE, quality_task, [Task("quality", key, (segmenter.folder, signs, dice, seed))], unit="step")
    if lost:
        message = f"segment: the Dice of masks cannot be predicted: {lost[0].reason}"
        raise StageError(message)
    judged = replace(segmenter, folder=done[0].folder / "segmenter")
    held_out = {str(p): float(v) for p, v in read_json(done[0].folder / "held_out.json").items()}
    return judged, rated(quality, judged.forecast, config.review_below, held_out)


def quality_task(folder: Path, source: Path, signs: Mapping[str, Mapping[str, float]], dice: Mapping[str, float], seed: int) -> None:
    """Put the model that predicts Dice beside the networks; an Engine task.

    Parameters
    ----------
    folder : Path
        Where segmenter/ and held_out.json (each patient's prediction without the patient; stays in the cache) go.
    source : Path
        Folder of the Segmenter.
    signs : mapping of str to mapping
        Signs of each patient's out-of-fold mask.
    dice : mapping of str to float
        Its Dice.
    seed : int
        Seed of the folds.

    Raises
    ------
    StageError
        If there are too few patients.
    """
    with single_thread():
        found = learn_forecast(signs, dice, seed)
    if found is None:
        message = f"segment: {len(dice)} masks of known Dice are too few to learn to predict it; expected at least {LEAST}"
        raise StageError(message)
    room = folder / "segmenter"
    shutil.rmtree(room, ignore_errors=True)
    save_segmenter(Segmenter(source), room)
    write_json(to_plain(found[0]), room / QUALITY)
    write_json({**read_json(room / CARD), "quality": digest_file(room / QUALITY)}, room / CARD)
    write_json(found[1], folder / "held_out.json")


def rated(quality: Sequence[MaskQuality], forecast: Forecast | None, review_below: float, known: Mapping[str, float] | None = None) -> list[MaskQuality]:
    """Give each automatic mask its predicted Dice, with an interval, and mark those to review; masks that a prompt steered are not what it was learned from and get none.

    Parameters
    ----------
    quality : sequence of MaskQuality
        With signs.
    forecast : Forecast or None
        The model; None leaves all as it is.
    review_below : float
        Masks of a lower predicted Dice are marked; so are those beside which another structure is almost as likely, whose interval then begins at 0.
    known : mapping of str to float, optional
        Predictions to take instead of the model's own.

    Returns
    -------
    list of MaskQuality
        In the same order.
    """
    if forecast is None:
        return list(quality)
    found = []
    for q in quality:
        if q.prompted:
            found.append(q)
            continue
        own = (known or {}).get(q.patient_id)
        value = forecast.predict(q.signs) if own is None else own
        low, high = forecast.interval(value)
        rival = q.signs["share_kept"] < RIVAL
        found.append(replace(q, predicted_dice=value, predicted_low=0.0 if rival else low, predicted_high=high, review=rival or value < review_below))
    return found
