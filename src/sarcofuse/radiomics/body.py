"""The patient's body in an image, as against the air around it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]

STEP = 2.0  # mm; finer grids are averaged to about this first
AIR = -1024.0  # nothing is darker than air in Hounsfield units but the padding outside a scanner's field
CONTRAST = 0.2  # air lies this far, at most, from the darkest voxels towards the mean of the body
GAP = 10.0  # mm; cortical bone at the border of the image, a fold of skin
FLOOR = 0.05  # the logarithm flattens below this share of the range


def body(image: NDArray[np.generic], spacing: tuple[float, float, float]) -> Bools:
    """Find the body.

    The image is averaged and smoothed to about 2 mm; Otsu's threshold [1]_ of the logarithm of intensity, which keeps dark muscle apart from air where fat is bright, gives what is
    not air. Gaps of up to 10 mm within a slice are closed, as cortical bone is as dark as air; the largest component is the body, with holes filled slice by slice. Padding, voxels
    of exactly the least intensity, is passed over where air shows besides. Where what lies below the threshold is not much darker than the body, or does not reach the border of any slice,
    the image shows no air and the body is the whole image.

    Parameters
    ----------
    image : ndarray, shape (z, y, x)
        Intensities: MR in any scale, or CT in Hounsfield units.
    spacing : tuple of float
        Voxel size along z, y, x in mm.

    Returns
    -------
    ndarray of bool, shape (z, y, x)
        True in the body.

    References
    ----------
    .. [1] Otsu N. A threshold selection method from gray-level histograms. IEEE Trans Syst Man Cybern 1979;9:62-66.
    """
    from scipy import ndimage

    steps = [max(1, min(round(STEP / s), n)) for s, n in zip(spacing, image.shape, strict=True)]
    coarse_spacing = [s * k for s, k in zip(spacing, steps, strict=True)]
    coarse = ndimage.gaussian_filter(_average(image, steps), [STEP / s / 2.0 for s in coarse_spacing], mode="nearest")
    low, high = max(float(coarse.min()), AIR), float(np.quantile(coarse, 0.99))
    if high <= low:
        return np.ones(image.shape, dtype=bool)
    share = np.clip((coarse - low) / (high - low), 0.0, 1.0)
    padding = _average(image <= max(image.min(), AIR), steps) > 0.0
    for counted in (~padding, np.ones_like(padding)):
        if counted.any():
            found = _largest(share > np.exp(_otsu(np.log(share[counted] + FLOOR))) - FLOOR, coarse_spacing)
            if _is_air(share, found, counted):
                for axis, k in enumerate(steps):
                    found = np.repeat(found, k, axis=axis).take(np.arange(image.shape[axis]), axis=axis)
                return np.ascontiguousarray(found)
    return np.ones(image.shape, dtype=bool)


def _largest(bright: Bools, spacing: list[float]) -> Bools:
    """Close gaps, keep the largest component and fill its holes."""
    from scipy import ndimage

    radius = [max(1, round(GAP / 2.0 / s)) for s in spacing[1:]]
    y, x = np.ogrid[-radius[0] : radius[0] + 1, -radius[1] : radius[1] + 1]
    disc = ((y / radius[0]) ** 2 + (x / radius[1]) ** 2 <= 1.0)[None]
    closed = ndimage.binary_erosion(ndimage.binary_dilation(bright, disc), disc, border_value=1)
    labels, count = ndimage.label(closed)
    if not count:
        return np.zeros_like(bright)
    return np.stack([ndimage.binary_fill_holes(plane) for plane in labels == 1 + int(np.argmax(np.bincount(labels.ravel())[1:]))])


def _average(image: NDArray[np.generic], steps: list[int]) -> Floats:
    """Average blocks of voxels; the last block of an axis may be filled up with its border values."""
    values = np.pad(image, [(0, -n % k) for n, k in zip(image.shape, steps, strict=True)], "edge").astype(np.float32)
    z, y, x = (n // k for n, k in zip(values.shape, steps, strict=True))
    found: Floats = values.reshape(z, steps[0], y, steps[1], x, steps[2]).mean(axis=(1, 3, 5), dtype=np.float64)
    return found


def _otsu(values: Floats) -> float:
    counts, edges = np.histogram(values, 256)
    centres = (edges[:-1] + edges[1:]) / 2.0
    below = np.cumsum(counts)[:-1].astype(np.float64)
    above = counts.sum() - below
    total = np.cumsum(counts * centres)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * ((total[-1] - total[:-1]) / above - total[:-1] / below) ** 2
    return float(edges[1 + int(np.nanargmax(between))])


def _is_air(share: Floats, found: Bools, counted: Bools) -> bool:
    """Say whether what was left out looks like air: dark, and open to the border of a slice."""
    out = ~found & counted
    border = out[:, [0, -1], :].any() or out[:, :, [0, -1]].any()
    return bool(border and found.any() and share[out].mean() < CONTRAST * share[found].mean())
