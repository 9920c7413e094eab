"""Filters that are products of kernels along the axes: mean, Laplacian of Gaussian, Laws, separable wavelets.

Along an axis a filter is a chain of convolutions. Each continues its input beyond the border, so that a chain differs there from the convolution of its kernels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import permutations, product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sarcofuse.config.filters import Boundary, LawsFilter, LogFilter, MeanFilter, Pooling, WaveletFilter

Floats = NDArray[np.float64]
Chain = tuple[Floats, ...]
Spacing = tuple[float, float, float]

MODES: dict[Boundary, str] = {"zero": "constant", "nearest": "nearest", "periodic": "wrap", "mirror": "reflect"}  # SciPy's names; its "mirror" would leave the border's voxel out
LAWS = {
    "L3": (1, 2, 1),
    "E3": (-1, 0, 1),
    "S3": (-1, 2, -1),
    "L5": (1, 4, 6, 4, 1),
    "E5": (-1, -2, 0, 2, 1),
    "S5": (-1, 0, 2, 0, -1),
    "W5": (-1, 2, 0, -2, 1),
    "R5": (1, -4, 6, -4, 1),
}


def mean(array: Floats, settings: MeanFilter) -> Floats:
    """Average over a cube (square) of voxels.

    Parameters
    ----------
    array : ndarray of float64, shape (z, y, x)
        The image.
    settings : MeanFilter
        The filter.

    Returns
    -------
    ndarray of float64, shape (z, y, x)
        The response.
    """
    return _average(array, settings.size, settings.boundary, settings.dimensions)


def laplacian(array: Floats, spacing: Spacing, settings: LogFilter) -> Floats:
    """Convolve with the Laplacian of a Gaussian, sampled at the voxels.

    Second derivatives are by voxels, as IBSI has it, not by mm. The kernel is neither scaled by the square of its width nor shifted to a sum of zero. It ends at a
    cube (square) of 1 + 2 floor(cutoff sigma + 1/2) voxels along each axis.

    Parameters
    ----------
    array : ndarray of float64, shape (z, y, x)
        The image.
    spacing : tuple of float
        Voxel size along z, y, x in mm.
    settings : LogFilter
        The filter.

    Returns
    -------
    ndarray of float64, shape (z, y, x)
        The response.
    """
    smooth, second = [], []
    for radius, step in zip(reach(settings, spacing), spacing, strict=True):
        sigma, k = settings.sigma_mm / step, np.arange(-radius, radius + 1)
        smooth.append(np.exp(-(k**2) / (2 * sigma**2)) / (np.sqrt(2 * np.pi) * sigma))
        second.append((k**2 / sigma**2 - 1) / sigma**2 * smooth[-1])
    total = np.zeros_like(array)
    axes = range(3 - settings.dimensions, 3)
    for differentiated in axes:
        found = array
        for axis in axes:
            found = _convolve(found, ((second if axis == differentiated else smooth)[axis],), axis, settings.boundary)
        total += found
    return total


def laws(array: Floats, settings: LawsFilter) -> Floats:
    """Convolve with a product of Laws' kernels, each of unit norm; pool over rotations; take the texture energy.

    Parameters
    ----------
    array : ndarray of float64, shape (z, y, x)
        The image.
    settings : LawsFilter
        The filter.

    Returns
    -------
    ndarray of float64, shape (z, y, x)
        The response, or its energy: the mean of its absolute value up to a Chebyshev distance.
    """
    names = [settings.kernels[i : i + 2] for i in range(0, len(settings.kernels), 2)]
    chains: list[Chain] = [(np.array(LAWS[name]) / np.linalg.norm(LAWS[name]),) for name in names]
    found = _rotated(array, chains, settings.boundary, settings.pooling if settings.rotation_invariance else None)
    if settings.energy is None:
        return found
    return _average(np.abs(found, out=found), 2 * settings.energy.delta + 1, settings.boundary, settings.dimensions)


def wavelet(array: Floats, settings: WaveletFilter) -> Floats:
    """Give one band of an undecimated separable wavelet transform; pool over rotations.

    Levels before the wanted one pass the low-pass kernel along every axis. From level to level 2^(level - 1) - 1 zeros come between the taps. A kernel of even length is given
    a zero at its end, so that its middle is tap n / 2, counting from 0. Rotations turn all levels alike.

    Parameters
    ----------
    array : ndarray of float64, shape (z, y, x)
        The image.
    settings : WaveletFilter
        The filter.

    Returns
    -------
    ndarray of float64, shape (z, y, x)
        The response.
    """
    kernels = _wavelet_kernels(settings)
    before = [_spread(kernels["L"], level) for level in range(1, settings.level)]
    chains: list[Chain] = [(*before, _spread(kernels[letter], settings.level)) for letter in settings.band]
    return _rotated(array, chains, settings.boundary, settings.pooling if settings.rotation_invariance else None)


def reach(settings: MeanFilter | LogFilter | LawsFilter | WaveletFilter, spacing: Spacing) -> tuple[int, int, int]:
    """Tell how far away a voxel can bear on the response.

    Parameters
    ----------
    settings : MeanFilter, LogFilter, LawsFilter or WaveletFilter
        The filter.
    spacing : tuple of float
        Voxel size along z, y, x in mm.

    Returns
    -------
    tuple of int
        Distance along z, y, x in voxels.
    """
    if isinstance(settings, LogFilter):
        radii = [int(np.floor(settings.cutoff * settings.sigma_mm / step + 0.5)) for step in spacing]
    elif isinstance(settings, MeanFilter):
        radii = [settings.size // 2] * 3
    elif isinstance(settings, LawsFilter):
        radii = [2 + (settings.energy.delta if settings.energy else 0)] * 3
    else:
        radii = [len(_wavelet_kernels(settings)["L"]) // 2 * (2**settings.level - 1)] * 3
    return (radii[0] if settings.dimensions == 3 else 0), radii[1], radii[2]


def _average(array: Floats, size: int, boundary: Boundary, dimensions: int) -> Floats:
    kernel = np.full(size, 1 / size)
    for axis in range(3 - dimensions, 3):
        array = _convolve(array, (kernel,), axis, boundary)
    return array


def _wavelet_kernels(settings: WaveletFilter) -> dict[str, Floats]:
    import pywt

    found = pywt.Wavelet(settings.family)
    return {letter: np.append(taps, [0.0] * (1 - len(taps) % 2)) for letter, taps in (("L", found.dec_lo), ("H", found.dec_hi))}


def _spread(kernel: Floats, level: int) -> Floats:
    spread = np.zeros((len(kernel) - 1) * 2 ** (level - 1) + 1)
    spread[:: 2 ** (level - 1)] = kernel
    return spread


def _convolve(array: Floats, chain: Chain, axis: int, boundary: Boundary) -> Floats:
    from scipy.ndimage import convolve1d

    for kernel in chain:
        array = convolve1d(array, kernel, axis=axis, mode=MODES[boundary])
    return array


class Turned(NamedTuple):
    """Positions of a rotated filter that differ by their sign at most.

    Attributes
    ----------
    chains : list of tuple of ndarray
        Along x, y, z, each of the sign in which its first tap that is not zero is positive.
    signs : list of int
        Sign of each position of the filter against `chains`.
    """

    chains: list[Chain]
    signs: list[int]


def _rotated(array: Floats, chains: Sequence[Chain], boundary: Boundary, pooling: Pooling | None) -> Floats:
    """Convolve with chains along x, y, z, in all right-angled positions where these are to be pooled."""
    turned: dict[tuple[bytes, ...], Turned] = {}
    for position in _positions(chains) if pooling else [list(chains)]:
        plain, sign = [], 1
        for chain in position:
            own = int(np.prod([np.sign(kernel[np.flatnonzero(kernel)[0]]) for kernel in chain]))
            plain.append((chain[0] * own, *chain[1:]))
            sign *= own
        key = tuple(b"|".join(kernel.tobytes() for kernel in chain) for chain in plain)
        turned.setdefault(key, Turned(plain, [])).signs.append(sign)
    pool = Pool(pooling or "average")
    for signs, response in _responses(array, sorted(turned.items()), len(chains) - 1, boundary):
        for sign in sorted(set(signs)):
            pool.add(response if sign > 0 else -response, signs.count(sign))
    return pool.result()


def _positions(chains: Sequence[Chain]) -> Iterator[list[Chain]]:
    """Rotate by right angles: permutations of the axes with as many flips as make the determinant +1."""
    n = len(chains)
    for order in permutations(range(n)):
        parity = round(float(np.linalg.det(np.eye(n)[list(order)])))
        for signs in product((1, -1), repeat=n):
            if parity * int(np.prod(signs)) == 1:
                yield [tuple(kernel[::sign] for kernel in chains[source]) for source, sign in zip(order, signs, strict=True)]


def _responses(array: Floats, turned: list[tuple[tuple[bytes, ...], Turned]], letter: int, boundary: Boundary) -> Iterator[tuple[list[int], Floats]]:
    """Give each response in turn, computing once what positions share, from the last letter's axis on."""
    if letter < 0:
        yield turned[0][1].signs, array
        return
    shared: dict[bytes, list[tuple[tuple[bytes, ...], Turned]]] = {}
    for entry in turned:
        shared.setdefault(entry[0][letter], []).append(entry)
    for entries in shared.values():
        along = _convolve(array, entries[0][1].chains[letter], 2 - letter, boundary)
        yield from _responses(along, entries, letter - 1, boundary)


class Pool:
    """What responses of rotated filters become, one after another.

    Parameters
    ----------
    kind : str
        Kind of pooling: max, average or min.
    """

    def __init__(self, kind: Pooling) -> None:
        self.kind = kind
        self.count = 0
        self.total: Floats | None = None

    def add(self, response: Floats, times: int = 1) -> None:
        """Take in a response.

        Parameters
        ----------
        response : ndarray of float64
            The response; it is not changed.
        times : int
            How many positions of the filter give it.
        """
        self.count += times
        if self.total is None:
            self.total = response * times if self.kind == "average" else response.copy()
        elif self.kind == "average":
            self.total += response * times
        else:
            (np.maximum if self.kind == "max" else np.minimum)(self.total, response, out=self.total)

    def result(self) -> Floats:
        """Give the pooled response.

        Returns
        -------
        ndarray of float64
            Maximum, mean or minimum of what was taken in.

        Raises
        ------
        ValueError
            If nothing was.
        """
        if self.total is None:
            message = "no response was pooled"
            raise ValueError(message)
        return self.total / self.count if self.kind == "average" else self.total
