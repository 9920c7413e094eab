"""From image and mask to the region that features are taken of: checks, normalisation, resampling, re-segmentation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from sarcofuse.config import RadiomicsConfig
from sarcofuse.errors import ConfigError, GeometryError, MaskError
from sarcofuse.imaging import geometry_of
from sarcofuse.radiomics.checks import as_picture, check_finite, choose_channel, choose_label, compare_grids
from sarcofuse.radiomics.diagnostics import Diagnostics

Box = tuple[slice, slice, slice]


@dataclass(frozen=True)
class Prepared:
    """An image and the region in it.

    Attributes
    ----------
    image : SimpleITK.Image
        Normalised and resampled as asked, not yet filtered.
    box : tuple of slice
        The region's bounding box, along z, y, x.
    inside : ndarray of bool, shape (z, y, x)
        The region within `box`.
    outline : ndarray of bool, shape (z, y, x)
        The region that shape is measured on: without re-segmentation, unless that was asked for.
    spacing : tuple of float
        Voxel size along z, y, x in mm.
    """

    image: sitk.Image
    box: Box
    inside: NDArray[np.bool_]
    outline: NDArray[np.bool_]

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Voxel size along z, y, x in mm."""
        x, y, z = self.image.GetSpacing()
        return z, y, x


def prepare(image: sitk.Image, mask: sitk.Image, config: RadiomicsConfig, patient_id: str, notes: Diagnostics | None = None) -> Prepared:
    """Check image and mask and bring them to where features are computed.

    Parameters
    ----------
    image : SimpleITK.Image
        3D image of one component; integers stay integers, as PyRadiomics keeps them.
    mask : SimpleITK.Image
        3D mask.
    config : RadiomicsConfig
        The settings.
    patient_id : str
        Whom it concerns, for errors.
    notes : Diagnostics, optional
        Takes down image and mask after each step.

    Returns
    -------
    Prepared
        Image and region.

    Raises
    ------
    MaskError
        If the region is absent, empty, a single voxel, or smaller than the settings allow.
    GeometryError
        If image and mask lie on different grids and `correctMask` is off, or the region reaches outside the image.
    ImageError
        If the image is not finite where it is needed.
    """
    mask = choose_channel(mask, config.label_channel, patient_id)
    region = choose_label(mask, config.label, patient_id)
    check_finite(image, patient_id)
    differences, grid = compare_grids(image, mask, config, patient_id)
    if config.normalize:
        image = _normalise(image, config)
    if config.resampledPixelSpacing is not None and config.interpolator is not None:
        image, chosen = _resample(image, as_picture(region, grid), config, patient_id)
        _note(notes, "interpolated", image, chosen)
        region = sitk.GetArrayFromImage(chosen).astype(bool)
    elif differences:
        chosen = as_picture(region, grid)
        _region_within(image, chosen, patient_id)
        chosen = sitk.Resample(chosen, image, sitk.Transform(), sitk.sitkNearestNeighbor, 0, sitk.sitkUInt8)
        _note(notes, "corrected", image, chosen)
        region = sitk.GetArrayFromImage(chosen).astype(bool)
    if config.preCrop and (config.resampledPixelSpacing is None or config.interpolator is None):
        crop = _widen(_box(region, config, patient_id), config.padDistance, region.shape)
        region, image = region[crop], image[tuple(slice(s.start, s.stop) for s in crop[::-1])]
    box = _box(region, config, patient_id)
    outline = region
    if config.resegmentRange is not None:
        region = _resegment(sitk.GetArrayViewFromImage(image), region, config, patient_id)
        box = _box(region, config, patient_id)
        outline = region if config.resegmentShape else outline
        _note(notes, "resegmented", image, region)
    return Prepared(image, box, np.ascontiguousarray(region[box]), np.ascontiguousarray(outline[box]))


def _note(notes: Diagnostics | None, step: str, image: sitk.Image, mask: sitk.Image | NDArray[np.bool_]) -> None:
    if notes is None:
        return
    notes.step(step, image, as_picture(mask, image) if isinstance(mask, np.ndarray) else mask)


def _normalise(image: sitk.Image, config: RadiomicsConfig) -> sitk.Image:
    scaled = sitk.Normalize(image)
    if config.removeOutliers is not None:
        scaled = sitk.Clamp(scaled, scaled.GetPixelID(), -config.removeOutliers, config.removeOutliers)
    return scaled * config.normalizeScale


def _box(region: NDArray[np.bool_], config: RadiomicsConfig, patient_id: str) -> Box:
    """Give the bounding box of a region that is large enough."""
    ends, part = [], region
    for axis in range(3):
        hit = np.flatnonzero(part.any(axis=tuple(a for a in range(3) if a != axis)))
        ends.append(slice(int(hit[0]), int(hit[-1]) + 1) if len(hit) else slice(0, 0))
        part = part[(*[slice(None)] * axis, ends[-1])]
    sizes, voxels = [s.stop - s.start for s in ends], int(np.count_nonzero(region))
    extended = sum(n > 1 for n in sizes)
    if voxels <= 1:
        message = f"region has {voxels} voxel{'s' * (voxels != 1)} after resampling and re-segmentation; texture and shape need at least 2. Draw it again, or loosen resegmentRange"
        raise MaskError(patient_id, message)
    if extended < config.minimumROIDimensions:
        spans = " x ".join(map(str, sizes[::-1]))
        message = f"region of {voxels} voxels spans {spans} voxels (x, y, z), so it extends in {extended} dimensions; minimumROIDimensions asks for {config.minimumROIDimensions}"
        raise MaskError(patient_id, message)
    if config.minimumROISize is not None and voxels <= config.minimumROISize:
        message = f"region has {voxels} voxels; minimumROISize asks for more than {config.minimumROISize}"
        raise MaskError(patient_id, message)
    return ends[0], ends[1], ends[2]


