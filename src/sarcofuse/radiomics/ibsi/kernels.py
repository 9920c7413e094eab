"""Kernels that build the standard's texture matrices.

All of them work on one flat padded array: the region's bounding box with a margin of zeros, grey levels numbered from 1 without gaps inside the region. `voxels` are
the places of those voxels in it that are looked at, in raster order: the whole region, or one slice of it. A neighbour is an offset into the array, and what lies
outside has level 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sarcofuse.radiomics.compiled import compiled

Ints = NDArray[np.signedinteger[Any]]
Levels = NDArray[np.uint16]
Floats = NDArray[np.float64]


@compiled
def add_pairs(counts: Floats, levels: Levels, voxels: Ints, step: int, weight: float) -> None:
    """Count pairs of grey levels one step apart, both ways.

    Parameters
    ----------
    counts : ndarray of float64, shape (levels + 1, levels + 1)
        What the pairs are added to; row and column 0 are for voxels outside.
    levels : ndarray of uint16, shape (padded voxels,)
        Level of every voxel, 0 outside.
    voxels : ndarray of int32, shape (voxels,)
        Places of the voxels to look at.
    step : int
        Offset of the neighbour.
    weight : float
        What a pair counts.
    """
    for v in voxels:
        a, b = levels[v], levels[v + step]
        counts[a, b] += weight
        counts[b, a] += weight


@compiled
def add_runs(counts: Floats, levels: Levels, voxels: Ints, step: int, weight: float) -> None:
    """Count runs of equal level along a direction.

    Parameters
    ----------
    counts : ndarray of float64, shape (levels + 1, longest + 1)
        What the runs are added to: those of the row's level, with the column's length.
    levels : ndarray of uint16, shape (padded voxels,)
        Level of every voxel, 0 outside.
    voxels : ndarray of int32, shape (voxels,)
        Places of the voxels to look at.
    step : int
        Offset of the next voxel.
    weight : float
        What a run counts.
    """
    for v in voxels:
        level = levels[v]
        if levels[v - step] != level:
            place, length = v + step, 1
            while levels[place] == level:
                place += step
                length += 1
            counts[level, length] += weight


@compiled
def zones(levels: Levels, voxels: Ints, steps: Ints, depth: Ints) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """List connected zones of equal level.

    Parameters
    ----------
    levels : ndarray of uint16, shape (padded voxels,)
        Level of every voxel, 0 outside.
    voxels : ndarray of int32, shape (voxels,)
        Places of the voxels to look at.
    steps : ndarray of int64, shape (neighbours,)
        Offsets of all neighbours, both ways.
    depth : ndarray of int32, shape (padded voxels,)
        Distance of every voxel from the region's border.

    Returns
    -------
    level : ndarray of int64, shape (zones,)
        Level of each zone.
    size : ndarray of int64, shape (zones,)
        Voxels of each zone.
    distance : ndarray of int64, shape (zones,)
        Least distance from the border of any of its voxels.
    """
    left = levels.copy()
    stack = np.empty(len(voxels), np.int64)
    level, size, distance = np.empty(len(voxels), np.int64), np.empty(len(voxels), np.int64), np.empty(len(voxels), np.int64)
    found = 0
    for v in voxels:
        own = left[v]
        if own == 0:
            continue
        left[v] = 0
        stack[0] = v
        top = members = 1
        nearest = depth[v]
        while top > 0:
            top -= 1
            place = stack[top]
            nearest = min(nearest, depth[place])
            for step in steps:
                near = place + step
                if left[near] == own:
                    left[near] = 0
                    stack[top] = near
                    top += 1
                    members += 1
        level[found], size[found], distance[found] = own, members, nearest
        found += 1
    return level[:found].copy(), size[:found].copy(), distance[:found].copy()


@compiled
def add_neighbourhoods(dependence: Floats, tones: Floats, levels: Levels, values: Floats, voxels: Ints, steps: Ints, weights: Floats, coarseness: float) -> None:
    """Count dependent neighbours, and sum differences from the neighbours' mean.

    Parameters
    ----------
    dependence : ndarray of float64, shape (levels + 1, neighbours + 2)
        What voxels are added to: those of the row's level with one dependent neighbour less than the column.
    tones : ndarray of float64, shape (levels + 1, 2)
        What is added to: voxels of the row's level that have a neighbour, and the sum of their absolute differences from its neighbours' mean.
    levels : ndarray of uint16, shape (padded voxels,)
        Level of every voxel, 0 outside.
    values : ndarray of float64, shape (levels + 1,)
        The grey levels themselves; the first, for outside, is 0.
    voxels : ndarray of int32, shape (voxels,)
        Places of the voxels to look at.
    steps : ndarray of int64, shape (neighbours,)
        Offsets of all neighbours, both ways.
    weights : ndarray of float64, shape (neighbours,)
        Their weights in the mean.
    coarseness : float
        Largest difference that counts as dependence.
    """
    for v in voxels:
        level = levels[v]
        own = values[level]
        total, near, alike = 0.0, 0.0, 1
        for k in range(len(steps)):
            other = levels[v + steps[k]]
            if other > 0:
                near += weights[k]
                total += weights[k] * values[other]
                if abs(values[other] - own) <= coarseness:
                    alike += 1
        dependence[level, alike] += 1.0
        if near > 0.0:
            tones[level, 0] += 1.0
            tones[level, 1] += abs(own - total / near)
