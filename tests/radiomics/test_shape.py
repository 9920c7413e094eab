"""Shape features against geometry done by hand and by brute force."""

from __future__ import annotations

import math
from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sarcofuse.radiomics import cubes, shape

MASKS = hnp.arrays(np.bool_, hnp.array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=5)).filter(np.any)
SPACINGS = st.tuples(*[st.sampled_from([0.5, 1.0, 1.7, 3.0])] * 3)
QUICK = settings(max_examples=50, deadline=None, derandomize=True)


def crop(mask):
    places = np.argwhere(mask)
    return mask[tuple(slice(a, b + 1) for a, b in zip(places.min(axis=0), places.max(axis=0), strict=True))]


def test_one_voxel_is_an_octahedron():
    """The mesh joins the middles of the edges to the six neighbours: eight triangles."""
    found = shape.compute(np.ones((1, 1, 1), bool), (1.0, 1.0, 1.0))
    assert found["MeshVolume"] == pytest.approx(1 / 6)
    assert found["SurfaceArea"] == pytest.approx(math.sqrt(3))
    assert found["Maximum3DDiameter"] == pytest.approx(1.0)
    assert found["VoxelVolume"] == 1.0


def test_box_loses_its_edges_and_corners():
    """A box of a x b x c voxels: faces half a voxel out, edges cut at 45 degrees, corners cut to an octant of the octahedron."""
    a, b, c = 4, 5, 6
    found = shape.compute(np.ones((a, b, c), bool), (1.0, 1.0, 1.0))
    edges = 4 * ((a - 1) + (b - 1) + (c - 1))
    inner = (a - 1) * (b - 1) * (c - 1)
    faces = 2 * ((a - 1) * (b - 1) + (b - 1) * (c - 1) + (a - 1) * (c - 1))
    assert found["MeshVolume"] == pytest.approx(inner + faces / 2 + edges / 8 + 1 / 6)
    assert found["SurfaceArea"] == pytest.approx(faces + edges * math.sqrt(0.5) + math.sqrt(3))
    assert found["Maximum2DDiameterSlice"] == pytest.approx(max(math.hypot(b, c - 1), math.hypot(b - 1, c)))
    assert found["MajorAxisLength"] == pytest.approx(4 * math.sqrt((c**2 - 1) / 12))
    assert found["LeastAxisLength"] == pytest.approx(4 * math.sqrt((a**2 - 1) / 12))
    assert found["Elongation"] == pytest.approx(math.sqrt((b**2 - 1) / (c**2 - 1)))


def test_ball_is_nearly_a_ball():
    radius = 20.0
    z, y, x = np.indices((45, 45, 45)) - 22.0
    found = shape.compute(crop(z**2 + y**2 + x**2 < radius**2), (1.0, 1.0, 1.0))
    assert found["MeshVolume"] == pytest.approx(4 / 3 * math.pi * radius**3, rel=0.01)
    assert found["Sphericity"] == pytest.approx(0.93, abs=0.02)  # a mesh of voxels is rougher than the ball by some 8 %
    assert found["Flatness"] == pytest.approx(1.0, abs=1e-9)
    assert found["SphericalDisproportion"] == pytest.approx(1 / found["Sphericity"])
    assert found["Compactness2"] == pytest.approx(found["Sphericity"] ** 3)


@QUICK
@given(MASKS, SPACINGS)
def test_area_and_volume_are_sums_over_all_triangles(mask, spacing):
    mask, size = crop(mask), np.asarray(spacing)
    padded = np.pad(mask, 1)
    area = volume = 0.0
    for place in product(*(range(n - 1) for n in padded.shape)):
        case = sum(int(padded[tuple(np.add(place, corner))]) << k for k, corner in enumerate(cubes.CORNERS))
        sign = -1 if case > 127 else 1
        for triangle in cubes.cases()[255 - case if case > 127 else case]:
            a, b, c = (np.asarray(place) + triangle / 2.0) * size
            area += 0.5 * np.linalg.norm(np.cross(a - c, b - c))
            volume += sign * np.dot(np.cross(a, b), c) / 6.0
    found = shape.compute(mask, spacing)
    assert (found["SurfaceArea"], found["MeshVolume"]) == pytest.approx((area, volume), rel=1e-9)


