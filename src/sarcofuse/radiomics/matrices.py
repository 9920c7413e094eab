"""Kernels that build the texture matrices of a discretised region.

All of them work on one flat padded array: the region's bounding box with a margin of zeros, grey levels counted from 1 inside the region. A neighbour is then
an offset into the array, and what lies outside has level 0. `voxels` are the places of the region's voxels in it, in raster order.
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
def cooccurrence(levels: Levels, voxels: Ints, step: int, count: int) -> Floats:
    """Count pairs of grey levels one step apart.

    Parameters
    ----------
    levels : ndarray of uint16, shape (padded voxels,)
        Level of every voxel, 0 outside.
    voxels : ndarray of int32, shape (voxels,)
        Places of the region's voxels.
    step : int
        Offset of the neighbour.
    count : int
        Number of levels.

    Returns
    -------
    ndarray of float64, shape (count, count)
        Voxels of the row's level whose neighbour has the column's level.
    """
    pairs = np.zeros((count + 1, count + 1), np.float64)
    for v in voxels:
        pairs[levels[v], levels[v + step]] += 1
    return pairs[1:, 1:].copy()


@compiled
def runs(levels: Levels, voxels: Ints, step: int, histogram: Ints, longest: int) -> Floats:
    """Count runs of equal level along a direction.

    Parameters
    ----------
    levels : ndarray of uint16, shape (padded voxels,)
        Level of every voxel, 0 outside.
    voxels : ndarray of int32, shape (voxels,)
        Places of the region's voxels.
    step : int
        Offset of the next voxel.
    histogram : ndarray of int64, shape (levels,)
        Voxels of each level.
    longest : int
        Length that no run exceeds.

    Returns
    -------
    ndarray of float64, shape (levels, longest)
        Runs of the row's level; column j holds those of length j + 1.
    """
    found = np.zeros((len(histogram), longest), np.float64)
    found[:, 0] = histogram
    for v in voxels:
        level = levels[v]
        if levels[v + step] == level and levels[v - step] != level:
            place, length = v + step, 1
            while levels[place] == level:
                place += step
                length += 1
            found[level - 1, length - 1] += 1
            found[level - 1, 0] -= length
    return found


@compiled
def touches(levels: Levels, voxels: Ints, step: int) -> bool:
    """Say whether any two voxels of the region are neighbours along a direction.

    Parameters
    ----------
    levels : ndarray of uint16, shape (padded voxels,)
        Level of every voxel, 0 outside.
    voxels : ndarray of int32, shape (voxels,)
        Places of the region's voxels.
    step : int
        Offset of the neighbour.

    Returns
    -------
    bool
        Whether there is such a pair.
    """
    for v in voxels:  # noqa: SIM110 - numba knows loops better than generators
        if levels[v + step] > 0:
            return True
    return False


@compiled
def zones(levels: Levels, voxels: Ints, steps: Ints) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """List connected zones of equal level.

    Parameters
    ----------
    levels : ndarray of uint16, shape (padded voxels,)
        Level of every voxel, 0 outside.
    voxels : ndarray of int32, shape (voxels,)
        Places of the region's voxels.
    steps : ndarray of int64, shape (neighbours,)
        Offsets of all neighbours, both ways.

    Returns
    -------
    level : ndarray of int64, shape (zones,)
        Level of each zone.
    size : ndarray of int64, shape (zones,)
        Voxels of each zone.
    """
    left = levels.copy()
    stack = np.empty(len(voxels), np.int32)
    level, size = np.empty(len(voxels), np.int64), np.empty(len(voxels), np.int64)
    found = 0
    for v in voxels:
        own = left[v]
        if own == 0:
            continue
        left[v] = 0
        stack[0] = v
        top = members = 1
        while top > 0:
            top -= 1
            place = stack[top]
            for step in steps:
                near = place + step
                if left[near] == own:
                    left[near] = 0
                    stack[top] = near
                    top += 1
                    members += 1
        level[found], size[found] = own, members
        found += 1
    return level[:found].copy(), size[:found].copy()


@compiled
def neighbourhood(levels: Levels, values: Floats, voxels: Ints, steps: Ints, alpha: float) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats]:
    """Count dependent neighbours, and sum differences from the neighbours' mean.

    Parameters
    ----------
    levels : ndarray of uint16, shape (padded voxels,)
        Index of every voxel's grey level, from 1; 0 outside.
    values : ndarray of float64, shape (levels + 1,)
        The grey levels themselves; the first, for outside, is 0.
    voxels : ndarray of int32, shape (voxels,)
        Places of the region's voxels.
    steps : ndarray of int64, shape (neighbours,)
        Offsets of all neighbours, both ways.
    alpha : float
        Largest difference that counts as dependence.

    Returns
    -------
    dependence : ndarray of int64, shape (levels, neighbours + 1)
        Voxels of the row's level; column j holds those with j dependent neighbours.
    number : ndarray of int64, shape (levels,)
        Voxels of each level that have a neighbour in the region.
    difference : ndarray of float64, shape (levels,)
        Sum of their absolute differences from the mean of their neighbours.
    """
    count = len(values) - 1
    dependence = np.zeros((count + 1, len(steps) + 1), np.int64)
    number = np.zeros(count + 1, np.int64)
    difference = np.zeros(count + 1, np.float64)
    for v in voxels:
        level = levels[v]
        own = values[level]
        total, near, equal = 0.0, 0, 0
        for step in steps:
            other = levels[v + step]
            value = values[other]
            total += value
            near += other > 0
            equal += other > 0 and abs(value - own) <= alpha
        dependence[level, equal] += 1
        if near > 0:
            number[level] += 1
            difference[level] += abs(own - total / near)
    return dependence[1:].copy(), number[1:].copy(), difference[1:].copy()
