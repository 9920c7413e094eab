"""Prompts and crops that training draws: as far off as promised, never without the tumour, the same from the same seed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from sarcofuse.metrics.overlap import dice
from sarcofuse.segment import drawing
from sarcofuse.segment.guide import CHANNELS, TRUST, guided
from tests.segment.test_training import PLAN

SPACING = (2.0, 3.0, 4.0)
SHAPE = (24, 40, 50)
KINDS = ["", "box", "click", "rough"]
GUIDED = replace(PLAN, network={**PLAN.network, "in_channels": CHANNELS}, prompts=0.5, radius_mm=20.0)


def tumour() -> tuple[np.ndarray, np.ndarray]:
    """An ellipsoid of 48 x 54 x 40 mm off the middle of an image of 96 x 120 x 100 mm; z from 7 to 18, y from 11 to 28, x from 11 to 30."""
    z, y, x = np.indices(SHAPE)
    label = (((z - 12.5) / 6.0) ** 2 + ((y - 19.5) / 9.0) ** 2 + ((x - 20.5) / 10.0) ** 2 < 1).astype(np.float32)
    return label + np.random.default_rng(0).normal(0, 0.1, SHAPE).astype(np.float32), label


def test_bounds_by_hand():
    _, label = tumour()
    low, high = drawing.bounds(label)
    assert (low.tolist(), high.tolist()) == ([7, 11, 11], [19, 29, 31])
    assert drawing.bounds(label * np.float32(0.4)) == (None, None)


def test_kinds_are_drawn_as_often_as_promised():
    rng = np.random.default_rng(0)
    drawn = [drawing.draw_kind(0.5, rng) for _ in range(2000)]
    share = {kind: drawn.count(kind) / len(drawn) for kind in KINDS}
    assert share == {"": pytest.approx(0.5, abs=0.04), "box": pytest.approx(0.35, abs=0.04), "click": pytest.approx(0.075, abs=0.02), "rough": pytest.approx(0.075, abs=0.02)}
    assert {drawing.draw_kind(0.0, rng) for _ in range(50)} == {""}


def test_faces_of_boxes_are_off_by_eight_millimetres_at_most():
    _, label = tumour()
    low, high = drawing.bounds(label)
    rng = np.random.default_rng(1)
    steps = np.array([4.0, 3.0, 2.0])
    off = np.array([(np.array(box) - (np.array([low, high]) - 0.5)) * steps for box in (drawing.draw_box(low, high, SPACING, rng) for _ in range(300))])
    assert np.abs(off).max() <= 8.0
    assert np.abs(off).max(axis=0).min() > 7.0  # each of the six faces, in mm and not in voxels
    assert np.abs(off.mean(axis=0)).max() < 1.0
    ends = np.array([drawing.draw_box(np.zeros(3), np.ones(3), SPACING, rng) for _ in range(100)])
    assert (ends[:, 1] - ends[:, 0] >= 1.0 - 1e-9).all()  # of a tumour of one voxel no box is turned inside out


@pytest.mark.parametrize("kind", KINDS)
def test_crops_hold_the_tumour(kind: str):
    image, label = tumour()
    rng, whole, sizes = np.random.default_rng(2), label.sum(), []
    for _ in range(60):
        some, share = drawing.crop(image, label, SPACING, kind, rng)
        assert some.shape == share.shape
        assert share.sum() == whole
        low, high = drawing.bounds(share)
        margins = np.array([low, share.shape - high]) * np.array([4.0, 3.0, 2.0])
        before = np.array([[28, 33, 22], [20, 33, 38]])
        sizes.append(margins)
        step = np.array([4.0, 3.0, 2.0])
        if kind in ("box", "rough"):
            assert (margins >= np.minimum(before, 10.0) - step / 2).all()
            assert (margins <= np.minimum(before, 30.0) + step / 2).all()
        else:
            assert (margins >= np.maximum(np.minimum(before, 8.0), before - 25.0) - step / 2).all()
            assert (margins <= before).all()
    assert np.std(sizes, axis=0).min() > 1.0  # every face moves
    assert drawing.crop(image, label * 0, SPACING, kind, rng)[0] is image


def test_scaled_cases_have_about_as_many_voxels():
    image, label = tumour()
    rng, counts = np.random.default_rng(3), []
    for _ in range(30):
        some, share, spacing = drawing.scale(image, label, SPACING, 6000, rng)
        counts.append(some.size)
        assert spacing == pytest.approx([spacing[0]] * 3)
        assert np.prod(spacing) * share.sum() == pytest.approx(24.0 * label.sum(), rel=0.02)  # mm3 of tumour
    assert np.exp(-0.9) * 6000 < min(counts) < 5000 < 7000 < max(counts) < np.exp(0.9) * 6000 * 1.3  # rounded up along three axes


def test_rough_masks_overlap_and_are_rough():
    _, label = tumour()
    rng = np.random.default_rng(4)
    found = [drawing.draw_rough(label, SPACING, rng) for _ in range(12)]
    assert all(set(np.unique(rough)) == {0.0, 1.0} for rough in found)
    overlap = [dice(rough, label) for rough in found]
    assert min(overlap) > 0.35
    assert 0.65 < np.mean(overlap) < 0.95
    away = [np.abs((np.argwhere(rough).mean(axis=0) - np.argwhere(label).mean(axis=0)) * [4.0, 3.0, 2.0]).max() for rough in found]
    assert max(away) > 1.0
    outside = distance_transform_edt(label == 0, sampling=(4.0, 3.0, 2.0))
    assert max(outside[rough > 0].max() for rough in found) < 26.0  # 2 % of a Gaussian of 8 mm lie beyond 16.4 mm; moved by 8 mm; and no islands in the rest of the image


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_channels(kind: str):
    image, label = tumour()
    first, again, other = (drawing.told(image, label, SPACING, kind, GUIDED, np.random.default_rng(seed)) for seed in (5, 5, 6))
    assert np.array_equal(first, again)
    assert np.array_equal(first, other) == (kind == "")
    assert (first[2] == TRUST.get(kind, 0.0)).all()
    assert (first[0] == image).all()
    if kind:
        assert dice(first[1] > 0, label) > (0.5 if kind != "click" else 0.25)


def test_without_a_tumour_there_is_nothing_to_point_at():
    image, label = tumour()
    for kind in KINDS:
        found = drawing.told(image, label * 0, SPACING, kind, GUIDED, np.random.default_rng(0))
        assert np.array_equal(found, guided(image, None, 0.0))
    cropped = drawing.told(image, label * 0, SPACING, "box", replace(GUIDED, voxels=6000), np.random.default_rng(0))
    assert cropped[1, 12, 20, 25] > 0.85  # the middle is expected all the same
    assert not cropped[2].any()
