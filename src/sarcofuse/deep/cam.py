"""Why: which places of a network's feature maps a risk comes from.

A *head* is anything that makes one number of the feature maps: called with the maps of every picture, layer by layer, it gives a scalar that torch can differentiate. `LinearHead` is the head of a
frozen backbone, `SliceHead` what `sarcofuse.deep.parts` makes of a head that learnt the outcome, and `module_map` takes any torch module that ends in a scalar.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from sarcofuse.config.deep import DeepConfig
from sarcofuse.deep.pooling import pool_tensors
from sarcofuse.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor, nn

Floats = NDArray[np.float64]
Method = Literal["exact", "integrated", "gradcam"]
Wanted = Literal["auto", "exact", "integrated", "gradcam"]
Maps = "Sequence[Sequence[Tensor]]"
Head = Callable[[Any], Any]


def choose_method(config: DeepConfig, wanted: Wanted = "auto") -> Method:
    """Say how maps are made.

    Parameters
    ----------
    config : DeepConfig
        Settings.
    wanted : {'auto', 'exact', 'integrated', 'gradcam'}
        ``auto`` is ``exact`` where the number mapped is linear in the slices' features (a frozen backbone, or the head ``pool``) and ``integrated`` elsewhere. Where it is linear,
        ``integrated`` comes to the same as ``exact``, and is called so.

    Returns
    -------
    {'exact', 'integrated', 'gradcam'}
        The method.

    Raises
    ------
    ConfigError
        If ``exact`` is asked of a head that is not linear.
    """
    linear = config.fine_tune.mode == "none" or config.head == "pool"
    if wanted == "gradcam":
        return "gradcam"
    if wanted == "exact" and not linear:
        message = (
            f"no exact map of deep.head {config.head}: its slices weigh on one another, so what each place adds depends on the rest. "
            "Take the method integrated (parts that add up as well, by integrated gradients; the default here) or gradcam"
        )
        raise ConfigError(message)
    return "exact" if linear else "integrated"


@dataclass(frozen=True, slots=True, eq=False)
class LinearHead:
    """A linear predictor of pooled features, as a function of the feature maps.

    Attributes
    ----------
    weights, centre : ndarray of float64, shape (features,)
        The risk is ``base + sum(weights * (features - centre))``.
    base : float
        Risk at the centre.
    pooling : {'average', 'masked', 'max', 'regions'}
        ``deep.pooling``.
    slice_pooling : {'mean', 'max', 'attention'}
        ``deep.slice_pooling``.
    regions : sequence of list of ndarray or None
        For each picture what `sarcofuse.deep.pooling.weights_for` gives.
    areas : sequence of float
        Area of the tumour in each picture in mm².
    """

    weights: Floats
    centre: Floats
    base: float
    pooling: str
    slice_pooling: str
    regions: Sequence[Sequence[NDArray[np.float32] | None]]
    areas: Sequence[float]

    def features(self, maps: Sequence[Sequence[Tensor]]) -> Tensor:
        """Pool maps to features, differentiably.

        Parameters
        ----------
        maps : sequence of sequence of Tensor, each of shape (1, channels, ...)
            For each picture the map of each layer.

        Returns
        -------
        Tensor of float64, shape (features,)
            As `sarcofuse.deep.extract` gives them.
        """
        import torch

        rows = pool_rows(maps, self.regions, self.pooling)
        if self.slice_pooling == "max":
            return rows.amax(0)
        if self.slice_pooling == "attention" and sum(self.areas) > 0:
            areas = torch.tensor(self.areas, dtype=rows.dtype, device=rows.device)
            return (rows * areas[:, None]).sum(0) / areas.sum()
        return rows.mean(0)

    def __call__(self, maps: Sequence[Sequence[Tensor]]) -> Tensor:
        """Give the risk, a scalar."""
        features = self.features(maps)
        return (_tensor(self.weights, features) * (features - _tensor(self.centre, features))).sum() + self.base

    def offset(self, maps: Sequence[Sequence[Tensor]]) -> Tensor:
        """Give the part of the centre, whose gradient tells which places the centre is taken off at.

        Parameters
        ----------
        maps : sequence of sequence of Tensor
            As for the call.

        Returns
        -------
        Tensor
            Scalar: weights times centre times features, summed.
        """
        features = self.features(maps)
        return (_tensor(self.weights * self.centre, features) * features).sum()


@dataclass(frozen=True, slots=True, eq=False)
class SliceHead:
    """A linear function of every slice's pooled features: what a head comes to around one patient.

    Attributes
    ----------
    weights : ndarray of float64, shape (slices, features)
        The number is ``base + sum(weights * (features - centre))``.
    centre : ndarray of float64, shape (features,)
        The same for all slices.
    base : float
        The number with all slices at the centre.
    pooling : {'average', 'masked', 'max', 'regions'}
        ``deep.pooling``.
    regions : sequence of list of ndarray or None
        As of `LinearHead`.
    """

    weights: Floats
    centre: Floats
    base: float
    pooling: str
    regions: Sequence[Sequence[NDArray[np.float32] | None]]

    def __call__(self, maps: Sequence[Sequence[Tensor]]) -> Tensor:
        """Give the number, a scalar."""
        rows = pool_rows(maps, self.regions, self.pooling)
        return (_tensor(self.weights, rows) * (rows - _tensor(self.centre, rows))).sum() + self.base

    def offset(self, maps: Sequence[Sequence[Tensor]]) -> Tensor:
        """Give the part of the centre, as `LinearHead.offset` does.

        Parameters
        ----------
        maps : sequence of sequence of Tensor
            As for the call.

        Returns
        -------
        Tensor
            Scalar: weights times centre times features, summed.
        """
        rows = pool_rows(maps, self.regions, self.pooling)
        return (_tensor(self.weights * self.centre, rows) * rows).sum()


def pool_rows(maps: Sequence[Sequence[Tensor]], regions: Sequence[Sequence[NDArray[np.float32] | None]], pooling: str) -> Tensor:
    """Pool maps to a row of features a picture, differentiably.

    Parameters
    ----------
    maps : sequence of sequence of Tensor, each of shape (1, channels, ...)
        For each picture the map of each layer.
    regions : sequence of list of ndarray or None
        For each picture what `sarcofuse.deep.pooling.weights_for` gives.
    pooling : {'average', 'masked', 'max', 'regions'}
        ``deep.pooling``.

    Returns
    -------
    Tensor of float64, shape (pictures, features)
        The rows.
    """
    import torch

    return torch.stack([pool_tensors(own, weights, pooling) for own, weights in zip(maps, regions, strict=True)])


def _tensor(values: Floats, like: Tensor) -> Tensor:
    import torch

    return torch.from_numpy(np.ascontiguousarray(values)).to(like.device)


def cell_maps(maps: Sequence[Sequence[Tensor]], head: Head, method: Method = "exact") -> tuple[float, list[list[Floats]]]:
    """Say where in each feature map a risk comes from.

    Parameters
    ----------
    maps : sequence of sequence of Tensor, each of shape (1, channels, ...)
        For each picture the feature map of each layer.
    head : callable
        Gives a scalar of the maps; a `LinearHead`, a `SliceHead`, or the differentiable rest of a network.
    method : {'exact', 'integrated', 'gradcam'}
        ``exact``, and ``integrated`` once `sarcofuse.deep.parts` has made a linear head of another: activation less centre, times gradient, summed over channels [2]_: for a linear
        head the cells add up to the risk less its base. ``gradcam``: each channel weighted by its gradient summed over the map, negative sums set to 0 where the maps of all layers are
        joined [1]_; the paper's factor of one over the number of cells is left out, so that layers can be added.

    Returns
    -------
    risk : float
        What the head says.
    cells : list of list of ndarray of float64
        For each picture and layer an array of the map's rows and columns (planes, rows and columns).

    References
    ----------
    .. [1] Selvaraju RR et al. Grad-CAM: visual explanations from deep networks via gradient-based localization. ICCV 2017:618-626, eq. 1 and 2.
    .. [2] Draelos RL, Carin L. Use HiResCAM instead of Grad-CAM for faithful explanations of convolutional neural networks. arXiv:2011.08891.
    """
    import torch

    with torch.inference_mode(mode=False), torch.enable_grad():
        leaves = [[m.detach().clone().requires_grad_() for m in own] for own in maps]
        flat = [m for own in leaves for m in own]
        risk = head(leaves)
        slopes = torch.autograd.grad(risk, flat, allow_unused=True)
        taken = torch.autograd.grad(head.offset(leaves), flat, allow_unused=True) if method != "gradcam" and isinstance(head, LinearHead | SliceHead) else [None] * len(flat)
    cells = iter([_weigh(m.detach(), g, t, method) for m, g, t in zip(flat, slopes, taken, strict=True)])
    return float(risk.detach()), [[next(cells) for _ in own] for own in leaves]


def _weigh(values: Tensor, slope: Tensor | None, taken: Tensor | None, method: Method) -> Floats:
    """Give the map of one layer, summed over channels."""
    if slope is None:
        return np.zeros(tuple(values.shape[2:]))
    values, slope = values[0].double(), slope[0].double()
    if method == "gradcam":
        slope = slope.flatten(1).sum(1).view(-1, *[1] * (values.ndim - 1))
    found = (values * slope).sum(0) - (0.0 if taken is None else taken[0].double().sum(0))
    return np.asarray(found.cpu().numpy(), dtype=np.float64)


def module_map(module: nn.Module, layer: str, x: Tensor, method: Method = "exact") -> tuple[float, Floats]:
    """Say where in a layer of any network its risk comes from.

    Parameters
    ----------
    module : Module
        Gives one number for `x`: a fine-tuned network with its head, in evaluation mode.
    layer : str
        Name of the submodule whose output is looked at.
    x : Tensor, shape (1, channels, ...)
        One picture or volume, normalised.
    method : {'exact', 'integrated', 'gradcam'}
        As in `cell_maps`, without a centre; for a head that is not linear, ``exact`` is the first-order share of each cell.

    Returns
    -------
    risk : float
        What the module says.
    cells : ndarray of float64
        The layer's map; for ``gradcam`` before negative values are set to 0.

    Raises
    ------
    ValueError
        If the module does not end in one number.
    """
    import torch

    kept: list[Tensor] = []
    parameters = [p.requires_grad for p in module.parameters()]

    def keep(_module: nn.Module, _given: object, output: Tensor) -> Tensor:
        kept.append(output if output.requires_grad else output.detach().requires_grad_())
        return kept[-1]

    hook = module.get_submodule(layer).register_forward_hook(keep)
    try:
        with torch.inference_mode(mode=False), torch.enable_grad():
            module.requires_grad_(False)
            risk = module(x.detach().clone())
            if risk.numel() != 1:
                message = f"the network must end in one number to be explained, found shape {tuple(risk.shape)}"
                raise ValueError(message)
            (slope,) = torch.autograd.grad(risk.sum(), kept[-1])
    finally:
        hook.remove()
        for parameter, before in zip(module.parameters(), parameters, strict=True):
            parameter.requires_grad_(before)
    return float(risk.detach().sum()), _weigh(kept[-1].detach(), slope, None, method)


def to_pixels(cells: Sequence[Floats], shape: Sequence[int], method: Method = "exact") -> Floats:
    """Bring the maps of a picture's layers to its pixels, and add them up.

    Parameters
    ----------
    cells : sequence of ndarray
        For each layer an array, as `cell_maps` gives it.
    shape : sequence of int
        Rows and columns (planes, rows and columns) of the picture.
    method : {'exact', 'integrated', 'gradcam'}
        ``gradcam`` interpolates linearly, and sets negative sums to 0; the others spread what a cell has over the pixels around it, so that the sum stays.

    Returns
    -------
    ndarray of float64, shape `shape`
        The map.
    """
    total = np.zeros(tuple(shape))
    for own in cells:
        found = own
        for axis, (size, count) in enumerate(zip(shape, own.shape, strict=True)):
            found = np.moveaxis(np.tensordot(_tents(size, count, whole=method != "gradcam"), found, (1, axis)), 0, axis)
        total += found
    return np.maximum(total, 0.0) if method == "gradcam" else total


def _tents(size: int, count: int, *, whole: bool) -> Floats:
    """Weights, shape (size, count), of linear interpolation from cells to pixels; with `whole` what each cell gives away adds up to 1, otherwise what each pixel gets does."""
    at = np.clip((np.arange(size) + 0.5) * count / size - 0.5, 0, count - 1)
    weights = np.clip(1.0 - np.abs(at[:, None] - np.arange(count)[None, :]) / max(1.0, count / size), 0.0, None)
    return np.asarray(weights / weights.sum(axis=0 if whole else 1, keepdims=True))
