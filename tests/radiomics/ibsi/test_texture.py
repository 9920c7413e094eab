"""Texture by the standard, against the other dialect's own kernels on random regions, and against definitions spelled out in loops."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from sarcofuse.radiomics import compute_features
from sarcofuse.radiomics.ibsi.levels import Texture

TEXTURE = ("glcm", "glrlm", "glszm", "gldzm", "ngtdm", "ngldm")
# Our names in the dialect pyradiomics of what the two define alike, by the standard's code.
ALIKE = {
    "glcm": "GYBY MaximumProbability,60VM JointAverage,UR99 SumSquares,TU9B JointEntropy,TF7R DifferenceAverage,D3YU DifferenceVariance,NTRS DifferenceEntropy,ZGXS SumAverage,"
    "OEEB ClusterTendency,P6QZ SumEntropy,8ZQL JointEnergy,ACUI Contrast,IB1Z Id,NDRX Idn,WF0Z Idm,1QCO Idmn,E8JP InverseVariance,NI2N Correlation,QWB0 Autocorrelation,"
    "7NFM ClusterShade,AE86 ClusterProminence,R8DG Imc1,JN9H Imc2",
    "glrlm": "22OV ShortRunEmphasis,W4KF LongRunEmphasis,V3SW LowGrayLevelRunEmphasis,G3QZ HighGrayLevelRunEmphasis,HTZT ShortRunLowGrayLevelEmphasis,"
    "GD3A ShortRunHighGrayLevelEmphasis,IVPO LongRunLowGrayLevelEmphasis,3KUM LongRunHighGrayLevelEmphasis,R5YN GrayLevelNonUniformity,W92Y RunLengthNonUniformity,"
    "9ZK5 RunPercentage,8CE5 GrayLevelVariance,SXLW RunVariance,HJ9O RunEntropy",
    "glszm": "5QRC SmallAreaEmphasis,48P8 LargeAreaEmphasis,XMSY LowGrayLevelZoneEmphasis,5GN9 HighGrayLevelZoneEmphasis,JNSA GrayLevelNonUniformity,4JP3 SizeZoneNonUniformity,"
    "P30P ZonePercentage,BYLV GrayLevelVariance,3NSA ZoneVariance,GU8N ZoneEntropy",
    "gldm": "SODN SmallDependenceEmphasis,IMOQ LargeDependenceEmphasis,Z87G DependenceNonUniformity,DNX2 DependenceVariance,FCBV DependenceEntropy",
    "ngtdm": "QCDE Coarseness,65HE Contrast,NQ30 Busyness,HDEZ Complexity,1X9X Strength",
}


def case(seed=0, levels=6, shape=(7, 11, 9)):
    rng = np.random.default_rng(seed)
    mask = (rng.random(shape) < 0.85).astype(np.uint8)
    image = rng.integers(1, levels + 1, shape)
    image[0, 0, 0], image[-1, -1, -1] = 1, levels
    mask[0, 0, :2] = mask[-1, -1, -2:] = 1  # no voxel is alone: PyRadiomics counts those among the voxels of its NGTDM
    return image, mask


def measured(image, mask, **settings):
    own = {"discretisation": "FBS", "bin_width": 1, "families": TEXTURE} | settings
    return compute_features(image, mask, (1, 1, 2), {"dialect": "ibsi", "ibsi": own})


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("way", "norm"), [("3D_avg", None), ("3D_comb", "no_weighting"), ("2_5D_avg", None), ("2_5D_comb", "no_weighting")])
def test_both_dialects_agree_where_they_define_alike(seed, way, norm):
    image, mask = case(seed)
    found = measured(image, mask)
    other = {"binWidth": 1, "force2D": way.startswith("2"), "weightingNorm": norm, "log_sigma": (), "wavelet": None, "classes": tuple(ALIKE)}
    expected = compute_features(image, mask, (1, 1, 2), other)
    merged = {"3D_avg": "ITBB", "3D_comb": "IAZD", "2_5D_avg": "JJUI", "2_5D_comb": "ZW7Z"}[way]
    for family, pairs in ALIKE.items():
        code = merged if family in ("glcm", "glrlm") else {"3": "KOBO", "2": "62GR"}[way[0]]
        for pair in pairs.split(","):
            feature, name = pair.split()
            assert found[f"{feature}_{code}"] == pytest.approx(expected[f"original_{family}_{name}"], rel=1e-9), (family, name)


@pytest.mark.parametrize(("flat", "whole"), [("BTW3", "ITBB"), ("SUJT", "IAZD"), ("JJUI", "ITBB"), ("ZW7Z", "IAZD"), ("8QNN", "KOBO"), ("62GR", "KOBO")])
def test_in_one_slice_all_aggregations_are_the_same(flat, whole):
    """But for runs, which are single voxels across the slice, and distances from the border, which is everywhere there."""
    image, mask = case(1)
    mask[:3] = mask[4:] = 0
    found = measured(image, mask, families=("glcm", "glszm", "ngtdm", "ngldm"))
    names = [n for n in found if n.endswith(flat)]
    assert len(names) > 20
    for name in names:
        assert found[name] == pytest.approx(found[name.replace(flat, whole)], rel=1e-12), name


def test_2d_is_the_mean_over_slices():
    image, mask = case(2)
    each = []
    for z in range(len(mask)):
        only = np.zeros_like(mask)
        only[z] = mask[z]
        each.append(measured(image, only, resegment_range=(1, None)))
    found = measured(image, mask)
    for name in (n for n in found if n.endswith(("BTW3", "SUJT", "8QNN")) and not n.startswith(("NDRX", "1QCO"))):
        assert found[name] == pytest.approx(np.nanmean([e[name] for e in each]), rel=1e-9), name


def test_coarseness_counts_similar_levels_as_dependent():
    image, mask = case(3)
    dependence = [1 + sum(_near(image, mask, place, offset) for offset in _offsets(1)) for place in zip(*np.nonzero(mask), strict=True)]
    found = measured(image, mask, families=("ngldm",), coarseness=1.0)
    assert found["IMOQ_KOBO"] == pytest.approx(np.mean(np.square(dependence)), rel=1e-12)


def test_distance_two_reaches_all_voxels_up_to_it():
    image, mask = case(4)
    dependence = [1 + sum(_near(image, mask, place, offset, 0) for offset in _offsets(2)) for place in zip(*np.nonzero(mask), strict=True)]
    found = measured(image, mask, distance=2)
    assert found["IMOQ_KOBO"] == pytest.approx(np.mean(np.square(dependence)), rel=1e-12)
    pairs = [image[a] * image[b] for a in zip(*np.nonzero(mask), strict=True) for o in _offsets(2) if set(map(abs, o)) <= {0, 2} and (b := _moved(mask, a, o)) is not None]
    assert found["QWB0_IAZD"] == pytest.approx(np.mean(pairs), rel=1e-12)
    # Runs and zones know no distance.
    near = measured(image, mask)
    assert {n: v for n, v in found.items() if n.startswith(("W4KF", "48P8", "MB4I"))} == {n: near[n] for n in near if n.startswith(("W4KF", "48P8", "MB4I"))}


def _offsets(reach):
    way = range(-reach, reach + 1)
    return [o for o in product(way, way, way) if any(o)]


def _moved(mask, place, offset):
    near = tuple(p + o for p, o in zip(place, offset, strict=True))
    return near if all(0 <= p < n for p, n in zip(near, mask.shape, strict=True)) and mask[near] else None


def _near(image, mask, place, offset, coarseness=1):
    near = _moved(mask, place, offset)
    return near is not None and abs(image[near] - image[place]) <= coarseness


@pytest.mark.parametrize("planar", [False, True])
def test_depth_counts_steps_to_the_nearest_voxel_outside(planar):
    outline = np.random.default_rng(0).random((6, 8, 7)) < 0.9
    texture = Texture(outline, outline, np.ones(int(outline.sum()), np.int64), 1, 2)
    depth = texture.depth(planar=planar).reshape(texture.shape)[2:-2, 2:-2, 2:-2]
    outside = np.argwhere(~np.pad(outline, 1)) - 1
    for place in np.argwhere(outline):
        steps = np.abs(outside - place)
        expected = steps[outside[:, 0] == place[0], 1:].sum(axis=1).min() if planar else steps.sum(axis=1).min()
        assert depth[tuple(place)] == expected


def test_zones_lie_in_the_intensity_mask_and_distances_in_the_morphological_mask():
    """A hole that re-segmentation makes cuts zones, but is no border."""
    image = np.full((5, 7, 7), 2)
    image[2, 3, 3] = 50
    found = measured(image, np.ones_like(image), resegment_range=(0, 10), families=("gldzm",))
    assert found["MB4I_KOBO"] == 1.0  # one zone, which touches the border
    image[:] = 50
    image[2, 3, 3] = image[1, 3, 3] = 2
    found = measured(image, np.ones_like(image), resegment_range=(0, 10), families=("gldzm",))
    assert found["MB4I_KOBO"] == 4.0  # one zone of two voxels, two and three steps inside


def test_number_of_levels_is_the_highest_that_occurs_or_the_number_of_bins():
    image, mask = np.zeros((1, 1, 4)), np.ones((1, 1, 4), np.uint8)
    image[0, 0] = (0.0, 0.0, 10.0, 10.0)
    pairs = {0: 4 / 6, 10: 2 / 6}
    fixed = measured(image, mask, families=("glcm",), discretisation="FBS", bin_width=1.0, resegment_range=(-5, 100))
    assert fixed["NDRX_IAZD"] == pytest.approx(pairs[0] + pairs[10] / (1 + 10 / 16))
    count = measured(image, mask, families=("glcm",), discretisation="FBN", bin_count=8)
    assert count["NDRX_IAZD"] == pytest.approx(pairs[0] + pairs[10] / (1 + 7 / 8))


@pytest.mark.parametrize("norm", ["euclidean", "manhattan", "chebyshev"])
def test_weighted_pairs_agree_with_the_other_dialect(norm):
    """On voxels of 1 mm, where distances in voxels are those in mm; its weighting of runs is another."""
    image, mask = case(3)
    other = {"binWidth": 1, "weightingNorm": norm.replace("chebyshev", "infinity"), "log_sigma": (), "wavelet": None, "classes": ("glcm",)}
    expected = compute_features(image, mask, (1, 1, 1), other)
    found = measured(image, mask, families=("glcm",), aggregations=("IAZD",), weighting="gaussian", weighting_norm=norm)
    for pair in ALIKE["glcm"].split(","):
        feature, name = pair.split()
        assert found[f"{feature}_IAZD"] == pytest.approx(expected[f"original_glcm_{name}"], rel=1e-9), name


@pytest.mark.parametrize(("weighting", "norm"), [("inverse", "euclidean"), ("gaussian", "manhattan")])
def test_weighted_runs_in_loops(weighting, norm):
    image, mask = case(4, levels=3, shape=(5, 6, 7))
    found = measured(image, mask, families=("glrlm",), aggregations=("IAZD", "ITBB"), weighting=weighting, weighting_norm=norm)
    plain = measured(image, mask, families=("glrlm",), aggregations=("ITBB",))
    assert {n: v for n, v in found.items() if n.endswith("ITBB")} == plain, "a direction by itself has no weight"
    levels = np.pad(image * mask, 1)
    runs = short = looked_at = 0.0
    by_level = np.zeros(4)
    for off in (o for o in product((-1, 0, 1), repeat=3) if o > (0, 0, 0)):
        away = np.sqrt(np.square(off).sum()) if norm == "euclidean" else np.abs(off).sum()
        w = 1 / away if weighting == "inverse" else np.exp(-(away**2))
        looked_at += w * mask.sum()
        for place in np.argwhere(levels):
            level = levels[tuple(place)]
            if levels[tuple(place - off)] != level:
                length = 1
                while levels[tuple(place + length * np.array(off))] == level:
                    length += 1
                runs, short = runs + w, short + w / length**2
                by_level[level] += w
    assert found["22OV_IAZD"] == pytest.approx(short / runs, rel=1e-12)
    assert found["9ZK5_IAZD"] == pytest.approx(runs / looked_at, rel=1e-12)
    assert found["R5YN_IAZD"] == pytest.approx((by_level**2).sum() / runs, rel=1e-12)


@pytest.mark.parametrize(("weighting", "norm"), [("inverse", "euclidean"), ("gaussian", "manhattan"), ("inverse", "chebyshev")])
def test_weighted_neighbourhoods_in_loops(weighting, norm):
    image, mask = case(4, shape=(5, 6, 7))
    found = measured(image, mask, families=("ngtdm",), aggregations=("KOBO",), distance=2, weighting=weighting, weighting_norm=norm)
    levels = image * mask
    number, s = np.zeros(7), np.zeros(7)
    for place in np.argwhere(mask):
        total = weights = 0.0
        for off in product(range(-2, 3), repeat=3):
            near = place + off
            if any(off) and ((near >= 0) & (near < mask.shape)).all() and mask[tuple(near)]:
                away = {"euclidean": np.sqrt(np.square(off).sum()), "manhattan": np.abs(off).sum(), "chebyshev": np.abs(off).max()}[norm]
                w = 1 / away if weighting == "inverse" else np.exp(-(away**2))
                total, weights = total + w * levels[tuple(near)], weights + w
        number[levels[tuple(place)]] += 1
        s[levels[tuple(place)]] += abs(levels[tuple(place)] - total / weights)
    p = number / number.sum()
    assert found["QCDE_KOBO"] == pytest.approx(1 / (p @ s), rel=1e-12)
