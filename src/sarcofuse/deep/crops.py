"""What a 2D network is shown: square pictures of the tumour with its surroundings, true to scale in both directions.

A picture is a square in mm: the tumour's bounding box in the slices chosen, made square by its longer side, plus a margin. It is resampled to the network's input size,
so a pixel has the same length along rows and columns whatever the voxel spacing. As usual with such networks, every tumour then fills its picture alike: the size of the tumour is
not in the picture itself (it is among the radiomic shape features); with ``field_mm`` every picture covers the same length instead and size is in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sarcofuse.config.deep import DeepConfig
from sarcofuse.errors import MaskError
from sarcofuse.records import Mask, Volume

if TYPE_CHECKING:
    from numpy.typing import NDArray

COARSE = 1.5  # an axis this many times coarser than the finest is taken for the direction across the slices


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """Where a picture was cut from the image: picture = rows @ slice @ columns.T.

    Attributes
    ----------
    axis : int
        Array axis across the slice.
    number : int
        Number of the slice along it.
    rows, columns : ndarray of float64, shape (size, voxels)
        Weights of the slice's voxels in each pixel, along its two axes in order.
    """

    axis: int
    number: int
    rows: NDArray[np.float64]
    columns: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Crops:
    """Pictures of one tumour.

    Attributes
    ----------
    pictures : ndarray of uint8, shape (slices, size, size)
        Intensities, 0 to 255; 0 beyond the image.
    tumour : ndarray of float32, shape (slices, size, size)
        Share of each pixel that is tumour, 0 to 1.
    pixel_mm : tuple of float
        Length of a pixel of each picture in mm.
    places : tuple of Place
        Where each picture was cut.
    """

    pictures: NDArray[np.uint8]
    tumour: NDArray[np.float32]
    pixel_mm: tuple[float, ...]
    places: tuple[Place, ...]


def slice_axis(spacing: tuple[float, float, float]) -> int:
    """Say which array axis (0 for z, 1 for y, 2 for x) runs across the slices: the coarsest where one stands out, else z.

    Parameters
    ----------
    spacing : tuple of float
        Voxel spacing along x, y, z in mm.

    Returns
    -------
    int
        Array axis.

    Examples
    --------
    >>> slice_axis((1.5, 1.5, 5.0)), slice_axis((5.0, 0.7, 0.7)), slice_axis((1.0, 1.0, 1.0))
    (0, 2, 0)
    """
    zyx = spacing[::-1]
    coarsest = int(np.argmax(zyx))
    return coarsest if zyx[coarsest] >= COARSE * min(zyx) else 0


def make_crops(volume: Volume, mask: Mask, config: DeepConfig, size: int) -> Crops:
    """Cut the pictures of a tumour.

    Parameters
    ----------
    volume : Volume
        The image.
    mask : Mask
        The tumour, on the same grid, not empty.
    config : DeepConfig
        Which slices, margin, intensities, and whether to blank what is not tumour.
    size : int
        Rows and columns of a picture.

    Returns
    -------
    Crops
        One picture a slice, in order along the axis; with ``planes`` first the image's own slices, then the two other directions.

    Raises
    ------
    MaskError
        If the mask is empty.
    """
    check_drawn(mask)
    zyx = volume.geometry.spacing[::-1]
    axis, (low, high) = slice_axis(volume.geometry.spacing), grey_window(volume.array) if config.intensities == "body" else region_window(volume.array[mask.array > 0])
    pictures, tumours, pixels, places = [], [], [], list[Place]()
    for across, chosen in _chosen(mask.array, axis, config):
        image, region = np.moveaxis(volume.array, across, 0)[chosen], np.moveaxis(mask.array, across, 0)[chosen]
        lengths = tuple(s for i, s in enumerate(zyx) if i != across)
        middle, side = _square(np.asarray(region.any(axis=0)), lengths, config)
        rows, columns = (_linear(n, length, m, side, size) for n, length, m in zip(image.shape[1:], lengths, middle, strict=True))
        used = tuple(slice(*(np.flatnonzero(weights.any(axis=0))[[0, -1]] + (0, 1))) for weights in (rows, columns))
        near, (above, beside) = (slice(None), *used), (rows[:, used[0]], columns[:, used[1]])
        grey = (np.clip(image[near].astype(np.float64), low, high) - low) * (255.0 / (high - low))
        tumour, picture = (_resample(above, part, beside) for part in (region[near].astype(np.float64), grey))
        if config.masked:
            picture = np.where(_inside(tumour), picture, 0.0)
        pictures.append(np.rint(picture).astype(np.uint8))
        tumours.append(tumour.astype(np.float32))
        pixels += [side / size] * len(chosen)
        places += [Place(across, k, rows, columns) for k in chosen]
    return Crops(np.concatenate(pictures), np.concatenate(tumours), tuple(pixels), tuple(places))


def check_drawn(mask: Mask, patient_id: str = "") -> None:
    """Refuse an empty mask.

    Parameters
    ----------
    mask : Mask
        The tumour.
    patient_id : str
        Whom it concerns, for the message.

    Raises
    ------
    MaskError
        If nothing is drawn.
    """
    if not mask.array.any():
        message = "mask is empty; expected at least 1 voxel"
        raise MaskError(patient_id, message)


def grey_window(array: NDArray[np.float32]) -> tuple[float, float]:
    """Choose the intensities that become black and white: air, and the 99.5th percentile of the body.

    Air is the image's 1st percentile; the body is what lies above a tenth of the way from there to the 99.5th percentile, so that the amount of air around it does not matter.

    Parameters
    ----------
    array : ndarray
        The image.

    Returns
    -------
    low, high : float
        Intensities; high is above low even where the image is constant.
    """
    flat, places = array.ravel(), [share * (array.size - 1) for share in (0.01, 0.995)]
    below = sorted({int(p) for p in places} | {min(int(p) + 1, flat.size - 1) for p in places})
    ordered = np.partition(flat, below)
    air, bright = (_between(ordered, p) for p in places)
    size = int(np.count_nonzero(flat > air + 0.1 * (bright - air)))
    # The body's brightest 0.5 % are among the image's brightest 0.5 %, which saves a look at the rest
    top = np.sort(ordered[int(places[1]) :])
    high = _between(top, top.size - 1 - 0.005 * (size - 1)) if size else bright
    return air, high if high > air else air + 1.0


def region_window(values: NDArray[np.float32]) -> tuple[float, float]:
    """Choose the intensities that become black and white by the tumour: its 0.5th and 99.5th percentile.

    Parameters
    ----------
    values : ndarray, shape (voxels,)
        Intensities of the tumour.

    Returns
    -------
    low, high : float
        Intensities; high is above low even where the tumour is constant.
    """
    low, high = (float(p) for p in np.percentile(values, (0.5, 99.5)))
    return low, high if high > low else low + 1.0


def _between(values: NDArray[np.float32], place: float) -> float:
    """Interpolate linearly between the two values at a place."""
    low = min(max(int(place), 0), values.size - 1)
    first, second = float(values[low]), float(values[min(low + 1, values.size - 1)])
    return first + (place - low) * (second - first)


def _resample(rows: NDArray[np.float64], slices: NDArray[np.float64], columns: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give rows @ slice @ columns.T of each slice, the axis of more voxels first, which leaves less to multiply."""
    found: NDArray[np.float64] = (rows @ slices) @ columns.T if rows.shape[1] >= columns.shape[1] else rows @ (slices @ columns.T)
    return found


