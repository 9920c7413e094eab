"""Marching cubes on a binary mask: the triangle table, and what each of its cases adds to area and volume.

The table is the classic one of Lorensen and Cline [1]_ as published by Cory Gene Bloyd and Paul Bourke [2]_ (public domain), the half in which corner 7 lies
outside; the other half is its mirror with the triangles turned round, which is PyRadiomics' convention [3]_. Corners are numbered 0 to 7 and edges 0 to 11
(``a`` and ``b`` are 10 and 11) as there; a triangle is three edges, and its vertices lie halfway on them.

References
----------
.. [1] Lorensen WE, Cline HE. Marching cubes: a high resolution 3D surface construction algorithm. SIGGRAPH Comput Graph 1987;21:163-169.
.. [2] Bourke P. Polygonising a scalar field. 1994. http://paulbourke.net/geometry/polygonise/
.. [3] van Griethuysen JJM et al. Computational radiomics system to decode the radiographic phenotype. Cancer Res 2017;77:e104-e107.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

CORNERS = ((0, 0, 0), (0, 0, 1), (0, 1, 1), (0, 1, 0), (1, 0, 0), (1, 0, 1), (1, 1, 1), (1, 1, 0))
EDGES = ((0, 1), (1, 2), (2, 3), (3, 0), (4, 5), (5, 6), (6, 7), (7, 4), (0, 4), (1, 5), (2, 6), (3, 7))

TRIANGLES = """
- 083 019 183981 12a 08312a 92a029 2832a8a98
3b2 0b28b0 19023b 1b219b98b 3a1ba3 0a108a8ba 3903b9ba9 98aa8b
478 430734 019847 419471731 12a847 34730412a 92a902847 2a9297273794
8473b2 b47b24204 90184723b 47b94b9b2921 3a13ba784 1ba14b1047b4 47890b9bab03 47b4b99ba
954 954083 054150 854835315 12a954 30812a495 52a542402 2a5325354348
95423b 0b208b495 05401523b 21525828b485 a3ba13954 4950818a18ba 54050b5bab03 54858aa8b
978579 930953573 078017157 153357 978957a12 a12950530573 802825857a52 2a5253357
7957893b2 95797292027b 23b018178157 b21b17715 958857a13a3b 5705097b010aba0 ba0b03a50807570 ba57b5
a65 0835a6 9015a6 1831985a6 165261 165126308 965906026 598582526328
23ba65 b08b20a65 01923b5a6 5a61929b298b 63b653513 08b0b50515b6 3b6036065059 65969bb98
5a6478 43047365a 1905a6847 a65197173794 612651478 125526304347 847905065026 739794329596269
3b2784a65 5a647242027b 01947823b5a6 9219b294b7b45a6 8473b53515b6 51b5b610b7b404b 059065036b63847 65969b4797b9
a4964a 4a649a083 a01a60640 83181686461a 149124264 308129249264 024426 832824426
a49a64b23 08228b49a4a6 3b201606461a 64161a48121b8b1 964936913b63 8b1810b61914641 3b6360064 648b68
7a678a89a 0730a709a67a a671a7178180 a67a71173 126168189867 269291679093739 780706602 732672
23ba68a89867 20727b09767a9a7 1801781a767a23b b21b17a61671 896867916b63136 091b67 7807063b0b60 7b6
"""


@cache
def cases() -> tuple[NDArray[np.int64], ...]:
    """Give the triangles of every case, a case being the corners inside as bits.

    Returns
    -------
    tuple of ndarray of int64, each of shape (triangles, 3, 3)
        128 cases; vertices as (z, y, x) in half voxels from corner 0.
    """
    middles = np.array([[a + b for a, b in zip(CORNERS[i], CORNERS[j], strict=True)] for i, j in EDGES])
    return tuple(middles[[int(c, 16) for c in row.replace("-", "")]].reshape(-1, 3, 3).astype(np.int64) for row in TRIANGLES.split())


def area_and_volume(counts: NDArray[np.int64], places: NDArray[np.int64], spacing: NDArray[np.float64]) -> tuple[float, float]:
    """Sum area and volume of the mesh from how often each case occurs, and where.

    The signed tetrahedra of a cube's triangles with the grid's origin have volume ``det(a + t, b + t, c + t) / 6`` for a cube at ``t``; as the determinant is
    ``det(a, b, c) + t . (a x b + b x c + c x a)``, sums of ``t`` by case suffice.

    Parameters
    ----------
    counts : ndarray of int64, shape (256,)
        Cubes of each case.
    places : ndarray of int64, shape (256, 3)
        Sum of the (z, y, x) indices of the cubes of each case.
    spacing : ndarray of float64, shape (3,)
        Voxel size along z, y, x in mm.

    Returns
    -------
    area : float
        In mm2.
    volume : float
        In mm3.
    """
    case, halves = _triangles()
    a, b, c = (halves * (spacing / 2.0)).transpose(1, 0, 2)
    both, excess = counts[:128] + counts[:127:-1], counts[:128] - counts[:127:-1]
    shift = (places[:128] - places[:127:-1]) * spacing
    turned = np.cross(a, b) + np.cross(b, c) + np.cross(c, a)
    area = float((both[case] * np.linalg.norm(np.cross(a - c, b - c), axis=1)).sum()) / 2.0
    volume = float((excess[case] * (np.cross(a, b) * c).sum(axis=1)).sum() + (shift[case] * turned).sum()) / 6.0
    return area, volume


@cache
def _triangles() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Give the triangles of all cases in one array, and the case of each."""
    return np.repeat(np.arange(128), [len(t) for t in cases()]), np.concatenate(cases())
