"""From image and mask to the two masks that features are taken of, in the order of the standard's processing scheme [1]_.

Interpolation of image and mask, rounding, re-segmentation. The interpolated mask is the morphological mask; what re-segmentation leaves of it is the intensity mask.

References
----------
.. [1] Zwanenburg A, Leger S, Vallieres M, Loeck S. Image biomarker standardisation initiative: reference manual. arXiv:1612.07003, section 2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from sarcofuse.config import IbsiConfig, RadiomicsConfig
from sarcofuse.errors import GeometryError, MaskError
from sarcofuse.radiomics.checks import as_picture, check_finite, choose_channel, choose_label, compare_grids
from sarcofuse.radiomics.ibsi.interpolate import Axis, along, coefficients

Box = tuple[slice, slice, slice]
REACH = 30  # voxels; a cubic spline depends on those farther away by less than 1e-16


@dataclass(frozen=True)
class Masked:
    """An image with its two masks, cropped to the region and what lies near it.

    Attributes
    ----------
    image : ndarray of float64, shape (z, y, x)
        Intensities.
    inside : ndarray of bool, shape (z, y, x)
        Intensity mask.
    outline : ndarray of bool, shape (z, y, x)
        Morphological mask, which contains the intensity mask.
    spacing : tuple of float
        Voxel size along z, y, x in mm.
    """

    image: NDArray[np.float64]
    inside: NDArray[np.bool_]
    outline: NDArray[np.bool_]
    spacing: tuple[float, float, float]

    @property
    def box(self) -> Box:
        """Bounding box of the morphological mask."""
        return bounds(self.outline)


def bounds(region: NDArray[np.bool_]) -> Box:
    """Give the bounding box of a region.

    Parameters
    ----------
    region : ndarray of bool, shape (z, y, x)
        Where it is; at least one voxel.

    Returns
    -------
    tuple of slice
        Along z, y, x.
    """
    places = [np.flatnonzero(region.any(axis=tuple(a for a in range(3) if a != axis))) for axis in range(3)]
    z, y, x = (slice(int(p[0]), int(p[-1]) + 1) for p in places)
    return z, y, x


def prepare(image: sitk.Image, mask: sitk.Image, config: RadiomicsConfig, patient_id: str, margin: float = 10.0) -> Masked:
    """Check image and mask and bring them to where features are computed.

    Parameters
    ----------
    image : SimpleITK.Image
        3D image of one component.
    mask : SimpleITK.Image
        3D mask.
    config : RadiomicsConfig
        Uses `ibsi`, `label`, `label_channel`, `correctMask`, `fixGeometry` and `geometryTolerance`.
    patient_id : str
        Whom it concerns, for errors.
    margin : float
        How much of the image to keep around the region, in mm.

    Returns
    -------
    Masked
        Image and masks.

    Raises
    ------
    MaskError
        If the region is absent, or nothing is left of it after interpolation or re-segmentation.
    GeometryError
        If image and mask lie on different grids and `correctMask` is off, or the region reaches outside the image.
    ImageError
        If the image is not finite.
    """
    mask = choose_channel(mask, config.label_channel, patient_id)
    region = choose_label(mask, config.label, patient_id)
    check_finite(image, patient_id)
    differences, grid = compare_grids(image, mask, config, patient_id)
    if differences:
        region = _align(image, as_picture(region, grid), patient_id)
    x, y, z = image.GetSpacing()
    masked = _interpolate(sitk.GetArrayViewFromImage(image), region, (z, y, x), config.ibsi, margin)
    if not masked.outline.any():
        size = " x ".join(f"{s:g}" for s in masked.spacing[::-1])
        lost = f"nothing is left of the region of {np.count_nonzero(region)} voxels after interpolation to {size} mm (x, y, z)"
        message = f"{lost}; expected at least 1 voxel. Lower ibsi.spacing, or ibsi.mask_threshold ({config.ibsi.mask_threshold:g})"
        raise MaskError(patient_id, message)
    return _resegment(masked, config.ibsi, patient_id)


def _align(image: sitk.Image, mask: sitk.Image, patient_id: str) -> NDArray[np.bool_]:
    moved = sitk.GetArrayFromImage(sitk.Resample(mask, image, sitk.Transform(), sitk.sitkNearestNeighbor, 0, sitk.sitkUInt8)).astype(bool)
    if not moved.any():
        message = f"the mask's region reaches outside the image: none of it lies within the image of size {image.GetSize()}. Check that they belong together"
        raise GeometryError(patient_id, message)
    return np.asarray(moved)


def _interpolate(values: NDArray[np.generic], region: NDArray[np.bool_], spacing: tuple[float, float, float], config: IbsiConfig, margin: float) -> Masked:
    """Interpolate on the grid of the wanted spacing that has the same centre as the image, as far as the region and the margin go."""
    wanted = spacing if config.spacing is None else tuple(w or s for w, s in zip(config.spacing[::-1], spacing, strict=True))
    near, axes = [], []
    for box, count, old, new in zip(bounds(region), region.shape, spacing, wanted, strict=True):
        axis = Axis(count, old, new)
        low, high = axis.between(box.start - 1 - margin / old, box.stop + margin / old)
        places = axis.place(np.arange(low, high + 1))
        kept = slice(max(0, int(places[0]) - REACH), min(count, int(places[-1]) + REACH + 2))
        near.append(kept)
        axes.append((places - kept.start, kept.stop - kept.start, old == new))
    picture, outline = values[tuple(near)].astype(np.float64), region[tuple(near)].astype(np.float64)
    if config.image_interpolation == "cubic":
        picture = coefficients(picture, [not same for _, _, same in axes])
    for number, (places, count, same) in enumerate(axes):
        picture = along(picture, number, places, count, "nearest" if same else config.image_interpolation)
        outline = along(outline, number, places, count, "nearest" if same else config.mask_interpolation)
    if config.round_intensities:
        picture = np.rint(picture)
    z, y, x = (float(w) for w in wanted)
    inside = outline >= config.mask_threshold - 1e-9  # what is half filled must not depend on rounding
    return Masked(picture, inside, inside, (z, y, x))


def _resegment(masked: Masked, config: IbsiConfig, patient_id: str) -> Masked:
    """Leave out of the intensity mask what lies outside the range, and what lies outside that of the outlier filter; either looks at the whole morphological mask."""
    own = masked.image[masked.outline]
    low, high = config.resegment_range or (None, None)
    limits = [-np.inf if low is None else low, np.inf if high is None else high]
    if config.resegment_sigma is not None:
        spread = config.resegment_sigma * float(own.std())
        limits = [max(limits[0], own.mean() - spread), min(limits[1], own.mean() + spread)]
    inside = masked.outline & (masked.image >= limits[0]) & (masked.image <= limits[1])
    if not inside.any():
        message = (
            f"re-segmentation (ibsi.resegment_range, ibsi.resegment_sigma) keeps intensities from {limits[0]:g} to {limits[1]:g}, and with them 0 of {len(own)} voxels, "
            f"whose intensities run from {own.min():g} to {own.max():g}; expected at least 1. Widen the range"
        )
        raise MaskError(patient_id, message)
    return Masked(masked.image, inside, masked.outline, masked.spacing)
