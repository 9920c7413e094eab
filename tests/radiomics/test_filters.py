"""Image types against SimpleITK and PyWavelets over the whole image, and grey levels against PyRadiomics' rules."""

from __future__ import annotations

import numpy as np
import pytest
import pywt
import SimpleITK as sitk

from sarcofuse.config import RadiomicsConfig
from sarcofuse.errors import ImageError
from sarcofuse.radiomics import compute_features, feature_names
from sarcofuse.radiomics.discretise import discretise
from sarcofuse.radiomics.filters import filtered, image_names
from sarcofuse.radiomics.laplacian import laplacian_of_gaussian
from sarcofuse.radiomics.prepare import Prepared

NO_IMAGES = {"original": False, "log_sigma": (), "wavelet": None}


def prepared(array, box, spacing=(1.0, 1.0, 1.0)):
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(spacing[::-1])
    inside = np.ones([s.stop - s.start for s in box], bool)
    return Prepared(image, box, inside, inside)


def boxed(rng, shape):
    ends = [np.sort(rng.choice(n + 1, 2, replace=False)) for n in shape]
    return tuple(slice(int(a), int(b)) for a, b in ends)


@pytest.mark.parametrize("kind", [np.int16, np.float32, np.float64])
@pytest.mark.parametrize("seed", range(6))
def test_laplacian_of_gaussian_is_itks_to_the_bit(kind, seed):
    """Region in the middle, at the border, as long as the image: always what ITK gives over the whole image."""
    rng = np.random.default_rng(seed)
    shape = tuple(int(n) for n in rng.integers(4, 48, 3))
    array = (rng.normal(size=shape) * 300 + 100).astype(kind)
    spacing, sigma = tuple(float(s) for s in rng.uniform(0.5, 3.0, 3)), float(rng.uniform(0.5, 5.0))
    box = boxed(rng, shape)
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(spacing[::-1])
    whole = sitk.GetArrayFromImage(sitk.LaplacianRecursiveGaussian(image, sigma, True))
    found = laplacian_of_gaussian(array, box, spacing, sigma)
    assert found.dtype == np.float32
    assert np.array_equal(found, whole[box])


def test_laplacian_of_gaussian_uses_part_of_a_large_image_only():
    """Far away voxels have no weight: the result is ITK's even where only a margin was read."""
    rng = np.random.default_rng(1)
    array = rng.normal(size=(5, 6, 400)).astype(np.float32)
    box = (slice(1, 4), slice(2, 5), slice(190, 200))
    found = laplacian_of_gaussian(array, box, (1.0, 1.0, 1.0), 1.0)
    whole = sitk.GetArrayFromImage(sitk.LaplacianRecursiveGaussian(sitk.GetImageFromArray(array), 1.0, True))
    array[..., :120] = array[..., 280:] = 0
    assert np.array_equal(found, whole[box])
    assert np.array_equal(laplacian_of_gaussian(array, box, (1.0, 1.0, 1.0), 1.0), found)


@pytest.mark.parametrize("kind", [np.int16, np.float32, np.float64])
@pytest.mark.parametrize("seed", range(8))
def test_wavelets_are_those_of_the_whole_image_to_the_bit(kind, seed):
    """PyRadiomics pads odd axes by wrapping, transforms everything, and crops."""
    rng = np.random.default_rng(seed)
    shape = tuple(int(n) for n in rng.integers(3, 60, 3))
    array, box = (rng.normal(size=shape) * 100).astype(kind), boxed(rng, shape)
    level, start, force2d = 1 + seed % 2, seed % 3 // 2, seed % 4 == 3
    config = RadiomicsConfig(**(NO_IMAGES | {"wavelet": "coif1", "wavelet_level": level, "wavelet_start": start, "force2D": force2d}))
    data = np.pad(array, [(0, n % 2) for n in shape], "wrap")
    axes, expected = (2, 1) if force2d else (2, 1, 0), {}
    for k in range(start + level):
        bands = pywt.swtn(data, "coif1", level=1, start_level=0, axes=axes)[0]
        data = bands["a" * len(axes)]
        if k >= start:
            number = "" if k == start else str(k - start + 1)
            expected |= {f"wavelet{number}-{b.replace('a', 'L').replace('d', 'H')}": v for b, v in bands.items() if "d" in b}
    expected["wavelet" + (str(level) if level > 1 else "") + "-" + "L" * len(axes)] = data
    found = {name: values for _, name, values in filtered(prepared(array, box), config)}
    assert set(found) == set(expected)
    for name, values in found.items():
        assert np.array_equal(values, expected[name][: shape[0], : shape[1], : shape[2]][box])


