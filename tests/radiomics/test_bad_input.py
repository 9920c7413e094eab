"""Regions and images at the edge of what is defined, and beyond it."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from sarcofuse.config import RadiomicsConfig
from sarcofuse.errors import ConfigError, GeometryError, ImageError, MaskError
from sarcofuse.radiomics import compute_features, extract_radiomics
from sarcofuse.records import Geometry, Mask, Volume

PLAIN = {"log_sigma": (), "wavelet": None}
ONE_MM = (1.0, 1.0, 1.0)


def picture(shape=(8, 9, 10), seed=0):
    return np.random.default_rng(seed).normal(size=shape) * 100


def region(shape=(8, 9, 10), low=(2, 2, 2), high=(6, 6, 6)):
    mask = np.zeros(shape, np.uint8)
    mask[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = 1
    return mask


def test_empty_mask():
    with pytest.raises(MaskError, match=r"no voxel of label 1; it is empty: 0 voxels of 720"):
        compute_features(picture(), np.zeros((8, 9, 10), np.uint8), ONE_MM, PLAIN)


def test_absent_label_names_those_there_are():
    with pytest.raises(MaskError, match=r"no voxel of label 7; its labels are 2, 5\. .* set label"):
        compute_features(picture(), region() * 2 + 3 * region(low=(0, 0, 0), high=(1, 1, 2)) + 2 * region(low=(0, 0, 0), high=(1, 1, 2)), ONE_MM, {**PLAIN, "label": 7})


def test_label_chooses_the_region():
    mask = region() * 3 + region(low=(0, 0, 0), high=(2, 2, 2))
    wanted = compute_features(picture(), mask == 3, ONE_MM, PLAIN)
    assert compute_features(picture(), mask, ONE_MM, {**PLAIN, "label": 3}) == pytest.approx(wanted, rel=1e-14)


def test_one_voxel():
    with pytest.raises(MaskError, match=r"region has 1 voxel after .* need at least 2"):
        compute_features(picture(), region(low=(2, 2, 2), high=(3, 3, 3)), ONE_MM, {**PLAIN, "minimumROIDimensions": 1})


def test_one_line_is_refused_unless_allowed():
    line = region(low=(2, 2, 2), high=(3, 3, 8))
    with pytest.raises(MaskError, match=r"region of 6 voxels spans 6 x 1 x 1 voxels \(x, y, z\), so it extends in 1 dimensions; minimumROIDimensions asks for 2"):
        compute_features(picture(), line, ONE_MM, PLAIN)
    found = compute_features(picture(), line, ONE_MM, {**PLAIN, "minimumROIDimensions": 1})
    assert found["original_glrlm_RunPercentage"] == 1.0  # six random intensities along the only direction there is
    assert found["original_shape_Elongation"] == found["original_shape_Flatness"] == 0.0


def test_one_slice_gives_every_feature():
    found = compute_features(picture(), region(low=(3, 1, 1), high=(4, 8, 9)), ONE_MM, PLAIN)
    assert np.isfinite(list(found.values())).all()
    assert found["original_shape_LeastAxisLength"] == 0.0


def test_smaller_than_asked():
    with pytest.raises(MaskError, match="region has 64 voxels; minimumROISize asks for more than 64"):
        compute_features(picture(), region(), ONE_MM, {**PLAIN, "minimumROISize": 64})


def test_one_grey_level_gives_the_values_that_pyradiomics_defines():
    found = compute_features(np.full((8, 9, 10), 40.0), region(), ONE_MM, PLAIN)
    expected = {"firstorder_Skewness": 0, "firstorder_Kurtosis": 0, "firstorder_Uniformity": 1, "glcm_Correlation": 1, "glcm_MCC": 1, "glcm_Imc1": 0, "glcm_Imc2": 0}
    expected |= {"glcm_Contrast": 0, "glszm_ZonePercentage": 1 / 64, "ngtdm_Coarseness": 1e6, "ngtdm_Busyness": 0, "ngtdm_Contrast": 0, "ngtdm_Strength": 0, "ngtdm_Complexity": 0}
    assert {k: found[f"original_{k}"] for k in expected} == expected
    assert np.isfinite(list(found.values())).all()


def test_voxels_that_do_not_touch_have_no_pairs():
    """Two voxels far apart: no co-occurrence is defined; runs, zones and dependences are."""
    mask = np.zeros((8, 9, 10), np.uint8)
    mask[1, 1, 1] = mask[6, 7, 8] = 1
    found = compute_features(picture(), mask, ONE_MM, PLAIN)
    assert np.isnan([v for k, v in found.items() if "_glcm_" in k and not k.endswith("_MCC")]).all()
    assert np.isnan([v for k, v in found.items() if "_glrlm_" in k]).all()
    assert np.isfinite([v for k, v in found.items() if "_glszm_" in k or "_gldm_" in k or "_ngtdm_" in k]).all()


def test_mask_that_touches_the_border():
    """What lies beyond the image is not in the region: the same region within a larger image gives the same features."""
    image = picture((5, 6, 7))
    whole = np.ones(image.shape, np.uint8)
    expected = compute_features(np.pad(image, 2), np.pad(whole, 2), ONE_MM, PLAIN)
    assert compute_features(image, whole, ONE_MM, PLAIN) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_not_finite(value):
    image = picture()
    image[3, 4, 5] = value
    with pytest.raises(ImageError, match=r"image holds 1 voxels of 720 that are NaN or infinite, the first at \(z, y, x\) = \(3, 4, 5\)"):
        compute_features(image, region(), ONE_MM, PLAIN)


def test_shapes_that_differ():
    with pytest.raises(ImageError, match=r"image has shape \(8, 9, 10\) and mask \(8, 9, 9\); expected one 3D shape"):
        compute_features(picture(), region((8, 9, 9)), ONE_MM, PLAIN)


def test_huge_bin_count_is_refused_before_anything_is_computed():
    with pytest.raises(ImageError, match=r"image original would have \d{9} grey levels"):
        compute_features(picture(), region(), ONE_MM, {**PLAIN, "binWidth": 1e-6})


def volume(**grid):
    geometry = Geometry(**({"size": (10, 9, 8), "spacing": (0.8, 0.8, 3.0)} | grid))
    return Volume(picture().astype(np.float32), geometry), Mask(region(), geometry)


@pytest.mark.parametrize(
    ("grid", "words"),
    [
        ({"spacing": (0.8, 0.8, 3.3)}, r"spacing \(0.8, 0.8, 3\) against \(0.8, 0.8, 3.3\) \(off by up to 0.3\)"),
        ({"origin": (0.0, 5.0, 0.0)}, r"origin \(0, 0, 0\) against \(0, 5, 0\) \(off by up to 5\)"),
        ({"direction": (-1.0, 0, 0, 0, -1.0, 0, 0, 0, 1.0)}, r"direction .* \(off by up to 2\)"),
    ],
)
def test_geometry_that_differs_is_told(grid, words):
    with pytest.raises(GeometryError, match=rf"image and mask lie on different grids .*{words}.*set correctMask"):
        extract_radiomics(volume()[0], volume(**grid)[1], PLAIN)


def test_mask_of_one_slice_is_brought_onto_the_image():
    """`correctMask`: a mask drawn on its own smaller grid, as PyRadiomics' shape2D baseline has it."""
    image, mask = volume()
    part = Mask(mask.array[2:6], Geometry((10, 9, 4), mask.geometry.spacing, (0.0, 0.0, 6.0)))
    expected = extract_radiomics(image, mask, PLAIN)
    found = extract_radiomics(image, part, {**PLAIN, "correctMask": True})
    assert found.names == expected.names
    assert found.values == pytest.approx(expected.values, rel=1e-12)


