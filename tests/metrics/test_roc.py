"""Discrimination against R's pROC, scikit-learn and brute force."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import brentq
from sklearn.metrics import roc_auc_score
from sklearn.metrics import roc_curve as sklearn_roc

from sarcofuse.metrics import auc, delong, delong_interval, delong_test, midranks, newcombe_interval, roc_curve


def tied(seed: int, n: int = 60) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = (rng.random(n) < 0.4).astype(int)
    return y, np.round(rng.normal(size=n) + y, 1), np.round(rng.normal(size=n) + 0.5 * y, 1)


@pytest.mark.parametrize("seed", range(5))
def test_auc_and_curve_equal_scikit_learn_with_ties(seed):
    y, score, _ = tied(seed)
    assert auc(y, score) == pytest.approx(roc_auc_score(y, score), abs=1e-12)
    for ours, theirs in zip(roc_curve(y, score), sklearn_roc(y, score, drop_intermediate=False), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-12)


def test_area_under_the_curve_is_the_auc():
    y, score, _ = tied(7)
    fpr, tpr, _ = roc_curve(y, score)
    assert np.trapezoid(tpr, fpr) == pytest.approx(auc(y, score), abs=1e-12)


def test_auc_of_asah_is_that_of_proc(asah):
    y, wfns, s100b = asah
    assert auc(y, wfns) == pytest.approx(0.82368, abs=5e-6)
    assert auc(y, s100b) == pytest.approx(0.73137, abs=5e-6)


def test_delong_interval_of_asah_is_that_of_proc(asah):
    y, _, s100b = asah
    found = delong_interval(y, s100b)
    assert (found.low, found.high) == pytest.approx((0.6301, 0.8326), abs=5e-5)


def test_delong_test_of_asah_is_that_of_proc(asah):
    # pROC, tests/testthat/test-roc.test.R: roc.test(r.wfns, r.s100b)
    y, wfns, s100b = asah
    found = delong_test(y, wfns, s100b)
    assert found.z == pytest.approx(2.20898359144091, rel=1e-10)
    assert found.p == pytest.approx(0.0271757822291882, rel=1e-10)
    assert (found.difference.low, found.difference.high) == pytest.approx((0.0104061769564846, 0.174214419249478), rel=1e-9)


def test_delong_test_turns_its_sign_with_its_arguments(asah):
    y, wfns, s100b = asah
    there, back = delong_test(y, wfns, s100b), delong_test(y, s100b, wfns)
    assert (back.z, back.p) == (-there.z, there.p)


@pytest.mark.parametrize("seed", range(3))
def test_delong_covariance_equals_brute_force(seed):
    y, a, b = tied(seed)
    m, n = y.sum(), (1 - y).sum()
    above, below = [], []
    for s in (a, b):
        order = np.array([[1.0 if p > q else 0.5 if p == q else 0.0 for q in s[y == 0]] for p in s[y == 1]])
        above.append(order.mean(axis=1))
        below.append(order.mean(axis=0))
    np.testing.assert_allclose(delong(y, [a, b])[1], np.cov(above) / m + np.cov(below) / n, atol=1e-12)


def test_scores_that_rank_alike_differ_by_nothing():
    y, score, _ = tied(1)
    found = delong_test(y, score, 3 * score + 1)
    assert (found.difference.value, found.z, found.p) == (0.0, 0.0, 1.0)


def test_midranks_share_ties():
    assert midranks([3, 1, 3, 2, 3]).tolist() == [4.0, 1.0, 4.0, 2.0, 4.0]


@pytest.mark.parametrize(("y", "score"), [([1, 1, 1], [0.1, 0.2, 0.3]), ([0, 0], [0.1, 0.2]), ([], []), ([0, 1, 1], [0.2, np.nan, 0.3])])
def test_undefined_areas_are_nan(y, score):
    assert np.isnan(auc(y, score))
    assert np.isnan(delong_interval(y, score).low)
    assert np.isnan(delong_test(y, score, score).p)


def test_one_class_gives_no_curve_and_no_crash():
    fpr, tpr, _ = roc_curve([1, 1], [0.1, 0.2])
    assert np.isnan(fpr).all()
    assert tpr.tolist() == [0.0, 0.5, 1.0]


def test_constant_scores_order_nobody():
    y = [0, 1, 0, 1]
    assert auc(y, [0.3] * 4) == 0.5
    found = delong_test(y, [0.3] * 4, [0.1, 0.9, 0.2, 0.8])
    assert found.difference.value == -0.5
    assert np.isnan(found.p)


def test_outcomes_other_than_0_and_1_are_refused():
    with pytest.raises(ValueError, match="list of 0 and 1"):
        auc([1, 2, 0], [0.1, 0.2, 0.3])
    with pytest.raises(ValueError, match="3 outcomes but scores of shape"):
        auc([1, 1, 0], [0.1, 0.2])


@pytest.mark.parametrize(("area", "m", "n"), [(0.7, 20, 30), (0.5, 6, 9), (0.97, 15, 15)])
def test_newcombe_ends_lie_z_standard_errors_away(area, m, n):
    def standard_error(t):
        return np.sqrt(t * (1 - t) * (1 + ((m + n) / 2 - 1) * ((1 - t) / (2 - t) + t / (1 + t))) / (m * n))

    found = newcombe_interval(area, m, n)
    assert found.low == pytest.approx(brentq(lambda t: area - t - 1.959963984540054 * standard_error(t), 1e-9, area), abs=1e-9)
    assert found.high == pytest.approx(brentq(lambda t: t - area - 1.959963984540054 * standard_error(t), area, 1 - 1e-12), abs=1e-9)


def test_newcombe_keeps_a_width_at_perfection():
    found = newcombe_interval(1.0, 5, 6)
    assert 0.4 < found.low < 0.95
    assert found.high == 1.0
