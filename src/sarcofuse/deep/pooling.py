"""From feature maps to numbers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

RIM_MM, RING_MM = 5.0, 20.0


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
    from scipy.ndimage import distance_transform_edt

    inside = tumour >= 0.5
    if not inside.any():
        inside = tumour >= tumour.max()
    outwards, inwards = distance_transform_edt(~inside, sampling=lengths), distance_transform_edt(inside, sampling=lengths)
    rim = np.where(inside, inwards, outwards) <= RIM_MM
    ring = ~inside & (outwards <= RING_MM)
    return [tumour, rim.astype(np.float32), ring.astype(np.float32)]


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

    pooled = [_pool(m, weights, pooling) for m in maps]
    return torch.cat([rows[k] for k in range(len(weights)) for rows in pooled])


def _pool(features: Tensor, weights: Sequence[NDArray[np.float32] | None], pooling: str) -> Tensor:
    """Pool one map over every region at once: shape (regions, channels)."""
    import torch

    flat = features[0].flatten(1).double()
    if pooling == "max":
        return flat.amax(1)[None].expand(len(weights), -1)
    size = features.shape[2:]
    shares = torch.from_numpy(np.stack([_shares(w, tuple(size)) for w in weights])).to(flat.device)
    return shares @ flat.T


def _shares(weights: NDArray[np.float32] | None, size: tuple[int, ...]) -> NDArray[np.float64]:
    """Give each cell's share of a region, its weights averaged over what the cell covers; the same for every cell where there is no region."""
    count = int(np.prod(size))
    if weights is None:
        return np.full(count, 1.0 / count)
    found = weights.astype(np.float64)
    for axis, cells in enumerate(size):
        found = np.moveaxis(np.tensordot(_covering(found.shape[axis], cells), found, (1, axis)), 0, axis)
    total = float(found.sum())
    return found.ravel() / total if total > 0 else np.full(count, 1.0 / count)


@lru_cache(maxsize=64)
def _covering(pixels: int, cells: int) -> NDArray[np.float64]:
    """Weights, shape (cells, pixels), of the mean over the pixels that each cell touches, as torch's adaptive pooling has them."""
    first, last = np.arange(cells) * pixels // cells, -(-(np.arange(cells) + 1) * pixels // cells)
    at = np.arange(pixels)[None, :]
    inside = ((at >= first[:, None]) & (at < last[:, None])).astype(np.float64)
    return np.asarray(inside / inside.sum(axis=1, keepdims=True))
