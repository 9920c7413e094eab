"""What networks that can be guided are told, against values worked by hand; and what they make of it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.networks.nets.segresnet_ds import SegResNetDS

from sarcofuse.segment.guide import CHANNELS, closeness_to_box, closeness_to_points, closeness_to_rough, guided, middle
from sarcofuse.segment.guided import GuidedSegResNetDS
from sarcofuse.segment.network import build_network

NETWORK = {"spatial_dims": 3, "init_filters": 4, "in_channels": CHANNELS, "out_channels": 1, "norm": "instance", "blocks_down": [1, 1, 1], "dsdepth": 2, "resolution": [1.0, 1.0, 1.0]}


def test_closeness_to_a_box_by_hand():
    """Along x the box reaches from 1.5 to 6.5: its middle is voxel 4, and 2.5 voxels away closeness is 0."""
    found = closeness_to_box((1, 1, 20), (-0.5, -0.5, 1.5), (0.5, 0.5, 6.5))
    assert found[0, 0, :9] == pytest.approx([-0.6, -0.2, 0.2, 0.6, 1.0, 0.6, 0.2, -0.2, -0.6])
    assert found[0, 0, 11:] == pytest.approx(-1.5)  # 7 voxels away it would be -1.8
    corner = closeness_to_box((1, 5, 5), (-0.5, -0.5, -0.5), (0.5, 4.5, 4.5))
    assert corner[0, 0, 0] == pytest.approx(1 - 0.8 * 2**0.5)  # outside the ellipsoid, though inside the box
    assert corner[0, 2, 0] == pytest.approx(0.2)
    flat = closeness_to_box((1, 1, 3), (0.0, 0.0, 1.0), (0.0, 0.0, 1.0))  # a box without volume counts as one voxel
    assert flat[0, 0] == pytest.approx([-1.0, 1.0, -1.0])


def test_closeness_to_points_by_hand():
    """Voxels of 2 x 3 x 4 mm: the neighbours of (z 0, y 1, x 1) lie 4, 3 and 2 mm away."""
    found = closeness_to_points((2, 3, 4), [(0, 1, 1)], (2.0, 3.0, 4.0), 10.0)
    assert found[0, 1, 1] == 1
    assert (found[1, 1, 1], found[0, 2, 1], found[0, 1, 2]) == (pytest.approx(0.6), pytest.approx(0.7), pytest.approx(0.8))
    assert found[1, 2, 3] == pytest.approx(1 - 41**0.5 / 10)
    both = closeness_to_points((2, 3, 4), [(0, 1, 1), (1, 2, 3)], (2.0, 3.0, 4.0), 10.0)
    assert both[1, 2, 3] == 1  # the nearest counts
    assert both[0, 1, 1] == 1
    assert closeness_to_points((1, 1, 9), [(0, 0, 0)], (2.0, 2.0, 2.0), 5.0)[0, 0, 4:] == pytest.approx(-0.6)  # 8 mm: 1 - 8 / 5, and no less


def test_closeness_to_a_rough_mask_by_hand():
    """Three voxels of 2 mm: borders 1 mm from the outer centres, 3 mm from the middle one."""
    share = np.zeros((1, 1, 9), dtype=np.float32)
    share[0, 0, 2:5] = (0.5, 1.0, 0.7)
    found = closeness_to_rough(share, (2.0, 10.0, 10.0))
    assert found[0, 0] == pytest.approx([-1, -1 / 3, 1 / 3, 1, 1 / 3, -1 / 3, -1, -1.5, -1.5])
    faint = closeness_to_rough(share * np.float32(0.4), (2.0, 10.0, 10.0))  # a mask thinner than a voxel: its densest voxels
    assert [int(i) for i in np.flatnonzero(faint > 0)] == [3]


def test_the_middle_by_hand():
    """25 mm are 5 slices of 5 mm, of which a share of 0.35 is only 3.5; 12.5 rows; 25 columns."""
    low, high = middle((10, 40, 100), (1.0, 2.0, 5.0))
    assert low == pytest.approx((3.0, 12.0, 24.5))
    assert high == pytest.approx((6.0, 27.0, 74.5))


def test_channels_by_hand():
    """A core of 0 to 10: median 5, 20th and 80th percentile 2 and 8, width 3."""
    image = np.array([*range(11), 50, 8, -50], dtype=np.float32).reshape(1, 1, 14)
    closeness = np.array([0.6] * 11 + [-1.0] * 3, dtype=np.float32).reshape(1, 1, 14)
    found = guided(image, closeness, 0.5)
    assert found.shape == (CHANNELS, 1, 1, 14)
    assert found.dtype == np.float32
    assert (found[0] == image).all()
    assert (found[1] == closeness).all()
    assert (found[2] == 0.5).all()
    assert found[3, 0, 0, [5, 8, 2, 11, 12, 13]] == pytest.approx([0, 0.5, -0.5, 3, 0.5, -3])
    assert found[4, 0, 0, [5, 12, 11]] == pytest.approx([1, np.exp(-0.5 / 1.5**2), 0], abs=1e-6)


def test_a_small_core_is_eight_voxels_and_an_even_one_has_a_width():
    image = np.arange(20, dtype=np.float32).reshape(1, 1, 20)
    closeness = np.linspace(0.6, -1.0, 20, dtype=np.float32).reshape(1, 1, 20)  # only the first two are at 0.5 or above
    assert guided(image, closeness, 1.0)[3, 0, 0, 3:5] == pytest.approx([-0.5 / 2.1 / 2, 0.5 / 2.1 / 2])  # median 3.5 of 0 to 7; percentiles 1.4 and 5.6
    even = guided(np.full((1, 1, 20), 2.0, dtype=np.float32) + (np.arange(20) == 19) * np.float32(0.15), closeness, 1.0)
    assert even[3, 0, 0, [0, 19]] == pytest.approx([0, 0.5], abs=1e-5)  # 0.15 away is one width


def test_without_a_place_the_image_stands_alone():
    image = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)
    found = guided(image, None, 0.0)
    assert (found[0] == image).all()
    assert found.shape == (CHANNELS, 2, 3, 4)
    assert not found[1:].any()


def pair(seed: int = 0) -> tuple[torch.nn.Module, torch.nn.Module]:
    """A network that can be guided, and MONAI's own with the same weights."""
    network = build_network({**NETWORK, "guide": {"gain": 4.0, "bound": 3.0}}, seed)
    plain = SegResNetDS(**{**NETWORK, "resolution": (1.0, 1.0, 1.0)})
    for module in plain.modules():
        if hasattr(module, "stride") and isinstance(module, torch.nn.Conv3d | torch.nn.ConvTranspose3d):
            module.stride = tuple(int(s) for s in module.stride)
    assert isinstance(network, GuidedSegResNetDS)
    plain.load_state_dict(network.state_dict())
    return network, plain


