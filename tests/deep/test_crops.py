"""What the network is shown: in the right place, true to scale, black beyond the image."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from sarcofuse.config.deep import DeepConfig
from sarcofuse.deep.crops import grey_window, make_crops, region_window, slice_axis
from sarcofuse.records import Geometry, Mask, Volume

SIZE = 224
STRAIGHT = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
OBLIQUE = (0.8, -0.6, 0.0, 0.6, 0.8, 0.0, 0.0, 0.0, 1.0)
MODES = ("largest", "neighbours", "planes", "all")


def boxed(spacing=(1.0, 2.0, 4.0), shape=(20, 60, 80), low=(8, 24, 30), high=(13, 35, 51), direction=STRAIGHT, seed=0):
    """Noise, with a box-shaped tumour from voxel `low` up to but not with voxel `high`."""
    geometry = Geometry(shape[::-1], spacing, (5.0, -3.0, 7.0), direction)
    array = np.random.default_rng(seed).uniform(0, 100, shape).astype(np.float32)
    region = np.zeros(shape, dtype=np.uint8)
    region[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = 1
    return Volume(array, geometry), Mask(region, geometry)


@pytest.mark.parametrize("direction", [STRAIGHT, OBLIQUE])
def test_the_middle_of_the_tumour_is_the_middle_of_every_picture(direction):
    volume, mask = boxed(direction=direction)
    volume.array[:] = 0
    volume.array[10, 29, 40] = 100.0  # the middle voxel of the box
    crops = make_crops(volume, mask, DeepConfig(crop="planes", slices=1, margin_mm=10), SIZE)
    assert crops.pictures.shape == (3, SIZE, SIZE)
    for picture in crops.pictures:
        rows, columns = np.nonzero(picture >= picture.max() / 2)
        assert picture.max() > 200
        assert (rows.min() + rows.max()) / 2 == pytest.approx((SIZE - 1) / 2, abs=0.51)
        assert (columns.min() + columns.max()) / 2 == pytest.approx((SIZE - 1) / 2, abs=0.51)


def test_pictures_are_true_to_scale_in_both_directions():
    """The box is 20 mm x 22 mm x 21 mm along z, y, x; every picture must show these lengths, and the longer one with its margins must fill it."""
    volume, mask = boxed()
    crops = make_crops(volume, mask, DeepConfig(crop="planes", slices=1, margin_mm=10), SIZE)
    expected = [(22.0, 21.0), (20.0, 21.0), (20.0, 22.0)]
    for tumour, pixel, lengths in zip(crops.tumour, crops.pixel_mm, expected, strict=True):
        assert pixel * SIZE == pytest.approx(max(lengths) + 20)
        assert tumour.max(axis=1).sum() * pixel == pytest.approx(lengths[0], abs=0.3)
        assert tumour.max(axis=0).sum() * pixel == pytest.approx(lengths[1], abs=0.3)


def test_directions_do_not_matter_voxels_do():
    straight, oblique = (make_crops(*boxed(direction=d), DeepConfig(), SIZE) for d in (STRAIGHT, OBLIQUE))
    assert np.array_equal(straight.pictures, oblique.pictures)


def test_interpolation_is_linear():
    """Against scipy's map_coordinates at the pixel centres, worked out anew in voxel coordinates."""
    volume, mask = boxed(spacing=(1.0, 1.0, 3.0))
    config = DeepConfig(crop="largest", margin_mm=6)
    crops = make_crops(volume, mask, config, SIZE)
    side = 21.0 + 12.0
    at = (np.arange(SIZE) + 0.5) / SIZE * side - side / 2
    low, high = grey_window(volume.array)
    grey = np.clip((volume.array[10].astype(float) - low) / (high - low), 0, 1) * 255
    expected = map_coordinates(grey, np.meshgrid(29.0 + at, 40.0 + at, indexing="ij"), order=1)
    assert np.abs(crops.pictures[0] - expected).max() <= 0.51


