"""A network that has learnt the outcome: what it makes of a patient's bag, and how it is kept; this module loads torch, so it is imported where a network is asked."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from sarcofuse.config.deep import DeepConfig
from sarcofuse.deep.adapters import changed, loosen, restore
from sarcofuse.deep.backbones import normalise
from sarcofuse.deep.bags import Bag, find_base
from sarcofuse.deep.heads import Head, make_head
from sarcofuse.deep.look import Source, entry_of
from sarcofuse.errors import WeightsError
from sarcofuse.runtime import digest_file, read_json, single_thread

if TYPE_CHECKING:
    from collections.abc import Sequence

NETWORK, NOTES = "network.safetensors", "notes.json"
HEAD, CHANGED = "head.", "network."


@dataclass(frozen=True, slots=True)
class Tuned:
    """A backbone with its changes, and its head.

    Attributes
    ----------
    network : Module or None
        The backbone's own copy; None for a probe, which works on the features as they came.
    groups : list of list of Parameter
        What may learn in it, block by block.
    head : Head
        From slices to a logit.
    config : DeepConfig
        Settings.
    device : {'cpu', 'cuda'}
        Where it works.
    """

    network: nn.Module | None
    groups: list[list[nn.Parameter]]
    head: Head
    config: DeepConfig
    device: str

    def tokens(self, bag: Bag, pictures: Tensor | None = None, regions: Tensor | None = None) -> Tensor:
        """Give the features of a patient's slices.

        Parameters
        ----------
        bag : Bag
            The patient.
        pictures, regions : Tensor, optional
            Augmented ones, in place of the bag's.

        Returns
        -------
        Tensor of float32, shape (slices, features)
            Pooled maps.
        """
        if self.network is None:
            return torch.from_numpy(bag.tokens).to(self.device)
        entry = entry_of(self.config)
        shown = bag.pictures if pictures is None else pictures.numpy()
        x = (torch.from_numpy(np.ascontiguousarray(shown))[:, None] if entry.dims == 3 else normalise(shown, entry)).to(self.device)
        weights = (torch.from_numpy(bag.regions) if regions is None else regions).to(self.device)
        maps: Any = self.network.maps
        return pool_tokens(maps(x, self.config.layer), weights, self.config.pooling)

    def logit(self, bag: Bag) -> float:
        """Give the logit of one patient by himself.

        Parameters
        ----------
        bag : Bag
            The patient.

        Returns
        -------
        float
            As the head gives it, without temperature.
        """
        with torch.inference_mode():
            tokens = self.tokens(bag)[None]
            there = torch.ones(tokens.shape[:2], dtype=torch.bool, device=self.device)
            return float(self.head(tokens, torch.from_numpy(bag.areas)[None].to(self.device), there)[0])

    def state(self) -> dict[str, Tensor]:
        """Give all that has been learnt.

        Returns
        -------
        dict of str to Tensor
            The head's tensors, and those of the backbone that may have changed.
        """
        own = {HEAD + n: t.detach().cpu().clone() for n, t in self.head.state_dict().items()}
        return own | ({} if self.network is None else {CHANGED + n: t for n, t in changed(self.network).items()})

    def take(self, state: dict[str, Tensor]) -> None:
        """Take what `state` gave.

        Parameters
        ----------
        state : dict of str to Tensor
            All that has been learnt.

        Raises
        ------
        WeightsError
            If it is of another network or head.
        """
        try:
            self.head.load_state_dict({n.removeprefix(HEAD): t for n, t in state.items() if n.startswith(HEAD)}, strict=True)
        except RuntimeError as error:
            message = f"this is not the head that the settings name ({self.config.head}): {str(error).splitlines()[-1].strip()}. Take the bundle or the run folder as it was written"
            raise WeightsError(message) from error
        if self.network is not None:
            restore(self.network, {n.removeprefix(CHANGED): t for n, t in state.items() if n.startswith(CHANGED)})


def build_tuned(config: DeepConfig, source: Source, features: int) -> Tuned:
    """Make a network ready to learn, or to take what it has learnt.

    Parameters
    ----------
    config : DeepConfig
        Settings.
    source : Source
        Weights of the backbone.
    features : int
        Features of a slice.

    Returns
    -------
    Tuned
        With a new head.
    """
    mode, network, groups = config.fine_tune.mode, None, list[list[nn.Parameter]]()
    if mode != "probe":
        entry, base = entry_of(config), find_base(config, source)
        network = copy.deepcopy(base.network)
        example = torch.zeros((1, 1, *base.multiples) if entry.dims == 3 else (1, 1 if entry.channels == "grey" else 3, entry.size, entry.size), device=source.device)
        groups = loosen(network, mode, example, config.layer, config.fine_tune.rank)
    head = make_head(config.head, features, config.fine_tune.dropout, config.slice_pooling).to(source.device)
    return Tuned(network, groups, head.eval(), config, source.device)


def pool_tokens(maps: Sequence[Tensor], regions: Tensor, pooling: str) -> Tensor:
    """Pool the feature maps of slices as `sarcofuse.deep.pooling.pool_maps` does, so that gradients pass.

    Parameters
    ----------
    maps : sequence of Tensor, each of shape (slices, channels, rows, columns) or (slices, channels, planes, rows, columns)
        Feature maps.
    regions : Tensor, shape (slices, regions, rows, columns) or (slices, regions, planes, rows, columns)
        Weights; no regions for whole maps.
    pooling : {'average', 'masked', 'max', 'regions'}
        ``deep.pooling``.

    Returns
    -------
    Tensor, shape (slices, features)
        Region by region, in each of them map by map.
    """
    flat = [m.flatten(2) for m in maps]
    if pooling == "max":
        return torch.cat([m.amax(2) for m in flat], 1)
    if not regions.shape[1]:
        return torch.cat([m.mean(2) for m in flat], 1)
    shares = [functional.interpolate(regions, size=m.shape[2:], mode="area").flatten(2) for m in maps]
    found = []
    for r in range(regions.shape[1]):
        for m, share in zip(flat, shares, strict=True):
            own = share[:, r : r + 1]
            total = own.sum(2)
            found.append(torch.where(total > 0, (m * own).sum(2) / torch.where(total > 0, total, 1.0), m.mean(2)))
    return torch.cat(found, 1)


@contextmanager
def ready_to_learn(seed: Sequence[int]) -> Iterator[None]:
    """Hold torch to one thread, to algorithms that repeat, and to draws of its own.

    Parameters
    ----------
    seed : sequence of int
        Seed of all that torch draws within.

    Yields
    ------
    None
        Nothing.
    """
    before = torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark, torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark, torch.backends.cudnn.allow_tf32 = True, False, False
    try:
        with single_thread(), torch.random.fork_rng(enabled=True):
            torch.manual_seed(int(np.random.default_rng(list(seed)).integers(2**62)))
            yield
    finally:
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark, torch.backends.cudnn.allow_tf32 = before


def score(folder: Path, config: DeepConfig, source: Source, bags: Iterable[Bag]) -> list[float]:
    """Give what a network says of patients, each by himself.

    Parameters
    ----------
    folder : Path
        With ``network.safetensors`` and ``notes.json``.
    config : DeepConfig
        Settings.
    source : Source
        Weights of the backbone.
    bags : iterable of Bag
        The patients, of whom one is in memory at a time.

    Returns
    -------
    list of float
        Logits, less their mean over the patients whom the network learnt from, by its temperature.

    Raises
    ------
    WeightsError
        If the file is of another network or head.
    """
    notes, content, found = read_json(folder / NOTES), digest_file(folder / NETWORK), list[float]()
    with ready_to_learn([0]):
        for bag in bags:
            tuned = load_tuned(folder, content, config, source, bag.tokens.shape[1])
            found.append((tuned.logit(bag) - float(notes["centre"])) / float(notes["temperature"]))
    return found


@lru_cache(maxsize=12)
def load_tuned(folder: Path, content: str, config: DeepConfig, source: Source, features: int) -> Tuned:
    """Put a network together, once a process.

    Parameters
    ----------
    folder : Path
        With ``network.safetensors``.
    content : str
        SHA-256 of that file, which tells one from another.
    config : DeepConfig
        Settings.
    source : Source
        Weights of the backbone.
    features : int
        Features of a slice.

    Returns
    -------
    Tuned
        Shared: not to be changed.

    Raises
    ------
    WeightsError
        If the file cannot be read, or is of another network or head.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        state = load_file(folder / NETWORK)
    except (OSError, SafetensorError) as error:
        message = f"{folder / NETWORK} cannot be read as safetensors (content {content[:8]}): {error}. Take the bundle or the run folder as it was written"
        raise WeightsError(message) from error
    tuned = build_tuned(config, source, features)
    tuned.take(state)
    return tuned
