"""Tumour probability by one network: in one pass where that is what it was trained for, else window by window; test-time flips; less memory where there is less."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from sarcofuse.config.segment import InferenceConfig
from sarcofuse.errors import StageError
from sarcofuse.runtime import available_cores
from sarcofuse.segment.memory import memory_gb
from sarcofuse.segment.windows import Box, air, merge

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from sarcofuse.segment.plan import Plan

FLIPS: tuple[tuple[int, ...], ...] = ((), (2,), (1,), (1, 2))
"""Axes of (z, y, x) that each pass flips: none, left-right, front-back, both."""
ROOM = 1.1
"""How much longer than the largest training volume an image may be along an axis and still go through in one pass."""
LIVE = 5.0
"""Arrays of the first level that are in memory at once, with what the deeper levels hold; 4 were measured."""
SHARE = 0.6
"""Share of a core's part of the memory, or of a GPU's, that activations may take."""
AT_ONCE = {"cpu": 500_000, "cuda": 16_000_000}
"""Most voxels that go through the network at once, where more than one volume does: more are no quicker."""


@dataclass(frozen=True, slots=True)
class Way:
    """How an image goes through a network.

    Attributes
    ----------
    device : str
        ``cpu`` or ``cuda``.
    window : tuple of int
        Shape (z, y, x) of what goes through in one piece.
    batch : int
        Pieces at a time.
    """

    device: str
    window: tuple[int, int, int]
    batch: int


def probability(
    network: torch.nn.Module, image: NDArray[np.float32], plan: Plan, *, flips: bool, settings: InferenceConfig | None = None, notes: list[str] | None = None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Give the tumour probability of each voxel.

    An image about as large as the training volumes goes through in one pass; a larger one window by window, each as large as a training volume, with Gaussian weights.
    (Instance normalisation takes mean and deviation over all that a network sees at once: shown much more or less than in training, it sees another image.)
    Windows of nothing but air around the patient are left out: no tumour is there.

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
    settings : InferenceConfig, optional
        Overlap of windows and memory.
    notes : list of str, optional
        Takes up what had to be done otherwise for want of memory.

    Returns
    -------
    once, mean : ndarray of float32, shape (z, y, x)
        Of the image as it is, and averaged over the flips (the same without flips).

    Raises
    ------
    StageError
        If not even the smallest window fits into memory.
    """
    settings, notes = settings or InferenceConfig(), [] if notes is None else notes
    channels = image[None] if image.ndim == 3 else image
    passes = FLIPS if flips else FLIPS[:1]
    device = next(network.parameters()).device.type
    way = first_way(channels.shape[1:], plan, device, len(passes), settings, notes)

    def run(way: Way) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        return _predict(network if way.device == device else copy.deepcopy(network).to(way.device), channels, passes, way, settings.overlap)

    return stepping_down(run, way, plan, notes)


