"""The tumour and the oedema around it, drawn from the hidden components."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage
from scipy.special import ndtr

from sarcofuse.phantom.body import Body, Oval
from sarcofuse.phantom.canvas import Grid, Points, coarse_noise, smooth_noise, soft
from sarcofuse.phantom.truth import Latents

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Field = NDArray[np.float32]

CAPSULE_MM = 8.0
"""Within about this distance of the tumour its pseudocapsule keeps the oedema out, so that filters that reach over the edge of the mask see little of it."""


@dataclass(frozen=True, slots=True)
class Seat:
    """Where a tumour sits, before its outline is known.

    Attributes
    ----------
    core : Oval
        Ellipsoid of the wanted volume.
    radius : float
        Radius of the ball of that volume in mm.
    """

    core: Oval
    radius: float

    def pushed(self, at: Points, grid: Grid, strength: float) -> Points:
        """Give where the tissue at each point lay before the tumour pushed it away.

        Parameters
        ----------
        at : Points
            Where.
        grid : Grid
            The image's voxels.
        strength : float
            0 nothing gives way; 1 everything does.

        Returns
        -------
        Points
            Coordinates in the healthy body.
        """
        cx, cy, cz = (np.float32(v) for v in self.core.centre)
        dx, dy, dz = at.x - cx, at.y - cy, at.z - cz
        reach = np.float32(1.0 / (2.0 * (1.25 * self.radius) ** 2))
        pull = np.float32(strength) * (np.exp(-dz * dz * reach) * np.exp(-dy * dy * reach)) * np.exp(-dx * dx * reach)
        return Points(at.x - dx * pull, at.y - dy * pull, np.broadcast_to(at.z, grid.shape))


@dataclass(frozen=True, slots=True, eq=False)
class Outline:
    """A tumour's outline on the image's voxels.

    Attributes
    ----------
    distance : ndarray of float32
        Rough signed distance to it in mm, negative inside.
    mask : ndarray of bool
        Its inside.
    share : ndarray of float32
        How much of each voxel is tumour, 0 to 1.
    """

    distance: Field
    mask: NDArray[np.bool_]
    share: Field


def choose_seat(rng: np.random.Generator, body: Body, volume_ml: float) -> Seat:
    """Choose a place in the muscle with room for the tumour.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of the draws.
    body : Body
        The body.
    volume_ml : float
        Wanted volume.

    Returns
    -------
    Seat
        The place.
    """
    radius = (volume_ml * 1000 * 3 / (4 * np.pi)) ** (1 / 3)
    along, across = rng.uniform(1.15, 1.5), rng.uniform(0.85, 1.18)
    flat = radius / along**0.5
    z = float(rng.normal(0, 6))
    spread = body.outline.radii
    x = rng.uniform(-spread[0], spread[0], 500).astype(np.float32)
    y = rng.uniform(-spread[1], spread[1], 500).astype(np.float32)
    at = Points(x, y, np.full(500, z, dtype=np.float32))
    room = np.minimum(-body.skin(at)[1] / 0.55, body.bone(at) / 0.8)
    if body.cavity is not None:
        room = np.minimum(room, body.cavity.distance(at) / 0.6)
    fits = np.flatnonzero(room > flat)
    best = int(fits[0]) if len(fits) else int(np.argmax(room))
    core = Oval((float(x[best]), float(y[best]), z), (flat * across, flat / across, radius * along), float(rng.uniform(0, np.pi)))
    return Seat(core, radius)


def draw_outline(rng: np.random.Generator, grid: Grid, seat: Seat, walls: tuple[Field, Field, Field], shape: float) -> Outline:
    """Draw lobes onto the ellipsoid; what is hard (bone, skin) and the fascia keep it back, and the volume stays the wanted one.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of the draws.
    grid : Grid
        The image's voxels.
    seat : Seat
        Place and volume.
    walls : tuple of ndarray
        Distances to skin, fascia and bone in mm; skin and fascia are negative inside, bone is negative in bone.
    shape : float
        Hidden component: depth of the lobes and blur of the margin.

    Returns
    -------
    Outline
        The outline.
    """
    skin, fascia, bone = walls
    radius = np.float32(seat.radius)
    depth = np.float32(0.17 * np.exp(0.5 * np.clip(shape, -2.5, 2.2) + 0.05 * rng.normal()))
    lobes = coarse_noise(rng, grid, max(7.0, 0.36 * seat.radius), step=5.0)
    lobes = np.float32(0.55) * lobes + np.float32(0.9) * (np.abs(lobes) - np.float32(0.8))
    flat = np.float32(min(seat.core.radii))
    level = seat.core.distance(grid.points) / flat + 1 - depth * lobes
    level += np.maximum(fascia - 1, 0) * (np.float32(1.3) / radius) + np.maximum(2 - bone, 0) * (np.float32(4) / radius) + np.maximum(skin + 4, 0) * (np.float32(4) / radius)
    count = round(4 / 3 * np.pi * seat.radius**3 / float(np.prod(grid.spacing)))
    distance = _level_set(level, count) * radius
    mask = distance < 0
    blur = 0.9 * np.exp(0.55 * np.clip(shape, -2.5, 2.5) + 0.1 * rng.normal())
    slope = np.gradient(distance, axis=0)
    share = soft(distance, np.sqrt(np.float32(blur) ** 2 + (np.float32(0.3) * slope) ** 2))
    return Outline(distance, mask, share)


def _level_set(level: Field, count: int) -> Field:
    """Shift a field so that its one largest piece below zero has about so many voxels; other pieces are lifted above zero."""
    wanted = count
    for _ in range(3):
        distance = level - np.partition(level.ravel(), wanted)[wanted]
        pieces, found = ndimage.label(distance < 0)
        sizes = np.bincount(pieces.ravel())[1:]
        if found == 1 or sizes.max() > 0.98 * count:
            break
        wanted += count - int(sizes.max())
    keep = 1 + int(np.argmax(sizes))
    return np.asarray(np.where((pieces > 0) & (pieces != keep), np.float32(0.02), distance), dtype=np.float32)


def draw_inside(rng: np.random.Generator, grid: Grid, outline: Outline, texture: float) -> Field:
    """Draw the tumour's inside: 0 as bright as muscle, 1 the tumour's typical brightness, more where it is necrotic.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of the draws.
    grid : Grid
        The image's voxels.
    outline : Outline
        The tumour's outline.
    texture : float
        Hidden component: contrast and coarseness of the inside, and how much of it is necrotic or fibrous.

    Returns
    -------
    ndarray of float32
        Brightness, of the image's shape; 1 far from the tumour.
    """
    t = float(np.clip(texture, -2.5, 2.2))
    inside = np.ones(grid.shape, dtype=np.float32)
    box = ndimage.find_objects((outline.distance < 6).astype(np.int8))[0]
    shape = tuple(s.stop - s.start for s in box)
    fine = smooth_noise(rng, shape, grid.spacing, 2.6 * np.exp(0.2 * t))
    coarse = smooth_noise(rng, shape, grid.spacing, 6.0 * np.exp(0.15 * t))
    spots = smooth_noise(rng, shape, grid.spacing, 4.5)
    contrast = 0.26 * np.exp(0.55 * t + 0.06 * rng.normal())
    value = 1 + np.float32(contrast) * (np.float32(0.75) * fine + np.float32(0.65) * coarse)
    reach = np.float32(2.6 - 0.65 * t)
    value += np.float32(0.9) * soft(reach - spots, 0.35) - np.float32(0.7) * soft(reach + spots, 0.35)
    inside[box] = np.clip(value, -0.25, 2.8)
    return inside


def draw_oedema(rng: np.random.Generator, grid: Grid, outline: Outline, fascia: Field, latents: Latents) -> Field:
    """Draw the oedema around the tumour, which fades with the distance, lies beside the tumour rather than above or below it, and hardly enters the fat.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of the draws.
    grid : Grid
        The image's voxels.
    outline : Outline
        The tumour's outline.
    fascia : ndarray of float32
        Distance to the fascia in mm, negative in muscle.
    latents : Latents
        Its `oedema` says how bright and how far.

    Returns
    -------
    ndarray of float32
        Brightness, 0 none to 1 as bright as the tumour.
    """
    o = float(np.clip(latents.oedema, -2.5, 2.5))
    peak = 0.06 + 0.74 * ndtr(0.95 * o + 0.08 * rng.normal())
    reach = 14.0 * np.exp(0.38 * o)
    feathers = 1 + np.float32(0.3) * coarse_noise(rng, grid, 8.0)
    away = np.maximum(outline.distance, 0)
    capsule = 1 - np.exp(-((away / np.float32(CAPSULE_MM)) ** 2))
    glow = np.float32(peak) * capsule * np.exp(-((away / np.float32(reach)) ** np.float32(1.5))) * np.clip(feathers, 0.2, 1.8)
    where = np.flatnonzero(outline.mask.any(axis=(1, 2)))
    middle, half = 0.5 * (where[0] + where[-1]), 0.5 * (where[-1] - where[0] + 1)
    beside = soft((np.abs(np.arange(grid.shape[0], dtype=np.float32) - np.float32(middle)) - np.float32(0.6 * half)) * np.float32(grid.spacing[0]), 6.0)
    glow *= beside[:, None, None]
    return np.asarray(glow * (np.float32(0.3) + np.float32(0.7) * soft(fascia, 1.5)), dtype=np.float32)
