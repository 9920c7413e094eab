"""Kernels that build the texture matrices of a discretised region.

All of them work on one flat padded array: the region's bounding box with a margin of zeros, grey levels counted from 1 inside the region. A neighbour is then
an offset into the array, and what lies outside has level 0, which is counted like any other and dropped, so that no loop has a branch. Voxels are visited in
rows, runs of the region along the last axis from `starts` up to `stops`, which lets the compiler treat many of them at once. Indices are unsigned, as numba
takes negative ones to count from the end, and asks every time. Directions are given one way, by the offset back to a neighbour.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sarcofuse.radiomics.compiled import compiled

Levels = NDArray[np.unsignedinteger[Any]]  # uint8 or uint16
Places = NDArray[np.uint64]
Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

U = np.uint64
ONE = np.uint32(1)
WIDTH = 8  # of a row in the table of `joins`: a number and at most seven offsets; on a grid no more than four occur


@compiled
def cooccurrences(levels: Levels, starts: Places, stops: Places, steps: Places, count: int) -> NDArray[np.uint32]:
    """Count pairs of grey levels one step apart, along several directions.

    Parameters
    ----------
    levels : ndarray of uint8 or uint16, shape (padded voxels,)
        Level of every voxel, 0 outside.
    starts, stops : ndarray of uint64, shape (rows,)
        The region's rows.
    steps : ndarray of uint64, shape (directions,)
        Offsets back to the neighbour.
    count : int
        Number of levels.

    Returns
    -------
    ndarray of uint32, shape (directions, count + 1, count + 1)
        Voxels of the row's level whose neighbour back has the column's level; row 0 is empty, and column 0 counts neighbours outside.
    """
    width, many = U(count + 1), len(steps)
    found = np.zeros((many, (count + 1) * (count + 1)), np.uint32)
    fours = many - many % 4
    for d in range(0, fours, 4):  # four at a time, so that increments of one cell seldom wait for each other
        a, b, c, e = steps[d], steps[d + 1], steps[d + 2], steps[d + 3]
        into_a, into_b, into_c, into_e = found[d], found[d + 1], found[d + 2], found[d + 3]
        for s in range(len(starts)):
            for v in range(starts[s], stops[s]):
                row = U(levels[v]) * width
                into_a[row + U(levels[v - a])] += ONE
                into_b[row + U(levels[v - b])] += ONE
                into_c[row + U(levels[v - c])] += ONE
                into_e[row + U(levels[v - e])] += ONE
    for d in range(fours, many):
        a, into_a = steps[d], found[d]
        for s in range(len(starts)):
            for v in range(starts[s], stops[s]):
                into_a[U(levels[v]) * width + U(levels[v - a])] += ONE
    return found.reshape((many, count + 1, count + 1))


@compiled
def run_lengths(levels: Levels, starts: Places, stops: Places, steps: Places, count: int, longest: int) -> Floats:
    """Count runs of equal level, along several directions.

    Every voxel is given the length of its run so far. As a run of length n has one voxel of each length up to n, voxels of length k less those of length k + 1
    are the runs that end at k.

    Parameters
    ----------
    levels : ndarray of uint8 or uint16, shape (padded voxels,)
        Level of every voxel, 0 outside; the type holds `longest`, too.
    starts, stops : ndarray of uint64, shape (rows,)
        The region's rows.
    steps : ndarray of uint64, shape (directions,)
        Offsets back to the voxel before.
    count : int
        Number of levels.
    longest : int
        Length that no run exceeds.

    Returns
    -------
    ndarray of float64, shape (directions, count, longest)
        Runs of the row's level; column j holds those of length j + 1.
    """
    width, many = U(longest + 2), len(steps)
    reached = np.zeros((many, (count + 1) * (longest + 2)), np.uint32)
    length = np.zeros((4, len(levels)), levels.dtype)
    in_a, in_b, in_c, in_e = length[0], length[1], length[2], length[3]
    fours = many - many % 4
    for d in range(0, fours, 4):
        a, b, c, e = steps[d], steps[d + 1], steps[d + 2], steps[d + 3]
        into_a, into_b, into_c, into_e = reached[d], reached[d + 1], reached[d + 2], reached[d + 3]
        for s in range(len(starts)):
            _lengthen(levels, in_a, starts[s], stops[s], a)
            _lengthen(levels, in_b, starts[s], stops[s], b)
            _lengthen(levels, in_c, starts[s], stops[s], c)
            _lengthen(levels, in_e, starts[s], stops[s], e)
            for v in range(starts[s], stops[s]):
                row = U(levels[v]) * width
                into_a[row + U(in_a[v])] += ONE
                into_b[row + U(in_b[v])] += ONE
                into_c[row + U(in_c[v])] += ONE
                into_e[row + U(in_e[v])] += ONE
    for d in range(fours, many):
        a, into_a = steps[d], reached[d]
        for s in range(len(starts)):
            _lengthen(levels, in_a, starts[s], stops[s], a)
            for v in range(starts[s], stops[s]):
                into_a[U(levels[v]) * width + U(in_a[v])] += ONE
    found = np.empty((many, count, longest), np.float64)
    for d in range(many):
        for i in range(count):
            for j in range(longest):
                place = (i + 1) * (longest + 2) + j + 1
                found[d, i, j] = np.float64(reached[d, place]) - np.float64(reached[d, place + 1])
    return found


@compiled
def _lengthen(levels: Levels, length: Levels, start: np.uint64, stop: np.uint64, step: np.uint64) -> None:
    for v in range(start, stop):
        equal = levels[v] == levels[v - step]
        length[v] = length[v - step] * equal + 1


@compiled
def touches(levels: Levels, starts: Places, stops: Places, step: np.uint64) -> bool:
    """Say whether any two voxels of the region are neighbours along a direction.

    Parameters
    ----------
    levels : ndarray of uint8 or uint16, shape (padded voxels,)
        Level of every voxel, 0 outside.
    starts, stops : ndarray of uint64, shape (rows,)
        The region's rows.
    step : uint64
        Offset back to the neighbour.

    Returns
    -------
    bool
        Whether there is such a pair.
    """
    for s in range(len(starts)):
        for v in range(starts[s], stops[s]):
            if levels[v - step] > 0:
                return True
    return False


@compiled
def joins(adjacent: Counts, steps: Places) -> NDArray[np.uint32]:
    """Tell, for every set of neighbours before a voxel, which of them to join: one of each group that is connected within itself.

    Parameters
    ----------
    adjacent : ndarray of int64, shape (neighbours,)
        For each neighbour, those that are its own neighbours, as bits.
    steps : ndarray of uint64, shape (neighbours,)
        Offsets back to them.

    Returns
    -------
    ndarray of uint32, shape (2 ** neighbours * 8,)
        For each set, as bits: how many to join, and their offsets.
    """
    many = len(steps)
    table = np.zeros((1 << many) * WIDTH, np.uint32)
    for chosen in range(1 << many):
        left, number = chosen, 0
        for i in range(many - 1, -1, -1):
            if left >> i & 1:
                group, before = 1 << i, 0
                while group != before:
                    before = group
                    for j in range(many):
                        if group >> j & 1:
                            group |= adjacent[j] & chosen
                number += 1
                table[chosen * WIDTH + number] = steps[i]
                left &= ~group
        table[chosen * WIDTH] = number
    return table


@compiled
def zones(levels: Levels, starts: Places, stops: Places, steps: Places, table: NDArray[np.uint32]) -> tuple[Counts, Counts]:
    """List connected zones of equal level.

    Parameters
    ----------
    levels : ndarray of uint8 or uint16, shape (padded voxels,)
        Level of every voxel, 0 outside.
    starts, stops : ndarray of uint64, shape (rows,)
        The region's rows.
    steps : ndarray of uint64, shape (neighbours,)
        Offsets back to the neighbours that come before a voxel.
    table : ndarray of uint32
        From `joins`.

    Returns
    -------
    level : ndarray of int64, shape (zones,)
        Level of each zone.
    size : ndarray of int64, shape (zones,)
        Voxels of each zone.
    """
    parent, size, first = np.empty(len(levels), np.uint32), np.empty(len(levels), np.uint32), np.empty(len(levels), np.uint32)
    equal = np.zeros(len(levels), np.uint16)
    number = 0
    for s in range(len(starts)):
        for d in range(len(steps)):
            bit, step = np.uint16(1 << d), steps[d]
            for v in range(starts[s], stops[s]):
                equal[v] |= np.uint16(levels[v] == levels[v - step]) * bit
        for v in range(starts[s], stops[s]):
            row = U(equal[v]) * U(WIDTH)
            many = U(table[row])
            if many == U(0):
                parent[v], size[v], first[number] = v, ONE, v
                number += 1
                continue
            root = _root(parent, v - U(table[row + U(1)]))
            for j in range(U(2), many + U(1)):
                other = _root(parent, v - U(table[row + j]))
                if other != root:
                    root, lost = min(root, other), max(root, other)
                    size[root] += size[lost]
                    parent[lost] = root
            parent[v] = root
            size[root] += ONE
            if many > U(1):
                for j in range(U(1), many + U(1)):
                    parent[v - U(table[row + j])] = root
    level, members, kept = np.empty(number, np.int64), np.empty(number, np.int64), 0
    for k in range(number):
        if parent[first[k]] == first[k]:
            level[kept], members[kept] = levels[first[k]], size[first[k]]
            kept += 1
    return level[:kept].copy(), members[:kept].copy()


@compiled
def _root(parent: NDArray[np.uint32], place: np.uint64) -> np.uint64:
    while U(parent[place]) != place:
        place = U(parent[place])
    return place


@compiled
def neighbours(inside: NDArray[np.uint8], starts: Places, stops: Places, steps: Places) -> NDArray[np.uint16]:
    """Count the neighbours of each voxel that lie in the region.

    Parameters
    ----------
    inside : ndarray of uint8, shape (padded voxels,)
        1 in the region, 0 outside.
    starts, stops : ndarray of uint64, shape (rows,)
        The region's rows.
    steps : ndarray of uint64, shape (directions,)
        Offsets of the neighbours, one way.

    Returns
    -------
    ndarray of uint16, shape (padded voxels,)
        Their number; 0 outside.
    """
    near = np.zeros(len(inside), np.uint16)
    for s in range(len(starts)):
        for d in range(len(steps)):
            step = steps[d]
            for v in range(starts[s], stops[s]):
                near[v] += np.uint16(inside[v - step]) + np.uint16(inside[v + step])
    return near


@compiled
def neighbourhood(levels: Levels, near: NDArray[np.uint16], starts: Places, stops: Places, steps: Places, highest: int, alpha: int) -> tuple[Counts, Floats]:
    """Count dependent neighbours, and sum differences from the neighbours' mean.

    Differences are summed as whole numbers for each number of neighbours, so that the sum does not depend on the order.

    Parameters
    ----------
    levels : ndarray of uint8 or uint16, shape (padded voxels,)
        Grey level of every voxel, 0 outside.
    near : ndarray of uint16, shape (padded voxels,)
        From `neighbours`.
    starts, stops : ndarray of uint64, shape (rows,)
        The region's rows.
    steps : ndarray of uint64, shape (directions,)
        Offsets of the neighbours, one way.
    highest : int
        The highest grey level.
    alpha : int
        Largest difference that counts as dependence.

    Returns
    -------
    dependence : ndarray of int64, shape (highest + 1, neighbours + 1)
        Voxels of the row's level; column j holds those with j dependent neighbours.
    difference : ndarray of float64, shape (highest + 1,)
        Sum of their absolute differences from the mean of their neighbours.
    """
    width, longest = 2 * len(steps) + 1, U(0)
    for s in range(len(starts)):
        longest = max(longest, stops[s] - starts[s])
    dependence, excess = np.zeros((highest + 1) * width, np.int64), np.zeros((highest + 1) * width, np.int64)
    total, alike = np.empty(longest, np.uint32), np.empty(longest, np.uint16)
    for s in range(len(starts)):
        first, many = starts[s], stops[s] - starts[s]
        _look_around(levels, first, steps, alpha, total[:many], alike[:many])
        for i in range(many):
            own = U(levels[first + i])
            dependence[own * U(width) + U(alike[i])] += 1
            excess[own * U(width) + U(near[first + i])] += abs(np.int64(own) * np.int64(near[first + i]) - np.int64(total[i]))
    difference = np.zeros(highest + 1, np.float64)
    for k in range(highest + 1):
        for j in range(1, width):
            difference[k] += excess[k * width + j] / j
    return dependence.reshape((highest + 1, width)), difference


@compiled
def _look_around(levels: Levels, first: np.uint64, steps: Places, alpha: int, total: NDArray[np.uint32], alike: NDArray[np.uint16]) -> None:
    """Sum the levels of the neighbours of each voxel of a row, and count those that are dependent."""
    for i in range(U(len(total))):
        total[i], alike[i] = np.uint32(0), np.uint16(0)
    for d in range(len(steps)):
        before, after = first - steps[d], first + steps[d]
        if alpha == 0:
            for i in range(U(len(total))):
                own, p, q = levels[first + i], levels[before + i], levels[after + i]
                total[i] += np.uint32(p) + np.uint32(q)
                alike[i] += np.uint16(p == own) + np.uint16(q == own)
        else:
            for i in range(U(len(total))):
                center, left, right = np.int32(levels[first + i]), np.int32(levels[before + i]), np.int32(levels[after + i])
                total[i] += np.uint32(left + right)
                alike[i] += np.uint16((left > 0) & (abs(left - center) <= alpha)) + np.uint16((right > 0) & (abs(right - center) <= alpha))
