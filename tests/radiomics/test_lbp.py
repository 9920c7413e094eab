"""Local binary patterns against scikit-image's and PyRadiomics' own values."""

from __future__ import annotations

import numpy as np
import pytest

from sarcofuse.config import RadiomicsConfig
from sarcofuse.radiomics import compute_features, feature_names, read_settings
from sarcofuse.radiomics.lbp import icosphere, in_plane, in_space

IMAGE = (np.arange(5 * 6 * 7) * 37 % 101).reshape(5, 6, 7).astype(float)
BOX = (slice(2, 3), slice(2, 3), slice(1, 6))
PLAIN = {"original": False, "log_sigma": (), "wavelet": None}

# PyRadiomics' getLBP2DImage with scikit-image 0.26, and getLBP3DImage with SciPy 1.14 (the last that it runs with) and trimesh 5.2, of IMAGE within BOX.
PLANE = [
    ("default", 0, 1, 8, [255.0, 0.0, 255.0, 239.0, 0.0]),
    ("default", 0, 1.5, 9, [253.0, 0.0, 511.0, 205.0, 0.0]),
    ("default", 2, 1, 8, [255.0, 0.0, 255.0, 255.0, 0.0]),
    ("default", 2, 1.5, 9, [509.0, 0.0, 511.0, 509.0, 0.0]),
    ("ror", 0, 1, 8, [255.0, 0.0, 255.0, 127.0, 0.0]),
    ("ror", 0, 1.5, 9, [191.0, 0.0, 511.0, 107.0, 0.0]),
    ("ror", 2, 1, 8, [255.0, 0.0, 255.0, 255.0, 0.0]),
    ("ror", 2, 1.5, 9, [255.0, 0.0, 511.0, 255.0, 0.0]),
    ("uniform", 0, 1, 8, [8.0, 0.0, 8.0, 7.0, 0.0]),
    ("uniform", 0, 1.5, 9, [10.0, 0.0, 9.0, 10.0, 0.0]),
    ("uniform", 2, 1, 8, [8.0, 0.0, 8.0, 8.0, 0.0]),
    ("uniform", 2, 1.5, 9, [8.0, 0.0, 9.0, 8.0, 0.0]),
    ("var", 0, 1, 8, [331.029365335, 331.029365335, 194.691065471, 737.267698295, 331.029365335]),
    ("var", 0, 1.5, 9, [148.083447102, 175.40266029, 253.387794792, 197.692879337, 291.822540051]),
    ("var", 2, 1, 8, [306.029251533, 306.029251533, 205.400331771, 306.029251533, 306.029251533]),
    ("var", 2, 1.5, 9, [201.465521491, 148.577972127, 307.642512802, 140.694372016, 121.92643617]),
]
SPACE = [
    (2, 1, 1,
        [[21.660280258, 1.547162876, 21.660280258, 17.53451259, 0.515720959],
         [18.401806216, 2.779844707, 18.401806216, 15.681485989, 1.017902985],
         [-0.923249995, -0.634289727, -0.625539492, -0.112529578, -0.967929954]]),
    (3, 1.5, 0,
        [[1.653986686, 1.102657791, 3.307973373, 1.929651134, 0.826993343],
         [1.470383933, 1.225633973, 2.628695835, 1.71933763, 1.108427462],
         [2.889985057, 0.493502116, 1.669278252, 2.413401714, 0.79378898],
         [-1.399519704, -1.17622187, -1.455987325, -1.287084018, 0.160353909]]),
]


@pytest.mark.parametrize(("method", "axis", "radius", "samples", "expected"), PLANE)
def test_in_the_plane(method, axis, radius, samples, expected):
    config = RadiomicsConfig(force2Ddimension=axis, lbp2DMethod=method, lbp2DRadius=radius, lbp2DSamples=samples)
    assert in_plane(IMAGE, BOX, config).ravel() == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize(("levels", "radius", "subdivision", "expected"), SPACE)
def test_in_space(levels, radius, subdivision, expected):
    config = RadiomicsConfig(lbp3DLevels=levels, lbp3DIcosphereRadius=radius, lbp3DIcosphereSubdivision=subdivision)
    found = [part.ravel() for part in in_space(IMAGE, BOX, np.ones((1, 1, 5), bool), config)]
    assert np.array(found) == pytest.approx(np.array(expected), rel=1e-6)


def test_the_sphere():
    assert [len(icosphere(k)) for k in range(4)] == [12, 42, 162, 642]
    assert np.linalg.norm(icosphere(2), axis=1) == pytest.approx(1.0, rel=1e-14)


def test_slices_apart_do_not_matter_in_the_plane():
    other = IMAGE.copy()
    other[:2] = other[3:] = 7.0
    assert np.array_equal(in_plane(other, BOX, RadiomicsConfig()), in_plane(IMAGE, BOX, RadiomicsConfig()))


def test_features_of_patterns():
    config = read_settings({"imageType": {"LBP2D": {"lbp2DSamples": 6}, "LBP3D": {"binWidth": 0.5}}, "featureClass": {"firstorder": ["Mean", "Entropy"]}, "setting": {"binWidth": 1}})
    assert config.lbp2DSamples == 6
    found = compute_features(np.random.default_rng(0).normal(size=(8, 9, 10)), np.ones((8, 9, 10), np.uint8), (1, 1, 1), config)
    assert tuple(found) == feature_names(config)
    assert {name.split("_")[0] for name in found} == {"lbp-2D", "lbp-3D-m1", "lbp-3D-m2", "lbp-3D-k"}
    assert np.isfinite(list(found.values())).all()


def test_equal_samples_have_no_variance():
    """scikit-image gives NaN there; features of such an image are not defined."""
    config = RadiomicsConfig(**PLAIN, further_images=("lbp2d",), lbp2DMethod="var", classes=("firstorder",))
    found = compute_features(np.full((6, 6, 6), 3.0), np.pad(np.ones((2, 2, 2), np.uint8), 2), (1, 1, 1), config)
    assert np.isnan(list(found.values())).all()
