"""Whether a network is there and answers is known before hours are spent."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from sarcofuse.config import DeepConfig
from sarcofuse.deep import BACKBONES, backbone, foresee, try_network
from sarcofuse.deep.networks import build
from sarcofuse.errors import ConfigError, WeightsError
from tests.deep.test_onnx import write_onnx

ONNX = {"backbone": "onnx", "crop": "largest", "onnx": {"size": 32, "channels": "grey", "subtract": [100.0], "divide": [50.0]}}


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_what_is_there_and_answers_is_well():
    assert foresee(DeepConfig()) == ("", False)
    assert foresee(DeepConfig(backbone="segresnet-encoder"), segmenter=True) == ("", False)


def test_what_a_run_will_download_is_no_error_and_nothing_is_downloaded(monkeypatch):
    monkeypatch.setattr("sarcofuse.deep.weights.download", None)
    text, fatal = foresee(DeepConfig(backbone="medicalnet-resnet10"))
    assert not fatal
    assert "the run will download them from https://huggingface.co/TencentMedicalNet/" in text
    assert text.endswith("or fetch them now: `sarcofuse weights fetch medicalnet-resnet10`")


@pytest.mark.parametrize(
    ("name", "words"),
    [("segresnet-encoder", "there is none; set segment.masks: model"), ("squeezenet1_0", "not offered for download"), ("resnet", "is not in the registry"), ("onnx", "name the file in deep.weights")],
)
def test_what_will_never_do_is_an_error(name, words):
    text, fatal = foresee(DeepConfig(backbone=name))
    assert fatal
    assert words in text


def test_weights_are_read_and_shown_a_box(tmp_path, monkeypatch):
    """Verified by a digest that is made to fit, so that only their tensors tell that they are another network's."""
    file = tmp_path / "resnet_10_23dataset.pth"
    with torch.random.fork_rng():
        torch.save(build("medicalnet-resnet10").state_dict(), file)
    for name in ("medicalnet-resnet10", "medicalnet-resnet18"):
        monkeypatch.setitem(BACKBONES, name, dataclasses.replace(backbone(name), sha256="", prefix="", url=""))
    try_network(DeepConfig(backbone="medicalnet-resnet10", layer="last"), file)
    text, fatal = foresee(DeepConfig(backbone="medicalnet-resnet18"), file)
    assert fatal
    assert "weights of another network than medicalnet-resnet18; tensors " in text


def test_an_onnx_file_is_shown_a_picture(tmp_path):
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (extra onnx)")
    file = write_onnx(tmp_path / "e.onnx")
    assert foresee(DeepConfig(**ONNX, layer="last", pooling="average"), file) == ("", False)
    with pytest.raises(ConfigError, match=r"have no place in the picture; set deep\.pooling: average"):
        try_network(DeepConfig(**ONNX, layer="last"), file)
    with pytest.raises(WeightsError, match=r"takes pictures of shape \(3, 32, 32\), and deep\.onnx says \(1, 32, 32\)"):
        try_network(DeepConfig(**ONNX), write_onnx(tmp_path / "colour.onnx", channels=3))
