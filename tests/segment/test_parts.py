"""Folds, grids, refinement and the plan, each against something worked out otherwise."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from sarcofuse.config import RefineConfig, SegmentConfig
from sarcofuse.errors import StageError
from sarcofuse.segment.folds import assign_folds
from sarcofuse.segment.grid import restore, shrink, to_working
from sarcofuse.segment.plan import read_plan, tumour_diameter, write_plan
from sarcofuse.segment.planning import make_plan
from sarcofuse.segment.refine import refine


def test_folds_are_balanced_and_ignore_order():
    names = [f"P{i:03d}" for i in range(79)]
    folds = assign_folds(names, 4, 3)
    assert sorted(np.bincount(list(folds.values())).tolist()) == [19, 20, 20, 20]
    assert assign_folds(reversed(names), 4, 3) == folds
    assert assign_folds(names, 4, 4) != folds


def test_folds_refuse_a_name_twice():
    with pytest.raises(StageError, match="patient b is given twice"):
        assign_folds(["a", "b", "b"], 2, 0)


def test_shrink_is_the_mean_of_blocks():
    array = np.random.default_rng(0).random((4, 9, 12), dtype=np.float32)
    expected = array.reshape(2, 2, 3, 3, 4, 3).mean(axis=(1, 3, 5))
    assert shrink(array, (2, 3, 3)) == pytest.approx(expected, abs=1e-6)


def test_shrink_keeps_volume_with_broken_steps():
    array = np.zeros((3, 17, 20), dtype=np.float32)
    array[1, 4:9, 6:12] = 1
    small = shrink(array, (1.0, 2.6, 2.6))
    assert small.shape == (3, 7, 8)
    assert small.sum() * 2.6**2 == pytest.approx(30, rel=1e-5)  # the region touches no border voxel, so its area is conserved


def test_finer_steps_interpolate_linearly():
    array = np.random.default_rng(1).random((4, 5, 6), dtype=np.float32)
    fine = shrink(array, (0.5, 1.0, 0.4))
    z, x = (np.arange(8) + 0.5) * 0.5 - 0.5, (np.arange(15) + 0.5) * 0.4 - 0.5
    at = np.meshgrid(z, np.arange(5), x, indexing="ij")
    assert fine == pytest.approx(map_coordinates(array, at, order=1, mode="nearest"), abs=1e-6)


def test_restore_interpolates_at_voxel_centres():
    image = np.random.default_rng(2).random((6, 13, 11), dtype=np.float32)
    work = to_working(image, (1.5, 1.5, 5.0), (4.0, 4.0, 5.0))
    values = np.random.default_rng(3).random(work.array.shape, dtype=np.float32)
    at = np.meshgrid(np.arange(6), (np.arange(13) + 0.5) / (4 / 1.5) - 0.5, (np.arange(11) + 0.5) / (4 / 1.5) - 0.5, indexing="ij")
    assert restore(values, work) == pytest.approx(map_coordinates(values, at, order=1, mode="nearest"), abs=1e-5)


def test_shrunk_mask_comes_back():
    z, y, x = np.mgrid[:20, :100, :90]
    ball = ((z - 9) * 5) ** 2 + ((y - 48) * 1.5) ** 2 + ((x - 41) * 1.5) ** 2 < 30**2
    work = to_working(ball.astype(np.float32), (1.5, 1.5, 5.0), (4.0, 4.0, 5.0))
    back = restore(shrink(ball.astype(np.float32), work.steps), work) >= 0.5
    assert 2 * (back & ball).sum() / (back.sum() + ball.sum()) > 0.97
    assert np.abs(np.argwhere(back).mean(0) - np.argwhere(ball).mean(0)).max() < 0.05  # no shift


def test_single_slice():
    image = np.random.default_rng(0).random((1, 30, 30), dtype=np.float32)
    work = to_working(image, (1.5, 1.5, 5.0), (3.0, 3.0, 5.0))
    assert work.array.shape == (1, 15, 15)
    assert restore(work.array, work).shape == image.shape


def test_working_image_is_normalised_over_the_body():
    rng = np.random.default_rng(0)
    image = np.concatenate([rng.normal(300, 40, (6, 20, 20)), np.abs(rng.normal(0, 4, (6, 60, 20)))], axis=1).astype(np.float32)
    work = to_working(image, (1, 1, 1), (1, 1, 1))
    body, air = work.array[:, :20], work.array[:, 20:]
    assert abs(body.mean()) < 1e-3  # however much air there is around
    assert abs(body.std() - 1) < 1e-3
    assert air.max() == -5.0  # clipped
    flat = to_working(np.full((2, 4, 4), 7, dtype=np.float32), (1, 1, 1), (1, 1, 1))
    assert (flat.array == 0).all()


VOXEL = (1.0, 2.0, 5.0)  # 0.01 ml


def probability() -> np.ndarray:
    """A large faint component, a smaller sure one with a hole, and a speck."""
    p = np.zeros((5, 20, 30), dtype=np.float32)
    p[1:4, 2:8, 2:12] = 0.55  # 180 voxels, sum 99
    p[1:4, 10:17, 15:21] = 0.99  # 126 voxels, sum 125 less the hole
    p[2, 12, 17] = 0.1
    p[0, 0, 29] = 0.9
    return p


def test_refinement_step_by_step():
    p = probability()
    steps = dict(refine(p, VOXEL, RefineConfig(minimum_ml=0.5)))
    assert list(steps) == ["threshold", "gaps", "component", "islands", "holes"]
    assert steps["threshold"].sum() == 180 + 125 + 1
    assert steps["component"].sum() == 125  # more probability in fewer voxels
    assert steps["islands"].sum() == 125
    assert steps["holes"].sum() == 126


def test_refinement_can_keep_all_but_specks():
    steps = dict(refine(probability(), VOXEL, RefineConfig(keep="all", minimum_ml=0.5, fill_holes=False)))
    assert list(steps) == ["threshold", "gaps", "islands"]
    assert steps["islands"].sum() == 180 + 125
    none = dict(refine(probability(), VOXEL, RefineConfig(minimum_ml=2.0)))
    assert not none["holes"].any()


def stats(spacing: tuple[float, float, float] = (1.5, 1.5, 5.0), extent: tuple[float, float, float] = (190.0, 190.0, 130.0), share: float = 0.02, cases: int = 80) -> dict:
    return {
        "n_cases": cases,
        "image_stats": {"spacing": {"median": list(spacing)}, "sizemm": {"percentile_90_0": list(extent), "max": [v * 1.2 for v in extent], "mean": list(extent)}},
        "label_stats": {"labels": [0, 1], "label": [{"foreground_percentage": {"mean": 1 - share}}, {"foreground_percentage": {"mean": share}}]},
    }


def test_tumour_diameter_by_hand():
    # 0.02 of 100 x 100 x 100 mm is 20 ml; a sphere of 20 ml is 33.68 mm across
    assert tumour_diameter(stats(extent=(100, 100, 100))) == pytest.approx(33.68, abs=0.01)
    empty = stats()
    empty["label_stats"] = {"labels": [0], "label": [{}]}
    with pytest.raises(StageError, match="none of the training masks holds a tumour"):
        tumour_diameter(empty)


def test_plan_follows_the_images():
    small = make_plan(stats(), SegmentConfig(), "cpu", 0)
    wide = make_plan(stats(extent=(500.0, 400.0, 300.0)), SegmentConfig(), "cpu", 0)
    gpu = make_plan(stats(), SegmentConfig(), "cuda", 0)
    assert small.spacing[2] == 5.0
    assert wide.spacing[0] > small.spacing[0] > gpu.spacing[0] >= 1.5
    assert set(small.reasons) >= {"spacing", "shape", "network", "epochs"}
    assert all(n * s >= e * 1.2 for n, s, e in zip(small.shape[::-1], small.spacing, (190, 190, 130), strict=True))


def test_plan_obeys_the_configuration():
    config = SegmentConfig(spacing=(3, 3, 6), epochs=7, patch=(60, 50, 20), filters=12, learning_rate=0.01, folds=5)
    plan = make_plan(stats(), config, "cpu", 9)
    assert plan.spacing == (3, 3, 6)
    assert (plan.epochs, plan.learning_rate, plan.folds, plan.seed) == (7, 0.01, 5, 9)
    assert plan.network["init_filters"] == 12
    assert all(got >= wanted and got % f == 0 for got, wanted, f in zip(plan.shape, (20, 50, 60), plan.factor, strict=True))


@pytest.mark.parametrize("spacing", [(3, 3, 3), (3, 3, 5), (3, 3, 6), (1, 1, 5), (0.5, 0.5, 8), (2, 4, 4), (1, 2, 4)])
def test_plan_knows_what_shapes_the_network_takes(spacing: tuple[float, float, float]):
    from monai.networks.nets.segresnet_ds import SegResNetDS

    plan = make_plan(stats(), SegmentConfig(spacing=spacing, prompts=0), "cpu", 0)
    network = SegResNetDS(**{**plan.network, "init_filters": 4, "resolution": tuple(plan.network["resolution"])})
    assert [int(f) for f in network.shape_factor()] == list(plan.factor)


def test_plan_round_trip(tmp_path):
    plan = make_plan(stats(), SegmentConfig(), "cpu", 5)
    write_plan(plan, tmp_path / "plan.json")
    assert read_plan(tmp_path / "plan.json") == plan
    (tmp_path / "plan.json").write_text('{"format": 99}')
    with pytest.raises(StageError, match="format this version does not know"):
        read_plan(tmp_path / "plan.json")
