"""Riley's criteria against pmsampsize and the papers."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from sarcofuse.metrics import affordable_parameters, auc, cox_snell_max, cox_snell_of_auc, expected_shrinkage, minimum_sample_size


def test_example_of_pmsampsize():
    # pmsampsize(type = "b", csrsquared = 0.288, parameters = 24, prevalence = 0.174): its own tests ask for 623, 662, 221, 662
    found = minimum_sample_size(24, 0.174, 0.288)
    assert (found.shrinkage, found.optimism, found.prevalence, found.minimum) == (623, 662, 221, 662)
    assert expected_shrinkage(662, 24, 0.288) == pytest.approx(0.905, abs=5e-4)


def test_example_of_pmsampsize_from_a_c_statistic():
    # pmsampsize(type = "b", cstatistic = 0.89, parameters = 24, prevalence = 0.174): 615, 660, 221, 660 (by simulation)
    found = minimum_sample_size(24, 0.174, cox_snell_of_auc(0.89, 0.174))
    assert (found.shrinkage, found.optimism, found.prevalence, found.minimum) == (615, 660, 221, 660)


def test_pre_eclampsia_example_of_the_bmj_paper():
    # Riley 2020, BMJ 368:m441: 30 parameters, 5 % events, Cox-Snell R-squared 0.05: 5,249 patients
    assert minimum_sample_size(30, 0.05, 0.05).shrinkage == 5249


def test_r2_of_an_auc_is_that_of_a_simulation():
    rng = np.random.default_rng(0)
    y = np.repeat([1.0, 0.0], [60_000, 240_000])
    shift = 1.1
    x = rng.normal(size=y.size) + shift * y
    p = expit(np.log(0.25) - shift**2 / 2 + shift * x)
    model, null = np.log(np.where(y == 1, p, 1 - p)).mean(), 0.2 * np.log(0.2) + 0.8 * np.log(0.8)
    assert cox_snell_of_auc(auc(y.astype(int), x), 0.2) == pytest.approx(1 - np.exp(-2 * (model - null)), abs=0.003)


@pytest.mark.parametrize(("prevalence", "most"), [(0.5, 0.75), (0.05, 0.33), (0.01, 0.11)])
def test_largest_r2(prevalence, most):
    # Riley 2020, BMJ 368:m441: 0.75 at 50 %, 0.33 at 5 %, 0.11 at 1 %
    assert cox_snell_max(prevalence) == pytest.approx(most, abs=0.005)


def test_ends_of_the_auc():
    assert cox_snell_of_auc(0.5, 0.3) == 0.0
    assert cox_snell_of_auc(0.4, 0.3) == 0.0
    assert cox_snell_of_auc(1.0, 0.3) == cox_snell_max(0.3)
    assert cox_snell_of_auc(0.999, 0.3) < cox_snell_max(0.3)


def test_shrinkage_and_parameters_turn_the_criteria_round():
    for parameters in (2, 10, 40):
        found = minimum_sample_size(parameters, 0.3, 0.15)
        assert expected_shrinkage(found.shrinkage, parameters, 0.15) == pytest.approx(0.9, abs=0.002)
        assert affordable_parameters(found.minimum, 0.3, 0.15) >= parameters or found.minimum == found.prevalence
    assert affordable_parameters(662, 0.174, 0.288) == 24
    assert affordable_parameters(661, 0.174, 0.288) == 23


def test_without_signal_everything_shrinks_away():
    assert expected_shrinkage(500, 10, 0.0) == 0.0
    assert expected_shrinkage(50, 10_000, 0.2) < 0.3
    assert affordable_parameters(100, 0.5, 0.2) == 0  # 385 patients for the overall risk alone


@pytest.mark.parametrize(("prevalence", "r2", "words"), [(0.3, 0.0, "between 0 and"), (0.05, 0.4, "between 0 and 0.328"), (0.0, 0.1, "prevalence must lie between 0 and 1")])
def test_impossible_figures_are_refused(prevalence, r2, words):
    with pytest.raises(ValueError, match=words):
        minimum_sample_size(10, prevalence, r2)
