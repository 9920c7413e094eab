"""Processes that train one network together: gradients are added up, and all decide alike."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class Group:
    """The processes of one training; a single one needs nobody.

    Attributes
    ----------
    rank : int
        Which one this is; 0 writes the files.
    size : int
        How many there are.
    device : str
        Where what is exchanged must lie: ``cpu`` (gloo) or ``cuda`` (NCCL).
    """

    rank: int = 0
    size: int = 1
    device: str = "cpu"

    @property
    def leads(self) -> bool:
        """Whether this process writes the files."""
        return self.rank == 0

    def total(self, values: Sequence[float]) -> list[float]:
        """Add numbers up over all processes.

        Parameters
        ----------
        values : sequence of float
            Those of this process; as many in each.

        Returns
        -------
        list of float
            The sums, the same in each.
        """
        import torch

        if self.size == 1:
            return [float(v) for v in values]
        tensor = torch.tensor(list(values), dtype=torch.float64, device=self.device)
        torch.distributed.all_reduce(tensor)
        return [float(v) for v in tensor.cpu()]

    def add_gradients(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Add the gradients up over all processes, in place.

        Parameters
        ----------
        parameters : iterable of Parameter
            Of the network; the same in each process.
        """
        import torch

        if self.size == 1:
            return
        ours = list(parameters)
        for parameter in ours:
            if parameter.grad is None:  # this process had no volume in the step
                parameter.grad = torch.zeros_like(parameter)
        gradients = [p.grad for p in ours if p.grad is not None]
        flat = torch.cat([g.reshape(-1) for g in gradients])
        torch.distributed.all_reduce(flat)
        for gradient, summed in zip(gradients, torch.split(flat, [g.numel() for g in gradients]), strict=True):
            gradient.copy_(summed.view_as(gradient))


ALONE = Group()
