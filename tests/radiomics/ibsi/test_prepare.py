"""The standard's processing scheme: interpolation, rounding, re-segmentation, discretisation."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.ndimage import map_coordinates

from sarcofuse.config import IbsiConfig, RadiomicsConfig
from sarcofuse.errors import GeometryError, ImageError, MaskError
from sarcofuse.radiomics.ibsi import prepare
from sarcofuse.radiomics.ibsi.interpolate import Axis
from sarcofuse.radiomics.ibsi.levels import discretise


def pictures(image, mask, size=(1.0, 1.0, 1.0)):
    found = []
    for array in (image, mask):
        picture = sitk.GetImageFromArray(array)
        picture.SetSpacing(size)
        found.append(picture)
    return found


def prepared(image, mask, size=(1.0, 1.0, 1.0), margin=1e6, **settings):
    return prepare(*pictures(image, mask, size), RadiomicsConfig(dialect="ibsi", ibsi=settings), "P-1", margin)


def case(shape=(6, 12, 11), seed=0):
    rng = np.random.default_rng(seed)
    mask = np.zeros(shape, np.uint8)
    mask[1:5, 3:9, 2:9] = rng.random((4, 6, 7)) < 0.8
    return rng.normal(100, 40, shape), mask


@pytest.mark.parametrize(
    ("count", "old", "new", "places"),
    [
        (4, 3.0, 2.0, [-0.1667, 0.5, 1.1667, 1.8333, 2.5, 3.1667]),
        (4, 2.0, 3.0, [0.0, 1.5, 3.0]),
        (3, 0.3, 0.1, [-1 / 3, 0, 1 / 3, 2 / 3, 1, 4 / 3, 5 / 3, 2, 7 / 3]),
        (5, 1.0, 7.0, [2.0]),
    ],
)
def test_grids_share_their_centre_and_cover_the_image(count, old, new, places):
    axis = Axis(count, old, new)
    assert axis.place(np.arange(axis.new_count)) == pytest.approx(places, abs=1e-4)


@pytest.mark.parametrize(("kind", "order"), [("nearest", 0), ("linear", 1), ("cubic", 3)])
@pytest.mark.parametrize("spacing", [(2.0, 2.0, 2.0), (0.7, 0.9, 0), (1.3, 1.3, 3.1)])
def test_interpolation_is_separable_and_exact(kind, order, spacing):
    """Against one interpolation in space by scipy; intensities beyond the border voxels are theirs."""
    image, mask = case()
    found = prepared(image, mask, (1.0, 1.0, 3.0), spacing=spacing, image_interpolation=kind)
    axes = [Axis(n, old, new or old) for n, old, new in zip(image.shape, (3.0, 1.0, 1.0), spacing[::-1], strict=True)]
    places = np.array(np.meshgrid(*(a.place(np.arange(a.new_count)) for a in axes), indexing="ij"))
    assert found.image == pytest.approx(map_coordinates(image, np.floor(places + 0.5) if kind == "nearest" else places, order=order, mode="nearest"), abs=1e-6)
    assert found.spacing == tuple(a.new for a in axes)
    assert (found.inside == (map_coordinates(mask.astype(float), places, order=1, mode="nearest") >= 0.5 - 1e-9)).all()


def test_cropping_changes_nothing():
    image, mask = case((40, 70, 75))
    settings = {"spacing": (0.8, 0.8, 2.0), "image_interpolation": "cubic"}
    whole, part = (prepared(image, mask, (1.0, 1.0, 3.0), margin, **settings) for margin in (1e6, 5.0))
    assert part.image.size < whole.image.size / 2
    assert part.outline.sum() == whole.outline.sum()
    assert part.image[part.outline] == pytest.approx(whole.image[whole.outline], abs=1e-10)
    assert part.image[part.box].shape == whole.image[whole.box].shape


def test_voxel_half_filled_is_inside():
    image = np.arange(4.0).reshape(1, 1, 4)
    mask = np.array([[[0, 1, 1, 0]]], np.uint8)
    half = prepared(image, mask, spacing=(0.5, 0, 0))
    assert half.outline.sum() == 4  # shares 0.25, 0.75, 1, 1, 0.75, 0.25
    whole = prepared(image, mask, (0.1, 1.0, 1.0), spacing=(0.2, 0, 0))
    assert whole.outline.ravel().tolist() == [True, True]  # between a voxel inside and one outside: 0.5
    assert not prepared(image, np.array([[[0, 0, 1, 0]]], np.uint8), spacing=(0.5, 0, 0), mask_threshold=0.7).outline.ravel()[:4].any()


def test_intensities_are_rounded_after_interpolation():
    image, mask = case()
    plain, rounded = (prepared(image, mask, spacing=(0.7, 0.7, 0.7), round_intensities=r) for r in (False, True))
    assert (rounded.image == np.rint(plain.image)).all()


def test_resegmentation_changes_the_intensity_mask_alone():
    image, mask = case()
    inside = image[mask > 0]
    found = prepared(image, mask, resegment_range=(80, 120))
    assert found.outline.sum() == len(inside)
    assert sorted(found.image[found.inside]) == sorted(inside[(inside >= 80) & (inside <= 120)])
    assert prepared(image, mask, resegment_range=(None, float(inside.max()))).inside.sum() == len(inside)
    assert prepared(image, mask, resegment_range=(float(inside.max()), None)).inside.sum() == 1


def test_outliers_are_those_of_the_whole_mask():
    """Range and outlier filter both look at the mask as it was; what is left is what both keep."""
    image, mask = case()
    inside = image[mask > 0]
    low, high = inside.mean() - 1.5 * inside.std(), inside.mean() + 1.5 * inside.std()
    found = prepared(image, mask, resegment_range=(90, None), resegment_sigma=1.5)
    assert sorted(found.image[found.inside]) == sorted(inside[(inside >= max(low, 90)) & (inside <= high)])


def test_nothing_left():
    image, mask = case()
    with pytest.raises(MaskError, match=r"keeps intensities from 1000 to inf, and with them 0 of \d+ voxels, whose intensities run from .*expected at least 1\. Widen the range"):
        prepared(image, mask, resegment_range=(1000, None))
    mask[:] = 0
    mask[2, 5, 5] = 1
    with pytest.raises(MaskError, match=r"nothing is left of the region of 1 voxels after interpolation to 4 x 4 x 4 mm"):
        prepared(image, mask, spacing=(4, 4, 4))


def test_masks_off_the_grid():
    image, mask = case()
    picture, drawn = pictures(image, mask)
    drawn.SetOrigin((0.0, 0.0, 1.0))
    with pytest.raises(GeometryError, match=r"origin .*set correctMask"):
        prepare(picture, drawn, RadiomicsConfig(dialect="ibsi"), "P-1")
    moved = prepare(picture, drawn, RadiomicsConfig(dialect="ibsi", correctMask=True), "P-1", 1e6)
    assert (moved.outline[1:] == mask[:-1].astype(bool)).all()
    drawn.SetOrigin((0.0, 0.0, 100.0))
    with pytest.raises(GeometryError, match=r"none of it lies within the image"):
        prepare(picture, drawn, RadiomicsConfig(dialect="ibsi", correctMask=True), "P-1")


def test_fixed_bin_size_begins_at_the_lower_end_of_the_range():
    values = np.array([-476.0, -475.0, 0.0, 399.9, 400.0])
    levels, count = discretise(values, IbsiConfig(discretisation="FBS", bin_width=25, resegment_range=(-500, 400)), 100, "P-1")
    assert levels.tolist() == [1, 2, 21, 36, 37]
    assert count == 37
    levels, count = discretise(values, IbsiConfig(discretisation="FBS", bin_width=25, resegment_sigma=3), 100, "P-1")
    assert levels.tolist() == [1, 1, 20, 36, 36]
    assert count == 36


def test_fixed_bin_number_spans_what_the_mask_holds():
    levels, count = discretise(np.array([2.0, 2.99, 3.0, 5.99, 6.0]), IbsiConfig(bin_count=4, resegment_range=(-500, 400)), 100, "P-1")
    assert levels.tolist() == [1, 1, 2, 4, 4]
    assert count == 4


def test_too_many_levels_are_refused():
    with pytest.raises(ImageError, match=r"would have 10001 grey levels: intensities run from 0 to 100; at most 4096 \(maximum_levels\).* Set bin_width to 1\.56 for about 64 levels"):
        discretise(np.array([0.0, 100.0]), IbsiConfig(discretisation="FBS", bin_width=0.01), 4096, "P-1")
