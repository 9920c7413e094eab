"""What is bright and no tumour: vessels, cysts, effusions, bladder and bowel, swollen muscles and fat, fat that was not suppressed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sarcofuse.phantom.body import Body, Oval
from sarcofuse.phantom.canvas import Grid, Points, coarse_noise, soft
from sarcofuse.phantom.tumour import Seat

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Field = NDArray[np.float32]


def paint(image: Field, share: Field, brightness: float) -> None:
    """Lay a tissue over the image, in place.

    Parameters
    ----------
    image : ndarray of float32
        The image.
    share : ndarray of float32
        How much of each voxel the tissue takes, 0 to 1.
    brightness : float
        Of the tissue, muscle being 1.
    """
    image += share * (np.float32(brightness) - image)


def draw_vessels(rng: np.random.Generator, image: Field, at: Points, body: Body) -> None:
    """Draw the great vessels between the muscles, small ones there too, and veins in the fat, in place.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of the draws.
    image : ndarray of float32
        The image.
    at : Points
        Coordinates in the healthy body.
    body : Body
        The body.
    """
    a, b = body.outline.radii[:2]
    turn = rng.uniform(0, 2 * np.pi)
    spots = [(0.42, turn, rng.uniform(3.2, 4.5)), (0.42 + 8 / a, turn + 0.12, rng.uniform(3.8, 5.2))]
    spots += [(rng.uniform(0.3, 0.68), rng.uniform(0, 2 * np.pi), rng.uniform(1.3, 2.4)) for _ in range(5)]
    spots += [(0.955 - body.fat[0] / (a + b), rng.uniform(0, 2 * np.pi), rng.uniform(1.3, 2.3)) for _ in range(3)]
    for far, angle, radius in spots:
        drift = (float(rng.normal(0, 0.07)), float(rng.normal(0, 0.07)))
        tube = Oval((far * a * np.cos(angle), far * b * np.sin(angle), 0.0), (radius, radius, np.inf), 0.0, drift)
        distance = tube.distance(at)
        if radius > 3:
            paint(image, soft(distance - 2, 0.8), 0.45)
        paint(image, soft(distance, 0.6), float(rng.uniform(2.2, 3.4)))


def draw_cysts(rng: np.random.Generator, image: Field, at: Points, body: Body, seat: Seat) -> None:
    """Draw smooth, even, bright cysts in and under the fat, away from the tumour, in place.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of the draws.
    image : ndarray of float32
        The image.
    at : Points
        Coordinates in the healthy body.
    body : Body
        The body.
    seat : Seat
        Where the tumour is.
    """
    for _ in range(int(rng.integers(0, 3))):
        radius = rng.uniform(6, 14)
        for _ in range(20):
            angle, far = rng.uniform(0, 2 * np.pi), rng.uniform(0.72, 0.86)
            x, y = far * body.outline.radii[0] * np.cos(angle), far * body.outline.radii[1] * np.sin(angle)
            if np.hypot(x - seat.core.centre[0], y - seat.core.centre[1]) > seat.radius + radius + 22:
                break
        else:
            continue
        cyst = Oval((float(x), float(y), float(rng.uniform(-35, 35))), (radius, radius * rng.uniform(0.6, 1), radius * rng.uniform(1, 2)), float(rng.uniform(0, 3)))
        paint(image, soft(cyst.distance(at), 0.7), float(rng.uniform(3.0, 3.8)))


def draw_effusion(rng: np.random.Generator, image: Field, at: Points, body: Body, bone: Field) -> None:
    """Draw a crescent of fluid along a bone, in part of the slices, in place.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of the draws.
    image : ndarray of float32
        The image.
    at : Points
        Coordinates, not pushed, as bones are not.
    body : Body
        The body.
    bone : ndarray of float32
        Distance to the nearest bone in mm.
    """
    chosen = body.bones[int(rng.integers(len(body.bones)))].oval
    angle, wide = rng.uniform(0, 2 * np.pi), rng.uniform(0.9, 1.8)
    x, y = at.x - np.float32(chosen.centre[0]), at.y - np.float32(chosen.centre[1])
    cosine = (x * np.float32(np.cos(angle)) + y * np.float32(np.sin(angle))) / (np.sqrt(x * x + y * y) + 1)
    end = 1.0 if rng.random() < 0.5 else -1.0
    along = soft(np.float32(rng.uniform(-20, 20)) - np.float32(end) * at.z, 8.0)
    thick = np.float32(rng.uniform(7, 12) if body.cavity is None else rng.uniform(5, 9)) * np.clip((cosine - np.float32(np.cos(wide))) / np.float32(1 - np.cos(wide)), 0, 1) ** np.float32(0.5) * along
    near = np.maximum(1.5 - bone, bone - 1.5 - thick)
    paint(image, soft(near, 0.8) * (thick > 1), float(rng.uniform(2.9, 3.8)))


def draw_organs(rng: np.random.Generator, image: Field, grid: Grid, at: Points, body: Body) -> None:
    """Draw what fills the pelvis: fat, bowel and bladder, in place.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of the draws.
    image : ndarray of float32
        The image.
    grid : Grid
        The image's voxels.
    at : Points
        Coordinates in the healthy body.
    body : Body
        The body; nothing is drawn where it has no cavity.
    """
    if body.cavity is None:
        return
    inside = soft(body.cavity.distance(at), 1.5)
    loops = coarse_noise(rng, grid, 8.0)
    bowel = np.float32(0.4) + np.float32(0.6) * soft(np.abs(loops) - np.float32(0.5), 0.15) + np.float32(0.6) * soft(np.float32(1.4) - loops, 0.15)
    image += inside * (bowel - image)
    size = rng.uniform(20, 34)
    bladder = Oval((float(rng.normal(0, 4)), body.cavity.centre[1] - float(rng.uniform(2, 10)), float(rng.uniform(-25, 15))), (size * 1.15, size * 0.85, size * 1.1))
    distance = bladder.distance(at)
    paint(image, soft(distance - 3, 0.8), 0.8)
    paint(image, soft(distance, 0.8), float(rng.uniform(3.2, 4.2)))


def draw_swelling(rng: np.random.Generator, image: Field, grid: Grid, depths: tuple[Field, Field, Field], where: tuple[Field, Field]) -> None:
    """Draw a swollen muscle and swollen fat under the skin, in place.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of the draws.
    image : ndarray of float32
        The image.
    grid : Grid
        The image's voxels.
    depths : tuple of ndarray
        Distances to skin, fascia and the tumour in mm, negative inside.
    where : tuple of ndarray
        Share of each voxel that belongs to the swollen muscle, and share of each voxel that lies on the swollen side, 0 to 1.
    """
    skin, fascia, tumour = depths
    muscle, side = where
    away = soft(np.float32(14) - tumour, 4.0)
    patches = coarse_noise(rng, grid, 12.0)
    if rng.random() < 0.5:
        glow = np.clip(np.float32(rng.uniform(0.4, 0.95)) * (1 + np.float32(0.35) * patches), 0, None)
        image += muscle * away * soft(fascia + 1, 0.8) * glow
    if rng.random() < 0.65:
        net = soft(np.abs(patches - np.float32(0.5)) - np.float32(rng.uniform(0.9, 1.5)), 0.4)
        layer = soft(np.maximum(skin + 2, -fascia), 1.0)
        image += side * layer * net * np.float32(rng.uniform(0.9, 1.7))


def failed_suppression(rng: np.random.Generator, at: Points, body: Body) -> Field:
    """Say where fat suppression failed: towards one edge of the field of view, in seven patients of ten.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of the draws.
    at : Points
        Voxel centres.
    body : Body
        The body.

    Returns
    -------
    ndarray of float32
        Brightness to add to fat, muscle being 1.
    """
    angle, slope = rng.uniform(0, 2 * np.pi), rng.normal(0, 0.5)
    a, b = body.outline.radii[:2]
    along = at.x * np.float32(np.cos(angle) / a) + at.y * np.float32(np.sin(angle) / b) + at.z * np.float32(slope / 60)
    amount = rng.uniform(0.8, 1.8) if rng.random() < 0.7 else 0.0
    return np.asarray(np.float32(amount) * soft(np.float32(rng.uniform(0.15, 0.6)) - along, 0.22), dtype=np.float32)
