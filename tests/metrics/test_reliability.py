"""Intraclass correlation against published figures, against the definition, and where it is not defined."""

from __future__ import annotations

import numpy as np
import pytest

from sarcofuse.metrics.reliability import icc

# Six targets by four judges: Shrout and Fleiss 1979, table 2. Figures: their table 4; intervals: R's psych::ICC on the same data.
JUDGES = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], dtype=float)


@pytest.mark.parametrize(("form", "value", "low", "high"), [("2,1", 0.29, 0.019, 0.76), ("3,1", 0.71, 0.34, 0.95)])
def test_published_figures(form, value, low, high):
    found = icc(JUDGES, form)
    assert found.value[0] == pytest.approx(value, abs=0.005)
    assert found.low[0] == pytest.approx(low, abs=0.005)
    assert found.high[0] == pytest.approx(high, abs=0.005)
    assert found.subjects.tolist() == [6]


@pytest.mark.parametrize("form", ["2,1", "3,1"])
def test_features_at_once_are_features_one_by_one(form):
    rng = np.random.default_rng(1)
    ratings = rng.normal(size=(12, 1, 7)) + rng.normal(size=(12, 5, 7)) * np.linspace(0.1, 3, 7)
    ratings[3, 2, 4] = np.nan
    ratings[5, 0, 6] = np.inf
    together = icc(ratings, form)
    for j in range(7):
        alone = icc(ratings[:, :, j], form)
        assert [a[0] for a in (alone.value, alone.low, alone.high)] == pytest.approx([together.value[j], together.low[j], together.high[j]], rel=1e-12)
    assert together.subjects.tolist() == [12, 12, 12, 12, 11, 12, 11]
    assert icc(np.delete(ratings[:, :, 4], 3, axis=0), form).value[0] == pytest.approx(together.value[4], rel=1e-12)


def test_a_rater_who_is_always_higher_lowers_agreement_alone():
    rng = np.random.default_rng(2)
    subject = rng.normal(size=(30, 1))
    ratings = np.hstack([subject, subject + 2.0])
    assert icc(ratings, "3,1").value[0] == pytest.approx(1.0)
    assert icc(ratings, "2,1").value[0] < 0.5


def test_large_samples_meet_the_true_value():
    """Variances 4 (subjects), 1 (raters), 1 (rest): 4/6 by agreement, 4/5 by consistency; many raters, as their number limits the former."""
    rng = np.random.default_rng(3)
    ratings = 2.0 * rng.normal(size=(400, 1, 20)) + rng.normal(size=(1, 200, 20)) + rng.normal(size=(400, 200, 20))
    assert icc(ratings, "2,1").value.mean() == pytest.approx(4 / 6, abs=0.02)
    assert icc(ratings, "3,1").value.mean() == pytest.approx(4 / 5, abs=0.02)


@pytest.mark.parametrize(("form", "truth"), [("2,1", 0.5), ("3,1", 2 / 3)])
def test_intervals_cover(form, truth):
    rng = np.random.default_rng(4)
    ratings = np.sqrt(2) * rng.normal(size=(20, 1, 2000)) + rng.normal(size=(1, 8, 2000)) + rng.normal(size=(20, 8, 2000))
    found = icc(ratings, form)
    covered = np.mean((found.low <= truth) & (truth <= found.high))
    assert 0.93 < covered < 0.97


@pytest.mark.parametrize("form", ["2,1", "3,1"])
def test_where_it_is_not_defined(form):
    same = icc(np.full((5, 3), 0.1), form)
    assert np.isnan(same.value[0])
    perfect = icc(np.repeat(np.arange(5.0)[:, None] / 3.0, 3, axis=1), form)
    assert (perfect.value[0], perfect.low[0], perfect.high[0]) == (1.0, 1.0, 1.0)
    raters_alone = icc(np.tile([1.0, 2.0, 4.0], (5, 1)), form)
    assert raters_alone.value[0] == pytest.approx(0.0 if form == "2,1" else np.nan, nan_ok=True)
    assert np.isnan(raters_alone.low[0])
    one = icc(np.array([[1.0, 2.0], [np.nan, 1.0]]), form)
    assert np.isnan(one.value[0])
    assert one.subjects[0] == 1
    with pytest.raises(ValueError, match="at least 2 raters"):
        icc(np.ones((4, 1)), form)


def test_order_of_subjects_and_raters_does_not_matter():
    a, b = icc(JUDGES), icc(JUDGES[::-1, ::-1])
    assert a.value[0] == pytest.approx(b.value[0], rel=1e-12)
    assert a.low[0] == pytest.approx(b.low[0], rel=1e-12)


def test_two_subjects_have_intervals_too():
    """With one degree of freedom quantiles of F are beyond what numbers hold: no warning, and the interval holds the value."""
    rng = np.random.default_rng(0)
    ratings = rng.normal(size=(2, 21, 400)) * 10.0 ** rng.uniform(-3, 3, 400) + rng.normal(size=(2, 1, 400)) * 100.0
    found = icc(ratings)
    known = np.isfinite(found.low) & np.isfinite(found.high)
    assert known.sum() > 200
    assert (found.low[known] <= found.value[known]).all()
    assert (found.value[known] <= found.high[known] + 1e-12).all()
