"""The inferer that Auto3DSeg's ensembles ask an algorithm for."""

from __future__ import annotations

from pathlib import Path

import torch

from sarcofuse.segment.grid import WorkImage
from sarcofuse.segment.inference import probability
from sarcofuse.segment.network import load_network
from sarcofuse.segment.plan import Plan


class InferClass:
    """One network, ready to predict.

    Parameters
    ----------
    plan : Plan
        The plan it was trained by.
    weights : Path
        Its weights.
    flips : bool
        Whether to average over flips.
    device : str
        ``cpu`` or ``cuda``.
    """

    def __init__(self, plan: Plan, weights: Path, flips: bool = True, device: str = "cpu") -> None:
        self.plan, self.flips = plan, flips
        self.network = load_network(plan.network, weights, device)

    def infer(self, image: WorkImage) -> torch.Tensor:
        """Give the tumour probability of each voxel.

        Parameters
        ----------
        image : WorkImage
            Normalised, on the working grid.

        Returns
        -------
        Tensor of float32, shape (2, z, y, x)
            Of the image as it is, and averaged over the flips.
        """
        once, mean = probability(self.network, image.array, self.plan, flips=self.flips)
        return torch.stack([torch.from_numpy(once), torch.from_numpy(mean)])
