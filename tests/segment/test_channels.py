"""A prompt reaches real networks: the very numbers that the network gives for channels worked out here; and training shows it what prediction will."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sarcofuse.config import RefineConfig, SegmentConfig
from sarcofuse.records import Geometry, Prompt, Volume
from sarcofuse.segment import drawing
from sarcofuse.segment.batches import Sample, automatic_channels
from sarcofuse.segment.grid import to_working
from sarcofuse.segment.masking import _see
from sarcofuse.segment.network import build_network, save_weights
from sarcofuse.segment.plan import Plan, write_plan
from sarcofuse.segment.planning import make_plan
from sarcofuse.segment.prompting import network_input, work_image, work_prompt
from tests.segment.test_parts import stats

GRID = Geometry((32, 32, 8), (3.0, 3.0, 5.0))
CONFIG = SegmentConfig(masks="model", folds=2, spacing=(3.0, 3.0, 5.0), filters=4, device="cpu", refine=RefineConfig(flips=False))
LOW, HIGH = (20.0, 20.0, 8.0), (60.0, 50.0, 22.0)


def image() -> np.ndarray:
    return np.random.default_rng(0).normal(100, 20, GRID.shape).astype(np.float32)


def plan_of(prompts: float) -> Plan:
    return make_plan(stats(), CONFIG.model_copy(update={"prompts": prompts}), "cpu", 0)


@pytest.mark.parametrize(("prompts", "channels"), [(0.0, 1), (0.5, 5)])
def test_channels_reach_the_network(tmp_path: Path, prompts: float, channels: int) -> None:
    plan = plan_of(prompts)
    write_plan(plan, tmp_path / "plan.json")
    network = build_network(plan.network, seed=1).eval()
    save_weights(network.state_dict(), tmp_path / "fold_0.safetensors")
    work = to_working(image(), GRID.spacing, plan.spacing)
    prompt = work_prompt(Prompt(box=(LOW, HIGH)), GRID, work)

    def seen(with_prompt: bool) -> np.ndarray:
        return _see(tmp_path, [tmp_path / "fold_0.safetensors"], [0.5], CONFIG, [], work, prompt if with_prompt else None)[0, 1]

    assert (np.abs(seen(True) - seen(False)).max() > 1e-4) == (channels > 1)
    given = network_input(work, prompt, plan).array.reshape(-1, *work.array.shape)
    assert given.shape[0] == channels
    assert (given[0] == work.array).all()
    if channels > 1:
        z, y, x = (np.arange(n) * step for n, step in zip(GRID.shape, (5.0, 3.0, 3.0), strict=True))  # in mm: the grid begins at 0, 0, 0
        away = ((x - 40) / 20) ** 2 + ((y[:, None] - 35) / 15) ** 2 + ((z[:, None, None] - 15) / 7) ** 2
        assert given[1] == pytest.approx(np.maximum(1 - np.sqrt(away), -1.5), abs=1e-5)
        assert (given[2] == 1).all()
    assert all(size % f == 0 for size, f in zip(given.shape[1:], plan.factor, strict=True)), "no padding, so that one pass is all"
    with torch.inference_mode():
        expected = torch.sigmoid(network(torch.from_numpy(given)[None]).float())[0, 0].numpy()
    assert seen(True) == pytest.approx(expected, abs=2e-5)


def test_training_shows_boxes_as_prediction_does(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_of(0.5)
    work = to_working(image(), GRID.spacing, plan.spacing)
    prompt = work_prompt(Prompt(box=(LOW, HIGH)), GRID, work)
    monkeypatch.setattr(drawing, "draw_box", lambda *_: tuple(np.array(corner) for corner in prompt.box))
    label = np.zeros(GRID.shape, dtype=np.float32)
    label[3, 10, 12] = 1
    drawn = drawing.told(work.array, label, plan.spacing, "box", plan, np.random.default_rng(0))
    assert np.array_equal(drawn, network_input(work, prompt, plan).array)


@pytest.mark.parametrize(("prompts", "voxels"), [(0.0, 0), (0.5, 0), (0.5, 4000)])
def test_training_judges_cases_as_prediction_sees_them(prompts: float, voxels: int) -> None:
    plan = replace(plan_of(prompts), voxels=voxels)
    work = work_image(Volume(image(), GRID), plan)
    sample = Sample(work.array.astype(np.float16), np.zeros(work.array.shape, dtype=np.uint8), work.spacing)
    found = automatic_channels(sample, plan)
    expected = network_input(replace(work, array=sample.image.astype(np.float32)), None, plan).array
    assert np.array_equal(found, expected)
    assert found.ndim == (4 if prompts else 3)
    if prompts:
        assert found[1].any() == (voxels > 0)  # the middle is expected of cropped images only
        assert not found[2].any()
