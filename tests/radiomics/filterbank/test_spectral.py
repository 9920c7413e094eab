"""Simoncelli's and Shannon's wavelets and Riesz transforms: on plane waves, of which the Fourier transform is known, and by their identities."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from sarcofuse.config.filters import LogFilter, RieszFilter, ShannonFilter, SimoncelliFilter
from sarcofuse.radiomics.filterbank import filter_image
from tests.radiomics.filterbank.phantoms import impulse, rotations, sphere

VOXEL = (1.0, 1.0, 1.0)
N = 32


def wave(k, size=N, kind=np.cos):
    """Plane wave of k periods along z, y, x of a cube."""
    return kind(2 * np.pi / size * sum(n * i for n, i in zip(k, np.indices((size,) * 3), strict=True)))


def band(radius, level):
    """The manual's formula, frequency in units of the Nyquist frequency."""
    top = 2.0 ** (1 - level)
    return np.where((radius > top / 4) & (radius <= top), np.cos(np.pi / 2 * np.log2(2 * np.maximum(radius, 1e-9) / top)), 0.0)


@pytest.mark.parametrize("level", [1, 2, 3])
@pytest.mark.parametrize("k", [(0, 0, 1), (0, 3, 0), (6, 0, 0), (2, -3, 5), (7, 7, 7), (0, 0, 15)])
def test_simoncelli_weighs_a_wave_by_its_frequency(level, k):
    found = filter_image(wave(k), VOXEL, SimoncelliFilter(level=level, frequencies="dft"))
    np.testing.assert_allclose(found, band(2 * np.linalg.norm(k) / N, level) * wave(k), atol=1e-12)


@pytest.mark.parametrize(("radius", "seen"), [(5, 0.0), (9, 1.0), (15, 1.0)])
def test_shannon_keeps_one_octave(radius, seen):
    found = filter_image(wave((0, radius, 0)), VOXEL, ShannonFilter(frequencies="dft"))
    np.testing.assert_allclose(found, seen * wave((0, radius, 0)), atol=1e-12)


@pytest.mark.parametrize("k", [(1, 0, 2), (3, -3, 5), (0, 8, 0)])
def test_squares_of_all_levels_add_up_to_one(k):
    found = [filter_image(wave(k), VOXEL, SimoncelliFilter(level=level, frequencies="dft")).max() for level in range(1, 7)]
    assert np.sum(np.square(found)) == pytest.approx(wave(k).max() ** 2, rel=1e-12)


def test_inclusive_frequencies_run_from_minus_to_plus_nyquist():
    """A wave of k periods and its mirror image lie at (2 k + 1) / (n - 1) and (2 k - 1) / (n - 1) of the Nyquist frequency, other axes at 1 / (n - 1)."""
    ahead, behind = (np.sqrt((2 * 5 + s) ** 2 + 2) / (N - 1) for s in (1, -1))
    found = filter_image(wave((0, 0, 5)), VOXEL, SimoncelliFilter())
    np.testing.assert_allclose(found, (band(ahead, 1) + band(behind, 1)) / 2 * wave((0, 0, 5)), atol=1e-12)


def test_inclusive_frequencies_of_odd_sizes_are_symmetric():
    found = filter_image(wave((4, 0, 0), 31), VOXEL, SimoncelliFilter())
    np.testing.assert_allclose(found, band(8 / 30, 1) * wave((4, 0, 0), 31), atol=1e-12)


@pytest.mark.parametrize(
    "settings",
    [
        SimoncelliFilter(),
        SimoncelliFilter(level=8),
        ShannonFilter(level=2),
        RieszFilter(of=SimoncelliFilter(level=8), order=(2, 0, 0)),
        RieszFilter(of=LogFilter(sigma_mm=2), order=(0, 2, 0)),
    ],
)
@pytest.mark.parametrize("shape", [(12, 10, 8), (9, 7, 11), (1, 16, 16)])
def test_constants_leave_no_response(settings, shape):
    np.testing.assert_allclose(filter_image(np.full(shape, 9.0), VOXEL, settings), 0, atol=1e-12)


