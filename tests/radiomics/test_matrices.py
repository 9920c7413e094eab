"""Texture matrices against plain Python on small random arrays, and what must hold for any region."""

from __future__ import annotations

from collections import Counter
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sarcofuse.config import RadiomicsConfig
from sarcofuse.radiomics import compute_features, matrices
from sarcofuse.radiomics.emphasis import _joins, neighbourhood
from sarcofuse.radiomics.glcm import _count, _maximal_correlation
from sarcofuse.radiomics.region import Discretised, Region, offsets

SHAPES = hnp.array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=4)
QUICK = settings(max_examples=60, deadline=None, derandomize=True)
TEXTURES = {"classes": ("firstorder", "glcm", "glrlm", "glszm", "gldm", "ngtdm"), "log_sigma": (), "wavelet": None, "binWidth": 1, "minimumROIDimensions": 1}


@st.composite
def regions(draw):
    """Grey levels 1 to 4 in a region, 0 outside; every level up to the highest occurs."""
    array = draw(SHAPES.flatmap(lambda shape: hnp.arrays(np.int64, shape, elements=st.integers(0, 4))))
    inside = array > 0
    if not inside.any():
        array.flat[0] = 1
        inside = array > 0
    _, rank = np.unique(array[inside], return_inverse=True)
    levels = np.zeros_like(array)
    levels[inside] = rank + 1
    return levels


def lay_out(levels, margin=1):
    region = Region(levels > 0, (1.0, 1.0, 1.0), margin)
    return Discretised(region, levels[levels > 0])


def look(levels, place):
    return int(levels[place]) if all(0 <= p < n for p, n in zip(place, levels.shape, strict=True)) else 0


def add(place, offset, times=1):
    return tuple(p + times * o for p, o in zip(place, offset, strict=True))


@QUICK
@given(regions(), st.sampled_from([(1,), (2,), (1, 2)]))
def test_cooccurrence_counts_every_pair(levels, distances):
    image = lay_out(levels, max(distances))
    directions, steps = image.region.directions(distances, None)
    table = matrices.cooccurrences(image.ranks, *image.region.rows, steps, len(image.present))
    for offset, found in zip(directions, table, strict=True):
        expected = Counter((look(levels, p), look(levels, add(p, offset, -1))) for p in product(*map(range, levels.shape)) if look(levels, p))
        assert {(i, j): int(found[i, j]) for i, j in np.argwhere(found)} == dict(expected)


@QUICK
@given(regions())
def test_runs_are_maximal_and_cover_every_voxel(levels):
    image = lay_out(levels)
    directions, steps = image.region.directions((1,), None)
    table = matrices.run_lengths(image.ranks, *image.region.rows, steps, len(image.present), max(levels.shape))
    for offset, found in zip(directions, table, strict=True):
        expected = Counter()
        for place in product(*map(range, levels.shape)):
            level = look(levels, place)
            if level and look(levels, add(place, offset, -1)) != level:
                length = next(k for k in range(1, 9) if look(levels, add(place, offset, k)) != level)
                expected[level, length] += 1
        assert {(i + 1, j + 1): int(found[i, j]) for i, j in np.argwhere(found)} == dict(expected)
        assert (found * np.arange(1, found.shape[1] + 1)).sum() == np.count_nonzero(levels)


@QUICK
@given(regions(), st.sampled_from([None, 0, 1, 2]))
def test_zones_are_the_connected_components(levels, flat):
    from scipy import ndimage

    image = lay_out(levels)
    structure = np.ones((3, 3, 3))
    if flat is not None:
        structure.swapaxes(0, flat)[[0, 2]] = 0
    expected = Counter()
    for level in image.present:
        labels, _ = ndimage.label(levels == level, structure)
        expected.update((int(level), int(n)) for n in np.bincount(labels.ravel())[1:])
    directions, steps = image.region.directions((1,), flat)
    level, size = matrices.zones(image.ranks, *image.region.rows, steps, _joins(directions, tuple(steps.tolist())))
    assert Counter(zip(level.tolist(), size.tolist(), strict=True)) == expected


@QUICK
@given(regions(), st.sampled_from([(1,), (1, 2)]), st.sampled_from([0, 1]))
def test_neighbourhoods(levels, distances, alpha):
    image = lay_out(levels, max(distances))
    around = offsets(levels.shape, distances, None, both=True)
    dependence, difference = Counter(), Counter()
    for place in product(*map(range, levels.shape)):
        level = look(levels, place)
        if level:
            near = [v for v in (look(levels, add(place, o)) for o in around) if v]
            dependence[level, sum(abs(v - level) <= alpha for v in near)] += 1
            if near:
                difference[level] += abs(level - sum(near) / len(near))
    steps = image.region.directions(distances, None)[1]
    near = matrices.neighbours(np.pad(levels > 0, max(distances)).ravel().view(np.uint8), *image.region.rows, steps)
    found = matrices.neighbourhood(image.grey, near, *image.region.rows, steps, image.highest, alpha)
    assert {(i, j): int(found[0][i, j]) for i, j in np.argwhere(found[0])} == dict(dependence)
    assert found[1][1:].tolist() == pytest.approx([difference[level] for level in image.present])


