"""Random changes of a training volume, drawn from one generator, in NumPy and torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

BEND, BEND_BY, GAMMA = 0.8, 0.5, 0.5
"""Share of volumes whose grey scale is bent; deviation of the logarithm of the slopes of its six pieces; largest logarithm of the exponent."""
FIELD, CONTRAST = 0.25, 0.3
"""Deviation of the logarithm of the bias field at its 27 nodes; largest logarithm of contrast, and shift in deviations."""


COARSE, COARSEST = 0.2, 2.5
"""Share of volumes that look as if acquired with larger voxels, in the plane or through it; by what factor at most."""


def place(
    image: NDArray[np.float32], label: NDArray[np.float32], shape: tuple[int, int, int], rng: np.random.Generator, *, on_tumour: bool = True
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Crop a volume, or repeat its edge, to fill a shape, at a random place.

    Parameters
    ----------
    image : ndarray of float32, shape (z, y, x)
        Intensities.
    label : ndarray of float32, shape (z, y, x)
        Share of tumour, 0 to 1.
    shape : tuple of int
        Shape wanted.
    rng : numpy.random.Generator
        Where the place is drawn.
    on_tumour : bool
        Whether a crop always holds part of the tumour if there is one.

    Returns
    -------
    image, label : ndarray of float32, shape `shape`
        Cropped or padded.
    """
    voxels = np.argwhere(label > 0.5) if on_tumour and any(s < n for s, n in zip(shape, image.shape, strict=True)) else np.empty((0, 3), dtype=int)
    centre = voxels[rng.integers(len(voxels))] if len(voxels) else None
    for axis, (wanted, size) in enumerate(zip(shape, image.shape, strict=True)):
        if wanted < size:
            low = int(rng.integers(size - wanted + 1)) if centre is None else int(np.clip(centre[axis] - rng.integers(wanted), 0, size - wanted))
            image, label = np.take(image, range(low, low + wanted), axis), np.take(label, range(low, low + wanted), axis)
        elif wanted > size:
            before = int(rng.integers(wanted - size + 1))
            width = [(0, 0)] * axis + [(before, wanted - size - before)] + [(0, 0)] * (2 - axis)
            image, label = np.pad(image, width, mode="edge"), np.pad(label, width, mode="edge")
    return image, label


def augment(image: torch.Tensor, label: torch.Tensor, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Change a volume as another patient, position or scanner might.

    Parameters
    ----------
    image : Tensor of float32, shape (z, y, x)
        Normalised intensities.
    label : Tensor of float32, shape (z, y, x)
        Share of tumour.
    rng : numpy.random.Generator
        Where everything is drawn.

    Returns
    -------
    image, label : Tensor of float32, shape (z, y, x)
        Changed alike in space; intensities of the image only.
    """
    image, label = _flip_and_warp(image, label, rng)
    return _recolour(image, rng), label


def repaint(image: NDArray[np.float32], label: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Give the tumour another brightness, or invert the grey scale, as another sequence might.

    Parameters
    ----------
    image : ndarray of float32, shape (z, y, x)
        Normalised intensities.
    label : ndarray of float32, shape (z, y, x)
        Share of tumour, 0 to 1.
    rng : numpy.random.Generator
        Where it is drawn.

    Returns
    -------
    ndarray of float32, shape (z, y, x)
        Changed.
    """
    if rng.random() < 0.5:
        return -image
    return image + label * np.float32(rng.normal())


def _flip_and_warp(image: torch.Tensor, label: torch.Tensor, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Flip left-right and front-back, and for most volumes turn and scale in the plane."""
    import torch

    axes = [axis for axis in (1, 2) if rng.random() < 0.5]
    turn, scale = rng.uniform(-0.4, 0.4), np.exp(rng.uniform(-0.25, 0.25, size=2))
    both = torch.stack([image, label])
    if axes:
        both = both.flip([axis + 1 for axis in axes])
    if rng.random() < 0.7:
        z, y, x = image.shape
        aspect = y / x
        cos, sin = float(np.cos(turn)), float(np.sin(turn))
        theta = torch.tensor([[cos * scale[0], -sin * aspect * scale[1], 0.0], [sin / aspect * scale[0], cos * scale[1], 0.0]], dtype=torch.float32)
        grid = torch.nn.functional.affine_grid(theta[None], [1, 1, y, x], align_corners=False)
        flat = both.reshape(1, 2 * z, y, x)
        both = torch.nn.functional.grid_sample(flat, grid, mode="bilinear", padding_mode="border", align_corners=False).reshape(2, z, y, x)
    return both[0], both[1]


def coarsen(image: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Make a volume look as if it had been acquired with larger voxels: low resolution in the plane, or thick slices.

    Parameters
    ----------
    image : Tensor of float32, shape (z, y, x)
        Intensities.
    rng : numpy.random.Generator
        Where direction and factor are drawn.

    Returns
    -------
    Tensor of float32, shape (z, y, x)
        Means over larger voxels, interpolated back.
    """
    import torch

    thick, factor = rng.random() < 0.5, rng.uniform(1.0, COARSEST)
    z, y, x = (max(1, round(size / factor)) if (axis == 0) is thick else size for axis, size in enumerate(image.shape))
    small = torch.nn.functional.adaptive_avg_pool3d(image[None, None], (z, y, x))
    return torch.nn.functional.interpolate(small, size=tuple(image.shape), mode="trilinear", align_corners=False)[0, 0]


def _recolour(image: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Another scanner: a bent grey scale, bias field, contrast, brightness, blur, larger voxels and noise, each for some of the volumes."""
    import torch

    low, high = float(image.min()), max(float(image.max()), float(image.min()) + 1e-6)
    if rng.random() < BEND:
        knots = np.linspace(low, high, 7)
        rise = np.cumsum(np.concatenate([[0.0], np.exp(rng.normal(0, BEND_BY, size=6))]))
        gamma = float(np.exp(rng.uniform(-GAMMA, GAMMA)))
        bent = np.interp(image.numpy(), knots, low + (high - low) * (rise / rise[-1]) ** gamma)
        image = torch.from_numpy(bent.astype(np.float32))
    if rng.random() < 0.5:
        coarse = torch.from_numpy(rng.normal(0, FIELD, size=(1, 1, 3, 3, 3)).astype(np.float32))
        field = torch.nn.functional.interpolate(coarse, size=tuple(image.shape), mode="trilinear", align_corners=True)[0, 0]
        image = (image - low) * torch.exp(field) + low
    image = image * float(np.exp(rng.uniform(-CONTRAST, CONTRAST))) + float(rng.uniform(-CONTRAST, CONTRAST))
    if rng.random() < 0.25:
        image = torch.nn.functional.avg_pool2d(image[None], 3, stride=1, padding=1, count_include_pad=False)[0]
    if rng.random() < COARSE:
        image = coarsen(image, rng)
    if rng.random() < 0.4:
        noise = np.random.default_rng(rng.integers(2**63)).standard_normal(tuple(image.shape), dtype=np.float32)
        image = image + torch.from_numpy(noise) * float(rng.uniform(0, 0.3))
    return image
