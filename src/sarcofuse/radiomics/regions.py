"""Regions beside the tumour: rings around it, its rim and core, its habitats."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from sarcofuse.config import RadiomicsConfig, RegionsConfig
from sarcofuse.errors import CaseError, ConfigError, MaskError
from sarcofuse.imaging import geometry_of
from sarcofuse.radiomics.body import body
from sarcofuse.radiomics.distance import signed_distance
from sarcofuse.radiomics.habitats import assign

Bools = NDArray[np.bool_]
Measure = Callable[[sitk.Image, sitk.Image, RadiomicsConfig, str], dict[str, float]]
SHARE = "original_shape_VolumeShare"


def region_names(config: RegionsConfig) -> list[str]:
    """Name the regions beside the tumour.

    Parameters
    ----------
    config : RegionsConfig
        Which are asked for.

    Returns
    -------
    list of str
        Such as ``ring-0-5``, ``rim``, ``core``, ``habitat-1``; distances in mm.
    """
    rings = [f"ring-{a:g}-{b:g}" for a, b in zip(config.ring, config.ring[1:], strict=False)]
    return [*rings, *(["rim", "core"] if config.rim is not None else []), *(f"habitat-{k + 1}" for k in range(config.habitats))]


def region_masks(image: NDArray[np.generic], tumour: Bools, spacing: tuple[float, float, float], config: RegionsConfig) -> Iterator[tuple[str, Bools]]:
    """Give the regions beside the tumour, one at a time.

    Distances are those of voxel centres from the tumour's surface, in physical space on the image's own grid. A ring from a to b mm holds the voxels outside the tumour beyond a and
    up to b, in the image and, with `clip`, in the body; the rim those of the tumour within `rim` of its surface, and the core the rest of the tumour.

    Parameters
    ----------
    image : ndarray, shape (z, y, x)
        Intensities.
    tumour : ndarray of bool, shape (z, y, x)
        The tumour; at least one voxel.
    spacing : tuple of float
        Voxel size along z, y, x in mm.
    config : RegionsConfig
        Which regions.

    Yields
    ------
    name : str
        As in `region_names`.
    region : ndarray of bool, shape (z, y, x)
        The region; may be empty.

    Raises
    ------
    ConfigError
        If habitats are asked for and there is no codebook.
    """
    names = iter(region_names(config))
    box = _around(tumour, spacing, config.ring[-1] if config.ring else 0.0)
    near = tumour[box]
    distance = signed_distance(near, spacing) if config.ring or config.rim is not None else np.zeros(near.shape)
    if config.ring:
        allowed = ~near & (body(image, spacing)[box] if config.clip else True)
        for low, high in zip(config.ring, config.ring[1:], strict=False):
            yield next(names), _place(allowed & (distance <= high) & ((distance > low) | (low == 0.0)), box, tumour.shape)
    if config.rim is not None:
        for part in (near & (distance >= -config.rim), near & (distance < -config.rim)):
            yield next(names), _place(part, box, tumour.shape)
    if config.habitats:
        if config.codebook is None:
            message = "regions.habitats needs a codebook: a study learns one from its training patients, and sarcofuse.radiomics.learn_habitats from any; or set habitats: 0"
            raise ConfigError(message)
        habitat = assign(image, tumour, spacing, config)
        for k in range(config.habitats):
            yield next(names), habitat == k + 1


def _around(tumour: Bools, spacing: tuple[float, float, float], reach: float) -> tuple[slice, slice, slice]:
    """Give the tumour's bounding box, widened by a distance in mm and a voxel."""
    found = []
    for axis, s in enumerate(spacing):
        hit = np.flatnonzero(tumour.any(axis=tuple(a for a in range(3) if a != axis)))
        margin = int(np.ceil(reach / s)) + 1
        found.append(slice(max(0, int(hit[0]) - margin), int(hit[-1]) + 2 + margin))
    return found[0], found[1], found[2]


def _place(part: Bools, box: tuple[slice, slice, slice], shape: tuple[int, ...]) -> Bools:
    whole = np.zeros(shape, dtype=bool)
    whole[box] = part
    return whole


def further_features(image: sitk.Image, mask: sitk.Image, config: RadiomicsConfig, patient_id: str, measure: Measure) -> dict[str, float]:
    """Compute the features of the regions beside the tumour.

    Parameters
    ----------
    image : SimpleITK.Image
        The image.
    mask : SimpleITK.Image
        The tumour's mask.
    config : RadiomicsConfig
        The settings.
    patient_id : str
        Whom it concerns, for errors.
    measure : callable
        Gives the features of one region: ``measure(image, mask, config, patient_id)``.

    Returns
    -------
    dict of str to float
        Value by name, without those that are not defined: a region may be empty, or too small for texture.

    Raises
    ------
    CaseError
        If the image cannot be used within a region.
    """
    if geometry_of(image).differences(geometry_of(mask), config.geometryTolerance):
        mask = sitk.Resample(mask, image, sitk.Transform(), sitk.sitkNearestNeighbor, 0, mask.GetPixelID())
    tumour = sitk.GetArrayViewFromImage(mask) == config.label
    own, found = _settings(config), dict[str, float]()
    x, y, z = image.GetSpacing()
    for name, region in region_masks(sitk.GetArrayViewFromImage(image), tumour, (z, y, x), config.regions):
        habitat = name.startswith("habitat-")
        if habitat:
            found[f"{name}_{SHARE}"] = float(np.count_nonzero(region) / np.count_nonzero(tumour))
        if np.any(region) and (config.regions.habitat_classes or not habitat):
            picture = sitk.GetImageFromArray(region.astype(np.uint8))
            picture.CopyInformation(image)
            try:
                values = measure(image, picture, own, patient_id)
            except MaskError:  # too small, or too thin: its features are not defined
                continue
            except CaseError as error:
                raise type(error)(error.patient_id, f"region {name}: {error.problem}", error.file) from error
            found |= {f"{name}_{feature}": value for feature, value in values.items()}
    return found


def further_names(config: RadiomicsConfig, names: Callable[[RadiomicsConfig], tuple[str, ...]]) -> tuple[str, ...]:
    """Name the features of the regions beside the tumour.

    Parameters
    ----------
    config : RadiomicsConfig
        The settings.
    names : callable
        Gives the names of the features of one region for its settings.

    Returns
    -------
    tuple of str
        ``<region>_<image>_<class>_<feature>``.
    """
    own, found = names(_settings(config)), []
    for name in region_names(config.regions):
        habitat = name.startswith("habitat-")
        found += [f"{name}_{SHARE}"] * habitat
        if config.regions.habitat_classes or not habitat:
            found += [f"{name}_{feature}" for feature in own]
    return tuple(found)


def _settings(config: RadiomicsConfig) -> RadiomicsConfig:
    """Give the settings that hold within a region beside the tumour."""
    own: dict[str, object] = {"regions": RegionsConfig(), "label": 1}
    if config.dialect == "ibsi":
        families = tuple(f for f in config.ibsi.families if f != "morphology" or "shape" in config.regions.classes)
        return config.model_copy(update=own | {"ibsi": config.ibsi.model_copy(update={"families": families})})
    classes = tuple(c for c in config.classes if c in config.regions.classes)
    return config.model_copy(update=own | {"classes": classes, "features": {c: names for c, names in config.features.items() if c in classes}})
