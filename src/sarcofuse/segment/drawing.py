"""What training draws beside the image: prompts as a hurried reader would give them, and other crops around the tumour."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from sarcofuse.segment.grid import cubic, shrink
from sarcofuse.segment.guide import FRAME_MM, TRUST, closeness_to_box, closeness_to_points, closeness_to_rough, guided, middle

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sarcofuse.segment.plan import Plan

KINDS = ("box", "click", "rough")
ODDS = (0.7, 0.15, 0.15)
"""How often each kind of prompt is drawn."""
JITTER_MM = 8.0
"""How far each face of a box may be off, and the whole of a rough mask."""
NEARBY = 0.02
"""Blurred share of tumour where a rough mask may reach."""
TRIMMED, TRIM_MM, KEPT_MM = 0.5, 25.0, 8.0
"""Share of a crop's faces that are moved towards the tumour; by how much at most, and what stays."""
ZOOM = 0.3
"""Largest logarithm of a change of scale."""
FINER = 4
"""How many times as many voxels cropped images are kept with, as training crops them further."""
LEAST = 8
"""Fewest voxels along an axis."""

Spacing = tuple[float, float, float]


def draw_kind(share: float, rng: np.random.Generator) -> str:
    """Draw whether a case is prompted, and how.

    Parameters
    ----------
    share : float
        Share of cases with a prompt.
    rng : numpy.random.Generator
        Where it is drawn.

    Returns
    -------
    str
        ``box``, ``click``, ``rough``, or empty for none.
    """
    return str(rng.choice(KINDS, p=ODDS)) if rng.random() < share else ""


