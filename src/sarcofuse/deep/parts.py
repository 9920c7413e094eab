"""What each feature of each slice adds to the logit of a head that learnt the outcome; this module loads torch, so it is imported where a network is asked."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from sarcofuse.deep.cam import Method
from sarcofuse.deep.heads import MOST, AttentionHead, Head

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

PANELS, NODES = (1, 2, 4, 8), 8  # of the integral
TOLERANCE = 1e-6  # of the logit, within which its parts must add up for it to end


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """A head as a linear function of one patient's slices.

    Attributes
    ----------
    weights : ndarray of float64, shape (slices, features)
        The logit is ``base + sum(weights * (features - centre))``; with ``gradcam`` the weights are slopes, and need not come to it.
    centre : ndarray of float64, shape (features,)
        Mean slice of those that the head learnt from.
    base : float
        Logit of a patient whose slices are all like the mean one.
    attention : ndarray of float64, shape (slices,), or None
        Share of each slice in the decision, where the head says.
    """

    weights: Floats
    centre: Floats
    base: float
    attention: Floats | None


def head_parts(head: Head, tokens: Tensor, areas: NDArray[np.float32], method: Method) -> Parts:
    """Take a head apart at one patient.

    Parameters
    ----------
    head : Head
        Called with tokens, areas, and which of them are there.
    tokens : Tensor of float64, shape (slices, features)
        The patient's slices.
    areas : ndarray of float32, shape (slices,)
        Tumour in each slice in mm².
    method : {'exact', 'integrated', 'gradcam'}
        ``exact`` and ``gradcam``: the gradient at the patient. ``integrated``: the mean gradient on the straight line from the mean slice to the patient's own (integrated
        gradients [1]_ in 8 to 64 steps; the little that they leave is shared out by the parts' size), so that the parts add up to the logit whatever the head. Features beyond
        10 deviations are held there by the head, where the gradient is 0; they count by their secant.

    Returns
    -------
    Parts
        Weights of all features of all slices.

    References
    ----------
    .. [1] Sundararajan M, Taly A, Yan Q. Axiomatic attribution for deep networks. ICML 2017, equation 1, proposition 1.
    """
    with torch.inference_mode(mode=False), torch.enable_grad():
        own = copy.deepcopy(head).double().eval().requires_grad_(requires_grad=False)
        z = (tokens.detach().clone() - own.centre) * own.scale
        x = z.clamp(-MOST, MOST)
        size = torch.from_numpy(areas.astype(np.float64)).to(x.device)
        slopes = _along(own, x, size) if method == "integrated" else _slopes(own, x[None], size)[0]
        base = float(_logits(own, torch.zeros_like(x)[None], size)[0])
        held = torch.where(z != 0, x / torch.where(z != 0, z, 1.0), 1.0)
        weights = slopes * held * own.scale
        there = torch.ones((1, len(x)), dtype=torch.bool, device=x.device)
        attention = own.shares(x[None], there)[0].cpu().numpy() if isinstance(own, AttentionHead) else None
    return Parts(weights.cpu().numpy(), own.centre.cpu().numpy(), base, attention)


def _logits(head: Head, x: Tensor, areas: Tensor) -> Tensor:
    return head.decide(x, areas.expand(len(x), -1), torch.ones(x.shape[:2], dtype=torch.bool, device=x.device))


def _slopes(head: Head, x: Tensor, areas: Tensor) -> Tensor:
    leaf = x.detach().clone().requires_grad_()
    found: Tensor = torch.autograd.grad(_logits(head, leaf, areas).sum(), leaf)[0]
    return found


def _along(head: Head, x: Tensor, areas: Tensor) -> Tensor:
    """Give the mean slopes on the way from 0 to `x`: Gauss-Legendre on ever more panels, until they add up to what the head says; what is left in the end is shared out by the parts' size."""
    ends = _logits(head, torch.stack([torch.zeros_like(x), x]), areas)
    gain = float(ends[1] - ends[0])
    places, shares = np.polynomial.legendre.leggauss(NODES)
    found, rest = torch.zeros_like(x), gain
    for panels in PANELS:
        found = torch.zeros_like(x)
        for k in range(panels):
            at = torch.from_numpy((k + 0.5 + 0.5 * places) / panels).to(x)
            slopes = _slopes(head, at[:, None, None] * x, areas)
            found += (slopes * torch.from_numpy(0.5 * shares / panels).to(x)[:, None, None]).sum(0)
        rest = gain - float((found * x).sum())
        if abs(rest) <= TOLERANCE * (1.0 + abs(gain)):
            break
    total = float((found * x).abs().sum())
    return found + (rest / total) * found.abs() * x.sign() if total > 0 else found
