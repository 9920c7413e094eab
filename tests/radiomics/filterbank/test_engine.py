"""Filters as image types of the engine."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from sarcofuse.config import RadiomicsConfig
from sarcofuse.config.filters import LawsFilter, SimoncelliFilter
from sarcofuse.errors import ConfigError
from sarcofuse.radiomics import compute_features, feature_names, read_settings
from sarcofuse.radiomics.filterbank import filter_image, filter_name
from sarcofuse.radiomics.ibsi import IBSI_FEATURES, prepare

FAMILY = {column: feature.family for feature in IBSI_FEATURES for column in feature.columns()}
FILTERS = [{"kind": "laws", "kernels": "E5L5S5", "energy": {"delta": 2}}, {"kind": "simoncelli", "level": 2}]


def case():
    rng = np.random.default_rng(0)
    mask = np.zeros((14, 20, 18), np.uint8)
    mask[4:9, 6:15, 3:12] = rng.random((5, 9, 9)) < 0.8
    return rng.normal(100, 30, mask.shape), mask


def picture(array):
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((1.0, 1.0, 3.0))
    return image


def test_features_of_responses_in_pyradiomics_names():
    image, mask = case()
    settings = {"classes": ("firstorder", "glcm"), "log_sigma": (), "wavelet": None, "filters": FILTERS, "image_settings": {"filter": {"binCount": 8}}}
    found = compute_features(image, mask, (1.0, 1.0, 3.0), settings)
    assert list(found) == list(feature_names(RadiomicsConfig(**settings)))
    for name, one in (("laws-E5L5S5-max-energy2", LawsFilter(kernels="E5L5S5", energy={"delta": 2})), ("simoncelli-2", SimoncelliFilter(level=2))):
        values = filter_image(image, (3.0, 1.0, 1.0), one)[mask > 0]
        assert found[f"{name}_firstorder_Mean"] == pytest.approx(values.mean(), rel=1e-9)
        assert found[f"{name}_firstorder_Kurtosis"] == pytest.approx(np.mean((values - values.mean()) ** 4) / values.var() ** 2, rel=1e-9)
        assert 0 < found[f"{name}_glcm_JointEntropy"] <= 6


@pytest.mark.parametrize("spacing", [None, (1.5, 1.5, 2.0)])
@pytest.mark.parametrize("boundary", ["mirror", "periodic"])
@pytest.mark.parametrize("kind", range(2))
def test_features_of_responses_in_ibsis_codes(spacing, boundary, kind):
    """Of the whole interpolated image's response, under the masks that it has without filters; the image's own features stay."""
    image, mask = case()
    given = FILTERS[kind] | {"boundary": boundary}
    settings = {"dialect": "ibsi", "ibsi": {"spacing": spacing, "families": ("morphology", "statistics", "local", "histogram"), "resegment_range": (0, 200), "bin_count": 8}}
    plain, found = (compute_features(image, mask, (1.0, 1.0, 3.0), settings | extra) for extra in ({}, {"filters": [given]}))
    config = RadiomicsConfig(**settings, filters=[given])
    own, name = config.filters[0], filter_name(config.filters[0])
    assert list(found) == list(feature_names(config))
    assert {column: value for column, value in found.items() if column in plain} == plain
    assert {column for column in found if column not in plain} == {f"{name}_{column}" for column in plain if FAMILY[column] != "morphology"}
    whole = prepare(picture(image), picture(mask), config, "P-1", margin=1e6)
    values = filter_image(whole.image, whole.spacing, own)[whole.inside]
    assert found[f"{name}_Q4LE"] == pytest.approx(values.mean(), rel=1e-9, abs=1e-11)
    assert found[f"{name}_ECT3"] == pytest.approx(values.var(), rel=1e-9)


def test_filters_come_in_pyradiomics_parameter_files(tmp_path):
    file = tmp_path / "params.yaml"
    file.write_text("imageType: {Original: {}}\nsetting: {binWidth: 10, filters: [{kind: mean, size: 5}, {kind: riesz, of: {kind: log, sigma_mm: 2}, order: [1, 0, 0]}]}\n", encoding="utf8")
    config = read_settings(file)
    assert [filter_name(one) for one in config.filters] == ["mean-5", "riesz-100-log-2mm"]
    assert RadiomicsConfig.model_validate_json(config.model_dump_json()) == config


def test_filters_that_make_no_sense_are_named():
    image, mask = case()
    with pytest.raises(ConfigError, match=r"filters\.0\.laws.*kernels must have 3 parts"):
        compute_features(image, mask, (1.0, 1.0, 3.0), {"filters": [{"kind": "laws", "kernels": "E5L5"}]})
