"""Train the network of one fold: every epoch is saved, and drawn from (seed, fold, epoch), so that a broken training goes on to the same bytes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sarcofuse.errors import StageError
from sarcofuse.runtime import read_json, report_step, single_thread, write_json
from sarcofuse.segment.batches import Sample, automatic_channels, coarsened, make_batch, make_batches, read_sample
from sarcofuse.segment.group import ALONE, Group
from sarcofuse.segment.memory import step_down
from sarcofuse.segment.network import build_network, load_network, save_weights
from sarcofuse.segment.objective import learning_rate, loss_of, pyramid
from sarcofuse.segment.plan import Plan
from sarcofuse.segment.state import CHECKPOINT, State, fresh, resume
from sarcofuse.segment.stopping import due, inner_patients, stop
from sarcofuse.segment.transfer import Start

if TYPE_CHECKING:
    import torch

WEIGHTS = "weights.safetensors"
HISTORY = "history.json"


class _DivergedError(Exception):
    """The loss is no longer a finite number."""


class _MemoryError(Exception):
    """The GPU of this process, or of one that trains with it, is out of memory."""


def train_fold(folder: Path, plan: Plan, fold: int, training: Sequence[Path], held_out: Sequence[Path], *, start: Start | None = None, group: Group = ALONE) -> float:
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
    start : Start, optional
        Weights to start from; those not in it are fresh.
    group : Group
        The processes that train this network together.

    Returns
    -------
    float
        Mean Dice of the held-out cases on the working grid. It chooses nothing: the last epoch's averaged weights are kept, or with early stopping those that
        were best for patients set apart from the training cases.

    Raises
    ------
    StageError
        If the loss is not finite, again with half the learning rate, or the GPU has no room for even the smallest patch.
    """
    import torch

    for torn in folder.glob(".part-*") if group.leads else ():  # what a killed training was writing
        torn.unlink()
    with single_thread(), torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=True), _gpu_of(plan, fold, group):
        samples = [read_sample(file) for file in training]
        apart = set(inner_patients(plan, fold, len(samples)))
        inner, seen = ([s for i, s in enumerate(samples) if (i in apart) is wanted] for wanted in (True, False))
        first = None if start is None else start.weights
        state = resume(folder, plan, fold, first)
        smaller, notes = _shrunk(plan, state.shrunk)
        while state.epoch < plan.epochs and not stop(plan, state.epoch, state.best_epoch):
            try:
                state.losses.append(_epoch(state, smaller, fold, seen, group))
            except _DivergedError as problem:
                state = _restart(state, plan, fold, first, problem)
            except _MemoryError as problem:
                state = _shrink(resume(folder, plan, fold, first), smaller, fold, len(notes) + 1, problem)
                smaller, notes = _shrunk(plan, state.shrunk)
                continue
            else:
                state.epoch += 1
                _judge(state, smaller, inner, group)
            if group.leads:
                state.save(folder)
                report_step(folder, state.epoch)
        if group.leads:
            _finish(folder, smaller, state, held_out, {"stepped_down": notes, "inner_patients": len(inner), "start": "" if start is None else start.told()})
    return float(np.mean(scores)) if group.leads and (scores := read_json(folder / HISTORY)["held_out_dice"]) else 0.0


def _finish(folder: Path, plan: Plan, state: State, held_out: Sequence[Path], more: Mapping[str, Any]) -> None:
    save_weights(state.best or state.average, folder / WEIGHTS)
    scores = held_out_dice(plan, folder / WEIGHTS, held_out)
    judged = {"inner_dice": state.judged, "kept_epoch": state.best_epoch or state.epoch}
    write_json({"losses": state.losses, "attempts": state.attempt + 1, "held_out_dice": scores, **judged, **more}, folder / HISTORY)
    (folder / CHECKPOINT).unlink(missing_ok=True)


def _restart(state: State, plan: Plan, fold: int, weights: Mapping[str, torch.Tensor] | None, problem: Exception) -> State:
    if state.attempt:
        message = (
            f"segment: training of fold {fold} diverged twice: the loss was not a finite number, also with half the learning rate "
            f"({plan.learning_rate / 2:g}). Lower segment.learning_rate, and look for images with odd intensities"
        )
        raise StageError(message) from problem
    again = fresh(plan, fold, weights, attempt=1)
    again.shrunk = state.shrunk
    return again


def _shrunk(plan: Plan, steps: int) -> tuple[Plan, list[str]]:
    """Give the plan after some steps down, and what each of them was."""
    notes = []
    for _ in range(steps):
        plan, note = step_down(plan) or (plan, "nothing")
        notes.append(note)
    return plan, notes


