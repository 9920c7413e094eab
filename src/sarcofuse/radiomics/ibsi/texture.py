"""Texture of a region: the standard's matrices, put together over directions and slices in its ways, and their features [1]_.

An aggregation is a list of groups: what is in a group goes into one matrix, and the features of the groups are averaged. A group that has no pair of
voxels at all is left out of the average.

References
----------
.. [1] Zwanenburg A, Leger S, Vallieres M, Loeck S. Image biomarker standardisation initiative: reference manual. arXiv:1612.07003, sections 3.6 to 3.11.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from sarcofuse.config import IbsiConfig
from sarcofuse.config.ibsi import IbsiAggregation, IbsiFamily
from sarcofuse.radiomics.ibsi import kernels, pairs
from sarcofuse.radiomics.ibsi.catalogue import IBSI_FEATURES, OF_FAMILY
from sarcofuse.radiomics.ibsi.levels import Steps, Texture, Voxels

Values = NDArray[np.float64]
NO_DIFFERENCE = 1e6  # coarseness where no voxel differs from its neighbours


def compute(texture: Texture, config: IbsiConfig) -> dict[str, float]:
    """Compute the features of all texture families that are asked for.

    Parameters
    ----------
    texture : Texture
        The region's grey levels.
    config : IbsiConfig
        Uses `families`, `aggregations`, `coarseness`, `weighting` and `weighting_norm`.

    Returns
    -------
    dict of str to float
        Value by name of the column; NaN where a feature is not defined.
    """
    found: dict[str, float] = {}
    computed: dict[IbsiAggregation, dict[IbsiFamily, Values]] = {}
    for aggregation in config.aggregations:
        computed[aggregation] = {f: compute(texture, aggregation, config) for f, compute in _DIRECTIONAL.items() if aggregation in OF_FAMILY[f] and f in config.families}
        if aggregation in OF_FAMILY["glszm"]:
            computed[aggregation] |= _zones(texture, aggregation, config) | _neighbourhoods(texture, aggregation, config)
    for family in OF_FAMILY:
        features = [f for f in IBSI_FEATURES if f.family == family]
        for aggregation, families in computed.items():
            if family in families:
                found |= {f"{f.code}_{aggregation}": float(v) for f, v in zip(features, families[family], strict=True)}
    return found


def _average(groups: list[Values]) -> Values:
    """Average over groups, each feature over those where it is defined."""
    table = np.array(groups, dtype=np.float64)
    defined = np.isfinite(table)
    number = defined.sum(axis=0)
    total = np.where(defined, table, 0.0).sum(axis=0)
    return np.where(number > 0, total / np.maximum(number, 1), np.nan)


def _directional(texture: Texture, aggregation: IbsiAggregation, steps: Callable[[bool], Steps]) -> Iterator[list[tuple[Voxels, int]]]:
    """Give the groups of a matrix that has directions: voxels and the step to look along."""
    planar, whole = [int(s) for s in steps(True)], texture.voxels
    if aggregation == "BTW3":
        yield from ([(part, s)] for part in texture.slices for s in planar)
    elif aggregation == "SUJT":
        yield from ([(part, s) for s in planar] for part in texture.slices)
    elif aggregation == "JJUI":
        yield from ([(whole, s)] for s in planar)
    elif aggregation == "ZW7Z":
        yield [(whole, s) for s in planar]
    elif aggregation == "ITBB":
        yield from ([(whole, int(s))] for s in steps(False))
    else:
        yield [(whole, int(s)) for s in steps(False)]


def _whole(texture: Texture, aggregation: IbsiAggregation) -> tuple[list[Voxels], bool]:
    """Give the groups of a matrix without directions, and whether neighbours lie within slices."""
    return texture.slices if aggregation == "8QNN" else [texture.voxels], aggregation != "KOBO"


def _weights(texture: Texture, group: list[tuple[Voxels, int]], config: IbsiConfig) -> list[float]:
    """Give the weight of each part of a matrix; 1 where all parts lie in one direction, for which a weight would only be a scale."""
    steps = [step for _, step in group]
    return [1.0] * len(steps) if len(set(steps)) == 1 else texture.weights(np.array(steps, np.int64), config).tolist()


def _glcm(texture: Texture, aggregation: IbsiAggregation, config: IbsiConfig) -> Values:
    groups = []
    number = len(texture.values)
    for group in _directional(texture, aggregation, lambda planar: texture.steps(planar=planar, both=False)):
        counts = np.zeros((number, number))
        for (voxels, step), weight in zip(group, _weights(texture, group, config), strict=True):
            kernels.add_pairs(counts, texture.flat, voxels, step, weight)
        groups.append(pairs.features(counts[1:, 1:], texture.values[1:], texture.count))
    return _average(groups)


def _glrlm(texture: Texture, aggregation: IbsiAggregation, config: IbsiConfig) -> Values:
    groups = []
    for group in _directional(texture, aggregation, lambda planar: texture.nearest(planar=planar, both=False)):
        counts = np.zeros((len(texture.values), max(texture.inside.shape) + 1))
        weights = _weights(texture, group, config)
        for (voxels, step), weight in zip(group, weights, strict=True):
            kernels.add_runs(counts, texture.flat, voxels, step, weight)
        level, length = np.nonzero(counts)
        looked_at = sum(weight * len(voxels) for (voxels, _), weight in zip(group, weights, strict=True))
        groups.append(emphases(texture.values[level], length, counts[level, length], looked_at)[:16])
    return _average(groups)


_DIRECTIONAL: dict[IbsiFamily, Callable[[Texture, IbsiAggregation, IbsiConfig], Values]] = {"glcm": _glcm, "glrlm": _glrlm}


def _zones(texture: Texture, aggregation: IbsiAggregation, config: IbsiConfig) -> dict[IbsiFamily, Values]:
    wanted: list[IbsiFamily] = [f for f in ("glszm", "gldzm") if f in config.families]
    if not wanted:
        return {}
    parts, planar = _whole(texture, aggregation)
    steps, depth = texture.nearest(planar=planar, both=True), texture.depth(planar=planar)
    found: dict[IbsiFamily, list[Values]] = {f: [] for f in wanted}
    for voxels in parts:
        level, size, distance = kernels.zones(texture.flat, voxels, steps, depth)
        for family, measure in (("glszm", size), ("gldzm", distance)):
            if family in found:
                (both, number) = np.unique(np.stack([level, measure]), axis=1, return_counts=True)
                found[family].append(emphases(texture.values[both[0]], both[1], number.astype(np.float64), len(voxels))[:16])
    return {family: _average(groups) for family, groups in found.items()}


def _neighbourhoods(texture: Texture, aggregation: IbsiAggregation, config: IbsiConfig) -> dict[IbsiFamily, Values]:
    wanted: list[IbsiFamily] = [f for f in ("ngtdm", "ngldm") if f in config.families]
    if not wanted:
        return {}
    parts, planar = _whole(texture, aggregation)
    steps = texture.steps(planar=planar, both=True)
    found: dict[IbsiFamily, list[Values]] = {"ngtdm": [], "ngldm": []}
    for voxels in parts:
        dependence, tones = np.zeros((len(texture.values), len(steps) + 2)), np.zeros((len(texture.values), 2))
        kernels.add_neighbourhoods(dependence, tones, texture.flat, texture.values, voxels, steps, texture.weights(steps, config), config.coarseness)
        level, alike = np.nonzero(dependence)
        found["ngldm"].append(emphases(texture.values[level], alike, dependence[level, alike], len(voxels)))
        found["ngtdm"].append(differences(texture.values, tones))
    return {family: _average(found[family]) for family in wanted}


def emphases(levels: Values, measure: NDArray[np.int64], number: Values, voxels: float) -> Values:
    """Compute the features that the run, zone and dependence matrices share.

    Parameters
    ----------
    levels : ndarray of float64, shape (cells,)
        Level of every cell of the matrix that is not empty.
    measure : ndarray of int64, shape (cells,)
        Its length, size, distance or dependence.
    number : ndarray of float64, shape (cells,)
        What it counts.
    voxels : float
        Voxels that were looked at, once for each direction, with the direction's weight.

    Returns
    -------
    ndarray of float64, shape (17,)
        In the catalogue's order; the last, the energy, is for dependence alone.
    """
    total = number.sum()
    share, i, j = number / total, levels, measure.astype(np.float64)
    by_level, by_measure = np.bincount(levels.astype(np.int64), number), np.bincount(measure, number)
    uneven, spread = (by_level**2).sum() / total, (by_measure**2).sum() / total
    single = [share @ f for f in (j**-2, j**2, i**-2, i**2)]
    joint = [share @ f for f in ((i * j) ** -2, (i / j) ** 2, (j / i) ** 2, (i * j) ** 2)]
    variances = [share @ (f - share @ f) ** 2 for f in (i, j)]
    entropy = max(0.0, -float(share @ np.log2(share)))
    return np.array([*single, *joint, uneven, uneven / total, spread, spread / total, total / voxels, *variances, entropy, share @ share])


def differences(values: Values, tones: Values) -> Values:
    """Compute the features of a neighbourhood grey tone difference matrix.

    Parameters
    ----------
    values : ndarray of float64, shape (levels,)
        Grey levels.
    tones : ndarray of float64, shape (levels, 2)
        Voxels of each level that have a neighbour, and the sum of their differences from their neighbours' mean.

    Returns
    -------
    ndarray of float64, shape (5,)
        Coarseness, contrast, busyness, complexity, strength; NaN where no voxel has a neighbour.
    """
    there = tones[:, 0] > 0
    if not there.any():
        return np.full(5, math.nan)
    i, (number, s) = values[there], tones[there].T
    voxels, levels = number.sum(), len(i)
    p = number / voxels
    weighted, gaps, sums = float(p @ s), i[:, None] - i, p[:, None] + p
    coarseness = 1.0 / weighted if weighted > 1.0 / NO_DIFFERENCE else NO_DIFFERENCE
    contrast = float(p @ gaps**2 @ p) / (levels * (levels - 1)) * s.sum() / voxels if levels > 1 else 0.0
    apart = float(np.abs((i * p)[:, None] - i * p).sum())
    busyness = weighted / apart if levels > 1 and apart > 0 else 0.0
    complexity = float((np.abs(gaps) * ((p * s)[:, None] + p * s) / sums).sum()) / voxels
    strength = float((sums * gaps**2).sum()) / s.sum() if s.sum() > 0 else 0.0
    return np.array([coarseness, contrast, busyness, complexity, strength])
