"""Grey levels from intensities.

References
----------
.. [1] Leijenaar RTH et al. The effect of SUV discretization in quantitative FDG-PET radiomics. Sci Rep 2015;5:11075.
.. [2] van Griethuysen JJM et al. Computational radiomics system to decode the radiographic phenotype. Cancer Res 2017;77:e104-e107.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from sarcofuse.config import RadiomicsConfig
from sarcofuse.errors import ImageError


def discretise(values: NDArray[np.generic], config: RadiomicsConfig, image: str, patient_id: str) -> NDArray[np.int64]:
    """Sort intensities into bins.

    With `binCount` the range is divided evenly. Otherwise bins are `binWidth` wide, begin at multiples of it, and the lowest intensity lies in bin 1, which is
    PyRadiomics' convention. Edges have the precision of the image, as PyRadiomics has it: single for float32, where an edge can be off by some millionths of the
    range, and double for all other types.

    Parameters
    ----------
    values : ndarray, shape (voxels,)
        Intensities of the region, in the image's own type.
    config : RadiomicsConfig
        Uses `binWidth`, `binCount` and `maximum_levels`.
    image : str
        Name of the image, for errors.
    patient_id : str
        Whom it concerns, for errors.

    Returns
    -------
    ndarray of int64, shape (voxels,)
        Grey levels from 1.

    Raises
    ------
    ImageError
        If there would be more than `maximum_levels` levels.

    Examples
    --------
    >>> discretise(np.array([54.0, 75.0, 166.0]), RadiomicsConfig(binWidth=25), "original", "P-1").tolist()
    [1, 2, 5]
    """
    from sarcofuse.radiomics.sums import place

    own = values if values.dtype == np.float32 else values.astype(np.float64)
    low, high = own.min(), own.max()
    if config.binCount is not None:
        edges = np.histogram_bin_edges(own, config.binCount)
        width = float(edges[1] - edges[0])
        edges[-1] += 1.0
    else:
        width = config.binWidth
        _check_count(math.floor(high / config.binWidth) - math.floor(low / config.binWidth) + 1, float(low), float(high), config, image, patient_id)
        edges = np.arange(low - low % config.binWidth, high + 2.0 * config.binWidth, config.binWidth)
    return place(own.astype(np.float64, copy=False), edges.astype(np.float64, copy=False), width)


def _check_count(levels: int, low: float, high: float, config: RadiomicsConfig, image: str, patient_id: str) -> None:
    if levels <= config.maximum_levels:
        return
    message = (
        f"image {image} would have {levels} grey levels: intensities run from {low:g} to {high:g} and binWidth is {config.binWidth:g}; at most {config.maximum_levels} (maximum_levels) "
        f"are computed, as matrices grow with their square. Set binWidth to {(high - low) / 64:.3g} for about 64 levels, or binCount: 64"
    )
    raise ImageError(patient_id, message)
