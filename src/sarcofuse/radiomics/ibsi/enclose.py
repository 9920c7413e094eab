"""The smallest box and the smallest ellipsoid around a set of points, and surfaces of ellipsoids.

References
----------
.. [1] O'Rourke J. Finding minimal enclosing boxes. Int J Comput Inf Sci 1985;14:183-199.
.. [2] Chan CK, Tan ST. Determination of the minimum bounding box of an arbitrary solid: an iterative approach. Comput Struct 2001;79:1433-1449.
.. [3] Khachiyan LG. Rounding of polytopes in the real number model of computation. Math Oper Res 1996;21:307-320.
.. [4] Todd MJ, Yildirim EA. On Khachiyan's algorithm for the computation of minimum-volume enclosing ellipsoids. Discrete Appl Math 2007;155:1731-1744.
.. [5] Zwanenburg A, Leger S, Vallieres M, Loeck S. Image biomarker standardisation initiative: reference manual. arXiv:1612.07003, section 3.1.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from sarcofuse.radiomics.compiled import compiled

Points = NDArray[np.float64]
ORDER = 20
ROUNDING = 1e-12  # mm2
STARTS, TURNS = 50, 100  # boxes on faces that are turned further, and how often at most


def smallest_box(points: Points, normals: Points) -> NDArray[np.float64]:
    """Search for the box of least volume, in any orientation, around the vertices of a convex body.

    The best boxes with a side on a face of the body [1]_ are turned about their own axes, one after the other, for as long as that makes them smaller [2]_.

    Parameters
    ----------
    points : ndarray of float64, shape (points, 3)
        The vertices.
    normals : ndarray of float64, shape (faces, 3)
        Unit normals of the faces.

    Returns
    -------
    ndarray of float64, shape (3,)
        Lengths of its sides.
    """
    starts = [_flush(points, _frame(normal)) for normal in np.concatenate([np.eye(3), normals])]
    ends = [_settle(points, *start) for start in sorted(starts, key=lambda start: start[0])[:STARTS]]
    frame = min(ends, key=lambda end: end[0])[1]
    return np.asarray(np.ptp(points @ frame.T, axis=0))


def _settle(points: Points, best: float, frame: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
    """Turn a box about each of its axes until that gains nothing worth a turn."""
    for _ in range(TURNS):
        found, turned = min((_flush(points, np.ascontiguousarray(np.roll(frame, k, axis=0))) for k in range(3)), key=lambda t: t[0])
        if found >= best * (1.0 - 1e-6):
            break
        best, frame = found, turned
    return best, frame


def _frame(normal: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give three orthonormal rows, the first of them the normal."""
    other = np.eye(3)[int(np.argmin(np.abs(normal)))]
    second = np.cross(normal, other)
    second /= np.linalg.norm(second)
    return np.ascontiguousarray([normal, second, np.cross(normal, second)])


