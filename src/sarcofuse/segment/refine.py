"""From tumour probabilities to a mask: threshold, gaps, the right component, no islands, no holes, a smooth boundary."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from sarcofuse.config.segment import RefineConfig

if TYPE_CHECKING:
    from numpy.typing import NDArray


def refine(probability: NDArray[np.float32], spacing: Sequence[float], config: RefineConfig) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Clean up, step by step.

    Parameters
    ----------
    probability : ndarray of float32, shape (z, y, x)
        Tumour probability of each voxel.
    spacing : sequence of float
        Voxel size along x, y, z in mm.
    config : RefineConfig
        What to do.

    Yields
    ------
    name : str
        ``threshold``, ``gaps``, ``component``, ``islands``, ``holes``, ``slices``, ``smooth``: those that the configuration asks for.
    mask : ndarray of bool
        The mask after that step; the last one is the result, and may be empty.
    """
    voxel_ml = math.prod(spacing) / 1000.0
    mask = np.asarray(probability >= config.threshold)
    yield "threshold", mask
    steps: list[tuple[str, bool, Callable[[NDArray[np.bool_]], NDArray[np.bool_]]]] = [
        ("gaps", config.gap_mm > 0, lambda m: bridge_gaps(m, spacing, config.gap_mm)),
        ("component", config.keep == "largest", lambda m: keep_component(m, probability)),
        ("islands", config.minimum_ml > 0, lambda m: remove_islands(m, voxel_ml, config.minimum_ml)),
        ("holes", config.fill_holes, fill_holes),
        ("slices", config.fill_slices, fill_slices),
        ("smooth", config.smooth_mm > 0, lambda m: smooth_boundary(m, spacing, config.smooth_mm)),
    ]
    for name, wanted, step in steps:
        if wanted:
            mask = step(mask)
            yield name, mask


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


def fill_slices(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Fill what the mask encloses within an axial slice, also where it is open above or below.

    Parameters
    ----------
    mask : ndarray of bool, shape (z, y, x)
        The mask.

    Returns
    -------
    ndarray of bool
        Without holes in any slice.
    """
    return np.stack([fill_holes(plane) for plane in mask])


def smooth_boundary(mask: NDArray[np.bool_], spacing: Sequence[float], sigma_mm: float) -> NDArray[np.bool_]:
    """Smooth the boundary, each component by itself: a Gaussian of the mask, cut where the component keeps its number of voxels.

    Parameters
    ----------
    mask : ndarray of bool, shape (z, y, x)
        The mask; at the image's border it is taken to go on.
    spacing : sequence of float
        Voxel size along x, y, z in mm: thick slices are smoothed over as many millimetres as the plane.
    sigma_mm : float
        Deviation of the Gaussian in mm.

    Returns
    -------
    ndarray of bool
        Of the same volume, but where smoothed components touch. Of voxels of equal value those of the old mask come first, then those nearer to the array's start.
    """
    from scipy.ndimage import gaussian_filter

    labels, count = _components(mask)
    smooth = np.zeros(mask.shape, dtype=bool)
    sigma = [sigma_mm / float(s) for s in reversed(spacing)]
    margin = [math.ceil(4.0 * s) + 1 for s in sigma]
    for box, number in zip(_boxes(labels, margin), range(1, count + 1), strict=True):
        own = labels[box] == number
        soft = gaussian_filter(own.astype(np.float64), sigma, mode="nearest")
        order = np.lexsort((~own.ravel(), -np.round(soft.ravel(), 9)))
        chosen = np.zeros(own.size, dtype=bool)
        chosen[order[: np.count_nonzero(own)]] = True
        smooth[box] |= chosen.reshape(own.shape)
    return smooth


def bridge_gaps(mask: NDArray[np.bool_], spacing: Sequence[float], gap_mm: float) -> NDArray[np.bool_]:
    """Interpolate slices that are missing between two components, by the shapes on either side [1]_.

    Slices are those along the axis of the largest voxel size (axial ones where all are equal). Between the last slice of a component and the first of another
    one the signed distance to the outline, positive inside, goes linearly from one shape to the other, and what is positive belongs to the mask. Shapes that do not overlap leave the
    gap as it is: they are two lesions.

    Parameters
    ----------
    mask : ndarray of bool, shape (z, y, x)
        The mask.
    spacing : sequence of float
        Voxel size along x, y, z in mm.
    gap_mm : float
        Widest gap to bridge: missing slices times their distance, in mm.

    Returns
    -------
    ndarray of bool
        With the missing slices.

    References
    ----------
    .. [1] Raya SP, Udupa JK. Shape-based interpolation of multidimensional objects. IEEE Trans Med Imaging 1990;9:32-42.
    """
    sizes = [float(s) for s in reversed(spacing)]
    axis = int(np.argmax(sizes))
    plane = [s for k, s in enumerate(sizes) if k != axis]
    moved = np.moveaxis(mask, axis, 0)
    labels, count = _components(moved)
    bridged, most = moved.copy(), math.floor(gap_mm / sizes[axis] + 1e-6)
    spans = [(box[0].start, box[0].stop - 1) for box in _boxes(labels, (0, 0, 0))]
    for below in range(count):
        for above in range(count):
            last, first = spans[below][1], spans[above][0]
            if 1 <= first - last - 1 <= most:
                bridged[last + 1 : first] |= _between(labels[last] == below + 1, labels[first] == above + 1, first - last - 1, plane)
    return np.ascontiguousarray(np.moveaxis(bridged, 0, axis))


def _between(one: NDArray[np.bool_], other: NDArray[np.bool_], count: int, spacing: Sequence[float]) -> NDArray[np.bool_]:
    """Give the slices between two outlines; none where the outlines do not overlap."""
    if not (one & other).any():
        return np.zeros((count, *one.shape), dtype=bool)
    start, end = _signed_distance(one, spacing), _signed_distance(other, spacing)
    share = np.arange(1, count + 1)[:, None, None] / (count + 1)
    return np.asarray((1.0 - share) * start + share * end > 0.0)


def _signed_distance(shape: NDArray[np.bool_], spacing: Sequence[float]) -> NDArray[np.float64]:
    """Give the distance in mm to the outline, which runs halfway between voxels in and out; positive inside."""
    from scipy.ndimage import distance_transform_edt

    half = min(spacing) / 2.0
    padded = np.pad(shape, 1)  # so that a shape that fills its slice has an outline
    inside, outside = distance_transform_edt(padded, spacing), distance_transform_edt(~padded, spacing)
    return np.asarray(np.where(padded, inside - half, half - outside)[1:-1, 1:-1], dtype=np.float64)


def _components(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int32], int]:
    from scipy.ndimage import label

    labels, count = label(mask, structure=np.ones((3, 3, 3)))
    return labels, int(count)


def _boxes(labels: NDArray[np.int32], margin: Sequence[int]) -> list[tuple[slice, ...]]:
    """Give the box of each component, grown by a margin."""
    from scipy.ndimage import find_objects

    return [tuple(slice(max(0, s.start - m), s.stop + m) for s, m in zip(box, margin, strict=True)) for box in find_objects(labels)]
