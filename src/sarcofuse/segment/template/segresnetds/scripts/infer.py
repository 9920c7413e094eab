"""The inferer that Auto3DSeg's ensembles ask an algorithm for."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import torch

from sarcofuse.config.segment import InferenceConfig
from sarcofuse.runtime import digest_file
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
    inference : InferenceConfig, optional
        Windows and memory.
    notes : list of str, optional
        Takes up what had to be done otherwise for want of memory.
    """

    def __init__(self, plan: Plan, weights: Path, flips: bool = True, device: str = "cpu", inference: InferenceConfig | None = None, notes: list[str] | None = None) -> None:
        self.plan, self.flips, self.inference, self.notes = plan, flips, inference, notes
        backend = "torch" if inference is None or device != "cpu" else inference.backend
        self.network = _network(json.dumps(dict(plan.network)), weights, digest_file(weights), device, backend)

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
        once, mean = probability(self.network, image.array, self.plan, flips=self.flips, settings=self.inference, notes=self.notes)
        return torch.stack([torch.from_numpy(once), torch.from_numpy(mean)])


@functools.lru_cache(maxsize=10)
def _network(arguments: str, weights: Path, content: str, device: str, backend: str) -> torch.nn.Module:  # noqa: ARG001 - the content is what tells weights apart
    """Load a network once for all patients that a worker sees; as many as an ensemble may have."""
    network = load_network(json.loads(arguments), weights, device)
    if backend == "torch":
        return network
    from sarcofuse.segment.openvino import compiled

    return compiled(network)
