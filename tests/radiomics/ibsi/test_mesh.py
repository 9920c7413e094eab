"""The surface mesh is closed, and depends on the mask alone."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from sarcofuse.radiomics.cubes import cases
from sarcofuse.radiomics.ibsi.mesh import cubes, measure_mesh, table

SIZE = np.array([3.0, 1.0, 1.0])


def mask(share, seed=0):
    return np.random.default_rng(seed).random((9, 10, 11)) < share


def test_table_begins_with_the_classic_half():
    assert len(table()) == 256
    assert all((own == half).all() for own, half in zip(table(), cases(), strict=False))


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_every_edge_has_two_triangles(share):
    """Each edge is walked as often one way as the other, so that the mesh has neither holes nor sides turned round."""
    kinds, at = cubes(mask(share))
    edges = Counter()
    for case, *place in zip(kinds, *at, strict=True):
        for triangle in (table()[case] + 2 * np.array(place)).tolist():
            a, b, c = (tuple(v) for v in triangle)
            edges.update([(a, b), (b, c), (c, a)])
    assert edges
    assert all(edges[b, a] == number for (a, b), number in edges.items())


@pytest.mark.parametrize("turn", [lambda a: a[::-1], lambda a: a[:, ::-1], lambda a: a[:, :, ::-1], lambda a: a.transpose(0, 2, 1), lambda a: np.pad(a, ((5, 0), (3, 1), (0, 9)))])
def test_measures_do_not_depend_on_place_or_side(turn):
    assert measure_mesh(turn(mask(0.6)), SIZE) == pytest.approx(measure_mesh(mask(0.6), SIZE), rel=1e-12)


def test_volumes_of_mask_and_mesh():
    """A voxel is an octahedron; two that touch at an edge or corner are two octahedra; a hole takes as much as it fills."""
    one = np.zeros((4, 4, 4), bool)
    one[1, 1, 1] = True
    area, volume = measure_mesh(one, np.ones(3))
    assert (area, volume) == pytest.approx((np.sqrt(3), 1 / 6))
    for other in ((1, 2, 2), (2, 2, 2)):
        two = one.copy()
        two[other] = True
        assert measure_mesh(two, np.ones(3)) == pytest.approx((2 * area, 2 * volume))
    full = np.ones((5, 5, 5), bool)
    hollow = full.copy()
    hollow[2, 2, 2] = False
    assert np.subtract(measure_mesh(hollow, np.ones(3)), measure_mesh(full, np.ones(3))) == pytest.approx([area, -volume])