def _shrink(state: State, plan: Plan, fold: int, steps: int, problem: Exception) -> State:
    import torch

    if step_down(plan) is None:
        message = f"segment: fold {fold}: the GPU is out of memory even with patches of {' x '.join(map(str, plan.shape[::-1]))} voxels one at a time. Lower segment.filters, or free the GPU"
        raise StageError(message) from problem
    if plan.device == "cuda":
        torch.cuda.empty_cache()
    state.shrunk = steps
    return state


def _gpu_of(plan: Plan, fold: int, group: Group) -> AbstractContextManager[Any]:
    """Let folds take turns on the GPUs there are; processes of one training have one each."""
    import torch

    if plan.device != "cuda":
        return nullcontext()
    return torch.cuda.device((group.rank if group.size > 1 else fold) % torch.cuda.device_count())


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
    network = load_network(plan.network, weights, plan.device)
    return [_dice(network, plan, read_sample(file)) for file in files]


def _dice(network: torch.nn.Module, plan: Plan, sample: Sample) -> float:
    from sarcofuse.metrics.overlap import dice
    from sarcofuse.segment.inference import probability

    sample = coarsened(sample, plan)
    once, _ = probability(network, automatic_channels(sample, plan), plan, flips=False)
    return dice(once > 0.5, sample.label > 127)


def _judge(state: State, plan: Plan, inner: Sequence[Sample], group: Group) -> None:
    """Score the averaged weights on the inner patients, who are dealt out to the processes, and keep the best."""
    if not inner or not due(plan, state.epoch):
        return
    network = build_network(plan.network).to(plan.device)
    network.load_state_dict(state.average)
    network.eval()
    mine = {i: _dice(network, plan, inner[i]) for i in range(group.rank, len(inner), group.size)}
    score = float(np.mean(group.total([mine.get(i, 0.0) for i in range(len(inner))])))
    if score > max((s for _, s in state.judged), default=-1.0):
        state.best, state.best_epoch = {name: value.clone() for name, value in state.average.items()}, state.epoch
    state.judged.append((state.epoch, score))


def _epoch(state: State, plan: Plan, fold: int, samples: Sequence[Sample], group: Group) -> float:
    """Go once through the training cases; everything random comes from (seed, fold, epoch, batch), whichever process draws it."""
    drawn = [plan.seed, fold, state.epoch]
    batches = make_batches([s.image.shape for s in samples], plan, np.random.default_rng(drawn))
    steps = [range(first, min(first + plan.accumulate, len(batches))) for first in range(0, len(batches), plan.accumulate)]
    total, done = 0.0, state.epoch * len(steps)
    state.network.train()
    for step in steps:
        for settings in state.optimiser.param_groups:
            settings["lr"] = learning_rate(plan, done / (plan.epochs * len(steps)), state.attempt)
        cases = sum(len(batches[k]) for k in step)
        mine = [(len(batches[k]) / cases, [samples[i] for i in batches[k]], np.random.default_rng([*drawn, k])) for k in step[group.rank :: group.size]]
        total += take_step(state, plan, mine, group) * cases
        done += 1
        state.follow(done)
    return total / len(samples)


def take_step(state: State, plan: Plan, batches: Sequence[tuple[float, Sequence[Sample], np.random.Generator]], group: Group) -> float:
    """Add up the gradients of some batches, here and in the other processes, and move the weights once.

    Parameters
    ----------
    state : State
        Whose network learns.
    plan : Plan
        How.
    batches : sequence of (float, sequence of Sample, Generator)
        Batches of this process: their share of the step's cases, the cases, and where their changes are drawn.
    group : Group
        The processes that take this step together.

    Returns
    -------
    float
        Loss, averaged over the cases of all processes.
    """
    import torch

    state.optimiser.zero_grad(set_to_none=True)
    loss, full = 0.0, False
    try:
        for weight, cases, rng in batches:
            image, share = make_batch(cases, plan, rng)
            with torch.autocast(plan.device, torch.bfloat16, enabled=plan.device == "cuda"):
                outputs = state.network(image)
            part = sum((w * loss_of(logits, target) for w, logits, target in pyramid(share, outputs)), start=torch.zeros((), device=image.device)) * weight
            part.backward()  # type: ignore[no-untyped-call]
            loss += float(part.detach())
    except torch.OutOfMemoryError:
        full = True
    loss, stuck = group.total([loss, float(full)])
    if stuck:
        raise _MemoryError
    if not math.isfinite(loss):
        raise _DivergedError
    group.add_gradients(state.network.parameters())
    torch.nn.utils.clip_grad_norm_(state.network.parameters(), 1.0)
    state.optimiser.step()
    return loss
