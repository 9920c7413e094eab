"""DICOM masks: contours (RTSTRUCT) and segmentations (SEG) on the grid of their image; conversion of whole folders."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sarcofuse.errors import CaseError, MaskError, RequestError
from sarcofuse.imaging.convert import check_geometry
from sarcofuse.imaging.files import write_mask, write_volume
from sarcofuse.imaging.series import Series, list_series, read_files, read_header
from sarcofuse.records import Geometry, Mask, SetAside, Volume

if TYPE_CHECKING:
    from numpy.typing import NDArray

STAGE = "convert"
OFF_PLANE = 0.25


def read_rtstruct(file: Path, geometry: Geometry, patient_id: str = "") -> dict[str, Mask]:
    """Draw the closed contours of an RT structure set as masks.

    A voxel is inside where a ray from its centre crosses the contours of its slice an odd number of times (even-odd rule), so that a contour
    within another makes a hole.

    Parameters
    ----------
    file : Path
        The RTSTRUCT file.
    geometry : Geometry
        Grid of the image that the contours were drawn on.
    patient_id : str
        Whom it belongs to, for error messages.

    Returns
    -------
    dict of str to Mask
        By the name of the region; regions without closed contours are left out.

    Raises
    ------
    MaskError
        If the file is no RTSTRUCT, or contours do not lie in the image's slices.
    """
    data = read_header(file, whole=True)
    if data is None or str(data.get("Modality", "")) != "RTSTRUCT":
        message = "file is no DICOM RTSTRUCT"
        raise MaskError(patient_id, message, file)
    return _by_name(_contours(data, geometry, patient_id, file))


def read_regions(file: Path, geometry: Geometry, patient_id: str = "") -> list[tuple[int, str, Mask]]:
    """Read the regions of a DICOM SEG or RTSTRUCT with their numbers.

    Parameters
    ----------
    file : Path
        The file.
    geometry : Geometry
        Grid of the image that it was drawn on.
    patient_id : str
        Whom it belongs to, for error messages.

    Returns
    -------
    list of (int, str, Mask)
        Segment or ROI number, label or name, and mask of each; regions without closed contours are left out.

    Raises
    ------
    MaskError
        If the file is neither, or does not lie on the image's grid.
    """
    data = read_header(file, whole=True)
    modality = "" if data is None else str(data.get("Modality", ""))
    if modality not in ("SEG", "RTSTRUCT"):
        message = f"mask is a DICOM file of modality {modality or 'unknown'}; expected SEG or RTSTRUCT"
        raise MaskError(patient_id, message, file)
    return (_contours if modality == "RTSTRUCT" else _segments)(data, geometry, patient_id, file)


def _by_name(regions: Sequence[tuple[int, str, Mask]]) -> dict[str, Mask]:
    names = _distinct({number: name for number, name, _ in regions})
    return {names[number]: mask for number, _, mask in regions}


def _contours(data: Any, geometry: Geometry, patient_id: str, file: Path) -> list[tuple[int, str, Mask]]:  # noqa: ANN401 - pydicom has no types
    names = {int(r.ROINumber): str(r.get("ROIName", "") or "region") for r in data.get("StructureSetROISequence", [])}
    found = []
    for region in data.get("ROIContourSequence", []):
        contours = [np.asarray(c.ContourData, dtype=np.float64).reshape(-1, 3) for c in region.get("ContourSequence", []) if str(c.get("ContourGeometricType", "")).startswith("CLOSED")]
        if contours:
            number = int(region.ReferencedROINumber)
            found.append((number, names.get(number, f"region {number}"), Mask(_draw(contours, geometry, patient_id, file), geometry)))
    return found


def read_seg(file: Path, geometry: Geometry, patient_id: str = "") -> dict[str, Mask]:
    """Put the frames of a DICOM segmentation on its image's grid, each by its own position.

    Parameters
    ----------
    file : Path
        The SEG file, binary or fractional (one half and more counts as inside).
    geometry : Geometry
        Grid of the image that was segmented.
    patient_id : str
        Whom it belongs to, for error messages.

    Returns
    -------
    dict of str to Mask
        By the label of the segment.

    Raises
    ------
    MaskError
        If the file is no SEG, or its frames do not lie on the image's grid.
    """
    data = read_header(file, whole=True)
    if data is None or str(data.get("Modality", "")) != "SEG":
        message = "file is no DICOM SEG"
        raise MaskError(patient_id, message, file)
    return _by_name(_segments(data, geometry, patient_id, file))


def _segments(data: Any, geometry: Geometry, patient_id: str, file: Path) -> list[tuple[int, str, Mask]]:  # noqa: ANN401 - pydicom has no types
    frames = np.asarray(data.pixel_array).reshape(-1, int(data.Rows), int(data.Columns))
    half = float(data.get("MaximumFractionalValue", 1) or 1) / 2.0
    labels = {int(s.SegmentNumber): str(s.get("SegmentLabel", "") or "segment") for s in data.SegmentSequence}
    arrays = {number: np.zeros(geometry.shape, dtype=np.uint8) for number in labels}
    shared = data.SharedFunctionalGroupsSequence[0] if "SharedFunctionalGroupsSequence" in data else {}
    for frame, own in zip(frames, data.PerFrameFunctionalGroupsSequence, strict=True):
        place = _place(_functional(own, shared, "PlanePositionSequence"), _functional(own, shared, "PlaneOrientationSequence"), frame.shape, geometry)
        if place is None:
            message = f"frames of {frame.shape[1]} x {frame.shape[0]} do not lie on the image's grid of {geometry.size}. Convert the very series that was segmented"
            raise MaskError(patient_id, message, file)
        number = int(_functional(own, shared, "SegmentIdentificationSequence").ReferencedSegmentNumber)
        np.maximum(arrays[number][place], (frame >= half) & (frame > 0), out=arrays[number][place], casting="unsafe")
    return [(number, labels[number], Mask(array, geometry)) for number, array in arrays.items()]


def convert_dicom(folder: Path, out: Path) -> tuple[list[Path], list[SetAside]]:
    """Convert all DICOM series below a folder to NIfTI, with the RTSTRUCT and SEG masks that were drawn on them.

    A patient is a folder directly below `folder` (or `folder` itself). Written are ``<patient>/<series>_image.nii.gz`` and
    ``<patient>/<series>_mask.nii.gz``, or ``<series>_mask_<region>.nii.gz`` where there are several regions.

    Parameters
    ----------
    folder : Path
        Where the DICOM files are.
    out : Path
        Where to write.

    Returns
    -------
    files : list of Path
        What was written.
    set_aside : list of SetAside
        Series that could not be converted, with reasons.

    Raises
    ------
    RequestError
        If the folder holds no DICOM image series.
    """
    series = list_series(folder)
    images = [s for s in series if s.is_image]
    if not images:
        message = f"{folder} holds no DICOM image series; expected some, in it or below it"
        raise RequestError(message)
    written: list[Path] = []
    problems: list[SetAside] = []
    used: set[str] = set()
    for image in images:
        patient, name = _home(image, folder), _unused(_clean(image.description) or _clean(image.modality) or "series", _home(image, folder), used)
        try:
            volume = read_files(image.files, patient)
            file = out / patient / f"{name}_image.nii.gz"
            write_volume(volume, file)
            written.append(file)
        except CaseError as error:
            problems.append(SetAside(patient, STAGE, f"{name}: {error.problem}"))
            continue
        for drawn in (s for s in series if s.modality in ("RTSTRUCT", "SEG")):
            try:
                written += _convert_masks(drawn, image, volume, out / patient / name, patient)
            except CaseError as error:
                problems.append(SetAside(patient, STAGE, f"{name}: {error.problem}"))
    return written, problems


def _convert_masks(drawn: Series, image: Series, volume: Volume, stem: Path, patient: str) -> list[Path]:
    written = []
    for file in drawn.files:
        data = read_header(file, whole=True)
        if image.uid not in _referenced(data):
            continue
        masks = (read_rtstruct if drawn.modality == "RTSTRUCT" else read_seg)(file, volume.geometry, patient)
        for region, mask in sorted(masks.items()):
            check_geometry(volume, mask, patient)
            target = stem.with_name(f"{stem.name}_mask.nii.gz" if len(masks) == 1 else f"{stem.name}_mask_{_clean(region)}.nii.gz")
            write_mask(mask, target)
            written.append(target)
    return written


def _referenced(data: Any) -> set[str]:  # noqa: ANN401 - pydicom has no types
    """Give the series that a mask was drawn on."""
    found = {str(s.SeriesInstanceUID) for s in data.get("ReferencedSeriesSequence", []) if "SeriesInstanceUID" in s}
    for frame in data.get("ReferencedFrameOfReferenceSequence", []):
        for study in frame.get("RTReferencedStudySequence", []):
            found |= {str(s.SeriesInstanceUID) for s in study.get("RTReferencedSeriesSequence", []) if "SeriesInstanceUID" in s}
    return found


def _to_index(points: NDArray[np.float64], geometry: Geometry) -> NDArray[np.float64]:
    """Turn points in mm, shape (n, 3), into continuous voxel indices (x, y, z)."""
    axes = np.asarray(geometry.direction).reshape(3, 3) * np.asarray(geometry.spacing)
    return np.asarray(np.linalg.solve(axes, (points - np.asarray(geometry.origin)).T).T)


def _draw(contours: Sequence[NDArray[np.float64]], geometry: Geometry, patient_id: str, file: Path) -> NDArray[np.uint8]:
    array = np.zeros(geometry.shape, dtype=np.uint8)
    for contour in contours:
        index = _to_index(contour, geometry)
        plane = int(np.rint(index[:, 2].mean()))
        off = float(np.abs(index[:, 2] - plane).max())
        if off > OFF_PLANE or not 0 <= plane < geometry.size[2]:
            message = f"a contour lies {off:.2g} slices off slice {plane} of {geometry.size[2]}; expected contours in the image's slices. Convert the very series that was drawn on"
            raise MaskError(patient_id, message, file)
        array[plane] ^= fill_polygon(index[:, :2], (geometry.size[1], geometry.size[0]))
    return array


def fill_polygon(points: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.uint8]:
    """Rasterise a closed polygon by the even-odd rule at pixel centres.

    Parameters
    ----------
    points : ndarray of float, shape (n, 2)
        Corners (x, y) in pixels, the centre of the first pixel being (0, 0).
    shape : tuple of int
        Rows and columns of the result.

    Returns
    -------
    ndarray of uint8
        1 inside.

    Examples
    --------
    >>> import numpy as np
    >>> fill_polygon(np.array([[0.5, 0.5], [2.5, 0.5], [2.5, 1.5], [0.5, 1.5]]), (3, 4)).tolist()
    [[0, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0]]
    """
    rows, columns = shape
    ends = np.roll(points, -1, axis=0)
    change = np.zeros((rows, columns + 1), dtype=np.int64)
    for (x0, y0), (x1, y1) in zip(points, ends, strict=True):
        if y0 == y1:
            continue
        low, high = min(y0, y1), max(y0, y1)
        y = np.arange(max(0, int(np.ceil(low))), min(rows, int(np.ceil(high))))
        crossing = x0 + (y - y0) * (x1 - x0) / (y1 - y0)
        np.add.at(change, (y, np.clip(np.ceil(crossing), 0, columns).astype(int)), 1)
    return np.asarray(np.cumsum(change, axis=1)[:, :columns] % 2, dtype=np.uint8)


def _distinct(names: dict[int, str]) -> dict[int, str]:
    """Add the number to names that stand there twice, as they are once cleaned for a file name."""
    plain = [_clean(n).casefold() for n in names.values()]
    return {k: n if plain.count(_clean(n).casefold()) == 1 else f"{n} {k}" for k, n in names.items()}


def _functional(own: Any, shared: Any, name: str) -> Any:  # noqa: ANN401 - pydicom has no types
    return (own if name in own else shared)[name][0]


def _place(position: Any, orientation: Any, shape: tuple[int, ...], geometry: Geometry) -> tuple[int, slice, slice] | None:  # noqa: ANN401 - pydicom has no types
    """Give where a frame lies in the array of the image's grid; None where it does not fit."""
    cosines = np.asarray(orientation.ImageOrientationPatient, dtype=np.float64).reshape(2, 3)
    axes = np.asarray(geometry.direction).reshape(3, 3)[:, :2].T
    corner = _to_index(np.asarray(position.ImagePositionPatient, dtype=np.float64)[None], geometry)[0]
    whole = np.rint(corner).astype(int)
    fits = np.abs(cosines - axes).max() < 1e-2 and np.abs(corner - whole).max() < OFF_PLANE and whole.min() >= 0
    if not fits or whole[0] + shape[1] > geometry.size[0] or whole[1] + shape[0] > geometry.size[1] or whole[2] >= geometry.size[2]:
        return None
    return int(whole[2]), slice(int(whole[1]), int(whole[1]) + shape[0]), slice(int(whole[0]), int(whole[0]) + shape[1])


def _home(series: Series, folder: Path) -> str:
    within = series.files[0].parent.relative_to(folder).parts
    return within[0] if within else folder.resolve().name


def _clean(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-")[:60]


def _unused(name: str, patient: str, used: set[str]) -> str:
    choice, number = name, 1
    while f"{patient}/{choice}" in used:
        number += 1
        choice = f"{name}-{number}"
    used.add(f"{patient}/{choice}")
    return choice
