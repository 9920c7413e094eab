"""Calibration and net benefit."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss

from sarcofuse.metrics import brier, calibration_curve, calibration_line, integrated_calibration_index, logit, lowess, net_benefit, stratified_counts, treat_all


def risks(n: int = 200, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    eta = rng.normal(-0.5, 1.2, n)
    return (rng.random(n) < expit(eta)).astype(int), expit(0.6 * eta + 0.4)


def test_brier_equals_scikit_learn():
    y, risk = risks()
    assert brier(y, risk)[0] == pytest.approx(brier_score_loss(y, risk), abs=1e-14)


def test_slope_is_that_of_an_unpenalised_logistic_regression():
    y, risk = risks()
    model = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(logit(risk)[:, None], y)
    assert calibration_line(y, risk)[0][0] == pytest.approx(model.coef_[0, 0], rel=1e-5)


def test_intercept_makes_the_mean_risk_right():
    y, risk = risks()
    expected = brentq(lambda a: expit(a + logit(risk)).mean() - y.mean(), -5, 5)
    assert calibration_line(y, risk)[1][0] == pytest.approx(expected, abs=1e-8)


def test_true_risks_have_slope_1_and_intercept_0():
    rng = np.random.default_rng(5)
    risk = expit(rng.normal(-0.5, 1.2, 40000))
    slope, intercept = calibration_line((rng.random(40000) < risk).astype(int), risk)
    assert (slope[0], intercept[0]) == pytest.approx((1.0, 0.0), abs=0.05)


def test_bootstrapped_lines_are_those_of_repeated_patients():
    y, risk = risks(80)
    counts = stratified_counts(y, 4, 0)
    slopes, intercepts = calibration_line(y, risk, counts)
    for row in range(4):
        again = np.repeat(np.arange(80), counts[row].astype(int))
        slope, intercept = calibration_line(y[again], risk[again])
        assert (slopes[row], intercepts[row]) == pytest.approx((slope[0], intercept[0]), abs=1e-7)


@pytest.mark.parametrize(("y", "risk"), [([1, 1, 1], [0.1, 0.2, 0.3]), ([], []), ([0, 1, 0], [np.nan, 0.5, 0.2])])
def test_lines_without_both_classes_are_nan(y, risk):
    slope, intercept = calibration_line(y, risk)
    assert np.isnan(slope[0])
    assert np.isnan(intercept[0])


def test_constant_risk_has_an_intercept_but_no_slope():
    slope, intercept = calibration_line([0, 0, 0, 1], [0.5] * 4)
    assert np.isnan(slope[0])
    assert intercept[0] == pytest.approx(np.log(0.25 / 0.75))


def test_separating_risks_have_no_slope():
    assert np.isnan(calibration_line([0, 0, 0, 1, 1, 1], [0.1, 0.2, 0.3, 0.6, 0.7, 0.8])[0][0])


def test_risks_of_0_and_1_do_not_crash():
    slope, intercept = calibration_line([0, 1, 0, 1, 1], [0.0, 1.0, 0.4, 0.3, 0.0])
    assert np.isfinite(slope[0])
    assert np.isfinite(intercept[0])


def test_lowess_equals_weighted_least_squares_point_by_point():
    rng = np.random.default_rng(2)
    x = np.sort(rng.random(40))
    y = np.sin(4 * x) + rng.normal(0, 0.1, 40)
    for at in (0.0, 0.31, 0.9):
        distance = np.abs(x - at)
        weight = np.clip(1 - (distance / np.sort(distance)[int(40 * 0.5) - 1]) ** 3, 0, None) ** 3
        slope, level = np.polyfit(x, y, 1, w=np.sqrt(weight))
        assert lowess(x, y, [at], span=0.5)[0] == pytest.approx(level + slope * at, abs=1e-9)


def test_lowess_reproduces_a_straight_line():
    x = np.array([0.0, 0.1, 0.1, 0.1, 0.4, 0.8, 1.0])
    np.testing.assert_allclose(lowess(x, 2 * x + 1, x), 2 * x + 1, atol=1e-9)


def test_lowess_of_one_place_is_the_mean():
    np.testing.assert_allclose(lowess([0.5, 0.5, 0.5], [0, 1, 1], [0.5]), [2 / 3])


def test_bins_hold_everybody_once_and_their_own_share():
    y, risk = risks(103)
    curve = calibration_curve(y, risk)
    assert len(curve.predicted) == 10
    assert (np.diff(curve.predicted) > 0).all()
    assert (curve.low <= curve.observed).all()
    assert (curve.observed <= curve.high).all()
    order = np.argsort(risk)
    assert curve.observed[0] == pytest.approx(y[order[:11]].mean())


@pytest.mark.parametrize(("size", "bins"), [(3, 1), (12, 2), (60, 10)])
def test_few_patients_make_few_bins(size, bins):
    y, risk = risks(size)
    assert len(calibration_curve(y, risk).predicted) == bins


def test_constant_risk_makes_one_bin_and_one_point():
    curve = calibration_curve([0, 1, 0, 1, 1, 0, 0, 0, 0, 0], [0.3] * 10)
    assert curve.predicted == pytest.approx([0.3])
    assert curve.observed == pytest.approx([0.3])
    assert curve.smooth_y == pytest.approx([0.3])


def test_nobody_makes_no_curve():
    assert calibration_curve([], []).smooth_x.size == 0
    assert np.isnan(integrated_calibration_index([], []))


def test_integrated_calibration_index_sees_a_shift():
    rng = np.random.default_rng(0)
    risk = rng.uniform(0.2, 0.5, 20000)
    y = (rng.random(20000) < risk).astype(int)[::10]
    assert integrated_calibration_index(y, risk[::10]) < 0.02
    assert integrated_calibration_index(y, risk[::10] + 0.2) == pytest.approx(0.2, abs=0.03)


def test_net_benefit_follows_vickers_and_elkin():
    y, risk = risks(60)
    for cut in (0.05, 0.2, 0.5, 0.9):
        called = risk >= cut
        expected = (y[called] == 1).sum() / 60 - (y[called] == 0).sum() / 60 * cut / (1 - cut)
        assert net_benefit(y, risk, [cut])[0, 0] == pytest.approx(expected, abs=1e-12)


def test_treating_all_is_worth_the_prevalence_at_threshold_0_and_nothing_at_the_prevalence():
    y = [1, 0, 0, 0]
    np.testing.assert_allclose(treat_all(y, [0.0, 0.25]), [0.25, 0.0], atol=1e-12)


def test_net_benefit_of_one_class_and_of_nobody():
    assert net_benefit([0, 0], [0.9, 0.1], [0.5])[0, 0] == pytest.approx(-0.5)
    assert np.isnan(net_benefit([], [], [0.5])[0, 0])
