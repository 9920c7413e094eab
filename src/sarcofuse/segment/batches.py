"""Training cases, and the batches that the network sees: dealt out, placed, changed at random, and given the channels of its input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sarcofuse.segment.augment import augment, place, repaint
from sarcofuse.segment.drawing import crop, draw_kind, scale, told
from sarcofuse.segment.grid import cubic, shrink
from sarcofuse.segment.guide import closeness_to_box, guided, middle
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
    spacing : tuple of float
        Voxel size along x, y, z in mm.
    """

    image: NDArray[np.float16]
    label: NDArray[np.uint8]
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)

    @property
    def floats(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Intensities and share of tumour, 0 to 1."""
        return self.image.astype(np.float32), self.label.astype(np.float32) / np.float32(255.0)


def read_sample(file: Path) -> Sample:
    """Read a training case.

    Parameters
    ----------
    file : Path
        ``.npz`` with ``image``, ``label`` and ``spacing``.

    Returns
    -------
    Sample
        The case.
    """
    with np.load(file, allow_pickle=False) as content:
        x, y, z = (float(v) for v in content["spacing"])
        return Sample(content["image"], content["label"], (x, y, z))


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

    pairs = _cropped(samples, plan, rng) if plan.voxels else _placed(samples, plan, rng)
    images, shares = ([torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32)) for array in arrays] for arrays in zip(*pairs, strict=True))
    image_batch, share_batch = (torch.stack(tensors).to(plan.device, memory_format=torch.channels_last_3d) for tensors in (images, [s[None] for s in shares]))
    return image_batch, share_batch


def _placed(samples: Sequence[Sample], plan: Plan, rng: np.random.Generator) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Place each case in the shape of the batch, change it at random, and build its channels."""
    import torch

    pairs = []
    z, y, x = _common([_least(s.image.shape, plan.shape) for s in samples], plan)
    for sample in samples:
        on_tumour = plan.tumour_share >= 1.0 or rng.random() < plan.tumour_share
        image, label = place(*sample.floats, (z, y, x), rng, on_tumour=on_tumour)
        changed, share = (t.numpy() for t in augment(torch.from_numpy(image), torch.from_numpy(label), rng))
        pairs.append((changed[None], share) if plan.channels == 1 else (told(changed, share, sample.spacing, draw_kind(plan.prompts, rng), plan, rng), share))
    return pairs


def _cropped(samples: Sequence[Sample], plan: Plan, rng: np.random.Generator) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Crop and scale each case anew, change it at random, build its channels, and only then let all grow to the shape of the batch."""
    import torch

    pairs = []
    for sample in samples:
        kind = draw_kind(plan.prompts, rng)
        image, label, spacing = scale(*crop(*sample.floats, sample.spacing, kind, rng), sample.spacing, plan.voxels, rng)
        image, label = place(image, label, _least(image.shape, plan.shape), rng)
        if rng.random() < 0.5:
            image, label = image[::-1], label[::-1]
        if plan.repaint and rng.random() < plan.repaint:
            image = repaint(image, label, rng)
        changed, share = (t.numpy() for t in augment(torch.from_numpy(np.ascontiguousarray(image)), torch.from_numpy(np.ascontiguousarray(label)), rng))
        pairs.append((told(changed, share, spacing, kind, plan, rng), share))
    shape = _common([share.shape for _, share in pairs], plan)
    return [(np.stack([_grown(channel, shape) for channel in channels]), _grown(share, shape)) for channels, share in pairs]


def _common(shapes: Sequence[Sequence[int]], plan: Plan) -> tuple[int, int, int]:
    """Give the shape of a batch: that of the largest, rounded up to what the network needs."""
    z, y, x = (-(-int(size) // f) * f for size, f in zip(np.max(np.asarray(shapes), axis=0), plan.factor, strict=True))
    if (z, y, x) == tuple(plan.factor):
        x *= 2  # a single voxel at the deepest level has no deviation to normalise by
    return z, y, x


def _least(shape: Sequence[int], most: Sequence[int]) -> tuple[int, int, int]:
    z, y, x = (min(int(a), int(b)) for a, b in zip(shape, most, strict=True))
    return z, y, x


def _grown(array: NDArray[np.float32], shape: Sequence[int]) -> NDArray[np.float32]:
    return np.pad(array, [(0, wanted - size) for wanted, size in zip(shape, array.shape, strict=True)], mode="edge")


def automatic_channels(sample: Sample, plan: Plan) -> NDArray[np.float32]:
    """Build the channels of the network's input of a case without a prompt.

    Parameters
    ----------
    sample : Sample
        The case.
    plan : Plan
        With the channels of the network.

    Returns
    -------
    ndarray of float32, shape (z, y, x) or (channels, z, y, x)
        The image, alone or with what a network that can be guided is told of it.
    """
    image = sample.image.astype(np.float32)
    if plan.channels == 1:
        return image
    return guided(image, closeness_to_box(image.shape, *middle(image.shape, sample.spacing)) if plan.voxels else None, 0.0)


def coarsened(sample: Sample, plan: Plan) -> Sample:
    """Give a case at the scale at which the networks see it; cases of cropped images are kept finer.

    Parameters
    ----------
    sample : Sample
        The case.
    plan : Plan
        With the voxels of an image, if it is cropped around the tumour.

    Returns
    -------
    Sample
        With as many voxels.
    """
    if not plan.voxels:
        return sample
    image, label = sample.floats
    size = cubic(image.shape, sample.spacing, plan.voxels)
    steps = [size / s for s in reversed(sample.spacing)]
    return Sample(shrink(image, steps).astype(np.float16), np.rint(shrink(label, steps) * 255.0).astype(np.uint8), (size, size, size))
