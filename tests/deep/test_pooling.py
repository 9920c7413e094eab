"""Pooling against sums by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sarcofuse.deep.pooling import RIM_MM, RING_MM, pool_batch, pool_maps, region_shares, regions_of, weights_for


@pytest.fixture
def maps():
    rng = np.random.default_rng(0)
    return [torch.from_numpy(rng.standard_normal((1, 3, 8, 8)).astype(np.float32)), torch.from_numpy(rng.standard_normal((1, 2, 4, 4)).astype(np.float32))]


@pytest.fixture
def tumour():
    region = np.zeros((16, 16), dtype=np.float32)
    region[4:9, 6:14] = 1.0
    return region


def cells(region, size):
    """Mean of the region in each of size x size equal cells."""
    step = len(region) // size
    return region.reshape(size, step, size, step).mean(axis=(1, 3))


def test_average_and_maximum(maps, tumour):
    plain = [m[0].numpy().astype(float) for m in maps]
    assert pool_maps(maps, weights_for("average", tumour, (1, 1)), "average") == pytest.approx(np.concatenate([m.mean(axis=(1, 2)) for m in plain]))
    assert pool_maps(maps, weights_for("max", tumour, (1, 1)), "max") == pytest.approx(np.concatenate([m.max(axis=(1, 2)) for m in plain]))


def test_masked_average_weighs_cells_by_their_share_of_tumour(maps, tumour):
    expected = [(m[0].numpy() * cells(tumour, m.shape[-1])).sum(axis=(1, 2)) / cells(tumour, m.shape[-1]).sum() for m in maps]
    assert pool_maps(maps, weights_for("masked", tumour, (1, 1)), "masked") == pytest.approx(np.concatenate(expected))


def test_a_region_without_pixels_counts_as_the_whole(maps):
    nothing = np.zeros((16, 16), dtype=np.float32)
    assert np.array_equal(pool_maps(maps, [nothing], "masked"), pool_maps(maps, [None], "average"))


def test_regions_are_tumour_rim_and_surroundings_in_mm():
    """A square of 60 mm in pixels of 2 mm x 4 mm: the rim is 5 mm to either side of the border, the surroundings 20 mm outside."""
    tumour = np.zeros((100, 50), dtype=np.float32)
    tumour[35:65, 18:33] = 1.0
    inside, rim, ring = weights_for("regions", tumour, (2.0, 4.0))
    assert np.array_equal(inside, tumour)
    along_rows, along_columns = np.flatnonzero(rim[:, 25]), np.flatnonzero(rim[50])
    assert along_rows.tolist() == [33, 34, 35, 36, 63, 64, 65, 66]
    assert along_columns.tolist() == [17, 18, 32, 33]
    assert np.flatnonzero(ring[:, 25]).tolist() == [*range(25, 35), *range(65, 75)]
    assert np.flatnonzero(ring[50]).tolist() == [*range(13, 18), *range(33, 38)]
    assert not (ring * tumour).any()
    assert ring[25, 13] == 0


def test_regions_stand_side_by_side_each_with_all_maps(maps, tumour):
    weights = weights_for("regions", tumour, (1.0, 1.0))
    found = pool_maps(maps, weights, "regions")
    assert len(found) == 3 * (3 + 2)
    for k, weight in enumerate(weights):
        assert found[5 * k : 5 * k + 5] == pytest.approx(np.concatenate([(m[0].numpy() * cells(weight, m.shape[-1])).sum(axis=(1, 2)) / cells(weight, m.shape[-1]).sum() for m in maps]), rel=1e-5)


def test_a_tumour_thinner_than_a_pixel_has_regions_too():
    faint = np.zeros((16, 16), dtype=np.float32)
    faint[8, 8] = 0.3
    assert [float(w.sum()) > 0 for w in weights_for("regions", faint, (1.0, 1.0))] == [True, True, True]


def test_volumes_are_pooled_likewise():
    features, region = torch.arange(16.0).reshape(1, 2, 2, 2, 2), np.zeros((4, 4, 4), dtype=np.float32)
    region[:2, :2, :2] = 1.0
    assert pool_maps([features], [region], "masked").tolist() == [0.0, 8.0]


@pytest.mark.parametrize("length", [0.05, 0.25, 0.5, 1.0, 3.7])
def test_regions_are_those_of_scipys_distance_transform(length):
    from scipy.ndimage import distance_transform_edt

    rng = np.random.default_rng(0)
    for _ in range(8):
        rows, columns = (int(n) for n in rng.integers(20, 260, 2))
        y, x = np.ogrid[:rows, :columns]
        tumour = np.zeros((rows, columns), dtype=np.float32)
        for _ in range(3):
            tumour[((y - rng.integers(rows)) ** 2 + (x - rng.integers(columns)) ** 2) < rng.integers(2, rows) ** 2 / 6] = 1.0
        inside = tumour > 0
        assert inside.any()
        assert not inside.all()
        outwards, inwards = (distance_transform_edt(region, sampling=(length, length)) for region in (~inside, inside))
        _, rim, ring = weights_for("regions", tumour, (length, length))
        for found, distance, reach in ((rim > 0, np.where(inside, inwards, outwards), RIM_MM), ((ring > 0) | inside, outwards, RING_MM)):
            clear = np.abs(distance - reach) > 1e-9  # where rounding does not decide
            assert np.array_equal(found[clear], (distance <= reach)[clear])
        assert not (ring * inside).any()


def test_regions_of_many_pictures_are_those_of_each():
    """Pictures of two scales, more than the 64 bits of a number: each beside what scipy makes of it alone."""
    from scipy.ndimage import distance_transform_edt

    rng = np.random.default_rng(0)
    tumours, lengths = np.zeros((75, 40, 30), dtype=np.float32), [2.1 if k % 9 == 0 else 1.3 for k in range(75)]
    for k, tumour in enumerate(tumours):
        top, left = rng.integers(0, 25, 2)
        tumour[top : top + 9, left : left + 5] = 0.3 if k == 7 else 1.0  # the eighth is nowhere tumour by half
    for tumour, length, (same, rim, ring) in zip(tumours, lengths, regions_of(tumours, lengths), strict=True):
        inside = tumour > 0
        outwards, inwards = (distance_transform_edt(region, sampling=(length, length)) for region in (~inside, inside))
        assert np.array_equal(same, tumour)
        assert np.array_equal(rim, np.where(inside, inwards, outwards) <= RIM_MM)
        assert np.array_equal(ring, (outwards <= RING_MM) & ~inside)


def test_pictures_are_pooled_together_as_each_by_itself(monkeypatch):
    monkeypatch.setattr("sarcofuse.deep.pooling.TOGETHER", 2)
    rng = np.random.default_rng(0)
    maps = [torch.from_numpy(rng.standard_normal((3, 4, n, n)).astype(np.float32)).to(memory_format=layout) for n, layout in ((8, torch.channels_last), (4, torch.contiguous_format))]
    weights = [[rng.uniform(size=(16, 16)).astype(np.float32), rng.uniform(size=(16, 16)) > 0.5] for _ in range(3)]
    found = pool_batch(maps, region_shares(weights, [m.shape[2:] for m in maps], "cpu"), "regions")
    for i in range(3):
        expected = [(m[i].double().numpy() * cells(w.astype(float), m.shape[-1])).sum(axis=(1, 2)) / cells(w.astype(float), m.shape[-1]).sum() for w in weights[i] for m in maps]
        assert found[i].numpy() == pytest.approx(np.concatenate(expected), rel=1e-9)


def test_a_picture_that_is_all_tumour_has_neither_rim_nor_surroundings():
    _, rim, ring = weights_for("regions", np.ones((12, 12), dtype=np.float32), (1.0, 1.0))
    assert not rim.any()
    assert not ring.any()


@pytest.mark.parametrize("size", [(112, 112), (14, 14), (27, 27), (55, 13)])
def test_cells_are_averaged_as_torchs_adaptive_pooling_does(size):
    rng = np.random.default_rng(0)
    weights = [rng.uniform(size=(224, 224)).astype(np.float32), (rng.uniform(size=(224, 224)) > 0.99).astype(np.float32)]
    features = [torch.from_numpy(rng.standard_normal((1, 4, 28, 28)).astype(np.float32)), torch.from_numpy(rng.standard_normal((1, 3, *size)).astype(np.float32))]
    expected = []
    for weight in weights:
        for own in features:
            shares = torch.nn.functional.adaptive_avg_pool2d(torch.from_numpy(weight).double()[None, None], own.shape[2:])[0, 0]
            expected.append(((own[0].double() * shares).sum((1, 2)) / shares.sum()).numpy())
    assert pool_maps(features, weights, "regions") == pytest.approx(np.concatenate(expected), rel=1e-9)
