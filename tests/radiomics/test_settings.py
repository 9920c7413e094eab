"""PyRadiomics' parameter files, and the refusal of what is not known."""

from __future__ import annotations

import json

import numpy as np
import pytest
import yaml
from pydantic import ValidationError

from sarcofuse.config import RadiomicsConfig, commented_yaml
from sarcofuse.errors import ConfigError, MaskError
from sarcofuse.radiomics import FEATURES, compute_features, feature_names, read_settings

EXAMPLE = """
# An MR parameter file as PyRadiomics users write it.
imageType:
  Original: {}
  LoG:
    sigma: [2.0, 3.0]
    binWidth: 10
  Wavelet:
    wavelet: db2
    level: 2
  Square: {}
featureClass:
  shape:
  firstorder: []
  glcm: [Contrast, MCC]
setting:
  normalize: true
  normalizeScale: 100
  binWidth: 5
  resampledPixelSpacing: [2, 2, 2]
  interpolator: sitkLinear
  voxelArrayShift: 300
  label: 2
  additionalInfo: true
"""


def test_parameter_file(tmp_path):
    (tmp_path / "mr.yaml").write_text(EXAMPLE, encoding="utf8")
    config = read_settings(tmp_path / "mr.yaml")
    expected = RadiomicsConfig(
        classes=("shape", "firstorder", "glcm"),
        features={"glcm": ("Contrast", "MCC")},
        log_sigma=(2.0, 3.0),
        wavelet="db2",
        wavelet_level=2,
        further_images=("square",),
        image_settings={"log": {"binWidth": 10}},
        normalize=True,
        normalizeScale=100,
        binWidth=5,
        resampledPixelSpacing=(2, 2, 2),
        interpolator="sitkLinear",
        voxelArrayShift=300,
        label=2,
        additionalInfo=True,
    )
    assert config == expected
    assert config.for_image("log").binWidth == 10
    assert config.for_image("wavelet").binWidth == 5
    (tmp_path / "mr.json").write_text(json.dumps(yaml.safe_load(EXAMPLE)), encoding="utf8")
    assert read_settings(str(tmp_path / "mr.json")) == config


def test_what_pyradiomics_does_by_default():
    """Without imageType the image itself, without featureClass every class; from a file with settings alone."""
    config = read_settings({"setting": {"binWidth": 10}})
    assert feature_names(config)[0] == "original_shape_Elongation"
    assert {name.split("_")[0] for name in feature_names(config)} == {"original"}
    assert config.classes == ("shape", "firstorder", "glcm", "glrlm", "glszm", "gldm", "ngtdm")


def test_fields_of_the_study_section():
    assert read_settings(None) == RadiomicsConfig()
    assert read_settings({"binWidth": 10, "log_sigma": [2.0]}) == RadiomicsConfig(binWidth=10, log_sigma=(2.0,))
    assert RadiomicsConfig.model_validate(yaml.safe_load(commented_yaml(RadiomicsConfig()))) == RadiomicsConfig()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"setting": {"binwidth": 5}}, "binwidth is not a setting that is known here; did you mean binWidth"),
        ({"setting": {"kernelRadius": 2}}, "kernelRadius is not a setting"),
        ({"voxelSetting": {}, "setting": {}}, "voxelSetting asks for maps of features voxel by voxel, which are not computed here"),
        ({"imageType": {"Median": {}}}, "Median is not a setting that is known here; expected one of Original"),
        ({"imageType": {"LBP2D": {"lbp3DLevels": 2}}}, "imageType LBP2D: lbp3DLevels is not a setting"),
        ({"setting": {"interpolator": 99}}, "interpolator 99 is not known to SimpleITK"),
        ({"imageType": {"LoG": {"sigmas": [1]}}}, "imageType LoG: sigmas is not a setting that is known here; did you mean sigma"),
        ({"imageType": {"LoG": {"sigma": [1], "normalize": True}}}, "imageType LoG: normalize is not a setting"),
        ({"featureClass": {"glcmm": None}}, "glcmm is not a setting that is known here; did you mean glcm"),
        ({"binWith": 5}, "binWith is not a setting that is known here; did you mean binWidth"),
        ({"setting": {"binWidth": -5}}, "binWidth: Input should be greater than 0, found -5"),
        ({"setting": {"weightingNorm": "chess"}}, "weightingNorm: .*found 'chess'"),
        ({"setting": {"distances": [0]}}, r"distances.0: .*found 0"),
        ({"setting": {"binCount": 100_000}}, "binCount 100000 exceeds maximum_levels 4096"),
        ({"resampledPixelSpacing": [1, 1, -1]}, "three lengths in mm, or 0 to keep an axis"),
        ({"image_settings": {"log": {"normalize": True}}}, "normalize cannot differ between image types"),
        ({"image_settings": {"log": {"binWidth": 0}}}, "greater than 0"),
        ({"classes": ["glcm"], "features": {"shape": ["Flatness"]}}, "features names the class shape, which is not among classes"),
    ],
)
def test_what_is_not_known_is_refused_by_name(settings, words):
    with pytest.raises(ConfigError, match=words):
        read_settings(settings)


def test_section_itself_refuses_them_too():
    with pytest.raises(ValidationError, match="exceeds maximum_levels"):
        RadiomicsConfig(binCount=5000)