def _inside(tumour: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Say of each picture's pixels which are tumour; where none is so by half, those that are most."""
    most = tumour.max(axis=(1, 2), keepdims=True)
    found: NDArray[np.bool_] = (tumour >= np.minimum(0.5, most)) & (tumour > 0)
    return found


def _chosen(mask: NDArray[np.uint8], axis: int, config: DeepConfig) -> list[tuple[int, list[int]]]:
    """Say which slices to take: pairs of array axis and slice numbers along it."""
    if config.crop == "planes":
        return [(a, _spread(_areas(mask, a), config.slices)) for a in (axis, *(i for i in range(3) if i != axis))]
    areas = _areas(mask, axis)
    if config.crop == "all":
        return [(axis, [int(k) for k in np.flatnonzero(areas)])]
    middle, reach = _largest(areas), 1 if config.crop == "neighbours" else 0
    return [(axis, [k for k in range(middle - reach, middle + reach + 1) if 0 <= k < len(areas)])]


def _areas(mask: NDArray[np.uint8], axis: int) -> NDArray[np.int64]:
    return np.asarray(np.count_nonzero(mask, axis=tuple(i for i in range(3) if i != axis)))


def _largest(areas: NDArray[np.int64]) -> int:
    """Take the slice of largest area; of several as large, the one in their middle."""
    there = np.flatnonzero(areas == areas.max())
    return int(there[len(there) // 2])


def _spread(areas: NDArray[np.int64], count: int) -> list[int]:
    """Take the slice of largest area, or `count` slices with equal tumour volumes between them (fewer where they coincide)."""
    if count == 1:
        return [_largest(areas)]
    below = np.cumsum(areas) / areas.sum()
    return sorted({int(np.searchsorted(below, (i + 1) / (count + 1))) for i in range(count)})


def _square(region: NDArray[np.bool_], lengths: tuple[float, ...], config: DeepConfig) -> tuple[tuple[float, float], float]:
    """Give the middle of a region's bounding box, in mm from the outer edge of the first voxel, and the side of the square around it."""
    ends = [np.flatnonzero(region.any(axis=1 - i))[[0, -1]] for i in range(2)]
    middle = tuple((first + last + 1) / 2 * length for (first, last), length in zip(ends, lengths, strict=True))
    extent = max((last + 1 - first) * length for (first, last), length in zip(ends, lengths, strict=True))
    return (float(middle[0]), float(middle[1])), config.field_mm or float(extent + 2 * config.margin_mm)


def _linear(count: int, length: float, middle: float, side: float, size: int) -> NDArray[np.float64]:
    """Give the matrix, shape (size, count), of linear interpolation along one axis.

    Pixel i is centred at ``middle - side / 2 + (i + 1/2) * side / size`` mm from the outer edge of the first voxel. Where a pixel is longer than a voxel the interpolating triangle
    is widened to a pixel, so that no voxel is passed over. Beyond the image the weights are 0; within half a voxel of its edge the edge voxel holds.
    """
    at = middle - side / 2 + (np.arange(size) + 0.5) * (side / size)
    index, width = at / length - 0.5, max(1.0, side / size / length)
    weights = np.clip(1.0 - np.abs(index[:, None] - np.arange(count)[None, :]) / width, 0.0, None)
    inside = (at >= 0) & (at <= count * length)
    total = weights.sum(axis=1, keepdims=True)
    found: NDArray[np.float64] = np.where(inside[:, None], weights / np.where(total > 0, total, 1.0), 0.0)
    return found
