"""A Cox model of one variable, and the chance to be free of the event that follows from it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from sarcofuse.metrics import kaplan_meier, proportional_hazards
from tests.metrics.test_survival import MP, PLACEBO


def test_freireich_s_trial() -> None:
    # R's coxph(Surv(time, status) ~ treatment, ties = "breslow"): 1.509 (Kleinbaum and Klein, Survival analysis, section 3.II: 1.509, hazard ratio 4.523)
    time, event = MP[0] + PLACEBO[0], MP[1] + PLACEBO[1]
    slope = proportional_hazards(time, event, [0.0] * 21 + [1.0] * 21).slope
    assert slope == pytest.approx(1.5092, abs=5e-5)
    assert np.exp(slope) == pytest.approx(4.523, abs=5e-4)


def test_hazard_of_a_constant_score_is_nelson_s_and_aalen_s() -> None:
    found = proportional_hazards([3.0, 1.0, 3.0, 5.0, 2.0], [1, 1, 1, 0, 0], np.full(5, 0.1))
    assert found.slope == 0.0
    assert found.baseline.at([0.5, 1.0, 2.9, 3.0, 9.0]) == pytest.approx([0.0, 1 / 5, 1 / 5, 1 / 5 + 2 / 3, 1 / 5 + 2 / 3])


def test_slope_and_hazard_are_those_of_formulas_written_out() -> None:
    rng = np.random.default_rng(5)
    x = rng.normal(2.0, 3.0, 80)
    time, event = np.ceil(rng.exponential(20.0 * np.exp(-0.2 * x))), (rng.random(80) < 0.7).astype(int)

    def loss(b: float) -> float:
        return -sum(b * x[i] - np.log(np.exp(b * x[time >= time[i]]).sum()) for i in range(80) if event[i])

    found = proportional_hazards(time, event, x)
    slope = found.slope
    assert slope == pytest.approx(minimize_scalar(loss, bounds=(-2, 2), method="bounded", options={"xatol": 1e-10}).x, abs=1e-7)
    at = float(np.median(time))
    own = sum(1.0 / np.exp(slope * x[time >= time[i]]).sum() for i in range(80) if event[i] and time[i] <= at)
    assert found.baseline.at([at])[0] == pytest.approx(own * np.exp(slope * x.mean()))
    assert found.free([1.0, 4.0], [at])[:, 0] == pytest.approx(np.exp(-own * np.exp(slope * np.array([1.0, 4.0]))))


def test_the_mean_chance_is_near_kaplan_meier() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=2000)
    happens, seen = rng.exponential(np.exp(-x)), rng.exponential(2.0, 2000)
    time, event = np.minimum(happens, seen), happens <= seen
    found = proportional_hazards(time, event, x)
    assert found.slope == pytest.approx(1.0, abs=0.1)
    at = [0.2, 0.5, 1.0]
    assert found.free(x, at).mean(axis=0) == pytest.approx(kaplan_meier(time, event).at(at), abs=0.02)


def test_events_in_the_very_order_of_the_score_have_no_greatest_likelihood() -> None:
    x = np.arange(6.0) * 1e-3 - 1.2  # nearly constant log-odds: the slope is in the thousands
    found = proportional_hazards(6.0 - np.arange(6.0), np.ones(6), x)
    assert found.slope == pytest.approx(10.0 / x.std())
    assert np.isfinite(found.free([-9.0, -1.2, 3.0], [0.5, 2.0, 6.0])).all()
    assert proportional_hazards(np.arange(6.0) + 1.0, np.ones(6), x).slope == pytest.approx(-10.0 / x.std())


def test_wrong_lengths_and_no_events_are_refused() -> None:
    with pytest.raises(ValueError, match=r"at least one event; found 2 scores and 0 events"):
        proportional_hazards([1.0, 2.0], [0, 0], [1.0, 2.0])
    with pytest.raises(ValueError, match=r"a score for each of 2 times, .* found 3 scores and 1 events"):
        proportional_hazards([1.0, 2.0], [0, 1], [1.0, 2.0, 3.0])
