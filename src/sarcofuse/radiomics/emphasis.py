"""Features of grey-level run length (GLRLM), size zone (GLSZM) and dependence matrices (GLDM): one set of formulas, three ways to count.

References
----------
.. [1] Galloway MM. Texture analysis using gray level run lengths. Comput Graph Image Process 1975;4:172-179.
.. [2] Thibault G et al. Texture indexes and gray level size zone matrix. Pattern Recognition and Information Processing 2009;140-145.
.. [3] Sun C, Wee WG. Neighboring gray level dependence matrix for texture classification. Comput Vis Graph Image Process 1983;23:341-352.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sarcofuse.config import RadiomicsConfig
from sarcofuse.radiomics import matrices, statistics
from sarcofuse.radiomics.glcm import average, length
from sarcofuse.radiomics.region import Discretised, Offset, Region, offsets

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
    counted: list[tuple[Offset, NDArray[np.float64]]] = []
    for offset in offsets(region.inside.shape, (1,), config.flat_axis, both=False):
        step = region.step(offset)
        if matrices.touches(image.ranks, region.voxels, step) or _share_a_line(region, offset):
            counted.append((offset, matrices.runs(image.ranks, region.voxels, step, image.histogram, longest)))
    sizes = np.arange(1.0, longest + 1.0)
    if config.weightingNorm is not None and counted:
        weighted = [length(offset, region.spacing, config.weightingNorm) * p for offset, p in counted]
        counted = [((0, 0, 0), np.sum(weighted, axis=0))]
    rows = [statistics.emphasis_features(p, image.present.astype(np.float64), sizes) for _, p in counted]
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
    level, size = matrices.zones(image.ranks, region.voxels, _steps(region, (1,), config))
    sizes, column = np.unique(size, return_inverse=True)
    counts = np.bincount((level - 1) * len(sizes) + column, minlength=len(image.present) * len(sizes)).reshape(-1, len(sizes))
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
    values = np.append(0.0, image.present.astype(np.float64))
    steps = _steps(image.region, config.distances, config)
    dependence, _, difference = matrices.neighbourhood(image.ranks, values, image.region.voxels, steps, float(config.gldm_a))
    return dependence, difference


def _steps(region: Region, distances: tuple[int, ...], config: RadiomicsConfig) -> NDArray[np.int64]:
    return np.array([region.step(o) for o in offsets(region.inside.shape, distances, config.flat_axis, both=True)], dtype=np.int64)


def _share_a_line(region: Region, offset: Offset) -> bool:
    """Say whether two voxels of the region lie on one line along a direction, however far apart."""
    places = np.argwhere(region.inside)
    along = next(axis for axis in range(3) if offset[axis])
    lines = places - places[:, [along]] * offset[along] * np.asarray(offset)
    return len(np.unique(lines, axis=0)) < len(places)


def _named(values: list[float], family: int) -> dict[str, float]:
    named = {names[family]: value for names, value in zip(ORDER, values, strict=True)}
    return {name: value for name, value in named.items() if name is not None}
