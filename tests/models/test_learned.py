"""Blocks that are themselves learned from the outcome."""

from __future__ import annotations

import numpy as np

from sarcofuse.config import ModelsConfig, SignatureConfig
from sarcofuse.metrics import auc
from sarcofuse.models import Recipe, Work, fit_chosen, prepare
from sarcofuse.records import FeatureTable
from sarcofuse.runtime import Engine
from sarcofuse.signature import LassoSignature


def test_a_learned_block_is_learned_anew_in_every_round(simulated, tmp_path):
    """A learner that notes who learns, and that knows everything of those left out: their risks must come from its values of that very round, and from no table."""
    rng, asked = np.random.default_rng(0), []

    class Oracle:
        names = ("told",)

        def learn(self, patient_ids, y, group, rounds):
            asked.extend(rounds)
            return [np.where(train, y + rng.normal(size=y.size), 2.0 * y)[:, None] for train, _ in rounds]

    ids, outcome = simulated.tables["deep"].patient_ids, simulated.training()
    noise = FeatureTable("deep", ids, ("told", "site"), np.column_stack([rng.normal(size=len(ids)), np.zeros(len(ids))]))
    config = ModelsConfig(classifiers=("logistic",), primary=("deep", "logistic"), folds=4, tuning=False, signature=SignatureConfig(folds=3))
    with Engine(tmp_path, scheduler="serial", progress=False) as engine:
        recipe = Recipe(LassoSignature(folds=3, repeats=1, penalties=10), config, engine, 0, learned={"deep": Oracle()})
        (model,) = fit_chosen({"deep": noise}, outcome, recipe)
    y = np.array([outcome[p] for p in sorted(outcome)])
    assert auc(y, np.array([model.out_of_fold[p] for p in sorted(outcome)])) > 0.99
    assert len(asked) == 5
    sets = set()
    for train, fold in asked:
        assert (fold[~train] == -1).all()
        assert (fold[train] >= 0).all()
        sets |= {tuple(train & (fold != k)) for k in set(fold[train])}
    assert len(sets) == 4 + 6  # what lacks one fold, and what lacks a pair, which two rounds share
    assert max(int(train.sum()) for train, _ in asked) == len(outcome)


def test_a_training_set_of_one_fold_is_dealt_anew(simulated, tmp_path):
    config = ModelsConfig(classifiers=("logistic",), folds=2, signature=SignatureConfig(folds=3))
    with Engine(tmp_path, scheduler="serial", progress=False) as engine:
        recipe = Recipe(LassoSignature(), config, engine, 0)
        data, _ = prepare(simulated.tables, simulated.training(), recipe)
        work = Work(data, recipe)
        for round_ in data.outer():
            fold = work.division(round_)
            assert set(fold[round_.train]) == {0, 1}
            assert set(fold[round_.test]) == {-1}
