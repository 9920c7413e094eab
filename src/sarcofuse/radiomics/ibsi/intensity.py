"""Features of a region's intensities: local intensity, statistics, intensity histogram and intensity-volume histogram [1]_.

References
----------
.. [1] Zwanenburg A, Leger S, Vallieres M, Loeck S. Image biomarker standardisation initiative: reference manual. arXiv:1612.07003, sections 3.2 to 3.5.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from sarcofuse.config import IbsiConfig
from sarcofuse.radiomics.ibsi.levels import fixed_bin_number, fixed_bin_size, lower_end

Values = NDArray[np.float64]
BALL = 10.0 * (3.0 / (4.0 * math.pi)) ** (1.0 / 3.0)  # radius of 1 ml in mm


def local(image: NDArray[np.float64], inside: NDArray[np.bool_], spacing: tuple[float, float, float]) -> dict[str, float]:
    """Compute the local intensity features.

    Parameters
    ----------
    image : ndarray of float64, shape (z, y, x)
        Intensities, of voxels around the region as well: those within 6.2 mm of it count.
    inside : ndarray of bool, shape (z, y, x)
        Intensity mask.
    spacing : tuple of float
        Voxel size along z, y, x in mm.

    Returns
    -------
    dict of str to float
        Value by code. A ball that reaches out of the image is averaged over what lies in it.
    """
    from scipy.signal import oaconvolve

    reach = [int(BALL / s) for s in spacing]
    axes = np.meshgrid(*(np.arange(-r, r + 1) * s for r, s in zip(reach, spacing, strict=True)), indexing="ij")
    ball = (sum(a**2 for a in axes) <= BALL**2).astype(np.float64)
    shift = float(image[inside].mean())  # keeps the rounding of the convolution small
    total, number = (oaconvolve(field, ball, mode="full") for field in (image - shift, np.ones_like(image)))
    same = tuple(slice(r, r + n) for r, n in zip(reach, image.shape, strict=True))
    means = shift + total[same][inside] / np.rint(number[same][inside])
    own = image[inside]
    return {"VJGA": float(means[own == own.max()].max()), "0F91": float(means.max())}


def statistics(values: Values) -> dict[str, float]:
    """Compute the intensity-based statistics.

    Parameters
    ----------
    values : ndarray of float64, shape (voxels,)
        Intensities of the intensity mask.

    Returns
    -------
    dict of str to float
        Value by code; skewness and kurtosis of a single intensity are 0 by definition, what would be divided by 0 is NaN.
    """
    codes = ("Q4LE", "ECT3", "KE2A", "IPH6", "Y12H", "1GSF", "QG58", "8DWT", "84IY", "SALO", "2OJQ", "4FUA", "1128", "N72L", "7TET", "9S40")
    energy = float(values @ values)
    return dict(zip(codes, _moments(values), strict=True)) | {"N8CA": energy, "5ZWQ": math.sqrt(energy / len(values))}


def histogram(levels: NDArray[np.int64], count: int) -> dict[str, float]:
    """Compute the intensity histogram features.

    Parameters
    ----------
    levels : ndarray of int64, shape (voxels,)
        Grey levels of the intensity mask.
    count : int
        Number of levels.

    Returns
    -------
    dict of str to float
        Value by code; a histogram of one level has no gradient.
    """
    codes = ("X6K6", "CH89", "88K1", "C3I7", "WIFQ", "1PR8", "GPMT", "OZ0C", "3NCY", "WR0O", "5Z3W", "D2ZX", "WRZB", "4RNL", "CWYJ", "SLWD")
    found = dict(zip(codes, _moments(levels.astype(np.float64)), strict=True))
    number = np.bincount(levels, minlength=count + 1)[1:].astype(np.float64)
    share = number[number > 0] / len(levels)
    modes = np.flatnonzero(number == number.max()) + 1
    found |= {"AMMC": float(modes[np.argmin(np.abs(modes - found["X6K6"]))]), "TLU2": max(0.0, -float(share @ np.log2(share))), "BJ5W": float(share @ share)}
    if count == 1:
        return found | dict.fromkeys(("12CE", "8E6O", "VQB3", "RHQZ"), math.nan)
    gradient = np.gradient(number)
    return found | {"12CE": float(gradient.max()), "8E6O": float(gradient.argmax() + 1), "VQB3": float(gradient.min()), "RHQZ": float(gradient.argmin() + 1)}


def _moments(values: Values) -> list[float]:
    """Give mean, variance, skewness, kurtosis, median, minimum, percentiles, maximum, ranges, deviations and coefficients of variation and dispersion."""
    mean = float(values.mean())
    off = values - mean
    low, high = float(values.min()), float(values.max())
    if low == high:
        mean, off = low, np.zeros_like(off)
    variance = float((off**2).mean())
    several = variance > 0.0
    skewness = float((off**3).mean()) / variance**1.5 if several else 0.0
    kurtosis = float((off**4).mean()) / variance**2 - 3.0 if several else 0.0
    p10, p25, median, p75, p90 = (float(p) for p in np.percentile(values, (10, 25, 50, 75, 90)))
    middle = values[(values >= p10) & (values <= p90)]
    robust = 0.0 if not several else float(np.abs(middle - middle.mean()).mean()) if len(middle) else math.nan  # of two voxels, none lies between the percentiles
    variation = math.sqrt(variance) / mean if mean else math.nan
    dispersion = (p75 - p25) / (p75 + p25) if p75 + p25 else math.nan
    deviations = [float(np.abs(off).mean()), robust, float(np.abs(values - median).mean())]
    return [mean, variance, skewness, kurtosis, median, low, p10, p90, high, p75 - p25, high - low, *deviations, variation, dispersion]


def volume_histogram(values: Values, config: IbsiConfig) -> dict[str, float]:
    """Compute the intensity-volume histogram features.

    The histogram runs from the lower to the upper end of re-segmentation by range, where that has ends, and from the lowest to the highest intensity otherwise.

    Parameters
    ----------
    values : ndarray of float64, shape (voxels,)
        Intensities of the intensity mask.
    config : IbsiConfig
        Uses `ivh_discretisation`, `ivh_bin_count`, `ivh_bin_width` and `resegment_range`.

    Returns
    -------
    dict of str to float
        Value by code; intensities in units of the image (centres of bins for FBS) or, for FBN, bins. Where no intensity is rare enough, the step above the highest is
        given. A histogram of one step has no intensity fractions, so that what needs them is NaN.
    """
    low, top = lower_end(values, config), None if config.resegment_range is None else config.resegment_range[1]
    high = float(values.max()) if top is None else top
    if config.ivh_discretisation == "FBN":
        bins, number, first, step = fixed_bin_number(values, config.ivh_bin_count), config.ivh_bin_count, 1.0, 1.0
    elif config.ivh_discretisation == "FBS":
        step = config.ivh_bin_width
        number = max(1, math.ceil((high - low) / step))
        bins, first = np.minimum(fixed_bin_size(values, low, step), number), low + 0.5 * step
    else:
        bins, number, first, step = fixed_bin_size(values, low, 1.0), math.floor(high - low) + 1, low, 1.0
    counts = np.bincount(bins, minlength=number + 1)[1:]
    volume = (len(values) - np.r_[0, np.cumsum(counts)[:-1]]) / len(values)
    reached = {x: first + step * (int(np.argmax(volume <= x)) if (volume <= x).any() else number) for x in (0.1, 0.9)}
    found = {"PWN1": reached[0.1], "BOHI": reached[0.9], "JXJA": reached[0.1] - reached[0.9]}
    if number == 1:
        return found | dict.fromkeys(("NK6P", "4279", "WITY", "9CMM"), math.nan)
    fraction = np.arange(number) / (number - 1)
    v10, v90 = (float(volume[fraction >= x][0]) for x in (0.1, 0.9))
    return found | {"NK6P": v10, "4279": v90, "WITY": v10 - v90, "9CMM": float(np.trapezoid(volume, fraction))}