@QUICK
@given(regions())
def test_large_levels_are_counted_like_small_ones(levels):
    """Levels above 254 need a wider type, and leave gaps."""
    few, many = lay_out(levels), lay_out(np.where(levels > 0, levels * 300, 0))
    assert (few.ranks.dtype, many.grey.dtype) == (np.uint8, np.uint16)
    assert np.array_equal(few.ranks, many.ranks)
    for config in (RadiomicsConfig(), RadiomicsConfig(gldm_a=300)):
        expected, found = (neighbourhood(image, config) for image in (few, many))
        assert config.gldm_a or np.array_equal(found[0], expected[0])
        assert found[1] == pytest.approx(300 * expected[1])


def measured(levels, **changes):
    return compute_features(levels, levels > 0, (1.0, 1.0, 1.0), RadiomicsConfig(**(TEXTURES | changes)))


@QUICK
@given(regions().filter(lambda a: np.count_nonzero(a) > 3), st.permutations((0, 1, 2)), st.booleans())
def test_turning_the_region_changes_no_feature(levels, axes, mirrored):
    turned = levels.transpose(axes)[::-1] if mirrored else levels.transpose(axes)
    # Levels start at 1 in every region of `regions`, so bins are the levels themselves.
    assert measured(turned) == pytest.approx(measured(levels), rel=1e-9, abs=1e-9, nan_ok=True)


@QUICK
@given(regions().filter(lambda a: np.count_nonzero(a) > 3), st.integers(0, 2**32 - 1))
def test_first_order_features_do_not_depend_on_where_voxels_lie(levels, seed):
    mixed = levels.copy()
    mixed[levels > 0] = np.random.default_rng(seed).permutation(levels[levels > 0])
    here, there = (measured(a, classes=("firstorder",)) for a in (levels, mixed))
    assert there == pytest.approx(here, rel=1e-12, abs=1e-12)


@QUICK
@given(regions().filter(lambda a: np.count_nonzero(a) > 3))
def test_symmetric_pairs_sum_to_one_and_have_equal_margins(levels):
    image = lay_out(levels)
    directions, steps = image.region.directions((1,), None)
    for offset, p in zip(directions, _count(image, steps, symmetric=True), strict=True):
        assert np.array_equal(p, p.T)
        assert p.sum() == 2 * sum(look(levels, q) > 0 and look(levels, add(q, offset)) > 0 for q in product(*map(range, levels.shape)))


def test_maximal_correlation_follows_its_definition():
    """MCC against the eigenvalues of Q(i, j) = sum over k of p(i,k) p(j,k) / (px(i) py(k)), for symmetric and other matrices."""
    rng = np.random.default_rng(3)
    for symmetric in (True, False):
        p = rng.random((9, 9))
        p = p + p.T if symmetric else p
        p /= p.sum()
        px, py = p.sum(axis=1), p.sum(axis=0)
        q = (p[:, None, :] * p[None, :, :] / (px[:, None, None] * py[None, None, :])).sum(axis=2)
        second = np.sort(np.linalg.eigvals(q).real)[-2]
        assert _maximal_correlation(p[None]).tolist() == pytest.approx([np.sqrt(second)], rel=1e-9)


def test_levels_that_do_not_occur_count_for_differences_not_for_rows():
    """Two levels far apart: contrast is their squared distance, whatever lies between."""
    image = np.ones((2, 4, 4))
    image[:, 1::2] = 50.0
    found = compute_features(image, np.ones_like(image), (1, 1, 1), {**TEXTURES, "classes": ("glcm",), "force2D": True})
    assert found["original_glcm_Contrast"] == pytest.approx(3 / 4 * 49.0**2)  # unequal along y and both diagonals, equal along x
    assert found["original_glcm_DifferenceAverage"] == pytest.approx(3 / 4 * 49.0)


def test_directions_in_the_plane_only_see_their_slice():
    """The same two slices far apart give what one gives, in 2D."""
    rng = np.random.default_rng(0)
    one = rng.integers(1, 5, (1, 6, 6))
    two = np.concatenate([one, one])
    flat = {"force2D": True, "classes": ("glcm", "glrlm")}
    first, both = measured(one, **flat), measured(two, **flat)
    counted = {"NonUniformity"}
    same = {n for n in first if not any(n.endswith(c) for c in counted)}
    assert {n: both[n] for n in same} == pytest.approx({n: first[n] for n in same}, rel=1e-12)
    assert both["original_glrlm_RunLengthNonUniformity"] == pytest.approx(2 * first["original_glrlm_RunLengthNonUniformity"])
