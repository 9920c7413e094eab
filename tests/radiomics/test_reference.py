"""The page of features is that of the tables, and what it says of the dialects is so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from sarcofuse.radiomics import FEATURES, compute_features
from sarcofuse.radiomics.reference import feature_reference

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "radiomics-features.md"
ZONES = ("glszm", "gldm", "ngtdm")


def test_page_is_up_to_date():
    assert PAGE.read_text(encoding="utf8") == feature_reference(), "run: python -m sarcofuse.radiomics.reference"


def both(further, filled):
    """Features of one region, a share of an ellipsoid filled, by both dialects, with grey levels alike: whole numbers, one a bin."""
    rng = np.random.default_rng(0)
    image = np.round(ndimage.gaussian_filter(rng.normal(size=(10, 12, 14)), 1) * 12 + 20)
    grid = np.indices(image.shape) - np.array([4.5, 5.5, 6.5])[:, None, None, None]
    mask = ((np.square(grid / np.array([4, 5, 6])[:, None, None, None]).sum(axis=0) < 1) & (rng.random(image.shape) < filled)).astype(np.uint8)
    spacing = (1.0, 1.3, 2.0)
    ours = compute_features(image, mask, spacing, {"log_sigma": (), "wavelet": None, "binWidth": 1, **further})
    return ours, compute_features(image, mask, spacing, {"dialect": "ibsi", "ibsi": {"discretisation": "FBS", "bin_width": 1}})


@pytest.mark.parametrize(
    ("further", "families", "suffixes"),
    [
        ({}, ("shape", "firstorder"), ("",)),
        ({}, ("glcm", "glrlm"), ("_ITBB",)),
        ({}, ZONES, ("_KOBO",)),
        ({"weightingNorm": "no_weighting"}, ("glcm",), ("_IAZD",)),
        ({"force2D": True}, ("glcm", "glrlm"), ("_JJUI",)),
        ({"force2D": True}, ZONES, ("_62GR",)),
    ],
)
def test_a_code_means_the_same_value_in_both_dialects(further, families, suffixes):
    ours, standard = both(further, 1.0 if "shape" in families else 0.95)  # where voxels touch at edges only, the meshes differ
    coded = [f for f in FEATURES if f.ibsi and f.by_default and f.family in families]
    assert len(coded) > 20
    for f in coded:
        assert ours[f"original_{f.family}_{f.name}"] == pytest.approx(standard[f.ibsi + suffixes[0]], rel=1e-9), f.name
