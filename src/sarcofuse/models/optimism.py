"""Training figures corrected for optimism by the bootstrap: the whole of signatures and classifier is learned again on every sample."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sarcofuse.metrics import auc, brier, calibration_line, group_outcomes
from sarcofuse.models.blocks import Beside, digest_arrays, learn_signatures, signature_task
from sarcofuse.models.folds import Integers, inner_folds
from sarcofuse.models.record import FittedModel, Floats
from sarcofuse.models.search import Search
from sarcofuse.models.sets import FeatureSet
from sarcofuse.models.tuning import VERSION, learn_classifier
from sarcofuse.models.work import Work, run_tasks
from sarcofuse.runtime import Task, digest, read_json

FIGURES = ("auc", "brier", "calibration_slope", "calibration_intercept")
_AT_ONCE = 8
"""Samples in memory together."""


def optimism(work: Work, chosen: FeatureSet, model: FittedModel) -> dict[str, Any]:
    """Correct the figures that a model shows on its own training patients [1]_.

    On every bootstrap sample, drawn within each class, selection, penalty and signatures are learned anew, and the classifier with the parameters that the model has; copies of
    one patient stay together in every inner fold. What the sample's model loses from its own sample to the original patients is its optimism. A sample shares two patients
    of three with the original, so that with many features the correction is too small; the out-of-fold figures are the ones to trust.

    Parameters
    ----------
    work : Work
        Patients and settings; ``models.optimism`` samples are drawn.
    chosen : FeatureSet
        The model's feature set.
    model : FittedModel
        The model.

    Returns
    -------
    dict
        ``samples``, and ``figures``: by name the ``apparent`` figure, its mean ``optimism`` and the ``corrected`` figure.

    Raises
    ------
    StageError
        If a signature or classifier cannot be fitted to a sample.

    References
    ----------
    .. [1] Harrell FE, Lee KL, Mark DB. Multivariable prognostic models. Stat Med 1996;15:361-387, section 4.
    """
    y, samples = work.data.y, work.recipe.config.optimism
    values = np.hstack([work.data.blocks[b] for b in chosen.blocks])
    apparent, losses = _figures(y, model.estimator.predict_proba(values)[:, 1]), []
    for start in range(0, samples, _AT_ONCE):
        drawn = [_draw(work, b) for b in range(start, min(samples, start + _AT_ONCE))]
        for rows, risk in zip(drawn, _risks(work, chosen, model, drawn), strict=True):
            own, original = _figures(y[rows], risk[rows]), _figures(y, risk)
            losses.append([own[name] - original[name] for name in FIGURES])
    mean = np.mean(losses, axis=0)
    found = {name: {"apparent": apparent[name], "optimism": float(m), "corrected": apparent[name] - float(m)} for name, m in zip(FIGURES, mean, strict=True)}
    return {"samples": samples, "figures": found}


def _figures(y: Floats, risk: Floats) -> dict[str, float]:
    slope, intercept = calibration_line(y, risk)
    return dict(zip(FIGURES, (auc(y, risk), float(brier(y, risk)[0]), float(slope[0]), float(intercept[0])), strict=True))


def _draw(work: Work, sample: int) -> Integers:
    """Draw patients, or whole groups, with replacement within each class; rows in order."""
    y, group = work.data.y, work.data.group
    number, event = (np.arange(y.size), y) if group is None else group_outcomes(y, group)
    rng, times = np.random.default_rng([work.recipe.seed, 13, sample]), np.zeros(event.size, dtype=np.int64)
    for label in (1.0, 0.0):
        members = np.flatnonzero(event == label)
        times += np.bincount(rng.choice(members, members.size), minlength=event.size)
    return np.repeat(np.arange(y.size), times[number])


def _risks(work: Work, chosen: FeatureSet, model: FittedModel, drawn: Sequence[Integers]) -> list[Floats]:
    """Give every original patient's risk by the model of each sample."""
    recipe, data = work.recipe, work.data
    identity = np.arange(data.y.size) if data.group is None else data.group
    inner = [inner_folds(data.y[rows], identity[rows], recipe.config.signature.folds, recipe.seed) for rows in drawn]
    tasks = []
    for at, rows in enumerate(drawn):
        both = np.concatenate([rows, np.arange(data.y.size)])
        train = np.arange(both.size) < rows.size
        for block in chosen.blocks:
            again = recipe.repeats.get(block, ())
            beside = Beside(tuple(data.patient_ids[i] for i in both) if again else (), again, identity[both], None if data.time is None else data.time[both])
            tasks.append(signature_task(f"{block} bootstrap", recipe.signature, data.blocks[block][both], data.y[both], train, inner[at], beside))
    folders = [entry.folder for entry in run_tasks(recipe.engine, "signatures", learn_signatures, tasks)]
    width = len(chosen.blocks)
    return _classified(work, chosen, model, [(rows, inner[at], folders[at * width : (at + 1) * width]) for at, rows in enumerate(drawn)])


def _classified(work: Work, chosen: FeatureSet, model: FittedModel, parts: Sequence[tuple[Integers, Integers | None, Sequence[Path]]]) -> list[Floats]:
    fixed = tuple(sorted((k, v) for k, v in model.parameters.items() if k not in ("inner_log_loss", "view")))
    search, tasks = Search("none", 1, fixed), []
    for rows, fold, seen in parts:
        y = work.data.y[rows]
        key = digest(VERSION, model.classifier, chosen.view, [f.name for f in seen], digest_arrays(y, *([] if fold is None else [fold])), work.recipe.seed, fixed)
        tasks.append(Task(f"{chosen.name} bootstrap", key, (model.classifier, chosen.view, list(seen), y, fold, work.recipe.seed, search)))
    return [np.asarray(read_json(e.folder / "result.json")["risks"]) for e in run_tasks(work.recipe.engine, "models", learn_classifier, tasks)]
