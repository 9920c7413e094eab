"""Maps of the deep signature: exact where they say so, by the book where they say so, and at the right place in the patient."""

from __future__ import annotations

import json

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from sarcofuse.config import DeepConfig
from sarcofuse.deep import Formula, explain, explain_cases, extract_deep
from sarcofuse.deep.cam import cell_maps, module_map, to_pixels
from sarcofuse.deep.crops import make_crops
from sarcofuse.deep.look import Source
from sarcofuse.deep.paint import paint
from sarcofuse.deep.places import box_to_grid, pictures_to_grid, to_native
from sarcofuse.errors import ConfigError, MaskError
from sarcofuse.imaging import read_volume, reorient
from sarcofuse.records import Geometry, Mask, Volume
from sarcofuse.runtime import Engine
from tests.deep.conftest import ball

SMALL = {"shape": (8, 32, 32), "centre": (4, 16, 16)}


class Eyes(torch.nn.Module):
    """Two layers of random convolutions; `flat` gives kernels that shuffling cannot change."""

    def __init__(self, *, flat: bool = False) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.first, self.second = torch.nn.Conv2d(3, 4, 3, 4, 1), torch.nn.Conv2d(4, 3, 3, 2, 1)
        for tensor in self.parameters() if flat else ():
            tensor.data.fill_(0.1)
        self.eval().requires_grad_(False)

    def maps(self, x, layer="last"):
        first = torch.relu(self.first(x))
        second = torch.relu(self.second(first))
        return [second] if layer == "last" else [first, second]


@pytest.fixture
def eyes(monkeypatch):
    def put(network=None):
        network = network or Eyes()
        for home in ("look", "why"):
            monkeypatch.setattr(f"sarcofuse.deep.{home}.load", lambda *_: network)
        return network

    return put


def source():
    return Source(None, "none", "cpu")


