"""Maps of the deep signature: where in a patient's image its risk comes from, how much of that lies in the tumour, and whether the network has a part in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sarcofuse.config.deep import DeepConfig
from sarcofuse.deep.boxes import make_box
from sarcofuse.deep.cam import LinearHead, Method, cell_maps, to_pixels
from sarcofuse.deep.crops import check_drawn, make_crops
from sarcofuse.deep.look import FEWEST, Source, entry_of, load, torch_ready
from sarcofuse.deep.paint import paint
from sarcofuse.deep.places import box_to_grid, pictures_to_grid
from sarcofuse.deep.stage import find_source
from sarcofuse.errors import ConfigError, MaskError
from sarcofuse.records import Case, Mask, SetAside, Volume
from sarcofuse.runtime import Engine, Task, digest, write_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from torch import Tensor

    from sarcofuse.deep.crops import Place

    Floats = NDArray[np.float64]

VERSION, STAGE = "why 1", "why"
MAP, RECORD, PICTURE = "map.nii.gz", "why.json", "map.png"


@dataclass(frozen=True, slots=True)
class Formula:
    """A linear predictor of deep features: ``base + sum of weight * (feature - centre)``.

    Attributes
    ----------
    base : float
        Value at the centre: of the LASSO signature, the mean training patient.
    terms : mapping of str to (float, float)
        Weight and centre by feature name, as `sarcofuse.deep.extract` names them.
    """

    base: float
    terms: Mapping[str, tuple[float, float]]

    def spread(self, count: int) -> tuple[Floats, Floats]:
        """Give weights and centres of all features in order.

        Parameters
        ----------
        count : int
            How many features the settings give.

        Returns
        -------
        weights, centre : ndarray of float64, shape (count,)
            0 for features that the formula does not use.

        Raises
        ------
        ConfigError
            If the formula uses a feature that the settings do not give.
        """
        weights, centre = np.zeros(count), np.zeros(count)
        for name, (weight, middle) in self.terms.items():
            at = int(name.rpartition("_")[2]) - 1 if name.rpartition("_")[2].isdigit() else count
            if not 0 <= at < count:
                message = f"the formula uses the feature {name}, and these settings give {count} features; explain with the settings that the features were taken with"
                raise ConfigError(message)
            weights[at], centre[at] = weight, middle
        return weights, centre


@dataclass(frozen=True, slots=True, eq=False)
class Why:
    """Where the risk of one patient comes from.

    Attributes
    ----------
    risk, base : float
        Linear predictor, and its value at the formula's centre.
    map : Volume
        On the image's grid; with ``exact`` in units of the linear predictor, adding up to ``risk - base`` less what lies beyond the image.
    pictures : tuple of dict
        For each picture (a box counts as one): ``axis`` and ``slice`` where it was cut, its ``share`` (sum of the map), ``inside`` (part of the positive map in the tumour),
        ``area`` (part of the picture that is tumour) and ``hit`` (whether the largest value lies in the tumour).
    agreement : dict
        ``inside``, ``area`` and ``hits`` over all pictures.
    beyond : float or None
        What of the map lies where a picture reaches beyond the image, and is therefore not in `map`; None for ``gradcam``.
    sanity : float or None
        Spearman's correlation between this map and that of the same network with its weights shuffled [1]_; None where that cannot be had.
    painted : ndarray of uint8, shape (rows, columns, 3)
        What the network saw, above, and the map on it.

    References
    ----------
    .. [1] Adebayo J et al. Sanity checks for saliency maps. NeurIPS 2018.
    """

    risk: float
    base: float
    map: Volume
    pictures: tuple[dict[str, Any], ...]
    agreement: dict[str, float | None]
    beyond: float | None
    sanity: float | None
    painted: NDArray[np.uint8]

    def record(self) -> dict[str, Any]:
        """Give the figures, without map and picture.

        Returns
        -------
        dict
            Plain content.
        """
        return {"risk": self.risk, "base": self.base, "agreement": self.agreement, "beyond": self.beyond, "sanity": self.sanity, "pictures": list(self.pictures)}


@dataclass(frozen=True, slots=True, eq=False)
class _Shown:
    """What a network is shown of one tumour, and how to put maps of it back."""

    network: Any
    inputs: list[Tensor]
    seen: NDArray[np.uint8]
    tumour: list[NDArray[np.float32]]
    lengths: list[tuple[float, ...]]
    where: list[tuple[int | None, int | None]]
    to_grid: Callable[[list[Floats], bool], Floats]

    def maps(self, network: Any, layer: str) -> list[list[Tensor]]:  # noqa: ANN401 - see look.load
        return [network.maps(x, layer) for x in self.inputs]


def explain(image: Volume, mask: Mask, config: DeepConfig, source: Source, formula: Formula, *, method: Method = "exact", seed: int = 0) -> Why:
    """Say where in an image the value of a formula comes from.

    Parameters
    ----------
    image : Volume
        The prepared image, finite.
    mask : Mask
        The tumour on the same grid.
    config : DeepConfig
        The settings that the features were taken with.
    source : Source
        Verified weights.
    formula : Formula
        Linear predictor of the features.
    method : {'exact', 'gradcam'}
        See `sarcofuse.deep.cam.cell_maps`.
    seed : int
        Seed of the shuffled weights.

    Returns
    -------
    Why
        Map and figures.

    Raises
    ------
    MaskError
        If the mask is empty.
    ConfigError
        If the formula does not fit the settings.
    """
    check_drawn(mask)
    with torch_ready():
        shown = _show(image, mask, config, source)
        risk, maps = _explain(shown, shown.network, config, formula, method)
        other = _shuffled(shown.network, seed)
        sanity = None if other is None else _alike(maps, _explain(shown, other, config, formula, method)[1])
    pictures = tuple(_judge(m, t, w) for m, t, w in zip(maps, shown.tumour, shown.where, strict=True))
    grid = shown.to_grid(maps, method == "exact")
    beyond = sum(float(m.sum()) for m in maps) - float(grid.sum()) if method == "exact" else None
    agreement = _agreement(maps, shown.tumour, pictures)
    return Why(risk, formula.base, Volume(grid.astype(np.float32), image.geometry), pictures, agreement, beyond, sanity, paint(shown.seen, maps, shown.tumour))


def _show(image: Volume, mask: Mask, config: DeepConfig, source: Source) -> _Shown:
    import torch

    from sarcofuse.deep.backbones import normalise

    entry = entry_of(config)
    if entry.dims == 2:
        crops, shape = make_crops(image, mask, config, entry.size), image.array.shape
        inputs = [normalise(p[None], entry).to(source.device) for p in crops.pictures]

        def back(maps: list[Floats], whole: bool) -> Floats:
            return pictures_to_grid(maps, crops.places, (shape[0], shape[1], shape[2]), whole=whole)

        cuts: tuple[Place, ...] = crops.places
        return _Shown(load(config, source), inputs, crops.pictures, list(crops.tumour), [(p, p) for p in crops.pixel_mm], [(c.axis, c.number) for c in cuts], back)
    if entry.origin == "study":
        from sarcofuse.deep.encoder import open_encoder

        network: Any = open_encoder(source.path, source.device)
        spacing, factor = network.spacing, network.factor
    else:
        network, spacing, factor = load(config, source), entry.spacing, [FEWEST] * 3
    box = make_box(image, mask, config, spacing, factor)
    inputs = [torch.from_numpy(box.array)[None, None].to(source.device)]
    return _Shown(network, inputs, box.picture(), [box.tumour], [tuple(spacing[::-1])], [(None, None)], lambda maps, whole: box_to_grid(maps[0], box.spans, whole=whole))


def _explain(shown: _Shown, network: Any, config: DeepConfig, formula: Formula, method: Method) -> tuple[float, list[Floats]]:  # noqa: ANN401 - see look.load
    from sarcofuse.deep.pooling import weights_for

    maps = shown.maps(network, config.layer)
    regions = [weights_for(config.pooling, t, lengths) for t, lengths in zip(shown.tumour, shown.lengths, strict=True)]
    areas = [float(t.sum(dtype=np.float64)) * float(np.prod(lengths)) for t, lengths in zip(shown.tumour, shown.lengths, strict=True)]
    weights, centre = formula.spread(sum(int(m.shape[1]) for m in maps[0]) * len(regions[0]))
    head = LinearHead(weights, centre, formula.base, config.pooling, config.slice_pooling, regions, areas)
    risk, cells = cell_maps(maps, head, method)
    return risk, [to_pixels(own, t.shape, method) for own, t in zip(cells, shown.tumour, strict=True)]


def _shuffled(network: Any, seed: int) -> Any:  # noqa: ANN401 - see look.load
    """Give the network with every weight tensor shuffled within itself; None for one whose weights are not open to us."""
    import copy

    import torch

    module = network if isinstance(network, torch.nn.Module) else getattr(network, "network", None)
    if module is None:
        return None
    other = copy.deepcopy(network)
    draw = torch.Generator().manual_seed(seed)
    for tensor in (other if isinstance(other, torch.nn.Module) else other.network).parameters():
        order = torch.randperm(tensor.numel(), generator=draw).to(tensor.device)
        tensor.data = tensor.data.flatten()[order].reshape(tensor.shape)
    return other


def _alike(first: Sequence[Floats], second: Sequence[Floats]) -> float | None:
    """Give Spearman's correlation of two maps over the pixels where either has a value."""
    from scipy.stats import rankdata

    x, y = (np.concatenate([m.ravel() for m in maps]) for maps in (first, second))
    if not np.isfinite(y).all():
        return None
    used = (x != 0) | (y != 0)
    x, y = (rankdata(v[used]) for v in (x, y))
    if x.size < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    return float(np.corrcoef(x, y)[0, 1])


