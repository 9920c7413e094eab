"""Fine-tuning of one network: drawn from its seed, stopped on patients held out of its own, one thread; this module loads torch, so it is imported where a network learns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from sarcofuse.config.deep import DeepConfig, FineTuneConfig
from sarcofuse.deep.bags import Bag, read_bag
from sarcofuse.deep.look import Source, entry_of
from sarcofuse.deep.tuned import NETWORK, NOTES, Tuned, build_tuned, ready_to_learn
from sarcofuse.errors import StageError
from sarcofuse.metrics import grouped_folds
from sarcofuse.runtime import write_json

if TYPE_CHECKING:
    from numpy.typing import NDArray

FASTER = 20.0  # most that a temperature may stretch or shrink logits
WIDE = 256  # patients at a time where nothing is learnt


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """What one network learns from.

    Attributes
    ----------
    name : str
        What to call it in errors.
    bags : tuple of Path
        Bags of its patients.
    y : ndarray of 0.0 and 1.0, shape (patients,)
        Outcome.
    group : ndarray of int, shape (patients,), or None
        Patients of one number stay together.
    seed : int
        Seed of all that is drawn.
    """

    name: str
    bags: tuple[Path, ...]
    y: NDArray[np.float64]
    group: NDArray[np.int64] | None
    seed: int


def learn_network(folder: Path, lesson: Lesson, config: DeepConfig, source: Source) -> None:
    """Let a network learn the outcome of some patients (a task of the engine).

    Writes ``network.safetensors`` (the head, and the backbone's tensors that changed) and ``notes.json``: temperature, centre, passes, losses, patients.

    Parameters
    ----------
    folder : Path
        Where to write.
    lesson : Lesson
        Whom it learns from.
    config : DeepConfig
        Settings.
    source : Source
        Weights of the backbone.

    Raises
    ------
    StageError
        If the loss is no longer a number.
    """
    from safetensors.torch import save_file

    settings = config.fine_tune
    held = grouped_folds(lesson.y, lesson.group, max(2, round(1.0 / settings.held_out)), [lesson.seed, 1]) == 0
    with ready_to_learn([lesson.seed, 2]):
        room = _Room(lesson, config, source, held)
        losses, judged, best = _passes(room, settings)
        logits = room.logits(range(len(held)))
    centre = float(np.mean(logits[~held]))
    weights = _weights(lesson.y, ~held, settings)
    temperature = fit_temperature(logits[held] - centre, lesson.y[held], weights[held]) if settings.temperature else 1.0
    state = room.tuned.state()
    save_file(state, folder / NETWORK)
    write_json(
        {
            "centre": centre,
            "temperature": temperature,
            "passes": len(losses),
            "best": best,
            "losses": losses,
            "held_out_losses": judged,
            "learnt_from": int((~held).sum()),
            "held_out": int(held.sum()),
            "events": int(lesson.y[~held].sum()),
            "held_out_events": int(lesson.y[held].sum()),
            "tensors": len(state),
            "numbers": sum(t.numel() for t in state.values()),
        },
        folder / NOTES,
    )


class _Room:
    """A network and its patients; bags of a probe are small and all in memory, others are read when they are shown."""

    def __init__(self, lesson: Lesson, config: DeepConfig, source: Source, held: NDArray[np.bool_]) -> None:
        self.lesson, self.config, self.held = lesson, config, held
        slices = [read_bag(folder) for folder in lesson.bags] if config.fine_tune.mode == "probe" else None
        self.kept = slices
        tokens = [self.bag(i).tokens for i in np.flatnonzero(~held).tolist()]
        self.tuned: Tuned = build_tuned(config, source, tokens[0].shape[1])
        self.tuned.head.standardise(torch.from_numpy(np.concatenate(tokens)).to(source.device))

    def bag(self, i: int) -> Bag:
        return read_bag(self.lesson.bags[i]) if self.kept is None else self.kept[i]

    def forward(self, rows: Sequence[int], change: Callable[[Bag, int], tuple[Tensor, Tensor]] | None = None) -> Tensor:
        """Give the logits of some patients, with gradients."""
        bags = [self.bag(i) for i in rows]
        found = [self.tuned.tokens(b) if change is None else self.tuned.tokens(b, *change(b, i)) for b, i in zip(bags, rows, strict=True)]
        tokens = torch.nn.utils.rnn.pad_sequence(found, batch_first=True)
        areas = torch.nn.utils.rnn.pad_sequence([torch.from_numpy(b.areas) for b in bags], batch_first=True).to(tokens.device)
        there = torch.arange(tokens.shape[1])[None].to(tokens.device) < torch.tensor([len(t) for t in found], device=tokens.device)[:, None]
        logits: Tensor = self.tuned.head(tokens, areas, there)
        return logits

    def logits(self, rows: Sequence[int]) -> NDArray[np.float64]:
        """Give the logits of some patients, without gradients."""
        self.tuned.head.eval()
        step = WIDE if self.kept is not None else 1
        with torch.inference_mode():
            parts = [self.forward(rows[at : at + step]).double().cpu().numpy() for at in range(0, len(rows), step)]
        return np.concatenate(parts)


def _weights(y: NDArray[np.float64], learnt: NDArray[np.bool_], settings: FineTuneConfig) -> NDArray[np.float64]:
    """Give each patient's weight: both outcomes weigh alike among those who are learnt from, or every patient does."""
    if settings.class_weights == "none":
        return np.ones(y.size)
    events, total = float(y[learnt].sum()), float(learnt.sum())
    return np.where(y > 0, total / (2.0 * events), total / (2.0 * (total - events)))


def _passes(room: _Room, settings: FineTuneConfig) -> tuple[list[float], list[float], int]:
    """Learn pass by pass until the held-out loss no longer falls; leave the best pass, and no less than one, in the network."""
    y, held = room.lesson.y, room.held
    weights, learnt, judges = _weights(y, ~held, settings), np.flatnonzero(~held), np.flatnonzero(held)
    optimiser = torch.optim.AdamW(_rates(room.tuned, settings), weight_decay=settings.weight_decay)
    losses: list[float] = []
    judged: list[float] = []
    best, kept = 1, room.tuned.state()
    for number in range(1, settings.epochs + 1):
        rng = np.random.default_rng([room.lesson.seed, 3, number])
        losses.append(_pass(room, optimiser, rng.permutation(learnt).tolist(), weights, rng))
        judged.append(_loss(room.logits(judges.tolist()), y[judges], weights[judges]))
        if not np.isfinite(losses[-1]) or not np.isfinite(judged[-1]):
            message = f"fine-tuning of {room.lesson.name}: the loss is no longer a number in pass {number}; lower deep.fine_tune.learning_rate and network_rate, or set mode: probe"
            raise StageError(message)
        if number == 1 or judged[-1] < judged[best - 1]:
            best, kept = number, room.tuned.state()
        elif number - best >= settings.patience:
            break
    room.tuned.take(kept)
    return losses, judged, best


def _rates(tuned: Tuned, settings: FineTuneConfig) -> list[dict[str, object]]:
    """Give the groups of the optimiser: the head, and the backbone's blocks, each before the last slower."""
    last = len(tuned.groups) - 1
    slower = [{"params": group, "lr": settings.network_rate / settings.discriminative ** (last - i)} for i, group in enumerate(tuned.groups)]
    return [{"params": list(tuned.head.parameters()), "lr": settings.learning_rate}, *slower]


def _pass(room: _Room, optimiser: torch.optim.Optimizer, order: Sequence[int], weights: NDArray[np.float64], rng: np.random.Generator) -> float:
    """Learn from every patient once; give the mean loss."""
    settings, total = room.config.fine_tune, 0.0
    room.tuned.head.train()
    change = None if room.tuned.network is None else _augmentation(room.config, rng)
    step = settings.batch if room.tuned.network is None else 1  # a patient at a time where maps take memory
    for start in range(0, len(order), settings.batch):
        batch = order[start : start + settings.batch]
        optimiser.zero_grad()
        for at in range(0, len(batch), step):
            rows = batch[at : at + step]
            logits = room.forward(rows, change)
            target, own = (torch.tensor(v[rows], dtype=logits.dtype, device=logits.device) for v in (room.lesson.y, weights))
            loss = functional.binary_cross_entropy_with_logits(logits, target, weight=own, reduction="sum")
            (loss / len(batch)).backward()  # type: ignore[no-untyped-call]
            total += float(loss.detach())
        torch.nn.utils.clip_grad_norm_([p for group in optimiser.param_groups for p in group["params"]], 5.0)
        optimiser.step()
    return total / len(order)


def _loss(logits: NDArray[np.float64], y: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    """Give the weighted cross-entropy of logits."""
    each = np.logaddexp(0.0, logits) - y * logits
    return float((weights * each).sum() / weights.sum())


def fit_temperature(logits: NDArray[np.float64], y: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    """Find the temperature that logits are divided by [1]_, drawn towards 1 because few patients tell of it.

    Parameters
    ----------
    logits : ndarray, shape (patients,)
        Of patients whom the network did not learn from.
    y : ndarray of 0 and 1, shape (patients,)
        Outcome.
    weights : ndarray, shape (patients,)
        Their weights.

    Returns
    -------
    float
        From 1/20 to 20: least weighted cross-entropy plus half the square of its own logarithm, as a normal prior of deviation 1 on the logarithm has it.

    References
    ----------
    .. [1] Guo C et al. On calibration of modern neural networks. ICML 2017, section 4.2.
    """
    from scipy.optimize import minimize_scalar

    def cost(log_t: float) -> float:
        return _loss(logits / np.exp(log_t), y, weights) * y.size + 0.5 * log_t**2

    reach = float(np.log(FASTER))
    return float(np.exp(minimize_scalar(cost, bounds=(-reach, reach), method="bounded", options={"xatol": 1e-6}).x))


def _augmentation(config: DeepConfig, rng: np.random.Generator) -> Callable[[Bag, int], tuple[Tensor, Tensor]]:
    """Make the random change of a patient's pictures; all slices of a patient change alike."""
    settings, flat = config.fine_tune, entry_of(config).dims == 2

    def change(bag: Bag, _row: int) -> tuple[Tensor, Tensor]:
        flips, angle, stretch, shift = rng.random(2) < 0.5, rng.uniform(-1, 1) * settings.turn_degrees, *(rng.uniform(-1, 1, 2) * settings.intensity)
        pictures, regions = torch.from_numpy(bag.pictures).float(), torch.from_numpy(bag.regions)
        axes = [axis for axis, flipped in zip((-1, -2), flips, strict=True) if flipped and settings.flips]
        pictures, regions = pictures.flip(axes), regions.flip(axes)
        if flat and settings.turn_degrees:
            pictures, regions = turn(pictures[:, None], float(angle))[:, 0], turn(regions, float(angle)) if regions.shape[1] else regions
        if flat:
            return (pictures * (1.0 + stretch) + 255.0 * shift).clamp(0.0, 255.0), regions
        return pictures * (1.0 + stretch) + shift, regions

    return change


def turn(pictures: Tensor, degrees: float) -> Tensor:
    """Turn pictures about their middle.

    Parameters
    ----------
    pictures : Tensor of float32, shape (n, channels, size, size)
        Pictures.
    degrees : float
        Angle, from the first axis (down) towards the second (right).

    Returns
    -------
    Tensor, same shape
        0 where nothing is known.
    """
    cosine, sine = float(np.cos(np.deg2rad(degrees))), float(np.sin(np.deg2rad(degrees)))
    matrix = torch.tensor([[cosine, -sine, 0.0], [sine, cosine, 0.0]]).expand(len(pictures), 2, 3)
    grid = functional.affine_grid(matrix, list(pictures.shape), align_corners=False)
    return functional.grid_sample(pictures, grid, align_corners=False)