def test_mask_outside_the_image():
    image, mask = volume()
    away = Mask(mask.array, Geometry(mask.geometry.size, mask.geometry.spacing, (100.0, 0.0, 0.0)))
    with pytest.raises(GeometryError, match=r"region reaches outside the image: it spans voxels \[126\.5, .* of an image of size \(10, 9, 8\)"):
        extract_radiomics(image, away, {**PLAIN, "correctMask": True})


def test_resegmentation_that_keeps_nothing():
    with pytest.raises(MaskError, match=r"resegmentRange \(5000.0,\) \(absolute\) keeps 0 of 64 voxels, whose intensities run from"):
        compute_features(picture(), region(), ONE_MM, {**PLAIN, "resegmentRange": [5000]})


def test_plane_shape_of_several_slices():
    config = RadiomicsConfig(**PLAIN, classes=("shape2D",), force2D=True)
    with pytest.raises(MaskError, match=r"shape2D is defined for a region in one slice .* the region spans 4 slices across axis 0"):
        compute_features(picture(), region(), ONE_MM, config)


def test_missing_files(tmp_path):
    image = tmp_path / "knee.nii.gz"
    with pytest.raises(ImageError, match=r"patient knee \(knee\.nii\.gz\): image file does not exist"):
        extract_radiomics(image, tmp_path / "mask.nii.gz", PLAIN)
    sitk.WriteImage(sitk.GetImageFromArray(picture().astype(np.float32)), str(image))
    with pytest.raises(MaskError, match=r"patient knee \(mask\.nii\.gz\): mask file does not exist"):
        extract_radiomics(image, tmp_path / "mask.nii.gz", PLAIN)
    (tmp_path / "mask.nii.gz").write_bytes(b"no image at all")
    with pytest.raises(MaskError, match=r"patient knee \(mask\.nii\.gz\): mask cannot be read"):
        extract_radiomics(image, tmp_path / "mask.nii.gz", PLAIN)


