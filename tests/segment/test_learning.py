"""Early stopping, deep supervision, accumulated gradients, memory, transfer: each against something worked out otherwise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sarcofuse.config import SegmentConfig
from sarcofuse.errors import StageError, WeightsError
from sarcofuse.runtime import read_json, write_json
from sarcofuse.segment import batches, memory, stopping, training, transfer
from sarcofuse.segment.augment import place
from sarcofuse.segment.group import ALONE
from sarcofuse.segment.network import build_network, save_weights
from sarcofuse.segment.objective import loss_of, pyramid
from sarcofuse.segment.plan import Plan
from sarcofuse.segment.planning import make_plan
from sarcofuse.segment.state import fresh
from tests.segment.test_parts import stats
from tests.segment.test_training import NETWORK, PLAN

INSTANCE = {**NETWORK, "norm": "instance"}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Eight small cases."""
    room, found = tmp_path_factory.mktemp("eight"), []
    for i in range(8):
        rng = np.random.default_rng(i)
        label = np.zeros((6 + i % 2, 15, 18), dtype=np.uint8)
        label[2:5, 4 + i % 4 : 9 + i % 4, 5:11] = 255
        np.savez(room / f"{i}.npz", image=(rng.normal(0, 0.5, label.shape) + label / 128.0).astype(np.float16), label=label, spacing=(2.0, 2.0, 5.0))
        found.append(room / f"{i}.npz")
    return found


def train(folder: Path, plan: Plan, files: Sequence[Path], **more: object) -> dict:
    folder.mkdir(exist_ok=True)
    training.train_fold(folder, plan, 1, files[:7], files[7:], **more)
    return read_json(folder / "history.json")


# --- early stopping


def test_inner_patients_are_some_of_the_training_patients():
    plan = replace(PLAN, early_stopping=True)
    chosen = stopping.inner_patients(plan, 0, 24)
    assert len(chosen) == 4  # one in six
    assert chosen == sorted(set(chosen))
    assert set(chosen) <= set(range(24))
    assert stopping.inner_patients(plan, 1, 24) != chosen
    assert len(stopping.inner_patients(plan, 0, 6)) == 2  # two at least
    assert stopping.inner_patients(plan, 0, 5) == []  # three to learn from are too few
    assert stopping.inner_patients(PLAN, 0, 24) == []


def test_stops_after_a_quarter_of_the_epochs_without_a_better_one():
    plan = replace(PLAN, epochs=40)
    assert [e for e in range(1, 11) if stopping.due(plan, e)] == [2, 4, 6, 8, 10]
    assert not stopping.stop(plan, 39, 0)
    assert not stopping.stop(plan, 29, 20)
    assert stopping.stop(plan, 30, 20)


def test_held_out_patients_have_no_say(tmp_path: Path, files: list[Path]):
    plan = replace(PLAN, network=INSTANCE, early_stopping=True, epochs=3)
    for name, held_out in (("with", files[7:]), ("without", [])):
        (tmp_path / name).mkdir()
        training.train_fold(tmp_path / name, plan, 1, files[:7], held_out)
    assert (tmp_path / "with" / "weights.safetensors").read_bytes() == (tmp_path / "without" / "weights.safetensors").read_bytes()


def test_early_stopping_end_to_end(tmp_path: Path, files: list[Path], monkeypatch: pytest.MonkeyPatch):
    plan = replace(PLAN, network=INSTANCE, early_stopping=True, epochs=8)
    rising, kept, seen = {1: 0.1, 2: 0.5, 3: 0.4, 4: 0.5}, {}, []
    original = training._judge

    def judge(state: object, plan: Plan, inner: list, group: object) -> None:
        monkeypatch.setattr(training, "_dice", lambda network, plan, sample: rising[state.epoch])
        original(state, plan, inner, group)
        seen.append(len(inner))
        kept[state.epoch] = {name: value.clone() for name, value in state.average.items()}

    with monkeypatch.context() as patch:
        patch.setattr(training, "_judge", judge)
        history = train(tmp_path / "a", plan, files)
    assert history["inner_dice"] == [[1, 0.1], [2, 0.5], [3, 0.4], [4, 0.5]]  # then a quarter of eight epochs went by
    assert (history["kept_epoch"], history["inner_patients"], len(history["losses"])) == (2, 2, 4)
    assert set(seen) == {2}
    save_weights(kept[2], tmp_path / "second.safetensors")
    assert (tmp_path / "a" / "weights.safetensors").read_bytes() == (tmp_path / "second.safetensors").read_bytes()


