"""Perturbed images and masks, as another reader, scanner or position on the table would give.

References
----------
.. [1] Zwanenburg A et al. Assessing robustness of radiomic features by image perturbation. Sci Rep 2019;9:614.
.. [2] Donoho DL, Johnstone IM. Ideal spatial adaptation by wavelet shrinkage. Biometrika 1994;81:425-455.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sarcofuse.config import PerturbConfig
from sarcofuse.radiomics.distance import signed_distance

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Spacing = tuple[float, float, float]
Box = tuple[slice, slice, slice]
Change = tuple[float, tuple[float, float, float]]

LEAST = 0.5  # share of the voxels that a mask keeps whatever moves its boundary
TIE = 0.1  # mm; voxels at the same distance from the surface are told apart by this much of a random field
STILL: Change = (0.0, (0.0, 0.0, 0.0))
FAR = 1e4  # mm; stands for the distance to a surface that is not there


@dataclass(frozen=True)
class Step:
    """One perturbation.

    Attributes
    ----------
    name : str
        Such as ``noise+boundary-07``.
    image, mask : str
        What happens to image and mask.
    group : int
        Perturbations of one group lie on the same changed image.
    index : int
        Number from 0.
    """

    name: str
    image: str
    mask: str
    group: int
    index: int


AS_GIVEN = Step("unperturbed", "none", "none", -1, -1)


def plan(perturbations: int, config: PerturbConfig) -> list[Step]:
    """List the perturbations; the same for every patient.

    Parameters
    ----------
    perturbations : int
        How many.
    config : PerturbConfig
        Which, in turn.

    Returns
    -------
    list of Step
        In order.

    Examples
    --------
    >>> [step.name for step in plan(5, PerturbConfig(images=("none", "noise")))]
    ['boundary-01', 'volume-02', 'boundary-03', 'volume-04', 'noise+boundary-05']
    """
    found = []
    for k in range(perturbations):
        group = k // config.masks_an_image
        image, mask = config.images[group % len(config.images)], config.masks[k % len(config.masks)]
        kinds = "+".join(kind for kind in (image, mask) if kind != "none") or "none"
        found.append(Step(f"{kinds}-{k + 1:02d}", image, mask, group, k))
    return found


@dataclass(frozen=True)
class Scene:
    """An image, the tumour in it, and how they are perturbed.

    Attributes
    ----------
    image : ndarray of float, shape (z, y, x)
        Intensities.
    tumour : ndarray of bool, shape (z, y, x)
        The tumour.
    spacing : tuple of float
        Voxel size along z, y, x in mm.
    reach : tuple of float
        Distance in mm from the tumour, along z, y, x, that features depend on: filters look so far.
    config : PerturbConfig
        How strongly to perturb.
    seed : int
        Seed of everything drawn.
    """

    image: NDArray[np.floating]
    tumour: Bools
    spacing: Spacing
    reach: Spacing
    config: PerturbConfig
    seed: int

    @cached_property
    def box(self) -> Box:
        """The part of the image that is perturbed: the tumour, and as far from it as features depend on."""
        return _widen(self.tumour, self.spacing, [self._room + reach for reach in self.reach])

    @cached_property
    def near(self) -> Box:
        """The part of the image that a perturbed mask may lie in."""
        return _widen(self.tumour, self.spacing, [self._room] * 3)

    @cached_property
    def _centre(self) -> Floats:
        """The tumour's centre within slices, in voxels (y, x)."""
        plane = self.tumour.sum(axis=0)
        return np.array([plane.sum(axis=1 - axis) @ np.arange(plane.shape[axis]) / plane.sum() for axis in (0, 1)])

    @cached_property
    def _room(self) -> float:
        """How far a mask may be moved, mm."""
        volume, sizes = np.count_nonzero(self.tumour) * math.prod(self.spacing), [(s.stop - s.start) * d for s, d in zip(bounds(self.tumour), self.spacing, strict=True)]
        grown = max(4.0 * self.config.boundary, (3.0 * volume / (4.0 * math.pi)) ** (1.0 / 3.0) * self.config.volume)
        turned = 0.5 * math.hypot(*sizes[1:]) * math.radians(self.config.rotation) if "rotation" in self.config.images else 0.0
        return grown + turned

    @cached_property
    def distance(self) -> Floats:
        """Signed distance from the tumour's surface, in the part that masks lie in, mm."""
        return np.clip(signed_distance(self.tumour[self.near], self.spacing), -FAR, FAR)

    @cached_property
    def noise(self) -> float:
        """Standard deviation of the image's own noise in the tumour's bounding box."""
        return noise_level(self.image[bounds(self.tumour)])

    def groups(self, steps: Sequence[Step]) -> Iterator[tuple[NDArray[np.floating], list[Step], list[Bools]]]:
        """Give the perturbed images and the masks on each, one image at a time.

        Parameters
        ----------
        steps : sequence of Step
            From `plan`; those on an unchanged image come together.

        Yields
        ------
        image : ndarray of float, shape (z, y, x)
            The image, perturbed about the tumour.
        steps : list of Step
            The perturbations on this image.
        masks : list of ndarray of bool, shape (z, y, x)
            Their masks.
        """
        keys = dict.fromkeys(-1 if s.image == "none" else s.group for s in steps)
        for key in keys:
            own = [s for s in steps if (-1 if s.image == "none" else s.group) == key]
            change = self._change(own[0])
            yield self._changed_image(own[0], change), own, [self._changed_mask(s, change) for s in own]

    def _change(self, step: Step) -> Change:
        """Draw rotation (radians) and translation (voxels along z, y, x)."""
        if step.image not in ("rotation", "translation"):
            return STILL
        rng = np.random.default_rng([self.seed, 0, step.group])
        angle = math.radians(rng.uniform(-self.config.rotation, self.config.rotation)) if step.image == "rotation" else 0.0
        z, y, x = rng.uniform(-self.config.translation, self.config.translation, 3) if step.image == "translation" else (0.0, 0.0, 0.0)
        return angle, (float(z), float(y), float(x))

    def _changed_image(self, step: Step, change: Change) -> NDArray[np.floating]:
        if step.image == "none":
            return self.image
        part, image = self.image[self.box].astype(np.float64), self.image.copy()
        noise = step.image == "noise"
        image[self.box] = part + np.random.default_rng([self.seed, 0, step.group]).normal(scale=self.noise * self.config.noise, size=part.shape) if noise else self._move(part, change, self.box)
        return image

    def _changed_mask(self, step: Step, change: Change) -> Bools:
        level = self.distance
        if step.mask != "none":
            rng = np.random.default_rng([self.seed, 1, step.index])
            field = smooth_field(level.shape, self.spacing, self.config.boundary_length, rng)
            count = np.count_nonzero(self.tumour)
            if step.mask == "boundary":
                level = level + self.config.boundary * field
                least = math.ceil(LEAST * count)
                if np.count_nonzero(level <= 0.0) < least:
                    level = level - _smallest(level, least)
            else:
                level = level + TIE * field
                level = level - _smallest(level, max(1, round(count * (1.0 + rng.uniform(-self.config.volume, self.config.volume)))))
        if change != STILL:
            level = self._move(level, change, self.near)
        found = np.zeros(self.tumour.shape, dtype=bool)
        found[self.near] = level <= 0.0
        return found

    def _move(self, part: Floats, change: Change, box: Box) -> Floats:
        """Rotate within slices about the tumour's centre and translate, by cubic convolution."""
        angle, (z, y, x) = change
        _, height, width = self.spacing
        cos, sin, centre = math.cos(angle), math.sin(angle), self._centre - [box[1].start, box[2].start]
        matrix = np.array([cos, -sin * width / height, sin * height / width, cos])
        return _turn(part, z, matrix, centre, np.array([y, x]))


