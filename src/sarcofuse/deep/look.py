"""Show a tumour to a network and pool what it answers."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sarcofuse.config.deep import DeepConfig
from sarcofuse.deep.boxes import make_box
from sarcofuse.deep.crops import Crops, check_drawn, make_crops
from sarcofuse.deep.registry import Backbone, backbone
from sarcofuse.deep.trouble import check_answer, is_memory, remember, too_little
from sarcofuse.errors import CaseError, ConfigError, GeometryError, ImageError
from sarcofuse.records import Mask, Volume
from sarcofuse.runtime import single_thread

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

FEWEST = 16  # planes, rows and columns that a 3D network is shown at least, and a multiple of: two voxels of its last map


@dataclass(frozen=True, slots=True)
class Source:
    """Where the weights of this run are, and what they are.

    Attributes
    ----------
    path : Path
        Weights file, or the segmenter's folder for its encoder.
    digest : str
        SHA-256 of the tensors, or of the published file; goes into the cache key in place of the path.
    device : {'cpu', 'cuda'}
        Where the network works.
    """

    path: Path
    digest: str
    device: str


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """What came of showing a tumour to a network.

    Attributes
    ----------
    features : ndarray of float64, shape (features,)
        Pooled feature maps.
    seen : ndarray of uint8, shape (pictures, rows, columns)
        Exactly what the network was shown, before its own scaling of intensities.
    batch : int
        Pictures that went through at a time in the end; below the setting where memory did not suffice.
    """

    features: NDArray[np.float64]
    seen: NDArray[np.uint8]
    batch: int


def entry_of(config: DeepConfig) -> Backbone:
    """Give the registry's entry of a configuration, with the input convention of the settings where the user brings the network.

    Parameters
    ----------
    config : DeepConfig
        Settings.

    Returns
    -------
    Backbone
        The entry.

    Raises
    ------
    ConfigError
        If the backbone is unknown.
    """
    entry, own = backbone(config.backbone), config.onnx
    return replace(entry, size=own.size, channels=own.channels, subtract=own.subtract, divide=own.divide) if entry.origin == "user" else entry


def look(image: Volume, mask: Mask, config: DeepConfig, source: Source) -> Look:
    """Show a tumour to the network that the settings name.

    Parameters
    ----------
    image : Volume
        The image, finite.
    mask : Mask
        The tumour on the same grid, not empty.
    config : DeepConfig
        Settings.
    source : Source
        Verified weights.

    Returns
    -------
    Look
        Features and what was seen.

    Raises
    ------
    CaseError
        If memory does not suffice for one picture or box.
    ConfigError
        If features without a place in the picture are to be pooled by region.
    """
    entry = entry_of(config)
    with torch_ready():
        if entry.origin == "study":
            from sarcofuse.deep.encoder import encode

            features, seen = remember(lambda: encode(image, mask, config, source.path, source.device))
            return Look(features, seen, 1)
        if entry.dims == 3:
            return _look_at_box(image, mask, config, entry, source)
        crops = make_crops(image, mask, config, entry.size)
        features, batch = _look_at_pictures(crops, config, entry, source)
        return Look(features, crops.pictures, batch)


def measure(patient_id: str, image: Volume, mask: Mask, config: DeepConfig, source: Source) -> Look:
    """Give one patient's features and what was seen.

    Parameters
    ----------
    patient_id : str
        Whose, for error messages.
    image : Volume
        The prepared image.
    mask : Mask
        The tumour on the same grid.
    config : DeepConfig
        Settings.
    source : Source
        From `find_source`.

    Returns
    -------
    Look
        Features, pictures and batch.

    Raises
    ------
    CaseError
        If image or mask cannot be used, the network's answer is not finite, or memory does not suffice.
    """
    gaps = image.geometry.differences(mask.geometry)
    if gaps:
        message = f"image and mask lie on different grids: {'; '.join(gaps)}"
        raise GeometryError(patient_id, message)
    check_drawn(mask, patient_id)
    holes = int(np.count_nonzero(~np.isfinite(image.array)))
    if holes:
        message = f"image holds {holes} voxel{'s' if holes > 1 else ''} that are NaN or infinite; expected finite intensities. Export the image again, or fill those voxels"
        raise ImageError(patient_id, message)
    try:
        found = look(image, mask, config, source)
    except CaseError as error:
        raise type(error)(patient_id, error.problem, error.file) from error
    check_answer(found.features, found.seen, entry_of(config).name, patient_id)
    return found


def load(config: DeepConfig, source: Source) -> Any:  # noqa: ANN401 - the networks share the method maps, not a class
    """Load the network of a configuration, once a process.

    Parameters
    ----------
    config : DeepConfig
        Settings; any backbone but the study's own encoder.
    source : Source
        Its weights.

    Returns
    -------
    object
        With a method ``maps``.

    Raises
    ------
    WeightsError
        If the weights were altered or belong to another network.
    ConfigError
        If onnxruntime is wanted and absent.
    """
    if backbone(config.backbone).origin == "user":
        from sarcofuse.deep.onnx_encoder import load_onnx

        return load_onnx(source.path, source.digest, config.onnx.output, source.device)
    from sarcofuse.deep.backbones import load_network

    return load_network(config.backbone, source.path, source.device, source.digest)


def join_slices(rows: Sequence[NDArray[np.float64]], areas: Sequence[float], how: str) -> NDArray[np.float64]:
    """Make one row of features of the rows of several pictures.

    Parameters
    ----------
    rows : sequence of ndarray, each of shape (features,)
        A row a picture.
    areas : sequence of float
        Area of the tumour in each picture in mm².
    how : {'mean', 'max', 'attention'}
        ``deep.slice_pooling``; ``attention`` weighs by area.

    Returns
    -------
    ndarray, shape (features,)
        The one row. Where no picture has any tumour, ``attention`` is the mean.

    Examples
    --------
    >>> join_slices([np.array([1.0, 4.0]), np.array([3.0, 0.0])], [100.0, 300.0], "attention").tolist()
    [2.5, 1.0]
    """
    if how == "max":
        return np.asarray(np.max(rows, axis=0))
    if how == "attention" and sum(areas) > 0:
        return np.asarray(np.average(rows, axis=0, weights=areas))
    return np.asarray(np.mean(rows, axis=0))


@contextmanager
def torch_ready() -> Iterator[None]:
    """Hold torch, imported now if need be, to one thread, to inference and to algorithms that repeat.

    Yields
    ------
    None
        Nothing.
    """
    import torch

    before = torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark, torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark, torch.backends.cudnn.allow_tf32 = True, False, False
    try:
        with single_thread(), torch.inference_mode():
            yield
    finally:
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark, torch.backends.cudnn.allow_tf32 = before


def _look_at_pictures(crops: Crops, config: DeepConfig, entry: Backbone, source: Source) -> tuple[NDArray[np.float64], int]:
    """Show the pictures, `batch` at a time and fewer where memory does not suffice; give the features, joined over pictures, and the batch."""
    from sarcofuse.deep.pooling import pool_maps, weights_for

    network, batch = load(config, source), min(config.batch, len(crops.pictures))
    rows: list[NDArray[np.float64]] = []
    while len(rows) < len(crops.pictures):
        chosen = slice(len(rows), len(rows) + batch)
        try:
            maps = feature_maps(network, crops.pictures[chosen], config, entry, source)
        except (RuntimeError, MemoryError) as error:
            if not is_memory(error):
                raise
            if batch == 1:
                what = f"one picture of {entry.size} x {entry.size} pixels"
                raise too_little(what, entry, error) from error
            batch //= 2
            gc.collect()
            continue
        for i, (tumour, length) in enumerate(zip(crops.tumour[chosen], crops.pixel_mm[chosen], strict=True)):
            rows.append(pool_maps([m[i : i + 1] for m in maps], weights_for(config.pooling, tumour, (length, length)), config.pooling))
    areas = [float(t.sum(dtype=np.float64)) * length**2 for t, length in zip(crops.tumour, crops.pixel_mm, strict=True)]
    return join_slices(rows, areas, config.slice_pooling), batch


def feature_maps(network: Any, pictures: NDArray[np.uint8], config: DeepConfig, entry: Backbone, source: Source) -> list[Tensor]:  # noqa: ANN401 - see load
    """Show pictures to a 2D network.

    Parameters
    ----------
    network : object
        Given by `load`.
    pictures : ndarray of uint8, shape (n, size, size)
        Grey pictures.
    config : DeepConfig
        Settings.
    entry : Backbone
        Entry of the registry, see `entry_of`.
    source : Source
        Its weights.

    Returns
    -------
    list of Tensor, each of shape (n, channels, rows, columns)
        The maps that the settings ask for.

    Raises
    ------
    ConfigError
        If features without a place in the picture are to be pooled by region.
    """
    from sarcofuse.deep.backbones import normalise

    maps: list[Tensor] = network.maps(normalise(pictures, entry).to(source.device), config.layer)
    if config.pooling in ("masked", "regions") and all(m.shape[2:].numel() == 1 for m in maps):
        message = f"deep.pooling {config.pooling} takes feature maps, and the features of {entry.name} have no place in the picture; set deep.pooling: average"
        raise ConfigError(message)
    return maps


def _look_at_box(image: Volume, mask: Mask, config: DeepConfig, entry: Backbone, source: Source) -> Look:
    import torch

    from sarcofuse.deep.pooling import pool_maps, weights_for

    box = make_box(image, mask, config, entry.spacing, (FEWEST,) * 3)
    network = load(config, source)
    shape = " x ".join(str(n) for n in box.array.shape)
    maps = remember(lambda: network.maps(torch.from_numpy(box.array)[None, None].to(source.device), config.layer), f"a box of {shape} voxels", entry)
    return Look(pool_maps(maps, weights_for(config.pooling, box.tumour, entry.spacing[::-1]), config.pooling), box.picture(), 1)