@compiled
def _flush(points: Points, frame: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
    """Turn a frame about its first axis to where the box is smallest; a side of the smallest rectangle lies on an edge of the hull of the points' shadow."""
    number = len(points)
    u, v = np.empty(number), np.empty(number)
    low, high = np.inf, -np.inf
    for i in range(number):
        height = points[i, 0] * frame[0, 0] + points[i, 1] * frame[0, 1] + points[i, 2] * frame[0, 2]
        u[i] = points[i, 0] * frame[1, 0] + points[i, 1] * frame[1, 1] + points[i, 2] * frame[1, 2]
        v[i] = points[i, 0] * frame[2, 0] + points[i, 1] * frame[2, 1] + points[i, 2] * frame[2, 2]
        low, high = min(low, height), max(high, height)
    hull = _shadow(u, v)
    best, cosine, sine = np.inf, 1.0, 0.0
    for k in range(len(hull)):
        a, b = hull[k], hull[(k + 1) % len(hull)]
        length = math.hypot(u[b] - u[a], v[b] - v[a])
        if length < 1e-9:
            continue
        c, s = (u[b] - u[a]) / length, (v[b] - v[a]) / length
        first, last, under, over = np.inf, -np.inf, np.inf, -np.inf
        for h in hull:
            p, q = u[h] * c + v[h] * s, v[h] * c - u[h] * s
            first, last, under, over = min(first, p), max(last, p), min(under, q), max(over, q)
        area = (last - first) * (over - under)
        if area < best:
            best, cosine, sine = area, c, s
    turned = frame.copy()
    for k in range(3):
        turned[1, k] = cosine * frame[1, k] + sine * frame[2, k]
        turned[2, k] = cosine * frame[2, k] - sine * frame[1, k]
    return best * (high - low), turned


@compiled
def _shadow(u: NDArray[np.float64], v: NDArray[np.float64]) -> NDArray[np.int64]:
    """Give the convex hull of points in the plane, in order, by Jarvis' march: from each corner to the point that has all others on its left."""
    start = 0
    for i in range(len(u)):
        if u[i] < u[start] or (u[i] == u[start] and v[i] < v[start]):
            start = i
    hull = np.empty(len(u), np.int64)
    size, at = 0, start
    while size < len(u):
        hull[size] = at
        size += 1
        best, far = -1, 0.0
        for i in range(len(u)):
            x, y = u[i] - u[at], v[i] - v[at]
            length = x * x + y * y
            if length < ROUNDING:
                continue
            side = x * (v[best] - v[at]) - y * (u[best] - u[at]) if best >= 0 else 1.0
            if side > ROUNDING or (side >= -ROUNDING and length > far):
                best, far = i, length
        if best < 0 or (u[best] - u[start]) ** 2 + (v[best] - v[start]) ** 2 < ROUNDING:
            break
        at = best
    return hull[:size].copy()


def smallest_ellipsoid(points: Points, tolerance: float = 1e-6) -> NDArray[np.float64]:
    """Compute the ellipsoid of least volume around points, by Khachiyan's algorithm [3]_ with steps away from points that do not matter [4]_.

    Parameters
    ----------
    points : ndarray of float64, shape (points, 3)
        Points that do not lie in a plane.
    tolerance : float
        How far out, relative to the squared radius, a point may be left before the ellipsoid is widened to hold it.

    Returns
    -------
    ndarray of float64, shape (3,)
        Semi-axes, ascending.
    """
    number = len(points)
    centred = points - points.mean(axis=0)
    scale = float(np.abs(centred).max())
    lifted = np.column_stack([centred / scale, np.ones(number)])
    share = np.full(number, 1.0 / number)
    for _ in range(100_000):
        moment = lifted.T @ (lifted * share[:, None])
        reach = np.einsum("ij,ij->i", lifted @ np.linalg.inv(moment), lifted)
        far, near = int(np.argmax(reach)), int(np.argmin(np.where(share > 1e-12, reach, np.inf)))
        if max(reach[far] / 4.0 - 1.0, 1.0 - reach[near] / 4.0) <= tolerance:
            break
        chosen = far if reach[far] - 4.0 >= 4.0 - reach[near] else near
        step = (reach[chosen] - 4.0) / (4.0 * (reach[chosen] - 1.0)) if reach[chosen] > 1.0 else -math.inf
        if chosen == near:
            step = max(step, -share[near] / (1.0 - share[near]))  # which takes the point out
        share *= 1.0 - step
        share[chosen] += step
    flat = lifted[:, :3]
    centre = share @ flat
    covariance = (flat * share[:, None]).T @ flat - np.outer(centre, centre)
    out = np.einsum("ij,ij->i", (flat - centre) @ np.linalg.inv(covariance), flat - centre).max()
    return np.asarray(scale * np.sqrt(out * np.linalg.eigvalsh(covariance)))


def ellipsoid_area(a: float, b: float, c: float) -> float:
    """Compute the surface of an ellipsoid by the standard's series of Legendre polynomials, to order 20 [5]_.

    The standard takes both eccentricities with respect to the longest axis, so that what it calls the surface is a few per cent below the true one. That is kept.

    Parameters
    ----------
    a : float
        Longest semi-axis.
    b : float
        Middle semi-axis.
    c : float
        Shortest semi-axis; may be 0.

    Returns
    -------
    float
        Area.

    Examples
    --------
    >>> round(ellipsoid_area(1.0, 1.0, 1.0) / math.pi, 9), round(ellipsoid_area(5.7, 4.65, 4.27), 1)
    (4.0, 286.1)
    """
    if a == 0.0:
        return 0.0
    alpha, beta = 1.0 - (b / a) ** 2, 1.0 - (c / a) ** 2  # squared
    before, term, total = 0.0, 1.0, 0.0  # terms are (alpha beta)^n P_n((alpha^2 + beta^2) / (2 alpha beta)), by recurrence, which also holds where alpha is 0
    for n in range(ORDER + 1):
        total += term / (1.0 - 4.0 * n**2)
        before, term = term, ((2 * n + 1) * (alpha + beta) / 2.0 * term - n * alpha * beta * before) / (n + 1)
    return 4.0 * math.pi * a * b * total
