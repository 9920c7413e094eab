"""The stage with a start, its plan told, and with what people really bring: flat images, endless ones, broken ones."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sarcofuse.config import SegmentConfig
from sarcofuse.imaging import read_mask, read_volume, write_mask, write_volume
from sarcofuse.records import Case, Geometry, Mask, Volume
from sarcofuse.runtime import Engine, read_json
from sarcofuse.segment import Segmenter, save_segmenter, segment, train
from sarcofuse.segment.plan import explain
from sarcofuse.segment.planning import make_plan
from tests.segment.conftest import QUICK, make_case
from tests.segment.test_parts import stats

TINY = QUICK.model_copy(update={"epochs": 1, "filters": 4})


def test_plan_and_time_are_told_before_training(cases: list[Case], tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    training = [c for c in cases if c.split == "train"][:4]
    with Engine(tmp_path / "cache", scheduler="serial") as engine:
        found = train(training, TINY, engine, 0)
        first = capfd.readouterr().err
        train(training, TINY, engine, 0)
        second = capfd.readouterr().err
    assert all(line in first for line in explain(found.plan))
    assert "Training 2 networks, 1 at a time: about" in first
    assert "Training" not in second  # nothing is left to train
    assert not [f for f in found.folder.rglob("*") if "time" in f.name]


def test_starting_from_another_studys_segmenter(segmenter: Segmenter, cases: list[Case], tmp_path: Path):
    save_segmenter(segmenter, tmp_path / "other bundle" / "segmenter")
    training, short = [c for c in cases if c.split == "train"][:4], QUICK.model_copy(update={"epochs": 1})
    config = short.model_copy(update={"start_from": tmp_path / "other bundle"})
    engine = Engine(tmp_path / "cache", scheduler="serial", progress=False)
    plain, started = train(training, short, engine, 0), train(training, config, engine, 0)
    losses = [read_json(f)["losses"][0] for f in (engine.cache / "segment-train").glob("*/history.json")]
    assert min(losses) < 0.5 * max(losses)  # begins where the other study ended
    card = read_json(started.folder / "segmenter.json")
    assert card["start"]["sha256"] == started.plan.start
    assert card["start"]["taken"].endswith("weights taken")
    assert "start" not in read_json(plain.folder / "segmenter.json")
    assert any("honest only if these weights never learnt from patients of this study" in note for note in started.notes)
    assert plain.notes == ()
    shutil.move(tmp_path / "other bundle", tmp_path / "moved")
    again = train(training, config.model_copy(update={"start_from": tmp_path / "moved" / "segmenter"}), engine, 0)
    assert again.folder == started.folder  # known by content, not by place
    assert not [f for f in engine.cache.rglob("*.json") if str(tmp_path / "other").encode() in f.read_bytes()]


@pytest.mark.parametrize("slices", [1, 2])
def test_flat_images_are_learnt_in_the_plane(tmp_path: Path, slices: int):
    flat = [make_case(tmp_path / "prepared", i, shape=(slices, 40, 32)) for i in range(5)]
    engine = Engine(tmp_path / "cache", scheduler="serial", progress=False)
    found = train(flat[:4], QUICK.model_copy(update={"spacing": None, "epochs": 2, "filters": 4}), engine, 0)
    assert found.plan.factor[0] == 1
    assert "kernels stay in the plane" in found.plan.reasons["network"]
    masked, _, aside = segment(found, [replace(flat[4], split="external")], QUICK, engine, out_of_fold=False)
    assert len(masked) + len(aside) == 1
    assert not masked or read_mask(masked[0].mask).array.shape == (slices, 40, 32)


def test_one_endless_image_does_not_decide_for_all(tmp_path: Path):
    some = [make_case(tmp_path / "prepared", i) for i in range(11)]
    endless = make_case(tmp_path / "prepared", 11, shape=(2000, 8, 8))
    engine = Engine(tmp_path / "cache", scheduler="serial", progress=False)
    found = train([*some, endless], TINY, engine, 0)
    assert found.plan.shape[0] * found.plan.spacing[2] < 200  # the others have 50 mm, this one 10,000
    assert "single ones are larger" in found.plan.reasons["shape"]
    assert endless.patient_id in found.folds


def test_where_all_images_are_endless_patches_are_cut():
    plan = make_plan(stats(spacing=(1.0, 1.0, 1.0), extent=(400.0, 400.0, 2000.0), share=0.0005), SegmentConfig(), "cpu", 0)
    assert "still spans 7 voxels" in plan.reasons["spacing"]  # a ball of 160 ml is 67 mm across: 67 / 7 = 9.6
    assert plan.spacing[0] == pytest.approx(9.6, abs=0.2)
    assert np.prod(plan.shape) < 3 * 120_000
    assert "patches" in plan.reasons["shape"]


def test_unusable_masks_and_images_are_set_aside_with_reasons(tmp_path: Path):
    good = [make_case(tmp_path / "prepared", i) for i in range(4)]
    empty = make_case(tmp_path / "prepared", 20, tumour=False)
    shifted = make_case(tmp_path / "prepared", 21)
    mask = read_mask(shifted.mask)
    write_mask(Mask(mask.array, replace(mask.geometry, origin=(500.0, 0.0, 0.0))), shifted.mask)
    smaller = make_case(tmp_path / "prepared", 22)
    write_mask(Mask(np.ones((5, 20, 16), dtype=np.uint8), Geometry((16, 20, 5), (2.0, 2.0, 5.0))), smaller.mask)
    broken = make_case(tmp_path / "prepared", 23)
    image = read_volume(broken.image)
    array = image.array.copy()
    array[0, 0, 0] = np.nan
    write_volume(Volume(array, image.geometry), broken.image)
    engine = Engine(tmp_path / "cache", scheduler="serial", progress=False)
    found = train([*good, empty, shifted, smaller, broken], TINY, engine, 0)
    reasons = {s.patient_id: s.reason for s in found.set_aside}
    assert set(reasons) == {"PERSON-20", "PERSON-21", "PERSON-22", "PERSON-23"}
    assert "0 voxels" in reasons["PERSON-20"]
    assert "finite" in reasons["PERSON-23"]
    assert all("grid" in reasons[p] or "origin" in reasons[p] or "size" in reasons[p] for p in ("PERSON-21", "PERSON-22"))
    assert len([n for n in found.notes if "no network learnt from patient" in n]) == 4
