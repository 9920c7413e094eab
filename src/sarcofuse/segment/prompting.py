"""Prompts on the working grid: from places in the patient to voxels of the networks' image."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sarcofuse.records import Geometry, Prompt, PromptKind

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sarcofuse.segment.grid import WorkImage

Place = tuple[float, float, float]


@dataclass(frozen=True, slots=True, eq=False)
class WorkPrompt:
    """A prompt as the networks' grid sees it.

    Places are (z, y, x) in working voxels: 0 is the centre of the first voxel, -0.5 its outer face.

    Attributes
    ----------
    kind : {'box', 'click', 'rough'}
        Which of the three it is; the other two are empty.
    box : tuple of two places or None
        Lowest and highest corner; may reach beyond the image.
    points : tuple of places
        Clicks, all inside the image.
    rough : ndarray of float32, shape (z, y, x), or None
        Share of each voxel of the working image that the rough mask covers.
    """

    kind: PromptKind
    box: tuple[Place, Place] | None = None
    points: tuple[Place, ...] = ()
    rough: NDArray[np.float32] | None = None


def work_prompt(prompt: Prompt, geometry: Geometry, work: WorkImage) -> WorkPrompt:
    """Put a prompt on the working grid.

    A box along the patient's axes becomes, on a grid oblique to them, the smallest box along the grid's axes that holds it.

    Parameters
    ----------
    prompt : Prompt
        What was pointed at, in patient millimetres; a rough mask as it lies on the prepared grid.
    geometry : Geometry
        Grid of the prepared image.
    work : WorkImage
        That image on the working grid.

    Returns
    -------
    WorkPrompt
        The same places in working voxels.

    Raises
    ------
    MaskError
        If the rough mask cannot be read.
    GeometryError
        If the rough mask is not on the prepared grid.
    """
    from sarcofuse.imaging.places import index_box, to_index

    if prompt.box is not None:
        low, high = index_box(geometry, prompt.box)
        return WorkPrompt("box", box=(_work_place(low, work), _work_place(high, work)))
    if prompt.rough is not None:
        return WorkPrompt("rough", rough=_work_rough(prompt.rough, geometry, work))
    return WorkPrompt("click", points=tuple(_work_place(at, work) for at in to_index(geometry, prompt.click)))


def _work_place(at: NDArray[np.float64], work: WorkImage) -> Place:
    """Turn (x, y, z) in prepared voxels to (z, y, x) in working voxels; both grids begin at the same outer corner."""
    z, y, x = ((float(v) + 0.5) / step - 0.5 for v, step in zip(at[::-1], work.steps, strict=True))
    return z, y, x


def _work_rough(file: Path, geometry: Geometry, work: WorkImage) -> NDArray[np.float32]:
    from sarcofuse.errors import GeometryError
    from sarcofuse.imaging import read_mask
    from sarcofuse.segment.grid import shrink

    mask = read_mask(file)
    found = mask.geometry.differences(geometry)
    if found:
        whose, message = "", f"the rough mask does not lie on the prepared image's grid: {'; '.join(found)}; expected it as the preparation wrote it"
        raise GeometryError(whose, message, file)
    return shrink(mask.array.astype(np.float32), work.steps)
