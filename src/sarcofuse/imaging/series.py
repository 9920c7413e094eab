"""DICOM series: found, checked slice by slice, read as volumes."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import SimpleITK as sitk

from sarcofuse.errors import ImageError
from sarcofuse.imaging.convert import explain, from_sitk, quiet
from sarcofuse.records import Geometry, Volume

if TYPE_CHECKING:
    from numpy.typing import NDArray

_NOT_IMAGES = frozenset({"SEG", "RTSTRUCT", "RTDOSE", "RTPLAN", "SR", "PR", "KO", "REG", "DOC"})
_TAGS = [
    "SeriesInstanceUID", "Modality", "SeriesDescription", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "Rows", "Columns", "NumberOfFrames",
    "FrameOfReferenceUID", "SamplesPerPixel", "PerFrameFunctionalGroupsSequence",
]  # fmt: skip
GAP_TOLERANCE = 0.05
COSINE_TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True)
class Series:
    """A DICOM series as its headers tell it.

    Attributes
    ----------
    uid : str
        SeriesInstanceUID.
    modality : str
        MR, CT, RTSTRUCT, SEG ...
    description : str
        SeriesDescription.
    frame_of_reference : str
        FrameOfReferenceUID.
    files : tuple of Path
        Its files, in order of name.
    is_image : bool
        Whether it holds pictures and not contours, masks or documents.
    """

    uid: str
    modality: str
    description: str
    frame_of_reference: str
    files: tuple[Path, ...]
    is_image: bool


def read_header(file: Path, *, whole: bool = False) -> Any:  # noqa: ANN401 - pydicom has no types
    """Read a DICOM file without warnings about its blemishes.

    Parameters
    ----------
    file : Path
        The file.
    whole : bool
        Read everything, and not just the attributes that place a slice.

    Returns
    -------
    pydicom.Dataset or None
        None for a file that is not DICOM.
    """
    import pydicom

    try:
        with file.open("rb") as stream:
            if stream.read(132)[128:] != b"DICM":
                return None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return pydicom.dcmread(file) if whole else pydicom.dcmread(file, stop_before_pixels=True, specific_tags=_TAGS)
    except (OSError, pydicom.errors.InvalidDicomError, EOFError, ValueError, KeyError):
        return None


def list_series(folder: Path) -> list[Series]:
    """Find the DICOM series in a folder and all below it.

    Parameters
    ----------
    folder : Path
        Where to look.

    Returns
    -------
    list of Series
        In order of their first file.
    """
    groups: dict[str, list[tuple[Path, Any]]] = {}
    for file in sorted(f for f in folder.rglob("*") if f.is_file()):
        header = read_header(file)
        if header is not None and "SeriesInstanceUID" in header:
            groups.setdefault(str(header.SeriesInstanceUID), []).append((file, header))
    return [_series(uid, members) for uid, members in groups.items()]


def read_series(folder: Path, patient_id: str = "") -> Volume:
    """Read the one image series of a folder.

    Parameters
    ----------
    folder : Path
        Holds one image series, or one of MR among others; contours, masks and reports beside it do not matter.
    patient_id : str
        Whom it belongs to, for error messages.

    Returns
    -------
    Volume
        Slices in order of position, rescaled as the headers say.

    Raises
    ------
    ImageError
        If there is no series or a choice of several, or if slices are missing, doubled, shifted or of different grids.
    """
    images = [s for s in list_series(folder) if s.is_image]
    if not images:
        message = "folder holds no DICOM image series; expected one MR series. Point to the folder of the series, or to a NIfTI file"
        raise ImageError(patient_id, message, folder)
    magnetic = [s for s in images if s.modality == "MR"]
    if len(images) > 1 and len(magnetic) != 1:
        choice = "; ".join(f"{s.description or 'without description'} ({s.modality}, {len(s.files)} files, from {s.files[0].relative_to(folder)})" for s in images[:6])
        message = f"folder holds {len(images)} image series: {choice}{'; ...' if len(images) > 6 else ''}; expected one. Give each its own folder, or run `sarcofuse dicom convert`"
        raise ImageError(patient_id, message, folder)
    return read_files((magnetic or images)[0].files, patient_id, folder)


def read_files(files: Sequence[Path], patient_id: str = "", folder: Path | None = None) -> Volume:
    """Read the files of one series.

    Parameters
    ----------
    files : sequence of Path
        One file a slice, in any order; or a single multi-frame file.
    patient_id : str
        Whom it belongs to, for error messages.
    folder : Path, optional
        What to name in error messages; by default the files' folder.

    Returns
    -------
    Volume
        Slices in order of position.

    Raises
    ------
    ImageError
        If slices are missing, doubled, shifted or of different grids, or cannot be read.
    """
    folder = folder or files[0].parent
    headers = [read_header(f) for f in files]
    if len(files) == 1 and int(headers[0].get("NumberOfFrames", 1) or 1) > 1:
        if "PerFrameFunctionalGroupsSequence" not in headers[0]:
            message = "multi-frame file whose frames have no positions; expected enhanced MR, or one file a slice. Export the original images, not a film"
            raise ImageError(patient_id, message, folder)
        return from_sitk(_execute(sitk.ImageFileReader(), str(files[0]), patient_id, folder))
    problem = _unlike(headers)
    if problem is None and len(files) < 2:
        problem = "series has 1 slice; expected a volume of several. Copy the whole series"
    if problem is not None:
        raise ImageError(patient_id, problem, folder)
    row, column, normal = _axes(headers[0])
    positions = np.array([[float(v) for v in h.ImagePositionPatient] for h in headers])
    heights = positions @ normal
    order = np.argsort(heights, kind="stable")
    problem = _uneven(positions[order], heights[order], normal)
    if problem is not None:
        raise ImageError(patient_id, problem, folder)
    array = sitk.GetArrayFromImage(_execute(sitk.ImageSeriesReader(), [str(files[i]) for i in order], patient_id, folder))
    spacing = [float(v) for v in headers[0].PixelSpacing]
    gap = float(heights[order[-1]] - heights[order[0]]) / (len(files) - 1)
    size = int(headers[0].Columns), int(headers[0].Rows), len(files)
    origin = positions[order[0]]
    direction = tuple(float(v) for v in np.stack([row, column, normal], axis=1).ravel())
    return Volume(array, Geometry(size, (spacing[1], spacing[0], gap), (float(origin[0]), float(origin[1]), float(origin[2])), direction))


def _execute(reader: Any, source: str | list[str], patient_id: str, folder: Path) -> Any:  # noqa: ANN401 - SimpleITK has no types
    """Read one file, or a file a slice, as float32."""
    if isinstance(source, str):
        reader.SetFileName(source)
    else:
        reader.SetFileNames(source)
    reader.SetOutputPixelType(sitk.sitkFloat32)
    try:
        with quiet():
            return reader.Execute()
    except RuntimeError as error:
        message = f"DICOM series cannot be read: {explain(error, folder)}. Export it again"
        raise ImageError(patient_id, message, folder) from error


def _series(uid: str, members: list[tuple[Path, Any]]) -> Series:
    first = members[0][1]
    modality = str(first.get("Modality", "") or "")
    is_image = modality not in _NOT_IMAGES and "Rows" in first
    return Series(uid, modality, str(first.get("SeriesDescription", "") or ""), str(first.get("FrameOfReferenceUID", "") or ""), tuple(f for f, _ in members), is_image)


def _unlike(headers: Sequence[Any]) -> str | None:
    """Say in what the slices of a series differ though they must not."""
    for tag in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "Rows", "Columns"):
        absent = sum(h.get(tag) in (None, "") for h in headers)
        if absent:
            return f"{absent} of {len(headers)} slices have no {tag}; expected a series whose slices know their place. Export the original images, not screenshots"
    for tag, tolerance in (("Rows", 0.0), ("Columns", 0.0), ("PixelSpacing", 1e-3), ("ImageOrientationPatient", COSINE_TOLERANCE)):
        values = np.array([np.atleast_1d(np.asarray(h.get(tag), dtype=np.float64)) for h in headers])
        spread = float(np.abs(values - values[0]).max())
        if spread > tolerance:
            return f"slices differ in {tag} (by up to {spread:.4g}); expected one volume of parallel slices. Is it a localiser, or are there two series in one?"
    return None


def _axes(header: Any) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:  # noqa: ANN401 - pydicom has no types
    """Give the directions of x, y and z as exact unit vectors at right angles."""
    cosines = np.array([float(v) for v in header.ImageOrientationPatient])
    row = cosines[:3] / np.linalg.norm(cosines[:3])
    normal = np.cross(row, cosines[3:])
    normal /= np.linalg.norm(normal)
    return row, np.cross(normal, row), normal


def _uneven(positions: NDArray[np.float64], heights: NDArray[np.float64], normal: NDArray[np.float64]) -> str | None:
    """Say what is wrong with the places of slices that are in order."""
    gaps = np.diff(heights)
    doubled = int(np.count_nonzero(gaps < 1e-3))
    if doubled:
        return f"{doubled} of {len(heights)} slices lie where another one lies; expected one image a position. Export one echo, phase or time point"
    usual = float(np.median(gaps))
    wide = gaps > usual * 1.5
    if wide.any():
        lost = int(np.rint(gaps[wide] / usual - 1).sum())
        at = ", ".join(f"{h:.1f}" for h in heights[:-1][wide][:4])
        return f"{lost} slices are missing: gaps of {usual:.4g} mm, but of {float(gaps.max()):.4g} mm after position {at} mm. Export the whole series again"
    if float(np.abs(gaps - usual).max()) > GAP_TOLERANCE * usual:
        return f"slice gaps vary from {float(gaps.min()):.4g} to {float(gaps.max()):.4g} mm; expected even ones. Export the original series"
    across = positions - positions[0]
    shift = float(np.linalg.norm(across - np.outer(across @ normal, normal), axis=1).max())
    if shift > GAP_TOLERANCE * float(heights[-1] - heights[0]):
        return f"slices are shifted against each other by up to {shift:.4g} mm within their plane (a sheared volume); expected a straight stack"
    return None
