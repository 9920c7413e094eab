"""DINOv2 by random weights, where transformers is installed; and what is said where it is not."""

from __future__ import annotations

import builtins
import dataclasses
import hashlib

import numpy as np
import pytest
import torch
from safetensors.torch import save, save_file
from torch.nn import functional

from sarcofuse.config import DeepConfig
from sarcofuse.deep import extract_deep
from sarcofuse.deep.adapters import changed, loosen
from sarcofuse.deep.crops import make_crops
from sarcofuse.deep.dino import build_dino
from sarcofuse.deep.registry import BACKBONES, IMAGENET_DEVIATION, IMAGENET_MEAN, backbone
from sarcofuse.deep.weights import cache_folder, check_keys, find_weights, identity, named_for, read_state, save_weights
from sarcofuse.errors import ConfigError, WeightsError
from tests.deep.conftest import ball

TINY = {"hidden_size": 24, "num_hidden_layers": 4, "num_attention_heads": 2, "image_size": 56}


@pytest.fixture
def network():
    pytest.importorskip("transformers", reason="transformers is not installed (extra dino)")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build_dino("dinov2-small", **TINY).eval().requires_grad_(False)


def vision_transformer(state, x, heads):
    """DINOv2's tokens after each block, written from its paper and its code: patches of 14 pixels, class token first, blocks normalised before (1e-6) and scaled after, exact GELU."""

    def linear(t, name):
        return functional.linear(t, state[f"{name}.weight"], state[f"{name}.bias"])

    def norm(t, name):
        return functional.layer_norm(t, t.shape[-1:], state[f"{name}.weight"], state[f"{name}.bias"], 1e-6)

    width, (rows, columns) = state["layernorm.weight"].numel(), (x.shape[2] // 14, x.shape[3] // 14)
    pixels = x.reshape(len(x), 3, rows, 14, columns, 14).permute(0, 2, 4, 1, 3, 5).reshape(len(x), rows * columns, -1)
    kernel = state["embeddings.patch_embeddings.projection.weight"].reshape(width, -1)
    patches = pixels @ kernel.T + state["embeddings.patch_embeddings.projection.bias"]
    places = state["embeddings.position_embeddings"][0]
    side = round((len(places) - 1) ** 0.5)
    grid = functional.interpolate(places[1:].T.reshape(1, width, side, side), size=(rows, columns), mode="bicubic", align_corners=False)
    t = torch.cat([(state["embeddings.cls_token"][0] + places[:1]).expand(len(x), 1, width), patches + grid.flatten(2).transpose(1, 2)], 1)
    found = []
    for i in range(sum(k.endswith("layer_scale1.lambda1") for k in state)):
        name = f"encoder.layer.{i}"
        y = norm(t, f"{name}.norm1")
        q, k, v = (linear(y, f"{name}.attention.attention.{part}").unflatten(-1, (heads, -1)).transpose(1, 2) for part in ("query", "key", "value"))
        share = torch.softmax(q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5, -1)
        t = t + state[f"{name}.layer_scale1.lambda1"] * linear((share @ v).transpose(1, 2).flatten(2), f"{name}.attention.output.dense")
        y = linear(norm(t, f"{name}.norm2"), f"{name}.mlp.fc1")
        y = 0.5 * y * (1.0 + torch.erf(y / 2**0.5))
        t = t + state[f"{name}.layer_scale2.lambda1"] * linear(y, f"{name}.mlp.fc2")
        found.append(norm(t, "layernorm")[:, 1:].transpose(1, 2).reshape(len(x), width, rows, columns))
    return found


@pytest.mark.parametrize("shape", [(56, 56), (70, 42)])
def test_maps_are_those_of_the_paper(network, shape):
    """At the size that the places were learnt for, and at another one, for which they are interpolated; tokens lie row by row."""
    generator = torch.Generator().manual_seed(0)
    state = {name: tensor + 0.3 * torch.randn(tensor.shape, generator=generator) for name, tensor in network.state_dict().items()}  # nothing left at 0 or 1
    network.load_state_dict(state)
    x = torch.randn(2, 3, *shape, generator=generator)
    with torch.inference_mode():
        expected = vision_transformer(state, x, heads=2)
        (last,), blocks = network.maps(x), network.maps(x, "blocks")
    assert last.shape == (2, 24, shape[0] // 14, shape[1] // 14)
    assert torch.allclose(last, expected[3], rtol=1e-4, atol=1e-4)
    assert len(blocks) == 3  # a quarter, half and three quarters of four blocks
    for found, own in zip(blocks, expected[:3], strict=True):
        assert torch.allclose(found, own, rtol=1e-4, atol=1e-4)


def test_published_file_has_our_names_and_shapes_to_the_byte():
    """facebook/dinov2-small at revision ed25f3a3: model.safetensors has 88,249,960 bytes; its header holds every name and shape."""
    pytest.importorskip("transformers", reason="transformers is not installed (extra dino)")
    state = build_dino("dinov2-small").state_dict()
    assert sum(t.numel() for t in state.values()) == 22_056_576
    assert len(save(dict(state), metadata={"format": "pt"})) == 88_249_960


@pytest.fixture
def tiny(network, tmp_path, monkeypatch):
    """The network's tensors as the published file would hold them, its entry with their digits, and pictures of 56 pixels."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("sarcofuse.deep.dino.SIZES", {"dinov2-small": {**TINY, "patch_size": 14}})
    file = tmp_path / "dinov2-small" / "model.safetensors"
    file.parent.mkdir()
    save_file(dict(network.state_dict()), file, metadata={"format": "pt"})
    entry = dataclasses.replace(backbone("dinov2-small"), size=56, features=24, stages=(24, 24, 24), sha256=hashlib.sha256(file.read_bytes()).hexdigest())
    monkeypatch.setitem(BACKBONES, "dinov2-small", entry)
    return file


def test_features_are_pooled_tokens_of_the_pictures(network, tiny):
    volume, mask = ball()
    settings = {"weights": tiny, "crop": "largest", "layer": "last", "pooling": "average"}
    found = extract_deep(volume, mask, "dinov2-small", settings)
    picture = make_crops(volume, mask, DeepConfig(crop="largest"), 56).pictures[:1].astype(np.float32)
    x = torch.stack([(torch.from_numpy(picture[0]) - m) / d for m, d in zip(IMAGENET_MEAN, IMAGENET_DEVIATION, strict=True)])[None]
    expected = vision_transformer(network.state_dict(), x, heads=2)[3].mean((2, 3))[0]
    assert found.values[0] == pytest.approx(expected.numpy(), rel=1e-4, abs=1e-5)
    assert extract_deep(volume, mask, "dinov2-small", {**settings, "layer": "blocks", "pooling": "regions"}).values.shape == (1, 3 * 3 * 24)


@pytest.mark.parametrize(
    ("mode", "layer", "changes"),
    [("last", "blocks", "encoder.layer.2."), ("last", "last", ("encoder.layer.3.", "layernorm.")), ("adapters", "blocks", ("encoder.layer.", "embeddings."))],
)
def test_blocks_that_learn_are_those_that_features_depend_on(network, mode, layer, changes):
    groups = loosen(network, mode, torch.zeros(1, 3, 56, 56), layer, 2)
    assert sum(len(g) for g in groups) == len(changed(network)) > 0
    assert all(name.startswith(changes) for name in changed(network))
    sum(m.square().sum() for m in network.maps(torch.randn(1, 3, 56, 56, generator=torch.Generator().manual_seed(0)), layer)).backward()
    assert all(p.grad is not None for group in groups for p in group)


def test_published_and_carried_safetensors_are_told_apart(tiny, tmp_path):
    entry = backbone("dinov2-small")
    assert find_weights(entry, tiny.parent) == find_weights(entry, tiny) == tiny  # a folder with the published file will do
    carried = save_weights(entry, tmp_path / "bundle", tiny)
    assert find_weights(entry, carried) == carried
    assert identity(entry, carried) == identity(entry, tiny) == entry.sha256
    assert all(torch.equal(v, read_state(entry, tiny)[k]) for k, v in read_state(entry, carried).items())
    assert not (cache_folder() / "recorded.json").exists()
    for file, words in ((tiny, f"expected {entry.sha256}"), (carried, "same tensor names and shapes, other values")):
        content = bytearray(file.read_bytes())
        content[-1] ^= 1
        file.write_bytes(content)
        with pytest.raises(WeightsError, match=words):
            find_weights(entry, file)
    tiny.write_bytes(b"no safetensors")
    with pytest.raises(WeightsError, match=r"model\.safetensors cannot be read as safetensors"):
        find_weights(entry, tiny)
    with pytest.raises(WeightsError, match=r"model\.safetensors of dinov2-small does not exist"):
        find_weights(entry, tmp_path)


def test_published_tensor_names_are_taken_as_they_are(network):
    state = dict(network.state_dict())
    check_keys(network, named_for(network, state), "dinov2-small")
    del state["layernorm.weight"]
    with pytest.raises(WeightsError, match=r"1 missing: layernorm\.weight"):
        check_keys(network, named_for(network, state), "dinov2-small")


def test_without_transformers_the_extra_is_named(monkeypatch):
    own = builtins.__import__

    def refuse(name, *rest, **named):
        if name.startswith("transformers"):
            raise ImportError(name)
        return own(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ConfigError, match=r"needs the package transformers.*sarcofuse\[dino\]"):
        build_dino("dinov2-small")
