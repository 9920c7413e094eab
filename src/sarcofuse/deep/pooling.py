"""From feature maps to numbers."""

from __future__ import annotations

from collections.abc import Sequence
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
    return np.concatenate([_pool(m, w, pooling) for w in weights for m in maps])


def _pool(features: Tensor, weights: NDArray[np.float32] | None, pooling: str) -> NDArray[np.float64]:
    import torch
    from torch.nn import functional

    flat = features[0].flatten(1).double()
    if pooling == "max":
        pooled = flat.amax(1)
    elif weights is None:
        pooled = flat.mean(1)
    else:
        shares = functional.interpolate(torch.from_numpy(weights)[None, None], size=features.shape[2:], mode="area").flatten().double().to(flat.device)
        total = shares.sum()
        pooled = (flat @ shares) / total if float(total) > 0 else flat.mean(1)
    found: NDArray[np.float64] = pooled.cpu().numpy()
    return found
