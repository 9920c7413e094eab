"""From a patient's slices to one logit: pooled, by gated attention, or by a transformer over slices; this module loads torch, so it is imported where a network learns."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

HIDDEN = 64  # units of the attention, and width of the transformer
LAYERS, PARTS = 2, 4  # of the transformer
MOST = 10.0  # deviations that a feature is held within


class Head(nn.Module):
    """What all heads share: features in units of their deviation, and dropout.

    Parameters
    ----------
    features : int
        Features of a slice.
    dropout : float
        Share of them dropped in learning.
    """

    centre: Tensor
    scale: Tensor
    decide: Callable[[Tensor, Tensor, Tensor], Tensor]
    """What heads differ in: logits of slices as `ready` gives them, of areas, and of which slices are there."""

    def __init__(self, features: int, dropout: float) -> None:
        super().__init__()
        self.register_buffer("centre", torch.zeros(features))
        self.register_buffer("scale", torch.ones(features))
        self.dropout = nn.Dropout(dropout)

    def standardise(self, tokens: Tensor) -> None:
        """Learn the features' means and deviations; a feature that is constant over the slices given is blanked.

        Parameters
        ----------
        tokens : Tensor, shape (slices, features)
            All slices of the patients that the head learns from.
        """
        deviation = tokens.double().std(0, correction=0)
        varies = deviation > 1e-6 * tokens.double().abs().mean(0).clamp(min=1e-12)
        self.centre.copy_(tokens.double().mean(0))
        self.scale.copy_(torch.where(varies, 1.0 / deviation.clamp(min=1e-12), torch.zeros_like(deviation)))

    def ready(self, tokens: Tensor) -> Tensor:
        """Standardise and drop.

        Parameters
        ----------
        tokens : Tensor, shape (patients, slices, features)
            Slices, padded to the same number.

        Returns
        -------
        Tensor, same shape
            What the head works on, held within 10 deviations.
        """
        found: Tensor = self.dropout(((tokens - self.centre) * self.scale).clamp(-MOST, MOST))
        return found

    def forward(self, tokens: Tensor, areas: Tensor, there: Tensor) -> Tensor:
        """Give the logits.

        Parameters
        ----------
        tokens : Tensor, shape (patients, slices, features)
            Slices in order, padded at the end.
        areas : Tensor, shape (patients, slices)
            Tumour in each slice in mm².
        there : Tensor of bool, shape (patients, slices)
            False for padding.

        Returns
        -------
        Tensor, shape (patients,)
            Logits.
        """
        return self.decide(self.ready(tokens), areas, there)


class PoolHead(Head):
    """Slices joined by a fixed rule, then a linear function.

    Parameters
    ----------
    features : int
        Features of a slice.
    dropout : float
        Share of them dropped in learning.
    how : {'mean', 'max', 'attention'}
        ``deep.slice_pooling``; ``attention`` weighs by area.
    """

    def __init__(self, features: int, dropout: float, how: str = "mean") -> None:
        super().__init__(features, dropout)
        self.how, self.out = how, nn.Linear(features, 1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def decide(self, x: Tensor, areas: Tensor, there: Tensor) -> Tensor:
        """Give the logits.

        Parameters
        ----------
        x : Tensor, shape (patients, slices, features)
            Slices as `ready` gives them.
        areas : Tensor, shape (patients, slices)
            Tumour in each slice in mm².
        there : Tensor of bool, shape (patients, slices)
            False for padding.

        Returns
        -------
        Tensor, shape (patients,)
            Logits.
        """
        if self.how == "max":
            joined = x.masked_fill(~there[..., None], -torch.inf).amax(1)
        else:
            plain = there.to(x.dtype)
            weights = areas * plain if self.how == "attention" else plain
            weights = torch.where(weights.sum(1, keepdim=True) > 0, weights, plain)
            joined = (x * (weights / weights.sum(1, keepdim=True))[..., None]).sum(1)
        found: Tensor = self.out(joined)[:, 0]
        return found


class AttentionHead(Head):
    """Gated attention over slices [1]_: the head learns which slices speak for the patient.

    Parameters
    ----------
    features : int
        Features of a slice.
    dropout : float
        Share of them dropped in learning.

    References
    ----------
    .. [1] Ilse M, Tomczak JM, Welling M. Attention-based deep multiple instance learning. ICML 2018, equations 7 and 9.
    """

    def __init__(self, features: int, dropout: float) -> None:
        super().__init__(features, dropout)
        self.value, self.gate, self.rank, self.out = nn.Linear(features, HIDDEN), nn.Linear(features, HIDDEN), nn.Linear(HIDDEN, 1, bias=False), nn.Linear(features, 1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def shares(self, x: Tensor, there: Tensor) -> Tensor:
        """Give each slice's share in the decision.

        Parameters
        ----------
        x : Tensor, shape (patients, slices, features)
            Slices as `ready` gives them.
        there : Tensor of bool, shape (patients, slices)
            False for padding.

        Returns
        -------
        Tensor, shape (patients, slices)
            Weights that add up to 1 in each patient.
        """
        scores = self.rank(torch.tanh(self.value(x)) * torch.sigmoid(self.gate(x)))[..., 0]
        found: Tensor = scores.masked_fill(~there, -torch.inf).softmax(1)
        return found

    def decide(self, x: Tensor, areas: Tensor, there: Tensor) -> Tensor:
        """Give the logits.

        Parameters
        ----------
        x : Tensor, shape (patients, slices, features)
            Slices as `ready` gives them.
        areas : Tensor, shape (patients, slices)
            Not used.
        there : Tensor of bool, shape (patients, slices)
            False for padding.

        Returns
        -------
        Tensor, shape (patients,)
            Logits.
        """
        del areas
        found: Tensor = self.out((x * self.shares(x, there)[..., None]).sum(1))[:, 0]
        return found


class TransformerHead(Head):
    """A small transformer over slices [1]_: slices in their order, and a token of the patient's own that looks at all of them.

    Parameters
    ----------
    features : int
        Features of a slice.
    dropout : float
        Share of them, and of what passes between the layers, dropped in learning.

    References
    ----------
    .. [1] Vaswani A et al. Attention is all you need. NeurIPS 2017; the patient's token as the class token of Dosovitskiy A et al. ICLR 2021.
    """

    def __init__(self, features: int, dropout: float) -> None:
        super().__init__(features, dropout)
        self.narrow, self.patient = nn.Linear(features, HIDDEN), nn.Parameter(torch.randn(HIDDEN) * 0.02)
        layer = nn.TransformerEncoderLayer(HIDDEN, PARTS, 2 * HIDDEN, dropout, batch_first=True, norm_first=True)
        self.layers, self.norm, self.out = nn.TransformerEncoder(layer, LAYERS, enable_nested_tensor=False), nn.LayerNorm(HIDDEN), nn.Linear(HIDDEN, 1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def decide(self, x: Tensor, areas: Tensor, there: Tensor) -> Tensor:
        """Give the logits.

        Parameters
        ----------
        x : Tensor, shape (patients, slices, features)
            Slices as `ready` gives them.
        areas : Tensor, shape (patients, slices)
            Not used.
        there : Tensor of bool, shape (patients, slices)
            False for padding.

        Returns
        -------
        Tensor, shape (patients,)
            Logits.
        """
        del areas
        x = self.narrow(x)
        x = x + places(x.shape[1], HIDDEN).to(x)
        x = torch.cat([self.patient.expand(len(x), 1, HIDDEN), x], 1)
        absent = torch.cat([torch.zeros_like(there[:, :1]), ~there], 1)
        found: Tensor = self.out(self.norm(self.layers(x, src_key_padding_mask=absent)[:, 0]))[:, 0]
        return found


def places(count: int, width: int) -> Tensor:
    """Give the sines and cosines that tell places apart [1]_.

    Parameters
    ----------
    count : int
        Places.
    width : int
        Numbers for each; even.

    Returns
    -------
    Tensor, shape (count, width)
        Sines in even columns, cosines in odd ones.

    References
    ----------
    .. [1] Vaswani A et al. Attention is all you need. NeurIPS 2017, section 3.5.
    """
    angle = torch.arange(count)[:, None] * torch.exp(torch.arange(0, width, 2) * (-math.log(10000.0) / width))
    return torch.stack([angle.sin(), angle.cos()], 2).flatten(1)


def make_head(kind: str, features: int, dropout: float, slice_pooling: str) -> Head:
    """Make a head.

    Parameters
    ----------
    kind : {'pool', 'attention', 'transformer'}
        ``deep.head``.
    features : int
        Features of a slice.
    dropout : float
        Share dropped in learning.
    slice_pooling : {'mean', 'max', 'attention'}
        How ``pool`` joins slices.

    Returns
    -------
    Head
        Called with tokens, areas, and which of them are there; gives a logit a patient.
    """
    if kind == "attention":
        return AttentionHead(features, dropout)
    return TransformerHead(features, dropout) if kind == "transformer" else PoolHead(features, dropout, slice_pooling)
