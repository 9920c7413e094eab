"""The encoder of the study's own segmentation network."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch

from sarcofuse.config.deep import DeepConfig
from sarcofuse.deep import extract, extract_deep
from sarcofuse.deep.boxes import _box, _cut, working_image
from sarcofuse.deep.encoder import encoder_digest, load_encoder, open_encoder
from sarcofuse.errors import WeightsError
from sarcofuse.records import Geometry, Mask, Volume
from sarcofuse.runtime import Engine
from tests.deep.conftest import NETWORK, ball, write_segmenter

ENCODER = DeepConfig(backbone="segresnet-encoder", layer="last", pooling="average")


def test_the_image_is_shown_as_the_segmentation_networks_see_it():
    segment_grid = pytest.importorskip("sarcofuse.segment.grid")
    volume, mask = ball()
    for spacing in ((4.0, 4.0, 5.0), (3.1, 2.0, 7.0), (1.5, 2.5, 4.0), (2.0, 2.0, 5.0)):
        expected = segment_grid.to_working(volume.array, volume.geometry.spacing, spacing).array
        array, region = working_image(volume, mask, spacing)
        assert array.shape == region.shape == expected.shape
        assert array == pytest.approx(expected, abs=1e-4)


def test_a_box_can_be_scaled_by_the_tumour():
    volume, mask = ball()
    array, region = working_image(volume, mask, volume.geometry.spacing, "region")
    assert array[region >= 0.5].mean() == pytest.approx(0, abs=0.02)
    assert array[region >= 0.5].std() == pytest.approx(1, abs=0.02)
    assert np.median(array[region == 0]) < -3  # the body lies far below a bright tumour


def test_twice_as_long_voxels_are_means_of_eight():
    rng = np.random.default_rng(0)
    values = rng.standard_normal((4, 6, 8)).astype(np.float32)
    geometry = Geometry((8, 6, 4), (1.0, 1.0, 1.0))
    array, region = working_image(Volume(values, geometry), Mask((values > 0).astype(np.uint8), geometry), (2.0, 2.0, 2.0))
    blocks = values.reshape(2, 2, 3, 2, 4, 2).mean(axis=(1, 3, 5))
    low, high = np.percentile(blocks, (1, 99))
    body = blocks[blocks > low + 0.1 * (high - low)]
    assert array == pytest.approx((blocks - body.mean()) / body.std(), abs=1e-5)
    assert region == pytest.approx((values > 0).reshape(2, 2, 3, 2, 4, 2).mean(axis=(1, 3, 5)), abs=1e-6)


def test_features_are_means_of_the_encoders_last_map(segmenter):
    """Against MONAI's own network, built here by hand, on the whole image (the margin is larger than the image)."""
    from monai.networks.nets.segresnet_ds import SegResNetDS
    from safetensors.torch import load_file

    volume, mask = ball(shape=(16, 40, 44), spacing=(4.0, 4.0, 5.0), centre=(8, 20, 22), radius_mm=30.0)
    found = extract_deep(volume, mask, settings=ENCODER.model_copy(update={"margin_mm": 500.0}), encoder=segmenter)
    network = SegResNetDS(**{k: tuple(v) if isinstance(v, list) else v for k, v in NETWORK.items()})
    network.load_state_dict(load_file(segmenter / "fold_0.safetensors"))
    low, high = np.percentile(volume.array, (1, 99))
    body = volume.array[volume.array > low + 0.1 * (high - low)]
    normalised = np.clip((volume.array - body.mean()) / body.std(), -5, 5)
    for module in network.modules():
        if isinstance(module, torch.nn.Conv3d | torch.nn.ConvTranspose3d):
            module.stride = tuple(int(s) for s in module.stride)
    with torch.inference_mode():
        last = network.eval().encoder(torch.from_numpy(normalised)[None, None])[-1]
    assert found.values[0] == pytest.approx(last[0].mean(dim=(1, 2, 3)).numpy(), rel=1e-3, abs=2e-5)
    assert found.names == tuple(f"segresnet-encoder_{i:04d}" for i in range(1, 17))


