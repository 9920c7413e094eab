"""Rings, rim and core, habitats: volumes of analytic shapes, the body, names, and values that are those of the region's own mask."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk

from sarcofuse.config import Codebook, RadiomicsConfig, RegionsConfig
from sarcofuse.errors import ConfigError, ImageError, StageError
from sarcofuse.imaging import content_digest, write_mask, write_volume
from sarcofuse.radiomics import compute_features, extract, feature_names, fit_codebook, learn_habitats, region_masks, region_names, voxel_features
from sarcofuse.radiomics.body import body
from sarcofuse.radiomics.distance import signed_distance
from sarcofuse.radiomics.habitats import VOXELS, assign
from sarcofuse.records import Case, Geometry, Mask, Volume
from sarcofuse.runtime import Engine

PLAIN = {"wavelet": None, "log_sigma": (), "classes": ("shape", "firstorder", "glcm")}


def coordinates(spacing, reach, centre=(0.3, -0.4, 0.2)):
    axes = [np.arange(-int(reach / s) - 1, int(reach / s) + 2) * s - c for s, c in zip(spacing, centre, strict=True)]
    return np.meshgrid(*axes, indexing="ij", sparse=True)


def ball(spacing, radius, reach):
    z, y, x = coordinates(spacing, reach)
    return z**2 + y**2 + x**2 < radius**2


@pytest.mark.parametrize("spacing", [(1, 1, 1), (3.27, 0.98, 0.98), (5, 1, 1), (2, 0.5, 0.5), (1, 1, 4)])
def test_rings_rim_and_core_of_a_ball_have_their_volume(spacing):
    radius = 17.0
    tumour = ball(spacing, radius, 30.0)
    config = RegionsConfig(ring=(0, 5, 10), rim=6)
    found = dict(region_masks(np.ones(tumour.shape), tumour, spacing, config))
    assert list(found) == ["ring-0-5", "ring-5-10", "rim", "core"] == region_names(config)
    for name, low, high in (("ring-0-5", 17, 22), ("ring-5-10", 22, 27), ("rim", 11, 17), ("core", 0, 11)):
        truth = 4 / 3 * np.pi * (high**3 - low**3)
        assert np.count_nonzero(found[name]) * np.prod(spacing) == pytest.approx(truth, rel=0.07), name
    assert np.array_equal(found["rim"] | found["core"], tumour)
    assert not (found["rim"] & found["core"]).any()
    outside = found["ring-0-5"].astype(int) + found["ring-5-10"] + tumour
    assert outside.max() == 1


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_shells_of_a_slab_are_whole_layers(axis):
    """On a grid of 5 mm across the slab, 10 mm are two layers; the border of the image is no surface."""
    shape, spacing = [3, 3, 3], [1.0, 1.0, 1.0]
    shape[axis], spacing[axis] = 12, 5.0
    tumour = np.zeros(shape, bool)
    np.moveaxis(tumour, axis, 0)[4:8] = True
    found = dict(region_masks(np.ones(shape), tumour, tuple(spacing), RegionsConfig(ring=(0, 5, 10), rim=5)))
    layers = {name: np.flatnonzero(np.moveaxis(region, axis, 0).all(axis=(1, 2))).tolist() for name, region in found.items()}
    assert layers == {"ring-0-5": [3, 8], "ring-5-10": [2, 9], "rim": [4, 7], "core": [5, 6]}


def test_distance_is_signed_and_infinite_without_a_surface():
    tumour = ball((2, 1, 1), 6, 12)
    distance = signed_distance(tumour, (2, 1, 1))
    assert np.array_equal(distance < 0, tumour)
    assert np.isposinf(signed_distance(np.zeros((2, 2, 2), bool), (1, 1, 1))).all()
    assert np.isneginf(signed_distance(np.ones((2, 2, 2), bool), (1, 1, 1))).all()


def limb(spacing=(5.0, 1.0, 1.0), radius=40.0, seed=0):
    """A limb in air: fat (900), muscle (300), a dark cortex (20) about bright marrow, Rayleigh noise."""
    rng = np.random.default_rng(seed)
    _, y, x = coordinates(spacing, 55.0)
    r, bone = np.hypot(y, x), np.hypot(y - 10, x + 8)
    plane = np.where(r < radius - 8, 300.0, np.where(r < radius, 900.0, 0.0))
    plane = np.where(bone < 9, 20.0, plane)
    plane = np.where(bone < 5, 800.0, plane)
    image = np.broadcast_to(plane, (9, *plane.shape[1:]))
    image = np.hypot(image + rng.normal(scale=15, size=image.shape), rng.normal(scale=15, size=image.shape))
    return image, np.broadcast_to(r < radius, image.shape)


@pytest.mark.parametrize(("gain", "offset"), [(1.0, 0.0), (0.003, -1.2)])
def test_body_of_a_limb(gain, offset):
    image, truth = limb()
    found = body((image * gain + offset).astype(np.float32), (5.0, 1.0, 1.0))
    assert np.count_nonzero(found & truth) / np.count_nonzero(truth) > 0.99
    assert np.count_nonzero(found & ~truth) / np.count_nonzero(truth) < 0.06
    padded = np.pad(image * gain, ((0, 0), (30, 30), (30, 30)))
    again = body(padded, (5.0, 1.0, 1.0))[:, 30:-30, 30:-30]
    assert np.count_nonzero(again ^ truth) / np.count_nonzero(truth) < 0.07


def test_body_is_the_whole_image_where_there_is_no_air():
    image, _ = limb()
    middle = slice(30, -30)
    assert body(image[:, middle, middle], (5.0, 1.0, 1.0)).all()
    assert body(np.full((3, 8, 8), 7), (1.0, 1.0, 1.0)).all()
    assert body(np.random.default_rng(1).normal(100, 5, (4, 9, 9)), (3.0, 1.0, 1.0)).all()


def test_rings_stay_in_the_body():
    image, truth = limb()
    _, y, x = coordinates((5.0, 1.0, 1.0), 55.0)
    tumour = np.zeros(truth.shape, bool)
    tumour[2:7] = (np.hypot(y - 24, x) < 12)[0]
    spacing = (5.0, 1.0, 1.0)
    clipped = dict(region_masks(image, tumour, spacing, RegionsConfig(ring=(0, 10))))["ring-0-10"]
    free = dict(region_masks(image, tumour, spacing, RegionsConfig(ring=(0, 10), clip=False)))["ring-0-10"]
    assert np.count_nonzero(free & ~truth) > 500
    assert np.count_nonzero(clipped & ~truth) < 0.2 * np.count_nonzero(free & ~truth)
    assert np.count_nonzero(free & truth & ~clipped) < 0.01 * np.count_nonzero(free)


def test_body_of_real_images(reference_data):
    files = sorted((reference_data / "sts_t1").glob("STS_*/MR_T1_image.nii.gz"))[::4]
    assert files
    for file in files:
        image = sitk.ReadImage(str(file))
        tumour = sitk.GetArrayFromImage(sitk.ReadImage(str(file).replace("image", "mask"))) > 0
        found = body(sitk.GetArrayFromImage(image), image.GetSpacing()[::-1])
        assert found[tumour].mean() > 0.99, file
        assert 0.1 < found.mean() <= 1.0


def noise_ball(seed=0, spacing=(2.0, 1.0, 1.0)):
    tumour = ball(spacing, 8.0, 16.0)
    return np.random.default_rng(seed).normal(200, 40, tumour.shape), tumour


def test_features_are_those_of_the_regions_own_mask():
    image, tumour = noise_ball()
    spacing = (1.0, 1.0, 2.0)
    settings = {**PLAIN, "regions": {"ring": [0, 4], "rim": 3}}
    found = compute_features(image, tumour, spacing, settings)
    alone = compute_features(image, tumour, spacing, PLAIN)
    assert {name: found[name] for name in alone} == alone
    assert tuple(found) == feature_names(RadiomicsConfig(**settings))
    regions = dict(region_masks(image, tumour, spacing[::-1], RegionsConfig(ring=(0, 4), rim=3)))
    for name, region in regions.items():
        own = compute_features(image, region, spacing, {**PLAIN, "classes": ("firstorder", "glcm")})
        assert {f"{name}_{feature}": value for feature, value in own.items()} == {n: v for n, v in found.items() if n.startswith(name)}
    assert not any("ring-0-4" in n and "shape" in n for n in found)


def test_regions_that_are_empty_have_no_values():
    image, tumour = noise_ball()
    found = compute_features(image, tumour, (1, 1, 2), {**PLAIN, "regions": {"rim": 30}})
    core = [v for n, v in found.items() if n.startswith("core_")]
    assert core
    assert np.isnan(core).all()
    assert np.isfinite([v for n, v in found.items() if n.startswith("rim_")]).all()


def test_regions_in_the_dialect_ibsi():
    image, tumour = noise_ball()
    settings = {"dialect": "ibsi", "ibsi": {"families": ["morphology", "statistics"]}}
    config = RadiomicsConfig.model_validate({**settings, "regions": {"rim": 3}})
    found = compute_features(image, tumour, (1, 1, 2), config)
    assert tuple(found) == feature_names(config)
    rim = dict(region_masks(image, tumour, (2, 1, 1), RegionsConfig(rim=3)))["rim"]
    own = compute_features(image, rim, (1, 1, 2), {"dialect": "ibsi", "ibsi": {"families": ["statistics"]}})
    assert {f"rim_{feature}": value for feature, value in own.items()} == {n: v for n, v in found.items() if n.startswith("rim_")}


def test_errors_name_the_region():
    image, tumour = noise_ball()
    image[~tumour] *= 1000.0
    with pytest.raises(ImageError, match=r"region ring-0-4: image original would have \d+ grey levels"):
        compute_features(image, tumour, (1, 1, 2), {**PLAIN, "regions": {"ring": [0, 4]}})
    with pytest.raises(ConfigError, match="needs a codebook"):
        compute_features(image, tumour, (1, 1, 2), {**PLAIN, "regions": {"habitats": 2}})


@pytest.mark.parametrize("wrong", [{"ring": [5]}, {"ring": [5, 5]}, {"ring": [-1, 5]}, {"rim": 0}, {"habitats": 1}])
def test_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError, match=r"ring|rim|habitats"):
        RegionsConfig(**wrong)


def two_tissues(seed, shape=(8, 24, 24)):
    """A dark half and a bright half."""
    rng = np.random.default_rng(seed)
    image = rng.normal(0, 10, shape)
    image[:, :, shape[2] // 2 :] += 300
    return image.astype(np.float32), np.ones(shape, bool)


@pytest.mark.parametrize("method", ["kmeans", "gaussian"])
def test_habitats_find_two_tissues(method):
    config = RegionsConfig(habitats=2, habitat_method=method, habitat_voxels=("intensity", "mean"))
    samples = [voxel_features(*two_tissues(seed), (3.0, 1.0, 1.0), config) for seed in (1, 2)]
    book = fit_codebook(samples, config)
    assert book == fit_codebook(samples, config)
    assert Codebook.model_validate(json.loads(json.dumps(book.model_dump(mode="json")))) == book
    image, tumour = two_tissues(3)
    found = assign(image, tumour, (3.0, 1.0, 1.0), config.model_copy(update={"codebook": book}))
    assert np.mean(found[:, :, :11] == 1) > 0.99  # the darker one comes first
    assert np.mean(found[:, :, 13:] == 2) > 0.99


def test_voxel_features_are_physical():
    """The same scene on two grids: a parabola of 3 mm-2 has the Laplacian 2 x 3 x 3 everywhere, times the squared width."""
    config = RegionsConfig(habitat_radius=2.0, habitat_voxels=("log", "mean"))
    for spacing in ((2.0, 1.0, 1.0), (1.0, 0.5, 2.0)):
        z, y, x = coordinates(spacing, 24.0, (0, 0, 0))
        image = 3.0 * (z**2 + y**2 + x**2)
        found = voxel_features(image, ball(spacing, 3, 24.0), spacing, config)
        assert found[:, 0] == pytest.approx(4 * 18.0, rel=0.02)
        centre = voxel_features(image, (z**2 + y**2 + x**2) == 0, spacing, config)
        assert centre[0, 1] == pytest.approx(3.0 * 3 * 4, rel=0.05)  # the mean of a parabola under a Gaussian is its variance


def test_a_codebook_needs_voxels_enough():
    with pytest.raises(StageError, match="3 habitats cannot be learned from 2 different voxels"):
        fit_codebook([np.array([[1.0], [2.0], [2.0]])], RegionsConfig(habitats=3, habitat_voxels=("intensity",)))
    with pytest.raises(ValueError, match="codebook"):
        RegionsConfig(habitats=3, habitat_voxels=("intensity",), codebook={"centre": [0], "scale": [1], "means": [[0], [1]]})


def make_case(folder, name, split, seed, shape=(8, 24, 24)):
    image, tumour = two_tissues(seed, shape)
    tumour[:, :4] = False
    geometry = Geometry(shape[::-1], (1.0, 1.0, 3.0))
    volume, region = Volume(image, geometry), Mask(tumour.astype(np.uint8), geometry)
    files = folder / f"{name}.nii.gz", folder / f"{name}-mask.nii.gz"
    write_volume(volume, files[0])
    write_mask(region, files[1])
    return Case(name, split, "A", files[0], files[1], files[0], content_digest(volume), content_digest(region), "given")


def test_habitats_are_learned_from_training_patients_alone(tmp_path):
    config = RadiomicsConfig(**PLAIN, regions={"habitats": 2, "habitat_classes": True})
    cases = [make_case(tmp_path, f"P-{i}", "train" if i < 3 else "external", i) for i in range(5)]
    engine = Engine(tmp_path / "cache", scheduler="serial", progress=False)
    learned = learn_habitats(cases, config, engine)
    assert learned.regions.codebook is not None
    assert RadiomicsConfig.model_validate(json.loads(json.dumps(learned.model_dump(mode="json")))) == learned  # as in bundle.json
    assert learn_habitats(cases[:3][::-1], config, engine) == learned
    samples = []
    for case in cases[:3]:  # what was learned from is what the files hold
        image, tumour = sitk.ReadImage(str(case.image)), sitk.ReadImage(str(case.mask))
        samples.append(voxel_features(sitk.GetArrayFromImage(image), sitk.GetArrayFromImage(tumour) == 1, (3.0, 1.0, 1.0), config.regions))
        samples[-1] = samples[-1][np.unique(np.linspace(0, len(samples[-1]) - 1, VOXELS).astype(int))]
    assert fit_codebook(samples, config.regions) == learned.regions.codebook
    other = make_case(tmp_path, "P-9", "external", 99)
    assert learn_habitats([*cases[:3], other], config, engine) == learned
    assert learn_habitats([*cases[:3], replace(other, split="train")], config, engine) != learned
    table, aside = extract(cases, learned, engine)
    assert not aside
    assert table.names == feature_names(learned)
    shares = table.values[:, [table.names.index(f"habitat-{k}_original_shape_VolumeShare") for k in (1, 2)]]
    assert shares.sum(axis=1) == pytest.approx(1.0)
    assert shares == pytest.approx(0.5, abs=0.1)
    means = [table.values[:, table.names.index(f"habitat-{k}_original_firstorder_Mean")] for k in (1, 2)]
    assert (means[1] - means[0] > 200).all()
    alone, _ = extract(cases[4:], learned, Engine(tmp_path / "other", scheduler="serial", progress=False))
    assert alone.values.tobytes() == np.ascontiguousarray(table.values[4:]).tobytes()
    assert learn_habitats(cases, RadiomicsConfig(), engine) == RadiomicsConfig()
