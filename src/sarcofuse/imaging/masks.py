"""Masks of any program: label maps, segmentations of 3D Slicer, DICOM SEG and RTSTRUCT; the tumour by number or name, on its image's grid."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sarcofuse.errors import GeometryError, MaskError
from sarcofuse.imaging.convert import check_geometry
from sarcofuse.imaging.files import read_voxels
from sarcofuse.imaging.grid import resample_mask
from sarcofuse.records import Geometry, Mask, Volume

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FIELD = re.compile(r"Segment(\d+)_(Name|ID|Layer|LabelValue)$")
BY_STUDY = ", or set segment.masks: model and leave this mask out"  # what a study may do about an empty mask; a bundle says what helps with a new patient
_STORED = ("Segmentation_SourceRepresentation", "Segmentation_MasterRepresentation")


@dataclass(frozen=True, slots=True, eq=False)
class _Segment:
    """A named region of a file."""

    number: int
    names: tuple[str, ...]
    inside: NDArray[Any]

    @property
    def voxels(self) -> int:
        return int(np.count_nonzero(self.inside))

    def __str__(self) -> str:
        return f"{self.names[0]!r} ({self.number}, {self.voxels} voxels)"


def read_mask(file: Path, patient_id: str = "", label: int | str | None = None, grid: Geometry | None = None) -> Mask:
    """Read a tumour mask.

    Parameters
    ----------
    file : Path
        NIfTI, NRRD or MetaImage file of whole numbers; a segmentation of 3D Slicer (.seg.nrrd), also with several layers; where `grid` is given, a DICOM SEG or
        RTSTRUCT file.
    patient_id : str
        Whom it belongs to, for error messages.
    label : int or str, optional
        The tumour's label, segment or region: its number (label value of a segment of 3D Slicer, segment number of SEG, ROI number of RTSTRUCT) or its name, in
        capitals or not. Without it the mask must hold one.
    grid : Geometry, optional
        Grid of the image, which DICOM masks are drawn on.

    Returns
    -------
    Mask
        1 inside the tumour, 0 outside; on the file's own grid, or on `grid` where it is a DICOM file.

    Raises
    ------
    MaskError
        If the mask is missing, cannot be read, is not 3D, holds values that are not labels, holds several labels and none was named, or is empty.
    """
    file = Path(file)
    if file.is_dir():
        message = "mask is a folder; expected one file (.nii.gz, .nrrd, .mha, a DICOM SEG or RTSTRUCT)"
        raise MaskError(patient_id, message, file)
    if is_dicom(file):
        return _dicom_mask(file, patient_id, label, grid)
    values, geometry, image = read_voxels(file, patient_id, MaskError, "mask", layers=file.name.lower().endswith((".nrrd", ".nhdr")))
    if image is None:
        return Mask((values == _label(values, label, patient_id, file)).astype(np.uint8), geometry)
    fields = {key: image.GetMetaData(key) for key in image.GetMetaDataKeys() if _FIELD.match(key)}
    if fields:
        if any("fractional" in image.GetMetaData(key).lower() for key in image.GetMetaDataKeys() if key in _STORED):
            message = "mask is a fractional segmentation of 3D Slicer; expected a binary label map. Save it as one"
            raise MaskError(patient_id, message, file)
        chosen = _choose(_slicer_segments(fields, values), label, patient_id, file)
        return Mask(chosen.inside.astype(np.uint8), geometry)
    if image.GetNumberOfComponentsPerPixel() != 1:
        message = f"mask has {image.GetNumberOfComponentsPerPixel()} values a voxel and names no segments; expected 1 value, or a segmentation of 3D Slicer. Export it as a label map"
        raise MaskError(patient_id, message, file)
    return Mask((values == _label(values, label, patient_id, file)).astype(np.uint8), geometry)


def is_dicom(file: Path) -> bool:
    """Say whether a file is DICOM, by its first bytes.

    Parameters
    ----------
    file : Path
        The file.

    Returns
    -------
    bool
        False also for one that cannot be opened.
    """
    try:
        with file.open("rb") as stream:
            return stream.read(132)[128:] == b"DICM"
    except OSError:
        return False


def place_mask(mask: Mask, grid: Geometry, patient_id: str = "", tolerance: float = 0.01, *, resample: bool = False) -> Mask:
    """Put a mask on its image's grid.

    A mask on a part of the image's grid (as 3D Slicer crops them), or on a grid that reaches beyond it, is put in its place, voxel for voxel.

    Parameters
    ----------
    mask : Mask
        The mask as it was read.
    grid : Geometry
        The image's grid.
    patient_id : str
        Whom they belong to.
    tolerance : float
        Largest difference that counts as rounding: in mm for spacing and places, absolute for cosines.
    resample : bool
        Whether a mask on any other grid is resampled (linearly, cut at one half; the nearest voxels where that leaves nothing) and not refused.

    Returns
    -------
    Mask
        On `grid`.

    Raises
    ------
    GeometryError
        If the grids differ otherwise, or part of the tumour lies outside the image.
    """
    if not grid.differences(mask.geometry, tolerance):
        return Mask(mask.array, grid)
    start = _offset(mask.geometry, grid, tolerance) if mask.geometry.size != grid.size else None
    if start is not None:
        return _put(mask, grid, start, patient_id)
    if not resample:
        check_geometry(Volume(np.broadcast_to(np.float32(0), grid.shape), grid), mask, patient_id, tolerance)
    found = resample_mask(mask, grid)
    if not found.array.any():
        found = resample_mask(mask, grid, "nearest")
    if not found.array.any():
        message = "mask lies outside the image: nothing of it is left on the image's grid. Give the mask that was drawn on this image"
        raise GeometryError(patient_id, message)
    return found


def _offset(part: Geometry, whole: Geometry, tolerance: float) -> NDArray[np.int64] | None:
    """Give where the first voxel of a grid lies on another grid, in voxels x, y, z; None where the two do not share a lattice."""
    axes = np.asarray(whole.direction).reshape(3, 3)
    if np.abs(axes - np.asarray(part.direction).reshape(3, 3)).max() > tolerance or np.abs(np.asarray(whole.spacing) - part.spacing).max() > tolerance:
        return None
    last = np.asarray(part.origin) + np.asarray(part.direction).reshape(3, 3) @ ((np.asarray(part.size) - 1) * part.spacing)
    first, end = (np.linalg.solve(axes, np.asarray(corner) - whole.origin) for corner in (part.origin, last))
    start = np.rint(first / whole.spacing).astype(np.int64)
    off = max(float(np.abs(first - start * whole.spacing).max()), float(np.abs(end - (start + np.asarray(part.size) - 1) * whole.spacing).max()))
    return start if off <= max(tolerance, 1e-3) else None


def _put(mask: Mask, grid: Geometry, start: NDArray[np.int64], patient_id: str) -> Mask:
    low = start[::-1]
    size, whole = np.asarray(mask.array.shape), np.asarray(grid.shape)
    inner = tuple(slice(int(max(0, -a)), int(max(0, min(n, w - a)))) for a, n, w in zip(low, size, whole, strict=True))
    inside = mask.array[inner]
    lost = int(np.count_nonzero(mask.array)) - int(np.count_nonzero(inside))
    if lost:
        message = f"{lost} of {np.count_nonzero(mask.array)} voxels of the mask lie outside the image; expected none. Give the mask that was drawn on this image, or cut it there"
        raise GeometryError(patient_id, message)
    array = np.zeros(grid.shape, dtype=np.uint8)
    array[tuple(slice(int(max(0, a)), int(max(0, a)) + n) for a, n in zip(low, inside.shape, strict=True))] = inside
    return Mask(array, grid)


def _slicer_segments(fields: dict[str, str], values: NDArray[Any]) -> list[_Segment]:
    """Give the segments of a .seg.nrrd [1]_.

    Files of Slicer before 4.11 know no layers and values: there each segment is a layer of ones.

    References
    ----------
    .. [1] 3D Slicer developer guide, Segmentation labelmap file format (.seg.nrrd).
    """
    layered = values if values.ndim == 4 else values[..., None]
    known: dict[int, dict[str, str]] = {}
    for key, text in fields.items():
        match = _FIELD.match(key)
        if match:
            known.setdefault(int(match[1]), {})[match[2]] = text.strip()
    found = []
    for index, field in sorted(known.items()):
        layer, value = int(field.get("Layer") or min(index, layered.shape[-1] - 1)), int(field.get("LabelValue") or 1)
        names = tuple(dict.fromkeys(n for n in (field.get("Name"), field.get("ID")) if n)) or (f"Segment_{index + 1}",)
        blank = values.shape[:3] == (1, 1, 1) or layer >= layered.shape[-1]  # Slicer saves a segmentation without voxels as a single one
        found.append(_Segment(value, names, np.zeros(values.shape[:3], dtype=bool) if blank else layered[..., layer] == value))
    return found


def _dicom_mask(file: Path, patient_id: str, label: int | str | None, grid: Geometry | None) -> Mask:
    from sarcofuse.imaging.dicom import read_regions

    if grid is None:
        message = "mask is a DICOM file, which can be drawn only together with its image. Convert both by `sarcofuse dicom convert`"
        raise MaskError(patient_id, message, file)
    regions = read_regions(file, grid, patient_id)
    chosen = _choose([_Segment(number, (name,), mask.array) for number, name, mask in regions], label, patient_id, file)
    return Mask((chosen.inside != 0).astype(np.uint8), grid)


def _choose(segments: Sequence[_Segment], label: int | str | None, patient_id: str, file: Path) -> _Segment:
    """Give the segment asked for, or the only one that is not empty."""
    whose = f"tumour mask of {patient_id}" if patient_id else "tumour mask"
    listed = ", ".join(map(str, segments[:8])) + (", ..." if len(segments) > 8 else "")
    if label is None:
        fitting = [s for s in segments if s.voxels]
        if len(fitting) > 1:
            message = f"{whose} holds {len(fitting)} segments: {listed}; expected 1. Set cohort.mask_label to the tumour's name or number"
            raise MaskError(patient_id, message, file)
        if not fitting:
            message = f"{whose} is empty: 0 voxels in {file.name}; expected at least 1. Draw the tumour{BY_STUDY}"
            raise MaskError(patient_id, message, file)
        return fitting[0]
    fitting = [s for s in segments if label == s.number] if isinstance(label, int) else _named(segments, label)
    if len(fitting) != 1:
        how = f"{len(fitting)} segments" if fitting else "no segment"
        message = f"{whose} has {how} {label!r}; its segments are {listed or 'none'}. Set cohort.mask_label to the {'name' if isinstance(label, int) else 'name or number'} of one of them"
        raise MaskError(patient_id, message, file)
    if not fitting[0].voxels:
        message = f"{whose}: segment {label!r} of {file.name} is empty; expected at least 1 voxel. Draw the tumour, or set cohort.mask_label to another segment: {listed}"
        raise MaskError(patient_id, message, file)
    return fitting[0]


def _named(segments: Sequence[_Segment], name: str) -> list[_Segment]:
    exact = [s for s in segments if name == s.names[0]]
    return exact or [s for s in segments if name.strip().casefold() in {n.strip().casefold() for n in s.names}]


def _label(values: NDArray[Any], label: int | str | None, patient_id: str, file: Path) -> int:
    """Give the tumour's value in a label map."""
    labels, counts = _labels(values, patient_id, file)
    whose = f"tumour mask of {patient_id}" if patient_id else "tumour mask"
    if isinstance(label, str):
        message = f"{whose} is a label map, which names nothing, and cohort.mask_label asks for {label!r}; its labels are {', '.join(map(str, labels[:8])) or 'none'}. Give the number"
        raise MaskError(patient_id, message, file)
    if label is None and len(labels) > 1:
        listed = ", ".join(f"{v} ({n} voxels)" for v, n in zip(labels[:8], counts[:8], strict=True)) + (", ..." if len(labels) > 8 else "")
        message = f"{whose} holds {len(labels)} labels: {listed}; expected 1 label besides 0. Set cohort.mask_label to the tumour's label"
        raise MaskError(patient_id, message, file)
    if not labels:
        message = f"{whose} is empty: 0 voxels in {file.name}; expected at least 1. Draw the tumour{BY_STUDY}"
        raise MaskError(patient_id, message, file)
    if label is not None and label not in labels:
        message = f"{whose} has no voxel of label {label}; its labels are {', '.join(map(str, labels[:8]))}. Set cohort.mask_label to one of them, or draw the tumour"
        raise MaskError(patient_id, message, file)
    return labels[0] if label is None else label


def _labels(values: np.ndarray, patient_id: str, file: Path) -> tuple[list[int], list[int]]:
    """Give the labels besides 0 and their voxel counts; refuse values that are no labels."""
    if values.dtype.kind == "f":
        odd = int(np.count_nonzero(~np.isfinite(values) | (values != np.rint(values))))
        if odd:
            message = f"mask holds {odd} voxels whose values are not whole numbers; expected labels such as 0 and 1. Export it as a label map, resampled by nearest neighbour"
            raise MaskError(patient_id, message, file)
    found, counts = np.unique(values[values != 0], return_counts=True)
    if len(found) and found[0] < 0:
        message = f"mask holds negative values (least {int(found[0])}); expected labels 0, 1, 2 ... Is this an image and not a mask?"
        raise MaskError(patient_id, message, file)
    return [int(v) for v in found], [int(n) for n in counts]
