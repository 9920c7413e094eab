"""Mean, Laplacian of Gaussian, Laws and separable wavelets: closed forms, boundaries by hand, rotations of images, SciPy and PyWavelets."""

from __future__ import annotations

import numpy as np
import pytest
import pywt
from scipy import ndimage

from sarcofuse.config.filters import LawsFilter, LogFilter, MeanFilter, WaveletFilter
from sarcofuse.radiomics.filterbank import filter_image
from sarcofuse.radiomics.filterbank.separable import LAWS, MODES
from tests.radiomics.filterbank.phantoms import rotations, unit

VOXEL = (1.0, 1.0, 1.0)
POOL = {"max": np.max, "min": np.min, "average": np.mean}


@pytest.mark.parametrize(("boundary", "first", "last"), [("zero", 6 / 5, 12 / 5), ("nearest", 8 / 5, 22 / 5), ("periodic", 15 / 5, 15 / 5), ("mirror", 9 / 5, 21 / 5)])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_boundaries_of_a_ramp_by_hand(boundary, first, last, axis):
    """Of 1 2 3 4 5 the mean over five at the first voxel takes 0 0, 1 1, 4 5 or 2 1 before it."""
    ramp = np.moveaxis(np.broadcast_to(np.arange(1.0, 6.0), (5, 5, 5)), 2, axis)
    inside = np.pad(ramp, [(0, 0) if a == axis else (2, 2) for a in range(3)], "edge")  # so that other axes do not see a border
    found = np.moveaxis(filter_image(inside, VOXEL, MeanFilter(size=5, boundary=boundary)), axis, 2)[4, 4]
    np.testing.assert_allclose(found[[0, 2, 4]], [first, 3, last], rtol=1e-14)


@pytest.mark.parametrize("boundary", MODES)
@pytest.mark.parametrize("size", [1, 3, 9])
def test_mean_is_scipys(boundary, size):
    array = np.random.default_rng(0).normal(size=(7, 8, 6))
    np.testing.assert_allclose(filter_image(array, VOXEL, MeanFilter(size=size, boundary=boundary)), ndimage.uniform_filter(array, size, mode=MODES[boundary]), atol=1e-12)


def test_mean_of_an_impulse_within_its_slice():
    found = filter_image(unit(), VOXEL, MeanFilter(size=5, boundary="zero", dimensions=2))
    expected = np.zeros((15, 15, 15))
    expected[7, 5:10, 5:10] = 1 / 25
    np.testing.assert_allclose(found, expected, atol=1e-17)


