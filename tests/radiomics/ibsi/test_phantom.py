"""IBSI-1 digital phantom: every consensus value of the image biomarker standardisation initiative, one test case a value.

The phantom's intensities are grey levels already (bins 1 wide), and intensities of a definite unit for the intensity-volume histogram.
"""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from sarcofuse.radiomics import compute_features
from sarcofuse.radiomics.ibsi import IBSI_FEATURES

COLUMNS = {tag: column for feature in IBSI_FEATURES for column, tag in feature.columns().items()}
WITHOUT_CONSENSUS = {"morph_vol_dens_ombb", "morph_area_dens_ombb", "morph_vol_dens_mvee", "morph_area_dens_mvee", "ivh_auc"}


@cache
def _reference(folder: Path) -> dict[str, tuple[str, str]]:
    with (folder / "ibsi_1_dig_phantom.csv").open(encoding="utf8") as stream:
        return {r["tag"]: (r["reference value"], r["tolerance"]) for r in csv.DictReader(stream, delimiter=";")}


@cache
def _measured(folder: Path) -> dict[str, float]:
    image = sitk.ReadImage(str(folder / "nifti" / "image" / "phantom.nii.gz"))
    mask = sitk.ReadImage(str(folder / "nifti" / "mask" / "mask.nii.gz"))
    settings = {"dialect": "ibsi", "ibsi": {"discretisation": "FBS", "bin_width": 1, "ivh_discretisation": "none"}}
    return compute_features(sitk.GetArrayFromImage(image), sitk.GetArrayFromImage(mask), image.GetSpacing(), settings)


@pytest.mark.parametrize("tag", COLUMNS)
def test_phantom_value_is_the_consensus(tag, reference_data):
    folder = reference_data / "ibsi1_digital_phantom"
    value, (reference, tolerance) = _measured(folder)[COLUMNS[tag]], _reference(folder)[tag]
    if not reference:
        assert tag in WITHOUT_CONSENSUS
        assert np.isfinite(value)
        return
    # References are printed with three significant digits; a tolerance of 0 asks for agreement in all of them.
    assert abs(value - float(reference)) <= float(tolerance) or float(f"{value:.3g}") == float(reference)


def test_every_value_of_the_standard_is_compared(reference_data):
    known = _reference(reference_data / "ibsi1_digital_phantom")
    assert len(known) == 487
    assert set(known) == set(COLUMNS)


def test_smallest_box_of_the_phantom_is_the_one_along_the_axes(reference_data):
    """The phantom fills the corners of its bounding box so well that no turned box is smaller."""
    found = _measured(reference_data / "ibsi1_digital_phantom")
    assert found["ZH1A"] == pytest.approx(found["PBX1"], rel=1e-9)
    assert found["IQYR"] == pytest.approx(found["R59B"], rel=1e-9)
