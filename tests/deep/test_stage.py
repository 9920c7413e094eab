"""The stage: cached, alone or in company the same bits, one bad case not killing the rest."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import SimpleITK as sitk

from sarcofuse.config.deep import DeepConfig
from sarcofuse.deep import backbone, drop_idle, extract, extract_deep, find_idle, pictures
from sarcofuse.deep.crops import make_crops
from sarcofuse.deep.weights import find_weights
from sarcofuse.errors import ConfigError, GeometryError, ImageError, MaskError, WeightsError
from sarcofuse.imaging import read_mask, read_volume
from sarcofuse.records import FeatureTable, Geometry, Mask, Volume
from sarcofuse.runtime import Engine
from tests.deep.conftest import ball, write_segmenter

QUICK = DeepConfig(crop="largest")


def serial(folder):
    return Engine(folder, scheduler="serial", progress=False)


def test_a_table_of_named_features(make_case, tmp_path):
    cases = [make_case("B"), make_case("A", seed=1)]
    table, aside = extract(cases, QUICK, serial(tmp_path / "cache"))
    assert aside == []
    assert table.block == "deep"
    assert table.patient_ids == ("B", "A")
    assert table.names[0] == "efficientnet-lite0_0001"
    assert table.names[-1] == "efficientnet-lite0_0816"
    assert table.values.dtype == np.float64
    assert np.isfinite(table.values).all()
    assert not np.array_equal(table.values[0], table.values[1])


@pytest.mark.parametrize(("settings", "count"), [({"layer": "last", "pooling": "average"}, 1280), ({"layer": "last", "pooling": "max"}, 1280), ({"layer": "blocks", "pooling": "masked"}, 272)])
def test_layer_and_pooling_decide_the_length(settings, count):
    volume, mask = ball()
    table = extract_deep(volume, mask, settings={"crop": "largest", **settings})
    assert table.values.shape == (1, count)
    if settings["pooling"] == "max":
        assert (table.values >= extract_deep(volume, mask, settings={"crop": "largest", "layer": "last", "pooling": "average"}).values).all()


@pytest.mark.slow
def test_the_same_bits_alone_in_company_and_on_two_processes(make_case, tmp_path):
    cases = [make_case(f"P{i}", seed=i) for i in range(3)]
    config = DeepConfig()
    together, _ = extract(cases, config, serial(tmp_path / "together"))
    alone, _ = extract(cases[1:2], config, serial(tmp_path / "alone"))
    with Engine(tmp_path / "processes", workers=2, progress=False) as engine:
        spread, _ = extract(cases[::-1], config, engine)
    by_hand = extract_deep(read_volume(cases[1].image), read_mask(cases[1].mask), settings=config)
    assert alone.values.tobytes() == together.values[1:2].tobytes() == by_hand.values.tobytes()
    assert spread.patient_ids == ("P2", "P1", "P0")
    assert spread.values[::-1].tobytes() == together.values.tobytes()


def test_slices_are_averaged(make_case):
    volume, mask = ball()
    crops = make_crops(volume, mask, DeepConfig(crop="neighbours"), 224)
    assert len(crops.pictures) == 3
    rows = []
    for k in (6, 7, 8):  # slice 7 is the middle one: each slice alone, with the crop of all three
        one = Mask(np.zeros_like(mask.array), mask.geometry)
        one.array[k] = mask.array[6:9].any(axis=0)
        rows.append(extract_deep(volume, one, settings={"crop": "largest", "layer": "last", "pooling": "average"}).values[0])
    found = extract_deep(volume, mask, settings={"crop": "neighbours", "layer": "last", "pooling": "average"}).values[0]
    assert found == pytest.approx(np.mean(rows, axis=0), abs=1e-6)


def test_work_is_kept_by_content_not_by_path(make_case, tmp_path, monkeypatch):
    case = make_case("A")
    first, _ = extract([case], QUICK, serial(tmp_path / "cache"))
    moved = tmp_path / "elsewhere.pth"
    moved.write_bytes(find_weights(backbone("efficientnet-lite0")).read_bytes())
    monkeypatch.setattr("sarcofuse.deep.stage.show", None)  # any new work would fail
    again, aside = extract([dataclasses.replace(case, image=tmp_path / "gone.nii.gz")], QUICK, serial(tmp_path / "cache"), weights=moved)
    assert aside == []
    assert again.values.tobytes() == first.values.tobytes()
    changed, aside = extract([dataclasses.replace(case, mask_digest="other")], QUICK, serial(tmp_path / "cache"))
    assert changed.values.shape == (0, 0)
    assert len(aside) == 1


def test_the_picture_is_what_the_network_saw(make_case, tmp_path):
    case = make_case("A")
    config = DeepConfig(crop="neighbours")
    file = pictures([case], config, serial(tmp_path / "cache"))["A"]
    seen = sitk.GetArrayFromImage(sitk.ReadImage(str(file)))
    expected = make_crops(read_volume(case.image), read_mask(case.mask), config, 224).pictures
    assert np.array_equal(seen, np.concatenate(list(expected), axis=1))


def test_bad_cases_are_set_aside_with_reasons(make_case, tmp_path):
    volume, mask = ball()
    good, bare, gone = make_case("good"), make_case("bare", with_mask=False), dataclasses.replace(make_case("gone", seed=3), image=tmp_path / "absent.nii.gz")
    shifted = Mask(mask.array, Geometry(mask.geometry.size, mask.geometry.spacing, (9.0, 0.0, 0.0)))
    table, aside = extract([bare, good, gone, make_case("shifted", volume, shifted, seed=4)], QUICK, serial(tmp_path / "cache"))
    assert table.patient_ids == ("good",)
    reasons = {a.patient_id: a.reason for a in aside}
    assert list(reasons) == ["bare", "gone", "shifted"]
    assert "has no mask" in reasons["bare"]
    assert "absent.nii.gz" in reasons["gone"]
    assert "different grids: origin" in reasons["shifted"]


def test_activations_that_are_no_numbers_set_the_case_aside(make_case, tmp_path):
    config = DeepConfig(backbone="segresnet-encoder")
    table, aside = extract([make_case("A")], config, serial(tmp_path / "cache"), encoder=write_segmenter(tmp_path / "broken", fill=float("nan")))
    assert table.patient_ids == ()
    assert "activations of segresnet-encoder are NaN or infinite" in aside[0].reason


def test_one_case_with_wrong_input_is_refused():
    volume, mask = ball()
    with pytest.raises(MaskError, match="mask is empty"):
        extract_deep(volume, Mask(np.zeros_like(mask.array), mask.geometry))
    with pytest.raises(GeometryError, match="different grids: spacing"):
        extract_deep(volume, Mask(mask.array, Geometry(mask.geometry.size, (1.0, 1.0, 1.0))))
    holed = volume.array.copy()
    holed[0, 0, 0] = np.nan
    with pytest.raises(ImageError, match="1 voxel"):
        extract_deep(Volume(holed, volume.geometry), mask)


def test_what_cannot_be_done_is_said_before_any_work(make_case, tmp_path):
    engine = serial(tmp_path / "cache")
    with pytest.raises(ConfigError, match="not in the registry"):
        extract([make_case("A")], DeepConfig(backbone="resnet"), engine)
    with pytest.raises(ConfigError, match="segmentation network, and there is none"):
        extract([make_case("A")], DeepConfig(backbone="segresnet-encoder"), engine)
    with pytest.raises(WeightsError, match="does not exist"):
        extract([make_case("A")], QUICK, engine, weights=tmp_path / "absent.pth")
    assert not (tmp_path / "cache").exists()


def test_no_cases_no_features(tmp_path):
    table, aside = extract([], QUICK, serial(tmp_path / "cache"))
    assert table.values.shape == (0, 0)
    assert aside == []


def test_squeezenet_by_file(reference_data):
    volume, mask = ball()
    config = DeepConfig(backbone="squeezenet1_0", crop="largest", layer="last", pooling="average", weights=reference_data / "weights/squeezenet1_0_imagenet_deepcompression_fp16.pt")
    table = extract_deep(volume, mask, settings=config)
    assert table.values.shape == (1, 512)
    assert table.names[-1] == "squeezenet1_0_0512"
    assert np.count_nonzero(table.values) > 100
    blocks = extract_deep(volume, mask, settings=config.model_copy(update={"layer": "blocks", "pooling": "regions"}))
    assert blocks.values.shape == (1, 3 * (128 + 256 + 384))


def test_idle_features_are_found_on_training_patients_alone():
    values = np.array([[0.0, 5.0, 1.0, 0.0, 1.0, -0.0], [0.0, 5.0, 2.0, 0.0, 2.0, 0.0], [9.0, 6.0, 3.0, 1.0, 4.0, 0.0]])
    table = FeatureTable("deep", ("a", "b", "c"), ("f1", "f2", "f3", "f4", "f5", "f6"), values)
    idle = find_idle(table, ["a", "b"])
    assert (idle.dead, idle.constant, idle.duplicated) == (("f1", "f4", "f6"), ("f2",), {"f5": "f3"})
    assert idle.counts() == {"features": 6, "dead": 3, "constant": 1, "duplicated": 1, "left": 1}
    kept, same = drop_idle(table, ["a", "b"])
    assert (kept.names, kept.patient_ids, same) == (("f3",), ("a", "b", "c"), idle)
    assert kept.values.ravel().tolist() == [1.0, 2.0, 3.0]
    assert find_idle(table, ["a", "b", "c"]).counts() == {"features": 6, "dead": 1, "constant": 0, "duplicated": 0, "left": 5}
    for few in ([], ["a"]):
        assert drop_idle(table, few) == (table, find_idle(table, few))
        assert find_idle(table, few).counts()["left"] == 6


def features_of(halos, grains):
    return np.concatenate([extract_deep(*ball(100 + i, halo=h, grain=g), settings={"slices": 1}).values for i, (h, g) in enumerate(zip(halos, grains, strict=True))])


@pytest.mark.slow
def test_texture_and_what_surrounds_the_tumour_can_be_read_from_the_features():
    """Brightness of the halo outside the mask and grain inside it, drawn independently: a ridge regression on 20 cases predicts 12 others."""
    from sklearn.linear_model import RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rng = np.random.default_rng(0)
    halos, grains = rng.uniform(0, 80, 32), rng.uniform(5, 40, 32)
    X = features_of(halos, grains)
    for target in (halos, grains):
        model = make_pipeline(StandardScaler(), RidgeCV(np.logspace(0, 4, 9))).fit(X[:20], target[:20])
        assert model.score(X[20:], target[20:]) > 0.8
