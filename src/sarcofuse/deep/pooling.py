"""From feature maps to numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

RIM_MM, RING_MM = 5.0, 20.0
TOGETHER = 16  # pictures whose regions are averaged at a time, which bounds the memory


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
    if tumour.ndim == 2 and lengths[0] == lengths[1]:
        return [np.asarray(region, dtype=np.float32) for region in regions_of(tumour[None], lengths[:1])[0]]
    from scipy.ndimage import distance_transform_edt

    (inside,) = _drawn(tumour[None])
    outwards, inwards = distance_transform_edt(~inside, sampling=lengths), distance_transform_edt(inside, sampling=lengths)
    rim = np.where(inside, inwards, outwards) <= RIM_MM
    ring = ~inside & (outwards <= RING_MM)
    return [tumour, rim.astype(np.float32), ring.astype(np.float32)]


def regions_of(tumours: NDArray[np.float32], lengths: Sequence[float]) -> list[tuple[NDArray[Any], ...]]:
    """Give tumour, rim and surroundings of several pictures, those of one scale together.

    Parameters
    ----------
    tumours : ndarray of float32, shape (pictures, rows, columns)
        Share of each pixel that is tumour.
    lengths : sequence of float
        Length of a pixel of each picture in mm, the same along rows and columns.

    Returns
    -------
    list of tuple of ndarray, each of shape (rows, columns)
        For each picture the tumour as it was given, and where its rim and its surroundings are (bool), as in `weights_for`.
    """
    inside, scale = _drawn(tumours), np.asarray(lengths)
    found: dict[int, tuple[NDArray[Any], ...]] = {}
    for length in dict.fromkeys(lengths):
        same = np.flatnonzero(scale == length)
        for chosen in (same[i : i + 64] for i in range(0, len(same), 64)):
            bits = 1 << np.arange(len(chosen), dtype=f"u{max(1, 2 ** math.ceil(math.log2(len(chosen) / 8)))}")  # a picture a bit: all go at once
            within = np.bitwise_or.reduce(inside[chosen] * bits[:, None, None])
            beyond = within ^ bits.sum(dtype=bits.dtype)
            rim = (_within(within, RIM_MM / length) & beyond) | (_within(beyond, RIM_MM / length) & within)
            ring = _within(within, RING_MM / length) & beyond
            found |= {int(k): (tumours[k], (rim & bit) > 0, (ring & bit) > 0) for k, bit in zip(chosen, bits, strict=True)}
    return [found[k] for k in range(len(tumours))]


def _drawn(tumours: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Say of each picture which pixels are tumour: by half, or where there is none, those that are most."""
    within = tuple(range(1, tumours.ndim))
    found: NDArray[np.bool_] = tumours >= np.minimum(0.5, tumours.max(axis=within, keepdims=True))
    return found


def _within(region: NDArray[Any], reach: float) -> NDArray[Any]:
    """Widen the regions that the bits of an array's pixels stand for, by all that lies within a reach (in pixels) of them.

    A disc is laid around every pixel, row by row of the disc, the farthest and shortest first. Empty columns at the end of each row keep the rows apart, so that an array is shifted as a whole.
    """
    rows, columns = region.shape
    limit = reach * reach * (1.0 + 1e-12)
    wide, tall = min(math.isqrt(int(limit)), columns - 1), min(math.isqrt(int(limit)), rows - 1)
    line = columns + wide
    flat = np.pad(region, ((0, 0), (0, wide))).ravel()
    grown, found, width = flat.copy(), np.zeros_like(flat), 0
    for step in range(tall, -1, -1):
        while width < min(math.isqrt(int(limit - step * step)), wide):
            width += 1
            grown[width:] |= flat[:-width]
            grown[:-width] |= flat[width:]
        found[step * line :] |= grown[: len(flat) - step * line]
        found[: len(flat) - step * line] |= grown[step * line :]
    return found.reshape(rows, line)[:, :columns]


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
    return pool_batch(maps, region_shares([weights], [m.shape[2:] for m in maps], str(maps[0].device)), pooling)[0]


