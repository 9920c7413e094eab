"""DINOv2 by random weights, where transformers is installed; and what is said where it is not."""

from __future__ import annotations

import builtins

import pytest
import torch

from sarcofuse.deep.dino import build_dino
from sarcofuse.deep.registry import backbone
from sarcofuse.deep.weights import check_keys, find_weights, named_for
from sarcofuse.errors import ConfigError, WeightsError

TINY = {"hidden_size": 24, "num_hidden_layers": 4, "num_attention_heads": 2, "image_size": 56}


@pytest.fixture
def network():
    pytest.importorskip("transformers", reason="transformers is not installed (extra dino)")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build_dino("dinov2-small", **TINY).eval().requires_grad_(False)


def test_maps_are_the_patches_in_rows_and_columns(network):
    x = torch.randn(2, 3, 56, 42, generator=torch.Generator().manual_seed(0))
    (last,) = network.maps(x)
    assert last.shape == (2, 24, 4, 3)
    tokens = network(pixel_values=x).last_hidden_state
    for row in range(4):
        for column in range(3):
            assert torch.equal(last[1, :, row, column], tokens[1, 1 + 3 * row + column])
    kept = []
    for layer in list(network.encoder.layer)[:3]:
        layer.register_forward_hook(lambda _m, _i, out: kept.append(out[0] if isinstance(out, tuple) else out))
    blocks = network.maps(x, "blocks")
    assert [b.shape for b in blocks] == [(2, 24, 4, 3)] * 3
    for block, own in zip(blocks, kept, strict=True):
        assert torch.allclose(block.flatten(2).transpose(1, 2), network.layernorm(own)[:, 1:], atol=1e-6)


def test_published_tensor_names_are_taken_as_they_are(network):
    state = dict(network.state_dict())
    check_keys(network, named_for(network, state), "dinov2-small")
    del state["layernorm.weight"]
    with pytest.raises(WeightsError, match=r"1 missing: layernorm\.weight"):
        check_keys(network, named_for(network, state), "dinov2-small")


def test_a_folder_with_the_published_file_will_do(tmp_path):
    entry = backbone("dinov2-small")
    (tmp_path / "pytorch_model.bin").write_bytes(b"tensors")
    assert find_weights(entry, tmp_path, cache=tmp_path / "cache") == tmp_path / "pytorch_model.bin"
    with pytest.raises(WeightsError, match=r"pytorch_model\.bin of dinov2-small does not exist"):
        find_weights(entry, tmp_path / "cache")


def test_without_transformers_the_extra_is_named(monkeypatch):
    own = builtins.__import__

    def refuse(name, *rest, **named):
        if name.startswith("transformers"):
            raise ImportError(name)
        return own(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ConfigError, match=r"needs the package transformers.*sarcofuse\[dino\]"):
        build_dino("dinov2-small")
