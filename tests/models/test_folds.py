"""Outer and inner folds: repeated, grouped, and the same as ever where nobody asks for more."""

from __future__ import annotations

import json

import numpy as np
import pytest

from sarcofuse.config import ModelsConfig, SignatureConfig
from sarcofuse.errors import ConfigError, StageError
from sarcofuse.metrics import auc, grouped_folds, stratified_folds
from sarcofuse.models import CLASSIFIERS, Recipe, fit_chosen, fit_models, out_of_fold
from sarcofuse.models.folds import gather
from sarcofuse.signature import LassoSignature

PLAIN = ModelsConfig(classifiers=("logistic",), tuning=False, folds=3, signature=SignatureConfig(folds=3, repeats=1, penalties=20))
SIGNATURE = LassoSignature(folds=3, repeats=1, penalties=20)


@pytest.mark.parametrize("seed", range(5))
def test_a_group_is_never_torn_apart_and_both_classes_are_in_every_fold(seed):
    rng = np.random.default_rng(seed)
    group = rng.integers(0, 40, size=120)
    ill = rng.random(40) < 0.4
    y = (ill[group] & (rng.random(120) < 0.7)).astype(float)
    fold = grouped_folds(y, group, 5, seed)
    assert all(np.unique(fold[group == g]).size == 1 for g in np.unique(group))
    for k in range(5):
        assert set(y[fold == k]) == {0.0, 1.0}
    events = [np.unique(group[(fold == k) & (y == 1)]).size for k in range(5)]
    assert max(events) - min(events) <= 1


def test_without_shared_groups_the_folds_are_the_stratified_ones():
    y = np.random.default_rng(0).integers(0, 2, 60).astype(float)
    expected = stratified_folds(y, 5, [3, 4])
    assert np.array_equal(grouped_folds(y, None, 5, [3, 4]), expected)
    assert np.array_equal(grouped_folds(y, np.arange(60)[::-1], 5, [3, 4]), expected)


def test_groups_reach_every_fold_and_the_signature(simulated, engine, monkeypatch):
    seen, fit = [], LassoSignature.fit

    def spy(self, X, y, groups=None):
        seen.append(groups is not None and len(groups) == len(y))
        return fit(self, X, y, groups)

    monkeypatch.setattr(LassoSignature, "fit", spy)
    groups = {p: f"G{i // 3}" for i, p in enumerate(sorted(simulated.train))}
    data = gather(simulated.tables, simulated.training(), PLAIN, 0, groups)
    for round_ in data.outer():
        assert not set(data.group[round_.train]) & set(data.group[round_.test])
    found = fit_models(simulated.tables, simulated.training(), SIGNATURE, PLAIN, engine, 0, groups=groups)
    assert len(seen) == 2 * 4 * 4
    assert all(seen)
    without = fit_models(simulated.tables, simulated.training(), SIGNATURE, PLAIN, engine, 0)
    assert found[-1].out_of_fold != without[-1].out_of_fold
    alone = {p: p for p in simulated.train}
    assert fit_models(simulated.tables, simulated.training(), SIGNATURE, PLAIN, engine, 0, groups=alone)[-1].out_of_fold == without[-1].out_of_fold


def test_twins_do_not_help_each_other(simulated, engine, monkeypatch):
    """Every patient stands there twice: torn apart, noise is learned by heart; kept together it is chance."""
    monkeypatch.setitem(CLASSIFIERS["knn"].default, "share", 0.01)
    rng = np.random.default_rng(0)
    ids = [f"{p}{t}" for p in simulated.train[:80] for t in "ab"]
    values = np.repeat(rng.normal(size=(80, 30)), 2, axis=0)
    table = type(simulated.tables["deep"])("radiomic", tuple(ids), tuple(f"f{j}" for j in range(30)), values)
    outcome = dict(zip(ids, np.repeat(rng.integers(0, 2, 80), 2).tolist(), strict=True))
    config = PLAIN.model_copy(update={"classifiers": ("knn",), "primary": ("radiomic", "knn")})
    y = [outcome[p] for p in sorted(ids)]
    areas = {}
    for name, groups in (("apart", None), ("together", {p: p[:-1] for p in ids})):
        (risk,) = out_of_fold({"radiomic": table}, outcome, Recipe(SIGNATURE, config, engine, 0, groups)).values()
        areas[name] = auc(y, [risk[p] for p in sorted(ids)])
    assert areas["apart"] > 0.7
    assert abs(areas["together"] - 0.5) < 0.15