def crop(image: NDArray[np.float32], label: NDArray[np.float32], spacing: Spacing, kind: str, rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Crop a case as somebody else might have: closer around the tumour, or around a box or rough mask.

    Parameters
    ----------
    image, label : ndarray of float32, shape (z, y, x)
        Intensities; share of tumour.
    spacing : tuple of float
        Voxel size along x, y, z in mm.
    kind : str
        What `draw_kind` gave; a box or rough mask is seen with 20 mm around it, give or take.
    rng : numpy.random.Generator
        Where the margins are drawn.

    Returns
    -------
    image, label : ndarray of float32
        Cropped; untouched where there is no tumour.
    """
    low, high = bounds(label)
    if low is None or high is None:
        return image, label
    slices = []
    for axis, (size, step) in enumerate(zip(image.shape, reversed(spacing), strict=True)):
        margins = np.array([low[axis], size - high[axis]]) * step
        if kind in ("box", "rough"):
            kept = np.minimum(margins, FRAME_MM * rng.uniform(0.5, 1.5, size=2))
        else:
            trimmed = np.minimum(TRIM_MM, np.maximum(margins - KEPT_MM, 0.0)) * rng.uniform(size=2)
            kept = margins - trimmed * (rng.random(2) < TRIMMED)
        slices.append(slice(int(low[axis] - kept[0] / step + 0.5), int(np.ceil(high[axis] + kept[1] / step - 0.5))))
    return image[tuple(slices)], label[tuple(slices)]


def scale(image: NDArray[np.float32], label: NDArray[np.float32], spacing: Spacing, voxels: int, rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.float32], Spacing]:
    """Put a case on a grid of about as many voxels as wanted, give or take, with cubic voxels.

    Parameters
    ----------
    image, label : ndarray of float32, shape (z, y, x)
        Intensities; share of tumour.
    spacing : tuple of float
        Voxel size along x, y, z in mm.
    voxels : int
        How many voxels.
    rng : numpy.random.Generator
        Where the change of scale is drawn.

    Returns
    -------
    image, label : ndarray of float32
        On the new grid.
    spacing : tuple of float
        Its voxel size.
    """
    size = cubic(image.shape, spacing, voxels) * float(np.exp(rng.uniform(-ZOOM, ZOOM)))
    steps = [min(size / s, n / LEAST) for s, n in zip(reversed(spacing), image.shape, strict=True)]
    x, y, z = (s * step for s, step in zip(spacing, reversed(steps), strict=True))
    return shrink(image, steps), shrink(label, steps), (x, y, z)


def told(image: NDArray[np.float32], label: NDArray[np.float32], spacing: Spacing, kind: str, plan: Plan, rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw a prompt, and build the channels of a training case.

    Parameters
    ----------
    image, label : ndarray of float32, shape (z, y, x)
        Intensities and share of tumour, changed at random.
    spacing : tuple of float
        Voxel size along x, y, z in mm.
    kind : str
        What `draw_kind` gave.
    plan : Plan
        With the radius of a middling tumour, and whether images are cropped around it.
    rng : numpy.random.Generator
        Where the prompt is drawn.

    Returns
    -------
    ndarray of float32, shape (5, z, y, x)
        What `sarcofuse.segment.guide.guided` gives.
    """
    low, high = bounds(label)
    if kind == "rough" and low is not None:
        rough = draw_rough(label, spacing, rng)
        closeness = closeness_to_rough(rough, spacing) if rough.any() else None
    elif kind == "box" and low is not None and high is not None:
        first, last = draw_box(low, high, spacing, rng)
        closeness = closeness_to_box(label.shape, first.tolist(), last.tolist())
    elif kind == "click" and low is not None:
        inside = np.argwhere(label > 0.5)
        closeness = closeness_to_points(label.shape, inside[rng.integers(len(inside), size=rng.integers(1, 4))].tolist(), spacing, plan.radius_mm)
    else:
        closeness = None
    if closeness is not None:
        return guided(image, closeness, TRUST[kind])
    return guided(image, closeness_to_box(image.shape, *middle(image.shape, spacing)) if plan.voxels else None, 0.0)


def draw_box(low: NDArray[np.float64], high: NDArray[np.float64], spacing: Sequence[float], rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Draw a box around a tumour whose faces are each off by up to 8 mm.

    Parameters
    ----------
    low, high : ndarray of float64, shape (3,)
        First and last-plus-one voxel (z, y, x) of the tumour.
    spacing : sequence of float
        Voxel size along x, y, z in mm.
    rng : numpy.random.Generator
        Where it is drawn.

    Returns
    -------
    low, high : ndarray of float64, shape (3,)
        Corners in voxels, 0 being the centre of the first; at least one voxel apart.
    """
    steps = np.array(list(reversed(tuple(spacing))), dtype=np.float64)
    a, b = (ends - 0.5 + rng.uniform(-JITTER_MM, JITTER_MM, size=3) / steps for ends in (low, high))
    return np.minimum(a, high - 1.5), np.maximum(b, np.maximum(low + 0.5, a + 1.0))


def draw_rough(label: NDArray[np.float32], spacing: Sequence[float], rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw a rough mask: the tumour blurred, its outline moved in and out, and the whole of it shifted by up to 8 mm.

    Parameters
    ----------
    label : ndarray of float32, shape (z, y, x)
        Share of tumour.
    spacing : sequence of float
        Voxel size along x, y, z in mm.
    rng : numpy.random.Generator
        Where it is drawn.

    Returns
    -------
    ndarray of float32, shape of `label`
        1 inside, 0 outside; 0 everywhere where nothing is left of it.
    """
    from scipy.ndimage import gaussian_filter, shift

    steps = np.array(list(reversed(tuple(spacing))), dtype=np.float64)
    blurred = gaussian_filter(label, rng.uniform(3.0, 8.0) / steps, mode="nearest")
    waves = gaussian_filter(rng.standard_normal(label.shape), 12.0 / steps, mode="nearest")
    moved = np.where(blurred > NEARBY, blurred + 0.2 * waves / max(float(waves.std()), 1e-6), 0.0)  # no islands far from the tumour
    off = rng.uniform(-1.0, 1.0, size=3) * JITTER_MM / np.sqrt(3.0) / steps
    return np.asarray(shift(moved, off, order=1, mode="nearest") > rng.uniform(0.3, 0.7), dtype=np.float32)


def bounds(label: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]] | tuple[None, None]:
    """Give the bounding box of a tumour.

    Parameters
    ----------
    label : ndarray of float32, shape (z, y, x)
        Share of tumour.

    Returns
    -------
    low, high : ndarray of float64, shape (3,), or None
        First and last-plus-one voxel of what is mostly tumour; None without such voxels.
    """
    inside = label > 0.5
    if not inside.any():
        return None, None
    ends = [np.flatnonzero(inside.any(axis=tuple(k for k in range(3) if k != axis)))[[0, -1]] for axis in range(3)]
    return np.array([e[0] for e in ends], dtype=np.float64), np.array([e[1] + 1 for e in ends], dtype=np.float64)