def formula(count, seed=0, base=-1.5):
    rng = np.random.default_rng(seed)
    chosen = rng.choice(count, max(2, count // 2), replace=False)
    return Formula(base, {f"x_{k + 1:04d}": (float(rng.normal()), float(rng.normal())) for k in chosen})


@pytest.mark.parametrize("slices", ["mean", "max", "attention"])
@pytest.mark.parametrize(("pooling", "count"), [("average", 7), ("masked", 7), ("max", 7), ("regions", 21)])
def test_an_exact_map_adds_up_to_the_signature_of_the_extracted_features(eyes, pooling, count, slices):
    eyes()
    volume, mask = ball(**SMALL)
    settings = DeepConfig(crop="all", pooling=pooling, slice_pooling=slices, layer="blocks", margin_mm=10.0)
    own = formula(count)
    features = extract_deep(volume, mask, settings=settings).values[0]
    signature = own.base + sum(w * (features[int(n[-4:]) - 1] - c) for n, (w, c) in own.terms.items())
    found = explain(volume, mask, settings, source(), own)
    assert found.risk == pytest.approx(signature, rel=1e-7)  # the features come from the quick form of the network
    assert sum(p["share"] for p in found.pictures) == pytest.approx(signature - own.base, rel=1e-5)
    assert found.map.array.sum(dtype=np.float64) + found.beyond == pytest.approx(signature - own.base, rel=1e-5)
    assert found.map.geometry == volume.geometry
    seen = mask.array.any(axis=(1, 2))
    assert [p["slice"] for p in found.pictures] == np.flatnonzero(seen).tolist()
    assert not found.map.array[~seen].any()


def test_grad_cam_is_that_of_the_paper_by_hand():
    """y = (mean A1)^2 + 3 mean A2 - mean A3: gradients 2 (mean A1) / Z, 3 / Z and -1 / Z at every cell; alpha times Z is 2 (mean A1), 3 and -1."""
    a = np.array([[[1.0, 2.0], [3.0, 6.0]], [[0.5, 0.0], [0.0, 1.5]], [[40.0, 0.0], [0.0, 0.0]]], dtype=np.float32)
    risk, cells = cell_maps([[torch.from_numpy(a)[None]]], lambda maps: maps[0][0][0, 0].mean() ** 2 + 3.0 * maps[0][0][0, 1].mean() - maps[0][0][0, 2].mean(), "gradcam")
    assert risk == pytest.approx(9.0 + 1.5 - 10.0)
    by_hand = 6.0 * a[0] + 3.0 * a[1] - a[2]
    assert cells[0][0] == pytest.approx(by_hand)
    assert to_pixels(cells[0], (2, 2), "gradcam") == pytest.approx(np.maximum(by_hand, 0.0))
    assert by_hand.min() < 0


def test_interpolation_is_torchs_and_spreading_keeps_the_sum():
    cells = np.random.default_rng(0).uniform(0.0, 1.0, (5, 7))
    expected = torch.nn.functional.interpolate(torch.from_numpy(cells)[None, None], size=(20, 21), mode="bilinear", align_corners=False)[0, 0].numpy()
    assert to_pixels([cells], (20, 21), "gradcam") == pytest.approx(expected, abs=1e-12)
    both = to_pixels([cells, -2.0 * cells[:3]], (20, 21))
    assert both.sum() == pytest.approx(cells.sum() - 2.0 * cells[:3].sum())
    assert to_pixels([cells], (5, 7)) == pytest.approx(cells)


def test_any_torch_module_that_ends_in_one_number_can_be_mapped():
    """A rectified convolution, then a head that is not linear; slopes by differences of the head itself."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        body, head = torch.nn.Conv2d(1, 2, 3, 2, 1), torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(32, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1)).double()
    module = torch.nn.Sequential(body.double(), torch.nn.ReLU(), head)
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(1, 1, 8, 8)))
    risk, cells = module_map(module, "1", x)
    a = torch.relu(body(x)).detach()
    slope, step = np.zeros(a.shape), 1e-5
    for at in np.ndindex(*a.shape):
        up, down = a.clone(), a.clone()
        up[at] += step
        down[at] -= step
        slope[at] = float((head(up) - head(down)).detach()) / (2 * step)
    assert risk == pytest.approx(float(module(x).detach()))
    assert cells == pytest.approx((a.numpy() * slope)[0].sum(0), abs=1e-7)
    assert module_map(module, "1", x, "gradcam")[1] == pytest.approx((a.numpy()[0] * slope[0].sum((1, 2))[:, None, None]).sum(0), abs=1e-7)
    assert all(p.requires_grad for p in module.parameters())
    with pytest.raises(ValueError, match="must end in one number"):
        module_map(torch.nn.Sequential(body, torch.nn.ReLU()), "1", x)


class Spots(torch.nn.Module):
    """One map: how bright each 8 x 8 pixels are above the tumour's brightness."""

    def maps(self, x, layer="last"):
        return [torch.nn.functional.avg_pool2d(torch.relu(x[:, :1] - 0.7), 8)]


def test_the_map_lies_where_the_reason_lies(eyes):
    """A bright spot beside the tumour is all that the network knows of: the map is there, to the voxel, and nothing of it is in the tumour."""
    eyes(Spots())
    volume, mask = ball(**SMALL, grain=0.0, radius_mm=12.0)
    array = volume.array.copy()
    array[4, 24:26, 8:10] = 400.0
    array[0, 8:18, 8:18] = 400.0  # bright tissue elsewhere, so that the tumour is not the brightest
    volume, settings, own = Volume(array, volume.geometry), DeepConfig(crop="largest", layer="last", pooling="average"), Formula(0.0, {"x_0001": (2.0, 0.0)})
    for method in ("exact", "gradcam"):
        found = explain(volume, mask, settings, source(), own, method=method)
        peak = np.unravel_index(int(np.argmax(found.map.array)), found.map.array.shape)
        assert peak[0] == 4
        assert 23 <= peak[1] <= 26
        assert 7 <= peak[2] <= 10
        assert found.agreement["hits"] == 0.0
        assert found.agreement["inside"] < 0.05
        assert 0.05 < found.agreement["area"] < 0.5
    inside = explain(Volume(np.where(mask.array > 0, 400.0, 80.0).astype(np.float32), volume.geometry), mask, settings, source(), own)
    assert inside.agreement["hits"] == 1.0
    assert inside.agreement["inside"] > 0.8


def test_shuffled_weights_give_other_maps_where_weights_matter(eyes):
    volume, mask = ball(**SMALL)
    settings = DeepConfig(crop="largest", layer="last", pooling="average")
    eyes()
    learned = explain(volume, mask, settings, source(), formula(3))
    eyes(Eyes(flat=True))
    flat = explain(volume, mask, settings, source(), formula(3))
    assert flat.sanity == pytest.approx(1.0)
    assert abs(learned.sanity) < 0.9
    eyes(Spots())
    assert explain(volume, mask, settings, source(), Formula(0.0, {"x_0001": (1.0, 0.0)})).sanity == pytest.approx(1.0)  # no weights, nothing to shuffle


def test_pictures_go_back_to_where_they_were_cut():
    volume, mask = ball(shape=(10, 30, 34), centre=(5, 14, 18))
    crops = make_crops(volume, mask, DeepConfig(crop="planes", slices=2, margin_mm=5.0), 64)
    shown = [t.astype(np.float64) for t in crops.tumour]
    back = pictures_to_grid(shown, crops.places, mask.array.shape, whole=False)
    assert back[back > 0.5].size > 100
    touched = pictures_to_grid([np.ones_like(s) for s in shown], crops.places, mask.array.shape, whole=False) > 0
    assert ((back > 0.5) == (mask.array > 0))[touched].mean() > 0.97
    whole = pictures_to_grid(shown, crops.places, mask.array.shape, whole=True)
    assert whole.sum() == pytest.approx(sum(s.sum() for s in shown), rel=1e-6)


def test_a_box_goes_back_to_where_it_was_cut(segmenter):
    volume, mask = ball()
    settings = DeepConfig(backbone="segresnet-encoder", layer="last", pooling="masked", margin_mm=8.0)
    count = extract_deep(volume, mask, settings=settings, encoder=segmenter).values.shape[1]
    found = explain(volume, mask, settings, Source(segmenter, "", "cpu"), formula(count))
    assert found.map.array.sum(dtype=np.float64) == pytest.approx(found.risk - found.base, rel=1e-4)
    assert found.pictures[0]["slice"] is None
    assert abs(found.sanity) < 0.999
    spans = [np.eye(6, dtype=np.float32)[2:5], np.eye(7, dtype=np.float32)[:4], np.eye(5, dtype=np.float32)[1:]]
    values = np.random.default_rng(0).normal(size=(3, 4, 4))
    for whole in (True, False):
        back = box_to_grid(values, spans, whole=whole)
        assert back[2:5, :4, 1:] == pytest.approx(values)
        assert np.count_nonzero(back) == values.size


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 2.0), (3.0, 3.5, 6.0)])
def test_a_map_on_the_native_grid_keeps_place_and_sum(spacing):
    """The native image is sagittal and flipped; a blob must keep its centre of mass in the patient, and its sum."""
    prepared = Geometry((30, 28, 12), (2.0, 2.0, 5.0), (-10.0, 4.0, 7.0))
    array = np.zeros(prepared.shape, dtype=np.float32)
    array[5:8, 12:15, 10:14] = np.random.default_rng(0).uniform(0.5, 1.0, (3, 3, 4))
    size = tuple(int(np.ceil(n * own / new)) + 4 for n, own, new in zip(prepared.size, prepared.spacing, spacing, strict=True))
    native = reorient(Volume(np.zeros(size[::-1], dtype=np.float32), Geometry(size, spacing, (-14.0, 1.0, 3.0))), "PIR").geometry
    found = to_native(Volume(array, prepared), native, whole=True)
    assert found.geometry == native

    def centre(values, grid):
        index = np.argwhere(values > 0)[:, ::-1]
        weights = values[values > 0]
        return (np.asarray(grid.origin) + (index * grid.spacing) @ np.reshape(grid.direction, (3, 3)).T * 1.0).T @ weights / weights.sum()

    assert found.array.sum(dtype=np.float64) == pytest.approx(array.sum(dtype=np.float64), rel=1e-5)
    assert centre(found.array, native) == pytest.approx(centre(array, prepared), abs=0.5 * max(spacing))
    smooth = to_native(Volume(np.full(prepared.shape, 2.0, dtype=np.float32), prepared), native, whole=False)
    assert set(np.round(np.unique(smooth.array), 4)) <= {0.0, 2.0}


