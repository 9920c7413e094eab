"""Slices become one row, batches do not matter, want of memory is told, and odd input is refused or survived."""

from __future__ import annotations

import csv
import dataclasses
import json
import tempfile
import threading
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from sarcofuse.config import DeepConfig
from sarcofuse.deep import extract, extract_deep, extract_for_study, extract_many, pictures, write_contact
from sarcofuse.deep.boxes import make_box
from sarcofuse.deep.contact import pack_png
from sarcofuse.deep.crops import make_crops
from sarcofuse.deep.look import join_slices
from sarcofuse.errors import CaseError, ConfigError, ImageError, MaskError
from sarcofuse.imaging import write_mask, write_volume
from sarcofuse.records import Geometry, Mask, Patient, Volume
from sarcofuse.runtime import Engine
from tests.deep.conftest import ball

LAST = {"layer": "last", "pooling": "average"}
SMALL = {"shape": (8, 32, 32), "centre": (4, 16, 16)}


class Toy:
    """Two maps that depend on each pixel: the picture and its square, at half the size; memory for `room` pictures."""

    TORCH = "[enforce fail at alloc_cpu.cpp:117] . DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes"
    ONEDNN = "could not create a primitive"  # torch 2.13 with `ulimit -v`

    def __init__(self, room=1000, fill=None, words=TORCH):
        self.room, self.fill, self.words, self.asked = room, fill, words, []

    def maps(self, x, layer="last"):
        self.asked.append(len(x))
        if len(x) > self.room:
            raise RuntimeError(self.words)
        y = torch.nn.functional.avg_pool2d(x[:, :1], 2)
        return [torch.cat([y, y**2], 1) * (1.0 if self.fill is None else self.fill)]


@pytest.fixture
def toy(monkeypatch):
    def put(**settings):
        network = Toy(**settings)
        monkeypatch.setattr("sarcofuse.deep.look.load", lambda *_: network)
        return network

    return put


def test_slices_are_joined_by_mean_maximum_or_area():
    rows = [np.array([1.0, 4.0]), np.array([3.0, 0.0]), np.array([2.0, 2.0])]
    assert join_slices(rows, [1.0, 1.0, 2.0], "mean").tolist() == [2.0, 2.0]
    assert join_slices(rows, [1.0, 1.0, 2.0], "max").tolist() == [3.0, 4.0]
    assert join_slices(rows, [100.0, 300.0, 0.0], "attention").tolist() == [2.5, 1.0]
    assert join_slices(rows, [0.0, 0.0, 0.0], "attention").tolist() == [2.0, 2.0]


@pytest.mark.parametrize("how", ["mean", "max", "attention"])
def test_all_slices_are_pooled_with_their_areas_in_mm(toy, how):
    toy()
    volume, mask = ball(**SMALL)
    found = extract_deep(volume, mask, settings={"crop": "all", "slice_pooling": how, **LAST}).values[0]
    crops = make_crops(volume, mask, DeepConfig(crop="all"), 224)
    shown = (crops.pictures.astype(np.float64) - 127.0) / 128.0
    maps = shown.reshape(len(shown), 112, 2, 112, 2).mean(axis=(2, 4))
    rows = np.stack([maps.mean(axis=(1, 2)), (maps**2).mean(axis=(1, 2))], axis=1)
    areas = np.count_nonzero(mask.array, axis=(1, 2))[mask.array.any(axis=(1, 2))] * 4.0
    assert [float(t.sum()) * p**2 for t, p in zip(crops.tumour, crops.pixel_mm, strict=True)] == pytest.approx(areas.tolist(), rel=0.02)
    expected = {"mean": rows.mean(axis=0), "max": rows.max(axis=0), "attention": (rows * (areas / areas.sum())[:, None]).sum(axis=0)}[how]
    assert found == pytest.approx(expected, rel=2e-3)
    assert len({tuple(np.round(v, 6)) for v in (rows.mean(axis=0), rows.max(axis=0))}) == 2


