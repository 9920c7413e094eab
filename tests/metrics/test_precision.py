"""Precision and recall against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score
from sklearn.metrics import precision_recall_curve as sklearn_curve

from sarcofuse.metrics import average_precision, precision_recall_curve, stratified_counts


def tied(seed: int = 0, n: int = 50) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = (rng.random(n) < 0.3).astype(int)
    return y, np.round(rng.normal(size=n) + y, 1)


@pytest.mark.parametrize("seed", range(4))
def test_curve_and_area_equal_scikit_learn_with_ties(seed):
    y, score = tied(seed)
    assert average_precision(y, score)[0] == pytest.approx(average_precision_score(y, score), abs=1e-12)
    precision, recall, threshold = precision_recall_curve(y, score)
    theirs = sklearn_curve(y, score, drop_intermediate=False)  # rising thresholds, and a last point (1, 0)
    np.testing.assert_allclose(precision[::-1], theirs[0][:-1], atol=1e-12)
    np.testing.assert_allclose(recall[::-1], theirs[1][:-1], atol=1e-12)
    np.testing.assert_allclose(threshold[::-1], theirs[2])


def test_bootstrapped_areas_are_those_of_repeated_patients():
    y, score = tied(5)
    counts = stratified_counts(y, 6, 1)
    again = [np.repeat(np.arange(50), row.astype(int)) for row in counts]
    np.testing.assert_allclose(average_precision(y, score, counts), [average_precision_score(y[i], score[i]) for i in again], atol=1e-12)


def test_constant_scores_have_the_share_of_events():
    assert average_precision([0, 1, 0, 1, 0], [0.3] * 5)[0] == pytest.approx(0.4)


def test_separation_is_1_and_the_reverse_is_not_0():
    y = [0, 0, 1, 1]
    assert average_precision(y, [1, 2, 3, 4])[0] == 1.0
    assert average_precision(y, [4, 3, 2, 1])[0] == pytest.approx((1 / 3 + 2 / 4) / 2)


@pytest.mark.parametrize(("y", "score"), [([1, 1], [0.1, 0.2]), ([0, 0], [0.1, 0.2]), ([], []), ([0, 1], [np.nan, 0.1])])
def test_one_class_and_gaps_are_nan(y, score):
    assert np.isnan(average_precision(y, score)).all()


def test_recall_without_events_is_nan():
    precision, recall, _ = precision_recall_curve([0, 0], [0.1, 0.2])
    assert precision.tolist() == [0.0, 0.0]
    assert np.isnan(recall).all()
