"""Spatial autocorrelation of intensities.

References
----------
.. [1] Moran PAP. Notes on continuous stochastic phenomena. Biometrika 1950;37:17-23.
.. [2] Geary RC. The contiguity ratio and statistical mapping. Incorporated Statistician 1954;5:115-146.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from sarcofuse.radiomics.compiled import compiled

CELL = 30  # pairs that take as long as one cell of the Fourier transform's grid


def autocorrelation(image: NDArray[np.float64], inside: NDArray[np.bool_], spacing: tuple[float, float, float]) -> tuple[float, float]:
    """Compute Moran's I and Geary's C, with the inverse distance of voxels as the weight of a pair.

    In large regions all pairs are summed at once: sums over pairs are convolutions with the inverse distance, done by Fourier transform in double precision.

    Parameters
    ----------
    image : ndarray of float64, shape (z, y, x)
        Intensities.
    inside : ndarray of bool, shape (z, y, x)
        Intensity mask.
    spacing : tuple of float
        Voxel size along z, y, x in mm.

    Returns
    -------
    moran : float
        NaN for one voxel or one intensity.
    geary : float
        NaN for one voxel or one intensity.
    """
    values = image[inside]
    number = len(values)
    if number < 2 or values.min() == values.max():
        return math.nan, math.nan
    off = values - values.mean()
    if number * (number - 1) // 2 <= CELL * int(np.prod([2 * n for n in inside.shape])):  # small regions, and scattered ones, whose grid would need much memory
        weight, product, square = _by_pairs(np.argwhere(inside) * np.asarray(spacing), off)
    else:
        weight, product, square = _by_transform(off, inside, spacing)
    spread = float(off @ off)
    return number * product / (weight * spread), (number - 1) * square / (2.0 * weight * spread)


@compiled
def _by_pairs(places: NDArray[np.float64], off: NDArray[np.float64]) -> tuple[float, float, float]:
    weight, product, square = 0.0, 0.0, 0.0
    for i in range(len(off)):
        for j in range(i + 1, len(off)):
            w = 1.0 / math.sqrt((places[i, 0] - places[j, 0]) ** 2 + (places[i, 1] - places[j, 1]) ** 2 + (places[i, 2] - places[j, 2]) ** 2)
            weight += 2.0 * w
            product += 2.0 * w * off[i] * off[j]
            square += 2.0 * w * (off[i] - off[j]) ** 2
    return weight, product, square


def _by_transform(off: NDArray[np.float64], inside: NDArray[np.bool_], spacing: tuple[float, float, float]) -> tuple[float, float, float]:
    from scipy.fft import irfftn, next_fast_len, rfftn

    size = [next_fast_len(2 * n - 1, real=True) for n in inside.shape]
    lags = [np.minimum(np.arange(n), n - np.arange(n)) * s for n, s in zip(size, spacing, strict=True)]
    distance = np.sqrt(lags[0][:, None, None] ** 2 + lags[1][:, None] ** 2 + lags[2] ** 2)
    distance[0, 0, 0] = np.inf
    kernel = rfftn(1.0 / distance)
    del distance
    crop = tuple(slice(n) for n in inside.shape)

    def spread(field: NDArray[np.float64]) -> NDArray[np.float64]:
        laid = np.zeros(inside.shape)
        laid[inside] = field
        return np.asarray(irfftn(kernel * rfftn(laid, size), size)[crop][inside])

    near = spread(np.ones_like(off))
    product = float(off @ spread(off))
    return float(near.sum()), product, 2.0 * (float(off**2 @ near) - product)