@pytest.mark.parametrize("pooling", ["regions", "max"])
def test_features_are_the_same_for_any_batch(pooling):
    """With the real network: within 1e-6 of the largest feature for other batches, to the last bit for the same."""
    volume, mask = ball()
    one, three, again, all_of_them = (extract_deep(volume, mask, settings={"crop": "planes", "slices": 2, "pooling": pooling, "batch": n}).values[0] for n in (1, 4, 4, 64))
    scale = float(np.abs(one).max())
    assert np.abs(three - one).max() <= 1e-6 * scale
    assert np.abs(all_of_them - one).max() <= 1e-6 * scale
    assert three.tobytes() == again.tobytes()


@pytest.mark.parametrize("words", [Toy.TORCH, Toy.ONEDNN])
def test_too_little_memory_makes_smaller_batches_and_says_so(words, toy, make_case, tmp_path):
    network = toy(room=2, words=words)
    cases = [make_case("A")]
    config = DeepConfig(crop="all", batch=8, **LAST)
    slices = int(np.count_nonzero(ball()[1].array.any(axis=(1, 2))))
    assert slices == 7
    with pytest.warns(RuntimeWarning, match=r"memory did not suffice for deep\.batch 8 in 1 of 1 patients; down to 1 pictures"):
        table, aside = extract(cases, config, Engine(tmp_path / "cache", scheduler="serial", progress=False))
    assert network.asked == [7, 3, 1, 1, 1, 1, 1, 1, 1]
    toy()
    roomy, _ = extract(cases, config, Engine(tmp_path / "other", scheduler="serial", progress=False))
    assert aside == []
    assert table.values == pytest.approx(roomy.values, rel=1e-6)


def test_too_little_memory_for_one_picture_sets_the_case_aside(toy, make_case, tmp_path):
    toy(room=0)
    table, aside = extract([make_case("A")], DeepConfig(crop="largest", **LAST), Engine(tmp_path / "cache", scheduler="serial", progress=False))
    assert table.patient_ids == ()
    assert aside[0].reason == "memory does not suffice for one picture of 224 x 224 pixels; run with fewer --workers, or with deep.device: cpu, or take a smaller backbone"
    toy(room=0, words=Toy.ONEDNN)
    with pytest.raises(CaseError, match=r"patient case: memory does not suffice for one picture .* smaller backbone \(could not create a primitive\)"):
        extract_deep(*ball(), settings={"crop": "largest", **LAST})


def test_other_failures_of_the_network_are_not_taken_for_want_of_memory(toy, monkeypatch):
    network = toy()
    for words in ("sizes do not match", "could not create a primitive descriptor for a matmul primitive"):
        monkeypatch.setattr(network, "maps", lambda *_, w=words: (_ for _ in ()).throw(RuntimeError(w)))
        with pytest.raises(RuntimeError, match=words):
            extract_deep(*ball(), settings={"crop": "largest", **LAST})


def test_nan_activations_are_counted(toy):
    toy(fill=float("nan"))
    with pytest.raises(CaseError, match="patient case: 2 of 2 activations of efficientnet-lite0 are NaN or infinite"):
        extract_deep(*ball(), settings={"crop": "largest", **LAST})


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("crop", ["largest", "all", "planes"])
def test_a_tumour_smaller_than_a_pixel_has_features(toy, crop, masked):
    """A voxel of 0.5 mm in pictures of 224 mm: no pixel is half tumour, yet something is shown and pooled."""
    toy()
    geometry = Geometry((20, 20, 6), (0.5, 0.5, 3.0))
    array = np.random.default_rng(0).uniform(50, 100, geometry.shape).astype(np.float32)
    region = np.zeros(geometry.shape, dtype=np.uint8)
    region[3, 10, 10] = 1
    volume, mask = Volume(array, geometry), Mask(region, geometry)
    settings = DeepConfig(crop=crop, masked=masked, field_mm=224.0, slices=1, layer="last", pooling="regions")
    seen = make_crops(volume, mask, settings, 224)
    assert 0 < seen.tumour[0].max() < 0.5
    assert seen.pictures[0].max() > 0
    assert np.isfinite(extract_deep(volume, mask, settings=settings).values).all()


