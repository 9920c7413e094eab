"""The cohort on disk: the same bytes whoever does the work, files as promised, truth kept apart."""

from __future__ import annotations

import json
import os
import shutil

import numpy as np
import pandas as pd
import pytest

from sarcofuse.errors import ConfigError, StageError
from sarcofuse.imaging import check_geometry, read_mask, read_volume
from sarcofuse.phantom import SOURCES, bayes_auc, cohort, draw_patient, make_cohort
from sarcofuse.runtime import Engine, digest_file


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    room = tmp_path_factory.mktemp("phantom")
    return make_cohort(room / "one", 24, 11, Engine(room / "cache", "serial"))


def digests(folder):
    return {f.relative_to(folder).as_posix(): digest_file(f) for f in sorted(folder.rglob("*")) if f.is_file() and "cache" not in f.relative_to(folder).parts}


@pytest.mark.slow
def test_same_bytes_by_two_processes(made, tmp_path):
    with Engine(tmp_path / "cache", "processes", workers=2) as engine:
        other = make_cohort(tmp_path / "two", 24, 11, engine)
    assert digests(other.folder) == digests(made.folder)


def test_another_seed_gives_other_images(made, tmp_path):
    image, _, _ = draw_patient(cohort.plan_cohort(24, 12)[0])
    assert not np.array_equal(image.array, read_volume(made.folder / "images" / "P001.nii.gz").array)


def test_a_patient_in_memory_is_the_patient_on_disk(made):
    plan = made.plans[-1]
    image, mask, latents = draw_patient(plan)
    on_disk, mask_on_disk = read_volume(made.folder / f"images/{plan.patient_id}.nii.gz"), read_mask(made.folder / f"masks/{plan.patient_id}.nii.gz")
    np.testing.assert_array_equal(image.array, on_disk.array)
    np.testing.assert_array_equal(mask.array, mask_on_disk.array)
    assert latents == plan.latents
    assert not image.geometry.differences(on_disk.geometry)


def test_table(made):
    table = pd.read_csv(made.table)
    assert list(table.columns) == ["patient_id", "image", "mask", "site", "split", "recurrence", "age", "grade"]
    assert list(table.split.value_counts()[["train", "internal", "external"]]) == [16, 4, 4]
    assert set(table.site[table.split == "external"]) == {"B"}
    assert set(table.site[table.split != "external"]) == {"A"}
    assert table.grade.isin([1, 2, 3]).all()
    assert table.age.between(18, 90).all()
    for row in table.itertuples():
        image, mask = read_volume(made.folder / row.image), read_mask(made.folder / row.mask)
        check_geometry(image, mask, row.patient_id)
        assert np.count_nonzero(mask.array.any(axis=(1, 2))) >= 3


def test_hospitals_differ_in_spacing_and_scale(made):
    by_site = {"A": [], "B": []}
    for plan in made.plans:
        image, mask = read_volume(made.folder / f"images/{plan.patient_id}.nii.gz"), read_mask(made.folder / f"masks/{plan.patient_id}.nii.gz")
        by_site[plan.site].append((image.geometry.spacing[2], image.array[mask.array > 0].mean()))
    a, b = (np.mean(by_site[s], axis=0) for s in "AB")
    assert (a[0], b[0]) == (5.0, 6.0)
    assert a[1] > 1.3 * b[1]


def test_truth_is_kept_apart(made):
    truth = json.loads((made.folder / "truth.json").read_text())
    assert truth["bayes"] == pytest.approx({k: bayes_auc(v) for k, v in SOURCES.items()})
    assert truth["bayes"] == pytest.approx(made.bayes)
    hidden = pd.read_csv(made.folder / "truth.csv", index_col="patient_id")
    assert [hidden.texture[p.patient_id] for p in made.plans] == [p.latents.texture for p in made.plans]
    assert not set(hidden.columns) & set(pd.read_csv(made.table).columns)


def test_masks_of_training_patients_only(made, tmp_path):
    shutil.copytree(made.folder, tmp_path / "train")
    made_again = make_cohort(tmp_path / "train", 24, 11, Engine(made.folder.parent / "cache", "serial"), masks="train")
    table = pd.read_csv(made_again.table)
    assert set(table.split[table["mask"].notna()]) == {"train"}
    assert table["mask"].notna().sum() == 16
    assert len(list((tmp_path / "train" / "masks").iterdir())) == 16


def test_made_again_touches_nothing_and_mends_what_was_changed(made, tmp_path):
    shutil.copytree(made.folder, tmp_path / "copy")
    images = tmp_path / "copy" / "images"
    (images / "P002.nii.gz").write_bytes(b"altered")
    os.utime(images / "P001.nii.gz", (1, 1))
    again = make_cohort(tmp_path / "copy", 24, 11, Engine(made.folder.parent / "cache", "serial"))
    assert (images / "P001.nii.gz").stat().st_mtime == 1
    assert digests(again.folder) == digests(made.folder)


def test_number_of_patients_is_checked_before_anything_is_written(tmp_path):
    with pytest.raises(ConfigError, match="24 to 803 patients, found 804"):
        make_cohort(tmp_path / "none", 804)
    assert not (tmp_path / "none").exists()


def test_a_patient_that_cannot_be_drawn_is_an_error(tmp_path, monkeypatch):
    def fail(folder, plan):
        raise ValueError("no room")

    monkeypatch.setattr(cohort, "_draw", fail)
    with pytest.raises(StageError, match=r"24 of 24 patients could not be drawn, first P001: .*no room"):
        make_cohort(tmp_path, 24, 0, Engine(tmp_path / "cache", "serial"))
