"""Masks back on the grid of the image as it came."""

from __future__ import annotations

from pathlib import Path

from sarcofuse.records import Mask


def restore_mask(mask_file: Path, native_image_file: Path) -> Mask:
    """Put a mask of the prepared grid on the grid of the native image, place for place in the patient.

    Parameters
    ----------
    mask_file : Path
        Mask on the prepared grid.
    native_image_file : Path
        The image as it came: a file or a DICOM folder.

    Returns
    -------
    Mask
        On the native grid: where the linearly interpolated mask exceeds one half; the nearest voxels where that leaves nothing of a small mask.

    Raises
    ------
    ImageError
        If the native image cannot be read.
    MaskError
        If the mask cannot be read, is empty, or lies outside the native image.
    """
    from sarcofuse.errors import MaskError
    from sarcofuse.imaging import read_geometry, read_mask, resample_mask

    mask, grid = read_mask(mask_file), read_geometry(native_image_file)
    if not mask.geometry.differences(grid):
        return Mask(mask.array, grid)
    restored = resample_mask(mask, grid)
    if not restored.array.any():
        restored = resample_mask(mask, grid, "nearest")
    if not restored.array.any():
        whose, message = "", "mask lies outside the native image; expected the mask that was made from it. Give the image that the mask belongs to"
        raise MaskError(whose, message, mask_file)
    return restored