def test_a_tumour_smaller_than_a_voxel_has_a_box():
    geometry = Geometry((12, 12, 12), (0.5, 0.5, 0.5))
    array = np.random.default_rng(0).uniform(50, 100, geometry.shape).astype(np.float32)
    region = np.zeros(geometry.shape, dtype=np.uint8)
    region[6, 6, 6] = 1
    box = make_box(Volume(array, geometry), Mask(region, geometry), DeepConfig(margin_mm=0.0, masked=True), (1.5, 1.5, 1.5), (4, 4, 4))
    assert box.array.shape == box.tumour.shape == (4, 4, 4)
    assert 0 < box.tumour.max() < 0.5
    assert np.unique(box.array).size > 1
    assert box.picture().dtype == np.uint8


def test_a_box_is_pictured_from_five_deviations_below_to_five_above():
    volume, mask = ball()
    box = make_box(volume, mask, DeepConfig(), (4.0, 4.0, 5.0), (1, 1, 1))
    shown = box.picture()
    assert shown.astype(float) / 25.5 - 5.0 == pytest.approx(box.array, abs=0.02)


def test_an_empty_crop_is_refused():
    volume, mask = ball()
    with pytest.raises(MaskError, match="mask is empty; expected at least 1 voxel"):
        make_crops(volume, Mask(np.zeros_like(mask.array), mask.geometry), DeepConfig(), 224)
    with pytest.raises(MaskError, match="mask is empty; expected at least 1 voxel"):
        make_box(volume, Mask(np.zeros_like(mask.array), mask.geometry), DeepConfig(), (2.0, 2.0, 5.0), (1, 1, 1))


def test_a_crop_in_which_nothing_is_to_be_seen_is_refused(toy, segmenter):
    """A constant image, and a mask that lies in a part of the image without any contrast."""
    toy()
    volume, mask = ball()
    blank = volume.array.copy()
    blank[:, :16, :16] = 0.0
    aside = np.zeros_like(mask.array)
    aside[6:8, 4:8, 4:8] = 1
    beside = (Volume(blank, volume.geometry), Mask(aside, mask.geometry))
    for image, region in ((Volume(np.full_like(blank, 7.0), volume.geometry), mask), beside):
        with pytest.raises(ImageError, match="patient case: nothing is to be seen around the tumour: all pixels of its pictures have one intensity"):
            extract_deep(image, region, settings={"crop": "largest", "margin_mm": 2.0, **LAST})
    with pytest.raises(ImageError, match="nothing is to be seen"):
        extract_deep(Volume(np.full_like(blank, 7.0), volume.geometry), mask, "segresnet-encoder", LAST, encoder=segmenter)


def test_many_patients_straight_from_their_files(toy, tmp_path):
    network = toy()
    volume, mask = ball(**SMALL)
    write_volume(volume, tmp_path / "image.nii.gz")
    write_mask(mask, tmp_path / "mask.nii.gz")
    channels = sitk.GetImageFromArray(np.repeat(volume.array[..., None], 4, axis=3), isVector=True)
    sitk.WriteImage(channels, str(tmp_path / "four.nrrd"))
    series = sitk.JoinSeries([sitk.GetImageFromArray(volume.array)] * 4)
    sitk.WriteImage(series, str(tmp_path / "series.nii.gz"))

    def patient(name, image="image.nii.gz", drawn="mask.nii.gz"):
        return Patient(patient_id=name, split="train", site="A", image=tmp_path / image, mask=None if drawn is None else tmp_path / drawn)

    listed = [patient("good"), patient("four", "four.nrrd"), patient("series", "series.nii.gz"), patient("bare", drawn=None), patient("gone", "absent.nii.gz"), patient("last")]
    engine = Engine(tmp_path / "cache", scheduler="serial", progress=False)
    table, aside = extract_many(listed, "efficientnet-lite0", {"crop": "largest", **LAST}, engine)
    assert table.patient_ids == ("good", "last")
    assert table.values[0].tobytes() == table.values[1].tobytes() == extract_deep(tmp_path / "image.nii.gz", tmp_path / "mask.nii.gz", settings={"crop": "largest", **LAST}).values[0].tobytes()
    reasons = {a.patient_id: a.reason for a in aside}
    assert set(reasons) == {"four", "series", "bare", "gone"}
    assert "4 values a voxel" in reasons["four"]
    assert "4 dimensions" in reasons["series"]
    assert "absent.nii.gz" in reasons["gone"]
    with pytest.raises(ImageError, match="4 values a voxel"):
        extract_deep(tmp_path / "four.nrrd", tmp_path / "mask.nii.gz")
    asked = len(network.asked)
    again, _ = extract_many(listed, "efficientnet-lite0", {"crop": "largest", **LAST}, engine)
    assert again.values.tobytes() == table.values.tobytes()
    assert len(network.asked) == asked


