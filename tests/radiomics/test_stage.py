"""The stage over a cohort: parallel, resumable, one bad case set aside, and the same numbers as one case alone."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace

import numpy as np
import pytest

from sarcofuse.config import RadiomicsConfig
from sarcofuse.imaging import content_digest, write_mask, write_volume
from sarcofuse.radiomics import compute_features, extract, extract_radiomics, feature_names, stage
from sarcofuse.records import Case, Geometry, Mask, Volume
from sarcofuse.runtime import Engine

CONFIG = RadiomicsConfig(log_sigma=(1.0,), binWidth=20)


def make_case(folder, name, *, mask="ball", label=1):
    rng = np.random.default_rng(int(hashlib.sha256(name.encode()).hexdigest()[:8], 16))
    geometry = Geometry((16, 15, 8), (1.0, 1.0, 2.5))
    volume = Volume((rng.normal(size=(8, 15, 16)) * 60).astype(np.float32), geometry)
    z, y, x = np.indices((8, 15, 16))
    inside = ((z - 4) / 3) ** 2 + ((y - 7) / 5) ** 2 + ((x - 8) / 6) ** 2 < 1
    region = Mask((inside * label).astype(np.uint8) if mask == "ball" else np.zeros((8, 15, 16), np.uint8), geometry)
    image_file, mask_file = folder / f"{name}.nii.gz", folder / f"{name}-mask.nii.gz"
    write_volume(volume, image_file)
    write_mask(region, mask_file)
    return Case(name, "train", "A", image_file, None if mask is None else mask_file, image_file, content_digest(volume), content_digest(region), "given")


@pytest.fixture
def cases(tmp_path):
    (tmp_path / "images").mkdir()
    return [make_case(tmp_path / "images", name, mask=mask) for name, mask in (("P-3", "ball"), ("P-1", "ball"), ("P-4", "empty"), ("P-2", "ball"), ("P-5", None))]


def serial(tmp_path, name="cache"):
    return Engine(tmp_path / name, scheduler="serial", progress=False)


def test_table_and_set_aside(cases, tmp_path):
    table, set_aside = extract(cases, CONFIG, serial(tmp_path))
    assert table.block == "radiomic"
    assert table.patient_ids == ("P-3", "P-1", "P-2")
    assert table.names == feature_names(CONFIG)
    assert np.isfinite(table.values).all()
    reasons = {s.patient_id: s.reason for s in set_aside}
    assert set(reasons) == {"P-4", "P-5"}
    assert reasons["P-4"].startswith("P-4-mask.nii.gz: mask has no voxel of label 1; it is empty")
    assert reasons["P-5"].startswith("has no mask")


def test_rows_are_those_of_one_case_alone(cases, tmp_path):
    table, _ = extract(cases, CONFIG, serial(tmp_path))
    for name in table.patient_ids:
        case = next(c for c in cases if c.patient_id == name)
        alone = extract_radiomics(case.image, case.mask, CONFIG, name=name)
        assert alone.patient_ids == (name,)
        assert alone.names == table.names
        assert np.array_equal(alone.values, table.rows([name]))


@pytest.mark.slow
def test_processes_and_order_give_the_same_bytes(cases, tmp_path):
    table, _ = extract(cases, CONFIG, serial(tmp_path))
    with Engine(tmp_path / "parallel", workers=2, progress=False) as engine:
        turned, set_aside = extract(cases[::-1], CONFIG, engine)
    assert len(set_aside) == 2
    assert turned.patient_ids == table.patient_ids[::-1]
    assert turned.values[::-1].tobytes() == table.values.tobytes()


def test_goes_on_where_it_was_and_follows_settings_and_content(cases, tmp_path, monkeypatch):
    done = []
    original = stage.measure
    monkeypatch.setattr(stage, "measure", lambda *args: done.append(args[3]) or original(*args))
    table, _ = extract(cases[:2], CONFIG, serial(tmp_path))
    assert done == ["P-3", "P-1"]
    again, _ = extract(cases, CONFIG, serial(tmp_path))
    assert done == ["P-3", "P-1", "P-4", "P-2"]
    assert np.array_equal(again.values[:2], table.values)
    extract(cases[:1], CONFIG.model_copy(update={"binWidth": 30.0}), serial(tmp_path))
    assert done[4:] == ["P-3"]
    extract([make_case(tmp_path, "P-9")], CONFIG, serial(tmp_path))
    assert done[5:] == ["P-9"]


def test_a_run_folder_can_be_moved(cases, tmp_path, monkeypatch):
    extract(cases, CONFIG, serial(tmp_path))
    shutil.move(tmp_path / "images", tmp_path / "elsewhere")
    shutil.move(tmp_path / "cache", tmp_path / "moved")
    there = tmp_path / "elsewhere"
    moved = [replace(c, image=there / c.image.name, mask=there / c.mask.name) for c in cases[:2]]
    monkeypatch.setattr(stage, "measure", lambda *args: pytest.fail("measured again"))
    table, _ = extract(moved, CONFIG, serial(tmp_path, "moved"))
    assert table.patient_ids == ("P-3", "P-1")


def test_no_cases_give_an_empty_table(tmp_path):
    table, set_aside = extract([], CONFIG, serial(tmp_path))
    assert table.values.shape == (0, len(feature_names(CONFIG)))
    assert set_aside == []


def test_prepared_masks_hold_one_whatever_label_the_study_names(cases, tmp_path):
    table, _ = extract(cases[:1], CONFIG.model_copy(update={"label": 4}), serial(tmp_path))
    assert np.array_equal(table.values, extract(cases[:1], CONFIG, serial(tmp_path, "other"))[0].values)


def test_files_of_integers_are_computed_in_double_precision(tmp_path):
    """As PyRadiomics does: wavelets of an int16 file are those of float64 values, not of float32."""
    import SimpleITK as sitk

    rng = np.random.default_rng(5)
    image, mask = rng.integers(-3000, 3000, (10, 12, 12)).astype(np.int16), np.ones((10, 12, 12), np.uint8)
    for array, name in ((image, "image"), (mask, "mask")):
        sitk.WriteImage(sitk.GetImageFromArray(array), str(tmp_path / f"{name}.nrrd"))
    settings = {"imageType": {"Wavelet": {}}, "featureClass": {"firstorder": ["Mean", "Energy", "Skewness"]}}
    found = extract_radiomics(tmp_path / "image.nrrd", tmp_path / "mask.nrrd", settings)
    double = compute_features(image.astype(np.float64), mask, (1, 1, 1), settings)
    single = compute_features(image.astype(np.float32), mask, (1, 1, 1), settings)
    assert dict(zip(found.names, found.values[0], strict=True)) == double
    assert double != single
