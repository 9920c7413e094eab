"""Who is in the cohort: counts of the study, and nothing but the hidden components tells the outcome."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from scipy.stats import rankdata

from sarcofuse.errors import ConfigError
from sarcofuse.phantom import plan_cohort
from sarcofuse.phantom.plan import VOLUME_ML, event_counts, split_sizes, volume_at


def auc(score, outcome):
    outcome = np.asarray(outcome, dtype=bool)
    events = outcome.sum()
    return (rankdata(score)[outcome].sum() - events * (events + 1) / 2) / (events * (len(outcome) - events))


def test_803_patients_are_those_of_the_study():
    plans = plan_cohort(803, seed=4)
    assert Counter(p.split for p in plans) == {"train": 527, "internal": 132, "external": 144}
    assert Counter(p.split for p in plans if p.recurrence) == {"train": 120, "internal": 33, "external": 47}
    assert {(p.split, p.site) for p in plans} == {("train", "A"), ("internal", "A"), ("external", "B")}
    assert len({p.patient_id for p in plans}) == 803


@pytest.mark.parametrize("patients", [24, 25, 31, 48, 60, 100, 120, 240, 500, 802])
def test_other_sizes_keep_the_proportions(patients):
    sizes, events = split_sizes(patients), event_counts(patients)
    assert sum(sizes.values()) == patients
    for split, whole, rate in (("train", 527, 120 / 527), ("internal", 132, 33 / 132), ("external", 144, 47 / 144)):
        assert abs(sizes[split] - patients * whole / 803) <= 1.5
        assert 2 <= events[split] <= sizes[split] - 2
        assert abs(events[split] - rate * sizes[split]) <= 1


@pytest.mark.parametrize("patients", [-1, 0, 23, 804, 10_000])
def test_sizes_outside_are_refused(patients):
    with pytest.raises(ConfigError, match=f"24 to 803 patients, found {patients}"):
        plan_cohort(patients)


def test_same_seed_same_cohort_other_seed_other_cohort():
    assert plan_cohort(60, seed=5) == plan_cohort(60, seed=5)
    assert plan_cohort(60, seed=5) != plan_cohort(60, seed=6)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("patients", [48, 120, 803])
def test_wanted_volume_does_not_tell_the_outcome(patients, seed):
    plans = [p for p in plan_cohort(patients, seed) if p.split == "train"]
    found = auc([p.volume_ml for p in plans], [p.recurrence for p in plans])
    assert 0.44 < found < 0.56


def test_age_and_grade_are_noise_and_volume_is_independent_of_the_components():
    plans = [p for seed in range(4) for p in plan_cohort(803, seed)]
    outcome = [p.recurrence for p in plans]
    assert abs(auc([p.age for p in plans], outcome) - 0.5) < 0.04
    assert abs(auc([p.grade for p in plans], outcome) - 0.5) < 0.04
    volume = np.log([p.volume_ml for p in plans])
    for name in ("texture", "shape", "oedema"):
        assert abs(np.corrcoef(volume, [getattr(p.latents, name) for p in plans])[0, 1]) < 0.06


def test_volumes_are_lognormal_within_their_range():
    volumes = np.array([p.volume_ml for p in plan_cohort(803, 1)])
    assert volumes.min() >= VOLUME_ML[0]
    assert volumes.max() <= VOLUME_ML[1]
    assert np.median(volumes) == pytest.approx(75, rel=0.06)
    assert (volume_at(0.0), volume_at(1.0)) == pytest.approx(VOLUME_ML, rel=1e-9)
    # quantile of a lognormal cut to 20..300, by simulation
    draws = 75 * np.exp(0.6 * np.random.default_rng(0).standard_normal(400_000))
    draws = draws[(draws > VOLUME_ML[0]) & (draws < VOLUME_ML[1])]
    for share in (0.1, 0.5, 0.9):
        assert volume_at(share) == pytest.approx(np.quantile(draws, share), rel=0.01)
