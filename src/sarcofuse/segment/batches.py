"""Training cases, and the batches that the network sees: dealt out, placed, changed at random, and given the channels of its input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sarcofuse.segment.augment import augment, place
from sarcofuse.segment.plan import Plan

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """A training case on the working grid.

    Attributes
    ----------
    image : ndarray of float16, shape (z, y, x)
        Normalised intensities.
    label : ndarray of uint8, shape (z, y, x)
        Share of tumour in each voxel, 255 for all of it.
    """

    image: NDArray[np.float16]
    label: NDArray[np.uint8]


def read_sample(file: Path) -> Sample:
    """Read a training case.

    Parameters
    ----------
    file : Path
        ``.npz`` with ``image`` and ``label``.

    Returns
    -------
    Sample
        The case.
    """
    with np.load(file, allow_pickle=False) as content:
        return Sample(content["image"], content["label"])


def make_batches(shapes: Sequence[tuple[int, ...]], plan: Plan, rng: np.random.Generator) -> list[NDArray[np.int64]]:
    """Deal the cases out to batches of like size, so that little is computed on padding.

    Parameters
    ----------
    shapes : sequence of tuple of int
        Shape (z, y, x) of each case.
    plan : Plan
        With the batch size and the largest shape.
    rng : numpy.random.Generator
        Draws who meets whom, and the order.

    Returns
    -------
    list of ndarray of int
        Indices of the cases; each case comes once.
    """
    order = rng.permutation(len(shapes))
    sizes = np.array([np.prod(np.minimum(shapes[i], plan.shape)) for i in order])
    order = order[np.argsort(sizes, kind="stable")]
    batches = [order[i : i + plan.batch] for i in range(0, len(order), plan.batch)]
    return [batches[i] for i in rng.permutation(len(batches))]


def make_batch(samples: Sequence[Sample], plan: Plan, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Place and change each case at random, and stack them.

    Parameters
    ----------
    samples : sequence of Sample
        The cases of the batch.
    plan : Plan
        With the largest shape, the network's channels and the device.
    rng : numpy.random.Generator
        Where everything is drawn.

    Returns
    -------
    image : Tensor of float32, shape (batch, channels, z, y, x)
        What the network sees.
    share : Tensor of float32, shape (batch, 1, z, y, x)
        Share of tumour in each voxel, 0 to 1.
    """
    import torch

    images, shares = [], []
    largest = np.minimum(np.max([s.image.shape for s in samples], axis=0), plan.shape)
    z, y, x = (-(-int(size) // f) * f for size, f in zip(largest, plan.factor, strict=True))
    if (z, y, x) == tuple(plan.factor):
        x *= 2  # a single voxel at the deepest level has no deviation to normalise by
    for sample in samples:
        on_tumour = plan.tumour_share >= 1.0 or rng.random() < plan.tumour_share
        placed = place(sample.image.astype(np.float32), sample.label.astype(np.float32) / np.float32(255.0), (z, y, x), rng, on_tumour=on_tumour)
        image, share = augment(torch.from_numpy(placed[0]), torch.from_numpy(placed[1]), rng)
        images.append(training_channels(image, share, plan, rng))
        shares.append(share[None])
    image_batch, share_batch = (torch.stack(tensors).to(plan.device, memory_format=torch.channels_last_3d) for tensors in (images, shares))
    return image_batch, share_batch


def training_channels(image: torch.Tensor, share: torch.Tensor, plan: Plan, rng: np.random.Generator) -> torch.Tensor:  # noqa: ARG001 - prompts are drawn from the share of tumour
    """Build the channels of the network's input of a training case, after augmentation.

    Parameters
    ----------
    image : Tensor of float32, shape (z, y, x)
        Intensities, changed at random.
    share : Tensor of float32, shape (z, y, x)
        Share of tumour, changed alike.
    plan : Plan
        With ``in_channels`` of the network: the image, and as many more as a prompt takes.
    rng : numpy.random.Generator
        Where a prompt is drawn.

    Returns
    -------
    Tensor of float32, shape (channels, z, y, x)
        The image, and empty channels beside it.
    """
    import torch

    more = int(plan.network["in_channels"]) - 1
    return torch.cat([image[None], image.new_zeros((more, *image.shape))]) if more else image[None]


def automatic_channels(image: NDArray[np.float32], plan: Plan) -> NDArray[np.float32]:
    """Build the channels of the network's input of a case without a prompt.

    Parameters
    ----------
    image : ndarray of float32, shape (z, y, x)
        Normalised intensities.
    plan : Plan
        With ``in_channels`` of the network.

    Returns
    -------
    ndarray of float32, shape (z, y, x) or (channels, z, y, x)
        The image, alone or with empty channels beside it.
    """
    more = int(plan.network["in_channels"]) - 1
    return np.concatenate([image[None], np.zeros((more, *image.shape), dtype=np.float32)]) if more else image
