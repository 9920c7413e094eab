"""The best possible AUC, against Monte Carlo; outcomes, against the model they are drawn from."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.stats import rankdata

from sarcofuse.errors import ConfigError
from sarcofuse.phantom import SOURCES, Latents, bayes_auc, plan_cohort
from sarcofuse.phantom.truth import ALPHA, BETA, WEIGHTS, aggressiveness_of, draw_latents

NAMES = ("texture", "shape", "oedema")
SUBSETS = [s for n in range(4) for s in itertools.combinations(NAMES, n)]


def rank_auc(score: np.ndarray, outcome: np.ndarray) -> float:
    """Mann-Whitney."""
    events = int(outcome.sum())
    return float((rankdata(score)[outcome].sum() - events * (events + 1) / 2) / (events * (len(outcome) - events)))


@pytest.fixture(scope="module")
def population() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(20240)
    latents = rng.standard_normal((1_000_000, 3))
    weights = np.array([WEIGHTS[n] for n in NAMES])
    return latents, rng.random(1_000_000) < 1 / (1 + np.exp(-(ALPHA + BETA * (latents @ weights))))


@pytest.mark.parametrize("sources", SUBSETS, ids="+".join)
def test_bayes_auc_is_what_a_large_population_shows(sources, population):
    latents, outcome = population
    score = sum((WEIGHTS[s] * latents[:, NAMES.index(s)] for s in sources), np.zeros(len(outcome)))
    assert bayes_auc(sources) == pytest.approx(rank_auc(score, outcome), abs=0.0015)


def test_population_has_the_rate_of_the_study(population):
    assert population[1].mean() == pytest.approx(200 / 803, abs=0.002)


def test_bayes_auc_grows_with_what_is_known():
    for small, large in itertools.product(SUBSETS, SUBSETS):
        if set(small) < set(large):
            assert bayes_auc(small) < bayes_auc(large)


def test_oedema_matters_and_the_task_is_hard_but_can_be_done():
    assert 0.90 <= bayes_auc(SOURCES["dlr"]) <= 0.92
    assert bayes_auc(SOURCES["deep"]) == bayes_auc(SOURCES["dlr"])
    assert 0.80 <= bayes_auc(SOURCES["radiomic"]) <= 0.84
    assert bayes_auc(SOURCES["clinical"]) == 0.5


def test_bayes_auc_is_the_same_in_any_order_and_given_twice():
    assert bayes_auc(["oedema", "texture"]) == bayes_auc(("texture", "oedema", "texture"))


def test_unknown_source_is_refused():
    with pytest.raises(ConfigError, match=r"unknown source 'margin'.*texture, shape, oedema"):
        bayes_auc(["texture", "margin"])


def test_weights_make_a_variance_of_one():
    assert sum(w * w for w in WEIGHTS.values()) == pytest.approx(1.0, abs=1e-12)


def test_components_drawn_given_the_outcome_follow_the_model():
    """Drawing until the outcome fits gives the conditional distributions, here their means, and so the same AUC."""
    rng = np.random.default_rng(7)
    drawn = {y: np.array([[getattr(d, n) for n in NAMES] for d in (draw_latents(rng, y) for _ in range(3000))]) for y in (0, 1)}
    free = rng.standard_normal((400_000, 3))
    weights = np.array([WEIGHTS[n] for n in NAMES])
    happened = rng.random(400_000) < 1 / (1 + np.exp(-(ALPHA + BETA * (free @ weights))))
    for outcome, found in drawn.items():
        expected = free[happened == bool(outcome)]
        np.testing.assert_allclose(found.mean(0), expected.mean(0), atol=4 / 3000**0.5)
        np.testing.assert_allclose(found.std(0), expected.std(0), atol=4 / 6000**0.5)
    score = np.concatenate([drawn[0], drawn[1]]) @ weights
    assert rank_auc(score, np.repeat([False, True], 3000)) == pytest.approx(bayes_auc(NAMES), abs=0.015)


def test_risk_by_hand():
    latents = Latents(1.0, -0.5, 2.0)
    score = 0.6 * 1.0 + 0.5 * -0.5 + 0.39**0.5 * 2.0
    assert latents.aggressiveness == pytest.approx(score, rel=1e-12)
    assert latents.risk == pytest.approx(1 / (1 + np.exp(-(-2.18 + 2.7 * score))), rel=1e-12)


def test_without_oedema_in_the_risk_the_networks_know_no_more_than_radiomics():
    """A million patients whose risk depends on texture and shape alone, weighted to variance 1."""
    causes, rng = ("shape", "texture"), np.random.default_rng(7)
    size = (WEIGHTS["texture"] ** 2 + WEIGHTS["shape"] ** 2) ** 0.5
    latents = rng.standard_normal((1_000_000, 3))
    score = (WEIGHTS["texture"] * latents[:, 0] + WEIGHTS["shape"] * latents[:, 1]) / size
    outcome = rng.random(len(score)) < 1 / (1 + np.exp(-(ALPHA + BETA * score)))
    assert bayes_auc(SOURCES["deep"], causes) == bayes_auc(SOURCES["radiomic"], causes) == pytest.approx(rank_auc(score, outcome), abs=0.0015)
    assert bayes_auc(["oedema"], causes) == 0.5
    assert bayes_auc(["texture"], causes) == pytest.approx(rank_auc(latents[:, 0], outcome), abs=0.0015)
    assert aggressiveness_of(Latents(1.0, -2.0, 5.0), causes) == pytest.approx((WEIGHTS["texture"] - 2.0 * WEIGHTS["shape"]) / size)
    for wrong in ((), ("grade",)):
        with pytest.raises(ConfigError, match="must depend on one or more of texture, shape, oedema"):
            bayes_auc(["texture"], wrong)


def test_a_cohort_whose_risk_leaves_oedema_out_has_oedema_in_both_classes_alike():
    plans = plan_cohort(803, 3, ("texture", "shape"))
    outcome = np.array([p.recurrence for p in plans], dtype=bool)
    for name, low, high in (("oedema", 0.42, 0.58), ("texture", 0.65, 0.95), ("shape", 0.65, 0.95)):
        assert low < rank_auc(np.array([getattr(p.latents, name) for p in plans]), outcome) < high, name
    assert plan_cohort(60, 3) == plan_cohort(60, 3, ("oedema", "shape", "texture"))
