"""Filters as image types of the engine."""

from __future__ import annotations

import numpy as np
import pytest

from sarcofuse.config import RadiomicsConfig
from sarcofuse.config.filters import LawsFilter, SimoncelliFilter
from sarcofuse.errors import ConfigError
from sarcofuse.radiomics import compute_features, feature_names
from sarcofuse.radiomics.filterbank import filter_image

FILTERS = [{"kind": "laws", "kernels": "E5L5S5", "energy": {"delta": 2}}, {"kind": "simoncelli", "level": 2}]


def case():
    rng = np.random.default_rng(0)
    mask = np.zeros((14, 20, 18), np.uint8)
    mask[4:9, 6:15, 3:12] = rng.random((5, 9, 9)) < 0.8
    return rng.normal(100, 30, mask.shape), mask


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


def test_filters_that_make_no_sense_are_named():
    image, mask = case()
    with pytest.raises(ConfigError, match=r"filters\.0\.laws.*kernels must have 3 parts"):
        compute_features(image, mask, (1.0, 1.0, 3.0), {"filters": [{"kind": "laws", "kernels": "E5L5"}]})
