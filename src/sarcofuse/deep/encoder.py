"""Features of the study's own segmentation network: its SegResNet encoder, looking at the tumour in 3D.

The folder of a segmenter holds ``segmenter.json`` (arguments of MONAI's SegResNetDS; name and SHA-256 of each fold's weights) and ``plan.json`` (working voxel size). The first
fold's network serves everybody, training patients and others alike, so that all features have the same axes. It has learnt from masks, never from outcomes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sarcofuse.config.deep import DeepConfig
from sarcofuse.deep.crops import Crops, make_crops
from sarcofuse.errors import WeightsError
from sarcofuse.records import Mask, Volume
from sarcofuse.runtime import digest, digest_file, read_json

if TYPE_CHECKING:
    from numpy.typing import NDArray

CARD, PLAN = "segmenter.json", "plan.json"
CLIP = 5.0  # deviations, as in the training of the segmentation networks
SEEN = 224  # rows and columns of the picture that is kept of what was seen


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


def encode(image: Volume, mask: Mask, config: DeepConfig, folder: Path, device: str) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    """Give the encoder's features of a tumour.

    The image is brought to the network's voxel size and intensities (mean 0 and deviation 1 over the body, clipped at 5) and cut to the tumour's bounding box with
    ``margin_mm`` around it; `crop` and `field_mm` do not matter here.

    Parameters
    ----------
    image : Volume
        The prepared image.
    mask : Mask
        The tumour on the same grid, not empty.
    config : DeepConfig
        Settings.
    folder : Path
        Folder of a segmenter.
    device : {'cpu', 'cuda'}
        Where to work.

    Returns
    -------
    features : ndarray of float64, shape (channels,)
        Pooled feature maps.
    seen : ndarray of uint8, shape (1, 224, 224)
        The tumour's largest slice, for a contact sheet.

    Raises
    ------
    WeightsError
        If the weights do not fit.
    """
    import torch

    from sarcofuse.deep.pooling import pool_maps, weights_for

    network, spacing = _network(folder, device, encoder_digest(folder))
    array, region = working_image(image, mask, spacing)
    if config.masked:
        array = np.where(region >= 0.5, array, np.float32(array.min()))
    box = _box(region > 0, spacing, config.margin_mm, [int(f) for f in network.shape_factor()])
    array, region = (_cut(a, box) for a in (array, region))
    maps = network.encoder(torch.from_numpy(array)[None, None].to(device))
    weights = weights_for(config.pooling, region, spacing[::-1])
    seen: Crops = make_crops(image, mask, config.model_copy(update={"crop": "largest"}), SEEN)
    return pool_maps(maps[-1:] if config.layer == "last" else maps, weights, config.pooling), seen.pictures


def working_image(image: Volume, mask: Mask, spacing: Sequence[float]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Bring image and mask to the network's voxel size, corners of the first voxels kept; the image to mean 0 and deviation 1 over the body.

    This is what the segmentation networks are trained with: the body is what exceeds the 1st percentile by more than a tenth of the way to the 99th.

    Parameters
    ----------
    image : Volume
        The prepared image.
    mask : Mask
        The tumour on the same grid.
    spacing : sequence of float
        Working voxel size along x, y, z in mm.

    Returns
    -------
    array, region : ndarray of float32, shape (z, y, x)
        Normalised intensities, and the share of each voxel that is tumour.
    """
    array, region = image.array.astype(np.float32), mask.array.astype(np.float32)
    for axis, (own, working) in enumerate(zip(image.geometry.spacing[::-1], tuple(spacing)[::-1], strict=True)):
        matrix = _resampling(array.shape[axis], working / own)
        array, region = (np.moveaxis(np.tensordot(matrix, a, (1, axis)), 0, axis) for a in (array, region))
    low, high = np.percentile(array, (1, 99))
    body = array[array > low + 0.1 * (high - low)] if high > low else array
    mean, deviation = float(body.mean(dtype=np.float64)), float(body.std(dtype=np.float64))
    return np.clip((array - np.float32(mean)) / np.float32(max(deviation, 1e-6)), -CLIP, CLIP), region


def _resampling(count: int, step: float) -> NDArray[np.float32]:
    """Weights that take `count` voxels to voxels `step` times as long: means of what a new voxel covers where it is longer, linear interpolation where it is shorter."""
    size = max(1, int(np.ceil(count / step - 1e-3)))
    low, old = np.arange(size)[:, None] * step, np.arange(count)[None, :]
    means, lines = np.minimum(low + step, old + 1) - np.maximum(low, old), 1.0 - np.abs(np.clip(low + step / 2 - 0.5, 0, count - 1) - old)
    weights = np.clip(means if step > 1.0 else lines, 0.0, None)
    found: NDArray[np.float32] = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    return found


def _box(region: NDArray[np.bool_], spacing: Sequence[float], margin_mm: float, factor: Sequence[int]) -> list[tuple[int, int]]:
    """Give first and last-plus-one voxel along z, y, x of the tumour's bounding box with its margin, as long as a multiple of `factor`; it may reach beyond the image."""
    box = []
    for axis, (length, multiple) in enumerate(zip(tuple(spacing)[::-1], factor, strict=True)):
        there = np.flatnonzero(region.any(axis=tuple(i for i in range(3) if i != axis)))
        margin = int(np.ceil(margin_mm / length))
        low, high = max(0, int(there[0]) - margin), min(region.shape[axis], int(there[-1]) + 1 + margin)
        grow = -(high - low) % multiple
        low = max(0, low - grow // 2)
        box.append((low, low + -(-(high - low) // multiple) * multiple))
    return box


def _cut(array: NDArray[np.float32], box: Sequence[tuple[int, int]]) -> NDArray[np.float32]:
    """Cut a box; beyond the image its last planes are repeated."""
    for axis, (low, high) in enumerate(box):
        array = np.take(array, np.arange(low, high), axis=axis, mode="clip")
    return np.ascontiguousarray(array)


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

    settings = _settings(folder)
    arguments: dict[str, Any] = {k: tuple(v) if isinstance(v, list) and k != "norm" else v for k, v in settings.network.items()}
    try:
        network: Any = SegResNetDS(**arguments)
        state = load_file(settings.weights)
    except (TypeError, ValueError, OSError, SafetensorError) as error:
        message = f"the segmentation network in {folder.name} cannot be rebuilt: {str(error).splitlines()[0]} (content {key[:8]}); take the folder as training wrote it"
        raise WeightsError(message) from error
    for module in network.modules():
        if isinstance(module, torch.nn.Conv3d | torch.nn.ConvTranspose3d):
            module.stride = tuple(int(s) for s in module.stride)  # MONAI leaves NumPy integers there
    check_keys(network, state, f"the segmentation network of {CARD}")
    network.load_state_dict(state, strict=True)
    return network.eval().requires_grad_(False).to(device), settings.spacing
