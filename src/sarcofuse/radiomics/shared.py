"""Features of several masks of one image, with the filtered images computed once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from sarcofuse.config import RadiomicsConfig
from sarcofuse.errors import MaskError
from sarcofuse.imaging import geometry_of
from sarcofuse.radiomics.checks import as_picture
from sarcofuse.radiomics.compute import SHAPES, _intensity, _shape, feature_names, measure
from sarcofuse.radiomics.filters import filtered
from sarcofuse.radiomics.prepare import Prepared, prepare
from sarcofuse.radiomics.region import Region
from sarcofuse.runtime import single_thread

Bools = NDArray[np.bool_]
AS_IT_IS = {"normalize": False, "resampledPixelSpacing": None, "preCrop": False, "correctMask": False, "label": 1}


def measure_masks(image: sitk.Image, masks: Sequence[Bools], config: RadiomicsConfig, patient_id: str) -> list[dict[str, float]]:
    """Compute the features of several masks of one image.

    Values are those of `sarcofuse.radiomics.compute.measure` for each mask alone, but that the image is cropped to all masks together where the settings crop it
    (resampling, `preCrop`), so that filters see a little more of it.

    Parameters
    ----------
    image : SimpleITK.Image
        The image.
    masks : sequence of ndarray of bool, shape (z, y, x)
        Regions on the image's grid; at least one voxel in all together.
    config : RadiomicsConfig
        The settings; `label` is not used.
    patient_id : str
        Whom it concerns, for errors.

    Returns
    -------
    list of dict of str to float
        Value by name for each mask; all NaN for a mask that is too small for features.

    Raises
    ------
    CaseError
        If the image cannot be used, or all masks together are too small.
    """
    config, names = config.model_copy(update={"label": 1}), feature_names(config)
    with single_thread():
        together = config.dialect == "pyradiomics" and not config.regions.any
        found = _together(image, masks, config, patient_id) if together else [_alone(image, mask, config, patient_id) for mask in masks]
    return [{name: values.get(name, float("nan")) for name in names} for values in found]


def _alone(image: sitk.Image, mask: Bools, config: RadiomicsConfig, patient_id: str) -> dict[str, float]:
    try:
        return measure(image, as_picture(mask, image), config, patient_id)
    except MaskError:
        return {}


def _together(image: sitk.Image, masks: Sequence[Bools], config: RadiomicsConfig, patient_id: str) -> list[dict[str, float]]:
    every = prepare(image, as_picture(np.any(masks, axis=0), image), config.model_copy(update={"resegmentRange": None}), patient_id)
    parts = [_prepare(image, mask, every.image, config, patient_id) for mask in masks]
    found: list[dict[str, float]] = [{} for _ in masks]
    regions: dict[tuple[int, int], Region] = {}
    for part, values in zip(parts, found, strict=True):
        if part is not None:
            values |= {f"original_{family}_{name}": v for family in SHAPES if family in config.classes for name, v in _shape(part, family, config, patient_id).items()}
    for kind, label, whole in filtered(every, config):
        own = config.for_image(kind)
        for k, part in enumerate(parts):
            if part is not None and whole is not None:
                at = regions.setdefault((k, max(own.distances)), Region(part.inside, part.spacing, max(own.distances)))
                inner = tuple(slice(p.start - e.start, p.stop - e.start) for p, e in zip(part.box, every.box, strict=True))
                found[k].update(_intensity(at, whole[inner], own, label, patient_id, {}))
    return found


def _prepare(image: sitk.Image, mask: Bools, prepared: sitk.Image, config: RadiomicsConfig, patient_id: str) -> Prepared | None:
    """Give one mask on the prepared image; None where it is too small."""
    picture = as_picture(mask, image)
    if geometry_of(image) != geometry_of(prepared):
        picture = sitk.Resample(picture, prepared, sitk.Transform(), sitk.sitkNearestNeighbor, 0, sitk.sitkUInt8)
    try:
        return prepare(prepared, picture, config.model_copy(update=AS_IT_IS), patient_id)
    except MaskError:
        return None
