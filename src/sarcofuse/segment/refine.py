"""From tumour probabilities to a mask: threshold, the right component, no islands, no holes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from sarcofuse.config.segment import RefineConfig

if TYPE_CHECKING:
    from numpy.typing import NDArray


def refine(probability: NDArray[np.float32], voxel_ml: float, config: RefineConfig) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Clean up, step by step.

    Parameters
    ----------
    probability : ndarray of float32, shape (z, y, x)
        Tumour probability of each voxel.
    voxel_ml : float
        Volume of a voxel in ml.
    config : RefineConfig
        What to do.

    Yields
    ------
    name : str
        ``threshold``, ``component``, ``islands``, ``holes``: those that the configuration asks for.
    mask : ndarray of bool
        The mask after that step; the last one is the result, and may be empty.
    """
    mask = probability >= config.threshold
    yield "threshold", mask
    if config.keep == "largest":
        mask = keep_component(mask, probability)
        yield "component", mask
    if config.minimum_ml > 0:
        mask = remove_islands(mask, voxel_ml, config.minimum_ml)
        yield "islands", mask
    if config.fill_holes:
        mask = fill_holes(mask)
        yield "holes", mask


def keep_component(mask: NDArray[np.bool_], probability: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Keep the component of largest volume times mean probability, which is the sum of its probabilities.

    Parameters
    ----------
    mask : ndarray of bool, shape (z, y, x)
        Components join across faces, edges and corners.
    probability : ndarray of float32
        Tumour probability of each voxel.

    Returns
    -------
    ndarray of bool
        One component, or none where there was none.
    """
    from scipy.ndimage import sum_labels

    labels, count = _components(mask)
    if count < 2:
        return mask
    sums = sum_labels(probability.astype(np.float64), labels, np.arange(1, count + 1))
    return np.asarray(labels == 1 + int(np.argmax(sums)))


def remove_islands(mask: NDArray[np.bool_], voxel_ml: float, minimum_ml: float) -> NDArray[np.bool_]:
    """Remove components below a volume.

    Parameters
    ----------
    mask : ndarray of bool, shape (z, y, x)
        The mask.
    voxel_ml : float
        Volume of a voxel in ml.
    minimum_ml : float
        Smallest volume to keep, in ml.

    Returns
    -------
    ndarray of bool
        The components that are large enough.
    """
    labels, count = _components(mask)
    large = np.bincount(labels.ravel(), minlength=count + 1) * voxel_ml >= minimum_ml - 1e-9
    large[0] = False
    return np.asarray(large[labels])


def fill_holes(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Fill what the mask encloses on all sides.

    Parameters
    ----------
    mask : ndarray of bool, shape (z, y, x)
        The mask.

    Returns
    -------
    ndarray of bool
        Without holes.
    """
    from scipy.ndimage import binary_fill_holes

    return np.asarray(binary_fill_holes(mask), dtype=bool)


def _components(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int32], int]:
    from scipy.ndimage import label

    labels, count = label(mask, structure=np.ones((3, 3, 3)))
    return labels, int(count)
