"""The OpenVINO back end, beside torch's own convolutions."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
import torch

from sarcofuse.config import SegmentConfig
from sarcofuse.config.segment import InferenceConfig
from sarcofuse.errors import ConfigError
from sarcofuse.records import Case
from sarcofuse.runtime import Engine
from sarcofuse.segment import Segmenter, segment
from sarcofuse.segment.inference import probability
from sarcofuse.segment.network import build_network
from sarcofuse.segment.openvino import compiled
from sarcofuse.segment.planning import make_plan
from tests.segment.test_parts import stats


def test_absent_package_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"OpenVINO is not installed; expected the package openvino. Run: pip install 'sarcofuse\[openvino\]'"):
        compiled(torch.nn.Conv3d(1, 1, 1))
    config = SegmentConfig(masks="model", inference=InferenceConfig(backend="openvino"))
    case = Case("P-1", "external", "A", tmp_path / "i.nii.gz", None, tmp_path / "i.nii.gz", "0", None, None)
    with Engine(tmp_path, scheduler="serial") as engine, pytest.raises(ConfigError, match=r"segment\.inference\.backend is openvino"):
        segment(Segmenter(tmp_path), [case], config, engine, out_of_fold=False)  # before anything is read


@pytest.mark.parametrize(("spacing", "channels"), [((4.0, 4.0, 5.0), 1), ((1.0, 1.0, 6.0), 3)])
def test_openvino_says_what_torch_says(spacing: tuple[float, float, float], channels: int):
    pytest.importorskip("openvino")
    plan = make_plan(stats(), SegmentConfig(spacing=spacing, patch=(32, 32, 16), filters=8, prompts=0), "cpu", 0)
    network = build_network({**plan.network, "in_channels": channels}, 5).eval()
    image = np.random.default_rng(0).normal(size=(channels, 20, 40, 32)).astype(np.float32)
    with torch.no_grad():
        for value in network.parameters():
            value.mul_(1.5)  # probabilities that are not all about one half
    twin = compiled(network)
    for shape in ((20, 40, 32), (9, 17, 12)):
        part = image[:, : shape[0], : shape[1], : shape[2]]
        by_torch, by_openvino = (probability(one, part, plan, flips=True) for one in (network, twin))
        assert by_openvino[0].std() > 0.02
        for expected, found in zip(by_torch, by_openvino, strict=True):
            assert found == pytest.approx(expected, abs=1e-3)
            assert ((found > 0.5) == (expected > 0.5)).mean() > 0.999
