"""Maps of networks that learnt the outcome: they add up where they say so, go by the book where they say so, and ask only the networks that may be asked."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from sarcofuse.config import DeepConfig
from sarcofuse.deep import begin_fine_tuning, explain_tuned, explain_tuned_cases
from sarcofuse.deep.bags import fill_bag
from sarcofuse.deep.cam import SliceHead, cell_maps, choose_method, pool_rows
from sarcofuse.deep.heads import AttentionHead, Head, TransformerHead
from sarcofuse.deep.look import Source
from sarcofuse.deep.parts import head_parts
from sarcofuse.deep.tuned import NETWORK, NOTES, build_tuned, score
from sarcofuse.errors import ConfigError, MaskError
from sarcofuse.metrics import grouped_folds
from sarcofuse.records import Mask, Volume
from sarcofuse.runtime import Engine
from tests.deep.conftest import ball
from tests.deep.test_why import Eyes, Spots

SMALL = {"shape": (8, 32, 32), "centre": (4, 16, 16)}
HERE = Source(None, "none", "cpu")


@pytest.fixture
def eyes(monkeypatch):
    def put(network=None):
        network = network or Eyes()
        for home in ("look", "bags"):
            monkeypatch.setattr(f"sarcofuse.deep.{home}.load", lambda *_: network)

    return put


def settings(mode="probe", head="pool", **changes):
    plain = {"backbone": "cifar-resnet20", "crop": "all", "layer": "blocks", "pooling": "average", "margin_mm": 10.0, "head": head, "fine_tune": {"mode": mode, "rank": 2}}
    return DeepConfig.model_validate({**plain, **changes})


def teach(folder, config, tokens, seed=0, source=HERE, change=None):
    """A network that has learnt nothing but random weights, kept as learning keeps one."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        tuned = build_tuned(config, source, tokens.shape[1])
        tuned.head.standardise(torch.from_numpy(0.8 * tokens))  # so that the patient is not the mean
        tuned.head.out.weight.data = torch.randn(tuned.head.out.weight.shape) / np.sqrt(tuned.head.out.in_features)
        for parameter in [p for group in tuned.groups for p in group]:
            parameter.data += 0.3 * parameter.data.std() * torch.randn(parameter.shape)
    if change is not None:
        change(tuned)
    folder.mkdir(parents=True)
    save_file(tuned.state(), folder / NETWORK)
    notes = {"centre": 0.25 - seed, "temperature": 1.5 + seed}
    (folder / NOTES).write_text(json.dumps(notes))
    return tuned.head, notes


@pytest.mark.parametrize(("slices", "pooling"), [("mean", "average"), ("attention", "regions"), ("max", "masked"), ("mean", "max")])
def test_an_exact_map_adds_up_to_the_mean_of_the_networks_by_hand(eyes, tmp_path, slices, pooling):
    eyes()
    volume, mask = ball(**SMALL)
    config = settings(slice_pooling=slices, pooling=pooling)
    bag, _ = fill_bag(volume, mask, config, HERE)

    def far(tuned):
        tuned.head.centre[1], tuned.head.scale[1] = float(bag.tokens[:, 1].mean()) + 5.0, 20.0  # 100 deviations below: held at 10

    places, signatures, bases, shares = [tmp_path / "a", tmp_path / "b"], [], [], []
    for k, place in enumerate(places):
        head, notes = teach(place, config, bag.tokens, k, change=far)
        x = np.clip((bag.tokens - head.centre.numpy()) * head.scale.numpy(), -10.0, 10.0)
        assert x[:, 1].tolist() == [-10.0] * len(x)
        w, b = head.out.weight.detach().numpy()[0], float(head.out.bias.detach())
        joined = {"mean": x.mean(0), "max": x.max(0), "attention": np.average(x, axis=0, weights=bag.areas)}[slices]
        signatures.append((b + joined @ w - notes["centre"]) / notes["temperature"])
        bases.append((b - notes["centre"]) / notes["temperature"])
        shares.append(x @ w / len(x) / notes["temperature"])
    found = explain_tuned(volume, mask, config, HERE, places)
    assert (found.method, found.networks) == ("exact", 2)
    assert found.risk == pytest.approx(np.mean(signatures), rel=1e-5)
    assert found.risk == np.mean([score(p, config, HERE, [bag])[0] for p in places])  # to the last bit
    assert found.base == pytest.approx(np.mean(bases), rel=1e-6)
    assert found.map.array.sum(dtype=np.float64) + found.beyond == pytest.approx(found.risk - found.base, rel=1e-4)
    if slices == "mean":
        assert [p["share"] for p in found.pictures] == pytest.approx(np.mean(shares, axis=0).tolist(), rel=1e-4)
    assert explain_tuned(volume, mask, config, HERE, places, method="integrated").record() == found.record()