def _widen(box: Box, margin: int, shape: tuple[int, ...]) -> Box:
    z, y, x = (slice(max(0, s.start - margin), min(n, s.stop + margin)) for s, n in zip(box, shape, strict=True))
    return z, y, x


def _resegment(values: NDArray[np.generic], region: NDArray[np.bool_], config: RadiomicsConfig, patient_id: str) -> NDArray[np.bool_]:
    own, limits = values[region].astype(np.float64), np.sort(np.asarray(config.resegmentRange, dtype=np.float64))
    if config.resegmentMode == "relative":
        limits = limits * own.max()
    elif config.resegmentMode == "sigma":
        limits = own.mean() + own.std() * limits
    keep = own >= limits[0]
    if len(limits) == 2:
        keep &= own <= limits[1]
    if np.count_nonzero(keep) <= 1:
        kept = f"resegmentRange {config.resegmentRange} ({config.resegmentMode}) keeps {np.count_nonzero(keep)} of {len(own)} voxels"
        message = f"{kept}, whose intensities run from {own.min():g} to {own.max():g}; expected at least 2. Widen the range"
        raise MaskError(patient_id, message)
    smaller = region.copy()
    smaller[region] = keep
    return smaller


def _region_within(image: sitk.Image, mask: sitk.Image, patient_id: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Give first index and size (x, y, z) of the region's bounding box, having checked that it lies in the image."""
    statistics = sitk.LabelShapeStatisticsImageFilter()
    statistics.Execute(mask)
    bounds = np.array(statistics.GetBoundingBox(1))
    start, size = bounds[:3], bounds[3:]
    corners = [mask.TransformContinuousIndexToPhysicalPoint([float(v) for v in c]) for c in (start - 0.5, start + size - 0.5)]
    ends = np.array([image.TransformPhysicalPointToContinuousIndex(c) for c in corners])
    if (ends.min(axis=0) < -0.5 - 1e-3).any() or (ends.max(axis=0) > np.array(image.GetSize()) - 0.5 + 1e-3).any():
        message = f"the mask's region reaches outside the image: it spans voxels {np.round(ends[0], 2).tolist()} to {np.round(ends[1], 2).tolist()} (x, y, z) of an image of size {image.GetSize()}"
        raise GeometryError(patient_id, message)
    return start, size


def _resample(image: sitk.Image, mask: sitk.Image, config: RadiomicsConfig, patient_id: str) -> tuple[sitk.Image, sitk.Image]:
    """Resample to the wanted spacing on PyRadiomics' grid: voxel corners aligned with the mask's, cropped to the region and padDistance."""
    start, size = _region_within(image, mask, patient_id)
    old, whole = np.array(mask.GetSpacing()), np.array(mask.GetSize())
    new = np.asarray(config.resampledPixelSpacing, dtype=np.float64)
    new = np.where((new == 0) | (size == 1), old, new)
    if np.allclose(image.GetSpacing(), new):
        mask = sitk.Resample(mask, image, sitk.Transform(), sitk.sitkNearestNeighbor, 0, sitk.sitkUInt8)
        region = sitk.GetArrayViewFromImage(mask).astype(bool)
        crop = _widen(_box(region, config, patient_id), config.padDistance, region.shape)[::-1]
        return image[crop], mask[crop]
    ratio = old / new
    first = np.maximum(np.floor((start - 0.5) * ratio - config.padDistance), 0)
    last = np.minimum(np.ceil((start + size - 0.5) * ratio + config.padDistance), np.ceil(whole * ratio) - 1)
    resampler = sitk.ResampleImageFilter()
    resampler.SetOutputSpacing(new.tolist())
    resampler.SetOutputDirection(mask.GetDirection())
    resampler.SetSize((last - first + 1).astype(int).tolist())
    resampler.SetOutputOrigin(mask.TransformContinuousIndexToPhysicalPoint((0.5 * (new - old) / old + first / ratio).tolist()))
    resampler.SetOutputPixelType(image.GetPixelID())
    resampler.SetInterpolator(_interpolator(config.interpolator))
    fine = resampler.Execute(_near(image, mask, first / ratio, (last + 1) / ratio) if config.interpolator == "sitkBSpline" else image)
    resampler.SetOutputPixelType(sitk.sitkUInt8)
    resampler.SetInterpolator(sitk.sitkNearestNeighbor)
    return fine, resampler.Execute(mask)


def _near(image: sitk.Image, mask: sitk.Image, low: NDArray[np.float64], high: NDArray[np.float64]) -> sitk.Image:
    """Crop an image to what a cubic B-spline between two indices depends on: its weights fall by 0.27 a voxel, to nothing after 40."""
    if geometry_of(image).differences(geometry_of(mask)):
        return image
    return image[tuple(slice(max(0, int(a) - 40), min(n, int(b) + 41)) for a, b, n in zip(low, high, image.GetSize(), strict=True))]


def _interpolator(name: str | None) -> int:
    found = getattr(sitk, str(name), None) if str(name).startswith("sitk") else None
    if not isinstance(found, int):
        message = f"interpolator {name} is not known to SimpleITK; expected one such as sitkBSpline, sitkLinear or sitkNearestNeighbor"
        raise ConfigError(message)
    return found
