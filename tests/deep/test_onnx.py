"""Any encoder as an ONNX file; the files are written here byte by byte, so that the package onnx is not needed."""

from __future__ import annotations

import builtins
import struct

import numpy as np
import pytest
import torch

from sarcofuse.config import DeepConfig
from sarcofuse.deep import extract, extract_deep
from sarcofuse.deep.crops import make_crops
from sarcofuse.deep.onnx_encoder import OnnxEncoder
from sarcofuse.deep.weights import find_weights, save_weights
from sarcofuse.errors import ConfigError, WeightsError
from sarcofuse.runtime import Engine, digest_file
from tests.deep.conftest import ball

GREY = {"size": 32, "channels": "grey", "subtract": [100.0], "divide": [50.0]}
WEIGHT = np.random.default_rng(0).standard_normal((5, 1, 3, 3)).astype(np.float32)


@pytest.fixture
def onnxruntime():
    return pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (extra onnx)")


def varint(value):
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def field(number, content):
    """One field of a protocol buffer: a whole number, or text, bytes or a message with its length."""
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    raw = content.encode() if isinstance(content, str) else content
    return varint(number << 3 | 2) + varint(len(raw)) + raw


def value(name, shape):
    dims = b"".join(field(1, field(2, n) if isinstance(n, str) else field(1, n)) for n in shape)
    return field(1, name) + field(2, field(1, field(1, 1) + field(2, dims)))


def write_onnx(file, first="n", channels=1, size=32, axes=4):
    """x -> Conv 3x3, stride 2 -> map -> GlobalAveragePool -> Flatten -> vector (onnx.proto3: ModelProto, GraphProto, NodeProto, TensorProto)."""
    weight = np.repeat(WEIGHT, channels, axis=1)
    tensor = b"".join(field(1, n) for n in weight.shape) + field(2, 1) + field(8, "w") + field(9, weight.tobytes())
    strides = field(1, "strides") + b"".join(field(8, 2) for _ in range(2)) + field(20, 7)
    nodes = [
        field(1, "x") + field(1, "w") + field(2, "map") + field(4, "Conv") + field(5, strides),
        field(1, "map") + field(2, "pooled") + field(4, "GlobalAveragePool"),
        field(1, "pooled") + field(2, "vector") + field(4, "Flatten"),
    ]
    shape = (first, channels, size, size)[:axes]
    graph = b"".join(field(1, n) for n in nodes) + field(2, "g") + field(5, tensor) + field(11, value("x", shape))
    out = (size - 3) // 2 + 1
    graph += field(12, value("map", (first, 5, out, out))) + field(12, value("vector", (first, 5)))
    file.write_bytes(field(1, 8) + field(7, graph) + field(8, field(1, "") + field(2, 13)))
    return file


def expected(x):
    return torch.nn.functional.conv2d(x, torch.from_numpy(WEIGHT).repeat(1, x.shape[1], 1, 1), stride=2)


def test_the_bytes_written_here_are_an_onnx_file(tmp_path):
    onnx = pytest.importorskip("onnx", reason="onnx is not installed; only this check of the test's own file needs it")
    onnx.checker.check_model(onnx.load(write_onnx(tmp_path / "e.onnx")), full_check=True)
    assert struct.calcsize("f") == 4


@pytest.mark.parametrize("first", ["n", 1])
def test_outputs_are_maps_and_features(onnxruntime, tmp_path, first):
    encoder = OnnxEncoder(write_onnx(tmp_path / "e.onnx", first))
    x = torch.randn(3, 1, 32, 32)
    assert torch.allclose(encoder.maps(x, "blocks")[0], expected(x), atol=1e-5)
    assert len(encoder.maps(x, "blocks")) == 1
    assert torch.allclose(encoder.maps(x)[0][:, :, 0, 0], expected(x).mean((2, 3)), atol=1e-5)
    assert torch.allclose(OnnxEncoder(tmp_path / "e.onnx", "map").maps(x)[0], expected(x), atol=1e-5)


def test_features_are_of_pictures_in_the_declared_units(onnxruntime, tmp_path):
    volume, mask = ball()
    file = write_onnx(tmp_path / "e.onnx")
    settings = {"weights": file, "crop": "largest", "layer": "last", "pooling": "average", "onnx": GREY}
    found = extract_deep(volume, mask, "onnx", settings)
    crop = make_crops(volume, mask, DeepConfig(crop="largest"), 32)
    shown = (torch.from_numpy(crop.pictures[:, None].astype(np.float32)) - 100.0) / 50.0
    assert found.values[0] == pytest.approx(expected(shown).mean((2, 3))[0].numpy(), rel=1e-5, abs=1e-5)
    assert found.names == tuple(f"onnx_{i:04d}" for i in range(1, 6))
    regions = extract_deep(volume, mask, "onnx", {**settings, "layer": "blocks", "pooling": "regions"})
    assert regions.values.shape == (1, 15)


def test_the_stage_keeps_work_by_the_files_content(onnxruntime, make_case, tmp_path):
    file = write_onnx(tmp_path / "e.onnx")
    config = DeepConfig(backbone="onnx", crop="largest", layer="last", pooling="average", onnx=GREY)
    engine = Engine(tmp_path / "cache", scheduler="serial", progress=False)
    table, aside = extract([make_case("A")], config, engine, weights=file)
    assert (table.values.shape, aside) == ((1, 5), [])
    from sarcofuse.deep import backbone

    carried = save_weights(backbone("onnx"), tmp_path / "bundle", file)
    assert digest_file(carried) == digest_file(file)
    assert find_weights(backbone("onnx"), carried) == carried
    again, _ = extract([make_case("A")], config, engine, weights=carried)
    assert again.values.tobytes() == table.values.tobytes()


def test_features_without_a_place_cannot_be_pooled_by_region(onnxruntime, tmp_path):
    with pytest.raises(ConfigError, match=r"have no place in the picture; set deep\.pooling: average"):
        extract_deep(*ball(), "onnx", {"weights": write_onnx(tmp_path / "e.onnx"), "crop": "largest", "layer": "last", "onnx": GREY})


def test_what_does_not_fit_is_told(onnxruntime, tmp_path):
    with pytest.raises(ConfigError, match="has no output other; it has map, vector"):
        OnnxEncoder(write_onnx(tmp_path / "e.onnx"), "other")
    with pytest.raises(WeightsError, match=r"takes pictures of shape \(3, 32, 32\), and deep\.onnx says \(1, 32, 32\)"):
        OnnxEncoder(write_onnx(tmp_path / "c.onnx", channels=3)).maps(torch.zeros(1, 1, 32, 32))
    with pytest.raises(WeightsError, match="takes exactly 4 pictures at a time"):
        OnnxEncoder(write_onnx(tmp_path / "four.onnx", first=4))
    (tmp_path / "no.onnx").write_bytes(b"nothing of the kind")
    with pytest.raises(WeightsError, match="cannot be read as an ONNX model"):
        OnnxEncoder(tmp_path / "no.onnx")


def test_without_onnxruntime_the_extra_is_named(tmp_path, monkeypatch):
    real = builtins.__import__

    def absent(name, *args, **kwargs):
        if name == "onnxruntime":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(ConfigError, match=r"pip install sarcofuse\[onnx\]"):
        OnnxEncoder(tmp_path / "e.onnx")


def test_channels_and_their_units_agree():
    with pytest.raises(ValueError, match="subtract must have 1 number with channels grey, found 3"):
        DeepConfig(onnx={"channels": "grey"})
