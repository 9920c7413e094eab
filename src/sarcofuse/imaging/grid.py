"""Grids: orientation and resampling."""

from __future__ import annotations

import math
from typing import Literal, overload

import numpy as np
import SimpleITK as sitk

from sarcofuse.imaging.convert import from_sitk, mask_from_sitk, to_sitk
from sarcofuse.records import Geometry, Mask, Volume

_FWHM = 2.0 * math.sqrt(2.0 * math.log(2.0))


@overload
def reorient(item: Volume, orientation: str = "LPS") -> Volume: ...
@overload
def reorient(item: Mask, orientation: str = "LPS") -> Mask: ...
def reorient(item: Volume | Mask, orientation: str = "LPS") -> Volume | Mask:
    """Swap and flip axes, without interpolation, so that they point as nearly as possible along the wanted directions.

    Parameters
    ----------
    item : Volume or Mask
        What to turn.
    orientation : str
        Directions in which x, y, z grow: ``LPS`` has x grow to the patient's left, y to the back and z to the head, so that slices are axial.

    Returns
    -------
    Volume or Mask
        The same voxels at the same places.
    """
    image = sitk.DICOMOrient(to_sitk(item), orientation)
    return from_sitk(image) if isinstance(item, Volume) else mask_from_sitk(image)


def regrid(geometry: Geometry, spacing: tuple[float, float, float]) -> Geometry:
    """Give the grid of another voxel size that covers the same box, with the same centre.

    Parameters
    ----------
    geometry : Geometry
        The grid there is.
    spacing : tuple of float
        Wanted voxel size along x, y, z in mm.

    Returns
    -------
    Geometry
        A grid of as many voxels as cover the box; `geometry` itself where the spacing is its own.
    """
    if np.allclose(geometry.spacing, spacing, rtol=0.0, atol=1e-4):
        return geometry
    old, new = np.asarray(geometry.spacing), np.asarray(spacing, dtype=np.float64)
    count = np.asarray(geometry.size)
    size = np.maximum(1, np.ceil(count * old / new - 1e-4).astype(int))
    axes = np.asarray(geometry.direction).reshape(3, 3)
    origin = np.asarray(geometry.origin) + axes @ ((count - 1) / 2.0 * old - (size - 1) / 2.0 * new)
    return Geometry((int(size[0]), int(size[1]), int(size[2])), (float(new[0]), float(new[1]), float(new[2])), (float(origin[0]), float(origin[1]), float(origin[2])), geometry.direction)


def resample_volume(volume: Volume, geometry: Geometry, interpolation: Literal["linear", "bspline", "nearest"] = "bspline", *, smooth: bool = True) -> Volume:
    """Put an image on another grid.

    Parameters
    ----------
    volume : Volume
        The image.
    geometry : Geometry
        The grid to put it on.
    interpolation : {'linear', 'bspline', 'nearest'}
        How; ``bspline`` is cubic.
    smooth : bool
        Before an axis is made coarser, smooth along it so that nothing aliases: with a Gaussian whose variance is the difference of the squared voxel sizes, taken as
        full widths at half maximum [1]_.

    Returns
    -------
    Volume
        On `geometry`. Places outside the image take the value of its nearest voxel.

    References
    ----------
    .. [1] Cardoso MJ et al. Scale factor point spread function matching: beyond aliasing in image resampling. MICCAI 2015, LNCS 9350:675-683.
    """
    if volume.geometry == geometry:
        return volume
    array = volume.array
    if smooth:
        from scipy.ndimage import gaussian_filter1d

        widths = [math.sqrt(max(0.0, new**2 - old**2)) / _FWHM / old for old, new in zip(volume.geometry.spacing, geometry.spacing, strict=True)]
        for axis, sigma in zip((2, 1, 0), widths, strict=True):
            if sigma > 0.1 and array.shape[axis] > 1:
                array = gaussian_filter1d(array, sigma, axis=axis, mode="nearest", output=np.float32)
    kind = {"linear": sitk.sitkLinear, "bspline": sitk.sitkBSpline, "nearest": sitk.sitkNearestNeighbor}[interpolation]
    return from_sitk(_resample(to_sitk(Volume(array, volume.geometry)), geometry, kind, edge=True))


def resample_mask(mask: Mask, geometry: Geometry, interpolation: Literal["linear", "nearest"] = "linear") -> Mask:
    """Put a mask on another grid.

    Parameters
    ----------
    mask : Mask
        The mask.
    geometry : Geometry
        The grid to put it on.
    interpolation : {'linear', 'nearest'}
        ``linear``: interpolate the indicator and keep what is above one half; ``nearest``: take the nearest voxel.

    Returns
    -------
    Mask
        On `geometry`; 0 outside the old grid.
    """
    if mask.geometry == geometry:
        return mask
    if interpolation == "nearest":
        return mask_from_sitk(_resample(to_sitk(mask), geometry, sitk.sitkNearestNeighbor, edge=False))
    indicator = to_sitk(Volume(mask.array.astype(np.float32), mask.geometry))
    inside = sitk.GetArrayFromImage(_resample(indicator, geometry, sitk.sitkLinear, edge=False)) > 0.5
    return Mask(inside.astype(np.uint8), geometry)


def _resample(image: sitk.Image, geometry: Geometry, kind: int, *, edge: bool) -> sitk.Image:
    task = sitk.ResampleImageFilter()
    task.SetSize(geometry.size)
    task.SetOutputSpacing(geometry.spacing)
    task.SetOutputOrigin(geometry.origin)
    task.SetOutputDirection(geometry.direction)
    task.SetInterpolator(kind)
    task.SetUseNearestNeighborExtrapolator(edge)
    return task.Execute(image)
