"""What fine-tuning learns from: a bag a patient, with the features of each slice as the network has them from others, and the slices themselves where the network is to change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from sarcofuse.config.deep import DeepConfig, FineTuneConfig
from sarcofuse.deep.boxes import Box, make_box
from sarcofuse.deep.crops import Crops, check_drawn, make_crops
from sarcofuse.deep.look import FEWEST, Source, entry_of, feature_maps, load, torch_ready
from sarcofuse.deep.trouble import check_answer, remember
from sarcofuse.errors import CaseError, GeometryError, MaskError
from sarcofuse.records import Case, Mask, SetAside, Volume
from sarcofuse.runtime import Engine, Task, digest

if TYPE_CHECKING:
    from numpy.typing import NDArray

VERSION = "deep bags 1"
STAGE, BAG, PICTURE = "deep-bags", "bag.npz", "seen.png"


@dataclass(frozen=True, slots=True, eq=False)
class Bag:
    """One patient's slices.

    Attributes
    ----------
    tokens : ndarray of float32, shape (slices, features)
        Pooled feature maps of each slice by the network as it came; one row for a 3D network.
    areas : ndarray of float32, shape (slices,)
        Area of the tumour in each slice in mm²; 1 for a 3D network.
    pictures : ndarray, shape (slices, size, size) of uint8, or (1, planes, rows, columns) of float32
        What the network is shown; empty for a probe.
    regions : ndarray of float32, shape (slices, regions, size, size) or (1, regions, planes, rows, columns)
        Weights that feature maps are averaged with; no regions where the pooling needs none; empty for a probe.
    """

    tokens: NDArray[np.float32]
    areas: NDArray[np.float32]
    pictures: NDArray[Any]
    regions: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Kept:
    """Where a patient's bag lies.

    Attributes
    ----------
    patient_id : str
        Whose.
    folder : Path
        Cache folder with the bag and with a picture of what the network saw.
    key : str
        Digest of everything that the bag depends on.
    """

    patient_id: str
    folder: Path
    key: str


@dataclass(frozen=True, slots=True)
class Base:
    """The network that everything starts from.

    Attributes
    ----------
    network : Module
        With a method ``maps``; frozen, shared, not to be changed.
    spacing : tuple of float
        Voxel size along x, y, z in mm of a 3D network; empty for 2D.
    multiples : tuple of int
        What planes, rows and columns of a box must be multiples of.
    """

    network: Any
    spacing: tuple[float, ...]
    multiples: tuple[int, ...]


def find_base(config: DeepConfig, source: Source) -> Base:
    """Load the network of a configuration.

    Parameters
    ----------
    config : DeepConfig
        Settings.
    source : Source
        Its weights.

    Returns
    -------
    Base
        The network.

    Raises
    ------
    WeightsError
        If the weights were altered or belong to another network.
    """
    entry = entry_of(config)
    if entry.origin == "study":
        from sarcofuse.deep.adapters import EncoderMaps
        from sarcofuse.deep.encoder import load_encoder

        network, spacing = load_encoder(source.path, source.device)
        return Base(EncoderMaps(network.encoder), spacing, tuple(int(f) for f in network.shape_factor()))
    return Base(load(config, source), entry.spacing, (FEWEST,) * 3)


def make_bags(cases: Sequence[Case], config: DeepConfig, engine: Engine, source: Source) -> tuple[list[Kept], list[SetAside]]:
    """Make the bag of every case.

    Parameters
    ----------
    cases : sequence of Case
        Prepared images with masks on their grids.
    config : DeepConfig
        Settings.
    engine : Engine
        Runs and caches the work, one task a patient.
    source : Source
        Verified weights.

    Returns
    -------
    bags : list of Kept
        In the order of the cases.
    set_aside : list of SetAside
        Cases without a bag, with reasons.
    """
    probe = config.fine_tune.mode == "probe"
    settings = config.model_copy(update={"weights": None, "device": "auto", "head": "pool", "slice_pooling": "mean", "fine_tune": FineTuneConfig()})
    shared = (VERSION, settings, probe, source.digest, source.device)
    tasks = [Task(c.patient_id, digest(*shared, c.image_digest, c.mask_digest), (c.patient_id, c.image, c.mask, config, source)) for c in cases]
    done, aside = engine.run(STAGE, _keep_bag, tasks)
    return [Kept(entry.patient_id, entry.folder, entry.folder.name) for entry in done], aside


def read_bag(folder: Path) -> Bag:
    """Read a bag.

    Parameters
    ----------
    folder : Path
        Where `make_bags` put it.

    Returns
    -------
    Bag
        Its content.
    """
    with np.load(folder / BAG, allow_pickle=False) as content:
        return Bag(content["tokens"], content["areas"], content["pictures"], content["regions"])


def fill_bag(image: Volume, mask: Mask, config: DeepConfig, source: Source) -> tuple[Bag, NDArray[np.uint8]]:
    """Show a tumour to the network, slice by slice.

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
    bag : Bag
        The patient's bag.
    seen : ndarray of uint8, shape (pictures, rows, columns)
        What the network saw, for a contact sheet.

    Raises
    ------
    CaseError
        If memory does not suffice for one picture or box.
    """
    entry, base = entry_of(config), find_base(config, source)
    with torch_ready():
        if entry.dims == 3:
            box = make_box(image, mask, config, base.spacing, base.multiples)
            return cast("tuple[Bag, NDArray[np.uint8]]", remember(lambda: _bag_of_box(box, base, config, source), entry=entry))
        crops = make_crops(image, mask, config, entry.size)
        return cast("tuple[Bag, NDArray[np.uint8]]", remember(lambda: _bag_of_pictures(crops, base, config, source), f"one picture of {entry.size} x {entry.size} pixels", entry))


def _bag_of_pictures(crops: Crops, base: Base, config: DeepConfig, source: Source) -> tuple[Bag, NDArray[np.uint8]]:
    from sarcofuse.deep.pooling import pool_maps, weights_for

    tokens, regions = [], []
    for i, (tumour, length) in enumerate(zip(crops.tumour, crops.pixel_mm, strict=True)):
        weights = weights_for(config.pooling, tumour, (length, length))
        tokens.append(pool_maps(feature_maps(base.network, crops.pictures[i : i + 1], config, entry_of(config), source), weights, config.pooling))
        regions.append(_stack(weights, tumour.shape))
    areas = [float(t.sum(dtype=np.float64)) * length**2 for t, length in zip(crops.tumour, crops.pixel_mm, strict=True)]
    return _bag(np.stack(tokens), np.array(areas), crops.pictures, np.stack(regions), config), crops.pictures


def _bag_of_box(box: Box, base: Base, config: DeepConfig, source: Source) -> tuple[Bag, NDArray[np.uint8]]:
    import torch

    from sarcofuse.deep.pooling import pool_maps, weights_for

    weights = weights_for(config.pooling, box.tumour, base.spacing[::-1])
    tokens = pool_maps(base.network.maps(torch.from_numpy(box.array)[None, None].to(source.device), config.layer), weights, config.pooling)
    return _bag(tokens[None], np.ones(1), box.array[None], _stack(weights, box.tumour.shape)[None], config), box.picture()


def _stack(weights: Sequence[NDArray[np.float32] | None], shape: tuple[int, ...]) -> NDArray[np.float32]:
    there = [w for w in weights if w is not None]
    return np.stack(there) if there else np.zeros((0, *shape), dtype=np.float32)


def _bag(tokens: NDArray[np.float64], areas: NDArray[np.float64], pictures: NDArray[Any], regions: NDArray[np.float32], config: DeepConfig) -> Bag:
    bare = config.fine_tune.mode == "probe"
    return Bag(tokens.astype(np.float32), areas.astype(np.float32), pictures[:0] if bare else pictures, regions[:0] if bare else regions)


def _keep_bag(folder: Path, patient_id: str, image: Path, mask: Path | None, config: DeepConfig, source: Source) -> None:
    """Write one patient's bag (a task of the engine)."""
    import SimpleITK as sitk

    from sarcofuse.imaging import read_mask, read_volume

    if mask is None:
        message = "has no mask; expected one on the grid of the prepared image. Draw the tumour, or set segment.masks: model"
        raise MaskError(patient_id, message)
    volume, region = read_volume(image, patient_id), read_mask(mask, patient_id)
    gaps = volume.geometry.differences(region.geometry)
    if gaps:
        message = f"image and mask lie on different grids: {'; '.join(gaps)}"
        raise GeometryError(patient_id, message)
    check_drawn(region, patient_id)
    try:
        bag, seen = fill_bag(volume, region, config, source)
    except CaseError as error:
        raise type(error)(patient_id, error.problem, error.file) from error
    check_answer(bag.tokens, seen, entry_of(config).name, patient_id)
    np.savez_compressed(folder / BAG, tokens=bag.tokens, areas=bag.areas, pictures=bag.pictures, regions=bag.regions)
    sitk.WriteImage(sitk.GetImageFromArray(np.concatenate(list(seen), axis=1)), str(folder / PICTURE))
