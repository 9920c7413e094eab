"""Tumour probability by one network, with test-time flips."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sarcofuse.segment.grid import pad_to

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from sarcofuse.segment.plan import Plan

FLIPS: tuple[tuple[int, ...], ...] = ((), (2,), (1,), (1, 2))
"""Axes of (z, y, x) that each pass flips: none, left-right, front-back, both."""


def probability(network: torch.nn.Module, image: NDArray[np.float32], plan: Plan, *, flips: bool) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Give the tumour probability of each voxel.

    The whole image goes through the network at once where it is no larger than a training volume, else window by window (Gaussian weights, half overlap).

    Parameters
    ----------
    network : torch.nn.Module
        In evaluation mode.
    image : ndarray of float32, shape (z, y, x)
        Normalised intensities on the working grid.
    plan : Plan
        The plan the network was trained by.
    flips : bool
        Whether to average over left-right and front-back flips.

    Returns
    -------
    once, mean : ndarray of float32, shape (z, y, x)
        Of the image as it is, and averaged over the flips (the same without flips).
    """
    import torch

    device = next(network.parameters()).device
    passes = FLIPS if flips else FLIPS[:1]
    found = []
    with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
        for axes in passes:
            turned = np.ascontiguousarray(np.flip(image, axes)) if axes else image
            seen = _window(network, turned, plan, device) if _too_large(image.shape, plan) else _whole(network, turned, plan, device)
            found.append(np.ascontiguousarray(np.flip(seen, axes)) if axes else seen)
    mean = np.mean(np.stack(found), axis=0, dtype=np.float32) if len(found) > 1 else found[0]
    return found[0], mean


def _too_large(shape: tuple[int, ...], plan: Plan) -> bool:
    return int(np.prod(shape)) > 4 * int(np.prod(plan.shape))


def _whole(network: torch.nn.Module, image: NDArray[np.float32], plan: Plan, device: torch.device) -> NDArray[np.float32]:
    import torch

    z, y, x = image.shape
    padded = pad_to(image, plan.factor)
    tensor = torch.from_numpy(padded)[None, None].to(device, memory_format=torch.channels_last_3d)
    return np.ascontiguousarray(torch.sigmoid(network(tensor).float())[0, 0].cpu().numpy()[:z, :y, :x])


def _window(network: torch.nn.Module, image: NDArray[np.float32], plan: Plan, device: torch.device) -> NDArray[np.float32]:
    import torch
    from monai.inferers import sliding_window_inference

    tensor = torch.from_numpy(image)[None, None].to(device)
    logits = sliding_window_inference(tensor, plan.shape, 1, network, overlap=0.5, mode="gaussian", padding_mode="replicate")
    return np.ascontiguousarray(torch.sigmoid(logits.float())[0, 0].cpu().numpy())
