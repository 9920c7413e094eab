"""Prediction by one network, with stand-ins whose answer is known, and with MONAI's sliding window as the reference."""

from __future__ import annotations

import itertools
import tracemalloc
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from monai.data.utils import compute_importance_map
from monai.inferers.utils import sliding_window_inference

from sarcofuse.config import SegmentConfig
from sarcofuse.config.segment import InferenceConfig
from sarcofuse.errors import StageError
from sarcofuse.segment.inference import Way, first_way, footprint_gb, probability, stepping_down
from sarcofuse.segment.network import build_network
from sarcofuse.segment.plan import Plan
from sarcofuse.segment.planning import make_plan
from sarcofuse.segment.quick import quicken
from sarcofuse.segment.windows import air, starts, weight
from tests.segment.test_parts import stats


class Slanted(torch.nn.Module):
    """Logit = weighted sum of the channels, plus a slope along x: what it says of a voxel depends on where the voxel lies."""

    def __init__(self, channels: int, slope: float = 0.0) -> None:
        super().__init__()
        self.weights = torch.nn.Parameter(torch.arange(1.0, channels + 1.0))
        self.slope, self.shapes = slope, []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.shapes.append(tuple(x.shape))
        ramp = torch.arange(x.shape[-1], dtype=x.dtype) * self.slope
        return (x * self.weights[None, :, None, None, None]).sum(1, keepdim=True) + ramp


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-x))


@pytest.fixture
def plan() -> Plan:
    return make_plan(stats(), SegmentConfig(spacing=(4.0, 4.0, 5.0), patch=(16, 16, 8), filters=8, prompts=0), "cpu", 0)


@pytest.mark.parametrize("shape", [(8, 16, 16), (5, 13, 11), (1, 3, 2), (20, 33, 17)])
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


@pytest.mark.parametrize(
    ("size", "window", "overlap", "count"), [(320, 224, 0.5, 2), (320, 224, 0.625, 3), (100, 40, 0.5, 4), (41, 40, 0.5, 2), (40, 40, 0.5, 1), (7, 40, 0.9, 1), (2000, 16, 0.5, 249)]
)
def test_windows_cover_an_axis_and_overlap(size: int, window: int, overlap: float, count: int):
    found = starts(size, window, overlap)
    assert len(found) == count
    assert found[0] == 0
    assert len(found) == 1 or found[-1] == size - window
    assert all(b - a <= window * (1 - overlap) + 1 for a, b in itertools.pairwise(found))


def test_weights_are_those_of_monai():
    assert weight((8, 21, 16)) == pytest.approx(compute_importance_map((8, 21, 16), "gaussian").numpy(), rel=1e-5)


def test_windows_agree_with_monai(plan: Plan):
    # 12, 24, 24 by windows of 8, 16, 16 at half overlap: MONAI's windows lie at 0 and 4, 0 and 8, 0 and 8, and so do ours
    network = build_network({**plan.network, "init_filters": 4}, 3).eval()
    image = np.random.default_rng(3).normal(size=(12, 24, 24)).astype(np.float32)
    with torch.inference_mode():
        expected = torch.sigmoid(sliding_window_inference(torch.from_numpy(image)[None, None], plan.shape, 1, network, overlap=0.5, mode="gaussian"))[0, 0].numpy()
    once, _ = probability(network, image, plan, flips=False)
    assert plan.shape == (8, 16, 16)
    assert once == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("patch", "shape", "window"),
    [
        ((16, 16, 8), (8, 16, 16), (8, 16, 16)),
        ((16, 16, 8), (5, 9, 4), (8, 16, 8)),
        ((16, 16, 8), (30, 17, 12), (8, 16, 16)),  # far longer along z: windows
        ((160, 160, 32), (35, 176, 100), (40, 176, 104)),  # hardly longer: one pass
        ((160, 160, 32), (32, 180, 100), (32, 160, 104)),
    ],
)
def test_what_goes_through_at_once_is_what_the_network_knows(plan: Plan, patch: tuple[int, int, int], shape: tuple[int, int, int], window: tuple[int, int, int]):
    known = make_plan(stats(), SegmentConfig(spacing=(4.0, 4.0, 5.0), patch=patch, filters=8), "cpu", 0)
    assert first_way(shape, known, "cpu", 4, InferenceConfig(memory_gb=8.0), []).window == window


def test_memory_decides_too(plan: Plan):
    large, notes = replace(plan, shape=(32, 320, 320), network={**plan.network, "init_filters": 32}), []
    assert footprint_gb((32, 320, 320), large) == pytest.approx(2.1, abs=0.05)  # 3,276,800 voxels x 32 filters x 4 bytes x 5
    assert first_way((32, 320, 320), large, "cpu", 4, InferenceConfig(memory_gb=2.2), notes) == Way("cpu", (32, 320, 320), 1)
    assert notes == []
    assert first_way((32, 320, 320), large, "cpu", 4, InferenceConfig(memory_gb=1.1), notes).window in ((32, 160, 320), (32, 320, 160))
    assert "memory_gb" in notes[0]
    assert "2.1 GB" in notes[0]