def test_shrinking_passes_no_voxel_over():
    """A large field in a small picture: the mean is kept, which sampling every n-th voxel would not do."""
    volume, mask = boxed(spacing=(1.0, 1.0, 3.0), shape=(20, 200, 200), low=(8, 90, 90), high=(12, 110, 110))
    volume.array[:] = 0.0
    volume.array[:, ::4] = 100.0
    volume.array[:, :, :3] = 100.0  # so that the window is 0 to 100
    crops = make_crops(volume, mask, DeepConfig(crop="largest", field_mm=160.0), 40)
    assert crops.pictures[0].mean() == pytest.approx(0.25 * 255, rel=0.02)
    assert crops.pictures[0].max() < 100


def test_beyond_the_image_it_is_black_and_the_tumour_stays_in_the_middle():
    volume, mask = boxed(low=(0, 0, 70), high=(5, 11, 80))
    volume.array[:] = 100.0
    volume.array[:, 40:] = 0.0
    crops = make_crops(volume, mask, DeepConfig(crop="largest", margin_mm=20), SIZE)
    picture, tumour, pixel = crops.pictures[0], crops.tumour[0], crops.pixel_mm[0]
    assert np.average(np.arange(SIZE), weights=tumour.sum(axis=1)) == pytest.approx((SIZE - 1) / 2, abs=0.5)
    assert np.average(np.arange(SIZE), weights=tumour.sum(axis=0)) == pytest.approx((SIZE - 1) / 2, abs=0.5)
    outside = int(20 / pixel)
    assert (picture[: outside - 1] == 0).all()
    assert (picture[outside + 1 :, : SIZE // 2] > 200).all()
    assert tumour[:outside].sum() == 0


def test_each_mode_takes_its_slices():
    """Slices carry their own number as intensity, by which they are known again."""
    volume, mask = boxed(spacing=(1.0, 1.0, 4.0))
    volume.array[:] = 5.0 * np.arange(20)[:, None, None]
    mask.array[11, 20:40, 26:55] = 1  # slice 11 has the largest area
    low, high = grey_window(volume.array)

    def seen(**settings):
        crops = make_crops(volume, mask, DeepConfig(margin_mm=0, **settings), 64)
        return [round((float(p[32, 32]) / 255 * (high - low) + low) / 5) for p in crops.pictures]

    assert seen(crop="largest") == [11]
    assert seen(crop="neighbours") == [10, 11, 12]
    assert seen(crop="all") == [8, 9, 10, 11, 12]
    assert seen(crop="planes", slices=1)[0] == 11
    found = seen(crop="planes", slices=3)  # volumes are equal between 9, 11 and 11 again, which is taken once
    assert found[:2] == [9, 11]
    assert len(found) == 2 + 3 + 3


def test_slices_of_the_planes_divide_the_volume_evenly():
    volume, mask = boxed(shape=(20, 60, 80), low=(4, 10, 10), high=(16, 50, 70))
    volume.array[:] = 5.0 * np.arange(20)[:, None, None]
    low, high = grey_window(volume.array)
    crops = make_crops(volume, mask, DeepConfig(crop="planes", slices=3, margin_mm=0), 64)
    assert [round((float(p[32, 32]) / 255 * (high - low) + low) / 5) for p in crops.pictures[:3]] == [6, 9, 12]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("place", [0, 7, 19])
def test_a_tumour_of_one_slice_or_one_voxel_is_no_problem(mode, place):
    volume, mask = boxed()
    mask.array[:] = 0
    mask.array[place, 30, 40] = 1
    crops = make_crops(volume, mask, DeepConfig(crop=mode, margin_mm=0), SIZE)
    assert 1 <= len(crops.pictures) <= 3
    assert len(crops.pictures) == len(crops.tumour) == len(crops.pixel_mm)
    assert crops.tumour[0].max() <= 1.0
    assert max(t.max() for t in crops.tumour) > 0.9


def test_slices_run_across_the_coarse_direction_whichever_it_is():
    volume, mask = boxed(spacing=(5.0, 1.0, 1.0), shape=(60, 60, 20), low=(20, 20, 8), high=(40, 40, 12))
    volume.array[:] = 5.0 * np.arange(20)[None, None, :]
    low, high = grey_window(volume.array)
    crops = make_crops(volume, mask, DeepConfig(crop="all", margin_mm=0), 64)
    assert [round((float(p[32, 32]) / 255 * (high - low) + low) / 5) for p in crops.pictures] == [8, 9, 10, 11]
    assert slice_axis((1.0, 1.0, 1.2)) == 0


def test_a_fixed_field_keeps_the_size_of_the_tumour():
    small, large = (make_crops(*boxed(low=(8, 24, 30), high=high), DeepConfig(crop="largest", field_mm=100.0), SIZE) for high in ((13, 34, 50), (13, 44, 70)))
    assert small.pixel_mm == large.pixel_mm == (100 / SIZE,)
    assert large.tumour.sum() == pytest.approx(4 * small.tumour.sum(), rel=0.02)


def test_masked_pictures_are_black_outside_the_tumour():
    volume, mask = boxed()
    volume.array[:] += 20.0
    crops = make_crops(volume, mask, DeepConfig(masked=True), SIZE)
    assert (crops.pictures[crops.tumour < 0.5] == 0).all()
    assert (crops.pictures[crops.tumour > 0.9] > 0).mean() > 0.9


def test_the_window_follows_the_body_not_the_units_nor_the_air():
    volume, mask = boxed()
    image = np.pad(volume.array + 30.0, ((0, 0), (30, 30), (30, 30)))
    padded = np.pad(image, ((0, 0), (60, 60), (60, 60)))
    assert grey_window(padded) == pytest.approx(grey_window(image), rel=0.01)
    other = Volume((volume.array * 12.5 - 400.0).astype(np.float32), volume.geometry)
    gaps = make_crops(volume, mask, DeepConfig(), SIZE).pictures.astype(int) - make_crops(other, mask, DeepConfig(), SIZE).pictures
    assert np.abs(gaps).max() <= 1


def test_an_image_without_contrast_is_black():
    volume, mask = boxed()
    volume.array[:] = 7.0
    low, high = grey_window(volume.array)
    assert (low, high) == (7.0, 8.0)
    assert make_crops(volume, mask, DeepConfig(), SIZE).pictures.max() == 0


def test_the_grey_window_is_that_of_numpys_percentiles():
    rng = np.random.default_rng(0)
    for k in range(60):
        array = (rng.normal(size=tuple(rng.integers(2, 24, 3))) * 100).astype(np.float32)
        if k % 3:
            array = np.where(rng.random(array.shape) < rng.random(), array, 0).astype(np.float32)
        air, bright = (float(v) for v in np.percentile(array, (1.0, 99.5)))
        body = array[array > air + 0.1 * (bright - air)]
        high = float(np.percentile(body, 99.5)) if body.size else bright
        assert grey_window(array) == pytest.approx((air, high if high > air else air + 1.0), rel=1e-5, abs=1e-4)


def test_intensities_can_be_the_tumours_own():
    volume, mask = boxed()
    volume.array[mask.array > 0] = np.linspace(40.0, 60.0, int(mask.array.sum()), dtype=np.float32)  # a tenth of what the body spans, plane by plane
    body, region = (make_crops(volume, mask, DeepConfig(crop="all", intensities=how), SIZE) for how in ("body", "region"))
    inside = region.tumour > 0.99
    spread = {how: int(np.ptp(found.pictures[inside].astype(int))) for how, found in (("body", body), ("region", region))}
    assert spread["body"] < 60
    assert spread["region"] > 250
    steps = [np.median(p[t]) for p, t in zip(region.pictures, inside, strict=True)]
    assert steps == pytest.approx([255 * (k + 0.5) / 5 for k in range(5)], abs=3)  # five planes from black to white
    volume.array[mask.array == 0] = 90.0
    found = make_crops(volume, mask, DeepConfig(crop="all", intensities="region"), SIZE)
    assert (found.pictures[found.tumour == 0] == 255).all()  # brighter than the tumour ever is


def test_a_tumour_of_one_intensity_has_a_window_all_the_same():
    assert region_window(np.full(7, 3.0, dtype=np.float32)) == (3.0, 4.0)
    assert region_window(np.arange(201, dtype=np.float32)) == pytest.approx((1.0, 199.0))
