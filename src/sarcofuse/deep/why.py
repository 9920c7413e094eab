"""Maps of the deep signature: where in a patient's image its risk comes from, how much of that lies in the tumour, and whether the network has a part in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sarcofuse.config.deep import DeepConfig
from sarcofuse.deep.cam import LinearHead, Method, Wanted, cell_maps, to_pixels
from sarcofuse.deep.crops import check_drawn
from sarcofuse.deep.judged import Drawn, Why, judge
from sarcofuse.deep.look import FEWEST, Source, entry_of, load, torch_ready
from sarcofuse.deep.shown import Shown, show, shuffled
from sarcofuse.deep.stage import find_source
from sarcofuse.errors import ConfigError, MaskError
from sarcofuse.records import Case, Mask, SetAside, Volume
from sarcofuse.runtime import Engine, Task, digest, write_json

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

VERSION, STAGE = "why 2", "why"
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


def explain(image: Volume, mask: Mask, config: DeepConfig, source: Source, formula: Formula, *, method: Wanted = "auto", seed: int = 0) -> Why:
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
    method : {'auto', 'exact', 'integrated', 'gradcam'}
        ``gradcam``: Grad-CAM by the book; anything else exact, for a formula is linear. See `sarcofuse.deep.cam.cell_maps`.
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
    how: Method = "gradcam" if method == "gradcam" else "exact"  # a formula is linear
    with torch_ready():
        network, spacing, multiples = _network(config, source)
        shown = show(image, mask, config, source.device, spacing, multiples)
        drawn = _draw(shown, network, config, formula, how)
        shuffle = shuffled(network, seed)
        other = None if shuffle is None else _draw(shown, shuffle, config, formula, how)
    return judge(drawn, other, shown, image.geometry, how)


def _network(config: DeepConfig, source: Source) -> tuple[Any, Sequence[float], Sequence[int]]:
    """Give the network, and voxel size and multiples of its box."""
    entry = entry_of(config)
    if entry.origin == "study":
        from sarcofuse.deep.encoder import open_encoder

        encoder = open_encoder(source.path, source.device)
        return encoder, encoder.spacing, encoder.factor
    return load(config, source), entry.spacing, [FEWEST] * 3


def _draw(shown: Shown, network: Any, config: DeepConfig, formula: Formula, method: Method) -> Drawn:  # noqa: ANN401 - see look.load
    maps, regions = shown.maps(network, config.layer), shown.regions(config.pooling)
    areas = [float(t.sum(dtype=np.float64)) * float(np.prod(lengths)) for t, lengths in zip(shown.tumour, shown.lengths, strict=True)]
    weights, centre = formula.spread(sum(int(m.shape[1]) for m in maps[0]) * len(regions[0]))
    head = LinearHead(weights, centre, formula.base, config.pooling, config.slice_pooling, regions, areas)
    risk, cells = cell_maps(maps, head, method)
    return Drawn(risk, formula.base, [to_pixels(own, t.shape, method) for own, t in zip(cells, shown.tumour, strict=True)])


def explain_cases(
    cases: Sequence[Case], config: DeepConfig, formulas: Mapping[str, Formula], engine: Engine, *, weights: Path | None = None, encoder: Path | None = None, method: Wanted = "auto", seed: int = 0
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
    method : {'auto', 'exact', 'integrated', 'gradcam'}
        ``gradcam``: Grad-CAM by the book; anything else exact, for a formula is linear. See `sarcofuse.deep.cam.cell_maps`.
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
    how, tasks = "gradcam" if method == "gradcam" else "exact", []
    for c in cases:
        own = formulas[c.patient_id]
        key = digest(VERSION, settings, source.digest, source.device, own.base, {k: list(v) for k, v in own.terms.items()}, how, seed, c.image_digest, c.mask_digest)
        tasks.append(Task(c.patient_id, key, (c.patient_id, c.image, c.mask, settings, source, own, (how, seed))))
    done, aside = engine.run(STAGE, _explain_case, tasks)
    return {entry.patient_id: entry.folder for entry in done}, aside


def _explain_case(folder: Path, patient_id: str, image: Path, mask: Path | None, config: DeepConfig, source: Source, formula: Formula, how: tuple[Wanted, int]) -> None:
    """Write one patient's map, picture and figures (a task of the engine)."""
    volume, region = read_drawn(patient_id, image, mask)
    keep(folder, explain(volume, region, config, source, formula, method=how[0], seed=how[1]))


def read_drawn(patient_id: str, image: Path, mask: Path | None) -> tuple[Volume, Mask]:
    """Read a patient's image and mask.

    Parameters
    ----------
    patient_id : str
        Whose.
    image : Path
        The prepared image.
    mask : Path or None
        The tumour on the same grid.

    Returns
    -------
    volume : Volume
        The image.
    region : Mask
        The tumour.

    Raises
    ------
    MaskError
        If there is no mask.
    """
    from sarcofuse.imaging import read_mask, read_volume

    if mask is None:
        message = "has no mask; expected one on the grid of the prepared image"
        raise MaskError(patient_id, message)
    return read_volume(image, patient_id), read_mask(mask, patient_id)


def keep(folder: Path, found: Why) -> None:
    """Write a map, its picture and its figures.

    Parameters
    ----------
    folder : Path
        Where to: ``map.nii.gz``, ``map.png`` and ``why.json``.
    found : Why
        What to write.
    """
    import SimpleITK as sitk

    from sarcofuse.imaging import write_volume

    write_volume(found.map, folder / MAP)
    sitk.WriteImage(sitk.GetImageFromArray(found.painted, isVector=True), str(folder / PICTURE))
    write_json(found.record(), folder / RECORD)
