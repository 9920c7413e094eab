"""What image and mask must be for either dialect: the region's label, finite intensities, one grid."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from sarcofuse.config import RadiomicsConfig
from sarcofuse.errors import GeometryError, ImageError, MaskError
from sarcofuse.imaging import geometry_of

ROUNDING = 0.1  # voxels by which centres may differ where a grid was rounded on its way through files


def as_picture(region: NDArray[np.bool_], grid: sitk.Image) -> sitk.Image:
    """Give a region as an image.

    Parameters
    ----------
    region : ndarray of bool, shape (z, y, x)
        The region.
    grid : SimpleITK.Image
        An image on the same grid.

    Returns
    -------
    SimpleITK.Image
        1 inside, 0 outside.
    """
    found = sitk.GetImageFromArray(region.view(np.uint8))
    found.CopyInformation(grid)
    return found


def compare_grids(image: sitk.Image, mask: sitk.Image, config: RadiomicsConfig, patient_id: str) -> tuple[list[str], sitk.Image]:
    """Compare the grids of image and mask; a mask that differs by rounding alone takes the image's where that is asked for.

    Parameters
    ----------
    image, mask : SimpleITK.Image
        What to compare.
    config : RadiomicsConfig
        Uses `geometryTolerance`, `correctMask` and `fixGeometry`.
    patient_id : str
        Whom it concerns, for errors.

    Returns
    -------
    differences : list of str
        In words; empty where the region lies on the image's grid.
    grid : SimpleITK.Image
        The one whose grid the region has.

    Raises
    ------
    GeometryError
        If the grids differ and the settings do not allow for it.
    """
    one, other = geometry_of(image), geometry_of(mask)
    differences = one.differences(other, config.geometryTolerance)
    if not differences or config.correctMask:
        return differences, mask
    apart = ""
    if one.size == other.size:
        corners = list(product(*[(0, n - 1) for n in one.size]))
        gap = max(math.dist(image.TransformIndexToPhysicalPoint(c), mask.TransformIndexToPhysicalPoint(c)) for c in corners)
        share = gap / min(one.spacing)
        if config.fixGeometry and share <= ROUNDING:
            return [], image
        apart = f"; voxel centres lie up to {gap:.4g} mm apart, {share:.2g} voxels"
        apart += ", which is rounding that fixGeometry: true (--fix-geometry) repairs" if share <= ROUNDING else f": more than the rounding of {ROUNDING} voxels that fixGeometry repairs"
    message = f"image and mask lie on different grids (image against mask): {'; '.join(differences)}{apart}; expected one grid. Resample the mask onto the image, or set correctMask: true"
    raise GeometryError(patient_id, message)


def choose_channel(mask: sitk.Image, channel: int, patient_id: str) -> sitk.Image:
    """Give one value a voxel of a mask that may have several.

    Parameters
    ----------
    mask : SimpleITK.Image
        The mask.
    channel : int
        Which value, from 0.
    patient_id : str
        Whom it concerns, for errors.

    Returns
    -------
    SimpleITK.Image
        A mask of one value a voxel.

    Raises
    ------
    MaskError
        If there are not so many.
    """
    count = mask.GetNumberOfComponentsPerPixel()
    if channel >= count:
        message = f"mask holds {count} value{'s' * (count > 1)} a voxel; label_channel {channel} asks for number {channel + 1}. Set label_channel to at most {count - 1}"
        raise MaskError(patient_id, message)
    return sitk.VectorIndexSelectionCast(mask, channel) if count > 1 else mask


def choose_label(mask: sitk.Image, label: int, patient_id: str) -> NDArray[np.bool_]:
    """Give the region of one label.

    Parameters
    ----------
    mask : SimpleITK.Image
        The mask.
    label : int
        Its value inside the region.
    patient_id : str
        Whom it concerns, for errors.

    Returns
    -------
    ndarray of bool, shape (z, y, x)
        The region; at least one voxel.

    Raises
    ------
    MaskError
        If no voxel has the label.
    """
    values = sitk.GetArrayViewFromImage(mask)
    inside: NDArray[np.bool_] = values == label
    if not inside.any():
        labels = [f"{v:g}" for v in np.unique(values) if v != 0]
        found = f"its labels are {', '.join(labels[:8])}" if labels else f"it is empty: 0 voxels of {values.size}"
        message = f"mask has no voxel of label {label}; {found}. Draw the region, or set label to one that is there"
        raise MaskError(patient_id, message)
    return inside


def check_finite(image: sitk.Image, patient_id: str) -> None:
    """Check that an image is 3D, of one value a voxel, and finite.

    Parameters
    ----------
    image : SimpleITK.Image
        The image.
    patient_id : str
        Whom it concerns, for errors.

    Raises
    ------
    ImageError
        If it is not.
    """
    if image.GetNumberOfComponentsPerPixel() != 1 or image.GetDimension() != 3:
        message = f"image has {image.GetDimension()} dimensions and {image.GetNumberOfComponentsPerPixel()} values a voxel; expected 3 and 1"
        raise ImageError(patient_id, message)
    if image.GetPixelID() not in (sitk.sitkFloat32, sitk.sitkFloat64):
        return
    values = sitk.GetArrayViewFromImage(image)
    bad = values.size - int(np.count_nonzero(np.isfinite(values)))
    if bad:
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(values))[0])
        message = f"image holds {bad} voxels of {values.size} that are NaN or infinite, the first at (z, y, x) = {where}; expected finite intensities. Fill them or export the image again"
        raise ImageError(patient_id, message)
