"""Distances to the smooth calibration curve and decision curves against R's published figures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from sarcofuse.metrics import auc, brier, calibration_errors, calibration_line, hosmer_lemeshow, integrated_calibration_index, lowess, net_benefit, net_reduction, stratified_counts, treat_all

# R's mtcars: vs, wt, disp (Motor Trend, 1974).
CARS = """0 2.62 160|0 2.875 160|1 2.32 108|1 3.215 258|0 3.44 360|1 3.46 225|0 3.57 360|1 3.19 146.7|1 3.15 140.8|1 3.44 167.6|1 3.44 167.6|0 4.07 275.8|0 3.73 275.8
|0 3.78 275.8|0 5.25 472|0 5.424 460|0 5.345 440|1 2.2 78.7|1 1.615 75.7|1 1.835 71.1|1 2.465 120.1|0 3.52 318|0 3.435 304|0 3.84 350|0 3.845 400|1 1.935 79|0 2.14 120.3
|1 1.513 95.1|0 3.17 351|0 2.77 145|0 3.57 301|1 2.78 121"""
DATA = Path(__file__).parent / "data"


@pytest.fixture(scope="module")
def simulated() -> tuple[np.ndarray, np.ndarray]:
    """Outcome and risk of the 500 patients of the vignette of R's CalibrationCurves: glm(y ~ ., traindata) applied to testdata."""
    table = np.loadtxt(DATA / "calibrationcurves.csv", delimiter=",", skiprows=1)
    return table[:, 0].astype(int), table[:, 1]


@pytest.fixture(scope="module")
def biopsies() -> tuple[np.ndarray, np.ndarray]:
    """Outcome and risk of the 750 patients of dcurves' df_binary (cancer, cancerpredmarker; Apache-2.0 in its Python edition)."""
    table = np.loadtxt(DATA / "dcurves.csv", delimiter=",", skiprows=1)
    return table[:, 0].astype(int), table[:, 1]


def test_figures_of_the_calibrationcurves_vignette(simulated):
    # val.prob.ci.2(pHat, yTest): C 0.81426731, Brier 0.17703339, intercept 0.22404680, slope 0.82278297, Eavg 0.04747448
    y, risk = simulated
    slope, intercept = calibration_line(y, risk)
    assert auc(y, risk) == pytest.approx(0.81426731, abs=1e-8)
    assert brier(y, risk)[0] == pytest.approx(0.17703339, abs=1e-8)
    assert slope[0] == pytest.approx(0.82278297, abs=1e-7)
    assert intercept[0] == pytest.approx(0.22404680, abs=1e-7)
    assert calibration_errors(y, risk, smoother="loess").ici[0] == pytest.approx(0.04747448, abs=5e-4)  # R's loess interpolates between few vertices


def test_lowess_figures_are_those_of_cleveland_s_program(simulated):
    # statsmodels 0.15.0, lowess(y, risk, frac=2/3, it=0, delta=0), which is R's lowess(p, y, iter=0) of val.prob without its short cut
    y, risk = simulated
    found = calibration_errors(y, risk)
    assert (found.ici[0], found.e90[0], found.emax[0]) == pytest.approx((0.04297469037805924, 0.07335028248535268, 0.07727078103455581), abs=1e-8)


def test_few_places_of_fit_change_little(simulated):
    y, risk = simulated
    every, some = calibration_errors(y, risk), calibration_errors(y, risk, places=25)
    assert (some.ici[0], some.e90[0], some.emax[0]) == pytest.approx((every.ici[0], every.e90[0], every.emax[0]), abs=1e-3)


def test_ici_is_that_of_the_curve_that_is_drawn(simulated):
    y, risk = simulated
    assert calibration_errors(y, risk).ici[0] == pytest.approx(integrated_calibration_index(y, risk), abs=1e-6)


@pytest.mark.parametrize("smoother", ["lowess", "loess"])
@pytest.mark.parametrize("digits", [2, 6])
def test_bootstrapped_errors_are_those_of_repeated_patients(simulated, smoother, digits):
    y, risk = simulated[0][:120], simulated[1][:120].round(digits)
    counts = stratified_counts(y, 5, 0)
    found = calibration_errors(y, risk, counts, smoother=smoother)
    for row in range(5):
        again = np.repeat(np.arange(120), counts[row].astype(int))
        one = calibration_errors(y[again], risk[again], smoother=smoother)
        assert (found.ici[row], found.e90[row], found.emax[row]) == pytest.approx((one.ici[0], one.e90[0], one.emax[0]), abs=1e-9)


def test_loess_is_weighted_least_squares_with_a_parabola(simulated):
    y, risk = simulated[0][:80], simulated[1][:80]
    order = np.argsort(risk)
    near, expected = int(0.75 * 80), []
    for at in risk:
        distance = np.abs(risk - at)
        weight = np.clip(1 - (distance / np.sort(distance)[near - 1]) ** 3, 0, None) ** 3
        expected.append(np.clip(np.polyval(np.polyfit(risk - at, y, 2, w=np.sqrt(weight)), 0.0), 0, 1))
    assert calibration_errors(y[order], risk[order], smoother="loess").ici[0] == pytest.approx(np.abs(np.array(expected) - risk).mean(), abs=1e-8)


