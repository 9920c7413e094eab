"""Masks back on the grid of the image as it came."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sarcofuse.records import Geometry, Mask, Volume

TIE = 1e-3
"""Distance to the surface in mm up to which a voxel is on it, and not inside: rounding must not decide, for it decides differently on two sides."""


def restore_mask(mask_file: Path, native_image_file: Path) -> Mask:
    """Put a mask of the prepared grid on the grid of the native image, place for place in the patient.

    What is interpolated is the distance to the mask's surface [1]_. The mask itself would be one half on every native voxel that lies midway between a voxel inside
    and one outside, as whole slices do where native slices are half as thick: rounding would then move the mask.

    Parameters
    ----------
    mask_file : Path
        Mask on the prepared grid.
    native_image_file : Path
        The image as it came: a file or a DICOM folder.

    Returns
    -------
    Mask
        On the native grid: where the linearly interpolated distance is inside; the nearest voxels where that leaves nothing of a small mask.

    Raises
    ------
    ImageError
        If the native image cannot be read.
    MaskError
        If the mask cannot be read, is empty, or lies outside the native image.

    References
    ----------
    .. [1] Raya SP, Udupa JK. Shape-based interpolation of multidimensional objects. IEEE Trans Med Imaging 1990;9:32-42.
    """
    from sarcofuse.errors import MaskError
    from sarcofuse.imaging import read_geometry, read_mask, resample_mask, resample_volume

    mask, grid = read_mask(mask_file), read_geometry(native_image_file)
    if not mask.geometry.differences(grid):
        return Mask(mask.array, grid)
    inside = resample_volume(_depth(mask), grid, "linear", smooth=False).array > TIE
    restored = Mask(inside.astype(np.uint8), grid)
    if not restored.array.any():
        restored = resample_mask(mask, grid, "nearest")
    if not restored.array.any():
        whose, message = "", "mask lies outside the native image; expected the mask that was made from it. Give the image that the mask belongs to"
        raise MaskError(whose, message, mask_file)
    return restored


def _depth(mask: Mask) -> Volume:
    """Give how far inside the mask each voxel of its surroundings lies, in mm; less than 0 outside, and all along the border."""
    from scipy.ndimage import distance_transform_edt

    filled = np.argwhere(mask.array)
    low, high = filled.min(axis=0), filled.max(axis=0) + 1
    array = np.pad(mask.array[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] != 0, 2)
    steps = mask.geometry.spacing[::-1]
    depth = distance_transform_edt(array, steps) - distance_transform_edt(~array, steps)
    axes, spacing = np.asarray(mask.geometry.direction).reshape(3, 3), np.asarray(mask.geometry.spacing)
    x, y, z = (float(v) for v in np.asarray(mask.geometry.origin) + axes @ ((low[::-1] - 2) * spacing))
    size = array.shape
    return Volume(depth.astype(np.float32), Geometry((size[2], size[1], size[0]), mask.geometry.spacing, (x, y, z), mask.geometry.direction))
