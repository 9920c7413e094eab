"""All that changes from epoch to epoch of a training, and its checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sarcofuse.runtime import atomic_file
from sarcofuse.segment.network import build_network
from sarcofuse.segment.plan import Plan

if TYPE_CHECKING:
    import torch

CHECKPOINT = "checkpoint.pt"
DECAY = 0.99
PLAIN = ("epoch", "attempt", "shrunk", "losses", "judged", "best_epoch")


@dataclass
class State:
    """All that changes from epoch to epoch.

    Attributes
    ----------
    network : torch.nn.Module
        What learns.
    average : dict of str to Tensor
        Weights that follow the network's.
    optimiser : torch.optim.Optimizer
        AdamW.
    epoch, attempt, shrunk : int
        Epochs done; restarts after divergence; steps down for want of memory.
    losses : list of float
        Mean loss of each epoch.
    judged : list of (int, float)
        Epochs after which the inner held-out patients were judged, and their mean Dice.
    best_epoch : int
        The one whose averaged weights are kept; 0 before any.
    best : dict of str to Tensor
        Those weights.
    """

    network: torch.nn.Module
    average: dict[str, torch.Tensor]
    optimiser: torch.optim.Optimizer
    epoch: int = 0
    attempt: int = 0
    shrunk: int = 0
    losses: list[float] = field(default_factory=list)
    judged: list[tuple[int, float]] = field(default_factory=list)
    best_epoch: int = 0
    best: dict[str, torch.Tensor] = field(default_factory=dict)

    def follow(self, step: int) -> None:
        """Let the averaged weights follow the network's.

        Parameters
        ----------
        step : int
            Steps done; the first few are soon forgotten.
        """
        import torch

        decay = min(DECAY, step / (step + 10.0))
        with torch.no_grad():
            for name, value in self.network.state_dict().items():
                if value.dtype.is_floating_point:
                    self.average[name].lerp_(value, 1.0 - decay)
                else:
                    self.average[name].copy_(value)

    def save(self, folder: Path) -> None:
        """Write the checkpoint, atomically.

        Parameters
        ----------
        folder : Path
            Where to.
        """
        import torch

        content: dict[str, Any] = {"network": self.network.state_dict(), "average": self.average, "optimiser": self.optimiser.state_dict(), "best": self.best}
        content |= {name: getattr(self, name) for name in PLAIN}
        with atomic_file(folder / CHECKPOINT) as part:
            torch.save(content, part)


def fresh(plan: Plan, fold: int, start: Mapping[str, torch.Tensor] | None, attempt: int = 0) -> State:
    """Begin a training.

    Parameters
    ----------
    plan : Plan
        How to train.
    fold : int
        Which fold; with the plan's seed it decides the first weights.
    start : mapping of str to Tensor, optional
        Weights to start from instead; those that are not in it are fresh.
    attempt : int
        0, or 1 for the restart with half the rate.

    Returns
    -------
    State
        Before its first epoch.
    """
    import torch

    network = build_network(plan.network, int(np.random.default_rng([plan.seed, fold]).integers(2**31)))
    network.load_state_dict({**network.state_dict(), **(start or {})})
    network = network.to(plan.device)
    optimiser = torch.optim.AdamW(network.parameters(), lr=plan.learning_rate, weight_decay=1e-2)
    return State(network, {name: value.detach().clone() for name, value in network.state_dict().items()}, optimiser, attempt=attempt)


def resume(folder: Path, plan: Plan, fold: int, start: Mapping[str, torch.Tensor] | None) -> State:
    """Go on where a training was left, or begin it.

    Parameters
    ----------
    folder : Path
        Where the checkpoint may be.
    plan : Plan
        How to train.
    fold : int
        Which fold.
    start : mapping of str to Tensor, optional
        As for `fresh`.

    Returns
    -------
    State
        After the last epoch that was saved.
    """
    import torch

    state = fresh(plan, fold, start)
    if not (folder / CHECKPOINT).exists():
        return state
    content = torch.load(folder / CHECKPOINT, map_location=plan.device, weights_only=True)
    state.network.load_state_dict(content["network"])
    state.optimiser.load_state_dict(content["optimiser"])
    state.average = {name: state.average[name].copy_(value) for name, value in content["average"].items()}
    state.best = content["best"]
    for name in PLAIN:
        setattr(state, name, content[name])
    return state
