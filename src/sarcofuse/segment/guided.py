"""A SegResNetDS that learns the difference from where the tumour is expected."""

from __future__ import annotations

from typing import Any

import torch
from monai.networks.nets.segresnet_ds import SegResNetDS


class GuidedSegResNetDS(SegResNetDS):
    """SegResNetDS whose second input channel, closeness to where the tumour is expected, speaks directly to the output.

    The logits are ``bound * tanh(own / bound) + gain * closeness``: what the network makes of the image can move the outline, but cannot deny the middle of a box or
    find tumour far from it. Where no place is expected (closeness 0 everywhere) they are the network's own.

    Parameters
    ----------
    gain : float
        Logit where closeness is 1.
    bound : float
        Largest change by the network.
    **arguments : object
        Arguments of SegResNetDS.
    """

    def __init__(self, gain: float, bound: float, **arguments: Any) -> None:  # noqa: ANN401 - upstream's arguments
        super().__init__(**arguments)
        self.gain, self.bound = float(gain), float(bound)

    def forward(self, x: torch.Tensor, **kwargs: Any) -> torch.Tensor | list[torch.Tensor]:  # noqa: ANN401 - upstream's signature
        """Give the logits.

        Parameters
        ----------
        x : Tensor, shape (batch, channels, z, y, x)
            The channels of `sarcofuse.segment.guide`.
        **kwargs : object
            Upstream's.

        Returns
        -------
        Tensor or list of Tensor
            Logits at full resolution; in training with deep supervision at each resolution from the finest on.
        """
        found = super().forward(x, **kwargs)
        closeness = x[:, 1:2]
        expected = (closeness.abs().amax(dim=(1, 2, 3, 4), keepdim=True) > 0).to(x.dtype)
        if isinstance(found, torch.Tensor):
            return self._moved(found, closeness, expected)
        return [self._moved(one, _shrunk(closeness, one), expected) for one in found or []]

    def _moved(self, own: torch.Tensor, closeness: torch.Tensor, expected: torch.Tensor) -> torch.Tensor:
        return expected * (self.bound * torch.tanh(own / self.bound) + self.gain * closeness) + (1.0 - expected) * own


def _shrunk(closeness: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    z, y, x = like.shape[2:]
    return torch.nn.functional.adaptive_avg_pool3d(closeness, (z, y, x))
