"""Tumour probability by one network, with test-time flips."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
    image : ndarray of float32, shape (z, y, x) or (channel, z, y, x)
        Normalised intensities on the working grid; further channels are flipped with them.
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
    channels = image[None] if image.ndim == 3 else image
    turned = np.stack([np.flip(channels, tuple(axis + 1 for axis in axes)) for axes in passes])
    with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
        seen = _window(network, turned, plan, device) if _too_large(channels.shape[1:], plan) else _whole(network, turned, plan, device)
    found = np.stack([np.flip(one, axes) for one, axes in zip(seen, passes, strict=True)])
    return found[0], found.mean(axis=0, dtype=np.float32) if flips else found[0]


def _too_large(shape: tuple[int, ...], plan: Plan) -> bool:
    return int(np.prod(shape)) > 4 * int(np.prod(plan.shape))


def _whole(network: torch.nn.Module, images: NDArray[np.float32], plan: Plan, device: torch.device) -> NDArray[np.float32]:
    import torch

    count, _, z, y, x = images.shape
    padded = pad_to(images, (1, 1, *plan.factor))
    if count == 1:
        padded = np.repeat(padded, 2, axis=0)  # torch has no fast 3D convolution for a single small volume on one thread: two are six times faster than one
    tensor = torch.from_numpy(padded).to(device, memory_format=torch.channels_last_3d)
    return np.ascontiguousarray(torch.sigmoid(network(tensor).float())[:count, 0, :z, :y, :x].cpu().numpy())


def _window(network: torch.nn.Module, images: NDArray[np.float32], plan: Plan, device: torch.device) -> NDArray[np.float32]:
    import torch
    from monai.inferers.utils import sliding_window_inference

    tensor = torch.from_numpy(images).to(device)
    logits: Any = sliding_window_inference(tensor, plan.shape, 2, network, overlap=0.5, mode="gaussian", padding_mode="replicate")
    return np.ascontiguousarray(torch.sigmoid(logits.float())[:, 0].cpu().numpy())