@pytest.mark.parametrize(("sigma", "spacing", "cutoff"), [(3.0, (2.0, 2.0, 2.0), 4.0), (1.5, (1.0, 1.0, 1.0), 3.0), (2.0, (3.0, 1.0, 0.8), 2.5)])
def test_laplacian_of_an_impulse_is_its_kernel(sigma, spacing, cutoff):
    """Sum of the second derivatives, by voxels, of a Gaussian whose width along each axis is sigma / spacing; nothing beyond the cutoff."""
    shape = (31, 31, 33)
    found = filter_image(unit(shape), spacing, LogFilter(sigma_mm=sigma, cutoff=cutoff, boundary="zero"))
    grids = np.meshgrid(*(np.arange(n) - n // 2 for n in shape), indexing="ij", sparse=True)
    widths = [sigma / s for s in spacing]
    gaussian = np.prod([1 / (np.sqrt(2 * np.pi) * w) for w in widths]) * np.exp(-sum(g**2 / (2 * w**2) for g, w in zip(grids, widths, strict=True)))
    expected = gaussian * sum(g**2 / w**4 - 1 / w**2 for g, w in zip(grids, widths, strict=True))
    for grid, width in zip(grids, widths, strict=True):
        expected = np.where(np.abs(grid) > np.floor(cutoff * width + 0.5), 0.0, expected)
    np.testing.assert_allclose(found, expected, atol=1e-16)
    assert found[15, 15, 16] < 0


def test_laplacian_of_isotropic_voxels_is_the_manuals_formula():
    found = filter_image(unit(), (2.0, 2.0, 2.0), LogFilter(sigma_mm=3.0, boundary="zero"))
    z, y, x = np.indices((15, 15, 15)) - 7
    square, sigma = z**2 + y**2 + x**2, 1.5
    expected = -1 / sigma**2 / (np.sqrt(2 * np.pi) * sigma) ** 3 * (3 - square / sigma**2) * np.exp(-square / (2 * sigma**2))
    inside = np.max(np.abs([z, y, x]), axis=0) <= 6
    np.testing.assert_allclose(found[inside], expected[inside], atol=1e-17)


@pytest.mark.parametrize("boundary", MODES)
def test_laplacian_is_scipys_but_for_the_kernels_norm(boundary):
    array = np.random.default_rng(1).normal(size=(20, 21, 22))
    found = filter_image(array, (2.0, 2.0, 2.0), LogFilter(sigma_mm=4.0, cutoff=6, boundary=boundary))
    np.testing.assert_allclose(found, ndimage.gaussian_laplace(array, 2.0, mode=MODES[boundary], truncate=6), atol=1e-7)


def test_laplacian_within_slices_takes_each_slice_for_itself():
    array = np.random.default_rng(2).normal(size=(3, 20, 20))
    settings = LogFilter(sigma_mm=1.5, dimensions=2)
    together = filter_image(array, (5.0, 1.0, 1.0), settings)
    alone = [filter_image(one[None], (1.0, 1.0, 1.0), settings)[0] for one in array]
    assert np.array_equal(together, alone)


@pytest.mark.parametrize("names", ["E5L5S5", "E3W5R5", "L3S3E3"])
def test_laws_response_to_an_impulse_is_the_product_of_kernels(names):
    """The first kernel is along x, the last axis."""
    x, y, z = (np.array(LAWS[names[i : i + 2]]) / np.sqrt(np.sum(np.square(LAWS[names[i : i + 2]]))) for i in (0, 2, 4))
    found = filter_image(unit(), VOXEL, LawsFilter(kernels=names, rotation_invariance=False, boundary="zero"))
    product = z[:, None, None] * y[None, :, None] * x[None, None, :]
    expected = np.zeros((15, 15, 15))
    expected[tuple(slice(7 - n // 2, 8 + n // 2) for n in product.shape)] = product
    np.testing.assert_allclose(found, expected, atol=1e-16)


@pytest.mark.parametrize("boundary", ["nearest", "periodic", "mirror"])
@pytest.mark.parametrize("settings", [LawsFilter(kernels="L5L5E5"), LawsFilter(kernels="S3W5R5"), WaveletFilter(family="db3", band="LLH", level=2), WaveletFilter(family="coif1", band="HHH")])
def test_constants_leave_no_response(boundary, settings):
    found = filter_image(np.full((12, 13, 14), 7.0), VOXEL, settings.model_copy(update={"boundary": boundary}))
    np.testing.assert_allclose(found, 0, atol=1e-9)


@pytest.mark.parametrize("level", [1, 2, 3])
def test_low_pass_wavelets_scale_constants_by_the_root_of_eight_a_level(level):
    found = filter_image(np.full((12, 13, 14), 7.0), VOXEL, WaveletFilter(family="db2", band="LLL", level=level))
    np.testing.assert_allclose(found, 7 * 8 ** (level / 2), rtol=1e-12)


@pytest.mark.parametrize("pooling", POOL)
@pytest.mark.parametrize("boundary", MODES)
@pytest.mark.parametrize(
    "settings",
    [
        LawsFilter(kernels="E5L5S5"),
        LawsFilter(kernels="L3E5E3"),
        WaveletFilter(family="db2", band="LHL"),
        WaveletFilter(family="haar", band="HHL", level=2),
        WaveletFilter(family="sym4", band="LH", dimensions=2),
    ],
    ids=["laws", "laws-mixed", "db2", "haar-2", "2D"],
)
def test_pooled_filters_are_pooled_responses_of_rotated_images(settings, boundary, pooling):
    """Rotate the image by each right-angled rotation, filter, rotate back, pool."""
    array = np.random.default_rng(3).normal(size=(9, 10, 8))
    settings = settings.model_copy(update={"boundary": boundary, "pooling": pooling})
    plain = settings.model_copy(update={"rotation_invariance": False})
    turned = [back(filter_image(turn(array), VOXEL, plain)) for turn, back in rotations(settings.dimensions)]
    assert len(turned) == {2: 4, 3: 24}[settings.dimensions]
    np.testing.assert_allclose(filter_image(array, VOXEL, settings), POOL[pooling](turned, axis=0), atol=1e-12)


@pytest.mark.parametrize("settings", [LawsFilter(kernels="E5W5S5", energy={"delta": 2}), WaveletFilter(family="coif1", band="LLH", pooling="max")], ids=["laws", "wavelet"])
def test_pooled_responses_turn_with_the_image(settings):
    array = np.random.default_rng(4).normal(size=(12, 12, 12))
    found = filter_image(array, VOXEL, settings)
    for turn, _ in rotations():
        np.testing.assert_allclose(filter_image(turn(array), VOXEL, settings), turn(found), atol=1e-12)


@pytest.mark.parametrize("delta", [0, 3])
def test_energy_is_the_mean_absolute_response_within_the_distance(delta):
    array = np.random.default_rng(5).normal(size=(16, 16, 16))
    plain = np.abs(filter_image(array, VOXEL, LawsFilter(kernels="E5S5L5")))
    found = filter_image(array, VOXEL, LawsFilter(kernels="E5S5L5", energy={"delta": delta}))
    around = plain[tuple(slice(8 - delta, 9 + delta) for _ in range(3))]
    assert found[8, 8, 8] == pytest.approx(around.mean(), rel=1e-12)


@pytest.mark.parametrize("family", ["haar", "db2", "coif1", "bior2.2"])
@pytest.mark.parametrize("level", [1, 2, 3])
@pytest.mark.parametrize("band", ["LLL", "HLL", "LHH"])
def test_periodic_wavelets_are_pywavelets_stationary_transform(family, level, band):
    array = np.random.default_rng(6).normal(size=(16, 24, 16))
    found = filter_image(array, VOXEL, WaveletFilter(family=family, band=band, level=level, rotation_invariance=False, boundary="periodic"))
    letters = "".join({"L": "a", "H": "d"}[b] for b in band[::-1])  # PyWavelets names axes in the array's order
    np.testing.assert_allclose(found, pywt.swtn(array, family, level)[0][letters], atol=1e-11)


def test_levels_spread_the_taps():
    """Of db2 at level 2: four taps two apart, each after the low-pass taps of level 1; the middle is tap 2 of each."""
    low, high = (np.array(taps) for taps in (pywt.Wavelet("db2").dec_lo, pywt.Wavelet("db2").dec_hi))
    found = filter_image(unit((1, 1, 41)), VOXEL, WaveletFilter(family="db2", band="HL", level=2, rotation_invariance=False, boundary="periodic", dimensions=2))[0, 0]
    spread = np.zeros(7)
    spread[::2] = high
    expected = np.zeros(41)
    expected[20 - 2 - 4 : 20 - 2 - 4 + 10] = np.convolve(low, spread)
    np.testing.assert_allclose(found / 2.0, expected, atol=1e-14)  # along y, one voxel long and periodic, each low-pass kernel gives its sum, the root of two
