"""Largest distances between the vertices of a region's mesh.

A vertex lies halfway between a voxel inside and its neighbour outside. Coordinates are in half voxels here, so that they are whole. The two farthest points of a
set are corners of its convex hull, and so of the hull of what lies in any plane through them, and ends of any line: vertices that are not are left out, first along
lines, then in planes, before distances are taken.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from sarcofuse.radiomics.compiled import compiled, reassociated

Places = NDArray[np.int64]
Mask = NDArray[np.uint8]
Floats = NDArray[np.float64]

NONE = -1


def diameters(inside: NDArray[np.bool_], spacing: Floats) -> tuple[float, float, float, float]:
    """Give the largest distance of mesh vertices of equal z, of equal y, of equal x, and of any.

    Parameters
    ----------
    inside : ndarray of bool, shape (z, y, x)
        The region, with a margin of one voxel at least.
    spacing : ndarray of float64, shape (3,)
        Voxel size along z, y, x in mm.

    Returns
    -------
    tuple of float
        Four lengths in mm.
    """
    half = spacing / 2.0
    low, high = _line_ends(np.ascontiguousarray(inside).view(np.uint8))
    slices, corners_low, corners_high = _planes(low, high, half[1], half[2])
    columns = _planes(np.ascontiguousarray(low.T), np.ascontiguousarray(high.T), half[0], half[2])[0]
    side_low, side_high = _line_ends(np.ascontiguousarray(inside.transpose(2, 0, 1)).view(np.uint8))
    rows = _planes(side_low, side_high, half[0], half[1])[0]
    lowest, highest = (np.where(a >= 0, a, b).T for a, b in ((corners_low, corners_high), (corners_high, corners_low)))
    _, kept_low, kept_high = _planes(np.ascontiguousarray(lowest), np.ascontiguousarray(highest), half[0], half[2])
    ends = [np.column_stack([*np.nonzero(k >= 0)[::-1], k[k >= 0]]) for k in (kept_low, kept_high)]
    z, y, x = (np.concatenate(ends) * half).T
    farthest = _widest(np.ascontiguousarray(z), np.ascontiguousarray(y), np.ascontiguousarray(x))
    return math.sqrt(slices), math.sqrt(columns), math.sqrt(rows), math.sqrt(farthest)


def diameter_in_plane(inside: NDArray[np.bool_], spacing: Floats) -> float:
    """Give the largest distance of the vertices of an outline.

    Parameters
    ----------
    inside : ndarray of bool, shape (rows, columns)
        The region, with a margin of one pixel at least.
    spacing : ndarray of float64, shape (2,)
        Pixel size along rows and columns in mm.

    Returns
    -------
    float
        Length in mm.
    """
    low, high = _line_ends(np.ascontiguousarray(inside)[None].view(np.uint8))
    return math.sqrt(_planes(low, high, spacing[0] / 2.0, spacing[1] / 2.0)[0])


@compiled
def _line_ends(inside: Mask) -> tuple[Places, Places]:
    """Give the first and last vertex of every line along x, by twice its z and y; -1 where there is none."""
    depth, height, width = inside.shape
    low, high = np.empty((2 * depth, 2 * height), np.int64), np.empty((2 * depth, 2 * height), np.int64)
    for z in range(2 * depth):
        for y in range(2 * height):
            low[z, y] = high[z, y] = NONE
    for z in range(depth):
        for y in range(height):
            own = inside[z, y]
            for x in range(width):
                if own[x]:
                    low[2 * z, 2 * y] = 2 * x - 1
                    break
            for x in range(width - 1, -1, -1):
                if own[x]:
                    high[2 * z, 2 * y] = 2 * x + 1
                    break
            if y + 1 < height:
                low[2 * z, 2 * y + 1], high[2 * z, 2 * y + 1] = _differ(own, inside[z, y + 1])
            if z + 1 < depth:
                low[2 * z + 1, 2 * y], high[2 * z + 1, 2 * y] = _differ(own, inside[z + 1, y])
    return low, high


@compiled
def _differ(one: Mask, other: Mask) -> tuple[int, int]:
    """Give twice the first and last place where two rows differ; -1 where they do not."""
    last = len(one) - 1
    first = 0
    while first <= last and one[first] == other[first]:
        first += 1
    if first > last:
        return NONE, NONE
    while one[last] == other[last]:
        last -= 1
    return 2 * first, 2 * last


@compiled
def _planes(low: Places, high: Places, height: float, width: float) -> tuple[float, Places, Places]:
    """Give the largest squared distance within a plane (a row of `low` and `high`), and the line ends that are corners of their plane's hull, -1 for others."""
    many = low.shape[1]
    corners_low, corners_high = np.empty(low.shape, np.int64), np.empty(low.shape, np.int64)
    for p in range(low.shape[0]):
        for line in range(many):
            corners_low[p, line] = corners_high[p, line] = NONE
    chain = np.empty(many, np.int64)
    across, along = np.empty(2 * many), np.empty(2 * many)
    best = 0.0
    for p in range(low.shape[0]):
        number = 0
        for side in range(2):
            ends, corners, sign = (low[p], corners_low[p], 1) if side == 0 else (high[p], corners_high[p], -1)
            top = _chain(ends, sign, chain)
            for k in range(top):
                line = chain[k]
                corners[line] = ends[line]
                across[number], along[number] = line * height, ends[line] * width
                number += 1
        best = max(best, _widest_pair(across[:number], along[:number]))
    return best, corners_low, corners_high


@compiled
def _chain(ends: Places, sign: int, chain: Places) -> int:
    """Find the lines whose ends are corners of the hull on one side, and give their number."""
    top = 0
    for line in range(len(ends)):
        if ends[line] != NONE:
            while top > 1:
                a, b = chain[top - 2], chain[top - 1]
                if sign * ((b - a) * (ends[line] - ends[a]) - (line - a) * (ends[b] - ends[a])) > 0:
                    break
                top -= 1
            chain[top] = line
            top += 1
    return top


@reassociated
def _widest_pair(across: Floats, along: Floats) -> float:
    best = 0.0
    for i in range(len(across)):
        for j in range(i):
            best = max(best, (across[i] - across[j]) ** 2 + (along[i] - along[j]) ** 2)
    return best


@reassociated
def _widest(z: Floats, y: Floats, x: Floats) -> float:
    best = 0.0
    for i in range(len(z)):
        for j in range(i):
            best = max(best, (z[i] - z[j]) ** 2 + (y[i] - y[j]) ** 2 + (x[i] - x[j]) ** 2)
    return best
