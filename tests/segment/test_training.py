"""Training: broken and resumed to the same bytes, divergence, loss and learning rate by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sarcofuse.errors import StageError, WeightsError
from sarcofuse.runtime import read_json
from sarcofuse.segment import batches, training
from sarcofuse.segment.augment import augment, coarsen, place
from sarcofuse.segment.network import build_network, load_network, pick_device, save_weights
from sarcofuse.segment.plan import Plan

NETWORK = {"spatial_dims": 3, "init_filters": 4, "in_channels": 1, "out_channels": 1, "norm": "batch", "blocks_down": [1, 1, 1], "dsdepth": 1, "resolution": [5.0, 2.0, 2.0]}
PLAN = Plan((2.0, 2.0, 5.0), (8, 16, 16), (2, 4, 4), NETWORK, 4, 2, 1e-2, "cpu", 2, 0, {})


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    room, found = tmp_path_factory.mktemp("arrays"), []
    for i in range(5):
        rng = np.random.default_rng(i)
        label = np.zeros((6 + i % 2, 15, 18), dtype=np.uint8)
        label[2:5, 4 + i : 9 + i, 5:11] = 255
        image = rng.normal(0, 0.5, label.shape) + label / 128.0
        np.savez(room / f"{i}.npz", image=image.astype(np.float16), label=label, spacing=(2.0, 2.0, 5.0))
        found.append(room / f"{i}.npz")
    return found


def run(folder: Path, files: list[Path], plan: Plan = PLAN) -> bytes:
    folder.mkdir(exist_ok=True)
    training.train_fold(folder, plan, 1, files[:4], files[4:])
    return (folder / "weights.safetensors").read_bytes()


def test_broken_training_ends_with_the_same_bytes(tmp_path: Path, files: list[Path], monkeypatch: pytest.MonkeyPatch):
    straight = run(tmp_path / "straight", files)
    original, seen = training.report_step, []

    def stop_at_second(folder: Path, done: int) -> None:
        original(folder, done)
        seen.append(done)
        if done == 2:
            raise KeyboardInterrupt("pulled the plug")

    with monkeypatch.context() as patch:
        patch.setattr(training, "report_step", stop_at_second)
        with pytest.raises(KeyboardInterrupt, match="pulled the plug"):
            run(tmp_path / "broken", files)
    assert seen == [1, 2]
    assert (tmp_path / "broken" / "checkpoint.pt").exists()
    torch.rand(1000)  # the global generator moves on
    (tmp_path / "broken" / ".part-abc.pt").write_bytes(b"half a checkpoint")
    assert run(tmp_path / "broken", files) == straight
    assert sorted(f.name for f in (tmp_path / "broken").iterdir()) == ["history.json", "steps", "weights.safetensors"]
    assert read_json(tmp_path / "broken" / "history.json") == read_json(tmp_path / "straight" / "history.json")


def test_seed_and_fold_matter_and_global_state_does_not(tmp_path: Path, files: list[Path]):
    short = replace(PLAN, epochs=1)
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    first = run(tmp_path / "a", files, short)
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)
    assert run(tmp_path / "b", files, replace(short, seed=1)) != first
    torch.manual_seed(5)
    assert run(tmp_path / "c", files, short) == first


def test_checkpoint_is_loaded_without_pickle(tmp_path: Path, files: list[Path], monkeypatch: pytest.MonkeyPatch):
    asked = []
    original = torch.load

    def watched(*args: object, **kwargs: object) -> object:
        asked.append(kwargs.get("weights_only"))
        return original(*args, **kwargs)

    def stop(folder: Path, done: int) -> None:
        raise KeyboardInterrupt("pulled the plug")

    with monkeypatch.context() as patch:
        patch.setattr(training, "report_step", stop)
        with pytest.raises(KeyboardInterrupt, match="pulled the plug"):
            run(tmp_path / "x", files)
    monkeypatch.setattr(torch, "load", watched)
    run(tmp_path / "x", files, PLAN)
    assert asked == [True]


def test_divergence_restarts_once_with_half_the_rate(tmp_path: Path, files: list[Path], monkeypatch: pytest.MonkeyPatch):
    original, rates, attempts = training.loss_of, [], []
    monkeypatch.setattr(training, "learning_rate", lambda plan, done, attempt: rates.append(attempt) or 1e-3)

    def bad_at_first(logits: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
        attempts.append(rates[-1])
        loss = original(logits, share)
        return loss * float("nan") if len(attempts) == 3 else loss

    monkeypatch.setattr(training, "loss_of", bad_at_first)
    run(tmp_path / "once", files, replace(PLAN, epochs=2))
    assert attempts == [0, 0, 0, 1, 1, 1, 1]  # two batches an epoch: it broke in the second epoch and began again
    assert read_json(tmp_path / "once" / "history.json")["attempts"] == 2


def test_divergence_twice_is_told(tmp_path: Path, files: list[Path], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(training, "loss_of", lambda logits, share: (logits * float("nan")).sum())
    with pytest.raises(StageError, match=r"fold 1 diverged twice.*0\.005.*Lower segment.learning_rate"):
        run(tmp_path / "twice", files)


def test_learning_rate_rises_and_falls():
    assert training.learning_rate(PLAN, 0.0, 0) == pytest.approx(0.0005)
    assert training.learning_rate(PLAN, 0.15, 0) == pytest.approx(0.01)
    assert training.learning_rate(PLAN, 0.575, 0) == pytest.approx(0.005)  # half way down the cosine
    assert training.learning_rate(PLAN, 1.0, 0) == pytest.approx(0.0)
    assert training.learning_rate(PLAN, 0.15, 1) == pytest.approx(0.005)


def test_loss_by_hand():
    logits, share = torch.tensor([0.0, math.log(3.0)]).reshape(1, 1, 1, 1, 2), torch.tensor([0.0, 1.0]).reshape(1, 1, 1, 1, 2)
    overlap = 1 - (2 * 0.75 + 1) / (1.25 + 1 + 1)  # probabilities 1/2 and 3/4
    entropy = -(math.log(0.5) + math.log(0.75)) / 2
    assert float(training.loss_of(logits, share)) == pytest.approx(overlap + entropy, rel=1e-6)


def test_batches_hold_every_case_once_and_like_sizes():
    shapes = [(4, 4, 4)] * 3 + [(8, 16, 16)] * 4
    dealt = batches.make_batches(shapes, PLAN, np.random.default_rng(0))
    assert sorted(np.concatenate(dealt).tolist()) == list(range(7))
    assert sum(len({shapes[i] for i in batch}) > 1 for batch in dealt) <= 1


@pytest.mark.parametrize("channels", [1, 5])
def test_batch_has_the_channels_that_the_network_takes(tmp_path: Path, files: list[Path], channels: int):
    plan = replace(PLAN, network={**NETWORK, "in_channels": channels}, epochs=1, prompts=0.5, radius_mm=10.0)
    samples = [batches.read_sample(file) for file in files[:2]]
    image, share = batches.make_batch(samples, plan, np.random.default_rng(0))
    assert image.shape == (2, channels, 8, 16, 16)  # cropped to the plan's patch
    assert share.shape == (2, 1, 8, 16, 16)
    alone = batches.make_batch(samples[:1], PLAN, np.random.default_rng(0))[0]
    assert torch.equal(batches.make_batch(samples[:1], plan, np.random.default_rng(0))[0][:, :1], alone)  # the image is the same, whatever stands beside it
    training.train_fold(tmp_path, plan, 0, files[:2], [])
    assert load_network(plan.network, tmp_path / "weights.safetensors")(image).shape == (2, 1, 8, 16, 16)


def test_crop_keeps_tumour_and_padding_repeats_the_edge():
    image, label = np.random.default_rng(0).random((6, 30, 10), dtype=np.float32), np.zeros((6, 30, 10), dtype=np.float32)
    label[2, 25, 5] = 1
    for seed in range(20):
        some, share = place(image, label, (8, 8, 8), np.random.default_rng(seed))
        assert some.shape == share.shape == (8, 8, 8)
        assert share.max() == 1
    padded, _ = place(image[:1], label[:1], (4, 30, 10), np.random.default_rng(0))
    assert (padded == image[0]).all()


def test_larger_voxels_blur_one_way_alone_and_keep_the_mean():
    checks = torch.from_numpy((np.indices((12, 24, 24)).sum(axis=0) % 2).astype(np.float32))
    through, along = torch.zeros((12, 24, 24)), torch.zeros((12, 24, 24))
    through[::2], along[:, :, ::2] = 1.0, 1.0
    blurred = []
    for seed in range(8):
        assert coarsen(checks, np.random.default_rng(seed)).mean() == pytest.approx(0.5, abs=0.05)
        changed = [float((coarsen(stripes, np.random.default_rng(seed)) - stripes).abs().mean()) for stripes in (through, along)]
        assert min(changed) < 1e-6  # thick slices leave the plane as it was, and the other way round
        blurred.append(int(np.argmax(changed)) if max(changed) > 0.05 else -1)
    assert {0, 1} <= set(blurred)


def test_augmentation_moves_image_and_label_alike():
    label = np.zeros((6, 40, 40), dtype=np.float32)
    label[2:4, 8:20, 10:30] = 1
    for seed in range(12):
        image, share = augment(torch.from_numpy(label * 4.0), torch.from_numpy(label), np.random.default_rng(seed))
        again, _ = augment(torch.from_numpy(label * 4.0), torch.from_numpy(label), np.random.default_rng(seed))
        assert torch.equal(image, again)
        inside, outside = image[share > 0.9].mean(), image[share < 0.1].mean()
        assert inside - outside > 1.0
        assert torch.isfinite(image).all()


def test_weights_are_those_of_plain_monai(tmp_path: Path):
    from monai.networks.nets.segresnet_ds import SegResNetDS
    from safetensors.torch import load_file

    network = build_network(NETWORK)
    assert all(type(s) is int for m in network.modules() if hasattr(m, "stride") for s in m.stride)
    save_weights(network.state_dict(), tmp_path / "w.safetensors")
    plain = SegResNetDS(**{**NETWORK, "resolution": tuple(NETWORK["resolution"])})
    plain.load_state_dict(load_file(tmp_path / "w.safetensors"))
    x = torch.randn(2, 1, 4, 8, 8)
    with torch.no_grad():
        assert torch.allclose(plain.eval()(x), load_network(NETWORK, tmp_path / "w.safetensors")(x), atol=1e-5)


def test_wrong_weights_are_refused(tmp_path: Path):
    save_weights(build_network(NETWORK).state_dict(), tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match=r"w.safetensors cannot be loaded"):
        load_network({**NETWORK, "init_filters": 8}, tmp_path / "w.safetensors")
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "w.safetensors").read_bytes()[:200])
    with pytest.raises(WeightsError, match=r"cut.safetensors cannot be loaded"):
        load_network(NETWORK, tmp_path / "cut.safetensors")


def test_device_without_a_gpu(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick_device("auto") == pick_device("cpu") == "cpu"
    with pytest.raises(StageError, match="torch sees no GPU"):
        pick_device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert (pick_device("auto"), pick_device("cpu")) == ("cuda", "cpu")
