"""Filters that are defined by their Fourier transform: the wavelets of Simoncelli and Shannon, and Riesz transforms.

The discrete Fourier transform makes its input periodic. Other boundary conditions are met by continuing the image first: half its size on every side, which is exact for
mirror, or `MARGIN` voxels (twice as many a level) where that is less.

References
----------
.. [1] Portilla J, Simoncelli EP. A parametric texture model based on joint statistics of complex wavelet coefficients. Int J Comput Vis 2000;40:49-70.
.. [2] Chenouard N, Unser M. 3D steerable wavelets in practice. IEEE Trans Image Process 2012;21:4522-4533.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import factorial, prod

import numpy as np
from numpy.typing import NDArray

from sarcofuse.config.filters import LogFilter, RieszFilter, ShannonFilter, SimoncelliFilter
from sarcofuse.radiomics.filterbank.gabor import PAD_MODES
from sarcofuse.radiomics.filterbank.separable import Floats, Spacing, laplacian, reach

MARGIN = 32
Profile = Callable[[Floats], Floats]


@dataclass(frozen=True)
class Spectrum:
    """Fourier transform of an image that was continued beyond its border.

    Attributes
    ----------
    values : ndarray of complex128
        Transform of the image over its last axes, the last one halved as for real images.
    shape : tuple of int
        Shape of the continued image along the transformed axes.
    inner : tuple of slice
        Where the image lies in what was continued.
    inclusive : bool
        Whether filters are sampled from minus to plus the Nyquist frequency, both included.
    """

    values: NDArray[np.complex128]
    shape: tuple[int, ...]
    inner: tuple[slice, ...]
    inclusive: bool

    def filtered(self, profile: Profile, order: tuple[int, ...]) -> Floats:
        """Multiply by a band and by a Riesz transform.

        Parameters
        ----------
        profile : callable
            Weight by frequency, in units of the Nyquist frequency.
        order : tuple of int
            Order of the Riesz transform along the transformed axes, in the array's order; zeros for none.

        Returns
        -------
        ndarray of float64
            The continued response. It is the real part of the inverse transform, to which only the Hermitian part of a filter gives.
        """
        from scipy import fft

        axes = tuple(range(-len(self.shape), 0))
        found = np.empty_like(self.values)
        given, placed = (np.moveaxis(one, 3 - len(self.shape), 0) for one in (self.values, found))
        forward = [self._frequencies(n, mirrored=False) for n in self.shape]
        mirrored = [self._frequencies(n, mirrored=True) for n in self.shape]
        half = self.shape[-1] // 2 + 1
        for row in range(self.shape[0]):  # a row at a time, so that the filter itself takes no memory
            weight = _weight([forward[0][row : row + 1], *forward[1:-1], forward[-1][:half]], profile, order)
            other = _weight([mirrored[0][row : row + 1], *mirrored[1:-1], mirrored[-1][:half]], profile, order)
            weight = (weight + other.conj()) / 2
            if row == 0:
                weight[(0,) * weight.ndim] = 0  # these filters pass no mean
            np.multiply(given[row : row + 1], weight, out=placed[row : row + 1])
        response: Floats = fft.irfftn(found, s=self.shape, axes=axes, overwrite_x=True)
        return response

    def _frequencies(self, size: int, *, mirrored: bool) -> Floats:
        from scipy import fft

        if size == 1:
            return np.zeros(1)
        found: Floats = fft.ifftshift(np.linspace(-1, 1, size)) if self.inclusive else 2 * fft.fftfreq(size)
        return found[-np.arange(size)] if mirrored else found


def nonseparable(array: Floats, settings: SimoncelliFilter | ShannonFilter) -> Floats:
    """Give one band of an isotropic wavelet transform.

    Parameters
    ----------
    array : ndarray of float64, shape (z, y, x)
        The image, of cubic voxels.
    settings : SimoncelliFilter or ShannonFilter
        The filter.

    Returns
    -------
    ndarray of float64, shape (z, y, x)
        The response.
    """
    spectrum = _transform(array, settings, (1.0, 1.0, 1.0))
    return np.ascontiguousarray(spectrum.filtered(_profile(settings), (0,) * settings.dimensions)[spectrum.inner])


def riesz(array: Floats, spacing: Spacing, settings: RieszFilter) -> Floats:
    """Give the Riesz transform of a filter's response.

    Its Fourier transform is (-i)^L sqrt(L! / (l1! l2! l3!)) w1^l1 w2^l2 w3^l3 / |w|^L, L = l1 + l2 + l3. Squares of all transforms of one total order L add up to 1.

    Parameters
    ----------
    array : ndarray of float64, shape (z, y, x)
        The image, of cubic voxels.
    spacing : tuple of float
        Voxel size along z, y, x in mm.
    settings : RieszFilter
        The filter.

    Returns
    -------
    ndarray of float64, shape (z, y, x)
        The response.
    """
    from sarcofuse.radiomics.filterbank.steering import steered

    spectrum, profile = _transform(array, settings.of, spacing), _profile(settings.of)
    if settings.alignment_sigma_mm is None:
        return np.ascontiguousarray(spectrum.filtered(profile, settings.order[::-1])[spectrum.inner])
    sigma = [settings.alignment_sigma_mm / step for step in spacing[-len(settings.order) :]]
    return steered(lambda order: spectrum.filtered(profile, order[::-1]), settings.order, sigma, spectrum.inner)


def _transform(array: Floats, settings: LogFilter | SimoncelliFilter | ShannonFilter, spacing: Spacing) -> Spectrum:
    """Continue an image and transform it; the Laplacian of Gaussian is taken before that."""
    from scipy import fft

    axes = range(3 - settings.dimensions, 3)
    widths = [(0, 0)] * 3
    if settings.boundary != "periodic":
        for axis in axes:
            size = array.shape[axis]
            margin = MARGIN + 2 * reach(settings, spacing)[axis] if isinstance(settings, LogFilter) else MARGIN * 2 ** (settings.level - 1)
            widths[axis] = (min(size // 2, margin), min(size - size // 2, margin))
        array = np.pad(array, widths, PAD_MODES[settings.boundary])  # type: ignore[call-overload]
    if isinstance(settings, LogFilter):
        array = laplacian(array, spacing, settings.model_copy(update={"boundary": "periodic"}))
    inner = tuple(slice(before, n - after) for (before, after), n in zip(widths, array.shape, strict=True))
    inclusive = not isinstance(settings, LogFilter) and settings.frequencies == "inclusive"
    return Spectrum(fft.rfftn(array, axes=tuple(axes)), array.shape[-settings.dimensions :], inner, inclusive)


def _profile(settings: LogFilter | SimoncelliFilter | ShannonFilter) -> Profile:
    if isinstance(settings, LogFilter):
        return np.ones_like
    top = 2.0 ** (1 - settings.level)
    if isinstance(settings, ShannonFilter):
        return lambda radius: ((radius >= top / 2) & (radius <= top)).astype(np.float64)

    def simoncelli(radius: Floats) -> Floats:
        inside = (radius >= top / 4) & (radius <= top)
        found: Floats = np.cos(np.pi / 2 * np.log2(2 * radius / top, where=inside, out=np.ones_like(radius)))
        return np.where(inside, found, 0.0)

    return simoncelli


def _weight(frequencies: list[Floats], profile: Profile, order: tuple[int, ...]) -> NDArray[np.complex128]:
    grids = np.meshgrid(*frequencies, indexing="ij", sparse=True)
    radius = np.sqrt(sum(grid**2 for grid in grids))
    total = sum(order)
    scale = (-1j) ** total * np.sqrt(factorial(total) / prod(factorial(one) for one in order))
    directional = prod(grid**one for grid, one in zip(grids, order, strict=True)) / np.where(radius > 0, radius, 1.0) ** total
    found: NDArray[np.complex128] = scale * profile(radius) * directional
    return found
