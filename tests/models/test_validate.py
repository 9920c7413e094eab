"""Ablation and learning curve: what each block adds, and what more patients would add."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from sarcofuse.config import ModelsConfig, SignatureConfig
from sarcofuse.metrics import auc, delong_test
from sarcofuse.models import Recipe, feature_sets, fit_models, out_of_fold, risks
from sarcofuse.models.folds import gather
from sarcofuse.records import FeatureTable
from sarcofuse.signature import LassoSignature

PLAIN = ModelsConfig(classifiers=("logistic",), primary=("dlr", "logistic"), tuning=False, folds=3, signature=SignatureConfig(folds=3, repeats=1, penalties=20))
SIGNATURE = LassoSignature(folds=3, repeats=1, penalties=20)


@pytest.fixture
def with_noise(simulated):
    """A third block that has nothing to say."""
    table = simulated.tables["deep"]
    noise = np.random.default_rng(5).normal(size=(len(table.patient_ids), 4))
    return {**simulated.tables, "clinical": FeatureTable("clinical", table.patient_ids, ("age", "grade", "size", "depth"), noise)}


def test_clinical_variables_join_the_fusion(with_noise, simulated, engine):
    config = PLAIN.model_copy(update={"fuse_clinical": True})
    assert [(s.name, s.blocks) for s in feature_sets(with_noise, config)] == [
        ("radiomic", ("radiomic",)),
        ("deep", ("deep",)),
        ("radiomic-signature", ("radiomic",)),
        ("deep-signature", ("deep",)),
        ("dlr", ("radiomic", "deep")),
        ("dlr+clinical", ("radiomic", "deep", "clinical")),
    ]
    assert [s.name for s in feature_sets(with_noise, config.model_copy(update={"clinical": True}))][-2:] == ["dlr+clinical", "clinical"]
    assert [s.name for s in feature_sets({"radiomic", "clinical"}, config)] == ["radiomic", "radiomic+clinical"]
    models = fit_models(with_noise, simulated.training(), SIGNATURE, config, engine, 0)
    assert list(models[-1].blocks) == ["radiomic", "deep", "clinical"]
    without = fit_models(with_noise, simulated.training(), SIGNATURE, PLAIN, engine, 0)
    assert [m.out_of_fold for m in models[:5]] == [m.out_of_fold for m in without]


def test_ablation_has_every_subset_and_its_own_difference_to_all(with_noise, simulated, engine):
    config = PLAIN.model_copy(update={"fuse_clinical": True, "ablation": True})
    models = fit_models(with_noise, simulated.training(), SIGNATURE, config, engine, 0)
    assert [bool(m.validation) for m in models] == [False, False, False, False, True, False]
    rows = {tuple(r["blocks"]): r for r in models[4].validation["ablation"]}
    assert list(rows) == [("radiomic",), ("deep",), ("clinical",), ("radiomic", "deep"), ("radiomic", "clinical"), ("deep", "clinical"), ("radiomic", "deep", "clinical")]
    patients = sorted(simulated.train)
    y, risk = [simulated.outcome[p] for p in patients], {m.features: [m.out_of_fold[p] for p in patients] for m in models}
    assert rows["radiomic", "deep"]["auc"]["value"] == auc(y, risk["dlr"])
    assert rows["radiomic",]["auc"]["value"] == auc(y, risk["radiomic-signature"])
    assert rows["radiomic", "deep", "clinical"]["full_minus_this"] is None
    distance = sum(norm.ppf(rows[b,]["auc"]["value"]) ** 2 for b in ("radiomic", "deep")) ** 0.5
    assert rows["radiomic", "deep"]["independent"] == pytest.approx(norm.cdf(distance))
    test = delong_test(y, risk["dlr+clinical"], risk["dlr"])
    assert rows["radiomic", "deep"]["full_minus_this"]["value"] == pytest.approx(test.difference.value)
    assert rows["radiomic", "deep"]["full_minus_this"]["p"] == pytest.approx(test.p)
    assert rows["clinical",]["auc"]["value"] < 0.65
    assert rows["clinical",]["full_minus_this"]["low"] > 0


def test_learning_curve_ends_at_the_model_and_grows(simulated, engine):
    config = PLAIN.model_copy(update={"learning_curve": (1.0, 0.1, 0.5)})
    lead = fit_models(simulated.tables, simulated.training(), SIGNATURE, config, engine, 0)[-1]
    rows = lead.validation["learning_curve"]
    assert [r["share"] for r in rows] == [0.1, 0.5, 1.0]
    assert [round(r["patients"]) for r in rows] == [10, 50, 100]
    patients = sorted(simulated.train)
    assert rows[-1]["auc"]["value"] == auc([simulated.outcome[p] for p in patients], [lead.out_of_fold[p] for p in patients])
    assert rows[0]["auc"]["value"] + 0.05 < rows[-1]["auc"]["value"]


def test_half_the_patients_is_the_model_of_those_patients(simulated, engine):
    from sarcofuse.models.validate import _thinned
    from sarcofuse.models.work import Work, pooled

    data = gather(simulated.tables, simulated.training(), PLAIN, 0, None)
    recipe = Recipe(SIGNATURE, PLAIN, engine, 0)
    rounds = [_thinned(r, 0.5, at, data, 0) for at, r in enumerate(data.outer())]
    wanted = [(feature_sets(simulated.tables, PLAIN)[-1], "logistic")]
    first = rounds[0]
    risk = pooled(Work(data, recipe).out_of_fold(wanted, rounds)[0])
    others = np.random.default_rng(3).normal(size=(2, data.y.size, 24))
    blind = {b: FeatureTable(b, data.patient_ids, data.names[b], np.where((first.train | first.test)[:, None], data.blocks[b], noise)) for b, noise in zip(data.blocks, others, strict=True)}
    again = Work(gather(blind, simulated.training(), PLAIN, 0, None), recipe).out_of_fold(wanted, [first])[0][0]
    assert np.array_equal(again[first.test], risk[first.test])


def test_a_share_of_too_few_events_is_told_as_null(simulated, engine):
    few = dict([i for i in simulated.training().items() if i[1]][:6] + [i for i in simulated.training().items() if not i[1]][:30])
    config = PLAIN.model_copy(update={"learning_curve": (0.1, 1.0)})
    rows = fit_models(simulated.tables, few, SIGNATURE, config, engine, 0)[-1].validation["learning_curve"]
    assert rows[0]["auc"] is None
    assert rows[1]["auc"] is not None


def test_out_of_fold_is_that_of_the_models(simulated, engine):
    found = out_of_fold(simulated.tables, simulated.training(), Recipe(SIGNATURE, PLAIN, engine, 0))
    models = fit_models(simulated.tables, simulated.training(), SIGNATURE, PLAIN, engine, 0)
    assert found == {(m.features, m.classifier): m.out_of_fold for m in models}


def test_optimism_is_what_new_patients_would_take_off(simulation, engine):
    """Pure noise: the model fits its own patients, and the correction takes off a good part of that (not all: samples share two patients of three with the original)."""
    noise = simulation(80, 2, 30, effect=0.0, seed=1)
    config = PLAIN.model_copy(update={"optimism": 12, "classifiers": ("knn",), "primary": ("radiomic", "knn")})
    (lead,) = fit_models({"radiomic": noise.tables["radiomic"]}, noise.training(), SIGNATURE, config, engine, 0)
    found = lead.validation["optimism"]
    assert found["samples"] == 12
    area = found["figures"]["auc"]
    assert area["apparent"] > 0.65
    assert area["corrected"] == pytest.approx(area["apparent"] - area["optimism"])
    assert 0.5 < area["corrected"] < area["apparent"] - 0.05


def test_optimism_by_hand(simulated, engine):
    """The bootstrap as Harrell describes it, with whole studies refitted by the public function on copies of patients."""
    config = PLAIN.model_copy(update={"optimism": 3, "primary": ("deep", "logistic")})
    tables, patients = {"deep": simulated.tables["deep"]}, sorted(simulated.train)
    (lead,) = fit_models(tables, simulated.training(), SIGNATURE, config, engine, 0)
    y = np.array([simulated.outcome[p] for p in patients])
    losses = []
    for sample in range(3):
        rng = np.random.default_rng([0, 13, sample])
        times = sum(np.bincount(rng.choice(np.flatnonzero(y == label), (y == label).sum()), minlength=y.size) for label in (1, 0))
        copies = [(p, f"{p}-{k}") for p, t in zip(patients, times, strict=True) for k in range(t)]
        rows = tables["deep"].rows([p for p, _ in copies])
        drawn = {"deep": FeatureTable("deep", tuple(c for _, c in copies), tables["deep"].names, rows)}
        (model,) = fit_models(drawn, {c: simulated.outcome[p] for p, c in copies}, SIGNATURE, PLAIN, engine, 0, groups={c: p for p, c in copies})
        own, original = list(risks(model, drawn, [c for _, c in copies]).values()), list(risks(model, tables, patients).values())
        losses.append(auc([simulated.outcome[p] for p, _ in copies], own) - auc(y, original))
    figure = lead.validation["optimism"]["figures"]["auc"]
    assert figure["apparent"] == pytest.approx(auc(y, list(risks(lead, tables, patients).values())))
    assert figure["optimism"] == pytest.approx(np.mean(losses))
