"""Which tensors of a network may change in fine-tuning; this module loads torch, so it is imported where a network learns."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from sarcofuse.errors import WeightsError

BLOCK = re.compile(r"(?:layers?\.?|fire|denseblock|_blocks\.)\d+")


class EncoderMaps(nn.Module):
    """The study's own encoder with the method that all backbones share.

    Parameters
    ----------
    encoder : Module
        Encoder of MONAI's SegResNetDS.
    """

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def maps(self, x: Tensor, layer: str = "last") -> list[Tensor]:
        """Give the last feature map, or those of all levels.

        Parameters
        ----------
        x : Tensor, shape (n, 1, planes, rows, columns)
            Boxes, normalised.
        layer : {'last', 'blocks'}
            Which.

        Returns
        -------
        list of Tensor
            Feature maps.
        """
        found: list[Tensor] = list(self.encoder(x))
        return found[-1:] if layer == "last" else found


class LowRank(nn.Module):
    """A weight with an addition of low rank [1]_, which starts at nothing.

    Parameters
    ----------
    weight : Tensor, shape (out, in, ...)
        The weight; kernels are flattened.
    rank : int
        Rank of the addition.

    References
    ----------
    .. [1] Hu EJ et al. LoRA: low-rank adaptation of large language models. ICLR 2022, equation 3 with alpha equal to the rank.
    """

    def __init__(self, weight: Tensor, rank: int) -> None:
        super().__init__()
        wide = weight[0].numel()
        self.a, self.b = nn.Parameter(torch.randn(rank, wide) / math.sqrt(wide)), nn.Parameter(torch.zeros(len(weight), rank))

    def forward(self, weight: Tensor) -> Tensor:
        """Add.

        Parameters
        ----------
        weight : Tensor, shape (out, in, ...)
            The weight as it came.

        Returns
        -------
        Tensor, same shape
            The sum.
        """
        return weight + (self.b @ self.a).view_as(weight)


def blocks(network: nn.Module, example: Tensor, layer: str) -> list[list[nn.Module]]:
    """Group the modules that feature maps depend on by block, in the order they are used.

    Parameters
    ----------
    network : Module
        With a method ``maps``.
    example : Tensor
        An input of any content.
    layer : {'last', 'blocks'}
        Which maps are wanted.

    Returns
    -------
    list of list of Module
        Modules that have parameters of their own; what comes before the first block joins it, and what comes after a block (a final convolution, say) joins that one.
    """
    names, used = {id(m): n for n, m in network.named_modules()}, dict[int, nn.Module]()

    def note(module: nn.Module, *_: object) -> None:
        used.setdefault(id(module), module)

    hooks = [m.register_forward_hook(note) for m in network.modules() if next(m.parameters(recurse=False), None) is not None]
    maps: Any = network.maps
    try:
        with torch.no_grad():
            maps(example, layer)
    finally:
        for hook in hooks:
            hook.remove()
    groups: dict[str, list[nn.Module]] = {}
    for key, module in used.items():
        found = BLOCK.search(names[key])
        label = found[0] if found else next(reversed(groups), "")
        groups.setdefault(label, []).append(module)
    stem = groups.pop("", [])
    found_groups = list(groups.values())
    return [stem + found_groups[0], *found_groups[1:]] if found_groups else [stem]


def loosen(network: nn.Module, mode: str, example: Tensor, layer: str, rank: int) -> list[list[nn.Parameter]]:
    """Let some of a frozen network's tensors learn.

    Statistics of batch normalisation stay as they are: batches are too small to renew them, and a patient's result must not depend on company.

    Parameters
    ----------
    network : Module
        With a method ``maps``; changed in place.
    mode : {'probe', 'last', 'all', 'adapters'}
        ``deep.fine_tune.mode``.
    example : Tensor
        An input of any content.
    layer : {'last', 'blocks'}
        Which maps are wanted.
    rank : int
        Rank of adapters.

    Returns
    -------
    list of list of Parameter
        What may learn, block by block, the last block last; none for a probe.
    """
    network.eval().requires_grad_(requires_grad=False)
    if mode == "probe":
        return []
    groups = blocks(network, example, layer)
    if mode == "adapters":
        for module in (m for group in groups for m in group):
            weight = getattr(module, "weight", None)  # places in a transformer are parameters of a module without one
            if isinstance(module, nn.Conv2d | nn.Conv3d | nn.Linear) and isinstance(weight, Tensor) and getattr(module, "groups", 1) == 1 and min(len(weight), weight[0].numel()) > rank:
                parametrize.register_parametrization(module, "weight", LowRank(weight, rank).to(weight.device))
        return [[p for n, p in network.named_parameters() if p.requires_grad and ".parametrizations." in f".{n}"]]
    chosen = groups[-1:] if mode == "last" else groups
    for group in chosen:
        for module in group:
            module.requires_grad_(requires_grad=True)
    return [[p for m in group for p in m.parameters(recurse=False)] for group in chosen]


def changed(network: nn.Module) -> dict[str, Tensor]:
    """Give the tensors that may have changed.

    Parameters
    ----------
    network : Module
        As `loosen` left it.

    Returns
    -------
    dict of str to Tensor
        Copies by name.
    """
    return {n: p.detach().cpu().clone() for n, p in network.named_parameters() if p.requires_grad}


def restore(network: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Put changed tensors back into a network that `loosen` prepared in the same way.

    Parameters
    ----------
    network : Module
        Changed in place.
    tensors : mapping of str to Tensor
        As `changed` gave them.

    Raises
    ------
    WeightsError
        If names or shapes are not those that may change.
    """
    wanted = {n: p for n, p in network.named_parameters() if p.requires_grad}
    wrong = sorted(set(wanted) ^ set(tensors)) + [n for n, p in wanted.items() if n in tensors and tensors[n].shape != p.shape]
    if wrong:
        message = f"these are not the changes of this network: {len(wrong)} tensors do not fit, such as {', '.join(wrong[:4])}. Take the bundle or the run folder as it was written"
        raise WeightsError(message)
    with torch.no_grad():
        for name, parameter in wanted.items():
            parameter.copy_(tensors[name])
