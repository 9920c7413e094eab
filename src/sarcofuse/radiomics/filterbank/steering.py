"""Riesz transforms along the axes that an image itself has around each voxel.

A Riesz transform of total order L is a component of a symmetric tensor of rank L, so that those along other axes are combinations of those along x, y and z [1]_. The axes are the
eigenvectors of the structure tensor: products of first-order Riesz transforms, smoothed by a Gaussian.

References
----------
.. [1] Chenouard N, Unser M. 3D steerable wavelets in practice. IEEE Trans Image Process 2012;21:4522-4533.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations_with_replacement, product
from math import factorial, prod

import numpy as np

from sarcofuse.radiomics.filterbank.separable import Floats

Order = tuple[int, ...]


def steered(component: Callable[[Order], Floats], order: Order, sigma: list[float], inner: tuple[slice, ...]) -> Floats:
    """Give the Riesz transform of an order along the structure tensor's axes.

    Axes come in order of falling eigenvalue. The first ones (all but the last) point to where the first-order response is positive; the last one makes the system right-handed.

    Parameters
    ----------
    component : callable
        Gives the continued response of an order along x, y(, z).
    order : tuple of int
        The order along the structure tensor's axes.
    sigma : list of float
        Width of the smoothing along (z,) y, x in voxels.
    inner : tuple of slice
        Which part of the continued response is wanted.

    Returns
    -------
    ndarray of float64
        The response, in the wanted part.
    """
    n, total = len(order), sum(order)
    gradient = [component(tuple(int(i == axis) for i in range(n))) for axis in range(n)]
    tensor = _structure(gradient, sigma, inner)
    first = [np.ascontiguousarray(one[inner]) for one in gradient]
    del gradient
    orders = [one for one in product(range(total + 1), repeat=n) if sum(one) == total]
    parts = {one: np.ascontiguousarray(component(one)[inner]) for one in orders}
    found = np.empty(first[0].shape)
    for row in range(len(found)):  # a row at a time: axes of all voxels would take nine images
        axes = _axes({pair: one[row] for pair, one in tensor.items()}, [one[row] for one in first])
        terms = _expand(axes, order)
        found[row] = sum(weight * parts[one][row] / _multiplicity(one) for one, weight in terms.items())
    return found * _multiplicity(order)


def _structure(gradient: list[Floats], sigma: list[float], inner: tuple[slice, ...]) -> dict[tuple[int, int], Floats]:
    from scipy.ndimage import gaussian_filter

    axes = tuple(range(-len(sigma), 0))
    pairs = combinations_with_replacement(range(len(gradient)), 2)
    return {(i, j): np.ascontiguousarray(gaussian_filter(gradient[i] * gradient[j], sigma, mode="wrap", axes=axes)[inner]) for i, j in pairs}


def _axes(tensor: dict[tuple[int, int], Floats], first: list[Floats]) -> Floats:
    """Eigenvectors of falling eigenvalue as rows of the last two axes, in x, y(, z), with their signs."""
    n = len(first)
    matrices = np.stack([np.stack([tensor[min(i, j), max(i, j)] for j in range(n)], axis=-1) for i in range(n)], axis=-2)
    axes = np.swapaxes(np.linalg.eigh(matrices)[1][..., ::-1], -1, -2)
    gradient = np.stack(first, axis=-1)
    for i in range(n - 1):
        against = (axes[..., i, :] * gradient).sum(axis=-1) < 0
        axes[..., i, :] *= np.where(against, -1.0, 1.0)[..., None]
    axes[..., -1, :] *= np.where(np.linalg.det(axes) < 0, -1.0, 1.0)[..., None]
    return axes


def _expand(axes: Floats, order: Order) -> dict[Order, Floats]:
    """Multiply out prod_a (axis_a . w)^l_a into monomials of w."""
    n = len(order)
    terms: dict[Order, Floats] = {(0,) * n: np.ones(axes.shape[:-2])}
    for a, power in enumerate(order):
        for _ in range(power):
            grown: dict[Order, Floats] = {}
            for monomial, weight in terms.items():
                for b in range(n):
                    key = (*monomial[:b], monomial[b] + 1, *monomial[b + 1 :])
                    grown[key] = grown.get(key, 0.0) + weight * axes[..., a, b]
            terms = grown
    return terms


def _multiplicity(order: Order) -> float:
    return float(np.sqrt(factorial(sum(order)) / prod(factorial(one) for one in order)))
