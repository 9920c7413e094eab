"""Laplacian of Gaussian of a part of an image, equal to ITK's recursive filter over the whole.

ITK smooths and differentiates with Deriche's recursive approximation of the Gaussian [1]_ in the form of Farneback and Westin [2]_, axis by axis, continuing the
image beyond its border by its border value. Being linear, the filter along an axis is a matrix; here its rows for the region alone are applied, and only the columns
that bear on them, which costs a fraction of filtering the whole image. Between axes values are rounded to single precision where ITK rounds them.

References
----------
.. [1] Deriche R. Recursively implementing the Gaussian and its derivatives. INRIA research report 1893, 1993.
.. [2] Farneback G, Westin CF. Improving Deriche-style recursive Gaussian filters. J Math Imaging Vis 2006;26:293-299.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sarcofuse.radiomics.prepare import Box

Floats = NDArray[np.float64]
Polynomial = tuple[Floats, Floats]

NEGLIGIBLE = 1e-14  # columns whose weight is below this share of the largest are left out
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
    smooth, second, taken = [], [], []
    for axis in range(3):
        pair = [_operator(image.shape[axis], sigma / spacing[axis], order, sigma)[box[axis]] for order in (0, 2)]
        weight = np.max([np.abs(m).max(axis=0) / np.abs(m).max() for m in pair], axis=0)
        used = np.flatnonzero(weight > NEGLIGIBLE)
        taken.append(slice(int(used[0]), int(used[-1]) + 1))
        smooth.append(np.ascontiguousarray(pair[0][:, taken[-1]]))
        second.append(np.ascontiguousarray(pair[1][:, taken[-1]]))
    part = np.ascontiguousarray(image[tuple(taken)], dtype=np.float64)
    total = np.zeros([s.stop - s.start for s in box])
    for axis in (2, 1, 0):
        found = _round(_apply(second[axis], part, axis))
        for other in (2, 1, 0):
            if other != axis:
                found = _round(_apply(smooth[other], found, other))
        total = _round(total + found * (1.0 / spacing[axis] ** 2))
    return total.astype(np.float32)


def _round(values: Floats) -> Floats:
    return values.astype(np.float32).astype(np.float64)


def _apply(matrix: Floats, values: Floats, axis: int) -> Floats:
    if axis == 2:
        found: Floats = values @ matrix.T
    elif axis == 1:
        found = matrix @ values
    else:
        found = (matrix @ values.reshape(len(values), -1)).reshape(-1, *values.shape[1:])
    return found


def _operator(length: int, sigma: float, order: int, scale: float) -> Floats:
    """Give the filter along an axis of so many voxels as a matrix; sigma in voxels."""
    forward, recursion = _coefficients(sigma, order, scale)
    backward = np.append(forward, 0.0) - recursion * forward[0]  # the same response mirrored, without the centre
    unit = np.eye(length)
    return _run(forward, recursion, unit) + _run(backward, recursion, unit[::-1])[::-1]


def _run(b: Floats, a: Floats, values: Floats) -> Floats:
    """Filter columns, begun as though the first value had stood for ever."""
    from scipy.signal import lfilter, lfiltic

    rest = lfiltic(b, a, np.full(len(a) - 1, b.sum() / a.sum()), np.ones(len(b) - 1))
    found: Floats = lfilter(b, a, values, axis=0, zi=rest[:, None] * values[0])[0]
    return found


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