@pytest.mark.parametrize("settings", [SimoncelliFilter(boundary="mirror", frequencies="dft"), RieszFilter(of=SimoncelliFilter(boundary="mirror", level=2), order=(1, 1, 0))])
@pytest.mark.parametrize("shape", [(12, 14, 16), (13, 9, 15)])
def test_mirror_is_the_period_of_the_doubled_image(settings, shape):
    array = np.random.default_rng(0).normal(size=shape)
    of = settings.of if isinstance(settings, RieszFilter) else settings
    periodic = of.model_copy(update={"boundary": "periodic"})
    doubled = np.pad(array, [(n // 2, n - n // 2) for n in shape], "symmetric")
    found = filter_image(doubled, VOXEL, settings.model_copy(update={"of": periodic}) if isinstance(settings, RieszFilter) else periodic)
    expected = found[tuple(slice(n // 2, n // 2 + n) for n in shape)]
    np.testing.assert_allclose(filter_image(array, VOXEL, settings), expected, atol=1e-12)


@pytest.mark.parametrize("boundary", ["zero", "nearest"])
@pytest.mark.parametrize("of", [SimoncelliFilter(frequencies="dft"), LogFilter(sigma_mm=1.5)], ids=["simoncelli", "log"])
def test_other_boundaries_go_on_beyond_the_image(boundary, of):
    array = np.random.default_rng(1).normal(size=(24, 24, 24)) + 5
    wide = np.pad(array, 24, {"zero": "constant", "nearest": "edge"}[boundary])
    settings = RieszFilter(of=of.model_copy(update={"boundary": boundary}), order=(1, 0, 0))
    found, expected = filter_image(array, VOXEL, settings), filter_image(wide, VOXEL, settings)[24:-24, 24:-24, 24:-24]
    np.testing.assert_allclose(found, expected, atol=0.02 * np.ptp(expected))


def test_slices_stand_for_themselves():
    array = np.random.default_rng(2).normal(size=(3, 16, 18))
    for settings in (SimoncelliFilter(dimensions=2, boundary="mirror"), RieszFilter(of=LogFilter(sigma_mm=2, dimensions=2), order=(1, 1), alignment_sigma_mm=1)):
        alone = [filter_image(one[None], VOXEL, settings)[0] for one in array]
        np.testing.assert_allclose(filter_image(array, VOXEL, settings), alone, atol=1e-13)


@pytest.mark.parametrize(("order", "axis"), [((1, 0, 0), 2), ((0, 1, 0), 1), ((0, 0, 1), 0)])
def test_first_order_turns_cosine_into_sine_along_its_axis(order, axis):
    k = [0, 0, 0]
    k[axis] = 4
    of = SimoncelliFilter(frequencies="dft")
    np.testing.assert_allclose(filter_image(wave(k), VOXEL, RieszFilter(of=of, order=order)), band(8 / N, 1) * wave(k, kind=np.sin), atol=1e-12)
    others = {(1, 0, 0), (0, 1, 0), (0, 0, 1)} - {order}
    for other in others:
        np.testing.assert_allclose(filter_image(wave(k), VOXEL, RieszFilter(of=of, order=other)), 0, atol=1e-12)


@pytest.mark.parametrize(("order", "weight"), [((2, 0, 0), -(4 / 9)), ((0, 2, 0), -(4 / 9)), ((0, 0, 2), -(1 / 9)), ((1, 1, 0), -np.sqrt(2) * 4 / 9), ((0, 1, 1), np.sqrt(2) * 2 / 9)])
def test_second_order_of_a_wave(order, weight):
    """Of direction (2, 2, -1) / 3 along x, y, z."""
    k = (-2, 4, 4)
    found = filter_image(wave(k), VOXEL, RieszFilter(of=SimoncelliFilter(frequencies="dft"), order=order))
    np.testing.assert_allclose(found, weight * band(12 / N, 1) * wave(k), atol=1e-12)


@pytest.mark.parametrize("total", [1, 2, 3, 4])
@pytest.mark.parametrize("dimensions", [2, 3])
def test_energies_of_all_transforms_of_an_order_add_up(total, dimensions):
    """Riesz transforms of one total order are a tight frame; on odd sizes no frequency is its own mirror image."""
    array = np.random.default_rng(3).normal(size=(9, 11, 13))
    of = SimoncelliFilter(frequencies="dft", dimensions=dimensions)
    orders = [order for order in product(range(total + 1), repeat=dimensions) if sum(order) == total]
    energy = sum(np.sum(filter_image(array, VOXEL, RieszFilter(of=of, order=order)) ** 2) for order in orders)
    assert energy == pytest.approx(np.sum(filter_image(array, VOXEL, of) ** 2), rel=1e-12)


@pytest.mark.parametrize("order", [(1, 0, 0), (0, 0, 1), (1, 1, 0)])
def test_riesz_of_the_laplacian_of_an_impulse_is_odd_or_even(order):
    """About the impulse; along its axis the first order is positive after it, as a wave's sine follows its cosine, where the Laplacian is negative: here it is below zero."""
    found = filter_image(impulse(), (2.0, 2.0, 2.0), RieszFilter(of=LogFilter(sigma_mm=3, boundary="zero"), order=order))[:63, :63, :63]
    np.testing.assert_allclose(found[::-1, ::-1, ::-1], (-1) ** sum(order) * found, atol=1e-3 * np.ptp(found))
    if sum(order) == 1:
        after = tuple(31 + 2 * o for o in order[::-1])
        assert found[after] < 0


@pytest.mark.parametrize("k", [(0, 0, 4), (-2, 4, 4), (3, 1, -2)])
def test_aligned_transforms_find_a_waves_direction(k):
    """Along it the second order is minus the band, the first its absolute sine; across there is nothing."""
    of = SimoncelliFilter(frequencies="dft")
    weight = band(2 * np.linalg.norm(k) / N, 1)
    found = {order: filter_image(wave(k), VOXEL, RieszFilter(of=of, order=order, alignment_sigma_mm=2)) for order in ((2, 0, 0), (0, 2, 0), (0, 1, 1), (1, 0, 0), (3, 0, 0))}
    np.testing.assert_allclose(found[2, 0, 0], -weight * wave(k), atol=1e-9)
    np.testing.assert_allclose(found[1, 0, 0], weight * np.abs(wave(k, kind=np.sin)), atol=1e-9)
    np.testing.assert_allclose(found[3, 0, 0], -weight * np.abs(wave(k, kind=np.sin)), atol=1e-9)
    for order in ((0, 2, 0), (0, 1, 1)):
        np.testing.assert_allclose(found[order], 0, atol=1e-9)


@pytest.mark.parametrize("order", [(1, 0, 0), (2, 0, 0), (1, 1, 0), (0, 2, 1)])
@pytest.mark.parametrize("of", [SimoncelliFilter(frequencies="dft", boundary="mirror"), LogFilter(sigma_mm=1.5)], ids=["simoncelli", "log"])
def test_aligned_transforms_turn_with_the_image(order, of):
    array = np.random.default_rng(4).normal(size=(12, 12, 12))
    settings = RieszFilter(of=of, order=order, alignment_sigma_mm=1)
    found = filter_image(array, VOXEL, settings)
    for turn, _ in list(rotations())[::3]:
        np.testing.assert_allclose(filter_image(turn(array), VOXEL, settings), turn(found), atol=1e-7)


def test_aligned_energy_of_an_order_is_that_of_the_image_axes():
    array = sphere()[16:48, 16:48, 16:48]
    orders = [order for order in product(range(3), repeat=3) if sum(order) == 2]
    energy = [sum(filter_image(array, VOXEL, RieszFilter(of=LogFilter(sigma_mm=2), order=order, alignment_sigma_mm=s)) ** 2 for order in orders) for s in (None, 1.5)]
    np.testing.assert_allclose(energy[0], energy[1], atol=1e-8 * energy[0].max())
