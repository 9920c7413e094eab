"""Features of the study's own segmentation network: its SegResNet encoder, looking at the tumour in 3D.

The folder of a segmenter holds ``segmenter.json`` (arguments of MONAI's SegResNetDS; name and SHA-256 of each fold's weights) and ``plan.json`` (working voxel size). The first
fold's network serves everybody, training patients and others alike, so that all features have the same axes. It has learnt from masks, never from outcomes. Where it can be
guided, the encoder sees the image alone: as if nobody knew where the tumour is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sarcofuse.errors import WeightsError
from sarcofuse.runtime import digest, digest_file, read_json

if TYPE_CHECKING:
    from torch import Tensor

CARD, PLAN = "segmenter.json", "plan.json"
INPUT = "encoder.conv_init.weight"
"""Weights of the first convolution, whose second axis is the input's channels: the image, and what a network that can be guided is told."""


def encoder_digest(folder: Path) -> str:
    """Give the SHA-256 of what the encoder depends on.

    Parameters
    ----------
    folder : Path
        Folder of a segmenter.

    Returns
    -------
    str
        Hexadecimal digest.

    Raises
    ------
    WeightsError
        If the folder is not that of a segmenter, or its weights were altered.
    """
    settings = _settings(folder)
    for file, expected in ((folder / PLAN, settings.plan_sha256), (settings.weights, settings.sha256)):
        actual = digest_file(file)
        if actual != expected:
            message = f"{file.name} of the segmentation model in {folder} was altered: its SHA-256 is {actual}, expected {expected}; take the folder as training wrote it"
            raise WeightsError(message)
    return digest(settings.network, settings.spacing, settings.sha256)


@dataclass(frozen=True, slots=True)
class StudyEncoder:
    """The encoder of a study's segmentation network.

    Attributes
    ----------
    network : Module
        The whole network, in evaluation mode.
    spacing : tuple of float
        Its voxel size along x, y, z in mm.
    """

    network: Any
    spacing: tuple[float, float, float]

    @property
    def factor(self) -> list[int]:
        """What the numbers of planes, rows and columns must be multiples of."""
        return [int(f) for f in self.network.shape_factor()]

    def maps(self, x: Tensor, layer: str = "last") -> list[Tensor]:
        """Give the encoder's feature maps.

        Parameters
        ----------
        x : Tensor, shape (1, 1, planes, rows, columns)
            A box, normalised.
        layer : {'last', 'blocks'}
            The last map, or all.

        Returns
        -------
        list of Tensor
            The maps.
        """
        found: list[Tensor] = list(self.network.encoder(x))
        return found[-1:] if layer == "last" else found


def open_encoder(folder: Path, device: str, known: str = "") -> StudyEncoder:
    """Open the encoder of a segmenter, once a process.

    Parameters
    ----------
    folder : Path
        Folder of a segmenter.
    device : {'cpu', 'cuda'}
        Where to work.
    known : str
        What `encoder_digest` said of the folder when it was found; empty to take it as it is.

    Returns
    -------
    StudyEncoder
        Ready to be asked.

    Raises
    ------
    WeightsError
        If the weights do not fit, or were altered.
    """
    return StudyEncoder(*_network(folder, device, known or encoder_digest(folder)))


def load_encoder(folder: Path, device: str) -> tuple[Any, tuple[float, float, float]]:
    """Rebuild the network of a segmenter's first fold, once a process.

    Parameters
    ----------
    folder : Path
        Folder of a segmenter.
    device : {'cpu', 'cuda'}
        Where it is to work.

    Returns
    -------
    network : Module
        MONAI's SegResNetDS in evaluation mode, without gradients.
    spacing : tuple of float
        Its voxel size along x, y, z in mm.

    Raises
    ------
    WeightsError
        If the weights were altered or do not fit.
    """
    encoder = open_encoder(folder, device)
    return encoder.network, encoder.spacing


@dataclass(frozen=True, slots=True)
class _Settings:
    network: Mapping[str, Any]
    spacing: tuple[float, float, float]
    weights: Path
    sha256: str
    plan_sha256: str


def _settings(folder: Path) -> _Settings:
    try:
        card, plan = read_json(folder / CARD), read_json(folder / PLAN)
        x, y, z = (float(v) for v in plan["spacing"])
        first = card["folds"][0]
        found = _Settings(dict(card["network"]["arguments"]), (x, y, z), folder / Path(first["file"]).name, str(first["sha256"]), str(card["plan"]))
    except (OSError, KeyError, TypeError, ValueError, IndexError) as error:
        message = f"{folder} is not the folder of a segmentation model: {CARD} or {PLAN} does not say what the encoder needs ({error!r}); take the folder as training wrote it"
        raise WeightsError(message) from error
    if not found.weights.is_file():
        message = f"{folder} is not the folder of a segmentation model: {found.weights.name} is absent; take the folder as training wrote it"
        raise WeightsError(message)
    return found


@lru_cache(maxsize=2)
def _network(folder: Path, device: str, key: str) -> tuple[Any, tuple[float, float, float]]:
    """Rebuild the network from its arguments, once a process; `key` tells one content of the folder from another."""
    import torch
    from monai.networks.nets.segresnet_ds import SegResNetDS
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from sarcofuse.deep.weights import check_keys

    if encoder_digest(folder) != key:
        message = f"the segmentation model in {folder} was altered while it was in use: expected the content {key[:8]}. Run again"
        raise WeightsError(message)
    settings = _settings(folder)
    arguments: dict[str, Any] = {k: tuple(v) if isinstance(v, list) and k != "norm" else v for k, v in settings.network.items() if k != "guide"}
    arguments["in_channels"] = 1
    try:
        network: Any = SegResNetDS(**arguments)
        state = load_file(settings.weights)
        if INPUT in state:
            state[INPUT] = state[INPUT][:, :1].contiguous()  # channels of zeros would add nothing
    except (TypeError, ValueError, OSError, SafetensorError) as error:
        message = f"the segmentation network in {folder.name} cannot be rebuilt: {str(error).splitlines()[0]} (content {key[:8]}); take the folder as training wrote it"
        raise WeightsError(message) from error
    for module in network.modules():
        if isinstance(module, torch.nn.Conv3d | torch.nn.ConvTranspose3d):
            module.stride = tuple(int(s) for s in module.stride)  # MONAI leaves NumPy integers there
    check_keys(network, state, f"the segmentation network of {CARD}")
    network.load_state_dict(state, strict=True)
    return network.eval().requires_grad_(False).to(device), settings.spacing
