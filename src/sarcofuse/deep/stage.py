"""The deep stage: a task a patient, each patient's pictures through the network by themselves, so that company does not change a bit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sarcofuse.config.deep import DeepConfig
from sarcofuse.deep.crops import Crops, make_crops
from sarcofuse.deep.registry import Backbone, backbone
from sarcofuse.errors import CaseError, ConfigError, GeometryError, ImageError, MaskError
from sarcofuse.records import Case, FeatureTable, Mask, SetAside, Volume
from sarcofuse.runtime import Engine, Task, digest, single_thread

if TYPE_CHECKING:
    from numpy.typing import NDArray

VERSION = "deep 1"
FEATURES, PICTURE = "features.npy", "seen.png"


@dataclass(frozen=True, slots=True)
class Source:
    """Where the weights of this run are, and what they are.

    Attributes
    ----------
    path : Path
        Weights file, or the segmenter's folder for its encoder.
    digest : str
        SHA-256 of the tensors; goes into the cache key in place of the path.
    device : {'cpu', 'cuda'}
        Where the network works.
    """

    path: Path
    digest: str
    device: str


def find_source(config: DeepConfig, weights: Path | None = None, encoder: Path | None = None) -> Source:
    """Find and verify what a configuration needs.

    Parameters
    ----------
    config : DeepConfig
        Settings.
    weights : Path, optional
        Weights file; overrides ``config.weights``.
    encoder : Path, optional
        Folder of the study's segmenter, for the backbone segresnet-encoder.

    Returns
    -------
    Source
        Verified weights.

    Raises
    ------
    WeightsError
        If weights are absent or altered.
    ConfigError
        If the backbone is unknown, or is the encoder and there is no segmenter.
    """
    from sarcofuse.deep.backbones import find_device
    from sarcofuse.deep.weights import find_weights

    entry, device = backbone(config.backbone), find_device(config.device)
    if entry.dims == 3:
        from sarcofuse.deep.encoder import encoder_digest

        if encoder is None:
            message = f"deep.backbone {entry.name} is the encoder of the study's own segmentation network, and there is none; set segment.masks: model, or another backbone"
            raise ConfigError(message)
        return Source(encoder, encoder_digest(encoder), device)
    return Source(find_weights(entry, weights or config.weights), entry.tensors, device)


def extract(cases: Sequence[Case], config: DeepConfig, engine: Engine, *, weights: Path | None = None, encoder: Path | None = None) -> tuple[FeatureTable, list[SetAside]]:
    """Give the deep features of every case.

    Parameters
    ----------
    cases : sequence of Case
        Prepared images with masks on their grids.
    config : DeepConfig
        Settings.
    engine : Engine
        Runs and caches the work.
    weights : Path, optional
        Weights file; overrides ``config.weights``.
    encoder : Path, optional
        Folder of the study's segmenter, for the backbone segresnet-encoder.

    Returns
    -------
    table : FeatureTable
        Block ``deep``, in the order of the cases.
    set_aside : list of SetAside
        Cases without features, with reasons.

    Raises
    ------
    WeightsError
        If weights are absent, altered, or of another network.
    ConfigError
        If the backbone is unknown, or is the encoder and there is no segmenter.
    """
    done, aside = engine.run("deep", _extract_case, _tasks(cases, config, find_source(config, weights, encoder)))
    rows = [np.load(entry.folder / FEATURES, allow_pickle=False) for entry in done]
    return _table(config.backbone, [entry.patient_id for entry in done], rows), aside


def pictures(cases: Sequence[Case], config: DeepConfig, engine: Engine, *, weights: Path | None = None, encoder: Path | None = None) -> dict[str, Path]:
    """Give the pictures that the network saw, slices side by side, for a contact sheet.

    Parameters
    ----------
    cases : sequence of Case
        Prepared images with masks on their grids.
    config : DeepConfig
        Settings.
    engine : Engine
        Has the work of `extract` in its cache; what is not there is done.
    weights : Path, optional
        Weights file; overrides ``config.weights``.
    encoder : Path, optional
        Folder of the study's segmenter, for the backbone segresnet-encoder.

    Returns
    -------
    dict of str to Path
        PNG file (8 bit grey) by patient; 3D backbones have the tumour's largest slice.
    """
    done, _ = engine.run("deep", _extract_case, _tasks(cases, config, find_source(config, weights, encoder)))
    return {entry.patient_id: entry.folder / PICTURE for entry in done}


def extract_deep(image: Volume, mask: Mask, settings: DeepConfig | Mapping[str, object] | None = None, *, encoder: Path | None = None) -> FeatureTable:
    """Give the deep features of one case.

    Parameters
    ----------
    image : Volume
        The image; for features that fit those of a study, prepared as in that study.
    mask : Mask
        The tumour, on the same grid.
    settings : DeepConfig or mapping, optional
        Settings; the defaults without.
    encoder : Path, optional
        Folder of a segmenter, for the backbone segresnet-encoder.

    Returns
    -------
    FeatureTable
        Block ``deep``, one row named ``case``.

    Raises
    ------
    GeometryError
        If image and mask lie on different grids.
    MaskError
        If the mask is empty.
    ImageError
        If the image is not finite.
    CaseError
        If the network's answer is not finite.
    WeightsError
        If weights are absent or altered.
    """
    config = settings if isinstance(settings, DeepConfig) else DeepConfig.model_validate(settings or {})
    found, _ = _features("case", image, mask, config, find_source(config, encoder=encoder))
    return _table(config.backbone, ["case"], [found])


def report_dead(table: FeatureTable, patient_ids: Sequence[str]) -> dict[str, int]:
    """Count the features that cannot tell the named patients apart; name the training patients, and nothing is learnt from the others.

    Parameters
    ----------
    table : FeatureTable
        Deep features.
    patient_ids : sequence of str
        Training patients.

    Returns
    -------
    dict of str to int
        ``features``; ``dead``, that are 0 for all of them (units that never fire); ``constant``, that have one other value for all of them; ``left``.
    """
    rows = table.rows(patient_ids)
    same = (rows == rows[:1]).all(axis=0)
    dead = int(np.count_nonzero(same & (rows[0] == 0))) if len(rows) else 0
    constant = int(np.count_nonzero(same)) - dead if len(rows) else 0
    return {"features": len(table.names), "dead": dead, "constant": constant, "left": len(table.names) - dead - constant}


def _tasks(cases: Sequence[Case], config: DeepConfig, source: Source) -> list[Task]:
    settings = config.model_copy(update={"weights": None, "device": "auto"})
    shared = (VERSION, settings, source.digest, source.device)
    return [Task(c.patient_id, digest(*shared, c.image_digest, c.mask_digest), (c.patient_id, c.image, c.mask, settings, source)) for c in cases]


def _table(stem: str, patient_ids: Sequence[str], rows: Sequence[NDArray[np.float64]]) -> FeatureTable:
    count = len(rows[0]) if rows else 0
    return FeatureTable("deep", tuple(patient_ids), tuple(f"{stem}_{i:04d}" for i in range(1, count + 1)), np.array(rows, dtype=np.float64).reshape(len(rows), count))


def _extract_case(folder: Path, patient_id: str, image: Path, mask: Path | None, config: DeepConfig, source: Source) -> None:
    """Write one patient's features and picture (a task of the engine)."""
    import SimpleITK as sitk

    from sarcofuse.imaging import read_mask, read_volume

    if mask is None:
        message = "has no mask; expected one on the grid of the prepared image. Draw the tumour, or set segment.masks: model"
        raise MaskError(patient_id, message)
    found, seen = _features(patient_id, read_volume(image, patient_id), read_mask(mask, patient_id), config, source)
    np.save(folder / FEATURES, found, allow_pickle=False)
    sitk.WriteImage(sitk.GetImageFromArray(np.concatenate(list(seen), axis=1)), str(folder / PICTURE))