def test_pointwise_images():
    rng = np.random.default_rng(0)
    array = rng.normal(size=(4, 5, 6)) * 100
    box = (slice(1, 3), slice(0, 5), slice(2, 6))
    config = RadiomicsConfig(**(NO_IMAGES | {"further_images": ("gradient", "exponential", "square", "logarithm", "squareroot")}))
    found = {name: values for _, name, values in filtered(prepared(array, box, (3.0, 1.0, 1.0)), config)}
    largest, x = np.abs(array).max(), array[box]
    assert found["square"] == pytest.approx(x**2 / largest)
    assert found["squareroot"] == pytest.approx(np.sign(x) * np.sqrt(largest * np.abs(x)))
    assert found["logarithm"] == pytest.approx(np.sign(x) * np.log1p(np.abs(x)) * largest / np.log1p(largest))
    assert found["exponential"] == pytest.approx(np.exp(x * np.log(largest) / largest))
    slopes = np.gradient(array, 3.0, 1.0, 1.0)
    middle = (slice(None), slice(1, 4), slice(1, 3))
    assert found["gradient"][middle] == pytest.approx(np.sqrt(sum(s[box] ** 2 for s in slopes))[middle], rel=1e-5)


def test_a_filter_that_is_not_defined_gives_nan_under_its_names():
    """LoG needs four voxels along every axis; the columns stay, so that tables of patients fit."""
    image = np.random.default_rng(0).normal(size=(3, 12, 12)) * 100
    config = RadiomicsConfig(log_sigma=(1.0,), wavelet=None)
    found = compute_features(image, np.ones(image.shape, np.uint8), (1, 1, 1), config)
    assert tuple(found) == feature_names(config)
    assert all(np.isnan(v) == name.startswith("log-") for name, v in found.items())


def test_names_are_pyradiomics():
    names = feature_names(RadiomicsConfig(log_sigma=(3.0, 1, 0.5)))
    assert {"original_glcm_Contrast", "log-sigma-3-0-mm-3D_firstorder_Mean", "log-sigma-1-mm-3D_ngtdm_Strength", "wavelet-LLH_glszm_ZoneEntropy", "original_shape_MeshVolume"} < set(names)
    assert "log-sigma-0-5-mm-3D_firstorder_10Percentile" in names
    assert len(feature_names(RadiomicsConfig())) == 14 + 12 * 93
    assert not any(name.startswith("wavelet") and "_shape_" in name for name in names)
    bands = [name for _, name in image_names(RadiomicsConfig(**(NO_IMAGES | {"wavelet": "haar", "wavelet_level": 2, "force2D": True})))]
    assert bands == ["wavelet-LH", "wavelet-HL", "wavelet-HH", "wavelet2-LH", "wavelet2-HL", "wavelet2-HH", "wavelet2-LL"]


@pytest.mark.parametrize(
    ("values", "settings", "levels"),
    [
        ([54.0, 166.0, 75.0, 74.999], {"binWidth": 25}, [1, 5, 2, 1]),
        ([-30.0, -25.0, 0.0, 24.9], {"binWidth": 25}, [1, 2, 3, 3]),
        ([7.0, 7.0], {"binWidth": 25}, [1, 1]),
        ([50.0, 50.0], {"binWidth": 25}, [1, 1]),
        ([0.0, 1.0, 2.0, 4.0], {"binCount": 4}, [1, 2, 3, 4]),
        ([3.0, 3.0], {"binCount": 8}, [5, 5]),
        ([0.1, 0.35, 0.75], {"binWidth": 0.1}, [1, 3, 7]),
    ],
)
def test_grey_levels(values, settings, levels):
    assert discretise(np.array(values), RadiomicsConfig(**settings), "original", "P-1").tolist() == levels


def test_too_many_grey_levels_are_refused_with_a_width_to_use():
    with pytest.raises(ImageError, match=r"patient P-1: image log-sigma-1-0-mm-3D would have 1000001 grey levels.* at most 4096 .*Set binWidth to 1\.56e\+04"):
        discretise(np.array([0.0, 1e6]), RadiomicsConfig(binWidth=1), "log-sigma-1-0-mm-3D", "P-1")
