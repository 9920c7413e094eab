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
    p10, p25, p50, p75, p90 = (float(p) for p in np.percentile(values, (10, 25, 50, 75, 90)))
    low, high, mean = float(values.min()), float(values.max()), float(values.mean())
    away = values - mean
    square = away * away
    variance, third, fourth = float(square.mean()), float((square * away).mean()), float((square * square).mean())
    inner = values[(values >= p10) & (values <= p90)]
    energy = float(((values + config.voxelArrayShift) ** 2).sum())
    p = image.histogram / len(values)
    return {
        "10Percentile": p10,
        "90Percentile": p90,
        "Energy": energy,
        "Entropy": float(-(p * np.log2(p + np.spacing(1.0))).sum()),
        "InterquartileRange": p75 - p25,
        "Kurtosis": fourth / variance**2 if variance else 0.0,
        "Maximum": high,
        "MeanAbsoluteDeviation": float(np.abs(away).mean()),
        "Mean": mean,
        "Median": p50,
        "Minimum": low,
        "Range": high - low,
        "RobustMeanAbsoluteDeviation": float(np.abs(inner - inner.mean()).mean()) if len(inner) else math.nan,
        "RootMeanSquared": float(np.sqrt(energy / len(values))),
        "Skewness": third / variance**1.5 if variance else 0.0,
        "StandardDeviation": float(np.sqrt(variance)),
        "TotalEnergy": energy * float(np.prod(image.region.spacing)),
        "Uniformity": float((p * p).sum()),
        "Variance": variance,
    }
