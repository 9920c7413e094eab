"""Coordinates in millimetres, soft edges, smooth noise: what everything is drawn with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import fft
from scipy.special import expit

from sarcofuse.records import Geometry

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Field = NDArray[np.float32]


class Points(NamedTuple):
    """Coordinates in mm of some points, from the middle of the field of view; arrays that broadcast to one shape.

    Attributes
    ----------
    x : ndarray of float32
        Towards the patient's left.
    y : ndarray of float32
        Towards the patient's back.
    z : ndarray of float32
        Towards the patient's head.
    """

    x: Field
    y: Field
    z: Field


@dataclass(frozen=True, slots=True)
class Grid:
    """The voxels of an image.

    Attributes
    ----------
    shape : tuple of int
        Slices, rows, columns.
    spacing : tuple of float
        Distance of slices, rows and columns in mm.
    """

    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]

    @property
    def geometry(self) -> Geometry:
        """The same for a file: sizes along x, y, z, and the middle of the image in the origin."""
        size, spacing = self.shape[::-1], self.spacing[::-1]
        origin = tuple(-0.5 * (n - 1) * s for n, s in zip(size, spacing, strict=True))
        return Geometry(size, spacing, (origin[0], origin[1], origin[2]))

    @property
    def points(self) -> Points:
        """Voxel centres, as open axes that broadcast to the shape of the image."""
        z, y, x = (((np.arange(n) - 0.5 * (n - 1)) * s).astype(np.float32) for n, s in zip(self.shape, self.spacing, strict=True))
        return Points(x[None, None, :], y[None, :, None], z[:, None, None])


def soft(distance: Field, width: float | Field) -> Field:
    """Give the share of a voxel that lies inside, by its signed distance to the edge (negative inside).

    Parameters
    ----------
    distance : ndarray of float32
        Signed distance in mm.
    width : float or ndarray
        Width of the edge in mm: 12 % at one width outside, 88 % at one width inside.

    Returns
    -------
    ndarray of float32
        0 outside to 1 inside.
    """
    return np.asarray(expit(distance * np.float32(-2.0) / width), dtype=np.float32)


def smooth_noise(rng: np.random.Generator, shape: tuple[int, ...], spacing: tuple[float, ...], length: float | tuple[float, ...]) -> Field:
    """Draw Gaussian noise of mean 0 and deviation 1 that is smooth over a length: white noise filtered by a Gaussian, in Fourier space.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of the draws.
    shape : tuple of int
        Of the array.
    spacing : tuple of float
        Voxel size in mm along each axis.
    length : float or tuple of float
        Standard deviation of the Gaussian filter in mm, one for all axes or one each.

    Returns
    -------
    ndarray of float32
        Noise, which wraps around at the ends.
    """
    lengths = (length,) * len(shape) if isinstance(length, float) else length
    spectrum = fft.rfftn(rng.standard_normal(shape, dtype=np.float32))
    for axis, (count, step, scale) in enumerate(zip(shape, spacing, lengths, strict=True)):
        frequency = fft.rfftfreq(count, step) if axis == len(shape) - 1 else fft.fftfreq(count, step)
        gain = np.exp(-2.0 * (np.pi * scale * frequency) ** 2).astype(np.float32)
        spectrum *= gain.reshape((-1,) + (1,) * (len(shape) - 1 - axis))
    noise = fft.irfftn(spectrum, shape)
    noise -= noise.mean()
    return np.asarray(noise / noise.std(), dtype=np.float32)


def coarse_noise(rng: np.random.Generator, grid: Grid, length: float, step: float = 6.0) -> Field:
    """Draw smooth noise over a whole image quickly: on a coarse grid, interpolated to the image's.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of the draws.
    grid : Grid
        The image's voxels.
    length : float
        Standard deviation of the Gaussian filter in mm, at least `step`.
    step : float
        Voxel size of the coarse grid in mm.

    Returns
    -------
    ndarray of float32
        Noise of deviation close to 1.
    """
    counts = tuple(int(n * s / step) + 3 for n, s in zip(grid.shape, grid.spacing, strict=True))
    values = smooth_noise(rng, counts, (step,) * 3, length)
    for axis, (count, spacing) in enumerate(zip(grid.shape, grid.spacing, strict=True)):
        at = np.arange(count) * spacing / step
        low = at.astype(int)
        share = (at - low).astype(np.float32).reshape((-1,) + (1,) * (2 - axis))
        values = np.take(values, low, axis) * (1 - share) + np.take(values, low + 1, axis) * share
    return values
