"""One synthetic patient, from plan to image and mask, in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from sarcofuse.phantom.body import Body, draw_body
from sarcofuse.phantom.canvas import Grid, Points, coarse_noise, smooth_noise, soft
from sarcofuse.phantom.confounders import draw_cysts, draw_effusion, draw_organs, draw_swelling, draw_vessels, failed_suppression, paint
from sarcofuse.phantom.plan import PatientPlan, Region, Site
from sarcofuse.phantom.truth import Latents
from sarcofuse.phantom.tumour import choose_seat, draw_inside, draw_oedema, draw_outline
from sarcofuse.records import Mask, Volume

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Field = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Scanner:
    """A hospital's scanner and protocol.

    Attributes
    ----------
    pixel : mapping
        In-plane voxel size in mm by part of the body.
    thickness : float
        Slice thickness in mm.
    slices : int
        How many.
    unit : float
        Image value of muscle.
    fat : float
        Brightness of suppressed fat, muscle being 1.
    gamma : float
        Contrast: brightness is raised to this power.
    noise : float
        Deviation of the noise in each channel, muscle being 1.
    bias : float
        Deviation of the logarithm of the bias field.
    blur : float
        Deviation of the point spread in the plane, in pixels.
    """

    pixel: dict[Region, float]
    thickness: float
    slices: int
    unit: float
    fat: float
    gamma: float
    noise: float
    bias: float
    blur: float


SCANNERS: dict[Site, Scanner] = {
    "A": Scanner({"thigh": 1.5, "leg": 1.25, "pelvis": 1.8}, 5.0, 26, 150.0, 0.34, 1.0, 0.065, 0.10, 0.45),
    "B": Scanner({"thigh": 1.6, "leg": 1.4, "pelvis": 1.9}, 6.0, 22, 95.0, 0.42, 0.94, 0.075, 0.13, 0.6),
}
"""The two hospitals."""
PIXELS: dict[Region, tuple[int, int]] = {"thigh": (120, 124), "leg": (116, 116), "pelvis": (112, 160)}
"""Rows and columns of the image by part of the body."""
HIGHEST = 4000
"""Image values are cut here."""


def draw_patient(plan: PatientPlan) -> tuple[Volume, Mask, Latents]:
    """Draw the image and the tumour mask of one patient; the same plan gives the same values.

    Parameters
    ----------
    plan : PatientPlan
        What is settled about the patient.

    Returns
    -------
    image : Volume
        T2 fat-suppressed-like axial image, whole numbers from 0 to 4000 in the scanner's units.
    mask : Mask
        The tumour.
    latents : Latents
        The hidden components that shaped it.
    """
    rng = np.random.default_rng([plan.seed, plan.index, 1])
    scanner = SCANNERS[plan.site]
    pixel = scanner.pixel[plan.region]
    grid = Grid((scanner.slices, *PIXELS[plan.region]), (scanner.thickness, pixel, pixel))
    scene, mask = _scene(rng, grid, draw_body(rng, plan.region), plan, scanner)
    image = _scan(rng, grid, scene, scanner)
    return Volume(image, grid.geometry), Mask(mask.astype(np.uint8), grid.geometry), plan.latents


def _scene(rng: np.random.Generator, grid: Grid, body: Body, plan: PatientPlan, scanner: Scanner) -> tuple[Field, NDArray[np.bool_]]:
    """Give the brightness of the tissues, muscle being 1, and the tumour."""
    straight = grid.points
    seat = choose_seat(rng, body, plan.volume_ml)
    at = seat.pushed(straight, grid, rng.uniform(0.2, 0.32))
    skin, fascia = body.skin(at)
    bone = np.broadcast_to(body.bone(straight), grid.shape)
    outline = draw_outline(rng, grid, seat, (skin, fascia, bone), plan.latents.shape)
    image = _tissues(rng, grid, body, at, (skin, fascia, outline.distance), scanner, seat.core.centre)
    draw_organs(rng, image, grid, at, body)
    draw_vessels(rng, image, at, body)
    draw_cysts(rng, image, at, body, seat)
    if rng.random() < 0.6:
        draw_effusion(rng, image, straight, body, bone)
    contrast = np.float32(rng.uniform(0.95, 1.42))
    image += contrast * draw_oedema(rng, grid, outline, fascia, plan.latents) * (1 - outline.share)
    inside = 1 + contrast * draw_inside(rng, grid, outline, plan.latents.texture)
    image += outline.share * (inside - image)
    for part in body.bones:
        surface = part.oval.distance(straight)
        paint(image, soft(surface, 0.7), 0.12)
        paint(image, soft(surface + np.float32(part.cortex), 0.7), float(rng.uniform(0.4, 0.6)))
    image *= soft(skin, 0.7)
    return image, outline.mask


def _tissues(rng: np.random.Generator, grid: Grid, body: Body, at: Points, depths: tuple[Field, Field, Field], scanner: Scanner, centre: tuple[float, float, float]) -> Field:
    """Give skin, fat and muscles, with the swelling that is not the tumour's."""
    skin, fascia, _ = depths
    muscle, wall = body.muscles(at)
    own = body.muscles(Points(*(np.full(1, v, dtype=np.float32) for v in centre)))[0][0]
    tone = (1 + 0.06 * rng.standard_normal(body.muscle_count)).astype(np.float32)
    fat = np.float32(scanner.fat * rng.uniform(0.85, 1.2)) + failed_suppression(rng, grid.points, body)
    grain = np.float32(0.05) * smooth_noise(rng, grid.shape, grid.spacing, (8.0, 2.0, 2.0))
    meat = tone[muscle] * (1 + grain)
    meat += soft(wall - np.float32(0.9), 0.6) * (fat * np.float32(0.8) - meat)
    image: Field = np.asarray(fat * (1 + grain) + soft(fascia, 0.8) * (meat - fat), dtype=np.float32)
    image += soft(np.abs(skin + 1) - 1, 0.5) * (np.float32(0.95) - image)
    count = body.muscle_count
    swollen = (int(own) + int(rng.integers(1, count))) % count
    angle = rng.uniform(0, 2 * np.pi)
    side = soft(np.float32(rng.uniform(-20, 15)) - at.x * np.float32(np.cos(angle)) - at.y * np.float32(np.sin(angle)), 6.0)
    draw_swelling(rng, image, grid, depths, ((muscle == swollen) * soft(np.float32(1.5) - wall, 0.6), side))
    return image


def _scan(rng: np.random.Generator, grid: Grid, scene: Field, scanner: Scanner) -> Field:
    """Give what the scanner makes of it: contrast, blur, bias field, Rician noise, whole numbers."""
    gamma = scanner.gamma * rng.uniform(0.95, 1.05)
    image = np.maximum(scene, 0) ** np.float32(gamma)
    image = np.asarray(ndimage.gaussian_filter(image, (0.25, scanner.blur, scanner.blur)), dtype=np.float32)
    bias = scanner.bias * rng.uniform(0.7, 1.3) * coarse_noise(rng, grid, 70.0, step=24.0)
    image *= np.exp(bias, dtype=np.float32)
    noise = np.float32(scanner.noise * rng.uniform(0.85, 1.2))
    real = image + noise * rng.standard_normal(grid.shape, dtype=np.float32)
    measured = np.hypot(real, noise * rng.standard_normal(grid.shape, dtype=np.float32))
    unit = np.float32(scanner.unit * rng.uniform(0.85, 1.2))
    return np.asarray(np.clip(np.rint(measured * unit), 0, HIGHEST), dtype=np.float32)
