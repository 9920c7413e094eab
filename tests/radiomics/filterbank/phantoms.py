"""Digital phantoms of IBSI's second reference manual: 64 x 64 x 64 voxels of 2 mm, values 0 and 255. And what moves images about."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np

SIZE = 64
SPACING = (2.0, 2.0, 2.0)


def checkerboard():
    """Cubes of 8 voxels, the first one dark."""
    z, y, x = np.indices((SIZE,) * 3) // 8
    return 255.0 * ((z + y + x) % 2)


def impulse():
    """One bright voxel, at index 31 of every axis."""
    array = np.zeros((SIZE,) * 3)
    array[31, 31, 31] = 255.0
    return array


def sphere():
    """Concentric shells about the impulse's place."""
    z, y, x = np.indices((SIZE,) * 3) - 31
    distance = np.sqrt(z**2 + y**2 + x**2)
    return 255.0 * np.any([(distance > low) & (distance <= high) for low, high in ((-1, 2), (6, 10), (15, 19), (24, 28))], axis=0)


def unit(shape=(15, 15, 15)):
    """One voxel of 1 in the middle."""
    array = np.zeros(shape)
    array[tuple(n // 2 for n in shape)] = 1.0
    return array


def rotations(dimensions=3):
    """Right-angled rotations of arrays, each with its inverse."""
    axes = range(3 - dimensions, 3)
    for order in permutations(axes):
        parity = round(np.linalg.det(np.eye(dimensions)[[a - 3 + dimensions for a in order]]))
        for flips in product((1, -1), repeat=dimensions):
            if parity * np.prod(flips) == 1:
                yield _turn([*range(3 - dimensions), *order], [1] * (3 - dimensions) + list(flips))


def _turn(order, flips):
    index = tuple(slice(None, None, flip) for flip in flips)
    return (lambda array: array.transpose(order)[index]), (lambda array: array[index].transpose(np.argsort(order)))
