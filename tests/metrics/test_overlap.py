"""Overlap metrics against cases worked by hand and against brute force."""

from __future__ import annotations

import numpy as np
import pytest

from sarcofuse.metrics.overlap import assd_mm, dice, hd95_mm, surface_dice, surface_distances, surface_scores, volume_error


def two_boxes() -> tuple[np.ndarray, np.ndarray]:
    """A box of 2 x 3 x 4 voxels, and the same box one voxel further along x."""
    a, b = np.zeros((5, 8, 9), dtype=np.uint8), np.zeros((5, 8, 9), dtype=np.uint8)
    a[1:3, 2:5, 1:5] = 1
    b[1:3, 2:5, 2:6] = 1
    return a, b


def test_dice_and_volume_by_hand():
    a, b = two_boxes()
    assert dice(a, b) == pytest.approx(2 * 18 / 48)  # 2 x 3 x 3 voxels in common, 24 in each
    assert volume_error(a, b) == 0.0
    assert volume_error(a | b, a) == pytest.approx(6 / 24)
    assert volume_error(a & b, a) == pytest.approx(-6 / 24)


def test_dice_of_empty_masks():
    nothing, something = np.zeros((2, 2, 2)), np.ones((2, 2, 2))
    assert dice(nothing, nothing) == 1.0
    assert dice(nothing, something) == 0.0
    assert np.isnan(volume_error(something, nothing))
    assert np.isnan(hd95_mm(something, nothing, (1, 1, 1)))


def test_hd95_by_hand():
    # single voxels two slices, one row and three columns apart: sqrt((2*5)**2 + (1*2)**2 + (3*1.5)**2)
    a, b = np.zeros((4, 4, 6)), np.zeros((4, 4, 6))
    a[0, 1, 1], b[2, 2, 4] = 1, 1
    assert hd95_mm(a, b, (1.5, 2.0, 5.0)) == pytest.approx(np.sqrt(100 + 4 + 20.25))


def test_hd95_shifted_box_by_hand():
    # all 24 voxels of the box are on its surface; only the 6 of the first column are 1.5 mm from the other box: 95th percentile 1.5
    a, b = two_boxes()
    found = surface_distances(a, b, (1.5, 2.0, 5.0))
    assert sorted(found) == pytest.approx([0.0] * 18 + [1.5] * 6)
    assert hd95_mm(a, b, (1.5, 2.0, 5.0)) == pytest.approx(1.5)


def test_hd95_is_the_larger_direction():
    # a: a cube; b: the same and one voxel 6 mm away. From b, 1 of 27 surface voxels is 6 mm off; from a all are 0
    a = np.zeros((3, 3, 12))
    a[:, :, :3] = 1
    b = a.copy()
    b[1, 1, 8] = 1
    assert np.percentile(surface_distances(a, b, (1, 1, 1)), 95) == 0.0
    expected = np.percentile([0.0] * 26 + [6.0], 95)
    assert hd95_mm(a, b, (1, 1, 1)) == pytest.approx(expected)
    assert hd95_mm(b, a, (1, 1, 1)) == pytest.approx(expected)


def test_surface_distances_against_brute_force():
    rng = np.random.default_rng(3)
    a, b = rng.random((5, 6, 7)) < 0.5, rng.random((5, 6, 7)) < 0.4
    spacing = (0.7, 1.1, 4.0)

    def surface(mask: np.ndarray) -> np.ndarray:
        padded = np.pad(mask, 1)
        neighbours = [np.roll(padded, step, axis)[1:-1, 1:-1, 1:-1] for axis in range(3) for step in (-1, 1)]
        return np.argwhere(mask & ~np.logical_and.reduce(neighbours)) * np.array(spacing[::-1])

    expected = np.linalg.norm(surface(a)[:, None] - surface(b)[None], axis=2).min(axis=1)
    assert np.sort(surface_distances(a, b, spacing)) == pytest.approx(np.sort(expected))


