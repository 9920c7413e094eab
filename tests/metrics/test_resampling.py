"""Bootstrap, folds, Holm."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from sarcofuse.metrics import auc, bootstrap_auc, delong_interval, holm, percentile_interval, stratified_counts, stratified_folds


def test_every_sample_keeps_the_classes():
    y = np.array([1] * 7 + [0] * 20)
    counts = stratified_counts(y, 200, 0)
    assert (counts[:, y == 1].sum(axis=1) == 7).all()
    assert (counts[:, y == 0].sum(axis=1) == 20).all()
    assert counts.mean() == 1.0
    assert counts.std() > 0.5


def test_same_seed_same_samples():
    y = [0, 1, 0, 1, 1]
    assert np.array_equal(stratified_counts(y, 10, [3, 4]), stratified_counts(y, 10, [3, 4]))
    assert not np.array_equal(stratified_counts(y, 10, [3, 4]), stratified_counts(y, 10, [3, 5]))


def test_bootstrapped_auc_is_that_of_repeated_patients():
    rng = np.random.default_rng(1)
    y = (rng.random(40) < 0.4).astype(int)
    score = np.round(rng.random(40) + 0.3 * y, 1)
    counts = stratified_counts(y, 20, 2)
    again = [np.repeat(np.arange(40), row.astype(int)) for row in counts]
    np.testing.assert_allclose(bootstrap_auc(y, score, counts), [roc_auc_score(y[i], score[i]) for i in again], atol=1e-12)


def test_percentile_interval_agrees_with_delong_where_patients_are_many():
    rng = np.random.default_rng(2)
    y = (rng.random(800) < 0.4).astype(int)
    score = rng.normal(size=800) + y
    found = percentile_interval(auc(y, score), bootstrap_auc(y, score, stratified_counts(y, 2000, 0)))
    asymptotic = delong_interval(y, score)
    assert (found.low, found.high) == pytest.approx((asymptotic.low, asymptotic.high), abs=0.006)


@pytest.mark.slow
def test_intervals_cover_the_truth_as_often_as_they_say():
    rng, inside = np.random.default_rng(3), 0
    for _ in range(400):
        y = np.repeat([0, 1], [70, 40])
        score = rng.normal(size=110) + y  # AUC = Phi(1 / sqrt 2) = 0.7602
        found = percentile_interval(auc(y, score), bootstrap_auc(y, score, stratified_counts(y, 400, 0)), 0.9)
        inside += found.low <= 0.76025 <= found.high
    assert 0.85 <= inside / 400 <= 0.94


def test_interval_of_something_often_undefined_is_none():
    samples = np.array([0.5] * 94 + [np.nan] * 6)
    assert np.isnan(percentile_interval(0.5, samples).low)
    assert percentile_interval(0.5, np.array([0.5] * 96 + [np.nan] * 4)).low == 0.5
    assert np.isnan(percentile_interval(np.nan, np.ones(10)).high)


def test_bootstrapped_auc_of_one_class_is_nan():
    assert np.isnan(bootstrap_auc([1, 1], [0.1, 0.2], np.ones((3, 2)))).all()


def test_holm_equals_r():
    # R: p.adjust(c(0.01, 0.02, 0.03, 0.04, 0.05), "holm"); p.adjust(c(0.001, 0.04, 0.03), "holm")
    np.testing.assert_allclose(holm([0.01, 0.02, 0.03, 0.04, 0.05]), [0.05, 0.08, 0.09, 0.09, 0.09])
    np.testing.assert_allclose(holm([0.001, 0.04, 0.03]), [0.003, 0.06, 0.06])


def test_holm_leaves_out_tests_that_were_not_done_and_stops_at_1():
    np.testing.assert_allclose(holm([np.nan, 0.02, 0.9]), [np.nan, 0.04, 0.9])
    np.testing.assert_allclose(holm([0.8, 0.9]), [1.0, 1.0])
    assert holm([]).size == 0


@pytest.mark.parametrize(("events", "others", "folds"), [(150, 377, 5), (7, 16, 5), (3, 20, 3), (2, 2, 2)])
def test_folds_share_events_and_patients_evenly(events, others, folds):
    y = np.repeat([1, 0], [events, others])
    fold = stratified_folds(y, 5, 0)
    assert set(fold) == set(range(folds))
    for group in (fold, fold[y == 1], fold[y == 0]):
        sizes = np.bincount(group, minlength=folds)
        assert sizes.max() - sizes.min() <= 1
        assert sizes.min() >= 1


def test_too_few_for_folds():
    with pytest.raises(ValueError, match="at least 2 events and 2 non-events, found 1 and 3"):
        stratified_folds([1, 0, 0, 0], 5, 0)