def test_air_around_the_patient_is_left_out(plan: Plan):
    rng = np.random.default_rng(4)
    image = rng.normal(-2.0, 0.02, (8, 64, 64)).astype(np.float32)
    image[:, 2:30, 2:30] = rng.normal(1.0, 0.3, (8, 28, 28))
    image[:, 10:20, 10:20] = -2.0  # a dark tumour
    nothing = air(image)
    assert nothing[:, 40:].all()
    assert not nothing[:, 2:30, 2:30].any()
    network = Slanted(1)
    once, _ = probability(network, image, plan, flips=False)
    assert sum(shape[0] for shape in network.shapes) == 16  # four by four windows of seven by seven hold some of the patient
    assert once[:, :30, :30] == pytest.approx(sigmoid(image[:, :30, :30]), abs=1e-6)
    assert (once[:, 48:, 48:] == 0).all()


def test_two_thousand_slices_take_the_memory_of_one_layer(plan: Plan):
    image = np.random.default_rng(5).normal(size=(2000, 16, 24)).astype(np.float32)
    network, plan = Slanted(1), replace(plan, shape=(64, 16, 16))
    probability(network, image[:100], plan, flips=True)
    tracemalloc.start()
    once, mean = probability(network, image, plan, flips=True)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert once == pytest.approx(sigmoid(image), abs=1e-6)
    assert mean == pytest.approx(once, abs=1e-6)
    assert peak < 7 * image.nbytes  # the padded image and the results; four passes over the whole volume and their count would make it 11
    assert {shape[2:] for shape in network.shapes} == {(64, 16, 16)}


class Greedy(Slanted):
    """Has room for so many voxels at a time."""

    def __init__(self, room: int) -> None:
        super().__init__(1)
        self.room = room

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.numel() > self.room:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
        return super().forward(x)


def test_less_memory_takes_fewer_windows_at_a_time(plan: Plan):
    image, notes = np.random.default_rng(6).normal(size=(8, 30, 16)).astype(np.float32), []
    _, expected = probability(Slanted(1), image, plan, flips=True)
    _, mean = probability(Greedy(8 * 16 * 16), image, plan, flips=True, notes=notes)
    assert np.array_equal(mean, expected)
    assert len(notes) == 1
    assert "ran out of memory: predicted with 1 windows at a time; the mask is the same" in notes[0]
    finer = replace(plan, factor=(2, 4, 4))
    _, mean = probability(Greedy(8 * 8 * 16), image, finer, flips=True, notes=notes)  # half a window
    assert mean == pytest.approx(expected, abs=1e-6)
    assert "smaller than the networks know" in notes[1]
    with pytest.raises(StageError, match="ran out of memory even with windows of 16 x 16 x 8 voxels"):
        probability(Greedy(100), image, plan, flips=True)


def test_a_gpu_gives_up_step_by_step(plan: Plan):
    tried: list[Way] = []

    def run(enough: Callable[[Way], bool]) -> Callable[[Way], str]:
        def attempt(way: Way) -> str:
            tried.append(way)
            if not enough(way):
                raise torch.cuda.OutOfMemoryError("CUDA out of memory")
            return "done"

        return attempt

    notes: list[str] = []
    start = Way("cuda", (8, 24, 24), 4)
    assert stepping_down(run(lambda way: way.device == "cpu"), start, plan, notes) == "done"
    assert tried == [start, Way("cuda", (8, 24, 24), 2), Way("cuda", (8, 24, 24), 1), Way("cuda", (8, 16, 16), 1), Way("cpu", (8, 16, 16), 1)]
    assert notes == ["the GPU ran out of memory: predicted on the processor, which is slower; the mask is the same"]
    with pytest.raises(RuntimeError, match="something else"):
        stepping_down(_broken, start, plan, notes)


def _broken(way: Way) -> str:
    raise RuntimeError("something else")


@pytest.mark.parametrize("resolution", [[5.0, 4.0, 4.0], [6.0, 1.0, 1.0]])
def test_quick_layers_say_the_same(plan: Plan, resolution: list[float]):
    network = build_network({**plan.network, "resolution": resolution, "blocks_down": [1, 1, 1, 1], "blocks_up": [1, 1, 1]}, 1).eval()
    with torch.no_grad():
        for name, value in network.named_parameters():
            value.add_(torch.from_numpy(np.random.default_rng(len(name)).normal(0, 0.1, value.shape).astype(np.float32)))
        x = torch.from_numpy(np.random.default_rng(7).normal(2.0, 3.0, (2, 1, 8, 24, 24)).astype(np.float32))
        before = network(x)
        twin = quicken(network)
        assert twin(x).numpy() == pytest.approx(before.numpy(), abs=2e-4 * float(before.abs().max()))
        assert torch.equal(network(x), before)  # the network itself is as it was
    assert {id(p) for p in twin.parameters()} == {id(p) for p in network.parameters()}