def pool_batch(maps: Sequence[Tensor], shares: Sequence[Tensor | None], pooling: str) -> Tensor:
    """Pool the feature maps of several pictures, each as `pool_maps` does.

    Parameters
    ----------
    maps : sequence of Tensor, each of shape (n, channels, ...)
        Feature maps.
    shares : sequence of Tensor, each of shape (n, regions, cells), or of None
        Given by `region_shares` for these pictures.
    pooling : {'average', 'masked', 'max', 'regions'}
        As in `pool_maps`.

    Returns
    -------
    Tensor of float64, shape (n, regions * sum of channels)
        Features.
    """
    import torch

    pooled = []
    for features, own in zip(maps, shares, strict=True):
        flat = features.movedim(1, -1).flatten(1, -2).double()
        pooled.append(flat.amax(1, keepdim=True) if pooling == "max" else flat.mean(1, keepdim=True) if own is None else own @ flat)
    return torch.cat(pooled, 2).flatten(1)


def region_shares(weights: Sequence[Sequence[NDArray[Any] | None]], sizes: Sequence[Sequence[int]], device: str) -> list[Tensor | None]:
    """Give what share each cell of feature maps has of each region: the means of the region over what the cells cover, which then sum to 1.

    Parameters
    ----------
    weights : sequence of sequence of ndarray or None
        Regions of each picture, see `weights_for`.
    sizes : sequence of sequence of int
        Rows and columns (planes, rows and columns) of each feature map.
    device : str
        Where the maps are.

    Returns
    -------
    list of Tensor of float64, each of shape (pictures, regions, cells), or of None
        One a map; None where the whole map counts. A region without any weight counts as the whole map.
    """
    import torch

    if any(w is None for w in weights[0]):
        return [None] * len(sizes)
    found: list[list[Tensor]] = [[] for _ in sizes]
    for start in range(0, len(weights), TOGETHER):
        some = [[w for w in own if w is not None] for own in weights[start : start + TOGETHER]]
        stacked = np.stack([w for own in some for w in own], dtype=np.float64)
        given = averaged = torch.from_numpy(stacked.reshape(len(some), -1, *stacked.shape[1:])).to(device)
        for rows, size in zip(found, sizes, strict=True):  # maps mostly get coarser from layer to layer, so the averages of one serve the next
            fits = all(have % want == 0 for have, want in zip(averaged.shape[2:], size, strict=True))
            averaged, shares = _shares(averaged if fits else given, size)
            rows.append(shares)
    return [torch.cat(rows) for rows in found]


def _shares(regions: Tensor, size: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Average regions over what each cell of a map covers; give the regions, averaged where cells are pairs of pixels, for maps to come, and each cell's share of each region.

    A region without any weight counts as the whole map.
    """
    import torch

    while all(have % 2 == 0 and have // 2 % want == 0 for have, want in zip(regions.shape[2:], size, strict=True)):
        for axis in range(2, regions.ndim):
            first, second = (regions[(slice(None),) * axis + (slice(start, None, 2),)] for start in (0, 1))
            regions = 0.5 * (first + second)
    found = regions
    for axis, cells in enumerate(size, 2):
        if found.shape[axis] != cells:
            covering = torch.from_numpy(_covering(found.shape[axis], cells)).to(found.device)
            found = (found.movedim(axis, -1) @ covering.T).movedim(-1, axis)
    flat = found.flatten(2)
    total = flat.sum(2, keepdim=True)
    return regions, torch.where(total > 0, flat / torch.where(total > 0, total, 1.0), 1.0 / flat.shape[2])


@lru_cache(maxsize=64)
def _covering(pixels: int, cells: int) -> NDArray[np.float64]:
    """Weights, shape (cells, pixels), of the mean over the pixels that each cell touches, as torch's adaptive pooling has them."""
    first, last = np.arange(cells) * pixels // cells, -(-(np.arange(cells) + 1) * pixels // cells)
    at = np.arange(pixels)[None, :]
    inside = ((at >= first[:, None]) & (at < last[:, None])).astype(np.float64)
    return np.asarray(inside / inside.sum(axis=1, keepdims=True))
