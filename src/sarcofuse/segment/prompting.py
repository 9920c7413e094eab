"""Prompts on the working grid: from places in the patient to voxels of the networks' image."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sarcofuse.errors import GeometryError, MaskError
from sarcofuse.records import Geometry, Prompt, PromptKind
from sarcofuse.segment.guide import FRAME_MM, TRUST, closeness_to_box, closeness_to_points, closeness_to_rough, guided, middle

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sarcofuse.records import Volume
    from sarcofuse.segment.grid import WorkImage
    from sarcofuse.segment.plan import Plan

NEAR = 10.0
"""Millimetres that a click may lie beside what it means."""
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


def work_image(volume: Volume, plan: Plan, prompt: Prompt | None = None) -> WorkImage:
    """Put an image on the networks' grid; networks of cropped images see of a box or a rough mask what lies within 20 mm.

    Parameters
    ----------
    volume : Volume
        Prepared image.
    plan : Plan
        The plan the networks were trained by.
    prompt : Prompt, optional
        What steers the mask.

    Returns
    -------
    WorkImage
        Of the whole image, or of that part.
    """
    from sarcofuse.segment.grid import part_to_working, to_working

    spacing = volume.geometry.spacing
    part = _frame(prompt, volume.geometry) if plan.voxels and prompt is not None else None
    if part is None:
        return to_working(volume.array, spacing, plan.spacing_for(volume.array.shape, spacing))
    return part_to_working(volume.array, spacing, plan.spacing_for([s.stop - s.start for s in part], spacing), part)


def _frame(prompt: Prompt, geometry: Geometry) -> tuple[slice, slice, slice] | None:
    """Give the part of the prepared image around a box or a rough mask; None for clicks, which do not say how large the tumour is."""
    from sarcofuse.imaging import read_mask
    from sarcofuse.imaging.places import index_box

    if prompt.box is not None:
        low, high = (np.asarray(corner)[::-1] for corner in index_box(geometry, prompt.box))
    elif prompt.rough is not None and (inside := np.argwhere(read_mask(prompt.rough).array)).size:
        low, high = inside.min(axis=0) - 0.5, inside.max(axis=0) + 0.5
    else:
        return None
    grown = FRAME_MM / np.array(geometry.spacing[::-1])
    first = np.clip(np.floor(low - grown + 0.5), 0, np.array(geometry.shape) - 1).astype(int)
    last = np.clip(np.ceil(high + grown + 0.5), first + 1, geometry.shape).astype(int)
    z, y, x = (slice(int(a), int(b)) for a, b in zip(first, last, strict=True))
    return z, y, x


def network_input(work: WorkImage, prompt: WorkPrompt | None, plan: Plan) -> WorkImage:
    """Give what the networks see: the image, and the channels that speak of the prompt where they have any.

    Parameters
    ----------
    work : WorkImage
        The image on the working grid.
    prompt : WorkPrompt or None
        What steers the mask; None for the automatic mask.
    plan : Plan
        With ``in_channels`` of the networks.

    Returns
    -------
    WorkImage
        `work` itself for networks of one channel, else with its array channels first.
    """
    if plan.channels == 1:
        return work
    shape = work.array.shape
    if prompt is None:
        closeness = closeness_to_box(shape, *middle(shape, work.spacing)) if plan.voxels else None
        return replace(work, array=guided(work.array, closeness, 0.0))
    if prompt.rough is not None:
        closeness = closeness_to_rough(prompt.rough, work.spacing) if prompt.rough.any() else None
    elif prompt.box is not None:
        closeness = closeness_to_box(shape, *prompt.box)
    else:
        closeness = closeness_to_points(shape, prompt.points, work.spacing, plan.radius_mm)
    return replace(work, array=guided(work.array, closeness, TRUST[prompt.kind]))


def heed(probability: NDArray[np.float32], prompt: Prompt | None, geometry: Geometry, threshold: float, *, refuse: bool = True) -> NDArray[np.float32]:
    """Leave what a prompt speaks of: the components that box or rough mask touch, or that lie nearest to each click.

    Parameters
    ----------
    probability : ndarray of float32, shape (z, y, x)
        Tumour probability on the prepared grid.
    prompt : Prompt or None
        What was pointed at; a rough mask as it lies on that grid. None leaves all as it is.
    geometry : Geometry
        The prepared grid.
    threshold : float
        Probability from which a voxel belongs to the mask.
    refuse : bool
        Whether to raise an error where no component is left, and not to leave none.

    Returns
    -------
    ndarray of float32
        The same with 0 in all other components.

    Raises
    ------
    MaskError
        If there are components, but none where the prompt says (a click may be off by `NEAR`).
    """
    from scipy.ndimage import label

    if prompt is None:
        return probability
    labels, count = label(probability >= threshold, structure=np.ones((3, 3, 3)))
    if not count:
        return probability
    kept = _near_clicks(labels, prompt, geometry) if prompt.click else set(np.unique(labels[_touched(prompt, geometry)]).tolist()) - {0}
    if not kept and refuse:
        whose, what = "", "rough mask" if prompt.kind == "rough" else prompt.kind
        message = f"no tumour found at the {what}: the networks see {count} elsewhere and none there. Look whether the {what} is where it should be, or draw the mask by hand"
        raise MaskError(whose, message)
    return np.where((labels == 0) | np.isin(labels, sorted(kept)), probability, np.float32(0))


def _near_clicks(labels: NDArray[np.int32], prompt: Prompt, geometry: Geometry) -> set[int]:
    from sarcofuse.imaging.places import to_index

    inside = np.argwhere(labels)
    found = set()
    for click in to_index(geometry, prompt.click)[:, ::-1]:
        away = np.linalg.norm((inside - click) * geometry.spacing[::-1], axis=1)
        if away.min() <= NEAR:
            found.add(int(labels[tuple(inside[int(np.argmin(away))])]))
    return found


def _touched(prompt: Prompt, geometry: Geometry) -> NDArray[np.bool_] | tuple[slice, ...]:
    """Give the voxels of the prepared grid within a box or a rough mask."""
    from sarcofuse.imaging import read_mask
    from sarcofuse.imaging.places import index_box

    if prompt.rough is not None:
        return np.asarray(read_mask(prompt.rough).array != 0)
    low, high = index_box(geometry, prompt.box or ())
    return tuple(slice(max(0, int(np.ceil(a))), max(0, int(np.floor(b)) + 1)) for a, b in zip(low[::-1], high[::-1], strict=True))


def _work_place(at: NDArray[np.float64], work: WorkImage) -> Place:
    """Turn (x, y, z) in prepared voxels to (z, y, x) in working voxels; the working grid begins at the outer corner of its first prepared voxel."""
    z, y, x = ((float(v) - first + 0.5) / step - 0.5 for v, first, step in zip(at[::-1], work.start, work.steps, strict=True))
    return z, y, x


def _work_rough(file: Path, geometry: Geometry, work: WorkImage) -> NDArray[np.float32]:
    from sarcofuse.imaging import read_mask
    from sarcofuse.segment.grid import shrink

    mask = read_mask(file)
    found = mask.geometry.differences(geometry)
    if found:
        whose, message = "", f"the rough mask does not lie on the prepared image's grid: {'; '.join(found)}; expected it as the preparation wrote it"
        raise GeometryError(whose, message, file)
    shown = tuple(slice(first, first + size) for first, size in zip(work.start, work.shape, strict=True))
    return shrink(mask.array[shown].astype(np.float32), work.steps)
