"""BCa and percentile intervals against scipy, by hand, and where they are not defined."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import bootstrap
from sklearn.metrics import roc_auc_score

from sarcofuse.metrics import acceleration, auc, bca_ends, bca_interval, bootstrap_auc, brier, leave_out, percentile_ends, percentile_interval, stratified_counts


def scores(n: int = 60, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = np.repeat([1, 0], [n // 3, n - n // 3])
    return y, np.round(rng.gamma(1.5, size=n) + 1.2 * y, 1)


def area(events: np.ndarray, others: np.ndarray) -> float:
    return float(roc_auc_score(np.repeat([1, 0], [events.size, others.size]), np.concatenate([events, others])))


@pytest.mark.parametrize("confidence", [0.9, 0.95])
@pytest.mark.parametrize("seed", range(3))
def test_stratified_bca_is_that_of_scipy(seed, confidence):
    y, score = scores(seed=seed)
    events, others = score[y == 1], score[y == 0]
    drawn = bootstrap((events, others), area, n_resamples=400, paired=False, vectorized=False, method="percentile", random_state=1)
    theirs = bootstrap((events, others), area, n_resamples=0, bootstrap_result=drawn, paired=False, vectorized=False, method="BCa", confidence_level=confidence).confidence_interval
    plan = leave_out(y)
    left = bootstrap_auc(y, score, plan.weights(0, plan.stratum.size))
    found = bca_interval(auc(y, score), drawn.bootstrap_distribution, left, plan.stratum, confidence)
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_bca_of_a_mean_by_hand():
    # One stratum of 4, 1, 7: influences 0, -3, 3 cancel; of 1, 1, 10: deviations -3, -3, 6, so that a = 162 / (6 * 54**1.5)
    assert acceleration(np.array([[4.0], [5.5], [2.5]]), [0, 0, 0])[0] == 0.0
    left = np.array([[5.5], [5.5], [1.0]])
    assert acceleration(left, [0, 0, 0])[0] == pytest.approx(162 / (6 * 54**1.5))


def test_many_figures_at_once_are_figures_one_by_one():
    rng = np.random.default_rng(4)
    values, samples, bend = rng.normal(size=5), rng.normal(size=(300, 5)), rng.normal(0, 0.05, 5)
    samples[:10, 2] = np.nan
    low, high = bca_ends(values, samples, bend)
    for i in range(5):
        one = bca_ends(values[i : i + 1], samples[:, i : i + 1], bend[i : i + 1])
        assert (low[i], high[i]) == (one[0][0], one[1][0])
        alone = percentile_interval(values[i], samples[:, i])
        ends = percentile_ends(values, samples)
        assert (ends[0][i], ends[1][i]) == pytest.approx((alone.low, alone.high), abs=1e-14)


def test_without_bias_or_acceleration_it_is_the_percentile_interval():
    samples = np.linspace(-1, 1, 201)[:, None]
    assert np.array(bca_ends([0.0], samples, [0.0])) == pytest.approx(np.array(percentile_ends([0.0], samples)))


def test_all_samples_on_one_side_give_percentiles_that_hold_the_figure():
    samples = np.linspace(1, 2, 100)[:, None]
    low, high = bca_ends([0.5], samples, [0.0])
    assert low[0] == 0.5
    assert high[0] == percentile_ends([0.5], samples)[1][0]
    assert bca_ends([3.0], samples, [0.0])[1][0] == 3.0


def test_a_correction_beyond_the_samples_falls_back():
    samples = np.append(np.full(3, -1.0), np.linspace(1, 2, 197))[:, None]
    low, high = bca_ends([0.0], samples, [0.0])  # 1.5% below: the lower level would be 3e-10
    assert (low[0], high[0]) == (min(0.0, percentile_ends([0.0], samples)[0][0]), percentile_ends([0.0], samples)[1][0])


def test_a_figure_that_never_moves_has_an_interval_without_width():
    found = bca_interval(0.7, np.full(50, 0.7), np.full(9, 0.7), [1] * 4 + [0] * 5)
    assert (found.low, found.high) == (0.7, 0.7)


@pytest.mark.parametrize(("value", "gaps"), [(np.nan, 0), (0.1, 6)])
def test_undefined_figures_have_none(value, gaps):
    samples = np.linspace(0, 1, 100)
    samples[:gaps] = np.nan
    found = bca_interval(value, samples, np.linspace(0, 1, 8), [1] * 4 + [0] * 4)
    assert np.isnan(found.low)
    assert np.isnan(found.high)


def test_undefined_leave_outs_leave_the_bias_corrected_interval():
    samples = np.random.default_rng(0).normal(size=500)
    with_gap = bca_interval(0.1, samples, [np.nan, 1.0, 2.0, 0.5], [1, 1, 0, 0])
    low, high = bca_ends([0.1], samples[:, None], [0.0])
    assert (with_gap.low, with_gap.high) == (low[0], high[0])


def test_classes_keep_their_size_when_somebody_is_left_out():
    y, score = scores(30)
    plan = leave_out(y)
    weights = plan.weights(0, 30)
    assert plan.stratum.tolist() == [1] * 10 + [0] * 20
    np.testing.assert_allclose(weights[:, y == 1].sum(axis=1), 10)
    np.testing.assert_allclose(weights[:, y == 0].sum(axis=1), 20)
    event, risk = y[1:].astype(float), score[1:] / 5
    expected = 10 * np.mean((risk[:9] - event[:9]) ** 2) + 20 * np.mean((risk[9:] - event[9:]) ** 2)
    assert brier(y, score / 5, weights)[0] == pytest.approx(expected / 30)


def test_large_cohorts_are_left_out_by_groups_of_one_class():
    y = np.random.default_rng(1).permutation(np.repeat([1, 0], [300, 700]))
    plan = leave_out(y, 999, 50)
    assert plan.stratum.tolist() == [1] * 15 + [0] * 35
    assert np.bincount(plan.group).tolist() == [20] * 50
    assert all(set(y[plan.group == g]) == {plan.stratum[g]} for g in range(50))


def test_one_class_and_one_patient_of_a_class():
    assert leave_out([0, 0]).stratum.tolist() == [0, 0]
    plan = leave_out([1, 0, 0])
    assert np.isfinite(plan.weights(0, 3)).all()


@pytest.mark.slow
def test_bca_covers_a_skewed_figure_better_than_percentiles():
    rng, inside = np.random.default_rng(3), np.zeros(2)
    for _ in range(300):
        y = np.repeat([0, 1], [40, 25])
        score = rng.normal(size=65) + 2.2 * y  # AUC = Phi(2.2 / sqrt 2) = 0.9401
        plan, drawn = leave_out(y), bootstrap_auc(y, score, stratified_counts(y, 400, 0))
        value = auc(y, score)
        bca = bca_interval(value, drawn, bootstrap_auc(y, score, plan.weights(0, 65)), plan.stratum, 0.9)
        plain = percentile_interval(value, drawn, 0.9)
        inside += [bca.low <= 0.94010 <= bca.high, plain.low <= 0.94010 <= plain.high]
    assert inside[0] / 300 > 0.84
    assert inside[0] >= inside[1] - 3