def _judge(values: Floats, tumour: NDArray[np.float32], where: tuple[int | None, int | None]) -> dict[str, Any]:
    positive = np.maximum(values, 0.0)
    total, peak = float(positive.sum()), np.unravel_index(int(np.argmax(values)), values.shape)
    inside = float((positive * tumour).sum()) / total if total > 0 else None
    hit = bool(tumour[peak] >= min(0.5, float(tumour.max()))) and tumour[peak] > 0 if total > 0 else None
    return {"axis": where[0], "slice": where[1], "share": float(values.sum()), "inside": inside, "area": float(tumour.mean(dtype=np.float64)), "hit": None if hit is None else bool(hit)}


def _agreement(maps: Sequence[Floats], tumours: Sequence[NDArray[np.float32]], pictures: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    positive = [np.maximum(m, 0.0) for m in maps]
    total, known = sum(float(p.sum()) for p in positive), [p["hit"] for p in pictures if p["hit"] is not None]
    inside = sum(float((p * t).sum()) for p, t in zip(positive, tumours, strict=True))
    area = float(np.mean([t.mean(dtype=np.float64) for t in tumours]))
    return {"inside": inside / total if total > 0 else None, "area": area, "hits": float(np.mean(known)) if known else None}


def explain_cases(
    cases: Sequence[Case], config: DeepConfig, formulas: Mapping[str, Formula], engine: Engine, *, weights: Path | None = None, encoder: Path | None = None, method: Method = "exact", seed: int = 0
) -> tuple[dict[str, Path], list[SetAside]]:
    """Explain patients: maps, pictures and figures in the engine's cache.

    Parameters
    ----------
    cases : sequence of Case
        Prepared images with masks on their grids.
    config : DeepConfig
        The settings that the features were taken with.
    formulas : mapping of str to Formula
        By patient.
    engine : Engine
        Runs and caches the work, one task a patient.
    weights : Path, optional
        Weights file; overrides ``config.weights``.
    encoder : Path, optional
        Folder of the study's segmenter, for the backbone segresnet-encoder.
    method : {'exact', 'gradcam'}
        See `sarcofuse.deep.cam.cell_maps`.
    seed : int
        Seed of the shuffled weights.

    Returns
    -------
    folders : dict of str to Path
        By patient a folder with ``map.nii.gz`` on the prepared grid, ``map.png`` and ``why.json``.
    set_aside : list of SetAside
        Patients that could not be explained, with reasons.
    """
    settings, source = config.model_copy(update={"weights": None, "device": "auto", "batch": 1}), find_source(config, weights, encoder)
    tasks = []
    for c in cases:
        own = formulas[c.patient_id]
        key = digest(VERSION, settings, source.digest, source.device, own.base, {k: list(v) for k, v in own.terms.items()}, method, seed, c.image_digest, c.mask_digest)
        tasks.append(Task(c.patient_id, key, (c.patient_id, c.image, c.mask, settings, source, own, (method, seed))))
    done, aside = engine.run(STAGE, _explain_case, tasks)
    return {entry.patient_id: entry.folder for entry in done}, aside


def _explain_case(folder: Path, patient_id: str, image: Path, mask: Path | None, config: DeepConfig, source: Source, formula: Formula, how: tuple[Method, int]) -> None:
    """Write one patient's map, picture and figures (a task of the engine)."""
    import SimpleITK as sitk

    from sarcofuse.imaging import read_mask, read_volume, write_volume

    if mask is None:
        message = "has no mask; expected one on the grid of the prepared image"
        raise MaskError(patient_id, message)
    found = explain(read_volume(image, patient_id), read_mask(mask, patient_id), config, source, formula, method=how[0], seed=how[1])
    write_volume(found.map, folder / MAP)
    sitk.WriteImage(sitk.GetImageFromArray(found.painted, isVector=True), str(folder / PICTURE))
    write_json(found.record(), folder / RECORD)
