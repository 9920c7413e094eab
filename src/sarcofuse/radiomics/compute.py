"""All features of one region."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import ArrayLike, NDArray

from sarcofuse.config import RadiomicsConfig
from sarcofuse.config.radiomics import FeatureClass
from sarcofuse.errors import ImageError, MaskError
from sarcofuse.radiomics import ibsi
from sarcofuse.radiomics.catalogue import names_of
from sarcofuse.radiomics.diagnostics import Diagnostics
from sarcofuse.radiomics.discretise import discretise
from sarcofuse.radiomics.families import FAMILIES, Measured
from sarcofuse.radiomics.filters import filtered, image_names
from sarcofuse.radiomics.prepare import Prepared, prepare
from sarcofuse.radiomics.region import Discretised, Region
from sarcofuse.radiomics.regions import further_features, further_names
from sarcofuse.radiomics.settings import read_settings
from sarcofuse.runtime import single_thread

SHAPES: tuple[FeatureClass, ...] = ("shape", "shape2D")
ARRAY = "(array)"  # stands for the patient in errors where there is none


def compute_features(
    image_array: ArrayLike, mask_array: ArrayLike, spacing: Sequence[float], settings: RadiomicsConfig | Mapping[str, object] | Path | str | None = None
) -> dict[str, float]:
    """Compute the radiomic features of a region in an array.

    Arithmetic follows the array's type, as in PyRadiomics: wavelets of float32 images are computed in single precision, those of integers and float64 in double.

    Parameters
    ----------
    image_array : array_like, shape (z, y, x)
        Intensities.
    mask_array : array_like, shape (z, y, x)
        The region: `label` (1) inside.
    spacing : sequence of float
        Voxel size along x, y, z in mm.
    settings : RadiomicsConfig, mapping, path or None
        As for `sarcofuse.radiomics.settings.read_settings`.

    Returns
    -------
    dict of str to float
        Value by PyRadiomics' name; NaN where a feature is not defined.

    Raises
    ------
    ConfigError
        If a setting is unknown or out of range.
    MaskError
        If the region is absent or too small.
    ImageError
        If the image is not finite, is not 3D, or would have too many grey levels.
    """
    image, mask = np.asarray(image_array), np.asarray(mask_array)
    if image.ndim != 3 or image.shape != mask.shape:
        message = f"image has shape {image.shape} and mask {mask.shape}; expected one 3D shape (z, y, x) for both. Give a single slice as (1, y, x)"
        raise ImageError(ARRAY, message)
    pictures = []
    for array in (image, mask.astype(np.uint8) if mask.dtype == bool else mask):
        picture = sitk.GetImageFromArray(array.astype(np.float32) if array.dtype == np.float16 else array)
        picture.SetSpacing([float(s) for s in spacing])
        pictures.append(picture)
    return measure(pictures[0], pictures[1], read_settings(settings), ARRAY)


def measure(image: sitk.Image, mask: sitk.Image, config: RadiomicsConfig, patient_id: str, notes: Diagnostics | None = None, levels: dict[str, int] | None = None) -> dict[str, float]:
    """Compute the features of a region in an image.

    Parameters
    ----------
    image : SimpleITK.Image
        The image.
    mask : SimpleITK.Image
        The mask.
    config : RadiomicsConfig
        The settings.
    patient_id : str
        Whom it concerns, for errors.
    notes : Diagnostics, optional
        Takes down what is worth knowing.
    levels : dict of str to int, optional
        Receives the number of grey levels that occur in the region, by image.

    Returns
    -------
    dict of str to float
        Value by name, in the order of `feature_names`.

    Raises
    ------
    CaseError
        If image or mask cannot be used.
    """
    with single_thread():
        levels = {} if levels is None else levels
        found = ibsi.measure(image, mask, config, patient_id, levels) if config.dialect == "ibsi" else _measure(image, mask, config, patient_id, notes, levels)
        if notes is not None:
            notes.levels(levels)
        if config.regions.any:
            found |= further_features(image, mask, config, patient_id, measure)
    return {name: found.get(name, float("nan")) for name in feature_names(config)}


def _measure(image: sitk.Image, mask: sitk.Image, config: RadiomicsConfig, patient_id: str, notes: Diagnostics | None, levels: dict[str, int]) -> dict[str, float]:
    prepared = prepare(image, mask, config, patient_id, notes)
    found = {f"original_{family}_{name}": value for family in SHAPES if family in config.classes for name, value in _shape(prepared, family, config, patient_id).items()}
    region = Region(prepared.inside, prepared.spacing, max(config.distances))
    for kind, label, values in filtered(prepared, config):
        if values is not None:
            own = config.for_image(kind)
            at = region if max(own.distances) <= region.margin else Region(prepared.inside, prepared.spacing, max(own.distances))
            found.update(_intensity(at, values, own, label, patient_id, levels))
    return found


def feature_names(config: RadiomicsConfig) -> tuple[str, ...]:
    """Give the names of the features that the settings ask for.

    Parameters
    ----------
    config : RadiomicsConfig
        The settings.

    Returns
    -------
    tuple of str
        ``<image>_<class>_<feature>``, or the standard's codes with the dialect `ibsi`; the same for every patient; with the region's name in front for regions
        beside the tumour.
    """
    further = further_names(config, feature_names) if config.regions.any else ()
    if config.dialect == "ibsi":
        return (*ibsi.column_names(config), *further)
    shapes = [f"original_{family}_{name}" for family in SHAPES if family in config.classes for name in names_of(family, config)]
    families = [family for family in FAMILIES if family in config.classes]
    return (*shapes, *(f"{label}_{family}_{name}" for _, label in image_names(config) for family in families for name in names_of(family, config)), *further)


def _shape(prepared: Prepared, family: FeatureClass, config: RadiomicsConfig, patient_id: str) -> dict[str, float]:
    from sarcofuse.radiomics import shape

    if family == "shape":
        return shape.compute(prepared.outline, prepared.spacing)
    axis = config.flat_axis
    if axis is None or prepared.outline.shape[axis] != 1:
        slices = "force2D is off" if axis is None else f"the region spans {prepared.outline.shape[axis]} slices across axis {axis}"
        message = f"shape2D is defined for a region in one slice with force2D: true and force2Ddimension the axis across it; {slices}. Leave shape2D out, or mask one slice"
        raise MaskError(patient_id, message)
    plane = [s for a, s in enumerate(prepared.spacing) if a != axis]
    return shape.compute_plane(prepared.outline.squeeze(axis), (plane[0], plane[1]))


def _intensity(region: Region, values: NDArray[np.generic], config: RadiomicsConfig, label: str, patient_id: str, levels: dict[str, int]) -> Iterator[tuple[str, float]]:
    own = values.reshape(-1)[region.places]
    if not np.isfinite(own).all():
        return
    measured = Measured(own.astype(np.float64), Discretised(region, discretise(own, config, label, patient_id)), config)
    levels[label] = len(measured.image.present)
    for family, compute in FAMILIES.items():
        if family in config.classes:
            yield from ((f"{label}_{family}_{name}", value) for name, value in compute(measured).items())