def bounds(inside: Bools) -> Box:
    """Give the bounding box of a region.

    Parameters
    ----------
    inside : ndarray of bool, shape (z, y, x)
        The region; at least one voxel.

    Returns
    -------
    tuple of slice
        Along z, y, x.
    """
    ends = [np.flatnonzero(inside.any(axis=tuple(a for a in range(3) if a != axis))) for axis in range(3)]
    z, y, x = (slice(int(e[0]), int(e[-1]) + 1) for e in ends)
    return z, y, x


def _widen(inside: Bools, spacing: Spacing, margin: Sequence[float]) -> Box:
    """Give a region's bounding box, widened by so many mm along z, y, x and two voxels."""
    voxels = [math.ceil(m / s) + 2 for m, s in zip(margin, spacing, strict=True)]
    z, y, x = (slice(max(0, b.start - v), min(n, b.stop + v)) for b, v, n in zip(bounds(inside), voxels, inside.shape, strict=True))
    return z, y, x


def _smallest(values: Floats, count: int) -> float:
    """Give the value that so many voxels do not exceed."""
    flat = values.ravel()
    k = min(count, flat.size) - 1
    return float(np.partition(flat, k)[k])


def smooth_field(shape: tuple[int, ...], spacing: Spacing, length: float, rng: np.random.Generator) -> Floats:
    """Draw a smooth random field.

    White noise on knots is spread with a Gaussian, axis by axis, in physical space.

    Parameters
    ----------
    shape : tuple of int
        Shape of the array, (z, y, x).
    spacing : tuple of float
        Voxel size along z, y, x in mm.
    length : float
        Distance in mm at which the correlation has fallen to exp(-1/2).
    rng : Generator
        Source of chance.

    Returns
    -------
    ndarray of float64, shape (z, y, x)
        Mean 0, variance 1 everywhere.
    """
    knot = width = length / math.sqrt(2.0)  # knots nearer than the width change nothing that could be seen
    rows = []
    for n, s in zip(shape, spacing, strict=True):
        knots = np.arange(-4, math.ceil((n - 1) * s / knot) + 5) * knot
        weights = np.exp(-0.5 * ((np.arange(n)[:, None] * s - knots) / width) ** 2)
        rows.append(weights / np.sqrt((weights**2).sum(axis=1, keepdims=True)))
    white = rng.normal(size=[w.shape[1] for w in rows])
    found: Floats = (rows[0] @ (rows[1] @ (white @ rows[2].T)).reshape(len(white), -1)).reshape(shape)
    return found