@pytest.mark.parametrize(("mode", "head"), [("probe", "attention"), ("last", "attention"), ("all", "attention"), ("adapters", "attention"), ("probe", "transformer"), ("adapters", "transformer")])
def test_an_integrated_map_adds_up_whatever_the_head_and_what_learnt(eyes, tmp_path, mode, head):
    eyes()
    volume, mask = ball(**SMALL)
    config = settings(mode, head, pooling="regions")
    bag, _ = fill_bag(volume, mask, config, HERE)
    places, bases = [tmp_path / "a", tmp_path / "b"], []
    for k, place in enumerate(places):
        own, notes = teach(place, config, bag.tokens, k)
        with torch.no_grad():  # the head's word on slices that are all like the mean one
            word = own(own.centre.expand(1, len(bag.tokens), -1), torch.from_numpy(bag.areas)[None], torch.ones((1, len(bag.tokens)), dtype=torch.bool))
        bases.append((float(word) - notes["centre"]) / notes["temperature"])
    found = explain_tuned(volume, mask, config, HERE, places)
    assert found.method == "integrated"
    assert found.risk == np.mean([score(p, config, HERE, [bag])[0] for p in places])
    assert found.base == pytest.approx(np.mean(bases), abs=1e-5)
    assert abs(found.risk - found.base) > 0.01
    assert sum(p["share"] for p in found.pictures) == pytest.approx(found.risk - found.base, abs=2e-6)
    assert found.map.array.sum(dtype=np.float64) + found.beyond == pytest.approx(found.risk - found.base, abs=2e-6)
    assert -1.0 < found.sanity < 0.99
    attention = [p.get("attention") for p in found.pictures]
    if head == "attention":
        assert sum(attention) == pytest.approx(1.0)
        assert len(set(attention)) == len(attention) > 2
    else:
        assert attention == [None] * len(attention)
    cam = explain_tuned(volume, mask, config, HERE, places, method="gradcam")
    assert (cam.method, cam.beyond, cam.risk) == ("gradcam", None, found.risk)
    assert cam.map.array.min() == 0.0 < cam.map.array.max()
    with pytest.raises(ConfigError, match=f"no exact map of deep.head {head}.* integrated .*or gradcam"):
        explain_tuned(volume, mask, config, HERE, places, method="exact")


class Product(Head):
    """The product of two features of the first slice, with which integrated gradients can be worked by hand."""

    def decide(self, x, areas, there):
        return x[:, 0, 0] * x[:, 0, 1]


class Bent(Head):
    """What the first two features have above 1.3 together: a kink on the way."""

    def decide(self, x, areas, there):
        return torch.relu(x[:, 0, 0] + x[:, 0, 1] - 1.3)


def test_parts_of_heads_worked_by_hand():
    """On the way from 0 to (3, 5) the slope of x * y by x is 5 t, 2.5 in the mean, and by y 1.5. That of relu(x + y - 1.3) is 0 before t = 1.3 / 8, then 1."""
    tokens, areas = torch.tensor([[3.0, 5.0], [1.0, 1.0]], dtype=torch.float64), np.ones(2, np.float32)
    found = head_parts(Product(2, 0.0), tokens, areas, "integrated")
    assert found.weights == pytest.approx(np.array([[2.5, 1.5], [0.0, 0.0]]))
    assert found.base == 0.0
    assert head_parts(Product(2, 0.0), tokens, areas, "gradcam").weights == pytest.approx(np.array([[5.0, 3.0], [0.0, 0.0]]))
    bent = head_parts(Bent(2, 0.0), tokens, areas, "integrated").weights
    assert bent[0] == pytest.approx([0.8375, 0.8375], abs=0.01)
    assert bent[0] @ [3.0, 5.0] == pytest.approx(6.7, rel=1e-12)
    assert not bent[1].any()
    wide = Product(2, 0.0)
    wide.centre[:], wide.scale[:] = torch.tensor([1.0, 1.0]), torch.tensor([10.0, 1.0])  # (3 - 1) * 10 = 20 is held at 10: the product is 10 * 4
    held = head_parts(wide, tokens, areas, "integrated")
    assert held.weights[0] * [2.0, 4.0] == pytest.approx([20.0, 20.0])


