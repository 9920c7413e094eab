"""Images and masks on disk: NIfTI, NRRD, MetaImage and DICOM folders, read with every check, written bit for bit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import SimpleITK as sitk

from sarcofuse.errors import CaseError, ImageError
from sarcofuse.imaging.convert import explain, geometry_of, quiet, to_sitk
from sarcofuse.imaging.nifti import Look, look
from sarcofuse.records import Geometry, Mask, Volume
from sarcofuse.runtime.files import atomic_file

if TYPE_CHECKING:
    from numpy.typing import NDArray

SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd")


def read_volume(file: Path, patient_id: str = "") -> Volume:
    """Read an image.

    Parameters
    ----------
    file : Path
        NIfTI, NRRD or MetaImage file, or a folder that holds one DICOM series.
    patient_id : str
        Whom it belongs to, for error messages.

    Returns
    -------
    Volume
        Intensities as float32.

    Raises
    ------
    ImageError
        If the image is missing, cannot be read, is cut short, is not 3D, or holds NaN or infinities.
    """
    if Path(file).is_dir():
        from sarcofuse.imaging.series import read_series

        volume = read_series(Path(file), patient_id)
    else:
        values, geometry, _ = read_voxels(Path(file), patient_id, ImageError, "image", sitk.sitkFloat32)
        volume = Volume(np.require(values, np.float32, ("A", "W")), geometry)
    bad = volume.array.size - int(np.count_nonzero(np.isfinite(volume.array)))
    if bad:
        raise ImageError(patient_id, _not_finite("image", bad, volume.array.size), file)
    return volume


def read_image(file: Path, patient_id: str = "") -> sitk.Image:
    """Read an image file in the type that it has.

    Parameters
    ----------
    file : Path
        NIfTI, NRRD or MetaImage file.
    patient_id : str
        Whom it belongs to, for error messages.

    Returns
    -------
    SimpleITK.Image
        Its intensities; those of NRRD and MetaImage files are not checked for NaN and infinities.

    Raises
    ------
    ImageError
        If the image is missing, cannot be read, is cut short, or is not 3D.
    """
    return read_sitk(Path(file), patient_id, ImageError, "image")


def write_volume(volume: Volume, file: Path) -> None:
    """Write an image atomically; the same volume gives the same bytes.

    Parameters
    ----------
    volume : Volume
        What to write.
    file : Path
        Where to; ``.nii.gz`` (NIfTI-1, float32) or another ending of `SUFFIXES` but for the two-file ones.
    """
    _write(to_sitk(volume), Path(file))


def write_mask(mask: Mask, file: Path) -> None:
    """Write a mask atomically; the same mask gives the same bytes.

    Parameters
    ----------
    mask : Mask
        What to write.
    file : Path
        Where to; ``.nii.gz`` (NIfTI-1, uint8) or another ending of `SUFFIXES` but for the two-file ones.
    """
    _write(to_sitk(mask), Path(file))


def read_geometry(file: Path, patient_id: str = "") -> Geometry:
    """Read only where an image's grid lies, not its voxels (DICOM folders are read whole).

    Parameters
    ----------
    file : Path
        As for `read_volume`.
    patient_id : str
        Whom it belongs to, for error messages.

    Returns
    -------
    Geometry
        The grid.

    Raises
    ------
    ImageError
        If the image is missing, cannot be read, or is not 3D.
    """
    file = Path(file)
    if file.is_dir():
        return read_volume(file, patient_id).geometry
    reader = _inform(file, patient_id, ImageError, "image")
    size, spacing, origin = reader.GetSize(), reader.GetSpacing(), reader.GetOrigin()
    return Geometry((size[0], size[1], size[2]), (spacing[0], spacing[1], spacing[2]), (origin[0], origin[1], origin[2]), tuple(reader.GetDirection()))


def read_sitk(file: Path, patient_id: str, error: type[CaseError], what: str, kind: int | None = None, *, layers: bool = False) -> sitk.Image:
    """Read an image or mask file with every check.

    Parameters
    ----------
    file : Path
        NIfTI, NRRD or MetaImage file.
    patient_id : str
        Whom it belongs to, for error messages.
    error : type of CaseError
        What to raise.
    what : str
        ``image`` or ``mask``, for error messages.
    kind : int, optional
        Pixel type of SimpleITK to read as; otherwise as the file has it.
    layers : bool
        Whether it may hold several values a voxel, which come as the components of the image.

    Returns
    -------
    SimpleITK.Image
        With the file's metadata.

    Raises
    ------
    CaseError
        If the file is missing, cannot be read, is cut short, or is not 3D.
    """
    return _read(file, _look(file, patient_id, error, what), patient_id, error, what, kind, layers=layers)


def read_voxels(file: Path, patient_id: str, error: type[CaseError], what: str, kind: int | None = None, *, layers: bool = False) -> tuple[NDArray[Any], Geometry, sitk.Image | None]:
    """Read an image or mask file with every check; a NIfTI file of plain numbers is unpacked once only, by the look that checks it.

    Parameters
    ----------
    file, patient_id, error, what, kind, layers : object
        As in `read_sitk`.

    Returns
    -------
    values : ndarray, shape (planes, rows, columns)
        The voxels; of a plain NIfTI file in its own type whatever `kind` is, and maybe not to be written to.
    geometry : Geometry
        The grid.
    image : SimpleITK.Image or None
        With the file's metadata; None for a plain NIfTI file.

    Raises
    ------
    CaseError
        If the file is missing, cannot be read, is cut short, or is not 3D.
    """
    found = _look(file, patient_id, error, what)
    plain = None if found.odd else _plain(found)
    if plain is not None:
        return (*plain, None)
    image = _read(file, found, patient_id, error, what, kind, layers=layers)
    return sitk.GetArrayFromImage(image), geometry_of(image), image


def _look(file: Path, patient_id: str, error: type[CaseError], what: str) -> Look:
    """Look through a file, and refuse one that is missing or cut short."""
    if not file.exists():
        message = f"{what} file does not exist. Correct the path in the table, or copy the file there"
        raise error(patient_id, message, file)
    found = look(file)
    if found.damage:
        message = f"{what} is cut short or damaged: {found.damage}. Copy or export it again"
        raise error(patient_id, message, file)
    return found


def _plain(found: Look) -> tuple[NDArray[Any], Geometry] | None:
    """Give what was unpacked in the looking, on the grid that SimpleITK makes of the header alone; None where it must read the file itself, or refuse it."""
    if found.values is None:
        return None
    with TemporaryDirectory() as room:
        head = Path(room) / "head.nii"
        head.write_bytes(found.head)
        reader = sitk.ImageFileReader()
        reader.SetImageIO("NiftiImageIO")
        reader.SetFileName(str(head))
        try:
            with quiet():
                reader.ReadImageInformation()
        except RuntimeError:
            return None
    size = reader.GetSize()
    if len(size) != 3 or reader.GetNumberOfComponents() != 1 or size[0] * size[1] * size[2] != found.voxels:
        return None
    grid = sitk.Image([1, 1, 1], sitk.sitkUInt8)  # an image has some zeros of its header as 0 and not -0, which a digest tells apart
    grid.SetSpacing(reader.GetSpacing())
    grid.SetOrigin(reader.GetOrigin())
    grid.SetDirection(reader.GetDirection())
    return found.values.reshape(size[::-1]), replace(geometry_of(grid), size=size)


def _read(file: Path, found: Look, patient_id: str, error: type[CaseError], what: str, kind: int | None, *, layers: bool) -> sitk.Image:
    """Let SimpleITK read a file that was looked through."""
    reader = _inform(file, patient_id, error, what, layers=layers)
    if found.odd:
        raise error(patient_id, _not_finite(what, found.odd, found.voxels), file)
    if kind is not None:
        reader.SetOutputPixelType(kind)
    try:
        with quiet():
            return reader.Execute()
    except RuntimeError as problem:
        message = f"{what} cannot be read: {explain(problem, file)}. Copy or export it again"
        raise error(patient_id, message, file) from problem


def _inform(file: Path, patient_id: str, error: type[CaseError], what: str, *, layers: bool = False) -> sitk.ImageFileReader:
    """Open an image as far as its header, and refuse what is not a 3D image of single numbers."""
    if not file.exists():
        message = f"{what} file does not exist. Correct the path in the table, or copy the file there"
        raise error(patient_id, message, file)
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(file))
    try:
        with quiet():
            reader.ReadImageInformation()
    except RuntimeError as problem:
        message = f"{what} cannot be read: {explain(problem, file)}. Expected NIfTI (.nii.gz, .nii), NRRD or MetaImage. Copy or export it again"
        raise error(patient_id, message, file) from problem
    size = reader.GetSize()
    if len(size) != 3:
        shape = " x ".join(map(str, size))
        do = "Export the whole series as one volume" if len(size) < 3 else "Export one of its volumes (one time point or echo)"
        message = f"{what} has {len(size)} dimensions ({shape}); expected 3. {do}"
        raise error(patient_id, message, file)
    if reader.GetNumberOfComponents() != 1 and not layers:
        message = f"{what} has {reader.GetNumberOfComponents()} values a voxel (colour or vector); expected 1. Export it in grey"
        raise error(patient_id, message, file)
    return reader


def _not_finite(what: str, bad: int, voxels: int) -> str:
    return f"{what} holds {bad} voxels of {voxels} that are NaN or infinite; expected finite values. Export it again, or fill those voxels"


def _write(image: sitk.Image, file: Path) -> None:
    if not file.name.endswith((".nii.gz", ".nii", ".nrrd", ".mha")):
        message = f"cannot write {file.name}: expected an ending of .nii.gz, .nii, .nrrd or .mha"
        raise ValueError(message)
    with atomic_file(file) as part, quiet():
        sitk.WriteImage(image, str(part), useCompression=file.name.endswith(".gz"))