def test_refusals():
    with pytest.raises(ValueError, match="same grid"):
        dice(np.ones((2, 2)), np.ones((2, 3)))
    with pytest.raises(ValueError, match="at least one voxel"):
        surface_distances(np.ones((2, 2, 2)), np.zeros((2, 2, 2)), (1, 1, 1))


def test_surface_dice_and_mean_distance_by_hand():
    # box against the box moved by one voxel of 1.5 mm: of either's 24 surface voxels 6 are 1.5 mm off
    a, b = two_boxes()
    near = surface_scores(a, b, (1.5, 2.0, 5.0), 1.5)
    assert near.dice == 1.0  # at the tolerance is within it
    far = surface_scores(a, b, (1.5, 2.0, 5.0), 1.4)
    assert far.dice == pytest.approx(36 / 48)
    assert far.assd_mm == pytest.approx(12 * 1.5 / 48)
    assert far.hd95_mm == pytest.approx(1.5)


def test_unequal_surfaces_count_together():
    # a bar of 5 voxels against its first voxel: distances 0 to 4 one way, 0 the other
    a, b = np.zeros((1, 1, 7)), np.zeros((1, 1, 7))
    a[0, 0, :5], b[0, 0, 0] = 1, 1
    found = surface_scores(a, b, (1.0, 1.0, 1.0))
    assert found.dice == pytest.approx(4 / 6)  # 0, 1, 2 and 0 of six
    assert found.assd_mm == pytest.approx(10 / 6)
    assert found.hd95_mm == pytest.approx(3.8)  # 95th percentile of 0, 1, 2, 3, 4
    assert assd_mm(b, a, (1, 1, 1)) == found.assd_mm
    assert surface_dice(b, a, (1, 1, 1)) == found.dice


def test_empty_masks_have_no_surface():
    nothing, something = np.zeros((2, 3, 4)), np.ones((2, 3, 4))
    both = surface_scores(nothing, nothing, (1, 1, 1))
    one = surface_scores(something, nothing, (1, 1, 1))
    assert (both.dice, one.dice) == (1.0, 0.0)
    assert all(np.isnan(v) for v in (both.hd95_mm, both.assd_mm, one.hd95_mm, one.assd_mm))


@pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning")  # MONAI warns of itself
@pytest.mark.parametrize("spacing", [(1.5, 1.5, 5.0), (0.7, 1.1, 4.0), (1.0, 1.0, 1.0)])
@pytest.mark.parametrize("seed", range(3))
def test_surface_metrics_are_monais(spacing: tuple[float, float, float], seed: int):
    import torch
    from monai.metrics import compute_average_surface_distance, compute_hausdorff_distance, compute_surface_dice

    z, y, x = np.mgrid[:9, :26, :24]
    rng = np.random.default_rng(seed)

    def blob() -> np.ndarray:
        c, r = rng.uniform(0.35, 0.65, 3) * z.shape, rng.uniform((2, 5, 5), (4, 9, 9))
        return sum(((axis - m) / s) ** 2 for axis, m, s in zip((z, y, x), c, r, strict=True)) < 1 + 0.4 * rng.random(z.shape)

    a, b = blob(), blob()
    first, second = (torch.from_numpy(m[None, None].astype(np.float32)) for m in (a, b))
    grid = tuple(reversed(spacing))
    found = surface_scores(a, b, spacing)
    assert found.dice == pytest.approx(float(compute_surface_dice(first, second, [2.0], include_background=True, spacing=grid)), abs=1e-6)
    assert found.hd95_mm == pytest.approx(float(compute_hausdorff_distance(first, second, include_background=True, percentile=95, spacing=grid)), rel=1e-5)
    assert found.assd_mm == pytest.approx(float(compute_average_surface_distance(first, second, include_background=True, symmetric=True, spacing=grid)), rel=1e-5)