@QUICK
@given(MASKS, SPACINGS)
def test_diameters_are_the_largest_distances_of_vertices(mask, spacing):
    mask = crop(mask)
    padded = np.pad(mask, 1)
    vertices = []
    for place in product(*map(range, padded.shape)):
        for axis in range(3):
            next_one = tuple(p + (a == axis) for a, p in enumerate(place))
            if next_one[axis] < padded.shape[axis] and padded[place] != padded[next_one]:
                vertices.append((np.add(place, next_one) / 2.0) * spacing)
    best = {"Slice": 0.0, "Column": 0.0, "Row": 0.0, "3D": 0.0}
    for a, b in combinations(vertices, 2):
        distance = float(np.linalg.norm(a - b))
        best["3D"] = max(best["3D"], distance)
        for axis, name in enumerate(("Slice", "Column", "Row")):
            if a[axis] == b[axis]:
                best[name] = max(best[name], distance)
    found = shape.compute(mask, spacing)
    assert found["Maximum3DDiameter"] == pytest.approx(best.pop("3D"), rel=1e-12)
    assert {n: found[f"Maximum2DDiameter{n}"] for n in best} == pytest.approx(best, rel=1e-12)


def test_flat_region_has_no_third_axis():
    found = shape.compute(np.ones((1, 7, 9), bool), (3.3, 0.7, 0.7))
    assert found["LeastAxisLength"] == found["Flatness"] == 0.0
    assert found["MinorAxisLength"] == pytest.approx(4 * 0.7 * math.sqrt(48 / 12))


def test_every_case_of_the_table_is_closed_within_its_cube():
    """Each cut edge of a cube is used by an equal number of triangles, and edges between vertices inside the cube are shared by two."""
    for case, triangles in enumerate(cubes.cases()):
        corners = np.array(cubes.CORNERS)
        inside = [case >> k & 1 for k in range(8)]
        cut = {tuple(corners[i] + corners[j]) for i, j in cubes.EDGES if inside[i] != inside[j]}
        assert {tuple(v) for t in triangles for v in t} == cut


def test_plane_square_and_diagonal():
    """A square of n pixels loses its four corners; pixels that touch at a corner stay apart."""
    n = 5
    square = shape.compute_plane(np.ones((n, n), bool), (2.0, 2.0))
    assert square["MeshSurface"] == pytest.approx(4.0 * (n * n - 4 / 8))
    assert square["Perimeter"] == pytest.approx(2.0 * (4 * (n - 1) + 4 * math.sqrt(0.5)))
    assert square["MaximumDiameter"] == pytest.approx(2.0 * math.hypot(n, n - 1))
    assert square["Sphericity"] == pytest.approx(2 * math.sqrt(math.pi * square["MeshSurface"]) / square["Perimeter"])
    pair = shape.compute_plane(np.eye(2, dtype=bool), (1.0, 1.0))
    assert pair["MeshSurface"] == pytest.approx(2 * 0.5)
    assert pair["Perimeter"] == pytest.approx(2 * 4 * math.sqrt(0.5))


@QUICK
@given(hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, min_side=2, max_side=6)).filter(np.any))
def test_plane_surface_is_what_the_outline_encloses(mask):
    """By Green's theorem over the outline's segments, corner by corner of a 2 x 2 square."""
    padded, surface = np.pad(mask, 1), 0.0
    middles = {0: (0.0, 0.5), 1: (0.5, 1.0), 2: (1.0, 0.5), 3: (0.5, 0.0)}
    lines = {1: [(3, 0)], 2: [(0, 1)], 3: [(3, 1)], 4: [(1, 2)], 5: [(1, 2), (3, 0)], 6: [(0, 2)], 7: [(3, 2)]}
    lines |= {8: [(2, 3)], 9: [(2, 0)], 10: [(0, 1), (2, 3)], 11: [(2, 1)], 12: [(1, 3)], 13: [(1, 0)], 14: [(0, 3)]}
    for y, x in product(range(padded.shape[0] - 1), range(padded.shape[1] - 1)):
        case = padded[y, x] + 2 * padded[y, x + 1] + 4 * padded[y + 1, x + 1] + 8 * padded[y + 1, x]
        for start, end in lines.get(int(case), []):
            a, b = np.add((y, x), middles[start]), np.add((y, x), middles[end])
            surface += (a[0] * b[1] - b[0] * a[1]) / 2
    assert shape.compute_plane(mask, (1.0, 1.0))["MeshSurface"] == pytest.approx(surface)