def test_early_stopping_resumes_to_the_same_bytes(tmp_path: Path, files: list[Path], monkeypatch: pytest.MonkeyPatch):
    plan = replace(PLAN, network=INSTANCE, early_stopping=True, epochs=4)
    straight = train(tmp_path / "straight", plan, files)

    def stop(folder: Path, done: int) -> None:
        if done == 2:
            raise KeyboardInterrupt("pulled the plug")

    with monkeypatch.context() as patch:
        patch.setattr(training, "report_step", stop)
        with pytest.raises(KeyboardInterrupt, match="pulled the plug"):
            train(tmp_path / "broken", plan, files)
    assert train(tmp_path / "broken", plan, files) == straight
    assert (tmp_path / "broken" / "weights.safetensors").read_bytes() == (tmp_path / "straight" / "weights.safetensors").read_bytes()


def test_plan_stops_early_only_where_much_is_seen():
    assert not make_plan(stats(), SegmentConfig(), "cpu", 0).early_stopping  # 2,600 volumes
    assert make_plan(stats(), SegmentConfig(epochs=100), "cpu", 0).early_stopping  # 6,000
    assert not make_plan(stats(cases=10), SegmentConfig(epochs=5000), "cpu", 0).early_stopping  # seven or eight patients a fold
    assert make_plan(stats(), SegmentConfig(early_stopping=True), "cpu", 0).early_stopping


# --- loss and steps


def test_deep_supervision_by_hand():
    share = torch.tensor([[0.0, 1.0], [1.0, 1.0]]).reshape(1, 1, 1, 2, 2)
    fine, coarse = torch.zeros(1, 1, 1, 2, 2), torch.zeros(1, 1, 1, 1, 1)
    (w1, _, t1), (w2, _, t2) = pyramid(share, [fine, coarse])
    assert (w1, w2) == (pytest.approx(2 / 3), pytest.approx(1 / 3))
    assert torch.equal(t1, share)
    assert float(t2) == 0.75  # three of four voxels
    assert float(loss_of(coarse, t2)) == pytest.approx(1 - (2 * 0.5 * 0.75 + 1) / (0.5 + 0.75 + 1) + math.log(2))
    assert pyramid(share, fine)[0][0] == 1.0


def test_network_with_deep_supervision_learns_and_answers_once(tmp_path: Path, files: list[Path]):
    plan = replace(PLAN, network={**INSTANCE, "blocks_down": [1, 1, 1], "dsdepth": 2}, epochs=2)
    history = train(tmp_path, plan, files)
    assert history["losses"][1] < history["losses"][0]
    assert len(history["held_out_dice"]) == 1