def test_wrong_settings_are_named():
    with pytest.raises(ConfigError, match=r"deep\.crop: .*'largest'.*found 'middle'"):
        extract_deep(*ball(), settings={"crop": "middle"})
    with pytest.raises(ConfigError, match="not in the registry"):
        extract_deep(*ball(), "resnet5")


def test_a_study_drops_idle_features_and_keeps_what_the_network_saw(make_case, toy, tmp_path, monkeypatch):
    network = toy()
    own = network.maps
    monkeypatch.setattr(network, "maps", lambda x, layer: [torch.cat([m, 0 * m[:, :1], m[:, :1]], 1) for m in own(x, layer)])
    cases = [make_case("A"), make_case('B,"2"', seed=1)]
    engine, config = Engine(tmp_path / "cache", scheduler="serial", progress=False), DeepConfig(crop="neighbours", **LAST)
    table, aside, notes = extract_for_study(cases, config, engine, tmp_path / "deep")
    assert (table.names, aside) == (("efficientnet-lite0_0001", "efficientnet-lite0_0002"), [])
    assert notes == ["2 of 4 deep features were dropped: 1 dead, 1 copies of others (among training patients)"]
    kept = json.loads((tmp_path / "deep" / "idle.json").read_text(encoding="utf8"))
    assert kept["names"] == {"dead": ["efficientnet-lite0_0003"], "constant": [], "duplicated": {"efficientnet-lite0_0004": "efficientnet-lite0_0001"}}
    assert (kept["features"], kept["left"]) == (4, 2)
    sheet = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "deep" / "contact-01.png")))
    with (tmp_path / "deep" / "contact.csv").open(encoding="utf8", newline="") as stream:
        rows = {r["patient_id"]: r for r in csv.DictReader(stream)}
    for case, seed in zip(cases, (0, 1), strict=True):
        row = rows[case.patient_id]
        top, height, width = (int(row[k]) for k in ("row", "rows", "columns"))
        shown = make_crops(*ball(seed), config, 224).pictures
        assert np.array_equal(sheet[top : top + height, :width], np.concatenate(list(shown), axis=1))


def test_contact_sheets_hold_24_patients(make_case, toy, tmp_path):
    toy()
    found = pictures([make_case("A")], DeepConfig(crop="largest", **LAST), Engine(tmp_path / "cache", scheduler="serial", progress=False))
    sheets = write_contact({f"P{i}": found["A"] for i in range(25)}, tmp_path / "deep")
    assert [s.name for s in sheets] == ["contact-01.png", "contact-02.png"]
    assert sitk.GetArrayFromImage(sitk.ReadImage(str(sheets[0]))).shape == (24 * 224 + 23 * 4, 224)
    assert write_contact({}, tmp_path / "none") == []