def test_size_that_differs_is_told():
    image, _ = volume()
    other = Mask(region((7, 9, 10)), Geometry((10, 9, 7), (0.8, 0.8, 3.0)))
    with pytest.raises(GeometryError, match=r"size \(10, 9, 8\) against \(10, 9, 7\); expected one grid"):
        extract_radiomics(image, other, {**PLAIN, "fixGeometry": True})


def test_rounding_of_a_grid_is_told_and_repaired():
    """Spacing rounded to three digits on its way: the last voxel is off by 0.04 mm, 0.05 voxels."""
    image, mask = volume()
    rounded = Mask(mask.array, Geometry((10, 9, 8), (0.8, 0.8, 3.0058)))
    words = r"spacing .* \(off by up to 0.0058\); voxel centres lie up to 0.0406 mm apart, 0.051 voxels, which is rounding that fixGeometry: true \(--fix-geometry\) repairs"
    with pytest.raises(GeometryError, match=words):
        extract_radiomics(image, rounded, PLAIN)
    assert np.array_equal(extract_radiomics(image, rounded, {**PLAIN, "fixGeometry": True}).values, extract_radiomics(image, mask, PLAIN).values)


def test_more_than_rounding_is_not_repaired():
    image, mask = volume()
    moved = Mask(mask.array, Geometry((10, 9, 8), (0.8, 0.8, 3.0), (0.0, 0.4, 0.0)))
    with pytest.raises(GeometryError, match=r"voxel centres lie up to 0.4 mm apart, 0.5 voxels: more than the rounding of 0.1 voxels that fixGeometry repairs"):
        extract_radiomics(image, moved, {**PLAIN, "fixGeometry": True})


def test_what_is_not_finite_outside_the_region_is_told_as_well():
    """Filters and normalisation look beyond the region."""
    image = picture()
    image[0, 0, 0] = np.nan
    with pytest.raises(ImageError, match="1 voxels of 720 that are NaN or infinite"):
        compute_features(image, region(), ONE_MM, {**PLAIN, "log_sigma": (1.0,)})


def test_huge_bin_count_is_refused_with_the_settings():
    with pytest.raises(ConfigError, match="binCount 1000000 exceeds maximum_levels 4096: matrices grow with its square; lower binCount"):
        compute_features(picture(), region(), ONE_MM, {**PLAIN, "binCount": 1_000_000})
