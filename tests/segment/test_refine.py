"""The further steps of the refinement: gaps, holes slice by slice, smoothing; each against a shape worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from sarcofuse.bundle.manifest import Manifest
from sarcofuse.config import DeepConfig, PreprocessConfig, RadiomicsConfig, RefineConfig, SegmentConfig
from sarcofuse.segment.refine import bridge_gaps, fill_slices, refine, smooth_boundary


def disc(radius: float, centre: tuple[float, float] = (30.0, 30.0), spacing: tuple[float, float] = (1.0, 1.0)) -> np.ndarray:
    """A disc of a radius in mm on 61 x 61 pixels."""
    y, x = np.mgrid[:61, :61]
    return ((y - centre[0]) * spacing[1]) ** 2 + ((x - centre[1]) * spacing[0]) ** 2 <= radius**2


def ball(radius: float, shape: tuple[int, int, int], spacing: tuple[float, float, float]) -> np.ndarray:
    z, y, x = (np.arange(n) - (n - 1) / 2 for n in shape)
    return (z[:, None, None] * spacing[2]) ** 2 + (y[:, None] * spacing[1]) ** 2 + (x * spacing[0]) ** 2 <= radius**2


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return 2 * np.count_nonzero(one & other) / (np.count_nonzero(one) + np.count_nonzero(other))


def test_gap_between_discs_becomes_a_cone():
    mask = np.zeros((7, 61, 61), dtype=bool)
    mask[1], mask[5] = disc(8), disc(20)
    bridged = bridge_gaps(mask, (1.0, 1.0, 5.0), 15.0)
    for k, radius in zip((2, 3, 4), (11, 14, 17), strict=True):  # the distance to a circle is linear in its radius
        assert dice(bridged[k], disc(radius)) > 0.98
    np.testing.assert_array_equal(bridged[[0, 1, 5, 6]], mask[[0, 1, 5, 6]])


def test_gap_counts_distance_in_mm_along_each_axis():
    """Two ellipses of 10 and 20 mm on pixels of 0.5 x 1 mm: the middle one is 15 mm, where distances in pixels would give another shape."""
    spacing = (0.5, 1.0)
    mask = np.zeros((3, 61, 61), dtype=bool)
    mask[0], mask[2] = disc(5, spacing=spacing), disc(13, spacing=spacing)
    assert dice(bridge_gaps(mask, (*spacing, 4.0), 4.0)[1], disc(9, spacing=spacing)) > 0.97


def test_wide_gaps_and_shapes_side_by_side_are_left():
    mask = np.zeros((7, 61, 61), dtype=bool)
    mask[1], mask[5] = disc(8), disc(20)
    np.testing.assert_array_equal(bridge_gaps(mask, (1.0, 1.0, 5.0), 14.9), mask)
    mask[5] = disc(8, (10.0, 45.0))
    np.testing.assert_array_equal(bridge_gaps(mask, (1.0, 1.0, 5.0), 100.0), mask)
    np.testing.assert_array_equal(bridge_gaps(np.zeros_like(mask), (1.0, 1.0, 5.0), 100.0), np.zeros_like(mask))


def test_slices_lie_along_the_coarsest_axis_and_other_parts_do_not_matter():
    mask = np.zeros((61, 61, 9), dtype=bool)
    mask[:, :, 2], mask[:, :, 4] = disc(12), disc(12)
    mask[2:4, 2:4, 3] = True  # an island in the missing slice
    bridged = bridge_gaps(mask, (6.0, 1.0, 1.0), 6.0)
    expected = mask.copy()
    expected[:, :, 3] |= disc(12)
    np.testing.assert_array_equal(bridged, expected)


def test_a_tube_is_filled_slice_by_slice():
    tube = np.stack([disc(20) & ~disc(10)] * 4)
    np.testing.assert_array_equal(fill_slices(tube), np.stack([disc(20)] * 4))
    steps = dict(refine(tube.astype(np.float32), (1.0, 1.0, 5.0), RefineConfig(fill_slices=True)))
    assert steps["holes"].sum() == tube.sum()  # open at both ends
    assert steps["slices"].sum() == 4 * disc(20).sum()


def test_smoothing_keeps_the_volume_and_takes_the_spike():
    mask = ball(15, (41, 41, 41), (1.0, 1.0, 1.0))
    spiked = mask.copy()
    spiked[20, 20, 35:41] = True
    smooth = smooth_boundary(spiked, (1.0, 1.0, 1.0), 2.0)
    assert smooth.sum() == spiked.sum()
    assert not smooth[20, 20, 38:].any()
    assert dice(smooth, mask) > 0.985


def test_smoothing_is_in_mm_and_brings_a_ragged_ball_back():
    spacing, shape = (1.5, 1.5, 5.0), (15, 41, 41)
    truth = ball(24, shape, spacing)
    outer, inner = ball(27, shape, spacing), ball(21, shape, spacing)
    ragged = inner | (outer & (np.random.default_rng(0).random(shape) < 0.5))
    assert dice(smooth_boundary(ragged, spacing, 3.0), truth) > 0.95 > dice(ragged, truth) + 0.02
    # a plate one slice thick: 1 mm is a fifth of a slice, and the plate stays where it is
    plate = np.zeros(shape, dtype=bool)
    plate[7, 10:30, 10:30] = True
    smooth = smooth_boundary(plate, spacing, 1.0)
    assert smooth[7].sum() == smooth.sum() == plate.sum()


def test_each_component_is_smoothed_by_itself():
    mask = np.zeros((5, 61, 61), dtype=bool)
    mask[2] = disc(15, (30.0, 20.0)) | disc(1, (30.0, 50.0))
    smooth = smooth_boundary(mask, (1.0, 1.0, 20.0), 2.0)
    assert smooth[:, :, 45:].sum() == 5  # by themselves: one threshold for both would leave nothing of the small one
    assert smooth.sum() == mask.sum()


def test_a_lost_slice_does_not_cost_half_the_tumour():
    mask = ball(24, (15, 41, 41), (1.5, 1.5, 5.0))
    probability = mask.astype(np.float32)
    probability[7] = 0  # the widest
    steps = dict(refine(probability, (1.5, 1.5, 5.0), RefineConfig()))
    assert steps["component"].sum() > 0.97 * mask.sum()
    assert dict(refine(probability, (1.5, 1.5, 5.0), RefineConfig(gap_mm=0)))["component"].sum() < 0.5 * mask.sum()


def test_bundles_of_an_earlier_release_keep_their_refinement():
    segment = SegmentConfig().model_dump(mode="json")
    for new in ("gap_mm", "fill_slices", "smooth_mm"):
        del segment["refine"][new]
    rest = {"preprocess": PreprocessConfig(), "radiomics": RadiomicsConfig(), "deep": DeepConfig(), "columns": {}, "models": (), "training_ranges": {}, "model_card": {}}
    old = Manifest.model_validate({"format": 1, "created_by": "sarcofuse 0.1.0", "title": "", "outcome": "recurrence", "imaging": True, "segment": segment, "versions": {}, "files": {}, **rest})
    assert (old.segment.refine.gap_mm, old.segment.refine.fill_slices, old.segment.refine.smooth_mm) == (0.0, False, 0.0)
    kept = old.model_copy(update={"segment": SegmentConfig(refine=RefineConfig(gap_mm=7.5))})
    assert Manifest.model_validate_json(kept.model_dump_json()).segment.refine.gap_mm == 7.5


@pytest.mark.parametrize("size", [1, 2])
def test_volumes_of_few_slices(size: int):
    mask = np.stack([disc(10)] * size)
    wanted = RefineConfig(gap_mm=10, fill_slices=True, smooth_mm=2)
    steps = dict(refine(mask.astype(np.float32), (1.0, 1.0, 5.0), wanted))
    assert list(steps) == ["threshold", "gaps", "component", "islands", "holes", "slices", "smooth"]
    assert steps["smooth"].sum() == mask.sum()
    assert not dict(refine(np.zeros((size, 8, 8), dtype=np.float32), (1.0, 1.0, 5.0), wanted))["smooth"].any()