def plain_batch(samples: Sequence[batches.Sample], plan: Plan, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Cases as they are, padded to one shape."""
    padded = [[np.pad(a.astype(np.float32), [(0, n - m) for n, m in zip((8, 16, 20), a.shape, strict=True)]) for a in (s.image, s.label / 255)] for s in samples]
    image, share = (torch.stack([torch.from_numpy(pair[k])[None] for pair in padded]) for k in (0, 1))
    return image, share


def test_accumulated_gradients_are_those_of_the_large_batch(files: list[Path], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(training, "make_batch", plain_batch)
    samples, plan, found = [batches.read_sample(file) for file in files[:3]], replace(PLAN, network=INSTANCE), []
    for parts in ([samples], [samples[:2], samples[2:]]):
        state = fresh(plan, 0, None)
        loss = training.take_step(state, plan, [(len(part) / 3, part, np.random.default_rng(0)) for part in parts], ALONE)
        found.append((loss, torch.cat([p.grad.reshape(-1) for p in state.network.parameters()])))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-6)
    assert torch.allclose(found[0][1], found[1][1], atol=1e-6)
    assert found[0][1].abs().max() > 1e-3


def test_share_of_patches_on_the_tumour(files: list[Path]):
    image, label = np.zeros((4, 64, 64), dtype=np.float32), np.zeros((4, 64, 64), dtype=np.float32)
    label[:, :8, :8] = 1  # a sixteenth of the plane's sides each way: seldom met by chance
    sample = batches.Sample(image.astype(np.float16), (label * 255).astype(np.uint8))
    for wanted, low, high in ((1.0, 1.0, 1.0), (0.5, 0.3, 0.75), (0.0, 0.0, 0.3)):
        plan = replace(PLAN, network=NETWORK, shape=(4, 16, 16), tumour_share=wanted)
        hits = [bool(batches.make_batch([sample], plan, np.random.default_rng(i))[1].max() > 0.5) for i in range(60)]
        assert low <= np.mean(hits) <= high
    assert place(image, label, (4, 16, 16), np.random.default_rng(0), on_tumour=False)[0].shape == (4, 16, 16)


def test_image_of_one_deepest_voxel_can_be_trained_on():
    sample = batches.Sample(np.zeros((1, 3, 4), dtype=np.float16), np.full((1, 3, 4), 255, dtype=np.uint8))
    image, share = batches.make_batch([sample], PLAN, np.random.default_rng(0))
    assert image.shape == (1, 1, 2, 4, 8)
    assert torch.isfinite(loss_of(fresh(replace(PLAN, network=INSTANCE), 0, None).network(image), share))


# --- memory


@pytest.mark.parametrize(
    ("change", "shape"),
    [
        ({"blocks_down": [0, 1, 1, 1], "blocks_up": [1, 1, 0], "resolution": [5.0, 4.0, 4.0]}, (16, 32, 32)),
        ({"blocks_down": [1, 2, 2], "dsdepth": 2, "resolution": [5.0, 4.0, 4.0]}, (8, 24, 32)),
        ({"in_channels": 3, "resolution": [5.0, 1.0, 1.0]}, (4, 48, 48)),
    ],
)
def test_activations_are_as_large_as_estimated(change: dict, shape: tuple[int, int, int]):
    network = {**INSTANCE, "init_filters": 8, **change}
    module, kept = build_network(network), {}
    weights = {p.untyped_storage().data_ptr() for p in module.parameters()}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    image, share = torch.rand(1, network["in_channels"], *shape), torch.rand(1, 1, *shape)
    with torch.autograd.graph.saved_tensors_hooks(note, lambda t: t):  # what autograd really keeps
        total = sum(w * loss_of(logits, target) for w, logits, target in pyramid(share, module.train()(image)))
    assert total > 0
    measured = sum(size for place_, size in kept.items() if place_ not in weights)
    assert memory.activation_bytes(network, shape) == pytest.approx(measured, rel=0.05)
    assert memory.weight_bytes(network) == pytest.approx(sum(p.numel() * 4 for p in module.parameters()), rel=0.02)


def test_plan_steps_down_to_the_memory_there_is():
    plan = make_plan(stats(), SegmentConfig(), "cuda", 0)
    assert memory.fit(plan, 64) is plan
    tiny = memory.fit(plan, 2, narrow=True)
    assert tiny.network["init_filters"] < 32
    assert memory.training_bytes(tiny) <= 0.8 * 2 * 2**30
    assert np.prod(tiny.shape) * 8 >= np.prod(plan.shape)
    assert tiny.reasons["memory"].startswith("1.6 of 2 GiB may be used: 32 to 16 filters")
    small = memory.fit(plan, 4)
    assert (small.batch, small.accumulate) == (1, 2)
    assert np.prod(small.shape) < np.prod(plan.shape)
    assert all(n % f == 0 for n, f in zip(small.shape, small.factor, strict=True))
    assert memory.training_bytes(small) <= 0.8 * 4 * 2**30 < memory.training_bytes(plan)
    assert small.reasons["memory"].startswith("3.2 of 4 GiB may be used: batch 2 to 1, 2 of them added up before each step; patch ")
    assert memory.folds_at_once(plan, 60, 16, 4) == 4
    assert memory.folds_at_once(replace(plan, processes=2), 60, 16, 4) == 2
    wide = make_plan(stats(), SegmentConfig(filters=64, spacing=(1.5, 1.5, 5.0)), "cpu", 0)
    assert 1 <= memory.folds_at_once(wide, 60, 8, 0) < 4 == memory.folds_at_once(wide, 60, 256, 0)


def test_memory_of_a_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    whole = memory.memory_gb("cpu")
    assert whole >= 1
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(memory, "CGROUP", limit)
    limit.write_text("max\n")
    assert memory.memory_gb("cpu") >= whole
    limit.write_text(f"{3 * 2**29}\n")  # 1.5 GiB
    assert memory.memory_gb("cpu") == 1


def test_gpu_out_of_memory_steps_down_and_says_so(tmp_path: Path, files: list[Path], monkeypatch: pytest.MonkeyPatch):
    original, tried = training.make_batch, []

    def small_gpu(samples: Sequence[batches.Sample], plan: Plan, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        tried.append((len(samples), plan.shape))
        if len(samples) > 1 or plan.shape[2] > 16:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return original(samples, plan, rng)

    monkeypatch.setattr(training, "make_batch", small_gpu)
    plan = replace(PLAN, network=INSTANCE, epochs=2, shape=(8, 16, 32))
    history = train(tmp_path / "a", plan, files)
    assert [t for i, t in enumerate(tried) if t not in tried[:i]] == [(2, (8, 16, 32)), (1, (8, 16, 32)), (1, (8, 16, 16))]
    assert history["stepped_down"] == ["batch 2 to 1, 2 of them added up before each step", "patch 32 x 16 x 8 to 16 x 16 x 8 voxels"]
    assert len(history["losses"]) == 2
    monkeypatch.setattr(training, "make_batch", original)
    direct = train(tmp_path / "b", replace(plan, batch=1, accumulate=2, shape=(8, 16, 16)), files)
    assert direct["losses"] == history["losses"]  # as if it had been planned so
    monkeypatch.setattr(training, "make_batch", lambda *_: (_ for _ in ()).throw(torch.OutOfMemoryError("CUDA out of memory")))
    with pytest.raises(StageError, match=r"fold 1: the GPU is out of memory even with patches of 16 x 16 x 8 voxels one at a time. Lower segment.filters"):
        train(tmp_path / "c", plan, files)


# --- transfer


def saved(tmp_path: Path, **change: object) -> tuple[dict, dict[str, torch.Tensor], Path]:
    network = {**INSTANCE, **change}
    state = build_network(network, 3).state_dict()
    save_weights(state, tmp_path / "start.safetensors")
    return network, state, tmp_path / "start.safetensors"


def test_starts_from_given_weights(tmp_path: Path, files: list[Path]):
    network, state, file = saved(tmp_path)
    start = transfer.read_start(file, network, 0)
    assert (start.fresh, start.unused, start.widened) == ((), (), False)
    assert all(torch.equal(start.weights[name], value) for name, value in state.items())
    begun = fresh(replace(PLAN, network=network), 0, start.weights)
    assert all(torch.equal(begun.average[name], value) for name, value in state.items())
    first = train(tmp_path / "from", replace(PLAN, network=network, epochs=1), files, start=start)
    assert first["start"] == f"{len(state)} weights taken"
    assert first["losses"] != train(tmp_path / "fresh", replace(PLAN, network=network, epochs=1), files)["losses"]


def test_prompt_channels_are_added_to_given_weights(tmp_path: Path):
    network, _, file = saved(tmp_path)
    start = transfer.read_start(file, {**network, "in_channels": 3}, 0)
    assert "zeros for the further input channels" in start.told()
    wide, narrow = build_network({**network, "in_channels": 3}), build_network(network)
    wide.load_state_dict(start.weights)
    narrow.load_state_dict(transfer.read_start(file, network, 0).weights)
    image = torch.randn(1, 3, 4, 8, 8)
    with torch.no_grad():
        assert torch.allclose(wide.eval()(image), narrow.eval()(image[:, :1]), atol=1e-5)


def test_weights_of_monais_segresnet_give_the_same_encoder(tmp_path: Path):
    from monai.networks.nets.segresnet import SegResNet

    plain = SegResNet(3, 8, 1, 1, norm="instance", blocks_down=(1, 2, 2), blocks_up=(1, 1)).eval()
    torch.save({"state_dict": {f"module.{name}": value for name, value in plain.state_dict().items()}}, tmp_path / "plain.pt")
    network = {**INSTANCE, "init_filters": 8, "blocks_down": [1, 2, 2], "blocks_up": [1, 1], "resolution": [1.0, 1.0, 1.0]}
    start = transfer.read_start(tmp_path / "plain.pt", network, 0)
    assert set(start.fresh) == {f"up_layers.{i}.upsample.deconv.weight" for i in (0, 1)} | {"up_layers.1.head.weight", "up_layers.1.head.bias"} | norms(network)
    assert all(name.startswith(("up_samples", "conv_final")) for name in start.unused)
    ours = build_network(network).eval()
    ours.load_state_dict(start.weights, strict=False)
    image = torch.randn(1, 1, 8, 8, 16)
    with torch.no_grad():
        deepest = plain.encode(image)[0]
        assert torch.allclose(ours.encoder(image)[-1], deepest, atol=1e-5)


def norms(network: dict) -> set[str]:
    """SegResNet's instance norm has no weights; SegResNetDS's has."""
    return {name for name in build_network(network).state_dict() if ".norm" in name}


def test_unfit_starts_are_refused(tmp_path: Path):
    network, _, file = saved(tmp_path)
    with pytest.raises(WeightsError, match=r"network of another size: encoder\.conv_init\.weight has shape \(4, 1, .*expected \(8, 1, .*Set segment.filters"):
        transfer.read_start(file, {**network, "init_filters": 8}, 0)
    torch.save({"other": torch.zeros(3)}, tmp_path / "other.pt")
    with pytest.raises(WeightsError, match=r"other.pt holds 0% of the network's weights.*its first is other"):
        transfer.read_start(tmp_path / "other.pt", network, 0)
    torch.save(torch.nn.Conv3d(1, 1, 1), tmp_path / "pickled.pt")
    with pytest.raises(WeightsError, match=r"pickled.pt cannot be read as plain weights"):
        transfer.read_start(tmp_path / "pickled.pt", network, 0)
    with pytest.raises(WeightsError, match=r"is not there, or holds no segmenter.json"):
        transfer.start_digest(tmp_path / "nowhere")


def test_folder_of_a_segmenter_gives_each_fold_its_own(tmp_path: Path):
    network, state, file = saved(tmp_path)
    room = tmp_path / "my bundle" / "segmenter"
    room.mkdir(parents=True)
    (room / "fold_0.safetensors").write_bytes(file.read_bytes())
    save_weights(build_network(network, 4).state_dict(), room / "fold_1.safetensors")
    write_json({"folds": [{"file": "fold_0.safetensors"}, {"file": "fold_1.safetensors"}]}, room / "segmenter.json")
    name = "encoder.conv_init.weight"
    first, second, third = (transfer.read_start(tmp_path / "my bundle", network, fold).weights[name] for fold in range(3))
    assert torch.equal(first, state[name])
    assert not torch.equal(first, second)
    assert torch.equal(third, first)
    before = transfer.start_digest(room)
    assert before == transfer.start_digest(tmp_path / "my bundle")  # the place does not matter
    (room / "fold_1.safetensors").write_bytes(file.read_bytes())
    assert transfer.start_digest(room) != before
