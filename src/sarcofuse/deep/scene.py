"""What a network is shown of a tumour, and over what its answer is pooled: all that can be got ready without the network having looked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sarcofuse.config.deep import DeepConfig
from sarcofuse.deep.boxes import make_box
from sarcofuse.deep.crops import check_drawn, make_crops
from sarcofuse.deep.pooling import regions_of, weights_for
from sarcofuse.deep.registry import Backbone
from sarcofuse.errors import GeometryError, ImageError
from sarcofuse.records import Mask, Volume

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """What a network is shown.

    Attributes
    ----------
    shown : ndarray of uint8, shape (pictures, size, size), or of float32, shape (planes, rows, columns)
        Pictures for a 2D network, or a box, normalised.
    seen : ndarray of uint8, shape (pictures, rows, columns)
        The same, to be looked at by people.
    weights : list of sequence of ndarray or None
        Over what the maps of each picture are pooled, see `sarcofuse.deep.pooling.weights_for`; of a box there is one.
    areas : list of float
        Area of the tumour in each picture in mm²; none for a box.
    """

    shown: NDArray[Any]
    seen: NDArray[np.uint8]
    weights: list[Sequence[NDArray[Any] | None]]
    areas: list[float]


def prepare(image: Volume, mask: Mask, config: DeepConfig, entry: Backbone) -> Scene:
    """Cut the pictures that a 2D network is shown.

    Parameters
    ----------
    image : Volume
        The image, finite.
    mask : Mask
        The tumour on the same grid, not empty.
    config : DeepConfig
        Settings.
    entry : Backbone
        Entry of the registry, see `sarcofuse.deep.look.entry_of`.

    Returns
    -------
    Scene
        Pictures and weights.
    """
    crops = make_crops(image, mask, config, entry.size)
    areas = [float(t.sum(dtype=np.float64)) * length**2 for t, length in zip(crops.tumour, crops.pixel_mm, strict=True)]
    weights: list[Sequence[NDArray[Any] | None]] = []
    if config.pooling == "regions":
        weights += regions_of(crops.tumour, crops.pixel_mm)
    else:
        weights += [weights_for(config.pooling, tumour, (length, length)) for tumour, length in zip(crops.tumour, crops.pixel_mm, strict=True)]
    return Scene(crops.pictures, crops.pictures, weights, areas)


def prepare_box(image: Volume, mask: Mask, config: DeepConfig, spacing: Sequence[float], factor: Sequence[int]) -> Scene:
    """Cut the box that a 3D network is shown.

    Parameters
    ----------
    image, mask, config : object
        As in `prepare`.
    spacing : sequence of float
        The network's voxel size along x, y, z in mm.
    factor : sequence of int
        What the numbers of planes, rows and columns must be multiples of.

    Returns
    -------
    Scene
        Box and weights.
    """
    box = make_box(image, mask, config, spacing, factor)
    return Scene(box.array, box.picture(), [weights_for(config.pooling, box.tumour, spacing[::-1])], [])


def check(patient_id: str, image: Volume, mask: Mask) -> None:
    """Refuse what no network can be shown.

    Parameters
    ----------
    patient_id : str
        Whose, for error messages.
    image : Volume
        The prepared image.
    mask : Mask
        The tumour.

    Raises
    ------
    CaseError
        If image and mask lie on different grids, nothing is drawn, or the image is not finite.
    """
    gaps = image.geometry.differences(mask.geometry)
    if gaps:
        message = f"image and mask lie on different grids: {'; '.join(gaps)}"
        raise GeometryError(patient_id, message)
    check_drawn(mask, patient_id)
    holes = int(np.count_nonzero(~np.isfinite(image.array)))
    if holes:
        message = f"image holds {holes} voxel{'s' if holes > 1 else ''} that are NaN or infinite; expected finite intensities. Export the image again, or fill those voxels"
        raise ImageError(patient_id, message)