def test_lowess_of_the_figures_is_the_lowess_of_the_plot(simulated):
    y, risk = simulated
    away = np.abs(np.clip(lowess(risk, y, risk), 0, 1) - risk)
    assert calibration_errors(y, risk).e90[0] == pytest.approx(np.quantile(away, 0.9), abs=1e-6)


def test_constant_risk_is_as_far_off_as_the_share_of_events():
    found = calibration_errors([0, 1, 0, 0], [0.6] * 4)
    assert (found.ici[0], found.e90[0], found.emax[0]) == pytest.approx((0.35, 0.35, 0.35))


def test_separated_classes_have_finite_errors():
    found = calibration_errors([0, 0, 0, 1, 1, 1], [0.1, 0.2, 0.3, 0.6, 0.7, 0.8])
    assert 0 < found.ici[0] <= found.emax[0] <= 1


@pytest.mark.parametrize(("y", "risk"), [([1, 1, 1], [0.1, 0.2, 0.3]), ([], []), ([0, 1], [np.nan, 0.2])])
def test_one_class_and_gaps_have_no_errors(y, risk):
    assert np.isnan(calibration_errors(y, risk).ici).all()
    assert np.isnan(hosmer_lemeshow(y, risk).p)


def test_hosmer_lemeshow_by_hand(simulated):
    y, risk = simulated
    groups = np.array_split(np.argsort(risk), 10)
    expected = sum((y[g].sum() - risk[g].sum()) ** 2 * (1 / risk[g].sum() + 1 / (50 - risk[g].sum())) for g in groups)
    found = hosmer_lemeshow(y, risk)
    assert (found.statistic, found.freedom, found.groups) == (pytest.approx(expected), 10, 10)
    assert hosmer_lemeshow(y, risk, fitted=True).freedom == 8


def test_hosmer_lemeshow_of_r():
    # R: hoslem.test(mtcars$vs, fitted(glm(vs ~ wt + disp, binomial, mtcars))): X-squared = 6.4717, df = 8, p-value = 0.5945 (theanalysisfactor.com/r-glm-model-fit)
    table = np.array([[float(v) for v in car.split()] for car in CARS.split("|")])
    scaled = (table[:, 1:] - table[:, 1:].mean(axis=0)) / table[:, 1:].std(axis=0)
    risk = LogisticRegression(C=np.inf, tol=1e-12, solver="newton-cholesky").fit(scaled, table[:, 0]).predict_proba(scaled)[:, 1]
    found = hosmer_lemeshow(table[:, 0].astype(int), risk, fitted=True)
    assert (found.statistic, found.freedom, found.p) == (pytest.approx(6.4717, abs=5e-5), 8, pytest.approx(0.5945, abs=5e-5))


def test_hosmer_lemeshow_at_the_ends():
    assert np.isnan(hosmer_lemeshow([0, 1, 0], [0.3, 0.3, 0.3]).p)
    sure = hosmer_lemeshow([1, 0, 1, 0, 1, 1], [0.0, 0.0, 0.4, 0.4, 0.9, 0.9], groups=3)
    assert (sure.statistic, sure.p) == (np.inf, 0.0)


def test_net_benefit_of_dcurves(biopsies):
    # dcurves, tests/testthat: dca(cancer ~ cancerpredmarker) at 0.25: -0.1466667 (all), 0.064; net_intervention_avoided 0.632
    y, risk = biopsies
    assert treat_all(y, [0.25])[0] == pytest.approx(-0.1466667, abs=5e-8)
    assert net_benefit(y, risk, [0.25])[0, 0] == pytest.approx(0.064, abs=5e-8)
    assert net_reduction(y, risk, [0.25])[0, 0] == pytest.approx(63.2, abs=5e-6)


def test_treat_all_of_dcurves(biopsies):
    # dcurves' vignette: treat all at 0.05, 0.10, 0.20, 0.30, 0.35
    np.testing.assert_allclose(treat_all(biopsies[0], [0.05, 0.1, 0.2, 0.3, 0.35]), [0.0947, 0.0444, -0.075, -0.229, -0.323], atol=5e-4)


def test_treating_nobody_avoids_the_interventions_of_dcurves(biopsies):
    # dcurves, tests/testthat/test-net_intervention_avoided.R: 0.44 of treating none at 0.25
    y, _ = biopsies
    assert net_reduction(y, np.zeros(y.size), [0.25])[0, 0] == pytest.approx(44.0)
    assert net_reduction(y, np.ones(y.size), [0.25, 0.5])[0] == pytest.approx([0.0, 0.0])


def test_bootstrapped_net_reduction_is_that_of_repeated_patients(biopsies):
    y, risk = biopsies[0][:100], biopsies[1][:100]
    counts = stratified_counts(y, 3, 0)
    found = net_reduction(y, risk, [0.1, 0.4], counts)
    for row in range(3):
        again = np.repeat(np.arange(100), counts[row].astype(int))
        assert found[row] == pytest.approx(net_reduction(y[again], risk[again], [0.1, 0.4])[0])