def test_networks_that_can_be_guided_see_the_image_alone(tmp_path):
    """Against the whole network of five channels, of which all but the image are zero."""
    from monai.networks.nets.segresnet_ds import SegResNetDS
    from safetensors.torch import load_file

    folder = write_segmenter(tmp_path / "guided", network={**NETWORK, "in_channels": 5})
    card = json.loads((folder / "segmenter.json").read_text())
    card["network"]["arguments"]["guide"] = {"gain": 4.0, "bound": 3.0}
    (folder / "segmenter.json").write_text(json.dumps(card))
    whole = SegResNetDS(**{k: tuple(v) if isinstance(v, list) else v for k, v in NETWORK.items() if k != "in_channels"}, in_channels=5)
    whole.load_state_dict(load_file(folder / "fold_0.safetensors"))
    for module in whole.modules():
        if isinstance(module, torch.nn.Conv3d | torch.nn.ConvTranspose3d):
            module.stride = tuple(int(s) for s in module.stride)
    image = torch.randn(1, 1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = whole.eval().encoder(torch.cat([image, torch.zeros(1, 4, 4, 8, 8)], dim=1))
        told = whole.encoder(torch.cat([image, torch.ones(1, 4, 4, 8, 8)], dim=1))
        found = open_encoder(folder, "cpu").maps(image, "blocks")
    assert len(found) == len(expected) == 3
    for one, other in zip(found, expected, strict=True):
        assert one.numpy() == pytest.approx(other.numpy(), abs=1e-5)
    assert not torch.allclose(told[-1], expected[-1], atol=1e-2)
    network, _ = load_encoder(folder, "cpu")
    assert network.encoder.conv_init.weight.shape[1] == 1
    volume, mask = ball()
    assert np.isfinite(extract_deep(volume, mask, settings=ENCODER, encoder=folder).values).all()


def test_all_levels_and_regions_stand_side_by_side(segmenter):
    volume, mask = ball()
    found = extract_deep(volume, mask, settings={"backbone": "segresnet-encoder"}, encoder=segmenter)
    assert found.values.shape == (1, 3 * (4 + 8 + 16))
    assert np.isfinite(found.values).all()
    blank = extract_deep(volume, mask, settings={"backbone": "segresnet-encoder", "masked": True}, encoder=segmenter)
    assert not np.array_equal(blank.values, found.values)


@pytest.mark.parametrize("first", [0, 9])
def test_the_box_holds_the_tumour_and_fits_the_network_at_every_border(first):
    region = np.zeros((10, 20, 30), dtype=bool)
    region[first, 0:3, 25:30] = True
    box = _box(region, (2.0, 2.0, 5.0), 10.0, (1, 4, 8))
    cut = _cut(np.where(region, 1.0, 0.0).astype(np.float32), box)
    assert [(high - low) % multiple for (low, high), multiple in zip(box, (1, 4, 8), strict=True)] == [0, 0, 0]
    assert min(low for low, _ in box) >= 0
    assert cut.sum() >= region.sum()
    assert box[1][1] >= 3 + 5
    assert box[2][0] <= 25 - 5


def test_the_folder_that_segmentation_training_writes_is_understood(segmenter, tmp_path):
    from sarcofuse.runtime import write_json
    from sarcofuse.segment.fitting import model_task
    from sarcofuse.segment.plan import Plan, write_plan
    from sarcofuse.segment.training import HISTORY, WEIGHTS

    planned, trained, folder = tmp_path / "planned", tmp_path / "trained", tmp_path / "folder"
    for new in (planned, trained, folder):
        new.mkdir()
    values = {f.name: {} for f in dataclasses.fields(Plan)} | {"spacing": (4.0, 4.0, 5.0), "shape": (16, 40, 48), "network": NETWORK}
    write_plan(Plan(**values), planned / "plan.json")
    (segmenter / "fold_0.safetensors").rename(trained / WEIGHTS)
    write_json({"held_out_dice": [0.5]}, trained / HISTORY)
    model_task(folder, planned, [trained])
    assert extract_deep(*ball(), settings=ENCODER, encoder=folder).values.shape == (1, 16)


def test_the_stage_takes_the_segmenters_folder(make_case, segmenter, tmp_path):
    engine = Engine(tmp_path / "cache", scheduler="serial", progress=False)
    table, aside = extract([make_case("A"), make_case("B", seed=1)], ENCODER, engine, encoder=segmenter)
    assert aside == []
    assert table.values.shape == (2, 16)
    before = encoder_digest(segmenter)
    moved = segmenter.rename(tmp_path / "moved")
    assert encoder_digest(moved) == before
    again, _ = extract([make_case("A")], ENCODER, engine, encoder=moved)
    assert again.values.tobytes() == table.values[:1].tobytes()


@pytest.mark.parametrize("name", ["fold_0.safetensors", "plan.json"])
def test_altered_files_are_refused(segmenter, name):
    file = segmenter / name
    content = bytearray(file.read_bytes())
    content[-1 if name != "plan.json" else content.index(b"4.0")] ^= 1
    file.write_bytes(content)
    with pytest.raises(WeightsError, match=rf"{name} of the segmentation model in .* was altered"):
        encoder_digest(segmenter)


def test_weights_of_another_architecture_name_their_tensors(segmenter):
    card = json.loads((segmenter / "segmenter.json").read_text(encoding="utf8"))
    card["network"]["arguments"]["init_filters"] = 8
    (segmenter / "segmenter.json").write_text(json.dumps(card), encoding="utf8")
    with pytest.raises(WeightsError, match=r"of another shape: encoder\.conv_init\.weight is \(4, 1, 1, 3, 3\), expected \(8, 1"):
        extract_deep(*ball(), settings=ENCODER, encoder=segmenter)


def test_a_folder_that_is_no_segmenter_is_told(tmp_path, segmenter):
    with pytest.raises(WeightsError, match=r"is not the folder of a segmentation model: segmenter\.json or plan\.json"):
        encoder_digest(tmp_path)
    (segmenter / "fold_0.safetensors").unlink()
    with pytest.raises(WeightsError, match=r"fold_0\.safetensors is absent"):
        encoder_digest(segmenter)


def test_a_segmenter_altered_while_in_use_is_refused(segmenter):
    known = encoder_digest(segmenter)
    card = json.loads((segmenter / "segmenter.json").read_text(encoding="utf8"))
    card["network"]["arguments"]["blocks_down"] = [1, 1, 2]
    (segmenter / "segmenter.json").write_text(json.dumps(card), encoding="utf8")
    with pytest.raises(WeightsError, match=r"the segmentation model in .* was altered while it was in use: expected the content .*\. Run again"):
        open_encoder(segmenter, "cpu", known)
