"""Volumes and masks as SimpleITK images, and back; the digest of what they hold."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from sarcofuse.errors import GeometryError
from sarcofuse.records import Geometry, Mask, Volume


@contextmanager
def quiet() -> Iterator[None]:
    """Keep SimpleITK from writing warnings to standard error within the block.

    Yields
    ------
    None
        Nothing.
    """
    before = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(before)


def explain(problem: Exception, file: Path) -> str:
    """Give the gist of a SimpleITK error: one line, without places in its source and without the path.

    Parameters
    ----------
    problem : Exception
        What SimpleITK raised.
    file : Path
        The file it was reading.

    Returns
    -------
    str
        A sentence without its full stop.
    """
    lines = [line.strip() for line in str(problem).splitlines() if line.strip()]
    told = [line.split("ERROR:", 1)[1].strip() for line in lines if "ERROR:" in line] or lines[-1:] or [type(problem).__name__]
    text = told[-1] or lines[-1]
    if "Unable to determine ImageIO reader" in text:
        return "it is no image of a known kind, or its header is damaged"
    if text.startswith(("NiftiImageIO", "ImageFileReader", "itk::")):
        text = text.split("): ", 1)[-1]
    if "orthonormal" in text:
        return "its axes are not at right angles (sheared or damaged orientation)"
    return text.replace(str(file), file.name).rstrip(".")


def to_sitk(item: Volume | Mask) -> sitk.Image:
    """Give a volume or a mask as a SimpleITK image, which holds a copy of the array.

    Parameters
    ----------
    item : Volume or Mask
        What to convert.

    Returns
    -------
    SimpleITK.Image
        Of float32 for a volume, of uint8 for a mask.
    """
    image = sitk.GetImageFromArray(np.asarray(item.array, dtype=np.float32 if isinstance(item, Volume) else np.uint8))
    image.SetSpacing(item.geometry.spacing)
    image.SetOrigin(item.geometry.origin)
    image.SetDirection(item.geometry.direction)
    return image


def geometry_of(image: sitk.Image) -> Geometry:
    """Give the grid of a SimpleITK image.

    Parameters
    ----------
    image : SimpleITK.Image
        A 3D image.

    Returns
    -------
    Geometry
        Its grid.
    """
    size, spacing, origin = image.GetSize(), image.GetSpacing(), image.GetOrigin()
    return Geometry((size[0], size[1], size[2]), (spacing[0], spacing[1], spacing[2]), (origin[0], origin[1], origin[2]), tuple(image.GetDirection()))


def from_sitk(image: sitk.Image) -> Volume:
    """Give a SimpleITK image as a volume of float32.

    Parameters
    ----------
    image : SimpleITK.Image
        A 3D image of one component.

    Returns
    -------
    Volume
        The same intensities on the same grid.
    """
    return Volume(sitk.GetArrayFromImage(image).astype(np.float32, copy=False), geometry_of(image))


def mask_from_sitk(image: sitk.Image) -> Mask:
    """Give a SimpleITK image as a mask: 1 wherever it is not 0.

    Parameters
    ----------
    image : SimpleITK.Image
        A 3D image of one component.

    Returns
    -------
    Mask
        The region on the same grid.
    """
    return Mask((sitk.GetArrayViewFromImage(image) != 0).astype(np.uint8), geometry_of(image))


def content_digest(item: Volume | Mask) -> str:
    """Give the SHA-256 of a volume's or mask's voxels and grid, whatever file they came from.

    Parameters
    ----------
    item : Volume or Mask
        What to digest. Voxels count as float32 (volume) or uint8 (mask) in little-endian order.

    Returns
    -------
    str
        Hexadecimal digest.
    """
    kind = "<f4" if isinstance(item, Volume) else "u1"
    grid = item.geometry
    head = f"{type(item).__name__} {grid.size} {[float(v).hex() for v in (*grid.spacing, *grid.origin, *grid.direction)]}"
    state = hashlib.sha256(head.encode("ascii"))
    state.update(np.ascontiguousarray(item.array, dtype=kind).data)
    return state.hexdigest()


def check_geometry(volume: Volume, mask: Mask, patient_id: str = "", tolerance: float = 0.01) -> None:
    """Check that a mask lies on its image's grid.

    Parameters
    ----------
    volume : Volume
        The image.
    mask : Mask
        The mask.
    patient_id : str
        Whom they belong to.
    tolerance : float
        Largest difference that counts as rounding: in mm for spacing and origin, absolute for cosines.

    Raises
    ------
    GeometryError
        If they differ; the message says in what and by how much.
    """
    found = volume.geometry.differences(mask.geometry, tolerance)
    if found:
        message = (
            f"image and mask lie on different grids: {'; '.join(found)} (image against mask); expected the same within {tolerance:g} mm. "
            "Draw or resample the mask on this very image"
        )
        raise GeometryError(patient_id, message)