def test_cases_are_explained_once_and_bad_ones_set_aside(eyes, make_case, tmp_path, monkeypatch):
    eyes()
    volume, mask = ball(**SMALL)
    cases = [make_case("A", volume, mask), make_case("B", volume, mask, with_mask=False)]
    engine, own = Engine(tmp_path / "cache", scheduler="serial", progress=False), formula(3)
    settings = DeepConfig(crop="neighbours", layer="last", pooling="average")
    found, aside = explain_cases(cases, settings, {"A": own, "B": own}, engine)
    assert list(found) == ["A"]
    assert "has no mask" in aside[0].reason
    record = json.loads((found["A"] / "why.json").read_text())
    assert record["base"] == own.base
    assert len(record["pictures"]) == 3
    shown = sitk.GetArrayFromImage(sitk.ReadImage(str(found["A"] / "map.png")))
    assert shown.shape == (2 * 224, 3 * 224, 3)
    grid = read_volume(found["A"] / "map.nii.gz")
    assert grid.array.sum(dtype=np.float64) + record["beyond"] == pytest.approx(record["risk"] - record["base"], rel=1e-4)
    monkeypatch.setattr("sarcofuse.deep.why.explain", None)  # any new work would fail
    again, _ = explain_cases(cases[:1], settings, {"A": own}, engine)
    assert again == found
    with pytest.raises(ConfigError, match="x_0009, and these settings give 3 features"):
        explain(volume, mask, settings, source(), Formula(0.0, {"x_0009": (1.0, 0.0)}))
    with pytest.raises(MaskError, match="mask is empty"):
        explain(volume, Mask(np.zeros_like(mask.array), mask.geometry), settings, source(), own)


