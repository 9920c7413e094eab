"""A prompt reaches real networks: the very numbers that the network gives for image and channels stacked by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from sarcofuse.config import RefineConfig, SegmentConfig
from sarcofuse.records import Geometry, Prompt
from sarcofuse.segment.grid import to_working
from sarcofuse.segment.masking import _see
from sarcofuse.segment.network import build_network, save_weights
from sarcofuse.segment.plan import write_plan
from sarcofuse.segment.planning import make_plan
from sarcofuse.segment.prompting import network_input, work_prompt
from tests.segment.test_parts import stats

GRID = Geometry((32, 32, 8), (3.0, 3.0, 5.0))
CONFIG = SegmentConfig(masks="model", folds=2, spacing=(3.0, 3.0, 5.0), filters=4, device="cpu", refine=RefineConfig(flips=False))


@pytest.mark.parametrize(("prompts", "channels"), [(0.0, 1), (0.5, 5)])
def test_channels_reach_the_network(tmp_path: Path, prompts: float, channels: int) -> None:
    plan = make_plan(stats(), CONFIG.model_copy(update={"prompts": prompts}), "cpu", 0)
    write_plan(plan, tmp_path / "plan.json")
    network = build_network(plan.network, seed=1).eval()
    save_weights(network.state_dict(), tmp_path / "fold_0.safetensors")
    work = to_working(np.random.default_rng(0).normal(100, 20, GRID.shape).astype(np.float32), GRID.spacing, plan.spacing)
    prompt = work_prompt(Prompt(box=((20.0, 20.0, 8.0), (60.0, 50.0, 22.0))), GRID, work)

    def seen(with_prompt: bool) -> np.ndarray:
        return _see(tmp_path, [tmp_path / "fold_0.safetensors"], [0.5], CONFIG, [], work, prompt if with_prompt else None)[0, 1]

    assert (np.abs(seen(True) - seen(False)).max() > 1e-4) == (channels > 1)
    given = network_input(work, prompt, plan).array.reshape(-1, *work.array.shape)
    assert given.shape[0] == channels
    assert (given[0] == work.array).all()
    assert all(size % f == 0 for size, f in zip(given.shape[1:], plan.factor, strict=True)), "no padding, so that one pass is all"
    with torch.inference_mode():
        expected = torch.sigmoid(network(torch.from_numpy(given)[None]).float())[0, 0].numpy()
    assert seen(True) == pytest.approx(expected, abs=2e-5)
