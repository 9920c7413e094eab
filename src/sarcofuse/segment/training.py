"""Train the network of one fold: every epoch is saved, and drawn from (seed, fold, epoch), so that a broken training goes on to the same bytes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sarcofuse.errors import StageError
from sarcofuse.runtime import atomic_file, report_step, single_thread, write_json
from sarcofuse.segment.batches import Sample, automatic_channels, make_batch, make_batches, read_sample
from sarcofuse.segment.network import build_network, load_network, save_weights
from sarcofuse.segment.plan import Plan

if TYPE_CHECKING:
    import torch

WEIGHTS = "weights.safetensors"
HISTORY = "history.json"
CHECKPOINT = "checkpoint.pt"
WARM = 0.15
DECAY = 0.99


class _DivergedError(Exception):
    """The loss is no longer a finite number."""


@dataclass
class _State:
    """All that changes from epoch to epoch."""

    network: torch.nn.Module
    average: dict[str, torch.Tensor]
    optimiser: torch.optim.Optimizer
    epoch: int = 0
    attempt: int = 0
    losses: list[float] = field(default_factory=list)


def train_fold(folder: Path, plan: Plan, fold: int, training: Sequence[Path], held_out: Sequence[Path]) -> float:
    """Train one network and score it on its held-out cases.

    Parameters
    ----------
    folder : Path
        Where weights.safetensors and history.json go, and the checkpoint meanwhile.
    plan : Plan
        How to train.
    fold : int
        Which fold is held out.
    training, held_out : sequence of Path
        Cases as `read_sample` reads them, in order of the patients' names.

    Returns
    -------
    float
        Mean Dice of the held-out cases on the working grid. It chooses nothing: the last epoch's averaged weights are kept.

    Raises
    ------
    StageError
        If the loss is not finite, again with half the learning rate.
    """
    import torch

    for torn in folder.glob(".part-*"):  # what a killed training was writing
        torn.unlink()
    with single_thread(), torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=True), _gpu_of(plan, fold):
        samples = [read_sample(file) for file in training]
        state = _resume(folder, plan, fold)
        while state.epoch < plan.epochs:
            try:
                state.losses.append(_epoch(state, plan, fold, samples))
                state.epoch += 1
            except _DivergedError as problem:
                if state.attempt:
                    message = (
                        f"segment: training of fold {fold} diverged twice: the loss was not a finite number, also with half the learning rate "
                        f"({plan.learning_rate / 2:g}). Lower segment.learning_rate, and look for images with odd intensities"
                    )
                    raise StageError(message) from problem
                state = _fresh(plan, fold, attempt=1)
            _save(state, folder)
            report_step(folder, state.epoch)
        save_weights(state.average, folder / WEIGHTS)
        scores = held_out_dice(plan, folder / WEIGHTS, held_out)
        write_json({"losses": state.losses, "attempts": state.attempt + 1, "held_out_dice": scores}, folder / HISTORY)
        (folder / CHECKPOINT).unlink(missing_ok=True)
    return float(np.mean(scores)) if scores else 0.0


def _gpu_of(plan: Plan, fold: int) -> AbstractContextManager[Any]:
    """Let folds take turns on the GPUs there are."""
    import torch

    return torch.cuda.device(fold % torch.cuda.device_count()) if plan.device == "cuda" else nullcontext()


def held_out_dice(plan: Plan, weights: Path, files: Sequence[Path]) -> list[float]:
    """Give the Dice of a network's masks with the given ones, on the working grid.

    Parameters
    ----------
    plan : Plan
        The plan it was trained by.
    weights : Path
        Its weights.
    files : sequence of Path
        Cases.

    Returns
    -------
    list of float
        One a case.
    """
    from sarcofuse.metrics.overlap import dice
    from sarcofuse.segment.inference import probability

    network = load_network(plan.network, weights, plan.device)
    found = []
    for file in files:
        sample = read_sample(file)
        once, _ = probability(network, automatic_channels(sample.image.astype(np.float32), plan), plan, flips=False)
        found.append(dice(once > 0.5, sample.label > 127))
    return found


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


def _epoch(state: _State, plan: Plan, fold: int, samples: Sequence[Sample]) -> float:
    """Go once through the training cases; everything random comes from (seed, fold, epoch)."""
    import torch

    rng = np.random.default_rng([plan.seed, fold, state.epoch])
    batches = make_batches([s.image.shape for s in samples], plan, rng)
    total, step = 0.0, state.epoch * len(batches)
    state.network.train()
    for batch in batches:
        image, share = make_batch([samples[i] for i in batch], plan, rng)
        for group in state.optimiser.param_groups:
            group["lr"] = learning_rate(plan, step / (plan.epochs * len(batches)), state.attempt)
        with torch.autocast(plan.device, torch.bfloat16, enabled=plan.device == "cuda"):
            logits = state.network(image)
        loss = loss_of(logits, share)
        if not bool(torch.isfinite(loss)):
            raise _DivergedError
        state.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(state.network.parameters(), 1.0)
        state.optimiser.step()
        step += 1
        _follow(state, min(DECAY, step / (step + 10.0)))
        total += float(loss.detach()) * len(batch)
    return total / len(samples)


def _follow(state: _State, decay: float) -> None:
    """Let the averaged weights follow the network's."""
    import torch

    with torch.no_grad():
        for name, value in state.network.state_dict().items():
            if value.dtype.is_floating_point:
                state.average[name].lerp_(value, 1.0 - decay)
            else:
                state.average[name].copy_(value)


def _fresh(plan: Plan, fold: int, attempt: int) -> _State:
    import torch

    network = build_network(plan.network, int(np.random.default_rng([plan.seed, fold]).integers(2**31))).to(plan.device)
    optimiser = torch.optim.AdamW(network.parameters(), lr=plan.learning_rate, weight_decay=1e-2)
    return _State(network, {name: value.detach().clone() for name, value in network.state_dict().items()}, optimiser, attempt=attempt)


def _save(state: _State, folder: Path) -> None:
    import torch

    content: dict[str, Any] = {
        "network": state.network.state_dict(),
        "average": state.average,
        "optimiser": state.optimiser.state_dict(),
        "epoch": state.epoch,
        "attempt": state.attempt,
        "losses": state.losses,
    }
    with atomic_file(folder / CHECKPOINT) as part:
        torch.save(content, part)


def _resume(folder: Path, plan: Plan, fold: int) -> _State:
    import torch

    state = _fresh(plan, fold, attempt=0)
    if not (folder / CHECKPOINT).exists():
        return state
    content = torch.load(folder / CHECKPOINT, map_location=plan.device, weights_only=True)
    state.network.load_state_dict(content["network"])
    state.optimiser.load_state_dict(content["optimiser"])
    state.average = {name: state.average[name].copy_(value) for name, value in content["average"].items()}
    state.epoch, state.attempt, state.losses = content["epoch"], content["attempt"], content["losses"]
    return state
