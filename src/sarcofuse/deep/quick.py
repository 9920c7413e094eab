"""Networks for looking alone, on a processor, not for learning: the same operations in less time; this module loads torch."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from sarcofuse.deep.networks import LITE0, STAGES, EfficientNetLite0, SameConv


@dataclass(frozen=True, slots=True, eq=False)
class _Step:
    """A convolution with its normalisation, and mostly ReLU6, both in place: large maps that are made anew cost as much as what is computed."""

    weight: Tensor
    norm: tuple[Tensor | None, Tensor | None, Tensor | None, Tensor | None]
    eps: float
    stride: int
    same: bool
    groups: int
    rectified: bool

    @classmethod
    def of(cls, conv: nn.Conv2d, norm: nn.BatchNorm2d, *, rectified: bool = True) -> _Step:
        weight = conv.weight.contiguous(memory_format=torch.channels_last)
        return cls(weight, (norm.weight, norm.bias, norm.running_mean, norm.running_var), norm.eps, conv.stride[0], isinstance(conv, SameConv), conv.groups, rectified)

    def __call__(self, x: Tensor, unused: Tensor) -> Tensor:
        """Work on a map of shape (n, channels, rows, columns); means and deviations of the batch, which are for learning, would go to an empty tensor."""
        pad = 0
        if self.same:
            size, pads = self.weight.shape[-1], list[int]()
            for length in (x.shape[-1], x.shape[-2]):
                total = max((-(-length // self.stride) - 1) * self.stride + size - length, 0)
                pads += [total // 2, total - total // 2]
            if len(set(pads)) == 1:
                pad = pads[0]  # the convolution pads for itself, without a copy
            else:
                x = functional.pad(x, pads)
        y = torch.conv2d(x, self.weight, None, self.stride, pad, 1, self.groups)
        torch.native_batch_norm(y, *self.norm, False, 0.0, self.eps, out=(y, unused, unused))
        return y.clamp_(0.0, 6.0) if self.rectified else y


class QuickLite0:
    """An EfficientNet-Lite0 that keeps the channels of a pixel side by side in memory, so that nothing is put in another order between its convolutions, and works in place.

    Parameters
    ----------
    network : EfficientNetLite0
        In evaluation mode, on a processor, without gradients; it stays as it is.
    """

    def __init__(self, network: EfficientNetLite0) -> None:
        self.stem, self.head = _Step.of(network._conv_stem, network._bn0), _Step.of(network._conv_head, network._bn1)
        self.blocks: list[tuple[list[_Step], bool]] = []
        for block in network._blocks:
            own: Any = block
            steps = [_Step.of(own._expand_conv, own._bn0)] if own.expands else []
            steps += [_Step.of(own._depthwise_conv, own._bn1), _Step.of(own._project_conv, own._bn2, rectified=False)]
            self.blocks.append((steps, own.adds))

    def maps(self, x: Tensor, layer: str = "last") -> list[Tensor]:
        """Give the feature maps of `EfficientNetLite0.maps`.

        Parameters
        ----------
        x, layer : object
            As there.

        Returns
        -------
        list of Tensor
            As there.
        """
        found, ends = [], [sum(s[0] for s in LITE0[: i + 1]) for i in range(STAGES)]
        unused = x.new_empty(0)
        x = self.stem(x.contiguous(memory_format=torch.channels_last), unused)
        for number, (steps, adds) in enumerate(self.blocks, 1):
            y = x
            for step in steps:
                y = step(y, unused)
            x = y.add_(x) if adds else y
            if layer == "blocks" and number in ends:
                found.append(x)
                if number == ends[-1]:
                    return found
        return [self.head(x, unused)]


class ChannelsLast:
    """A copy of a network that keeps the channels of a pixel side by side in memory, as `QuickLite0` does.

    Parameters
    ----------
    network : Module
        With a method ``maps``; it stays as it is.
    """

    def __init__(self, network: nn.Module) -> None:
        own: Any = copy.deepcopy(network)
        self.network = own.to(memory_format=torch.channels_last)

    def maps(self, x: Tensor, layer: str = "last") -> list[Tensor]:
        """Give the feature maps of the network.

        Parameters
        ----------
        x, layer : object
            As the network has them.

        Returns
        -------
        list of Tensor
            The same maps but for rounding.
        """
        found: list[Tensor] = self.network.maps(x.contiguous(memory_format=torch.channels_last), layer)
        return found


def quick(network: Any) -> Any:  # noqa: ANN401 - the networks share the method maps, not a class
    """Give the quickest form of a 2D network that is only asked for its maps.

    Parameters
    ----------
    network : object
        Any network.

    Returns
    -------
    object
        On a processor a `QuickLite0` of an EfficientNet-Lite0 and a `ChannelsLast` of other networks of convolutions, made once a process; any other network as it is.
    """
    convolves = isinstance(network, nn.Module) and any(isinstance(m, nn.Conv2d) and m.kernel_size > m.stride for m in network.modules())  # a transformer's patches do not overlap
    return _once(network) if convolves and next(network.parameters()).device.type == "cpu" else network


@lru_cache(maxsize=2)
def _once(network: nn.Module) -> QuickLite0 | ChannelsLast:
    return QuickLite0(network) if isinstance(network, EfficientNetLite0) else ChannelsLast(network)
