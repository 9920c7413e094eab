"""Further figures of the primary model on training patients: ablation, learning curve, optimism."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from sarcofuse.errors import ConfigError
from sarcofuse.metrics import auc, delong_interval, delong_test, group_outcomes, independent_auc
from sarcofuse.models.folds import Bools, Round, Training
from sarcofuse.models.optimism import optimism
from sarcofuse.models.record import FittedModel
from sarcofuse.models.sets import SOURCES, FeatureSet, subsets
from sarcofuse.models.work import Work, pooled

MOST_BLOCKS = 6


def further(models: Sequence[FittedModel], work: Work, wanted: Sequence[tuple[FeatureSet, str]]) -> list[FittedModel]:
    """Add to the primary model what the settings ask for.

    Parameters
    ----------
    models : sequence of FittedModel
        All models.
    work : Work
        Patients and settings.
    wanted : sequence of (FeatureSet, str)
        Feature set and classifier of each model.

    Returns
    -------
    list of FittedModel
        The same, the primary one with more in `validation`; where there is no primary model, the first of the last feature set.
    """
    named = [i for i, m in enumerate(models) if (m.features, m.classifier) == work.recipe.config.primary]
    lead = named[0] if named else next(i for i, m in enumerate(models) if m.features == models[-1].features)
    found: dict[str, Any] = {}
    if work.recipe.config.ablation:
        found["ablation"] = ablation(work, wanted[lead][1])
    if work.recipe.config.learning_curve:
        found["learning_curve"] = learning_curve(work, *wanted[lead])
    if work.recipe.config.optimism:
        found["optimism"] = optimism(work, wanted[lead][0], models[lead])
    return [replace(m, validation={**m.validation, **found}) if i == lead and found else m for i, m in enumerate(models)]


def ablation(work: Work, classifier: str) -> list[dict[str, Any]]:
    """Measure a classifier on every subset of the blocks.

    Parameters
    ----------
    work : Work
        Patients and settings; all its blocks take part.
    classifier : str
        Name of the classifier.

    Returns
    -------
    list of dict
        By subset: ``blocks``; out-of-fold ``auc`` with DeLong's interval; ``independent``, the AUC that the subset would have if its blocks were independent sources
        (`sarcofuse.metrics.independent_auc`), beside which a gain too good to be true is seen; ``full_minus_this``, difference of all blocks and this subset with DeLong's interval and p.

    Raises
    ------
    ConfigError
        If there are more than six blocks.
    """
    blocks = [b for b in SOURCES if b in work.data.blocks] + sorted(set(work.data.blocks) - set(SOURCES))
    if len(blocks) > MOST_BLOCKS:
        message = f"models.ablation: there are {len(blocks)} blocks, {2 ** len(blocks) - 1} subsets; at most {MOST_BLOCKS} blocks are allowed"
        raise ConfigError(message)
    sets, y = subsets(blocks, work.recipe.config.fusion), work.data.y
    risk = [pooled(each) for each in work.out_of_fold([(s, classifier) for s in sets], work.data.outer())]
    alone = {s.blocks[0]: auc(y, r) for s, r in zip(sets, risk, strict=True) if len(s.blocks) == 1}
    rows = []
    for chosen, each in zip(sets, risk, strict=True):
        test = delong_test(y, risk[-1], each)
        rows.append(
            {
                "blocks": list(chosen.blocks),
                "view": chosen.view,
                "auc": asdict(delong_interval(y, each)),
                "independent": float(independent_auc([alone[b] for b in chosen.blocks])),
                "full_minus_this": None if chosen is sets[-1] else {**asdict(test.difference), "p": test.p},
            }
        )
    return rows


def learning_curve(work: Work, chosen: FeatureSet, classifier: str) -> list[dict[str, Any]]:
    """Measure how the out-of-fold AUC grows with the number of training patients.

    In every outer fold the model learns from a share of the training set, drawn within each class; smaller shares lie within larger ones. The patients who are predicted
    stay the same.

    Parameters
    ----------
    work : Work
        Patients and settings.
    chosen : FeatureSet
        Feature set.
    classifier : str
        Name of the classifier.

    Returns
    -------
    list of dict
        By share: mean number of training ``patients`` and ``events``, and the out-of-fold ``auc`` with DeLong's interval; null where a fold had too few of a class to learn from.
    """
    rows, y = [], work.data.y
    for share in sorted(work.recipe.config.learning_curve):
        rounds = [_thinned(r, share, at, work.data, work.recipe.seed) for at, r in enumerate(work.data.outer())]
        enough = all(min(_events(r, work.data), _others(r, work.data)) >= 2 for r in rounds)
        area = delong_interval(y, pooled(work.out_of_fold([(chosen, classifier)], rounds)[0])) if enough else None
        sizes = {"patients": float(np.mean([r.train.sum() for r in rounds])), "events": float(np.mean([y[r.train].sum() for r in rounds]))}
        rows.append({"share": share, **sizes, "auc": None if area is None else asdict(area)})
    return rows


def _events(round_: Round, data: Training) -> float:
    return float(data.y[round_.train].sum())


def _others(round_: Round, data: Training) -> float:
    return float(round_.train.sum()) - _events(round_, data)


def _thinned(round_: Round, share: float, at: int, data: Training, seed: int) -> Round:
    """Keep a share of a round's training set, whole groups within each class."""
    if share >= 1.0:
        return round_
    rows = np.flatnonzero(round_.train)
    number, event = (np.arange(rows.size), data.y[rows]) if data.group is None else group_outcomes(data.y[rows], data.group[rows])
    rng, kept = np.random.default_rng([seed, 5, at]), np.zeros(event.size, dtype=bool)
    for label in (1.0, 0.0):
        members = rng.permutation(np.flatnonzero(event == label))
        kept[members[: round(share * members.size)]] = True
    train: Bools = np.zeros(round_.train.size, dtype=bool)
    train[rows[kept[number]]] = True
    return Round(f"{round_.name} of {share:g}", train, round_.test, round_.repeat)
