"""Features of grey-level run length (GLRLM), size zone (GLSZM) and dependence matrices (GLDM): one set of formulas, three ways to count.

References
----------
.. [1] Galloway MM. Texture analysis using gray level run lengths. Comput Graph Image Process 1975;4:172-179.
.. [2] Thibault G et al. Texture indexes and gray level size zone matrix. Pattern Recognition and Information Processing 2009;140-145.
.. [3] Sun C, Wee WG. Neighboring gray level dependence matrix for texture classification. Comput Vis Graph Image Process 1983;23:341-352.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from sarcofuse.config import RadiomicsConfig
from sarcofuse.radiomics import matrices, statistics
from sarcofuse.radiomics.glcm import average, blocks, length
from sarcofuse.radiomics.region import Discretised, Offset, Region

# Position in statistics.emphasis_features, and the name in each family; None where a family has no such feature.
ORDER: tuple[tuple[str | None, str | None, str | None], ...] = (
    ("ShortRunEmphasis", "SmallAreaEmphasis", "SmallDependenceEmphasis"),
    ("LongRunEmphasis", "LargeAreaEmphasis", "LargeDependenceEmphasis"),
    ("GrayLevelNonUniformity", "GrayLevelNonUniformity", "GrayLevelNonUniformity"),
    ("GrayLevelNonUniformityNormalized", "GrayLevelNonUniformityNormalized", None),
    ("RunLengthNonUniformity", "SizeZoneNonUniformity", "DependenceNonUniformity"),
    ("RunLengthNonUniformityNormalized", "SizeZoneNonUniformityNormalized", "DependenceNonUniformityNormalized"),
    ("RunPercentage", "ZonePercentage", None),
    ("GrayLevelVariance", "GrayLevelVariance", "GrayLevelVariance"),
    ("RunVariance", "ZoneVariance", "DependenceVariance"),
    ("RunEntropy", "ZoneEntropy", "DependenceEntropy"),
    ("LowGrayLevelRunEmphasis", "LowGrayLevelZoneEmphasis", "LowGrayLevelEmphasis"),
    ("HighGrayLevelRunEmphasis", "HighGrayLevelZoneEmphasis", "HighGrayLevelEmphasis"),
    ("ShortRunLowGrayLevelEmphasis", "SmallAreaLowGrayLevelEmphasis", "SmallDependenceLowGrayLevelEmphasis"),
    ("ShortRunHighGrayLevelEmphasis", "SmallAreaHighGrayLevelEmphasis", "SmallDependenceHighGrayLevelEmphasis"),
    ("LongRunLowGrayLevelEmphasis", "LargeAreaLowGrayLevelEmphasis", "LargeDependenceLowGrayLevelEmphasis"),
    ("LongRunHighGrayLevelEmphasis", "LargeAreaHighGrayLevelEmphasis", "LargeDependenceHighGrayLevelEmphasis"),
)
RUNS, ZONES, DEPENDENCES = range(3)


def compute_runs(image: Discretised, config: RadiomicsConfig) -> dict[str, float]:
    """Compute the GLRLM features.

    Parameters
    ----------
    image : Discretised
        The region's grey levels.
    config : RadiomicsConfig
        Uses `weightingNorm`, `force2D` and `force2Ddimension`.

    Returns
    -------
    dict of str to float
        Value by name; NaN where no line along any direction holds two voxels.
    """
    region, longest = image.region, max(image.region.inside.shape)
    directions, steps = region.directions((1,), config.flat_axis)
    used = [k for k, offset in enumerate(directions) if matrices.touches(image.ranks, *region.rows, steps[k]) or _share_a_line(region, offset)]
    sizes, present = np.arange(1.0, longest + 1.0), image.present.astype(np.float64)
    merged, rows = np.zeros((len(present), longest)), []
    for part in blocks(used, len(present) * longest):
        for k, counts in zip(part, matrices.run_lengths(image.ranks, *region.rows, steps[part], len(present), longest), strict=True):
            if config.weightingNorm is None:
                rows.append(statistics.emphasis_features(counts, present, sizes))
            else:
                merged += length(directions[k], region.spacing, config.weightingNorm) * counts
    if config.weightingNorm is not None and used:
        rows.append(statistics.emphasis_features(merged, present, sizes))
    return _named(average(rows, len(ORDER)), RUNS)


def compute_zones(image: Discretised, config: RadiomicsConfig) -> dict[str, float]:
    """Compute the GLSZM features.

    Parameters
    ----------
    image : Discretised
        The region's grey levels.
    config : RadiomicsConfig
        Uses `force2D` and `force2Ddimension`.

    Returns
    -------
    dict of str to float
        Value by name.
    """
    region = image.region
    directions, steps = region.directions((1,), config.flat_axis)
    level, size = matrices.zones(image.ranks, *region.rows, steps, _joins(directions, tuple(steps.tolist())))
    sizes = np.flatnonzero(np.bincount(size))
    column = np.zeros(int(sizes[-1]) + 1, np.int64)
    column[sizes] = np.arange(len(sizes))
    counts = np.bincount((level - 1) * len(sizes) + column[size], minlength=len(image.present) * len(sizes)).reshape(-1, len(sizes))
    found = statistics.emphasis_features(counts.astype(np.float64), image.present.astype(np.float64), sizes.astype(np.float64))
    return _named(found.tolist(), ZONES)


def compute_dependences(image: Discretised, dependence: NDArray[np.int64]) -> dict[str, float]:
    """Compute the GLDM features.

    Parameters
    ----------
    image : Discretised
        The region's grey levels.
    dependence : ndarray of int64, shape (levels, neighbours + 1)
        From `sarcofuse.radiomics.matrices.neighbourhood`.

    Returns
    -------
    dict of str to float
        Value by name.
    """
    sizes = np.arange(1.0, dependence.shape[1] + 1.0)
    found = statistics.emphasis_features(dependence.astype(np.float64), image.present.astype(np.float64), sizes)
    return _named(found.tolist(), DEPENDENCES)


def compute_tones(image: Discretised, difference: NDArray[np.float64]) -> dict[str, float]:
    """Compute the features of the neighbouring grey-tone difference matrix (NGTDM) [1]_.

    Parameters
    ----------
    image : Discretised
        The region's grey levels.
    difference : ndarray of float64, shape (levels,)
        From `sarcofuse.radiomics.matrices.neighbourhood`.

    Returns
    -------
    dict of str to float
        Value by name.

    References
    ----------
    .. [1] Amadasun M, King R. Textural features corresponding to textural properties. IEEE Trans Syst Man Cybern 1989;19:1264-1274.
    """
    found = statistics.tone_features(image.histogram.astype(np.float64), difference, image.present.astype(np.float64))
    return dict(zip(("Busyness", "Coarseness", "Complexity", "Contrast", "Strength"), found.tolist(), strict=True))


def neighbourhood(image: Discretised, config: RadiomicsConfig) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Visit every voxel's neighbours once, for GLDM and NGTDM together.

    Parameters
    ----------
    image : Discretised
        The region's grey levels.
    config : RadiomicsConfig
        Uses `distances`, `gldm_a`, `force2D` and `force2Ddimension`.

    Returns
    -------
    dependence : ndarray of int64, shape (levels, neighbours + 1)
        Voxels by level and dependent neighbours.
    difference : ndarray of float64, shape (levels,)
        Sums of absolute differences from the neighbours' mean.
    """
    region = image.region
    steps = region.directions(config.distances, config.flat_axis)[1]
    key = tuple(steps.tolist())
    if key not in region.near:
        region.near[key] = matrices.neighbours(np.pad(region.inside, region.margin).ravel().view(np.uint8), *region.rows, steps)
    dependence, difference = matrices.neighbourhood(image.grey, region.near[key], *region.rows, steps, image.highest, min(math.floor(config.gldm_a), image.highest))
    return dependence[image.present], difference[image.present]


@lru_cache(maxsize=16)
def _joins(directions: tuple[Offset, ...], steps: tuple[int, ...]) -> NDArray[np.uint32]:
    """Give the table that `matrices.zones` needs; neighbours of a neighbour are those at most one step away along every axis."""
    adjacent = [sum(1 << k for k, b in enumerate(directions) if max(abs(m - n) for m, n in zip(a, b, strict=True)) <= 1) for a in directions]
    return matrices.joins(np.array(adjacent, dtype=np.int64), np.array(steps, dtype=np.uint64))


def _share_a_line(region: Region, offset: Offset) -> bool:
    """Say whether two voxels of the region lie on one line along a direction, however far apart."""
    places = np.argwhere(region.inside)
    along = next(axis for axis in range(3) if offset[axis])
    lines = places - places[:, [along]] * offset[along] * np.asarray(offset)
    return len(np.unique(lines, axis=0)) < len(places)


def _named(values: list[float], family: int) -> dict[str, float]:
    named = {names[family]: value for names, value in zip(ORDER, values, strict=True)}
    return {name: value for name, value in named.items() if name is not None}
