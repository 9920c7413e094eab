"""IBSI's consensus response maps, where they are at hand."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from sarcofuse.config.filters import LogFilter, WaveletFilter
from sarcofuse.radiomics.filterbank import filter_image
from tests.radiomics.filterbank.phantoms import SPACING, checkerboard, impulse, sphere

PHANTOMS = {"checkerboard": checkerboard, "impulse": impulse, "sphere": sphere}
MAPS = {
    "2_b": ("checkerboard", LogFilter(sigma_mm=5, cutoff=4, boundary="mirror"), 1e-3),
    "2_c": ("checkerboard", LogFilter(sigma_mm=5, cutoff=4, boundary="mirror", dimensions=2), 1e-3),
    "6_a_1": ("sphere", WaveletFilter(family="coif1", band="HHL", rotation_invariance=False, boundary="periodic"), 1e-6),
    "7_a_1": ("checkerboard", WaveletFilter(family="haar", band="LLL", level=2, pooling="average", boundary="mirror"), 1e-6),
}


def read(file):
    return sitk.GetArrayFromImage(sitk.ReadImage(str(file))).astype(np.float64)


@pytest.mark.parametrize("name", PHANTOMS)
def test_phantoms_are_ibsis(reference_data, name):
    assert np.array_equal(PHANTOMS[name](), read(reference_data / "ibsi2" / name / "image" / f"{name}.nii.gz"))


@pytest.mark.parametrize("name", MAPS)
def test_response_equals_the_consensus(reference_data, name):
    """IBSI tolerates 1 % of the range; its maps are means over teams."""
    phantom, settings, tolerance = MAPS[name]
    expected = read(reference_data / "ibsi2" / "reference_response_maps" / f"{name}-ValidCRM.nii")
    found = filter_image(PHANTOMS[phantom](), SPACING, settings)
    assert np.abs(found - expected).max() < tolerance * np.ptp(expected)
