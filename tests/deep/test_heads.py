"""Heads over slices, low-rank additions, blocks of a network, temperature: against values worked by hand and other code."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from sarcofuse.deep.adapters import LowRank, blocks, changed, loosen, restore
from sarcofuse.deep.heads import AttentionHead, PoolHead, TransformerHead, make_head, places
from sarcofuse.deep.learning import fit_temperature, turn
from sarcofuse.deep.networks import build
from sarcofuse.deep.pooling import pool_maps
from sarcofuse.deep.tuned import pool_tokens
from sarcofuse.errors import WeightsError


def bag(slices: int = 4, features: int = 6, patients: int = 1):
    generator = torch.Generator().manual_seed(0)
    return torch.randn((patients, slices, features), generator=generator), torch.rand((patients, slices), generator=generator), torch.ones((patients, slices), dtype=torch.bool)


def shaken(head: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in head.parameters():
            p.copy_(torch.randn(p.shape, generator=generator) * 0.3)
    return head.eval()


def test_gated_attention_is_that_of_the_paper():
    """Equations 7 and 9 of Ilse et al. 2018, in NumPy."""
    tokens, areas, there = bag()
    head = shaken(AttentionHead(6, 0.0))
    h = tokens[0].numpy().astype(float)
    v, u, w = (m.detach().numpy().astype(float) for m in (head.value.weight, head.gate.weight, head.rank.weight))
    bv, bu = head.value.bias.detach().numpy(), head.gate.bias.detach().numpy()
    score = (np.tanh(h @ v.T + bv) / (1 + np.exp(-(h @ u.T + bu)))) @ w[0]
    share = np.exp(score) / np.exp(score).sum()
    assert head.shares(tokens, there)[0].detach().numpy() == pytest.approx(share, rel=1e-5)
    expected = (share @ h) @ head.out.weight[0].detach().numpy() + head.out.bias.item()
    assert head(tokens, areas, there)[0].item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("how", "joined"), [("mean", [2.0, 3.0]), ("max", [3.0, 4.0]), ("attention", [2.5, 3.5])])
def test_pooled_slices_by_hand(how, joined):
    head = PoolHead(2, 0.5, how).eval()
    with torch.no_grad():
        head.out.weight.copy_(torch.tensor([[1.0, 10.0]]))
    tokens, areas = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]]), torch.tensor([[1.0, 3.0]])
    assert head(tokens, areas, torch.ones(1, 2, dtype=torch.bool))[0].item() == joined[0] + 10 * joined[1]
    assert head(tokens, areas * 0, torch.ones(1, 2, dtype=torch.bool))[0].item() == (joined[0] + 10 * joined[1] if how != "attention" else 32.0)  # no area anywhere: the mean


@pytest.mark.parametrize("kind", ["pool", "attention", "transformer"])
def test_padding_and_company_change_nothing(kind):
    head = shaken(make_head(kind, 6, 0.3, "mean"))
    tokens, areas, there = bag(5, 6, 3)
    there[1, 3:] = False
    spoilt = tokens.clone()
    spoilt[1, 3:] = 7.0
    alone = [head(tokens[i : i + 1, : int(there[i].sum())], areas[i : i + 1, : int(there[i].sum())], there[i : i + 1, : int(there[i].sum())])[0].item() for i in range(3)]
    assert head(spoilt, areas, there).tolist() == pytest.approx(alone, rel=1e-4, abs=1e-6)


def test_only_the_transformer_minds_the_order_of_slices():
    tokens, areas, there = bag()
    turned = tokens.flip(1)
    for kind, minds in (("pool", False), ("attention", False), ("transformer", True)):
        head = shaken(make_head(kind, 6, 0.0, "mean"))
        assert (abs((head(tokens, areas, there)[0] - head(turned, areas, there)[0]).item()) > 1e-4) is minds
    assert isinstance(make_head("transformer", 6, 0.0, "mean"), TransformerHead)
    assert places(3, 4).numpy() == pytest.approx(np.array([[0, 1, 0, 1], [np.sin(1), np.cos(1), np.sin(0.01), np.cos(0.01)], [np.sin(2), np.cos(2), np.sin(0.02), np.cos(0.02)]]), abs=1e-6)


def test_features_are_standardised_and_constant_ones_blanked():
    rows = torch.tensor([[1.0, 5.0], [3.0, 5.0]])
    head = PoolHead(2, 0.0)
    head.standardise(rows)
    assert head.ready(rows[None])[0].tolist() == [[-1.0, 0.0], [1.0, 0.0]]
    assert head.ready(torch.tensor([[[1e9, 9.0]]])).tolist() == [[[10.0, 0.0]]]


@pytest.mark.parametrize("pooling", ["average", "max", "masked", "regions"])
def test_pooling_with_gradients_is_the_pooling_of_frozen_features(pooling):
    rng = np.random.default_rng(0)
    maps = [torch.from_numpy(rng.standard_normal((2, c, n, n)).astype(np.float32)) for c, n in ((3, 8), (5, 4))]
    count = {"average": 0, "max": 0, "masked": 1, "regions": 3}[pooling]
    regions = (rng.random((2, count, 16, 16)) > 0.6).astype(np.float32)
    if count > 1:
        regions[1, 2] = 0.0  # a region that is not there counts as the whole map
    found = pool_tokens(maps, torch.from_numpy(regions), pooling)
    for i in range(2):
        assert found[i].numpy() == pytest.approx(pool_maps([m[i : i + 1] for m in maps], list(regions[i]) or [None], pooling), rel=1e-5, abs=1e-6)


def test_low_rank_additions_start_at_nothing_and_have_their_rank():
    weight = torch.randn(8, 4, 3, 3)
    layer = LowRank(weight, 2)
    assert torch.equal(layer(weight), weight)
    with torch.no_grad():
        layer.b.copy_(torch.randn(8, 2))
    assert np.linalg.matrix_rank((layer(weight) - weight).detach().reshape(8, 36).numpy(), tol=1e-4) == 2


@pytest.mark.parametrize(
    ("name", "layer", "size", "count", "last"),
    [("cifar-resnet20", "last", 32, 3, "layer3"), ("cifar-resnet20", "blocks", 32, 2, "layer2"), ("squeezenet1_0", "last", 64, 8, "fire9"), ("efficientnet-lite0", "blocks", 64, 11, "_blocks.10")],
)
def test_blocks_are_those_that_the_maps_depend_on(name, layer, size, count, last):
    network = build(name).eval()
    groups = blocks(network, torch.zeros(1, 3, size, size), layer)
    named = {id(m): n for n, m in network.named_modules()}
    assert len(groups) == count
    assert all(named[id(m)].startswith(last + ".") for m in groups[-1])
    assert named[id(groups[0][0])] in ("conv1", "_conv_stem")


@pytest.mark.parametrize("mode", ["last", "all", "adapters"])
def test_what_may_change_changes_and_nothing_else(mode):
    network, example = build("cifar-resnet20"), torch.randn(1, 3, 32, 32)
    before = {n: t.clone() for n, t in network.state_dict().items()}
    groups = loosen(network, mode, example, "last", 2)
    free = [p for group in groups for p in group]
    network.maps(example)[0].square().sum().backward()
    with torch.no_grad():
        for p in free:
            p.add_(0.01)
    own = changed(network)
    assert len(own) == len(free)
    if mode == "last":
        after = network.state_dict()
        assert {n for n in before if not torch.equal(before[n], after[n])} == {n for n in own if n.startswith("layer3")}
    if mode == "adapters":
        assert sum(t.numel() for t in own.values()) < 0.2 * sum(t.numel() for t in before.values())
    else:
        assert not any("linear" in n for n in own)
    copy = build("cifar-resnet20")
    copy.load_state_dict(before)
    loosen(copy, mode, example, "last", 2)
    restore(copy, own)
    assert torch.equal(copy.maps(example)[0], network.maps(example)[0])
    with pytest.raises(WeightsError, match="not the changes of this network"):
        restore(copy, {**own, "layer9.weight": torch.zeros(1)})


def test_temperature_finds_what_logits_were_stretched_by():
    rng = np.random.default_rng(0)
    logits = rng.normal(0.0, 2.0, 20000)
    y = (rng.random(logits.size) < 1.0 / (1.0 + np.exp(-logits))).astype(float)
    assert fit_temperature(3.0 * logits, y, np.ones(y.size)) == pytest.approx(3.0, rel=0.05)
    few = fit_temperature(3.0 * logits[:8], y[:8], np.ones(8))
    assert 0.3 < few < 3.5  # few patients are drawn towards 1
    assert fit_temperature(np.zeros(5), np.array([1.0, 0, 1, 0, 0]), np.ones(5)) == pytest.approx(1.0, abs=1e-3)


def test_a_quarter_turn_is_that_of_numpy():
    picture = torch.arange(25.0).reshape(1, 1, 5, 5)
    assert turn(picture, 90.0)[0, 0].numpy() == pytest.approx(np.rot90(picture[0, 0].numpy(), 1), abs=1e-3)
    assert turn(picture, 0.0)[0, 0].numpy() == pytest.approx(picture[0, 0].numpy(), abs=1e-4)