def noise_level(image: NDArray[np.floating]) -> float:
    """Estimate the noise of an image, slice by slice, from its finest diagonal wavelet coefficients.

    The median of their absolute values over 0.6745 is the standard deviation of white noise [1]_; what is exactly 0, as padding is, does not count. Noise that was smoothed, by interpolation
    say, is underestimated.

    Parameters
    ----------
    image : ndarray of float, shape (z, y, x)
        Intensities.

    Returns
    -------
    float
        Standard deviation in the image's units; 0 for an image of one voxel across.

    References
    ----------
    .. [1] Donoho DL, Johnstone IM. Ideal spatial adaptation by wavelet shrinkage. Biometrika 1994;81:425-455.
    """
    a = image.astype(np.float64)
    diagonal = 0.5 * (a[:, 1:, 1:] - a[:, :-1, 1:] - a[:, 1:, :-1] + a[:, :-1, :-1])
    known = np.abs(diagonal[diagonal != 0.0])
    return float(np.median(known) / 0.6745) if known.size else 0.0


def _turn(part: Floats, slide: float, matrix: Floats, centre: Floats, shift: Floats) -> Floats:
    """Move by so many slices, then map every slice: the value at p comes from centre + matrix (p - centre - shift), in voxels (y, x)."""
    from sarcofuse.radiomics.turning import slide_columns, turn_columns

    columns = np.ascontiguousarray(part.transpose(1, 2, 0))
    if slide != 0.0 and len(part) > 1:
        columns = slide_columns(columns, slide)
    found: Floats = np.ascontiguousarray(turn_columns(columns, matrix, centre, shift).transpose(2, 0, 1))
    return found
