"""Morphology by the standard, on bodies whose measures are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.spatial import ConvexHull
from scipy.spatial.transform import Rotation

from sarcofuse.radiomics.ibsi import Masked, morphology, spatial
from sarcofuse.radiomics.ibsi.enclose import ellipsoid_area, smallest_box, smallest_ellipsoid


def masked(outline, spacing=(1.0, 1.0, 1.0), image=None, inside=None):
    image = np.ones(outline.shape) if image is None else image
    return Masked(image.astype(float), outline if inside is None else inside, outline, spacing)


def ball(radius, spacing=(1.0, 1.0, 1.0), axes=(1.0, 1.0, 1.0)):
    reach = [int(radius * a / s) + 2 for s, a in zip(spacing, axes, strict=True)]
    grid = np.meshgrid(*(np.arange(-r, r + 1) * s / a for r, s, a in zip(reach, spacing, axes, strict=True)), indexing="ij")
    return sum(g**2 for g in grid) <= radius**2


def test_ellipsoid_on_an_anisotropic_grid():
    spacing, axes = (1.5, 0.7, 0.8), (1.5, 1.2, 1.0)
    found = morphology.compute(masked(ball(12.0, spacing, axes), spacing))
    semi = 12.0 * np.array(axes)
    assert found["RNU0"] == pytest.approx(4 / 3 * math.pi * semi.prod(), rel=0.01)
    assert found["YEKZ"] == pytest.approx(found["RNU0"], rel=0.01)
    assert found["L0JK"] == pytest.approx(2 * semi.max() + spacing[0], rel=0.02)
    # The covariance of an ellipsoid is a fifth of its squared semi-axes, and a length four times its root.
    assert [found[k] for k in ("TDIC", "P9VJ", "7J51")] == pytest.approx(4 * semi / math.sqrt(5), rel=0.01)
    assert [found["Q3CK"], found["N17B"]] == pytest.approx([1.2 / 1.5, 1.0 / 1.5], rel=0.01)
    assert found["SWZ1"] == pytest.approx(0.93, abs=0.06)  # voxels stick out
    assert found["R3ER"] == pytest.approx(0.965, abs=0.025)
    assert found["PBX1"] == pytest.approx(math.pi / 6, rel=0.1)
    assert found["KLMA"] == pytest.approx(0.0, abs=1e-9)


def test_box():
    outline = np.zeros((9, 12, 14), bool)
    outline[2:7, 3:9, 2:10] = True
    found = morphology.compute(masked(outline, (2.0, 1.0, 1.0)))
    assert found["YEKZ"] == 10 * 6 * 8
    assert found["ZH1A"] == pytest.approx(found["PBX1"], rel=1e-9)
    assert found["R3ER"] == pytest.approx(1.0, rel=1e-9)  # marching cubes only cut the edges off
    assert found["7T7F"] == pytest.approx(1.0, rel=1e-9)
    assert found["L0JK"] == pytest.approx(math.dist((0, 0, 0), (10, 5, 7)), rel=0.02)


def test_centre_of_intensities_is_that_of_the_intensity_mask():
    outline = np.ones((1, 1, 5), bool)
    image = np.array([[[1.0, 1.0, 1.0, 1.0, 6.0]]])
    assert morphology.compute(masked(outline, (1, 1, 2), image))["KLMA"] == pytest.approx(2.0 * (30 / 10 - 2))
    only = outline.copy()
    only[..., :4] = False
    found = morphology.compute(masked(outline, (1, 1, 2), image, only))
    assert found["KLMA"] == pytest.approx(4.0)
    assert found["99N0"] == pytest.approx(6.0 * found["RNU0"])
    assert math.isnan(morphology.compute(masked(outline, image=np.array([[[1.0, -1.0, 0, 0, 0]]])))["KLMA"])  # intensities that sum to 0 have no centre


def test_autocorrelation_by_pairs_and_by_transform(monkeypatch):
    rng = np.random.default_rng(0)
    inside = rng.random((8, 11, 9)) < 0.6
    image, spacing = rng.normal(50, 10, inside.shape).cumsum(axis=2), (3.0, 0.8, 1.1)
    places, values = np.argwhere(inside) * spacing, image[inside]
    distance = np.linalg.norm(places[:, None] - places, axis=2)
    weight = np.divide(1.0, distance, out=np.zeros_like(distance), where=distance > 0)
    off = values - values.mean()
    moran = len(off) * (off @ weight @ off) / (weight.sum() * (off @ off))
    geary = (len(off) - 1) * (weight * (values[:, None] - values) ** 2).sum() / (2 * weight.sum() * (off @ off))
    assert spatial.autocorrelation(image, inside, spacing) == pytest.approx((moran, geary), rel=1e-12)
    monkeypatch.setattr(spatial, "CELL", 0)
    assert spatial.autocorrelation(image, inside, spacing) == pytest.approx((moran, geary), rel=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_turned_box_is_found(seed):
    rng = np.random.default_rng(seed)
    sides = rng.uniform(1, 5, 3)
    corners = np.array([[a, b, c] for a in (0, 1) for b in (0, 1) for c in (0, 1)])
    body = ConvexHull(Rotation.random(random_state=seed).apply(np.r_[corners, rng.random((50, 3))] * sides))
    hull = np.ascontiguousarray(body.points[body.vertices])
    assert np.sort(smallest_box(hull, body.equations[:, :3])) == pytest.approx(np.sort(sides), rel=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_no_box_of_many_is_smaller(seed):
    points = np.random.default_rng(seed).normal(size=(60, 3)) * [3, 2, 1]
    body = ConvexHull(points)
    hull = np.ascontiguousarray(body.points[body.vertices])
    found = smallest_box(hull, body.equations[:, :3]).prod()
    others = [np.ptp(turn.apply(hull), axis=0).prod() for turn in Rotation.random(2000, random_state=seed)]
    assert found <= min(others)


def test_smallest_box_of_a_tetrahedron_has_no_side_on_a_face():
    """A regular one within the cube of its corners, whose diagonals its edges are."""
    points = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) @ Rotation.random(random_state=3).as_matrix()
    assert smallest_box(points, ConvexHull(points).equations[:, :3]).prod() == pytest.approx(8.0, rel=0.02)


def test_smallest_ellipsoid():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(400, 3))
    points /= np.linalg.norm(points, axis=1)[:, None]
    turn = Rotation.random(random_state=1)
    inner = points[:100] * rng.uniform(0, 0.9, (100, 1))
    assert smallest_ellipsoid(turn.apply(np.r_[points, inner] * [3, 2, 1]) + 40) == pytest.approx([1, 2, 3], rel=1e-5)
    cube = np.array([[a, b, c] for a in (-1, 1) for b in (-1, 1) for c in (-1, 1)])
    assert smallest_ellipsoid(cube * [1, 2, 3]) == pytest.approx(np.sqrt(3) * np.array([1, 2, 3]), rel=1e-6)


def test_area_is_the_standards_series():
    from scipy.special import eval_legendre

    a, b, c = 7.0, 5.0, 4.0
    alpha, beta = math.sqrt(1 - b**2 / a**2), math.sqrt(1 - c**2 / a**2)
    n = np.arange(21)
    terms = (alpha * beta) ** n / (1 - 4 * n**2) * eval_legendre(n, (alpha**2 + beta**2) / (2 * alpha * beta))
    assert ellipsoid_area(a, b, c) == pytest.approx(4 * math.pi * a * b * terms.sum(), rel=1e-12)
    assert ellipsoid_area(a, a, c) == pytest.approx(ellipsoid_area(a, a - 1e-7, c), rel=1e-6)  # where an eccentricity is 0, its limit
    assert ellipsoid_area(0.0, 0.0, 0.0) == 0.0