def test_logits_are_the_bounded_difference_from_closeness():
    network, plain = pair()
    x = torch.randn(2, CHANNELS, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    x[1, 1] = 0.0  # of the second nobody knows where
    with torch.no_grad():
        own, found = plain.eval()(x) * 1.0, network.eval()(x)
    expected = 3.0 * np.tanh(own[0].numpy() / 3.0) + 4.0 * x[0, 1:2].numpy()
    assert found[0].numpy() == pytest.approx(expected, abs=1e-5)
    assert found[1].numpy() == pytest.approx(own[1].numpy(), abs=1e-5)
    assert np.abs(expected - own[0].numpy()).max() > 1


def test_the_middle_of_a_box_cannot_be_denied():
    network, _ = pair()
    with torch.no_grad():
        network.up_layers[-1].head.bias.fill_(-50.0)
        x = torch.zeros(1, CHANNELS, 4, 8, 8)
        x[:, 1] = torch.tensor([1.0, -1.5]).repeat(4)
        found = torch.sigmoid(network.eval()(x))[0, 0]
    assert found[..., 0].numpy() == pytest.approx(1 / (1 + np.exp(-1.0)), abs=1e-4)  # 4 - 3
    assert found[..., 1].max() < 2e-4


def test_deep_supervision_has_its_own_closeness():
    network, plain = pair(1)
    x = torch.randn(1, CHANNELS, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    found, own = network.train()(x), plain.train()(x)
    assert [tuple(one.shape) for one in found] == [tuple(one.shape) for one in own] == [(1, 1, 4, 8, 8), (1, 1, 2, 4, 4)]
    coarse = x[0, 1].numpy().reshape(2, 2, 4, 2, 4, 2).mean(axis=(1, 3, 5))
    for one, without, closeness in zip(found, own, (x[0, 1].numpy(), coarse), strict=True):
        expected = 3.0 * np.tanh(without.detach().numpy()[0, 0] / 3.0) + 4.0 * closeness
        assert one.detach().numpy()[0, 0] == pytest.approx(expected, abs=1e-4)