@pytest.mark.parametrize("kind", [AttentionHead, TransformerHead])
@pytest.mark.parametrize("shape", [(3, 4), (2, 3, 2)])
def test_grad_cam_through_head_and_pooling_is_that_of_differences(kind, shape):
    """In 2D and 3D: each channel's weight is the sum over its cells of what the logit gains when that cell gains a little."""
    rng = np.random.default_rng(1)
    maps = [[torch.from_numpy(rng.uniform(0.5, 2.0, (1, 2, *shape)))] for _ in range(3)]
    regions = [[rng.uniform(0.0, 1.0, shape).astype(np.float32)] for _ in range(3)]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        head = kind(2, 0.0).eval()
        for parameter in head.parameters():
            parameter.data = torch.randn(parameter.shape) * 0.5
    head.centre[:], head.scale[:] = torch.tensor([1.0, 1.2]), torch.tensor([0.7, 1.3])
    areas = np.ones(3, np.float32)
    exact = head.double()

    def word(content):
        rows = pool_rows(content, regions, "masked")
        with torch.no_grad():
            return float(exact(rows[None], torch.ones((1, 3), dtype=torch.float64), torch.ones((1, 3), dtype=torch.bool)))

    parts = head_parts(head, pool_rows(maps, regions, "masked"), areas, "gradcam")
    _, cells = cell_maps(maps, SliceHead(parts.weights, parts.centre, parts.base, "masked", regions), "gradcam")
    for k, own in enumerate(maps):
        alpha = np.zeros(2)
        for at in np.ndindex(*own[0].shape):
            ends = []
            for step in (1e-5, -1e-5):
                moved = [[m.clone() for m in layers] for layers in maps]
                moved[k][0][at] += step
                ends.append(word(moved))
            alpha[at[1]] += (ends[0] - ends[1]) / 2e-5
        assert cells[k][0] == pytest.approx(np.tensordot(alpha, own[0][0].numpy(), 1), rel=1e-5, abs=1e-8)


@pytest.mark.parametrize("head", ["pool", "attention", "transformer"])
def test_the_map_of_networks_that_know_one_place_lies_there(eyes, tmp_path, head):
    """A bright spot beside the tumour, in one of its slices, is all that differs: the map is there, and the slice is the one that matters."""
    eyes(Spots())
    volume, mask = ball(**SMALL, grain=0.0, radius_mm=12.0)
    array = volume.array.copy()
    array[4, 24:26, 8:10] = 400.0
    array[0, 8:18, 8:18] = 400.0  # bright tissue elsewhere, so that the tumour is not the brightest
    volume, config = Volume(array, volume.geometry), settings(head=head, layer="last")
    bag, _ = fill_bag(volume, mask, config, HERE)

    def rising(tuned):
        tuned.head.centre[:] = 0.0  # nothing is seen in the mean slice
        tuned.head.scale[:] = 1.0 / float(bag.tokens.max())
        if head != "transformer":
            tuned.head.out.weight.data[:] = 1.0

    teach(tmp_path / "a", config, bag.tokens, change=rising)
    found = explain_tuned(volume, mask, config, HERE, [tmp_path / "a"])
    values = np.abs(found.map.array)
    peak = np.unravel_index(int(values.argmax()), values.shape)
    assert peak[0] == 4
    assert 22 <= peak[1] <= 27
    assert 6 <= peak[2] <= 11
    shares = {p["slice"]: abs(p["share"]) for p in found.pictures}
    assert shares[4] == pytest.approx(sum(shares.values()))
    if head != "transformer":
        assert found.agreement["inside"] < 0.05
        assert found.agreement["hits"] == 0.0


def test_weights_of_backbone_and_of_head_are_shuffled(eyes, tmp_path):
    """Where shuffling can change but one of the two, the map changes all the same; where it can change neither, the map stays."""
    volume, mask = ball(**SMALL)
    config, found = settings(layer="last"), {}

    def even(tuned):
        tuned.head.out.weight.data[:] = 0.1

    for backbone, head in (("flat", "flat"), ("flat", "other"), ("other", "flat")):
        network = Eyes(flat=backbone == "flat")
        if backbone == "flat":  # kernels that shuffling cannot change, and yet channels that differ
            network.maps = lambda x, layer="last", own=Eyes.maps, me=network: [torch.cat([m, m.flip(2), m**2], 1) for m in own(me, x)]
        eyes(network)
        bag, _ = fill_bag(volume, mask, config, HERE)
        teach(tmp_path / backbone / head, config, bag.tokens, change=even if head == "flat" else None)
        found[backbone, head] = explain_tuned(volume, mask, config, HERE, [tmp_path / backbone / head]).sanity
    assert found["flat", "flat"] == pytest.approx(1.0)
    assert found["flat", "other"] < 0.99
    assert found["other", "flat"] < 0.99

    class Closed:
        """A network whose weights are not open to us, as those of an ONNX file."""

        maps = staticmethod(Spots().maps)

    eyes(Closed())
    bag, _ = fill_bag(volume, mask, config, HERE)
    teach(tmp_path / "closed", config, bag.tokens)
    assert explain_tuned(volume, mask, config, HERE, [tmp_path / "closed"]).sanity is None


