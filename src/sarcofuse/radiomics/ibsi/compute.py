"""All features of one region by the standard."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from sarcofuse.config import RadiomicsConfig
from sarcofuse.config.ibsi import IbsiFamily
from sarcofuse.radiomics.ibsi.catalogue import OF_FAMILY, feature_names
from sarcofuse.radiomics.ibsi.levels import Texture, discretise
from sarcofuse.radiomics.ibsi.prepare import Masked, prepare


def measure(image: sitk.Image, mask: sitk.Image, config: RadiomicsConfig, patient_id: str) -> dict[str, float]:
    """Compute the standard's features of a region in an image.

    Parameters
    ----------
    image : SimpleITK.Image
        The image.
    mask : SimpleITK.Image
        The mask.
    config : RadiomicsConfig
        The settings, of which `ibsi`, `label`, `correctMask`, `geometryTolerance` and `maximum_levels` count.
    patient_id : str
        Whom it concerns, for errors.

    Returns
    -------
    dict of str to float
        Value by name, in the order of `sarcofuse.radiomics.ibsi.feature_names`; NaN where a feature is not defined.

    Raises
    ------
    CaseError
        If image or mask cannot be used.
    """
    masked = prepare(image, mask, config, patient_id)
    found: dict[str, float] = {}
    if "morphology" in config.ibsi.families:
        from sarcofuse.radiomics.ibsi import morphology

        found |= morphology.compute(masked)
    found |= measure_intensities(masked, masked.image, config, patient_id)
    return {name: float(found[name]) for name in feature_names(config.ibsi)}


def measure_intensities(masked: Masked, image: NDArray[np.float64], config: RadiomicsConfig, patient_id: str) -> dict[str, float]:
    """Compute the features of all families but morphology.

    Parameters
    ----------
    masked : Masked
        The masks.
    image : ndarray of float64, shape (z, y, x)
        Intensities in the masks' frame: those of the image, or a filter's response to it.
    config : RadiomicsConfig
        Uses `ibsi` and `maximum_levels`.
    patient_id : str
        Whom it concerns, for errors.

    Returns
    -------
    dict of str to float
        Value by name of the column.

    Raises
    ------
    ImageError
        If there would be more than `maximum_levels` grey levels.
    """
    from sarcofuse.radiomics.ibsi import intensity, texture

    wanted: tuple[IbsiFamily, ...] = config.ibsi.families
    values = image[masked.inside]
    found: dict[str, float] = {}
    if "local" in wanted:
        found |= intensity.local(image, masked.inside, masked.spacing)
    if "statistics" in wanted:
        found |= intensity.statistics(values)
    if "ivh" in wanted:
        found |= intensity.volume_histogram(values, config.ibsi)
    if "histogram" in wanted or set(wanted) & set(OF_FAMILY):
        levels, count = discretise(values, config.ibsi, config.maximum_levels, patient_id)
        if "histogram" in wanted:
            found |= intensity.histogram(levels, count)
        found |= texture.compute(Texture(masked.inside[masked.box], masked.outline[masked.box], levels, count, config.ibsi.distance), config.ibsi)
    return found
