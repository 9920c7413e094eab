"""First-order features: statistics of the intensities, and of their histogram.

References
----------
.. [1] Zwanenburg A et al. The Image Biomarker Standardization Initiative. Radiology 2020;295:328-338, reference manual sections 3.3 and 3.4.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from sarcofuse.config import RadiomicsConfig
from sarcofuse.radiomics import sums
from sarcofuse.radiomics.region import Discretised


def compute(values: NDArray[np.float64], image: Discretised, config: RadiomicsConfig) -> dict[str, float]:
    """Compute the first-order features.

    Parameters
    ----------
    values : ndarray of float64, shape (voxels,)
        Intensities of the region.
    image : Discretised
        Their grey levels, for entropy and uniformity.
    config : RadiomicsConfig
        Uses `voxelArrayShift`.

    Returns
    -------
    dict of str to float
        Value by name.
    """
    number, low, high = len(values), float(values.min()), float(values.max())
    mean = float(values.mean()) if high > low else low
    p10, p25, p50, p75, p90 = _percentiles(values, low, high, (10, 25, 50, 75, 90))
    energy, away, second, third, fourth, inner, kept = sums.moments(values, mean, config.voxelArrayShift, p10, p90)
    variance, third, fourth = second / number, third / number, fourth / number
    robust = sums.absolute(values, mean + inner / kept, p10, p90) / kept if kept else math.nan
    p = image.histogram / number
    return {
        "10Percentile": p10,
        "90Percentile": p90,
        "Energy": energy,
        "Entropy": float(-(p * np.log2(p + np.spacing(1.0))).sum()),
        "InterquartileRange": p75 - p25,
        "Kurtosis": fourth / variance**2 if variance else 0.0,
        "Maximum": high,
        "MeanAbsoluteDeviation": away / number,
        "Mean": mean,
        "Median": p50,
        "Minimum": low,
        "Range": high - low,
        "RobustMeanAbsoluteDeviation": robust,
        "RootMeanSquared": math.sqrt(energy / number),
        "Skewness": third / variance**1.5 if variance else 0.0,
        "StandardDeviation": math.sqrt(variance),
        "TotalEnergy": energy * float(np.prod(image.region.spacing)),
        "Uniformity": float((p * p).sum()),
        "Variance": variance,
    }


def _percentiles(values: NDArray[np.float64], low: float, high: float, percents: tuple[int, ...]) -> list[float]:
    """Interpolate linearly between the two nearest values, as numpy does."""
    places = [p / 100.0 * (len(values) - 1) for p in percents]
    ranks = [min(math.floor(place) + k, len(values) - 1) for place in places for k in (0, 1)]
    found = sums.ordered(values, low, high, ranks)
    pairs = zip(found[::2], found[1::2], (place - math.floor(place) for place in places), strict=True)
    return [a + (b - a) * t if t < 0.5 else b - (b - a) * (1.0 - t) for a, b, t in pairs]
