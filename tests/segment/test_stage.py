"""The stage as a whole: train, segment, save, load, and every way it can go wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from sarcofuse.config import RefineConfig
from sarcofuse.errors import BundleError, MaskError, StageError
from sarcofuse.imaging import content_digest, read_mask, read_volume, reorient, to_sitk, write_mask, write_volume
from sarcofuse.metrics.overlap import assd_mm, dice, hd95_mm, surface_dice
from sarcofuse.records import Case, Geometry, Mask, Volume
from sarcofuse.runtime import Engine, digest_file, read_json
from sarcofuse.segment import Segmenter, load_segmenter, restore_mask, save_segmenter, segment, train
from tests.segment.conftest import QUICK, make_case

TINY = QUICK.model_copy(update={"epochs": 1, "filters": 4})


def files(folder: Path) -> dict[str, str]:
    return {f.relative_to(folder).as_posix(): digest_file(f) for f in folder.rglob("*") if f.is_file()}


def test_ensemble_finds_the_tumours(segmenter: Segmenter, cases: list[Case], engine: Engine):
    tests = [c for c in cases if c.split != "train"]
    masked, quality, aside = segment(segmenter, tests, QUICK, engine, out_of_fold=False)
    assert aside == []
    assert [c.patient_id for c in masked] == [c.patient_id for c in tests]
    for case, found, before in zip(masked, quality, tests, strict=True):
        mask, truth = read_mask(case.mask), read_mask(before.mask)
        assert mask.geometry == read_volume(case.image).geometry
        assert case.mask_source == found.source == "ensemble"
        assert case.mask_digest == content_digest(mask)
        assert found.dice == pytest.approx(dice(mask.array, truth.array))
        assert found.dice > 0.7
        assert found.surface_mm == pytest.approx(hd95_mm(mask.array, truth.array, (2.0, 2.0, 5.0)))
        assert found.volume_error == pytest.approx(mask.volume_ml / truth.volume_ml - 1)
        assert found.truth_ml == pytest.approx(truth.volume_ml)
        assert found.surface_dice == pytest.approx(surface_dice(mask.array, truth.array, (2.0, 2.0, 5.0)))
        assert found.assd_mm == pytest.approx(assd_mm(mask.array, truth.array, (2.0, 2.0, 5.0)))
        assert (found.lesions, found.lesions_found, found.lesions_false) == (1, 1, 0)
        assert list(found.steps) == ["network", "flips", "gaps", "component", "islands", "holes"]
        assert found.steps["holes"] == found.dice
        assert 0.5 < found.agreement <= 1
        assert 0.5 <= found.confidence <= 1
    assert np.mean([found.dice for found in quality]) > 0.8


def test_no_network_saw_its_out_of_fold_patient(segmenter: Segmenter, cases: list[Case], engine: Engine):
    records = [read_json(f) for f in (engine.cache / "segment-train").glob("*/patients.json")]
    records = [r for r in records if set(r["training"]) | set(r["held_out"]) == set(segmenter.folds)]
    assert {r["fold"] for r in records} == {0, 1}
    for record in records:
        assert not set(record["training"]) & set(record["held_out"])
        assert {p for p, fold in segmenter.folds.items() if fold == record["fold"]} == set(record["held_out"])
    training = [c for c in cases if c.split == "train"]
    masked, quality, aside = segment(segmenter, training, QUICK, engine, out_of_fold=True)
    assert aside == []
    assert len(masked) == 10
    assert {q.source for q in quality} == {"out-of-fold"}
    assert all(q.agreement is None for q in quality)
    assert np.mean([q.dice for q in quality]) > 0.7
    # the mask of a patient is that of the one network that held the patient out
    case = training[0]
    only = replace(segmenter, folds={case.patient_id: 1 - segmenter.folds[case.patient_id]})
    other, _, _ = segment(only, [case], QUICK, engine, out_of_fold=True)
    assert other[0].mask_digest != masked[0].mask_digest


def test_out_of_fold_needs_a_fold(segmenter: Segmenter, cases: list[Case], engine: Engine):
    with pytest.raises(StageError, match=r"patient PERSON-11 \(external\), but no network held that patient out"):
        segment(segmenter, [cases[11]], QUICK, engine, out_of_fold=True)


def test_case_without_a_mask(segmenter: Segmenter, cases: list[Case], engine: Engine):
    bare = replace(cases[-1], mask=None, mask_digest=None, mask_source=None)
    masked, quality, _ = segment(segmenter, [bare], QUICK, engine, out_of_fold=False)
    with_truth, _, _ = segment(segmenter, [cases[-1]], QUICK, engine, out_of_fold=False)
    assert masked[0].mask_digest == with_truth[0].mask_digest  # the truth is for measuring only
    assert quality[0].dice is None
    assert quality[0].surface_mm is None
    assert dict(quality[0].steps) == {}


def test_results_do_not_depend_on_order_workers_or_test_patients(cases: list[Case], tmp_path: Path, case_maker: Callable[..., Case]):
    training = [c for c in cases if c.split == "train"][:4]
    with Engine(tmp_path / "a", scheduler="serial") as one:
        first = train([*training, cases[-1]], TINY, one, 3)
    with Engine(tmp_path / "b", scheduler="processes", workers=2) as two:
        second = train([*reversed(training), case_maker(40, "external")], TINY, two, 3)
    assert files(first.folder) == files(second.folder)
    assert first.folds == second.folds


def test_killed_training_goes_on_to_the_same_bytes(cases: list[Case], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from sarcofuse.segment import training as module

    config, training = TINY.model_copy(update={"epochs": 3}), [c for c in cases if c.split == "train"][:4]
    straight = train(training, config, Engine(tmp_path / "straight", scheduler="serial"), 0)
    original, steps = module.report_step, []

    def stop(folder: Path, done: int) -> None:
        original(folder, done)
        steps.append(done)
        if len(steps) == 5:
            raise KeyboardInterrupt("pulled the plug")

    broken = Engine(tmp_path / "broken", scheduler="serial")
    with monkeypatch.context() as patch:
        patch.setattr(module, "report_step", stop)
        with pytest.raises(KeyboardInterrupt, match="pulled the plug"):
            train(training, config, broken, 0)
    assert len(list((broken.cache / "segment-train").glob("*.part/checkpoint.pt"))) == 1
    again = train(training, config, broken, 0)
    assert files(again.folder) == files(straight.folder)
    assert again.folder.name == straight.folder.name


def test_nothing_names_a_patient_in_the_saved_model(segmenter: Segmenter, tmp_path: Path):
    save_segmenter(segmenter, tmp_path / "saved")
    names = sorted(f.name for f in (tmp_path / "saved").iterdir())
    assert names == ["fold_0.safetensors", "fold_1.safetensors", "plan.json", "segmenter.json"]
    for file in (tmp_path / "saved").iterdir():
        content = file.read_bytes()
        assert not any(p.encode() in content for p in segmenter.folds)
        assert str(segmenter.folder.parent).encode() not in content


def test_loaded_model_gives_the_same_mask(segmenter: Segmenter, cases: list[Case], engine: Engine, tmp_path: Path):
    save_segmenter(segmenter, tmp_path / "saved")
    loaded = load_segmenter(tmp_path / "saved")
    assert loaded.folds == {}
    assert loaded.content == segmenter.content
    before, _, _ = segment(segmenter, [cases[-1]], QUICK, engine, out_of_fold=False)
    after, _, _ = segment(loaded, [cases[-1]], QUICK, Engine(tmp_path / "cache", scheduler="serial"), out_of_fold=False)
    assert after[0].mask.read_bytes() == before[0].mask.read_bytes()


def test_damaged_models_are_refused(segmenter: Segmenter, tmp_path: Path):
    folder = tmp_path / "saved"
    with pytest.raises(BundleError, match=r"segmenter.json cannot be read"):
        load_segmenter(folder)
    save_segmenter(segmenter, folder)
    card = read_json(folder / "segmenter.json")
    (folder / "segmenter.json").write_text(json.dumps({**card, "format": 7}))
    with pytest.raises(BundleError, match=r"format 7 in segmenter.json is not known"):
        load_segmenter(folder)
    (folder / "segmenter.json").write_text(json.dumps(card))
    content = bytearray((folder / "fold_1.safetensors").read_bytes())
    content[-1] ^= 1
    (folder / "fold_1.safetensors").write_bytes(bytes(content))
    with pytest.raises(BundleError, match=r"fold_1.safetensors was altered"):
        load_segmenter(folder)
    (folder / "fold_1.safetensors").unlink()
    with pytest.raises(BundleError, match=r"fold_1.safetensors is absent"):
        load_segmenter(folder)


def test_too_few_masks(cases: list[Case], engine: Engine):
    some = [cases[0], *(replace(c, mask=None, mask_digest=None) for c in cases[1:5])]
    with pytest.raises(StageError, match=r"1 training patients have a usable mask, but segment.folds is 2"):
        train(some, TINY, engine, 0)


def test_patients_without_a_usable_mask_get_a_fold(cases: list[Case], tmp_path: Path):
    training = [c for c in cases if c.split == "train"][:5]
    without = replace(training[4], mask=None, mask_digest=None)
    empty = make_case(tmp_path / "empty", 30, tumour=False)
    with Engine(tmp_path / "cache", scheduler="serial") as engine:
        found = train([*training[:4], without, empty], TINY, engine, 0)
    assert set(found.folds) == {"PERSON-00", "PERSON-01", "PERSON-02", "PERSON-03", "PERSON-04", "PERSON-30"}
    assert [s.patient_id for s in found.set_aside] == ["PERSON-30"]
    assert "empty: 0 voxels" in found.set_aside[0].reason


def test_no_tumour_found_is_set_aside(segmenter: Segmenter, cases: list[Case], engine: Engine, monkeypatch: pytest.MonkeyPatch):
    with monkeypatch.context() as patched:  # networks that are sure of nothing
        patched.setattr("sarcofuse.segment.auto3dseg.ensemble_probabilities", lambda model, weights, scores, image, **how: np.full((len(weights), 2, *image.array.shape[-3:]), 0.3, np.float32))
        doubtful = QUICK.model_copy(update={"refine": RefineConfig(threshold=0.45)})
        masked, quality, aside = segment(segmenter, cases[-2:], doubtful, engine, out_of_fold=False)
    assert masked == quality == []
    assert "no tumour found: the highest tumour probability is 0.30, below segment.refine.threshold 0.45" in aside[0].reason
    large = QUICK.model_copy(update={"refine": RefineConfig(minimum_ml=500)})
    _, _, aside = segment(segmenter, cases[-1:], large, engine, out_of_fold=False)
    assert "below segment.refine.minimum_ml 500" in aside[0].reason


def test_single_slice_image(segmenter: Segmenter, engine: Engine, tmp_path: Path):
    flat = make_case(tmp_path, 50, "external", (1, 40, 32))
    masked, _, aside = segment(segmenter, [flat], QUICK, engine, out_of_fold=False)
    assert len(masked) + len(aside) == 1
    assert not masked or read_mask(masked[0].mask).array.shape == (1, 40, 32)
    assert not aside or "no tumour" in aside[0].reason


def test_volume_larger_than_training_goes_window_by_window(segmenter: Segmenter, engine: Engine, tmp_path: Path):
    wide = make_case(tmp_path, 51, "external", (20, 120, 100))
    masked, quality, aside = segment(segmenter, [wide], QUICK, engine, out_of_fold=False)
    assert aside == []
    assert read_mask(masked[0].mask).array.shape == (20, 120, 100)
    assert quality[0].confidence > 0.5


@pytest.mark.parametrize("angle", [0.0, 0.35])
def test_mask_comes_back_to_the_native_grid_without_a_shift(tmp_path: Path, angle: float):
    c, s = float(np.cos(angle)), float(np.sin(angle))
    oblique = (c, -s, 0.0, s * c, c * c, -s, s * s, s * c, c)  # two turns, orthonormal
    grid = Geometry((70, 60, 24), (0.9, 0.9, 4.0), (-22.0, 35.0, 8.0), oblique)
    z, y, x = np.mgrid[:24, :60, :70]
    ball = (((z - 11) * 4.0) ** 2 + ((y - 27) * 0.9) ** 2 + ((x - 38) * 0.9) ** 2 < 18.0**2).astype(np.uint8)
    write_volume(Volume(ball * np.float32(100), grid), tmp_path / "native.nii.gz")
    turned = reorient(Mask(ball, grid))
    resampled = sitk.Resample(to_sitk(Volume(turned.array.astype(np.float32), turned.geometry)), _finer(turned.geometry), sitk.Transform(), sitk.sitkLinear)
    prepared = Mask((sitk.GetArrayFromImage(resampled) > 0.5).astype(np.uint8), _geometry(resampled))
    write_mask(prepared, tmp_path / "mask.nii.gz")
    back = restore_mask(tmp_path / "mask.nii.gz", tmp_path / "native.nii.gz")
    assert back.geometry.differences(grid, 1e-3) == []
    assert dice(back.array, ball) > 0.95
    shift = np.abs(np.argwhere(back.array).mean(0) - np.argwhere(ball).mean(0))
    assert shift[0] < 0.25  # thick slices: a sphere is cut differently at 4 and at 5 mm
    assert shift[1:].max() < 0.15  # corners for centres would give a third of a voxel


def _finer(grid: Geometry) -> sitk.Image:
    spacing = (1.5, 1.5, 5.0)
    size = [int(np.ceil(n * old / new)) for n, old, new in zip(grid.size, grid.spacing, spacing, strict=True)]
    image = sitk.Image(size, sitk.sitkUInt8)
    image.SetSpacing(spacing)
    image.SetDirection(grid.direction)
    axes = np.array(grid.direction).reshape(3, 3)
    image.SetOrigin(np.array(grid.origin) + axes @ ((np.array(spacing) - np.array(grid.spacing)) / 2))  # same corner
    return image


def _geometry(image: sitk.Image) -> Geometry:
    return Geometry(image.GetSize(), image.GetSpacing(), image.GetOrigin(), image.GetDirection())


def test_mask_of_another_place_is_refused(tmp_path: Path):
    grid = Geometry((8, 8, 4), (1.0, 1.0, 3.0))
    write_volume(Volume(np.ones(grid.shape, dtype=np.float32), grid), tmp_path / "native.nii.gz")
    far = Geometry((8, 8, 4), (1.0, 1.0, 3.0), (500.0, 0.0, 0.0))
    write_mask(Mask(np.ones(far.shape, dtype=np.uint8), far), tmp_path / "mask.nii.gz")
    with pytest.raises(MaskError, match="mask lies outside the native image"):
        restore_mask(tmp_path / "mask.nii.gz", tmp_path / "native.nii.gz")
