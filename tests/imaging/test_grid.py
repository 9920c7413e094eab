"""Orientation and resampling: nothing moves in the patient."""

from __future__ import annotations

import numpy as np
import pytest

from sarcofuse.imaging import regrid, reorient, resample_mask, resample_volume
from sarcofuse.records import Geometry, Mask, Volume


def rotation(degrees: tuple[float, float, float]) -> tuple[float, ...]:
    a, b, c = np.radians(degrees)
    x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return tuple((z @ y @ x).ravel())


OBLIQUE = Geometry((32, 28, 12), (1.1, 0.9, 3.7), (-41.0, 13.0, 220.0), rotation((12.0, -7.0, 31.0)))
CORONAL = Geometry((32, 28, 12), (1.1, 0.9, 3.7), (-41.0, 13.0, 220.0), (1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, -1.0, 0.0))


def places(grid: Geometry) -> np.ndarray:
    """Positions of all voxel centres in mm, shape (z, y, x, 3)."""
    z, y, x = np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij")
    axes = np.asarray(grid.direction).reshape(3, 3) * np.asarray(grid.spacing)
    return np.stack([x, y, z], axis=-1) @ axes.T + np.asarray(grid.origin)


def ramp(grid: Geometry) -> np.ndarray:
    """A function of place alone."""
    return (places(grid) @ np.array([0.31, -0.47, 0.22]) + 5.0).astype(np.float32)


@pytest.mark.parametrize("grid", [OBLIQUE, CORONAL], ids=["oblique", "coronal"])
def test_turning_moves_nothing(grid: Geometry) -> None:
    turned = reorient(Volume(ramp(grid), grid))
    np.testing.assert_allclose(turned.array, ramp(turned.geometry), atol=1e-3)
    axes = np.asarray(turned.geometry.direction).reshape(3, 3)
    assert (np.diag(axes) > 0.8).all(), "x to the left, y to the back, z to the head"
    np.testing.assert_array_equal(np.sort(turned.array, axis=None), np.sort(ramp(grid), axis=None))


def test_a_mask_turns_with_its_image() -> None:
    region = Mask((ramp(CORONAL) > np.median(ramp(CORONAL))).astype(np.uint8), CORONAL)
    turned, image = reorient(region), reorient(Volume(ramp(CORONAL), CORONAL))
    assert turned.geometry == image.geometry
    np.testing.assert_array_equal(turned.array == 1, image.array > np.median(ramp(CORONAL)))


@pytest.mark.parametrize("spacing", [(1.5, 1.5, 5.0), (0.5, 0.6, 2.0), (1.1, 2.0, 3.7)])
@pytest.mark.parametrize("kind", ["linear", "bspline"])
def test_a_ramp_stays_where_it_is(spacing: tuple[float, float, float], kind: str) -> None:
    """Linear functions are reproduced by linear and by B-spline interpolation: any shift, by half a voxel say, would show as an offset."""
    grid = regrid(OBLIQUE, spacing)
    resampled = resample_volume(Volume(ramp(OBLIQUE), OBLIQUE), grid, kind, smooth=False)
    inner = (slice(7, -7), slice(8, -8), slice(8, -8)) if spacing[2] < 3 else (slice(2, -2), slice(5, -5), slice(5, -5))
    np.testing.assert_allclose(resampled.array[inner], ramp(grid)[inner], atol=0.02 if kind == "bspline" else 2e-3)


def test_the_new_grid_covers_the_same_box_with_the_same_centre() -> None:
    grid = regrid(OBLIQUE, (1.5, 1.5, 5.0))
    assert grid.spacing == (1.5, 1.5, 5.0)
    assert grid.size == (24, 17, 9)
    np.testing.assert_allclose(places(grid).reshape(-1, 3).mean(axis=0), places(OBLIQUE).reshape(-1, 3).mean(axis=0), atol=1e-9)
    assert regrid(OBLIQUE, OBLIQUE.spacing) is OBLIQUE


def test_the_same_grid_gives_the_same_voxels() -> None:
    image = Volume(ramp(OBLIQUE), OBLIQUE)
    assert resample_volume(image, OBLIQUE) is image


@pytest.mark.parametrize("kind", ["linear", "nearest"])
def test_a_ball_keeps_its_volume_and_place(kind: str) -> None:
    centre = places(OBLIQUE).reshape(-1, 3).mean(axis=0)
    fine = regrid(OBLIQUE, (0.5, 0.5, 0.5))
    ball = Mask((np.linalg.norm(places(fine) - centre, axis=-1) < 9.0).astype(np.uint8), fine)
    coarse = resample_mask(ball, regrid(fine, (1.2, 1.2, 2.4)), kind)
    assert coarse.volume_ml == pytest.approx(4 / 3 * np.pi * 0.9**3, rel=0.03)
    np.testing.assert_allclose(places(coarse.geometry)[coarse.array == 1].mean(axis=0), centre, atol=0.15)


def test_half_covered_voxels_are_outside_and_the_rest_of_the_world_too() -> None:
    grid = Geometry((4, 1, 1), (1.0, 1.0, 1.0))
    region = Mask(np.array([[[1, 1, 1, 0]]], np.uint8), grid)
    shifted = Geometry((4, 1, 1), (1.0, 1.0, 1.0), (0.5, 0.0, 0.0))
    np.testing.assert_array_equal(resample_mask(region, shifted).array, [[[1, 1, 0, 0]]])
    away = Geometry((4, 1, 1), (1.0, 1.0, 1.0), (-3.0, 0.0, 0.0))
    np.testing.assert_array_equal(resample_mask(region, away).array, [[[0, 0, 0, 1]]])


def test_beyond_the_edge_an_image_goes_on_as_it_was() -> None:
    image = Volume(np.array([[[3.0, 4.0, 5.0]]], np.float32), Geometry((3, 1, 1), (1.0, 1.0, 1.0)))
    wide = resample_volume(image, Geometry((7, 1, 1), (1.0, 1.0, 1.0), (-2.0, 0.0, 0.0)), "linear")
    np.testing.assert_array_equal(wide.array, [[[3, 3, 3, 4, 5, 5, 5]]])


def test_a_fine_pattern_does_not_alias() -> None:
    """Stripes of 2 mm cannot be shown at 3 mm; without smoothing they come back as broad ones."""
    grid = Geometry((120, 1, 1), (0.5, 1.0, 1.0))
    stripes = Volume(np.cos(np.pi * np.arange(120) * 0.5)[None, None].astype(np.float32), grid)
    coarse = regrid(grid, (3.0, 1.0, 1.0))
    assert np.ptp(resample_volume(stripes, coarse, "linear", smooth=False).array) > 0.5
    assert np.ptp(resample_volume(stripes, coarse, "linear").array[..., 2:-2]) < 0.2
    flat = Volume(np.full((1, 1, 120), 7.0, np.float32), grid)
    np.testing.assert_allclose(resample_volume(flat, coarse).array, 7.0, rtol=1e-6)
