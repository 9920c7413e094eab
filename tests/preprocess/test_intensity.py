"""Body, bias field, common scale."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from sarcofuse.config import PreprocessConfig
from sarcofuse.preprocess import body_mask, correct_bias, normalise
from sarcofuse.preprocess.intensity import foreground, otsu_threshold
from sarcofuse.records import Geometry, Volume

SHAPE = (12, 64, 64)
GRID = Geometry((64, 64, 12), (2.0, 2.0, 5.0))
Z, Y, X = np.mgrid[:12, :64, :64]
RADIUS = np.hypot((Y - 32) / 26.0, (X - 32) / 24.0)
LIMB = RADIUS < 1.0
BONE = np.hypot((Y - 36) / 4.0, (X - 30) / 4.0) < 1.0
FIELD = np.exp(0.4 * np.cos(X / 25.0) + 0.3 * np.sin(Y / 22.0 + Z / 9.0))


def limb(noise: float = 6.0, field: np.ndarray | float = 1.0) -> np.ndarray:
    """Fat around muscle around bone, with Rician noise."""
    rng = np.random.default_rng(2)
    tissue = np.where(LIMB, 90.0, 0.0)
    tissue[RADIUS < 0.8] = 200.0
    tissue[BONE] = 0.0
    return np.hypot(tissue * field + rng.normal(0, noise, SHAPE), rng.normal(0, noise, SHAPE)).astype(np.float32)


def test_the_threshold_is_that_of_simpleitk() -> None:
    values = np.concatenate([np.random.default_rng(0).normal(10, 2, 3000), np.random.default_rng(1).normal(30, 4, 1000)])
    task = sitk.OtsuThresholdImageFilter()
    task.SetNumberOfHistogramBins(256)
    task.Execute(sitk.GetImageFromArray(values.reshape(40, 100)))
    assert otsu_threshold(values) == pytest.approx(task.GetThreshold(), abs=2 * np.ptp(values) / 256)


def test_two_values_are_parted() -> None:
    assert 1.0 <= otsu_threshold(np.array([1.0, 1.0, 1.0, 5.0])) < 5.0


@pytest.mark.parametrize("noise", [0.5, 6.0, 15.0])
def test_the_body_is_the_limb_with_its_bone(noise: float) -> None:
    found = body_mask(limb(noise))
    assert 2 * (found & LIMB).sum() / (found.sum() + LIMB.sum()) > 0.97
    assert found[BONE].all(), "what lies inside belongs to it"


def test_bright_fat_does_not_part_the_body() -> None:
    """On T1 fat is many times as bright as muscle; the intensities' own threshold would lie between them."""
    image = limb()
    image[(RADIUS > 0.8) & LIMB] *= 12.0
    assert otsu_threshold(image) > 210.0, "the trap: muscle has 200"
    found = body_mask(image)
    assert found[LIMB].mean() > 0.99
    assert found[~LIMB].mean() < 0.03


def test_padding_around_the_noise_is_not_the_other_class() -> None:
    image = limb(noise=12.0)
    image[:, :, :20] = 0.0
    assert foreground(image)[~LIMB].mean() < 0.1


def test_two_legs_are_both_body_and_specks_are_not() -> None:
    image = np.zeros(SHAPE, np.float32)
    image[:, 10:50, 5:25] = 100.0
    image[:, 10:50, 40:55] = 100.0
    image[5, 60, 60] = 100.0
    found = body_mask(image)
    np.testing.assert_array_equal(found, (image > 0) & (Y < 60))


def test_a_constant_image_is_all_body() -> None:
    assert body_mask(np.full(SHAPE, 3.0, np.float32)).all()


def test_n4_removes_a_known_field() -> None:
    """The field within the limb, of which 18 % were there, is found to within 4 %."""
    corrected = correct_bias(Volume(limb(field=FIELD), GRID), 8.0)
    inside = (RADIUS < 0.75) & ~BONE
    assert FIELD[inside].std() / FIELD[inside].mean() > 0.15
    values = corrected.array[inside]
    noise_alone = limb()[inside]
    left = np.sqrt(max(0.0, (values.std() / values.mean()) ** 2 - (noise_alone.std() / noise_alone.mean()) ** 2))
    assert left < 0.04
    assert corrected.geometry == GRID


def test_n4_gives_the_same_bytes_twice_whatever_the_threads() -> None:
    image = Volume(limb(field=FIELD), GRID)
    first = correct_bias(image, 8.0).array.tobytes()
    before = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(4)
    try:
        assert correct_bias(image, 8.0).array.tobytes() == first
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(before)


def test_n4_does_not_move_the_image() -> None:
    """An image without a field stays what it is, up to a factor near 1."""
    image = limb(noise=1.0)
    ratio = correct_bias(Volume(image, GRID), 8.0).array[LIMB & ~BONE] / image[LIMB & ~BONE]
    assert ratio.std() / ratio.mean() < 0.05


def test_the_standard_score_over_the_body() -> None:
    image = limb()
    array, statistics = normalise(image, LIMB, PreprocessConfig(clip=None, scale=100.0))
    assert array[LIMB].mean(dtype=np.float64) == pytest.approx(0.0, abs=1e-3)
    assert array[LIMB].std(dtype=np.float64) == pytest.approx(100.0, rel=1e-5)
    assert statistics["mean"] == pytest.approx(image[LIMB].mean(dtype=np.float64))
    assert statistics["voxels"] == LIMB.sum()
    np.testing.assert_allclose(array, (image - statistics["mean"]) / statistics["deviation"] * 100.0, rtol=1e-4, atol=1e-3)


def test_outliers_are_clipped() -> None:
    image = limb()
    image[6, 32, 20] = 1e5
    array, _ = normalise(image, LIMB, PreprocessConfig(clip=3.0, scale=10.0))
    assert array.max() == pytest.approx(30.0)


def test_percentiles_go_to_zero_and_one() -> None:
    image = limb()
    array, _ = normalise(image, LIMB, PreprocessConfig(normalise="percentile", scale=1.0))
    np.testing.assert_allclose(np.percentile(array[LIMB], [1, 99]), [0.0, 1.0], atol=1e-5)


def test_a_common_scale_takes_out_gain_and_offset() -> None:
    image = limb()
    config = PreprocessConfig()
    one, other = normalise(image, LIMB, config)[0], normalise(image * 7.0 + 100.0, LIMB, config)[0]
    np.testing.assert_allclose(one, other, atol=0.05)


def test_none_only_scales() -> None:
    np.testing.assert_array_equal(normalise(limb(), LIMB, PreprocessConfig(normalise="none", scale=2.0))[0], limb() * 2)


def test_a_body_of_one_intensity_is_refused() -> None:
    with pytest.raises(ValueError, match=r"body of one intensity only \(3\)"):
        normalise(np.full(SHAPE, 3.0, np.float32), LIMB, PreprocessConfig())
