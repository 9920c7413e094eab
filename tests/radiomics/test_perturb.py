"""Perturbed images and masks against what they should be, and what features make of them."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
import SimpleITK as sitk

from sarcofuse.config import PerturbConfig, RadiomicsConfig
from sarcofuse.errors import CohortError, MaskError
from sarcofuse.imaging import write_mask, write_volume
from sarcofuse.radiomics import compute_features, extract_radiomics, mask_agreement, robustness, robustness_many, stability
from sarcofuse.radiomics.compute import measure
from sarcofuse.radiomics.perturb import AS_GIVEN, Scene, noise_level, plan, smooth_field
from sarcofuse.radiomics.shared import measure_masks
from sarcofuse.records import FeatureTable, Geometry, Mask, Patient, Volume
from sarcofuse.runtime import Engine

SPACING = (3.0, 0.8, 1.1)
QUICK = {"wavelet": None, "log_sigma": (2.0,), "classes": ("shape", "firstorder", "glcm")}


def ball(radius=14.0, spacing=SPACING, reach=30.0):
    axes = [np.arange(-int(reach / s), int(reach / s) + 1) * s for s in spacing]
    z, y, x = np.meshgrid(*axes, indexing="ij", sparse=True)
    return z**2 + y**2 + x**2 < radius**2


def scene(image=None, tumour=None, seed=0, **changes):
    tumour = ball() if tumour is None else tumour
    image = np.random.default_rng(5).normal(100, 10, tumour.shape) if image is None else image
    return Scene(image, tumour, SPACING, (4.0, 4.0, 4.0), PerturbConfig(**changes), seed)


def perturbed(of, count):
    """Name, image and mask of each perturbation."""
    steps = plan(count, of.config)
    found = {s.name: (image, mask) for image, own, masks in of.groups(steps) for s, mask in zip(own, masks, strict=True)}
    return {s.name: found[s.name] for s in steps}


def test_volume_changes_by_whole_voxels_within_its_limit():
    given = scene(images=("none",), masks=("volume",), volume=0.2)
    voxels = np.count_nonzero(given.tumour)
    shares = []
    for image, mask in perturbed(given, 30).values():
        assert image is given.image
        shares.append(np.count_nonzero(mask) / voxels - 1)
        smaller, larger = (mask, given.tumour) if shares[-1] < 0 else (given.tumour, mask)
        assert np.count_nonzero(smaller & ~larger) < 0.02 * voxels  # a ball within a ball
    assert min(shares) < -0.1
    assert max(shares) > 0.1
    assert np.abs(shares).max() <= 0.2 + 1 / voxels


def test_boundary_moves_by_the_asked_distance():
    given = scene(images=("none",), masks=("boundary",), boundary=1.5, boundary_length=8.0)
    radii = np.sqrt(sum((np.arange(-(n // 2), n // 2 + 1) * s).reshape([-1 if a == k else 1 for k in range(3)]) ** 2 for a, (n, s) in enumerate(zip(given.tumour.shape, SPACING, strict=True))))
    masks = np.array([mask for _, mask in perturbed(given, 40).values()])
    assert np.mean(masks.sum(axis=(1, 2, 3))) == pytest.approx(given.tumour.sum(), rel=0.1)
    share = masks.mean(axis=0)
    for depth in (-1.5, 0.0, 1.5):  # the share of masks that hold a voxel so far inside the surface is that of a normal distribution
        shell = np.abs(radii - (14.0 - depth)) < 0.25
        assert share[shell].mean() == pytest.approx(0.5 * (1 + math.erf(depth / 1.5 / math.sqrt(2))), abs=0.08)


def test_a_mask_never_vanishes():
    tiny = np.zeros((9, 15, 15), bool)
    tiny[4, 7:9, 7:9] = True
    given = Scene(np.ones(tiny.shape), tiny, SPACING, (2.0, 2.0, 2.0), PerturbConfig(images=("none",), boundary=5.0), 0)
    assert min(np.count_nonzero(mask) for _, mask in perturbed(given, 20).values()) >= 2


def test_smooth_field_has_variance_one_and_the_asked_length():
    rng = np.random.default_rng(0)
    fields = np.array([smooth_field((9, 40, 30), (4.0, 1.0, 1.5), 8.0, rng) for _ in range(200)])
    assert fields.mean() == pytest.approx(0.0, abs=0.05)
    assert fields.std(axis=0).mean() == pytest.approx(1.0, abs=0.05)
    for a, b, mm in ((fields[:, 2], fields[:, 4], 8.0), (fields[:, :, :32], fields[:, :, 8:], 8.0), (fields[:, :, :, :28], fields[:, :, :, 2:], 3.0)):
        assert np.mean(a * b) == pytest.approx(math.exp(-0.5 * (mm / 8.0) ** 2), abs=0.06)


def test_noise_is_that_of_the_image():
    rng = np.random.default_rng(1)
    z, y, x = np.indices((12, 80, 80))
    smooth = 300 + 40 * np.sin(y / 9) + 30 * np.cos(x / 7) + 5 * z
    image = smooth + rng.normal(scale=12, size=smooth.shape)
    assert noise_level(image) == pytest.approx(12, rel=0.05)
    padded = np.pad(image, ((0, 0), (0, 80), (0, 80)))
    assert noise_level(padded) == pytest.approx(12, rel=0.1)
    given = scene(image=rng.normal(200, 12, ball().shape), images=("noise",), masks=("none",))
    ((found, mask),) = perturbed(given, 1).values()
    assert np.array_equal(mask, given.tumour)
    assert (found - given.image)[given.box].std() == pytest.approx(12, rel=0.05)


def test_translation_moves_image_and_mask_alike():
    z, y, x = np.meshgrid(*[np.arange(n, dtype=float) for n in ball().shape], indexing="ij")
    given = scene(image=3 * z + 5 * y - 2 * x, images=("translation",), masks=("none",), translation=1.0)
    ((image, mask),) = perturbed(given, 1).values()
    inner = tuple(slice(b.start + 3, b.stop - 3) for b in given.box)
    offset = (image - given.image)[inner]
    assert offset.std() == pytest.approx(0.0, abs=1e-9)  # a plane moved is the plane plus a number
    _, (dz, dy, dx) = given._change(plan(1, given.config)[0])
    assert offset.mean() == pytest.approx(-(3 * dz + 5 * dy - 2 * dx), abs=1e-9)
    before, after = (np.argwhere(m).mean(axis=0) for m in (given.tumour, mask))
    assert after - before == pytest.approx([dz, dy, dx], abs=0.25)


def test_rotation_is_about_the_tumour_in_mm():
    """An ellipse in mm on pixels that are not square keeps its area and turns by the angle drawn."""
    z, y, x = np.meshgrid(*[(np.arange(n) - n // 2) * s for n, s in zip(ball().shape, SPACING, strict=True)], indexing="ij")
    tumour = (z / 10) ** 2 + (y / 16) ** 2 + (x / 7) ** 2 < 1
    image = 100 * np.exp(-0.5 * ((y / 12) ** 2 + (x / 5) ** 2))
    given = scene(image, tumour, images=("rotation",), masks=("none",), rotation=30.0, seed=3)
    angle, _ = given._change(plan(1, given.config)[0])
    assert abs(math.degrees(angle)) > 5
    ((found, mask),) = perturbed(given, 1).values()
    u, v = math.cos(angle) * y - math.sin(angle) * x, math.sin(angle) * y + math.cos(angle) * x
    wanted = 100 * np.exp(-0.5 * ((u / 12) ** 2 + (v / 5) ** 2))
    assert np.abs(found - wanted)[tumour].max() < 0.5
    truth = (z / 10) ** 2 + (u / 16) ** 2 + (v / 7) ** 2 < 1
    assert np.count_nonzero(mask) == pytest.approx(np.count_nonzero(tumour), rel=0.03)
    assert 2 * np.count_nonzero(mask & truth) / (np.count_nonzero(mask) + np.count_nonzero(truth)) > 0.97


def test_the_same_seed_gives_the_same_bytes_and_others_do_not():
    first, again, other = (perturbed(scene(seed=s), 12) for s in (1, 1, 2))
    assert list(first) == list(again)
    for name, (image, mask) in first.items():
        assert image.tobytes() == again[name][0].tobytes()
        assert mask.tobytes() == again[name][1].tobytes()
        assert mask.tobytes() != other[name][1].tobytes()
    fewer = perturbed(scene(seed=1), 5)
    assert all(mask.tobytes() == first[name][1].tobytes() for name, (_, mask) in fewer.items())


def sitk_image(array):
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(SPACING[::-1])
    return image


@pytest.mark.parametrize("more", [{}, {"normalize": True, "normalizeScale": 100}, {"resegmentRange": (-2, 2), "resegmentMode": "sigma"}, {"regions": {"rim": 3}}])
def test_masks_measured_together_have_the_values_of_each_alone(more):
    config = RadiomicsConfig(log_sigma=(2.0,), **more)
    tumour = ball(9, reach=20)
    image = sitk_image(np.random.default_rng(2).normal(100, 60, tumour.shape).astype(np.float32))
    half = tumour.copy()
    half[:, :, tumour.shape[2] // 2 :] = False
    nothing = np.zeros_like(tumour)
    nothing[0, 0, 0] = True
    found = measure_masks(image, [tumour, half, nothing], config, "P-1")
    for mask, values in zip((tumour, half), found, strict=False):
        alone = measure(image, sitk_image(mask.astype(np.uint8)), config, "P-1")
        assert list(values) == list(alone)
        np.testing.assert_allclose(list(values.values()), list(alone.values()), rtol=1e-9)
    assert np.isnan(list(found[2].values())).all()


def case(seed=0, noise=30.0):
    rng = np.random.default_rng(seed)
    tumour = ball(9, reach=20)
    geometry = Geometry(tumour.shape[::-1], SPACING[::-1])
    image = rng.normal(rng.uniform(100, 600), noise, tumour.shape)
    return Volume(image.astype(np.float32), geometry), Mask(tumour.astype(np.uint8), geometry)


def test_table_of_one_case():
    volume, mask = case()
    table = robustness(volume, mask, QUICK, 10, seed=4)
    assert table.patient_ids == (AS_GIVEN.name, *(s.name for s in plan(10, PerturbConfig())))
    plain = compute_features(volume.array, mask.array, SPACING[::-1], QUICK)
    assert dict(zip(table.names, table.values[0], strict=True)) == plain
    assert np.isfinite(table.values).all()
    assert len(np.unique(table.values[:, table.names.index("original_shape_MeshVolume")])) == 11
    assert robustness(volume, mask, QUICK, 10, seed=4).values.tobytes() == table.values.tobytes()
    with pytest.raises(MaskError, match="no voxel of label 3"):
        robustness(volume, mask, {**QUICK, "label": 3})


def test_integer_images_are_perturbed_in_double_precision():
    volume, mask = case()
    rounded = np.round(volume.array)
    wanted = robustness(Volume(rounded, volume.geometry), mask, QUICK, 4)
    from sarcofuse.radiomics import robust

    image, labels = sitk_image(rounded.astype(np.int16)), sitk_image(mask.array)
    found = robust._measure(image, labels, RadiomicsConfig(**QUICK), (4, 0, PerturbConfig()), "P-1")
    np.testing.assert_allclose([list(v.values()) for v in found.values()], wanted.values, rtol=2e-3, atol=1e-3)


def test_what_outlasts_perturbation_is_stable_and_what_does_not_is_not():
    tables = [robustness(*case(seed), QUICK, 6) for seed in range(8)]
    found = stability(tables)
    frame = found.to_frame()
    assert list(frame.index) == list(tables[0].names)
    assert (frame["patients"] == 8).all()
    assert frame.loc["original_firstorder_Mean", "icc21"] > 0.99  # patients differ by hundreds, perturbations by units
    assert frame.loc["original_shape_MeshVolume", "icc21"] < 0.3  # everybody has the same mask
    defined = frame.dropna()
    assert len(defined) > 30
    assert (defined["icc21_low"] <= defined["icc21"]).all()
    assert (defined["icc31"] <= defined["icc31_high"]).all()
    with pytest.raises(CohortError, match="same settings, perturbations and seed"):
        stability([tables[0], robustness(*case(0), QUICK, 4)])
    with pytest.raises(CohortError, match="found 0 tables"):
        stability([])


def test_two_masks_of_the_same_patients():
    rng = np.random.default_rng(0)
    drawn = rng.normal(size=(20, 2))
    names, people = ("a", "b"), tuple(f"P-{i}" for i in range(20))
    automatic = drawn[::-1] + np.column_stack([np.full(20, 0.01), rng.normal(size=20) * 3])
    found = mask_agreement(FeatureTable("radiomic", people, names, drawn), FeatureTable("radiomic", people[::-1], names, automatic))
    assert found.agreement.value[0] > 0.99
    assert found.agreement.value[1] < 0.6
    with pytest.raises(CohortError, match="0 patients in common"):
        mask_agreement(FeatureTable("radiomic", people, names, drawn), FeatureTable("radiomic", tuple(p + "x" for p in people), names, drawn))


def test_many_patients_with_one_set_aside(tmp_path):
    patients = []
    for i in range(3):
        volume, mask = case(i)
        if i == 1:
            mask = Mask(np.zeros_like(mask.array), mask.geometry)
        write_volume(volume, tmp_path / f"P-{i}.nii.gz")
        write_mask(mask, tmp_path / f"P-{i}-mask.nii.gz")
        patients.append(Patient(f"P-{i}", "external", tmp_path / f"P-{i}.nii.gz", tmp_path / f"P-{i}-mask.nii.gz"))
    patients.append(Patient("P-9", "external", tmp_path / "P-0.nii.gz", None))
    engine = Engine(tmp_path / "cache", scheduler="serial", progress=False)
    tables, aside = robustness_many(patients, QUICK, engine, 4, seed=2)
    assert list(tables) == ["P-0", "P-2"]
    assert {s.patient_id: s.reason[:30] for s in aside} == {"P-9": "has no mask; expected one, dra", "P-1": "mask has no voxel of label 1; "}
    alone = robustness(patients[0].image, patients[0].mask, QUICK, 4, seed=2)
    assert tables["P-0"].patient_ids == alone.patient_ids
    assert tables["P-0"].values.tobytes() == alone.values.tobytes()
    assert robustness_many(patients, QUICK, engine, 4, seed=2)[0]["P-2"].values.tobytes() == tables["P-2"].values.tobytes()


@pytest.mark.slow
def test_twenty_perturbations_cost_less_than_twenty_extractions(tmp_path):
    spacing = (1.0, 1.0, 1.0)
    tumour = ball(20.0, spacing, 40.0)
    geometry = Geometry(tumour.shape[::-1], spacing)
    files = tmp_path / "image.nii.gz", tmp_path / "mask.nii.gz"
    write_volume(Volume((np.random.default_rng(0).normal(size=tumour.shape) * 120 + 800).astype(np.float32), geometry), files[0])
    write_mask(Mask(tumour.astype(np.uint8), geometry), files[1])
    extract_radiomics(*files)
    robustness(*files, perturbations=1)
    singles, twenty = [], []
    for _ in range(3):
        start = time.process_time()
        for _ in range(5):
            extract_radiomics(*files)
        singles.append((time.process_time() - start) / 5)
        start = time.process_time()
        robustness(*files, perturbations=20)
        twenty.append(time.process_time() - start)
    assert min(twenty) < 20 * min(singles)


def test_command(tmp_path, capsys):
    import pandas as pd

    from sarcofuse.cli import main

    rows = []
    for i in range(3):
        volume, mask = case(i)
        write_volume(volume, tmp_path / f"P-{i}.nii.gz")
        write_mask(mask, tmp_path / f"P-{i}-mask.nii.gz")
        rows.append({"patient_id": f"P-{i}", "image": f"P-{i}.nii.gz", "mask": f"P-{i}-mask.nii.gz"})
    pd.DataFrame(rows).to_csv(tmp_path / "cohort.csv", index=False)
    (tmp_path / "settings.yaml").write_text("imageType: {Original: {}}\nfeatureClass: {firstorder: }\n", encoding="utf8")
    common = ["--settings", str(tmp_path / "settings.yaml"), "--perturb", "3", "--seed", "7", "--workers", "1"]
    with pytest.raises(SystemExit, match="0"):
        main(["radiomics", "--cohort", str(tmp_path / "cohort.csv"), "--out", str(tmp_path / "f.csv"), *common])
    assert "features with an ICC(2,1) surely above 0.75" in capsys.readouterr().out
    found = pd.read_csv(tmp_path / "f-perturbed.csv")
    assert found[["patient_id", "perturbation"]].to_numpy().tolist()[:4] == [["P-0", p] for p in ("unperturbed", "boundary-01", "volume-02", "boundary-03")]
    plain = pd.read_csv(tmp_path / "f.csv").set_index("patient_id")
    given = found[found["perturbation"] == "unperturbed"].set_index("patient_id")
    assert given["original_firstorder_Mean"].tolist() == plain["original_firstorder_Mean"].tolist()
    judged = pd.read_csv(tmp_path / "f-stability.csv").set_index("feature")
    assert judged.loc["original_firstorder_Mean", "icc21"] > 0.9
    with pytest.raises(SystemExit, match="0"):
        main(["radiomics", str(tmp_path / "P-0.nii.gz"), str(tmp_path / "P-0-mask.nii.gz"), "--out", str(tmp_path / "one.json"), *common])
    assert len(pd.read_json(tmp_path / "one-perturbed.json")) == 4
    assert not (tmp_path / "one-stability.json").exists()
