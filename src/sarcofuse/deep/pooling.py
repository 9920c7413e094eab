"""From feature maps to numbers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

RIM_MM, RING_MM = 5.0, 20.0
SHORT = 180  # pixels; twice its square fits into 16 bits


def weights_for(pooling: str, tumour: NDArray[np.float32], lengths: Sequence[float]) -> list[NDArray[np.float32] | None]:
    """Give the weights that feature maps are averaged with, one array a region.

    Parameters
    ----------
    pooling : {'average', 'masked', 'max', 'regions'}
        ``deep.pooling``.
    tumour : ndarray of float32, shape (rows, columns) or (planes, rows, columns)
        Share of each pixel that is tumour.
    lengths : sequence of float
        Length of a pixel along each axis in mm.

    Returns
    -------
    list of ndarray, shape of `tumour`, or None
        None stands for the whole map. ``regions`` gives the tumour, its rim (5 mm to either side of its border) and its surroundings (20 mm outside).
    """
    if pooling in ("average", "max"):
        return [None]
    if pooling == "masked":
        return [tumour]
    inside = tumour >= 0.5
    if not inside.any():
        inside = tumour >= tumour.max()
    if inside.ndim == 2 and lengths[0] == lengths[1]:
        near, wide = _within(inside, (RIM_MM / lengths[0], RING_MM / lengths[0]))
        near[inside] = False
        box = tuple(slice(max(0, there[0] - 1), there[-1] + 2) for there in (np.flatnonzero(inside.any(axis=1 - axis)) for axis in (0, 1)))
        (deep,) = _within(~inside[box], (RIM_MM / lengths[0],))
        near[box] |= deep & inside[box]
        return [tumour, near.astype(np.float32), (wide & ~inside).astype(np.float32)]
    from scipy.ndimage import distance_transform_edt

    outwards, inwards = distance_transform_edt(~inside, sampling=lengths), distance_transform_edt(inside, sampling=lengths)
    rim = np.where(inside, inwards, outwards) <= RIM_MM
    ring = ~inside & (outwards <= RING_MM)
    return [tumour, rim.astype(np.float32), ring.astype(np.float32)]


def _within(region: NDArray[np.bool_], reaches: Sequence[float]) -> list[NDArray[np.bool_]]:
    """Say which pixels lie within each reach (in pixels) of a region: an exact distance transform, cut off at the longest reach, which makes it several times as fast."""
    if not region.any():
        return [region for _ in reaches]
    columns, most = region.shape[1], int(min(max(reaches), max(region.shape)))
    kind: type = np.uint16 if most < SHORT else np.int32
    at, never = np.arange(columns, dtype=np.int16 if columns + most < SHORT * SHORT // 2 else np.int32), columns + most + 1
    left = np.maximum.accumulate(np.where(region, at, -never).astype(at.dtype), axis=1)
    right = np.minimum.accumulate(np.where(region, at, columns + never).astype(at.dtype)[:, ::-1], axis=1)[:, ::-1]
    along = np.minimum(at - left, right - at)
    squares: NDArray[Any] = np.where(along > most, SHORT * SHORT if kind is np.uint16 else 2 * (most + 1) ** 2, np.square(along, dtype=np.int32)).astype(kind)
    best, more = squares.copy(), np.empty_like(squares)
    for step in range(1, most + 1):
        np.add(squares, kind(step * step), out=more)
        np.minimum(best[step:], more[:-step], out=best[step:])
        np.minimum(best[:-step], more[step:], out=best[:-step])
    return [best <= reach * reach * (1.0 + 1e-12) for reach in reaches]


def pool_maps(maps: Sequence[Tensor], weights: Sequence[NDArray[np.float32] | None], pooling: str) -> NDArray[np.float64]:
    """Pool the feature maps of one picture or volume.

    Parameters
    ----------
    maps : sequence of Tensor, each of shape (1, channels, rows, columns) or (1, channels, planes, rows, columns)
        Feature maps.
    weights : sequence of ndarray or None
        Given by `weights_for`; brought to the size of a map by averaging what each of its cells covers. A region without any weight counts as the whole map.
    pooling : {'average', 'masked', 'max', 'regions'}
        ``max`` takes the maximum over the map, the others the weighted mean.

    Returns
    -------
    ndarray of float64, shape (regions * sum of channels,)
        Features: region by region, in each of them map by map.
    """
    found: NDArray[np.float64] = pool_tensors(maps, weights, pooling).cpu().numpy()
    return found


def pool_tensors(maps: Sequence[Tensor], weights: Sequence[NDArray[np.float32] | None], pooling: str) -> Tensor:
    """Pool the feature maps of one picture or volume, as `pool_maps` does, within torch.

    Parameters
    ----------
    maps, weights, pooling : object
        As in `pool_maps`.

    Returns
    -------
    Tensor of float64, shape (regions * sum of channels,)
        Features, as a differentiable function of the maps.
    """
    import torch

    given: NDArray[np.float64] | None = None if weights[0] is None else np.stack([np.asarray(w, dtype=np.float64) for w in weights])
    pooled, averaged = [], given
    for features in maps:
        flat, size = features[0].flatten(1).double(), tuple(features.shape[2:])
        if pooling == "max":
            pooled.append(flat.amax(1)[None])
        elif given is None or averaged is None:
            pooled.append(flat.mean(1)[None])
        else:  # maps mostly get coarser from layer to layer, so the averages of one serve the next
            fits = all(have % want == 0 for have, want in zip(averaged.shape[1:], size, strict=True))
            averaged, shares = _shares(averaged if fits else given, size)
            pooled.append(torch.from_numpy(shares).to(flat.device) @ flat.T)
    return torch.cat(pooled, 1).flatten()


def _shares(regions: NDArray[np.float64], size: tuple[int, ...]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Average regions over what each cell of a map covers; give the regions, averaged where cells are pairs of pixels, for maps to come, and each cell's share of each region.

    A region without any weight counts as the whole map.
    """
    while all(have % 2 == 0 and have // 2 % want == 0 for have, want in zip(regions.shape[1:], size, strict=True)):
        for axis in range(1, regions.ndim):
            first, second = (tuple(slice(start, None, 2) if a == axis else slice(None) for a in range(regions.ndim)) for start in (0, 1))
            regions = 0.5 * (regions[first] + regions[second])
    found = regions
    for axis, cells in enumerate(size, 1):
        if found.shape[axis] != cells:
            found = np.moveaxis(np.tensordot(_covering(found.shape[axis], cells), found, (1, axis)), 0, axis)
    flat = found.reshape(len(found), -1)
    total = flat.sum(axis=1, keepdims=True)
    return regions, np.where(total > 0, flat / np.where(total > 0, total, 1.0), 1.0 / flat.shape[1])


@lru_cache(maxsize=64)
def _covering(pixels: int, cells: int) -> NDArray[np.float64]:
    """Weights, shape (cells, pixels), of the mean over the pixels that each cell touches, as torch's adaptive pooling has them."""
    first, last = np.arange(cells) * pixels // cells, -(-(np.arange(cells) + 1) * pixels // cells)
    at = np.arange(pixels)[None, :]
    inside = ((at >= first[:, None]) & (at < last[:, None])).astype(np.float64)
    return np.asarray(inside / inside.sum(axis=1, keepdims=True))