def test_a_training_patient_is_mapped_by_the_one_network_that_did_not_learn_from_them(eyes, make_case, tmp_path):
    eyes()
    y = np.tile([1.0, 0.0], 6)
    cases = [make_case(f"P{i:02d}", *ball(i, shape=(6, 20, 22), centre=(3, 10, 11), radius_mm=9.0, halo=60.0 * y[i])) for i in range(12)]
    ids, fold = [c.patient_id for c in cases], grouped_folds(y, None, 3, 0)
    config = settings("all", "attention", fine_tune={"mode": "all", "epochs": 2}, weights=None)
    with Engine(tmp_path / "cache", scheduler="serial", progress=False) as engine, pytest.MonkeyPatch.context() as patch:
        patch.setattr("sarcofuse.deep.finetune.find_source", lambda *_: HERE)
        patch.setattr("sarcofuse.deep.why_tuned.find_source", lambda *_: HERE)
        tuner, _ = begin_fine_tuning(cases, config, engine, 0)
        (values,) = tuner.learn(ids, y, None, [(np.ones(12, dtype=bool), fold)])
        unseen = tuner.keep(tmp_path / "networks", ids, y, None, fold)
        assert {unseen[p].name for p in ids} == {"network_0", "network_1", "network_2"}
        done, aside = explain_tuned_cases(cases[:3], tuner.config, {p: [unseen[p]] for p in ids}, engine)
        assert not aside
        records = {p: json.loads((done[p] / "why.json").read_text()) for p in ids[:3]}
        assert [records[p]["risk"] for p in ids[:3]] == values[:3, 0].tolist()  # the out-of-fold signature, to the last bit
        assert {r["networks"] for r in records.values()} == {1}
        grid = {p: (done[p] / "map.nii.gz").read_bytes() for p in ids[:3]}
        for place in (tmp_path / "networks").iterdir():  # with the two others spoilt, the maps stay as they were
            if place.is_dir() and place != unseen[ids[0]]:
                (place / NOTES).write_text("{}")
                (place / NETWORK).write_bytes(b"")
        patch.setattr(engine, "cache", tmp_path / "another")
        again, aside = explain_tuned_cases(cases[:1], tuner.config, {ids[0]: [unseen[ids[0]]]}, engine)
        assert not aside
        assert (again[ids[0]] / "map.nii.gz").read_bytes() == grid[ids[0]]


def test_the_encoder_is_mapped_in_3d(segmenter, tmp_path):
    volume, mask = ball()
    source = Source(segmenter, "", "cpu")
    config = settings("last", "attention", backbone="segresnet-encoder", pooling="masked", margin_mm=8.0)
    bag, _ = fill_bag(volume, mask, config, source)
    noise = np.random.default_rng(0).normal(size=(20, bag.tokens.shape[1])).astype(np.float32)
    teach(tmp_path / "a", config, bag.tokens + noise * bag.tokens.std(), source=source)
    found = explain_tuned(volume, mask, config, source, [tmp_path / "a"])
    assert found.map.array.sum(dtype=np.float64) + found.beyond == pytest.approx(found.risk - found.base, abs=2e-6)
    assert found.pictures[0]["slice"] is None
    assert found.pictures[0]["attention"] == 1.0
    assert abs(found.sanity) < 0.999
    with pytest.raises(MaskError, match="mask is empty"):
        explain_tuned(volume, Mask(np.zeros_like(mask.array), mask.geometry), config, source, [tmp_path / "a"])


def test_the_method_is_chosen_by_what_the_head_allows():
    frozen = DeepConfig()
    assert [choose_method(frozen, m) for m in ("auto", "exact", "integrated", "gradcam")] == ["exact", "exact", "exact", "gradcam"]
    assert [choose_method(settings(), m) for m in ("auto", "exact", "integrated", "gradcam")] == ["exact", "exact", "exact", "gradcam"]
    assert [choose_method(settings(head="attention"), m) for m in ("auto", "integrated", "gradcam")] == ["integrated", "integrated", "gradcam"]