def test_a_signature_that_takes_no_groups_is_refused(simulated, engine):
    class Plain(LassoSignature):
        def fit(self, X, y):
            return super().fit(X, y)

    groups = {p: f"G{i // 3}" for i, p in enumerate(sorted(simulated.train))}
    with pytest.raises(StageError, match=r"Plain.fit takes no groups"):
        fit_models(simulated.tables, simulated.training(), Plain(), PLAIN, engine, 0, groups=groups)


def test_too_few_groups_is_an_error(simulated, engine):
    groups = {p: str(simulated.outcome[p]) for p in simulated.train}
    with pytest.raises(StageError, match=r"at least 2 training groups of patients with the event and 2 without it.*found 1 and 1"):
        fit_models(simulated.tables, simulated.training(), SIGNATURE, PLAIN, engine, 0, groups=groups)


def test_repeats_pool_the_log_odds_of_single_repeats(simulated, engine):
    patients = sorted(simulated.train)
    model = ("dlr", "logistic")
    once = fit_chosen(simulated.tables, simulated.training(), Recipe(SIGNATURE, PLAIN, engine, 0), [model])[0]
    thrice = fit_chosen(simulated.tables, simulated.training(), Recipe(SIGNATURE, PLAIN.model_copy(update={"repeats": 3}), engine, 0), [model])[0]
    assert once.validation == {}
    found = thrice.validation["repeats"]
    assert found["auc"][0] == auc([simulated.outcome[p] for p in patients], [once.out_of_fold[p] for p in patients])
    assert len(set(found["auc"])) == 3
    assert found["auc_mean"] == pytest.approx(sum(found["auc"]) / 3)
    assert found["auc_deviation"] == pytest.approx(np.std(found["auc"], ddof=1))
    assert found["auc_pooled"] == auc([simulated.outcome[p] for p in patients], [thrice.out_of_fold[p] for p in patients])
    assert 0 < found["risk_deviation"] < 0.3
    assert thrice.signatures == once.signatures
    assert json.loads(json.dumps(thrice.record(), allow_nan=False))["validation"]["repeats"] == found
    assert "validation" not in once.record()


def test_some_models_alone_are_the_ones_among_all(simulated, engine):
    config = PLAIN.model_copy(update={"classifiers": ("logistic", "naivebayes")})
    recipe = Recipe(SIGNATURE, config, engine, 0)
    everything = fit_models(simulated.tables, simulated.training(), SIGNATURE, config, engine, 0)
    (one,) = fit_chosen(simulated.tables, simulated.training(), recipe, [("deep", "naivebayes")])
    peer = next(m for m in everything if (m.features, m.classifier) == ("deep", "naivebayes"))
    assert one.out_of_fold == peer.out_of_fold
    assert out_of_fold(simulated.tables, simulated.training(), recipe, [("deep", "naivebayes")]) == {("deep", "naivebayes"): peer.out_of_fold}
    with pytest.raises(ConfigError, match="no model deep with svm; there are"):
        fit_chosen(simulated.tables, simulated.training(), recipe, [("deep", "svm")])


def test_groups_stay_together_in_the_folds_that_choose_the_penalty():
    """Twins torn apart make noise look worth its features; kept together they do not."""
    rng = np.random.default_rng(2)
    X, y = np.repeat(rng.normal(size=(50, 40)), 2, axis=0), np.repeat(rng.integers(0, 2, 50), 2)
    number = np.repeat(np.arange(50), 2)
    apart, together = LassoSignature(repeats=1).fit(X, y), LassoSignature(repeats=1).fit(X, y, groups=number)
    single = LassoSignature(repeats=1).fit(X[::2], y[::2])
    assert apart.penalty_ < together.penalty_
    assert together.path_["deviance"].min() > apart.path_["deviance"].min() + 0.1
    # A twin adds nothing: with the same deal of groups the path is that of one of each.
    assert together.path_["deviance"][: single.path_["deviance"].size] == pytest.approx(single.path_["deviance"][: together.path_["deviance"].size], abs=1e-6)
    plain = LassoSignature().fit(X, y)
    alone = LassoSignature().fit(X, y, groups=np.arange(100))
    assert np.array_equal(plain.coef_, alone.coef_)
