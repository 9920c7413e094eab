"""Places in the patient and where they lie on a grid."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from sarcofuse.errors import MaskError, PromptError
from sarcofuse.imaging.grid import resample_mask
from sarcofuse.imaging.masks import read_mask
from sarcofuse.records import Geometry, Mask, Prompt

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def to_index(geometry: Geometry, points: Sequence[Sequence[float]]) -> NDArray[np.float64]:
    """Give places in the patient as places on a grid.

    Parameters
    ----------
    geometry : Geometry
        The grid.
    points : sequence of points
        (x, y, z) in mm, LPS.

    Returns
    -------
    ndarray of float64, shape (points, 3)
        Along the grid's x, y, z in voxels: 0 is the centre of the first voxel, -0.5 its outer face.
    """
    axes = np.asarray(geometry.direction, dtype=np.float64).reshape(3, 3)
    away = np.asarray(points, dtype=np.float64).reshape(-1, 3) - np.asarray(geometry.origin)
    found: NDArray[np.float64] = np.linalg.solve(axes, away.T).T / np.asarray(geometry.spacing)
    return found


def index_box(geometry: Geometry, box: Sequence[Sequence[float]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give the smallest box along a grid's axes that holds a box along the patient's.

    Parameters
    ----------
    geometry : Geometry
        The grid; where it is oblique to the patient, its box is the larger one.
    box : sequence of two points
        Opposite corners (x, y, z) in mm, LPS.

    Returns
    -------
    low, high : ndarray of float64, shape (3,)
        Along the grid's x, y, z in voxels, as of `to_index`.
    """
    eight = to_index(geometry, list(itertools.product(*zip(*box, strict=True))))
    return eight.min(axis=0), eight.max(axis=0)


def extent_mm(geometry: Geometry) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Give the box along the patient's axes that holds a grid.

    Parameters
    ----------
    geometry : Geometry
        The grid.

    Returns
    -------
    low, high : tuple of float
        (x, y, z) in mm, LPS; outer faces of the outermost voxels.
    """
    ends = [(-0.5, size - 0.5) for size in geometry.size]
    axes = np.asarray(geometry.direction, dtype=np.float64).reshape(3, 3)
    corners = np.asarray(list(itertools.product(*ends))) * np.asarray(geometry.spacing) @ axes.T + np.asarray(geometry.origin)
    return tuple(float(v) for v in corners.min(axis=0)), tuple(float(v) for v in corners.max(axis=0))


def check_prompt(prompt: Prompt, geometry: Geometry, patient_id: str = "") -> None:
    """Check that the middle of a box, or every click, lies inside an image; a rough mask is checked by `place_rough`.

    Parameters
    ----------
    prompt : Prompt
        What was pointed at.
    geometry : Geometry
        Grid of the image.
    patient_id : str
        Whom it belongs to.

    Raises
    ------
    PromptError
        If it does not; the message says where the image lies, and whether x and y seem to have the wrong sign.
    """
    places = [_middle(prompt.box)] if prompt.box is not None else list(prompt.click)
    outside = [p for p in places if not _inside(geometry, [p])]
    if not outside:
        return
    low, high = extent_mm(geometry)
    what = f"the middle {_point(outside[0])} of the box {_point(prompt.box[0])} to {_point(prompt.box[1])}" if prompt.box is not None else f"the click {_point(outside[0])}"
    turned = _inside(geometry, [(-x, -y, z) for x, y, z in places])
    do = (
        "With the signs of x and y turned it would lie inside: were they read in a program that shows RAS, such as 3D Slicer? Then write RAS before the numbers"
        if turned
        else "Give places in mm as DICOM has them (LPS), not voxel numbers, and read them on this very image"
    )
    message = f"{what} mm lies outside the image, which reaches from {_point(low)} to {_point(high)} mm (x, y, z; LPS). {do}"
    raise PromptError(patient_id, message)


def place_rough(file: Path, geometry: Geometry, patient_id: str = "", label: int | str | None = None) -> Mask:
    """Read a rough mask, drawn on whatever grid, and put it on an image's.

    Parameters
    ----------
    file : Path
        As for `read_mask`: label map, segmentation of 3D Slicer, DICOM SEG or RTSTRUCT file.
    geometry : Geometry
        Grid of the image.
    patient_id : str
        Whom it belongs to.
    label : int or str, optional
        Label of the tumour, where the file holds several.

    Returns
    -------
    Mask
        On `geometry`.

    Raises
    ------
    MaskError
        If the file is missing, cannot be read, is empty, or holds several labels and none was named.
    PromptError
        If nothing of it lies inside the image.
    """
    mask = _rough(file, geometry, patient_id, label)
    found = resample_mask(mask, geometry)
    if not found.array.any():
        found = resample_mask(mask, geometry, "nearest")
    if not found.array.any():
        (low, high), (least, most) = extent_mm(mask.geometry), extent_mm(geometry)
        message = (
            f"the rough mask, on a grid from {_point(low)} to {_point(high)} mm, marks nothing inside the image, which reaches from {_point(least)} to {_point(most)} mm "
            "(x, y, z; LPS). Draw it on this image"
        )
        raise PromptError(patient_id, message, file)
    return found


def _rough(file: Path, geometry: Geometry, patient_id: str, label: int | str | None) -> Mask:
    try:
        return read_mask(file, patient_id, grid=geometry)
    except MaskError:
        if label is None:
            raise
        return read_mask(file, patient_id, label, geometry)


def _middle(box: Sequence[Sequence[float]]) -> tuple[float, float, float]:
    x, y, z = ((a + b) / 2.0 for a, b in zip(*box, strict=True))
    return x, y, z


def _inside(geometry: Geometry, points: Sequence[Sequence[float]]) -> bool:
    at = to_index(geometry, points)
    return bool(((at >= -0.5) & (at <= np.asarray(geometry.size) - 0.5)).all())


def _point(point: Sequence[float]) -> str:
    return "(" + ", ".join(f"{v:.1f}".removesuffix(".0") for v in point) + ")"
