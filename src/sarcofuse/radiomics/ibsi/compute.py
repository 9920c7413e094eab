"""All features of one region by the standard."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from sarcofuse.config import RadiomicsConfig
from sarcofuse.config.filters import RieszFilter
from sarcofuse.config.ibsi import IbsiFamily
from sarcofuse.radiomics.filterbank import filter_image, filter_name, filter_reach
from sarcofuse.radiomics.ibsi.catalogue import OF_FAMILY, feature_names
from sarcofuse.radiomics.ibsi.levels import Texture, discretise
from sarcofuse.radiomics.ibsi.prepare import Masked, prepare

PLAIN_MARGIN, WHOLE = 10.0, 1e9  # mm; the first is enough for local peaks


def measure(image: sitk.Image, mask: sitk.Image, config: RadiomicsConfig, patient_id: str, levels: dict[str, int]) -> dict[str, float]:
    """Compute the standard's features of a region in an image.

    Parameters
    ----------
    image : SimpleITK.Image
        The image.
    mask : SimpleITK.Image
        The mask.
    config : RadiomicsConfig
        The settings, of which `ibsi`, `filters`, `label`, `correctMask`, `geometryTolerance` and `maximum_levels` count.
    patient_id : str
        Whom it concerns, for errors.
    levels : dict of str to int
        Receives the number of grey levels that occur in the region, by image; where features were asked for that bin intensities.

    Returns
    -------
    dict of str to float
        Value by name, in the order of `column_names`; NaN where a feature is not defined.

    Raises
    ------
    CaseError
        If image or mask cannot be used.
    """
    masked = prepare(image, mask, config, patient_id, _margin(image, config))
    found: dict[str, float] = {}
    if "morphology" in config.ibsi.families:
        from sarcofuse.radiomics.ibsi import morphology

        found |= morphology.compute(masked)
    values, levels["original"] = measure_intensities(masked, masked.image, config, patient_id)
    found |= values
    for one in config.filters:
        response = filter_image(masked.image, masked.spacing, one)
        values, levels[filter_name(one)] = measure_intensities(masked, response, _of_response(config), patient_id)
        found |= {f"{filter_name(one)}_{name}": value for name, value in values.items()}
    if not _binned(config):
        levels.clear()
    return {name: float(found[name]) for name in column_names(config)}


def _binned(config: RadiomicsConfig) -> bool:
    return bool({"histogram", *OF_FAMILY} & set(config.ibsi.families))


def column_names(config: RadiomicsConfig) -> tuple[str, ...]:
    """Give the names of the columns that the settings ask for.

    Parameters
    ----------
    config : RadiomicsConfig
        Uses `ibsi` and `filters`.

    Returns
    -------
    tuple of str
        Of the image, as `sarcofuse.radiomics.ibsi.feature_names` gives them; then, filter by filter, of its response: ``<filter>_<code>``, without morphology.
    """
    own = feature_names(_of_response(config).ibsi)
    return (*feature_names(config.ibsi), *(f"{filter_name(one)}_{name}" for one in config.filters for name in own))


def _of_response(config: RadiomicsConfig) -> RadiomicsConfig:
    """Give the settings that hold for filters' responses, which are in other units than the image: no range, and bins for the intensity-volume histogram."""
    families = tuple(family for family in config.ibsi.families if family != "morphology")
    histogram = "FBN" if config.ibsi.ivh_discretisation == "none" else config.ibsi.ivh_discretisation
    own = config.ibsi.model_copy(update={"families": families, "resegment_range": None, "ivh_discretisation": histogram})
    return config.model_copy(update={"ibsi": own})


def _margin(image: sitk.Image, config: RadiomicsConfig) -> float:
    """Give how much of the image to keep around the region, in mm."""
    wanted = [own or given for own, given in zip(config.ibsi.spacing or (0.0, 0.0, 0.0), image.GetSpacing(), strict=True)]
    z, y, x = wanted[::-1]
    margin = PLAIN_MARGIN
    for one in config.filters:
        voxels = filter_reach(one, (z, y, x))
        if voxels is None or isinstance(one, RieszFilter) or one.boundary == "periodic":
            return WHOLE
        margin = max(margin, *(n * step for n, step in zip(voxels, (z, y, x), strict=True)))
    return margin


def measure_intensities(masked: Masked, image: NDArray[np.float64], config: RadiomicsConfig, patient_id: str) -> tuple[dict[str, float], int]:
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
    values : dict of str to float
        Value by name of the column.
    occurring : int
        Grey levels that occur in the region; 0 where no feature asked for them.

    Raises
    ------
    ImageError
        If there would be more than `maximum_levels` grey levels.
    """
    from sarcofuse.radiomics.ibsi import intensity, texture

    wanted: tuple[IbsiFamily, ...] = config.ibsi.families
    values = image[masked.inside]
    found: dict[str, float] = {}
    occurring = 0
    if "local" in wanted:
        found |= intensity.local(image, masked.inside, masked.spacing)
    if "statistics" in wanted:
        found |= intensity.statistics(values)
    if "ivh" in wanted:
        found |= intensity.volume_histogram(values, config.ibsi)
    if _binned(config):
        levels, count = discretise(values, config.ibsi, config.maximum_levels, patient_id)
        occurring = len(np.unique(levels))
        if "histogram" in wanted:
            found |= intensity.histogram(levels, count)
        found |= texture.compute(Texture(masked.inside[masked.box], masked.outline[masked.box], levels, count, config.ibsi.distance), config.ibsi)
    return found, occurring
