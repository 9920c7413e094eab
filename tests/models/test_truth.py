"""What models reach where the truth is known: nothing in noise, nearly all that there is in signal."""

from __future__ import annotations

import numpy as np
import pytest

from sarcofuse.config import ModelsConfig, SignatureConfig
from sarcofuse.metrics import auc, calibration_line
from sarcofuse.models import fit_models, risks
from sarcofuse.runtime import Engine
from sarcofuse.signature import LassoSignature


@pytest.mark.slow
def test_permuted_outcomes_give_chance_on_new_and_on_training_patients(simulation, tmp_path):
    data = simulation(150, 100, 24, effect=1.5)
    config = ModelsConfig(classifiers=("svm", "logistic"), tuning=False, folds=3, signature=SignatureConfig(folds=3))
    new, own = [], []
    for seed in range(20):
        patients = sorted(data.outcome)
        shuffled = dict(zip(patients, np.random.default_rng(seed).permutation([data.outcome[p] for p in patients]).tolist(), strict=True))
        with Engine(tmp_path / str(seed), scheduler="serial", progress=False) as engine:
            models = fit_models(data.tables, {p: shuffled[p] for p in data.train}, LassoSignature(folds=3, repeats=1, penalties=20), config, engine, 0)
        for m in models:
            found = risks(m, data.tables, data.test)
            new.append(auc([shuffled[p] for p in data.test], [found[p] for p in data.test]))
            own.append(auc([shuffled[p] for p in data.train], [m.out_of_fold[p] for p in data.train]))
    assert np.mean(new) == pytest.approx(0.5, abs=0.03)
    assert np.mean(own) == pytest.approx(0.5, abs=0.03)
    assert np.std(new) > 0.01


@pytest.mark.slow
def test_fused_model_comes_near_the_best_there_can_be(simulation, tmp_path):
    data = simulation(400, 2000, 120, effect=1.2, factors=12, seed=3)
    config = ModelsConfig(folds=3, tuning=False, signature=SignatureConfig(folds=4))
    with Engine(tmp_path, scheduler="serial", progress=False) as engine:
        models = fit_models(data.tables, data.training(), LassoSignature(folds=4), config, engine, 0)
    y = [data.outcome[p] for p in data.test]
    best = auc(y, [data.log_odds[p] for p in data.test])
    reached = {}
    for m in models:
        found = list(risks(m, data.tables, data.test).values())
        reached[m.features, m.classifier] = (auc(y, found) - 0.5) / (best - 0.5)
        if m.features == "dlr":
            assert 0.6 < calibration_line(y, found)[0][0] < 1.6
        honest = auc([data.outcome[p] for p in data.train], [m.out_of_fold[p] for p in data.train])
        assert 0.55 < honest < auc(y, found) + 0.05
    for classifier in config.classifiers:
        assert reached["dlr", classifier] > 0.75
        assert reached["dlr", classifier] > max(reached["radiomic", classifier], reached["deep", classifier])