def test_the_next_patient_is_made_ready_meanwhile_and_a_bad_one_is_told_when_asked_for(make_case, toy, tmp_path, monkeypatch):
    from sarcofuse.deep import ahead, stage

    toy()
    monkeypatch.setattr(stage, "available_cores", lambda: 8)
    started, threads = [], {}
    begin, ready = ahead.start, stage._make_ready
    monkeypatch.setattr(ahead, "start", lambda key, work, kept: (started.append(key[0].name), begin(key, work, kept)))
    monkeypatch.setattr(stage, "_make_ready", lambda patient, *rest: (threads.setdefault(patient, []).append(threading.current_thread() is threading.main_thread()), ready(patient, *rest))[1])
    cases = [make_case(f"P{i}", seed=i) for i in range(3)]
    broken = dataclasses.replace(cases[1], image=tmp_path / "gone.nii.gz", image_digest="gone")
    config = DeepConfig(crop="largest", **LAST)
    table, aside = extract([cases[0], cases[2], broken], config, Engine(tmp_path / "cache", scheduler="serial", progress=False))
    assert started == ["P2_image.nii.gz", "gone.nii.gz"]
    assert threads == {"P0": [True], "P2": [False], "P1": [False, True]}
    assert [a.patient_id for a in aside] == ["P1"]
    assert "gone.nii.gz" in aside[0].reason
    monkeypatch.setattr(stage, "available_cores", lambda: 1)
    again, _ = extract([cases[0], cases[2]], config, Engine(tmp_path / "other", scheduler="serial", progress=False))
    assert len(started) == 2
    assert threads["P2"] == [False, True]
    assert again.values.tobytes() == table.values.tobytes()


def test_what_is_made_ready_ahead_is_taken_once_and_little_is_kept():
    from sarcofuse.deep import ahead

    done = []

    def work(name):
        def do():
            done.append(name)
            return name

        return do

    for name in ("a", "b", "c", "c"):
        ahead.start(("test", name), work(name), kept=2)
    assert len(ahead._COMING) == 2
    assert [ahead.take(("test", name), work(f"{name} now")) for name in ("c", "b", "a")] == ["c", "b", "a now"]
    assert not ahead._COMING
    assert ahead.take(("test", "c"), work("c now")) == "c now"
    assert sorted(done) == ["a", "a now", "b", "c", "c now"]


def test_a_gpu_has_several_patients_made_ready_for_it_and_a_busy_processor_none(tmp_path, monkeypatch):
    from sarcofuse.deep import stage
    from sarcofuse.deep.look import Source
    from sarcofuse.runtime import Task

    def following(device, cores, **engine):
        monkeypatch.setattr(stage, "available_cores", lambda: cores)
        tasks = [Task(f"P{i}", f"key{i}", (f"P{i}", Path("image"), None if i == 3 else Path("mask"), DeepConfig(), Source(Path(), "", device))) for i in range(8)]
        with Engine(tmp_path / device, progress=False, **engine) as own:
            (own.cache / "deep" / "key1").mkdir(parents=True, exist_ok=True)
            return ["".join(p[0][1] for p in t.arguments[5]) for t in stage._with_next(tasks, own)]

    assert following("cpu", 16, scheduler="serial") == ["2", "", "", "4", "5", "6", "7", ""]  # 1 is done, 3 has no mask
    assert following("cpu", 16, workers=2) == ["", "", "4", "5", "6", "7", "", ""]
    assert following("cpu", 3, workers=2) == ["", "", "4", "5", "6", "7", "", ""]
    assert following("cpu", 2, workers=2) == following("cpu", 16) == [""] * 8
    assert following("cuda", 3, scheduler="serial") == ["2", "", "4", "45", "56", "67", "7", ""]
    assert following("cuda", 16, scheduler="serial") == ["245", "", "456", "4567", "567", "67", "7", ""]
    assert following("cuda", 16, workers=7) == [""] * 8
    assert following("cuda", 4, workers=4) == ["5", "", "6", "7", "", "", "", ""]


def test_a_picture_is_packed_as_png():
    rng = np.random.default_rng(0)
    for picture in (rng.integers(0, 256, (5, 9)).astype(np.uint8), np.zeros((224, 448), np.uint8), np.full((1, 1), 200, np.uint8)):
        with tempfile.TemporaryDirectory() as room:
            file = Path(room) / "seen.png"
            file.write_bytes(pack_png(picture))
            assert np.array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(file))), picture)
