"""From feature maps to numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor


def pool_maps(maps: Sequence[Tensor], tumour: NDArray[np.float32], pooling: str) -> NDArray[np.float64]:
    """Pool the feature maps of one picture or volume.

    Parameters
    ----------
    maps : sequence of Tensor, each of shape (1, channels, rows, columns) or (1, channels, planes, rows, columns)
        Feature maps.
    tumour : ndarray of float32, shape of the picture or volume
        Share of each pixel that is tumour.
    pooling : {'average', 'masked', 'max'}
        Over all of the map, over the tumour only (weighted by the share of tumour under each cell of the map; over all of it where there is none), or the maximum.

    Returns
    -------
    ndarray of float64, shape (sum of channels,)
        Features, map by map.
    """
    return np.concatenate([_pool(m, tumour, pooling) for m in maps])


def _pool(features: Tensor, tumour: NDArray[np.float32], pooling: str) -> NDArray[np.float64]:
    import torch
    from torch.nn import functional

    flat = features[0].flatten(1).double()
    if pooling == "max":
        pooled = flat.amax(1)
    elif pooling == "average":
        pooled = flat.mean(1)
    else:
        shares = functional.interpolate(torch.from_numpy(tumour)[None, None], size=features.shape[2:], mode="area").flatten().double().to(flat.device)
        total = shares.sum()
        pooled = (flat * shares).sum(1) / total if float(total) > 0 else flat.mean(1)
    found: NDArray[np.float64] = pooled.cpu().numpy()
    return found
