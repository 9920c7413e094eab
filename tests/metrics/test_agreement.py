"""Bland and Altman's own example, and lesions counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from sarcofuse.metrics.agreement import bland_altman
from sarcofuse.metrics.lesions import Detection, detection

# Peak expiratory flow of 17 people in l/min, first readings by the large and the mini Wright meter: Bland & Altman, Lancet 1986, table
LARGE = (494, 395, 516, 434, 476, 557, 413, 442, 650, 433, 417, 656, 267, 478, 178, 423, 427)
MINI = (512, 430, 520, 428, 500, 600, 364, 380, 658, 445, 432, 626, 259, 477, 259, 350, 451)


def test_the_paper_of_1986():
    found = bland_altman(LARGE, MINI)
    assert found.bias.value == pytest.approx(-2.1, abs=0.05)
    assert found.deviation == pytest.approx(38.8, abs=0.05)
    assert (found.bias.low, found.bias.high) == pytest.approx((-22.0, 17.8), abs=0.1)  # as printed there
    # The paper takes 2 deviations (-79.7 and 75.5) and sqrt(3 s2 / n) = 16.3 as the limits' standard error, with t = 2.12
    assert (found.lower.value, found.upper.value) == pytest.approx((-2.1 - 1.96 * 38.8, -2.1 + 1.96 * 38.8), abs=0.1)
    for limit in (found.lower, found.upper):
        assert (limit.high - limit.low) / 2 == pytest.approx(2.12 * 16.3, rel=0.01)
        assert (limit.high + limit.low) / 2 == pytest.approx(limit.value)


def test_limits_hold_their_share_and_intervals_cover():
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(400):
        found = bland_altman(rng.normal(3.0, 2.0, 15), np.zeros(15))
        covered += found.upper.low <= 3.0 + 1.96 * 2.0 <= found.upper.high
    assert 0.91 <= covered / 400 <= 0.98


def test_too_few_pairs():
    alone = bland_altman([3.0], [1.0])
    assert (alone.pairs, alone.bias.value) == (1, 2.0)
    assert np.isnan([alone.deviation, alone.bias.low, alone.lower.value, alone.upper.high]).all()
    assert np.isnan(bland_altman([], []).bias.value)
    with pytest.raises(ValueError, match="not paired"):
        bland_altman([1.0, 2.0], [1.0])


def scene() -> tuple[np.ndarray, np.ndarray]:
    """Three lesions: one half covered, one touched at a corner voxel, one missed; a false speck."""
    truth, mask = np.zeros((3, 20, 20)), np.zeros((3, 20, 20))
    truth[0, 0:4, 0:4] = 1
    mask[0, 2:6, 0:4] = 1  # 8 of 16 voxels, and 8 of its own 16
    truth[0, 10:14, 0:5] = 1
    mask[0, 13:18, 4:12] = 1  # 1 of 20 voxels, and 1 of its own 40
    truth[2, 15, 15] = 1
    mask[2, 2, 17:19] = 1
    return mask, truth


def test_lesions_by_hand():
    mask, truth = scene()
    assert detection(mask, truth) == Detection(3, 1, 2)
    assert detection(mask, truth, 0.05) == Detection(3, 2, 2)  # 1 of 20 is enough, 1 of 40 is not
    assert detection(mask, truth, 0.0) == Detection(3, 2, 1)  # one voxel it takes
    assert detection(mask, truth, 0.6) == Detection(3, 0, 3)


def test_corners_join_and_empty_masks_have_no_lesions():
    corner = np.zeros((2, 2, 2))
    corner[0, 0, 0] = corner[1, 1, 1] = 1
    assert detection(corner, corner) == Detection(1, 1, 0)
    nothing = np.zeros((2, 2, 2))
    assert detection(nothing, corner) == Detection(1, 0, 0)
    assert detection(corner, nothing) == Detection(0, 0, 1)
    assert detection(nothing, nothing) == Detection(0, 0, 0)
    with pytest.raises(ValueError, match="same grid"):
        detection(nothing, np.zeros((2, 2)))
    with pytest.raises(ValueError, match="share"):
        detection(nothing, nothing, 1.5)
