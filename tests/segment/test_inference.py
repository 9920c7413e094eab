"""Prediction by one network, with stand-ins whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sarcofuse.config import SegmentConfig
from sarcofuse.segment.inference import probability
from sarcofuse.segment.plan import Plan, make_plan
from tests.segment.test_parts import stats


class Slanted(torch.nn.Module):
    """Logit = weighted sum of the channels, plus a slope along x: what it says of a voxel depends on where the voxel lies."""

    def __init__(self, channels: int, slope: float = 0.0) -> None:
        super().__init__()
        self.weights = torch.nn.Parameter(torch.arange(1.0, channels + 1.0))
        self.slope = slope

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        ramp = torch.arange(x.shape[-1], dtype=x.dtype) * self.slope
        return (x * self.weights[None, :, None, None, None]).sum(1, keepdim=True) + ramp


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-x))


@pytest.fixture
def plan() -> Plan:
    return make_plan(stats(), SegmentConfig(spacing=(4.0, 4.0, 5.0), patch=(16, 16, 8)), "cpu", 0)


@pytest.mark.parametrize("shape", [(8, 16, 16), (5, 13, 11), (1, 3, 2)])
def test_channels_are_flipped_together(plan: Plan, shape: tuple[int, int, int]):
    image = np.random.default_rng(0).normal(size=(3, *shape)).astype(np.float32)
    once, mean = probability(Slanted(3), image, plan, flips=True)
    expected = sigmoid(image[0] + 2 * image[1] + 3 * image[2])
    assert once.shape == mean.shape == shape
    assert once == pytest.approx(expected, abs=1e-6)
    assert mean == pytest.approx(expected, abs=1e-6)  # no flip moves anything: the voxel alone decides


def test_flips_average_over_mirrored_positions(plan: Plan):
    image = np.random.default_rng(1).normal(size=(4, 8, 16)).astype(np.float32)
    once, mean = probability(Slanted(1, slope=0.3), image, plan, flips=True)
    ramp = 0.3 * np.arange(16)
    assert once == pytest.approx(sigmoid(image + ramp), abs=1e-6)
    assert mean == pytest.approx((sigmoid(image + ramp) + sigmoid(image + ramp[::-1])) / 2, abs=1e-6)


def test_one_channel_may_stand_alone(plan: Plan):
    image = np.random.default_rng(2).normal(size=(4, 9, 7)).astype(np.float32)
    for alone, stacked in zip(probability(Slanted(1), image, plan, flips=True), probability(Slanted(1), image[None], plan, flips=True), strict=True):
        assert np.array_equal(alone, stacked)