def test_many_pictures_are_painted_in_strips_of_nine():
    seen = np.full((20, 96, 96), 7, dtype=np.uint8)
    seen[13] = 200
    page = paint(seen, [np.zeros((96, 96))] * 20, [np.zeros((96, 96), dtype=np.float32)] * 20)
    assert page.shape == (3 * 2 * 96, 9 * 96, 3)
    assert (page[192:384, 4 * 96 : 5 * 96] == 200).all()  # the fourteenth: fifth of the second strip
    assert (page[384:, 2 * 96 :] == 0).all()
    assert paint(seen[:3], [np.zeros((96, 96))] * 3, [np.zeros((96, 96), dtype=np.float32)] * 3).shape == (192, 288, 3)


def test_a_painting_is_orange_up_blue_down_and_outlined():
    seen, tumour = np.full((1, 96, 96), 100, dtype=np.uint8), np.zeros((96, 96), dtype=np.float32)
    tumour[30:60, 30:60] = 1.0
    values = np.zeros((96, 96))
    values[10:20, 10:20], values[70:80, 70:80] = 2.0, -2.0
    page = paint(seen, [values], [tumour])
    assert page.shape == (192, 96, 3)
    assert page[30, 45].tolist() == [255, 255, 255]
    assert page[45, 45].tolist() == [100, 100, 100]
    red, green, blue = (int(v) for v in page[96 + 15, 15])
    assert red > green > blue
    red, green, blue = (int(v) for v in page[96 + 75, 75])
    assert blue > green > red
