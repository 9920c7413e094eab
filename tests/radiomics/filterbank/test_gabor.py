"""Gabor's filter: its kernel, its directions, its planes."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from sarcofuse.config.filters import GaborFilter
from sarcofuse.radiomics.filterbank import filter_image
from sarcofuse.radiomics.filterbank.separable import MODES
from tests.radiomics.filterbank.phantoms import rotations, unit

VOXEL = (1.0, 1.0, 1.0)
ANGLES = {"theta": 0.0, "theta_step": 45.0}


def by_hand(array, settings, angle, spacing):
    """Direct convolution of one slice with the kernel of the manual, well beyond its reach."""
    radius = [int(np.ceil(8 * settings.sigma_mm * max(1, 1 / settings.gamma) / s)) for s in spacing]
    y, x = np.meshgrid(*(s * np.arange(-r, r + 1) for s, r in zip(spacing, radius, strict=True)), indexing="ij")
    u, v = x * np.cos(np.deg2rad(angle)) + y * np.sin(np.deg2rad(angle)), y * np.cos(np.deg2rad(angle)) - x * np.sin(np.deg2rad(angle))
    kernel = np.exp(-(u**2 + settings.gamma**2 * v**2) / (2 * settings.sigma_mm**2)) * np.exp(2j * np.pi * u / settings.lambda_mm)
    mode = MODES[settings.boundary]
    return np.hypot(ndimage.convolve(array, kernel.real, mode=mode), ndimage.convolve(array, kernel.imag, mode=mode))


@pytest.mark.parametrize("boundary", MODES)
@pytest.mark.parametrize("angle", [0.0, 60.0, 225.0])
def test_response_is_the_modulus_of_a_convolution(boundary, angle):
    array = np.random.default_rng(0).normal(size=(2, 13, 11))
    settings = GaborFilter(sigma_mm=1.5, lambda_mm=4.0, gamma=0.5, theta=angle, boundary=boundary)
    found = filter_image(array, (9.0, 1.0, 0.8), settings)
    expected = [by_hand(one, settings, angle, (1.0, 0.8)) for one in array]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_impulse_shows_the_envelope():
    found = filter_image(unit((1, 41, 41)), (2.0, 2.0, 2.0), GaborFilter(sigma_mm=10, lambda_mm=4, gamma=0.5, theta=30, boundary="zero"))[0]
    y, x = 2.0 * (np.indices((41, 41)) - 20)
    u, v = x * np.cos(np.pi / 6) + y * np.sin(np.pi / 6), y * np.cos(np.pi / 6) - x * np.sin(np.pi / 6)
    np.testing.assert_allclose(found, np.exp(-(u**2 + v**2 / 4) / 200), atol=1e-12)


@pytest.mark.parametrize(("plane", "axes"), [("xy", (1, 2)), ("xz", (0, 2)), ("yz", (0, 1))])
def test_a_wave_is_seen_in_its_direction(plane, axes):
    """From the plane's first axis towards its second."""
    second, first = (np.indices((24, 24, 24))[axis] for axis in axes)
    wave = np.cos(2 * np.pi / 5 * (first * np.cos(np.pi / 3) + second * np.sin(np.pi / 3)))
    strength = {angle: filter_image(wave, VOXEL, GaborFilter(sigma_mm=3, lambda_mm=5, theta=angle, planes=(plane,)))[12, 12, 12] for angle in (0, 30, 60, 90, 120)}
    assert max(strength, key=strength.get) == 60
    assert strength[60] == pytest.approx(np.pi * 9, rel=0.01)  # half of the envelope's integral, which is 2 pi sigma^2


@pytest.mark.parametrize("pooling", ["average", "max", "min"])
@pytest.mark.parametrize("step", [45.0, 120.0])
def test_all_directions_are_pooled(pooling, step):
    array = np.random.default_rng(1).normal(size=(2, 12, 12))
    settings = GaborFilter(sigma_mm=2, lambda_mm=3, gamma=1.5, theta=10, theta_step=step, pooling=pooling)
    single = [filter_image(array, VOXEL, GaborFilter(sigma_mm=2, lambda_mm=3, gamma=1.5, theta=(10 + angle) % 360)) for angle in np.arange(0, 360, step)]
    np.testing.assert_allclose(filter_image(array, VOXEL, settings), {"average": np.mean, "max": np.max, "min": np.min}[pooling](single, axis=0), atol=1e-10)


@pytest.mark.parametrize("pooling", ["average", "max"])
def test_all_planes_and_directions_turn_with_the_image(pooling):
    array = np.random.default_rng(2).normal(size=(10, 10, 10))
    settings = GaborFilter(sigma_mm=2, lambda_mm=3, gamma=0.7, planes=("xy", "xz", "yz"), pooling=pooling, **ANGLES)
    found = filter_image(array, VOXEL, settings)
    for turn, _ in rotations():
        np.testing.assert_allclose(filter_image(turn(array), VOXEL, settings), turn(found), atol=1e-9)


def test_planes_are_pooled():
    array = np.random.default_rng(3).normal(size=(9, 10, 11))
    settings = GaborFilter(sigma_mm=2, lambda_mm=3, **ANGLES)
    single = [filter_image(array, VOXEL, settings.model_copy(update={"planes": (plane,)})) for plane in ("xy", "yz")]
    np.testing.assert_allclose(filter_image(array, VOXEL, settings.model_copy(update={"planes": ("xy", "yz")})), np.mean(single, axis=0), atol=1e-12)
