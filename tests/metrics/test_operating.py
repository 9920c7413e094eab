"""Thresholds and rates."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix

from sarcofuse.metrics import rate_sizes, rates, sensitivity_threshold, wilson_interval, youden_threshold


def youden(y, risk, cut):
    y, called = np.asarray(y), np.asarray(risk) >= cut
    return called[y == 1].mean() - called[y == 0].mean()


def test_youden_cut_of_s100b_is_that_of_proc(asah):
    y, _, s100b = asah
    assert youden_threshold(y, s100b) == pytest.approx(0.205)


@pytest.mark.parametrize("seed", range(10))
def test_no_other_threshold_beats_youden(seed):
    rng = np.random.default_rng(seed)
    y = (rng.random(40) < 0.4).astype(int)
    risk = np.round(rng.random(40) * 0.7 + 0.2 * y, 2)
    best = youden(y, risk, youden_threshold(y, risk))
    assert best == pytest.approx(max(youden(y, risk, cut) for cut in np.arange(-0.005, 1.01, 0.001)), abs=1e-12)


def test_threshold_lies_between_observed_risks():
    cut = youden_threshold([0, 0, 1, 1], [0.1, 0.3, 0.5, 0.9])
    assert cut == pytest.approx(0.4)


def test_of_equally_good_thresholds_the_lowest_is_taken():
    # 0.2 | 0.4 and 0.6 | 0.8 both reach J = 0.5
    assert youden_threshold([0, 1, 0, 1], [0.2, 0.4, 0.6, 0.8]) == pytest.approx(0.3)


def test_neighbouring_doubles_are_still_told_apart():
    low = 0.3
    high = np.nextafter(low, 1)
    cut = youden_threshold([0, 1], [low, high])
    assert low < cut <= high


@pytest.mark.parametrize(("wanted", "cut"), [(0.5, 0.75), (0.51, 0.3), (0.75, 0.3), (0.76, 0.1), (1.0, 0.1)])
def test_wanted_sensitivity_is_reached_as_high_as_possible(wanted, cut):
    y, risk = [1, 0, 1, 0, 1, 1], [0.1, 0.2, 0.4, 0.7, 0.8, 0.9]
    assert sensitivity_threshold(y, risk, wanted) == pytest.approx(cut)


def test_thresholds_without_both_classes_are_nan():
    assert np.isnan(youden_threshold([1, 1], [0.1, 0.2]))
    assert np.isnan(sensitivity_threshold([0, 0], [0.1, 0.2], 0.9))


def test_constant_risk_calls_everybody_positive():
    assert youden_threshold([0, 1, 1], [0.4, 0.4, 0.4]) == 0.4


def test_rates_follow_the_confusion_matrix():
    rng = np.random.default_rng(3)
    y, called = rng.integers(0, 2, 50), rng.integers(0, 2, 50).astype(bool)
    tn, fp, fn, tp = confusion_matrix(y, called).ravel()
    expected = {"sensitivity": tp / (tp + fn), "specificity": tn / (tn + fp), "accuracy": (tp + tn) / 50, "ppv": tp / (tp + fp), "npv": tn / (tn + fn)}
    assert {k: v[0] for k, v in rates(y, called).items()} == pytest.approx(expected)
    assert rate_sizes(y, called) == {"sensitivity": tp + fn, "specificity": tn + fp, "accuracy": 50, "ppv": tp + fp, "npv": tn + fn}


def test_weighted_rates_are_those_of_repeated_patients():
    rng = np.random.default_rng(4)
    y, called = rng.integers(0, 2, 30), rng.integers(0, 2, 30).astype(bool)
    counts = rng.integers(0, 4, (3, 30)).astype(float)
    for row in range(3):
        again = np.repeat(np.arange(30), counts[row].astype(int))
        assert {k: v[row] for k, v in rates(y, called, counts).items()} == pytest.approx({k: v[0] for k, v in rates(y[again], called[again]).items()})


def test_rates_of_nobody_are_nan():
    found = rates([0, 0], [False, False])
    assert np.isnan(found["sensitivity"][0])
    assert np.isnan(found["ppv"][0])
    assert found["specificity"][0] == 1.0


@pytest.mark.parametrize(("events", "size", "low", "high"), [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)])
def test_wilson_interval_of_newcombes_examples(events, size, low, high):
    # Newcombe RG. Stat Med 1998;17:857-872, table I, method 3
    found = wilson_interval(events / size, size)
    assert (found.low, found.high) == pytest.approx((low, high), abs=6e-5)
