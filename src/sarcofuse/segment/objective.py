"""What training minimises, and how fast it goes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from sarcofuse.segment.plan import Plan

if TYPE_CHECKING:
    import torch

WARM = 0.15


def learning_rate(plan: Plan, done: float, attempt: int) -> float:
    """Give the learning rate: a linear rise over the first 15 %, then a cosine down to nothing.

    Parameters
    ----------
    plan : Plan
        With the peak rate.
    done : float
        Share of the training that is done, 0 to 1.
    attempt : int
        0, or 1 for the restart with half the rate.

    Returns
    -------
    float
        Learning rate.
    """
    peak = plan.learning_rate * 0.5**attempt
    return peak * (0.05 + 0.95 * done / WARM) if done < WARM else peak * 0.5 * (1.0 + math.cos(math.pi * (done - WARM) / (1.0 - WARM)))


def loss_of(logits: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    """Give one minus the soft Dice of each volume, averaged, plus the cross-entropy.

    Parameters
    ----------
    logits : Tensor, shape (batch, 1, z, y, x)
        What the network says.
    share : Tensor, shape (batch, 1, z, y, x)
        Share of tumour in each voxel, 0 to 1.

    Returns
    -------
    Tensor
        A number.
    """
    import torch

    logits = logits.float()
    p = torch.sigmoid(logits)
    over = (1, 2, 3, 4)
    overlap = 1.0 - (2.0 * (p * share).sum(over) + 1.0) / (p.sum(over) + share.sum(over) + 1.0)
    return overlap.mean() + torch.nn.functional.binary_cross_entropy_with_logits(logits, share)


def pyramid(share: torch.Tensor, outputs: torch.Tensor | list[torch.Tensor]) -> list[tuple[float, torch.Tensor, torch.Tensor]]:
    """Pair what the network says at each resolution with the share of tumour there (deep supervision).

    Each coarser resolution counts half as much as the one before; the weights add up to one [1]_.

    Parameters
    ----------
    share : Tensor, shape (batch, 1, z, y, x)
        Share of tumour in each voxel, 0 to 1.
    outputs : Tensor or list of Tensor
        Logits at full resolution, or at each resolution from the finest on.

    Returns
    -------
    list of (float, Tensor, Tensor)
        Weight, logits, and the share of tumour averaged over the voxels of that resolution.

    References
    ----------
    .. [1] Isensee F et al. nnU-Net: a self-configuring method for deep learning-based biomedical image segmentation. Nat Methods 2021;18:203-211.
    """
    import torch

    each = outputs if isinstance(outputs, list) else [outputs]
    whole = sum(0.5**depth for depth in range(len(each)))
    pooled = [share if depth == 0 else torch.nn.functional.adaptive_avg_pool3d(share, (logits.shape[2], logits.shape[3], logits.shape[4])) for depth, logits in enumerate(each)]
    return [(0.5**depth / whole, logits, target) for depth, (logits, target) in enumerate(zip(each, pooled, strict=True))]