def first_way(shape: Sequence[int], plan: Plan, device: str, passes: int, settings: InferenceConfig, notes: list[str]) -> Way:
    """Decide how an image goes through a network, from its size, the training's, and the memory that the machine has.

    What is free at the moment has no say, so that results do not depend on what else runs.

    Parameters
    ----------
    shape : sequence of int
        Shape (z, y, x) of the image.
    plan : Plan
        The plan the network was trained by.
    device : str
        ``cpu`` or ``cuda``.
    passes : int
        How often each voxel is seen.
    settings : InferenceConfig
        ``memory_gb`` counts here.
    notes : list of str
        Takes up that memory is too small for windows of the training's size.

    Returns
    -------
    Way
        One window as large as the image where that is what the network knows.
    """
    whole = _up(shape, plan.factor)
    one_pass = all(size <= known * ROOM for size, known in zip(shape, plan.shape, strict=True))
    window = whole if one_pass else _known(whole, plan)
    limit = settings.memory_gb or _machine_gb(device)
    if footprint_gb(window, plan) > limit and one_pass:
        window = _known(whole, plan)
    wanted = window
    while footprint_gb(window, plan) > limit and (smaller := _halved(window, plan)) != window:
        window = smaller
    if window != wanted:
        notes.append(
            f"windows of {_text(window)} voxels instead of {_text(wanted)}, the size the networks know: the latter need {footprint_gb(wanted, plan):.1f} GB a piece, "
            f"{limit:.1f} GB are there; masks may be worse. Raise segment.inference.memory_gb, or use fewer workers on a larger machine"
        )
    batch = min(AT_ONCE["cuda" if device == "cuda" else "cpu"] // math.prod(window), math.floor(limit / footprint_gb(window, plan)))
    count = 4 * passes if device == "cuda" and window != whole else passes
    return Way(device, window, max(1, min(batch, count)))


def footprint_gb(shape: Sequence[int], plan: Plan) -> float:
    """Estimate the memory that a network needs to see a volume.

    Parameters
    ----------
    shape : sequence of int
        Shape (z, y, x).
    plan : Plan
        With the filters of the first level, whose activations take most of it.

    Returns
    -------
    float
        In GB.
    """
    return math.prod(shape) * int(plan.network["init_filters"]) * 4.0 * LIVE / 1e9


def stepping_down(
    run: Callable[[Way], tuple[NDArray[np.float32], NDArray[np.float32]]], way: Way, plan: Plan, notes: list[str]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Run, and where memory runs out run again with less: fewer pieces at a time, windows of the training's size, the processor, smaller windows.

    The processor comes before windows smaller than the training's: it is slower, but gives the same mask.

    Parameters
    ----------
    run : callable
        Takes a `Way`.
    way : Way
        The first one to try.
    plan : Plan
        The plan the network was trained by.
    notes : list of str
        Takes up what was done otherwise.

    Returns
    -------
    once, mean : ndarray
        What `run` gave.

    Raises
    ------
    StageError
        If memory runs out at the smallest window, too.
    """
    import torch

    said = ""
    while True:
        try:
            result = run(way)
        except (torch.cuda.OutOfMemoryError, MemoryError, RuntimeError) as error:
            if not isinstance(error, torch.cuda.OutOfMemoryError | MemoryError) and "allocate memory" not in str(error):
                raise
            where = "GPU" if way.device == "cuda" else "machine"
            step = _less(way, plan)
            if step is None:
                message = f"segment: the {where} ran out of memory even with windows of {_text(way.window)} voxels; expected room for one. Close other programs, or use fewer workers"
                raise StageError(message) from error
            way, said = step[0], f"the {where} ran out of memory: " + step[1]
        else:
            notes += [said] if said else []
            return result
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _less(way: Way, plan: Plan) -> tuple[Way, str] | None:
    """Give the next way that needs less memory, and how to speak of it."""
    known = _known(way.window, plan)
    if way.batch > 1:
        return replace(way, batch=way.batch // 2), f"predicted with {way.batch // 2} windows at a time; the mask is the same"
    if known != way.window:
        return replace(way, window=known), f"predicted in windows of {_text(known)} voxels instead of one pass"
    if way.device != "cpu":
        return replace(way, device="cpu"), "predicted on the processor, which is slower; the mask is the same"
    smaller = _halved(way.window, plan)
    return None if smaller == way.window else (replace(way, window=smaller), f"predicted in windows of {_text(smaller)} voxels, smaller than the networks know; the mask may be worse")


def _predict(network: torch.nn.Module, channels: NDArray[np.float32], passes: Sequence[tuple[int, ...]], way: Way, overlap: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    from scipy.special import expit

    from sarcofuse.segment.quick import quicken

    shape = channels.shape[1:]
    grown = np.pad(channels, [(0, 0), *((0, max(0, w - size)) for w, size in zip(way.window, shape, strict=True))], mode="edge")
    network = quicken(network) if way.device == "cpu" else network
    full = grown.shape[1:]
    empty = None if full == way.window else air(grown[0])
    once, mean = np.zeros(full, dtype=np.float32), np.zeros(full, dtype=np.float32)
    for layer, logits in merge(full, way.window, overlap, len(passes), lambda boxes: _see(network, grown, passes, way, boxes), empty):
        found = expit(logits)
        once[layer], mean[layer] = found[0], found.mean(axis=0, dtype=np.float32)
    inside = tuple(slice(size) for size in shape)
    return np.ascontiguousarray(once[inside]), np.ascontiguousarray(mean[inside])


def _see(network: Any, image: NDArray[np.float32], passes: Sequence[tuple[int, ...]], way: Way, boxes: Sequence[Box]) -> Iterator[NDArray[np.float32]]:  # noqa: ANN401 - any network
    """Give the logits of each box, of all passes and turned back, a batch at a time."""
    pieces = itertools.product(boxes, passes)
    done: list[NDArray[np.float32]] = []
    while group := list(itertools.islice(pieces, way.batch)):
        batch = np.stack([np.flip(image[(slice(None), *box)], tuple(axis + 1 for axis in axes)) for box, axes in group])
        done += [np.flip(one, axes) for one, (_, axes) in zip(_logits(network, batch, way.device), group, strict=True)]
        while len(done) >= len(passes):
            yield np.stack(done[: len(passes)])
            done = done[len(passes) :]


def _logits(network: Any, batch: NDArray[np.float32], device: str) -> NDArray[np.float32]:  # noqa: ANN401 - any network
    import torch

    with torch.inference_mode(), torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
        found: NDArray[np.float32] = network(torch.from_numpy(batch).to(device, memory_format=torch.channels_last_3d)).float()[:, 0].cpu().numpy()
    return found


def _up(shape: Sequence[int], factor: Sequence[int]) -> tuple[int, int, int]:
    z, y, x = (-(-int(size) // int(f)) * int(f) for size, f in zip(shape, factor, strict=True))
    return (z, y, 2 * x) if (z, y, x) == tuple(factor) else (z, y, x)  # a single voxel at the deepest level has no deviation to normalise by


def _known(window: tuple[int, int, int], plan: Plan) -> tuple[int, int, int]:
    """Give the largest part of a window that the network knows: no longer than a training volume, or all of it where training scaled whole images."""
    z, y, x = (w if plan.voxels else min(w, int(k)) for w, k in zip(window, plan.shape, strict=True))
    return z, y, x


def _halved(window: tuple[int, int, int], plan: Plan) -> tuple[int, int, int]:
    """Halve the side that is longest in steps of the network; no side gets shorter than two steps."""
    steps = [w // f for w, f in zip(window, plan.factor, strict=True)]
    axis = int(np.argmax(steps))
    if steps[axis] < 4:
        return window
    z, y, x = (steps[axis] // 2 * plan.factor[axis] if i == axis else w for i, w in enumerate(window))
    return z, y, x


def _machine_gb(device: str) -> float:
    """Give the memory that activations may take: a property of the machine, not of the moment."""
    return SHARE * memory_gb(device) / (1 if device == "cuda" else available_cores())


def _text(shape: Sequence[int]) -> str:
    return " x ".join(str(n) for n in reversed(shape))