def test_unknown_feature_names_the_nearest():
    with pytest.raises(ConfigError, match="class glcm has no feature Contrst; did you mean Contrast"):
        feature_names(RadiomicsConfig(features={"glcm": ("Contrst",)}))


def test_retired_feature_names_what_to_ask_for():
    with pytest.raises(ConfigError, match=r"class glcm has no feature Homogeneity1 any more: .* Ask for glcm Id instead"):
        feature_names(RadiomicsConfig(features={"glcm": ("Homogeneity1",)}))


def test_interpolator_by_simpleitks_number():
    import SimpleITK as sitk

    assert read_settings({"setting": {"interpolator": sitk.sitkLinear}}).interpolator == "sitkLinear"
    assert read_settings({"setting": {"interpolator": None}}).interpolator is None


def test_channel_of_a_mask_with_several():
    import SimpleITK as sitk

    from sarcofuse.radiomics.compute import measure

    image = sitk.GetImageFromArray(np.random.default_rng(0).normal(size=(6, 7, 8)))
    parts = [np.zeros((6, 7, 8), np.uint8) for _ in range(2)]
    parts[0][1:4, 1:4, 1:4] = parts[1][2:6, 2:6, 2:6] = 1
    masks = [sitk.GetImageFromArray(p) for p in parts]
    config = read_settings({"featureClass": {"shape": ["VoxelVolume"]}})
    found = [measure(image, sitk.Compose(*masks), config.model_copy(update={"label_channel": k}), "P-1")["original_shape_VoxelVolume"] for k in (0, 1)]
    assert found == [27, 64]
    with pytest.raises(MaskError, match=r"mask holds 2 values a voxel; label_channel 2 asks for number 3\. Set label_channel to at most 1"):
        measure(image, sitk.Compose(*masks), config.model_copy(update={"label_channel": 2}), "P-1")


def test_unknown_interpolator():
    image = np.random.default_rng(0).normal(size=(6, 6, 6))
    with pytest.raises(ConfigError, match="interpolator sitkSpline is not known"):
        compute_features(image, np.ones(image.shape, np.uint8), (1, 1, 1), {"interpolator": "sitkSpline", "resampledPixelSpacing": [2, 2, 2]})


@pytest.mark.parametrize(("content", "words"), [("- 1\n", "must hold the mappings"), ("a: {}\n", "holds none of imageType"), ("a: [", "cannot be read"), (None, "cannot be read")])
def test_files_that_are_none(tmp_path, content, words):
    file = tmp_path / "settings.yaml"
    if content is not None:
        file.write_text(content, encoding="utf8")
    with pytest.raises(ConfigError, match=words):
        read_settings(file)


def test_settings_of_one_image_type_change_that_type_only():
    image = np.random.default_rng(0).normal(size=(6, 7, 8)) * 100
    mask = np.ones(image.shape, np.uint8)
    base = {"imageType": {"Original": {}, "Square": {}}, "featureClass": {"firstorder": ["Entropy", "StandardDeviation"]}, "setting": {"binWidth": 40}}
    other = base | {"imageType": {"Original": {}, "Square": {"binWidth": 7}}}
    here, there = (compute_features(image, mask, (1, 1, 1), s) for s in (base, other))
    assert set(here) == {f"{i}_firstorder_{n}" for i in ("original", "square") for n in ("Entropy", "StandardDeviation")}
    assert here["original_firstorder_Entropy"] == there["original_firstorder_Entropy"]
    assert here["square_firstorder_Entropy"] < there["square_firstorder_Entropy"]


def test_resampling_keeps_an_axis_and_rounds_the_region_up():
    """A 2 mm grid under a box of 8 x 8 x 4 voxels of 1 x 1 x 3 mm keeps 3 mm across: 16 voxels of 12 mm3 a slice."""
    image, mask = np.random.default_rng(0).normal(size=(10, 20, 20)) * 50, np.zeros((10, 20, 20), np.uint8)
    mask[3:7, 6:14, 6:14] = 1
    found = compute_features(image, mask, (1.0, 1.0, 3.0), {"log_sigma": (), "wavelet": None, "resampledPixelSpacing": [2, 2, 0]})
    assert found["original_shape_VoxelVolume"] == 4 * 16 * 12.0


def test_catalogue_is_one_row_a_feature():
    keys = [(f.family, f.name) for f in FEATURES]
    codes = [f.ibsi for f in FEATURES if f.ibsi]
    assert len(set(keys)) == len(keys)
    assert len(set(codes)) == len(codes)
    assert all(len(code) == 4 and code == code.upper() for code in codes)
    assert all(f.definition for f in FEATURES)
    counts = {family: sum(f.family == family and f.by_default for f in FEATURES) for family in dict.fromkeys(f.family for f in FEATURES)}
    assert counts == {"shape": 14, "shape2D": 9, "firstorder": 18, "glcm": 24, "glrlm": 16, "glszm": 16, "gldm": 14, "ngtdm": 5}


def test_every_feature_of_the_catalogue_is_computed():
    image = np.random.default_rng(0).normal(size=(1, 12, 12)) * 100
    names = {}
    for f in FEATURES:
        names.setdefault(f.family, []).append(f.name)
    config = RadiomicsConfig(classes=tuple(names), features=names, log_sigma=(), wavelet=None, force2D=True)
    found = compute_features(image, np.ones(image.shape, np.uint8), (1, 1, 1), config)
    assert len(found) == len(FEATURES)
    assert np.isfinite(list(found.values())).all()
