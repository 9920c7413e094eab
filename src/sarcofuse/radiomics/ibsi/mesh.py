"""A closed surface mesh of a mask by marching cubes.

The half of the classic table in which corner 7 lies outside decides all its ambiguous faces alike [1]_. The other half is taken from it by turning the cube, and not by swapping
inside and outside, as that would decide them the other way and tear holes into the mesh, through which its volume would depend on where the mask lies.

References
----------
.. [1] Bourke P. Polygonising a scalar field. 1994. http://paulbourke.net/geometry/polygonise/
"""

from __future__ import annotations

from functools import cache
from itertools import permutations, product

import numpy as np
from numpy.typing import NDArray

from sarcofuse.radiomics.cubes import CORNERS, cases

Triangles = NDArray[np.int64]


@cache
def table() -> tuple[Triangles, ...]:
    """Give the triangles of every case, a case being the corners inside as bits.

    Returns
    -------
    tuple of ndarray of int64, each of shape (triangles, 3, 3)
        256 cases; vertices as (z, y, x) in half voxels from corner 0, in an order that shows which side is inside.
    """
    half, corners = cases(), [tuple(c) for c in CORNERS]
    found: list[Triangles] = []
    for case in range(255):
        for turn in _turns():
            moved = [corners.index(tuple((turn @ (2 * np.array(c) - 1) + 1) // 2)) for c in corners]
            other = sum(1 << moved[k] for k in range(8) if case >> k & 1)
            if other < 128:
                found.append((half[other] - 1) @ turn + 1)  # turned back: a rotation's inverse is its transpose
                break
    return (*found, np.zeros((0, 3, 3), np.int64))


def _turns() -> list[NDArray[np.int64]]:
    """Give the 24 rotations of the cube, the first of them none at all."""
    found = [np.eye(3, dtype=np.int64)[list(order)] * np.array(signs)[:, None] for order in permutations(range(3)) for signs in product((1, -1), repeat=3)]
    return [turn for turn in found if round(np.linalg.det(turn)) == 1]


def measure_mesh(outline: NDArray[np.bool_], size: NDArray[np.float64]) -> tuple[float, float]:
    """Measure the surface mesh of a mask.

    The signed tetrahedra of a cube's triangles with the grid's origin have volume ``det(a + t, b + t, c + t) / 6`` for a cube at ``t``; as the determinant is
    ``det(a, b, c) + t . (a x b + b x c + c x a)``, sums of ``t`` by case suffice.

    Parameters
    ----------
    outline : ndarray of bool, shape (z, y, x)
        The mask.
    size : ndarray of float64, shape (3,)
        Voxel size along z, y, x in mm.

    Returns
    -------
    area : float
        In mm2.
    volume : float
        In mm3.
    """
    kinds, at = cubes(outline)
    number = np.bincount(kinds, minlength=256)
    places = np.stack([np.bincount(kinds, a, 256) for a in at], axis=1) * size
    case = np.repeat(np.arange(256), [len(t) for t in table()])
    a, b, c = (np.concatenate(table()) * (size / 2.0)).transpose(1, 0, 2)
    turned = np.cross(a, b) + np.cross(b, c) + np.cross(c, a)
    area = float(number[case] @ np.linalg.norm(np.cross(a - c, b - c), axis=1)) / 2.0
    volume = float(number[case] @ (np.cross(a, b) * c).sum(axis=1) + (places[case] * turned).sum()) / 6.0
    return area, abs(volume)


def cubes(outline: NDArray[np.bool_]) -> tuple[NDArray[np.uint8], tuple[NDArray[np.int64], ...]]:
    """List the cubes of 2 by 2 by 2 voxels that the surface runs through.

    Parameters
    ----------
    outline : ndarray of bool, shape (z, y, x)
        The mask.

    Returns
    -------
    case : ndarray of uint8, shape (cubes,)
        Their corners inside as bits.
    places : tuple of ndarray of int64, each of shape (cubes,)
        Where they are, along z, y, x.
    """
    padded = np.pad(outline, 1).astype(np.uint8)
    case = np.zeros([n - 1 for n in padded.shape], np.uint8)
    for bit, corner in enumerate(CORNERS):
        case |= padded[tuple(slice(c, n - 1 + c) for c, n in zip(corner, padded.shape, strict=True))] << bit
    at = np.nonzero((case > 0) & (case < 255))
    return case[at], at
