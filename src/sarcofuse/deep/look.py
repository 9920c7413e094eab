"""Show a tumour to a network and pool what it answers."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sarcofuse.config.deep import DeepConfig
from sarcofuse.deep.pooling import pool_batch, pool_maps, region_shares
from sarcofuse.deep.registry import Backbone, backbone
from sarcofuse.deep.scene import Scene, check, prepare, prepare_box
from sarcofuse.deep.trouble import check_answer, is_memory, remember, too_little
from sarcofuse.errors import CaseError, ConfigError
from sarcofuse.records import Mask, Volume
from sarcofuse.runtime import single_thread

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from sarcofuse.deep.encoder import StudyEncoder

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
    return show(patient_id, make_scene(patient_id, image, mask, config, source), config, source)


def make_scene(patient_id: str, image: Volume, mask: Mask, config: DeepConfig, source: Source) -> Scene:
    """Get ready what the network that the settings name is shown.

    Parameters
    ----------
    patient_id, image, mask, config, source : object
        As in `measure`.

    Returns
    -------
    Scene
        To be shown by `show`.

    Raises
    ------
    CaseError
        If image or mask cannot be used, or memory does not suffice.
    """
    check(patient_id, image, mask)
    entry = entry_of(config)
    with _whose(patient_id):
        if entry.dims == 2:
            return prepare(image, mask, config, entry)
        if entry.origin != "study":
            return prepare_box(image, mask, config, entry.spacing, (FEWEST,) * 3)
        encoder = _study_encoder(source)
        found: Scene = remember(lambda: prepare_box(image, mask, config, encoder.spacing, encoder.factor))
    return found


def show(patient_id: str, scene: Scene, config: DeepConfig, source: Source) -> Look:
    """Show a tumour to the network that the settings name.

    Parameters
    ----------
    patient_id : str
        Whose, for error messages.
    scene : Scene
        Given by `make_scene`.
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
        If the network's answer is not finite, or memory does not suffice for one picture or box.
    ConfigError
        If features without a place in the picture are to be pooled by region.
    """
    entry = entry_of(config)
    with _whose(patient_id), torch_ready():
        if entry.dims == 2:
            (features,), batch = _look_at_pictures([scene], config, entry, source)
        else:
            features, batch = _look_at_box(scene, config, entry, source), 1
    check_answer(features, scene.seen, entry.name, patient_id)
    return Look(features, scene.seen, batch)


def show_together(scenes: Sequence[Scene], config: DeepConfig, source: Source) -> tuple[list[NDArray[np.float64]], int]:
    """Show several tumours to a 2D network, the pictures of all of them in batches.

    Parameters
    ----------
    scenes : sequence of Scene
        Given by `make_scene`.
    config : DeepConfig
        Settings.
    source : Source
        Verified weights.

    Returns
    -------
    features : list of ndarray of float64, shape (features,)
        Of each tumour; within 1e-6 of the largest what `show` gives, and not checked.
    batch : int
        Pictures that went through the network at a time.

    Raises
    ------
    CaseError
        If memory does not suffice for one picture.
    ConfigError
        If features without a place in the picture are to be pooled by region.
    """
    with torch_ready():
        return _look_at_pictures(scenes, config, entry_of(config), source)


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


def join_slices(rows: NDArray[np.float64] | Sequence[NDArray[np.float64]], areas: Sequence[float], how: str) -> NDArray[np.float64]:
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

    _keep_memory()
    before = torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark, torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark, torch.backends.cudnn.allow_tf32 = True, False, False
    try:
        with single_thread(), torch.inference_mode():
            yield
    finally:
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark, torch.backends.cudnn.allow_tf32 = before


@lru_cache(maxsize=1)
def _keep_memory() -> None:
    """Let this process keep the memory of feature maps for the next ones: on Linux a third of a small network's time goes to pages given back and asked for again.

    By glibc's mallopt(3), a block given back raises the size above which blocks go back to the system at once, up to 32 MiB, and the memory kept at hand to twice as much. Elsewhere nothing happens.
    """
    np.empty(31 << 20, dtype=np.uint8)


def _look_at_pictures(scenes: Sequence[Scene], config: DeepConfig, entry: Backbone, source: Source) -> tuple[list[NDArray[np.float64]], int]:
    """Show the pictures, `batch` at a time and fewer where memory does not suffice; give the features of each scene, joined over its pictures, and the batch."""
    import torch

    from sarcofuse.deep.quick import quick

    shown, weights = np.concatenate([s.shown for s in scenes]) if len(scenes) > 1 else scenes[0].shown, [w for s in scenes for w in s.weights]
    network, batch = quick(load(config, source)), min(config.batch, len(shown))
    rows, shares, at = list[Any](), list[Any](), 0
    while at < len(shown):
        try:
            maps = feature_maps(network, shown[at : at + batch], config, entry, source)
            shares = shares or region_shares(weights, [m.shape[2:] for m in maps], source.device)
            rows.append(pool_batch(maps, [own if own is None else own[at : at + batch] for own in shares], config.pooling))
        except (RuntimeError, MemoryError) as error:
            if not is_memory(error):
                raise
            if batch == 1:
                what = f"one picture of {entry.size} x {entry.size} pixels"
                raise too_little(what, entry, error) from error
            batch //= 2
            gc.collect()
            continue
        at += batch
    ends = np.cumsum([len(s.shown) for s in scenes])[:-1]
    parts = np.split(torch.cat(rows).cpu().numpy(), ends)
    return [join_slices(own, s.areas, config.slice_pooling) for own, s in zip(parts, scenes, strict=True)], batch


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

    maps: list[Tensor] = network.maps(normalise(pictures, entry, source.device), config.layer)
    if config.pooling in ("masked", "regions") and all(m.shape[2:].numel() == 1 for m in maps):
        message = f"deep.pooling {config.pooling} takes feature maps, and the features of {entry.name} have no place in the picture; set deep.pooling: average"
        raise ConfigError(message)
    return maps


def _look_at_box(scene: Scene, config: DeepConfig, entry: Backbone, source: Source) -> NDArray[np.float64]:
    import torch

    network = _study_encoder(source) if entry.origin == "study" else load(config, source)
    box = torch.from_numpy(scene.shown)[None, None].to(source.device)
    maps = remember(lambda: network.maps(box, config.layer), f"a box of {' x '.join(str(n) for n in scene.shown.shape)} voxels", entry)
    return pool_maps(maps, scene.weights[0], config.pooling)


def _study_encoder(source: Source) -> StudyEncoder:
    from sarcofuse.deep.encoder import open_encoder

    return open_encoder(source.path, source.device, source.digest)


@contextmanager
def _whose(patient_id: str) -> Iterator[None]:
    """Say of errors whom they concern."""
    try:
        yield
    except CaseError as error:
        raise type(error)(patient_id, error.problem, error.file) from error
