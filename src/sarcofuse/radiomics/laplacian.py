"""Laplacian of Gaussian of a part of an image, equal to ITK's recursive filter over the whole.

ITK smooths and differentiates with Deriche's recursive approximation of the Gaussian [1]_ in the form of Farneback and Westin [2]_, axis by axis, continuing the
image beyond its border by its border value. Here only the lines that bear on the region are filtered, which costs a fraction of filtering the whole image. Between
axes values are rounded to single precision where ITK rounds them.

References
----------
.. [1] Deriche R. Recursively implementing the Gaussian and its derivatives. INRIA research report 1893, 1993.
.. [2] Farneback G, Westin CF. Improving Deriche-style recursive Gaussian filters. J Math Imaging Vis 2006;26:293-299.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sarcofuse.radiomics.prepare import Box

Floats = NDArray[np.float64]
Polynomial = tuple[Floats, Floats]

NEGLIGIBLE = 1e-14  # voxels whose weight is below this share of the largest are left out
# Two damped oscillations fit the Gaussian and, with other amplitudes, its second derivative: frequency and decay, then amplitudes of cosine and sine.
FREQUENCY, DECAY = (0.6681, 2.0787), (-1.3932, -1.3732)
GAUSSIAN = ((1.3530, 1.8151), (-0.3531, 0.0902))
SECOND = ((-1.3563, 5.2318), (0.3446, -2.2355))


def laplacian_of_gaussian(image: NDArray[np.generic], box: Box, spacing: tuple[float, float, float], sigma: float) -> NDArray[np.float32]:
    """Filter the part of an image that lies in a box.

    Parameters
    ----------
    image : ndarray, shape (z, y, x)
        The whole image; at least 4 voxels along every axis.
    box : tuple of slice
        Which part is wanted.
    spacing : tuple of float
        Voxel size along z, y, x in mm.
    sigma : float
        Width of the Gaussian in mm; the result is scaled by its square.

    Returns
    -------
    ndarray of float32, shape of the box
        As ``LaplacianRecursiveGaussianImageFilter`` of ITK 5 with NormalizeAcrossScale gives there.
    """
    from sarcofuse.radiomics import recursive

    taken, ends, smooth, second = [], [], [], []
    for n, own, size in zip(image.shape, box, spacing, strict=True):
        reach = math.ceil(math.log(NEGLIGIBLE) / max(DECAY) * sigma / size)
        taken.append(slice(max(0, own.start - reach), min(n, own.stop + reach)))
        ends.append((own.start - taken[-1].start, own.stop - taken[-1].start))
        smooth.append(_filter(sigma / size, 0, sigma))
        second.append(_filter(sigma / size, 2, sigma))
    part: NDArray[np.floating[Any]] = np.array(image[tuple(taken)], dtype=np.float32 if np.can_cast(image.dtype, np.float32) else np.float64, order="C")
    depth, height, width = (s.stop - s.start for s in box)
    thin, found, total = np.empty((len(part), height, width), np.float32), np.empty((depth, height, width), np.float32), np.zeros((depth, height, width), np.float32)
    for axis in (2, 1, 0):
        if axis == 0:
            whole = np.empty((depth, *part.shape[1:]), np.float32)
            recursive.across(part.reshape(len(part), -1), second[0], ends[0], whole.reshape(depth, -1))
            recursive.planes(whole, True, smooth[2], ends[2], smooth[1], ends[1], found)
        else:
            recursive.planes(part, axis == 2, second[axis], ends[axis], smooth[3 - axis], ends[3 - axis], thin)
            recursive.across(thin.reshape(len(part), -1), smooth[0], ends[0], found.reshape(depth, -1))
        recursive.add(found, 1.0 / float(spacing[axis]) ** 2, total)
    return total


def _filter(sigma: float, order: int, scale: float) -> Floats:
    """Give the coefficients that `recursive` takes; sigma in voxels."""
    forward, recursion = _coefficients(sigma, order, scale)
    backward = np.append(forward, 0.0) - recursion * forward[0]  # the same response mirrored, without the centre
    whole = recursion.sum()
    return np.concatenate([forward, backward[1:], recursion[1:], [forward.sum() / whole, backward.sum() / whole]])


def _coefficients(sigma: float, order: int, scale: float) -> Polynomial:
    """Give numerator and denominator of the causal half, normalised so that the filter reproduces constants (order 0) or parabolas (order 2) exactly."""
    waves = [np.exp(complex(d, f) / sigma) for d, f in zip(DECAY, FREQUENCY, strict=True)]
    poles = [np.array([1.0, -2.0 * w.real, abs(w) ** 2]) for w in waves]
    recursion = np.convolve(poles[0], poles[1])
    gaussian = _numerator(GAUSSIAN, waves, poles)
    if order == 0:
        return gaussian / (2.0 * gaussian.sum() / recursion.sum() - gaussian[0]), recursion
    second = _numerator(SECOND, waves, poles)
    total = recursion.sum()
    forward = second - (2.0 * second.sum() - total * second[0]) / (2.0 * gaussian.sum() - total * gaussian[0]) * gaussian
    (s, d, e), (sd, dd, ed) = _moments(forward), _moments(recursion)
    parabola = (e * sd**2 - ed * s * sd - 2.0 * d * dd * sd + 2.0 * dd**2 * s) / sd**3
    return forward * scale**2 / parabola, recursion


def _numerator(amplitudes: tuple[tuple[float, float], tuple[float, float]], waves: list[complex], poles: list[Floats]) -> Floats:
    """Combine two damped oscillations a cos + b sin, each of which is (a + (b sin - a cos) r / z) over its own pole pair, into one fraction."""
    parts = [np.array([a, b * w.imag - a * w.real]) for (a, b), w in zip(amplitudes, waves, strict=True)]
    return np.convolve(parts[0], poles[1]) + np.convolve(parts[1], poles[0])


def _moments(polynomial: Floats) -> tuple[float, float, float]:
    k = np.arange(len(polynomial))
    return float(polynomial.sum()), float((k * polynomial).sum()), float((k * k * polynomial).sum())
