"""Kernels that take a short cut, against the plain way."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import pywt

from sarcofuse.radiomics import compute_features, sums
from sarcofuse.radiomics.diameters import diameter_in_plane, diameters
from sarcofuse.radiomics.firstorder import _percentiles
from sarcofuse.radiomics.wavelets import sub_bands

PERCENTS = (10, 25, 50, 75, 90)


def samples():
    """Smooth, rounded, constant, and with one value far off; of very different scale."""
    rng = np.random.default_rng(0)
    for seed, scale in product(range(6), (1e-3, 1.0, 1e5)):
        values = rng.normal(size=int(rng.integers(2, 3000))) * scale
        values = (values, np.round(values), np.full_like(values, 0.1 * scale), np.append(values, 1e9 * scale))[seed % 4]
        yield values


@pytest.mark.parametrize("values", list(samples()))
def test_percentiles_are_numpys_to_the_bit(values):
    assert _percentiles(values, values.min(), values.max(), PERCENTS) == np.percentile(values, PERCENTS).tolist()


@pytest.mark.parametrize("values", list(samples()))
@pytest.mark.parametrize("levels", [1.0, 7.3, 900.0])
def test_bins_are_found_as_by_search(values, levels):
    width = max(float(np.ptp(values)) / levels, 1e-6)
    edges = np.arange(values.min() - values.min() % width, values.max() + 2.0 * width, width)
    assert np.array_equal(sums.place(values, edges, width), np.searchsorted(edges, values, side="right"))
    on_edges = edges[:-1].copy()
    assert np.array_equal(sums.place(on_edges, edges, width), np.arange(1, len(edges)))


def vertices(inside):
    for axis in range(inside.ndim):
        places = np.argwhere(np.diff(inside.astype(int), axis=axis) != 0).astype(float)
        places[:, axis] += 0.5
        yield places


def widest(points):
    return np.sqrt(((points[:, None] - points[None]) ** 2).sum(axis=2).max())


@pytest.mark.parametrize("seed", range(12))
def test_diameters_are_the_largest_of_all_pairs(seed):
    """Scattered and compact regions, on voxels of unequal sides."""
    rng = np.random.default_rng(seed)
    shape, spacing = rng.integers(1, 8, 3), rng.uniform(0.3, 4.0, 3)
    inside = rng.random(shape) < (0.1, 0.5, 0.95)[seed % 3]
    inside.flat[0] = True
    padded = np.pad(inside, 1)
    points = np.concatenate(list(vertices(padded)))
    planar = [max(widest(points[points[:, axis] == p] * spacing) for p in np.unique(points[:, axis])) for axis in range(3)]
    assert diameters(padded, spacing) == pytest.approx((*planar, widest(points * spacing)), rel=1e-12)
    flat = np.pad(inside[0], 1) | np.pad(inside.any(axis=0), 1)
    assert diameter_in_plane(flat, spacing[1:]) == pytest.approx(widest(np.concatenate(list(vertices(flat))) * spacing[1:]), rel=1e-12)


@pytest.mark.parametrize("name", ["haar", "db2", "sym4", "bior1.3", "coif3"])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_every_wavelet_is_pywavelets_to_the_bit(name, kind):
    """Images shorter than the wavelet, too."""
    rng = np.random.default_rng(len(name))
    for _ in range(4):
        shape = tuple(int(n) for n in rng.integers(2, 30, 3))
        image = (rng.normal(size=shape) * 100).astype(kind)
        box = tuple(slice(*sorted(int(v) for v in rng.choice(n + 1, 2, replace=False))) for n in shape)
        data, expected = np.pad(image, [(0, n % 2) for n in shape], "wrap"), []
        for _level in range(2):
            bands = pywt.swtn(data, name, level=1, start_level=0, axes=(2, 1, 0))[0]
            data = bands["aaa"]
            expected += [bands[b] for b in sorted(bands) if b != "aaa"]
        for found, whole in zip(sub_bands(image, box, name, range(2), None), [*expected, data], strict=True):
            assert np.array_equal(found, whole[box])


def test_the_same_image_gives_the_same_bits():
    """In another place in memory, and after other images."""
    rng = np.random.default_rng(0)
    image = (rng.normal(size=(14, 18, 22)) * 200).astype(np.float32)
    mask = rng.random(image.shape) < 0.7
    first = compute_features(image, mask, (1.0, 0.8, 2.0))
    compute_features(image[::-1] + 5, mask, (1.0, 1.0, 1.0))
    held = [rng.random(n) for n in (3, 1001, 77)]
    assert compute_features(image.copy(), mask.copy(), (1.0, 0.8, 2.0)) == first
    assert held