def _features(patient_id: str, image: Volume, mask: Mask, config: DeepConfig, source: Source) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    """Give features and the pictures seen."""
    gaps = image.geometry.differences(mask.geometry)
    if gaps:
        message = f"image and mask lie on different grids: {'; '.join(gaps)}"
        raise GeometryError(patient_id, message)
    if not mask.array.any():
        message = "mask is empty; expected at least 1 voxel"
        raise MaskError(patient_id, message)
    holes = int(np.count_nonzero(~np.isfinite(image.array)))
    if holes:
        message = f"image holds {holes} voxel{'s' if holes > 1 else ''} that are NaN or infinite; expected finite intensities. Export the image again, or fill those voxels"
        raise ImageError(patient_id, message)
    entry = backbone(config.backbone)
    with _torch_ready():
        if entry.dims == 3:
            from sarcofuse.deep.encoder import encode

            found, seen = encode(image, mask, config, source.path, source.device)
        else:
            crops = make_crops(image, mask, config, entry.size)
            found, seen = _look(crops, config, entry, source), crops.pictures
    bad = int(np.count_nonzero(~np.isfinite(found)))
    if bad:
        message = f"{bad} of {len(found)} activations of {entry.name} are NaN or infinite; expected numbers. Look at the prepared image for extreme intensities"
        raise CaseError(patient_id, message)
    return found, seen


def _look(crops: Crops, config: DeepConfig, entry: Backbone, source: Source) -> NDArray[np.float64]:
    """Show the pictures to the network one by one; give the features, averaged over pictures."""
    from sarcofuse.deep.backbones import load_network, normalise
    from sarcofuse.deep.pooling import pool_maps, weights_for

    network = load_network(entry.name, source.path, source.device)
    rows = []
    for picture, tumour, length in zip(crops.pictures, crops.tumour, crops.pixel_mm, strict=True):
        maps = network.maps(normalise(picture[None], entry).to(source.device), config.layer)
        rows.append(pool_maps(maps, weights_for(config.pooling, tumour, (length, length)), config.pooling))
    found: NDArray[np.float64] = np.mean(rows, axis=0)
    return found


@contextmanager
def _torch_ready() -> Iterator[None]:
    """Hold torch, imported now if need be, to one thread, to inference and to algorithms that repeat."""
    import torch

    before = torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark, torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark, torch.backends.cudnn.allow_tf32 = True, False, False
    try:
        with single_thread(), torch.inference_mode():
            yield
    finally:
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark, torch.backends.cudnn.allow_tf32 = before
