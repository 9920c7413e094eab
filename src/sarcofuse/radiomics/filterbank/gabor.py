"""Gabor's filter: a plane wave under a Gaussian, applied slice by slice in one or several orthogonal planes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sarcofuse.config.filters import Boundary, GaborFilter, Plane
from sarcofuse.radiomics.filterbank.separable import Floats, Pool, Spacing

PAD_MODES: dict[Boundary, str] = {"zero": "constant", "nearest": "edge", "periodic": "wrap", "mirror": "symmetric"}  # NumPy's names
AXES: dict[Plane, tuple[int, int, int]] = {"xy": (0, 1, 2), "xz": (1, 0, 2), "yz": (2, 0, 1)}  # array axes: across the plane, its second axis, its first
CUTOFF = 6.0  # the kernel ends where its envelope has fallen to 1.5e-8
CHUNK = 2**22  # voxels that are transformed at once


def gabor(array: Floats, spacing: Spacing, settings: GaborFilter) -> Floats:
    """Give the modulus of the response to Gabor's kernel; pool over directions and planes.

    The kernel is exp(-(u^2 + gamma^2 v^2) / (2 sigma^2) + 2 pi i u / lambda), with u along the wave and v across it, in mm. Directions turn from the plane's first axis
    towards its second (on a screen, where y points down: clockwise).

    Parameters
    ----------
    array : ndarray of float64, shape (z, y, x)
        The image.
    spacing : tuple of float
        Voxel size along z, y, x in mm.
    settings : GaborFilter
        The filter.

    Returns
    -------
    ndarray of float64, shape (z, y, x)
        The response.
    """
    pool = Pool(settings.pooling)
    for plane in settings.planes:
        across, second, first = AXES[plane]
        slices = np.moveaxis(array, across, 0)
        kernels = [kernel(settings, angle, (spacing[second], spacing[first])) for angle in directions(settings)]
        radii = [max(k.shape[axis] // 2 for k in kernels) for axis in (0, 1)]
        found = np.empty(slices.shape)
        step = max(1, CHUNK // int(np.prod([n + 2 * r for n, r in zip(slices.shape[1:], radii, strict=True)])))
        for start in range(0, len(slices), step):
            found[start : start + step] = _respond(slices[start : start + step], kernels, radii, settings)
        pool.add(np.moveaxis(found, 0, across))
    return pool.result()


def directions(settings: GaborFilter) -> list[float]:
    """List the directions of the wave, without those that only turn another about.

    Parameters
    ----------
    settings : GaborFilter
        The filter.

    Returns
    -------
    list of float
        Angles in degrees. Opposite directions have one modulus, so that all directions weigh alike still: either each has its opposite or none has.
    """
    if settings.theta_step is None:
        return [settings.theta]
    number = round(360 / settings.theta_step)
    return [settings.theta + settings.theta_step * i for i in range(number // 2 if number % 2 == 0 else number)]


def kernel(settings: GaborFilter, angle: float, spacing: tuple[float, float]) -> NDArray[np.complex128]:
    """Sample Gabor's kernel at the pixels of a plane.

    Parameters
    ----------
    settings : GaborFilter
        The filter.
    angle : float
        Direction of the wave in degrees, from the second array axis (columns) towards the first (rows).
    spacing : tuple of float
        Pixel size along rows' and columns' axis in mm.

    Returns
    -------
    ndarray of complex128
        The kernel, of odd shape, its middle at the origin.
    """
    cosine, sine = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    radii = _radii(settings, angle, spacing)
    rows, columns = (step * np.arange(-r, r + 1) for r, step in zip(radii, spacing, strict=True))
    along = cosine * columns[None, :] + sine * rows[:, None]
    across = cosine * rows[:, None] - sine * columns[None, :]
    envelope = np.exp(-(along**2 + settings.gamma**2 * across**2) / (2 * settings.sigma_mm**2))
    found: NDArray[np.complex128] = envelope * np.exp(2j * np.pi * along / settings.lambda_mm)
    return found


def reach(settings: GaborFilter, spacing: Spacing) -> tuple[int, int, int]:
    """Tell how far away a voxel can bear on the response.

    Parameters
    ----------
    settings : GaborFilter
        The filter.
    spacing : tuple of float
        Voxel size along z, y, x in mm.

    Returns
    -------
    tuple of int
        Distance along z, y, x in voxels.
    """
    found = [0, 0, 0]
    for plane in settings.planes:
        _, second, first = AXES[plane]
        for angle in directions(settings):
            for axis, radius in zip((second, first), _radii(settings, angle, (spacing[second], spacing[first])), strict=True):
                found[axis] = max(found[axis], radius)
    return found[0], found[1], found[2]


def _radii(settings: GaborFilter, angle: float, spacing: tuple[float, float]) -> tuple[int, int]:
    """Half the box in pixels about the ellipse at which the envelope ends."""
    cosine, sine = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    along, across = CUTOFF * settings.sigma_mm, CUTOFF * settings.sigma_mm / settings.gamma
    return int(np.ceil(np.hypot(along * sine, across * cosine) / spacing[0])), int(np.ceil(np.hypot(along * cosine, across * sine) / spacing[1]))


def _respond(slices: Floats, kernels: list[NDArray[np.complex128]], radii: list[int], settings: GaborFilter) -> Floats:
    """Pool the moduli of slices' responses over kernels, by the Fourier transform of slices continued by the kernels' reach."""
    from scipy import fft

    rows, columns = slices.shape[1:]
    margin = [(0, 0), *((r, r) for r in radii)]
    padded = np.pad(slices, margin, PAD_MODES[settings.boundary])  # type: ignore[call-overload]
    shape = tuple(fft.next_fast_len(n) for n in padded.shape[1:])
    spectrum = fft.fft2(padded, s=shape)
    pool = Pool(settings.pooling)
    for one in kernels:
        own = [n // 2 for n in one.shape]
        response = fft.ifft2(spectrum * fft.fft2(one, s=shape), overwrite_x=True)
        pool.add(np.abs(response[:, radii[0] + own[0] :, radii[1] + own[1] :][:, :rows, :columns]))
    return pool.result()
