"""How well two masks agree: overlap, distance of surfaces, volume.

Surfaces are by the voxel convention of MONAI and MetricsReloaded: a surface is the set of surface voxels, each of them counts once whatever its size, and distances go from
voxel centre to voxel centre.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

TOLERANCE_MM = 2.0


@dataclass(frozen=True, slots=True)
class SurfaceScores:
    """How far apart the surfaces of two masks lie.

    Attributes
    ----------
    dice : float
        Normalised surface Dice: the share of both surfaces that lies within the tolerance of the other.
    hd95_mm : float
        The larger of the two directed 95th percentiles of the distances, in mm.
    assd_mm : float
        Average symmetric surface distance in mm.
    """

    dice: float
    hd95_mm: float
    assd_mm: float


def dice(a: NDArray[np.generic], b: NDArray[np.generic]) -> float:
    """Give the Dice coefficient: twice the common volume over the sum of both volumes [1]_.

    Parameters
    ----------
    a, b : ndarray, any shape, the same for both
        Masks; what is not 0 is inside.

    Returns
    -------
    float
        0 (apart) to 1 (equal); 1 where both are empty.

    Raises
    ------
    ValueError
        If the shapes differ.

    References
    ----------
    .. [1] Dice LR. Measures of the amount of ecologic association between species. Ecology 1945;26(3):297-302.

    Examples
    --------
    >>> dice(np.array([1, 1, 0, 0]), np.array([0, 1, 1, 1]))
    0.4
    """
    first, second = _masks(a, b)
    total = int(np.count_nonzero(first)) + int(np.count_nonzero(second))
    return 2.0 * int(np.count_nonzero(first & second)) / total if total else 1.0


def volume_error(mask: NDArray[np.generic], truth: NDArray[np.generic]) -> float:
    """Give the relative volume error: the volume of the mask less that of the truth, over that of the truth.

    Parameters
    ----------
    mask : ndarray
        Mask to judge, on the same grid as `truth`.
    truth : ndarray
        The given mask.

    Returns
    -------
    float
        Negative where the mask is too small; NaN where the truth is empty.

    Raises
    ------
    ValueError
        If the shapes differ.

    Examples
    --------
    >>> volume_error(np.array([1, 1, 1]), np.array([1, 1, 0]))
    0.5
    """
    found, given = _masks(mask, truth)
    size = int(np.count_nonzero(given))
    return (int(np.count_nonzero(found)) - size) / size if size else float("nan")


def surface_distances(a: NDArray[np.generic], b: NDArray[np.generic], spacing: Sequence[float]) -> NDArray[np.float64]:
    """Give the distance of each surface voxel of one mask from the nearest surface voxel of the other.

    Surface voxels are those of the mask that have a neighbour outside it across a face; what lies beyond the array counts as outside.

    Parameters
    ----------
    a, b : ndarray, shape (z, y, x)
        Masks, neither of them empty.
    spacing : sequence of float
        Voxel size along x, y, z in mm.

    Returns
    -------
    ndarray of float64
        Distances from `a` to `b` in mm, voxel centre to voxel centre.

    Raises
    ------
    ValueError
        If the shapes differ, or a mask is empty.
    """
    from scipy.ndimage import distance_transform_edt

    first, second = _masks(a, b)
    if not first.any() or not second.any():
        message = "surface distance: both masks must hold at least one voxel"
        raise ValueError(message)
    box = _box(first | second)
    away = distance_transform_edt(~_surface(second[box]), sampling=tuple(reversed([float(s) for s in spacing])))
    return np.asarray(away[_surface(first[box])], dtype=np.float64)


def surface_scores(a: NDArray[np.generic], b: NDArray[np.generic], spacing: Sequence[float], tolerance_mm: float = TOLERANCE_MM) -> SurfaceScores:
    """Give normalised surface Dice [1]_, 95 % Hausdorff distance and average symmetric surface distance [2]_, from one reckoning of the distances.

    The average symmetric surface distance is the mean over the surface voxels of both masks together.

    Parameters
    ----------
    a, b : ndarray, shape (z, y, x)
        Masks.
    spacing : sequence of float
        Voxel size along x, y, z in mm.
    tolerance_mm : float
        Up to this distance, in mm, a surface voxel counts as right.

    Returns
    -------
    SurfaceScores
        Where both masks are empty, the surface Dice is 1 and the distances are NaN; where one is, 0 and NaN.

    Raises
    ------
    ValueError
        If the shapes differ.

    References
    ----------
    .. [1] Nikolov S, Blackwell S et al. Clinically applicable segmentation of head and neck anatomy for radiotherapy: deep learning algorithm development and validation study.
       J Med Internet Res 2021;23(7):e26151.
    .. [2] Maier-Hein L, Reinke A et al. Metrics reloaded: recommendations for image analysis validation. Nat Methods 2024;21:195-212.

    Examples
    --------
    >>> one, other = np.zeros((1, 1, 5)), np.zeros((1, 1, 5))
    >>> one[0, 0, 0], other[0, 0, 3] = 1, 1
    >>> surface_scores(one, other, (1, 1, 1))
    SurfaceScores(dice=0.0, hd95_mm=3.0, assd_mm=3.0)
    """
    first, second = _masks(a, b)
    if not first.any() or not second.any():
        return SurfaceScores(float(first.any() == second.any()), float("nan"), float("nan"))
    there, back = surface_distances(first, second, spacing), surface_distances(second, first, spacing)
    both = np.concatenate([there, back])
    near = int(np.count_nonzero(both <= tolerance_mm * (1.0 + 1e-9)))  # spacings are rounded: 3 voxels of 0.7 mm are 2.1 mm
    return SurfaceScores(near / both.size, float(max(np.percentile(there, 95), np.percentile(back, 95))), float(both.mean()))


def surface_dice(a: NDArray[np.generic], b: NDArray[np.generic], spacing: Sequence[float], tolerance_mm: float = TOLERANCE_MM) -> float:
    """Give the normalised surface Dice, see `surface_scores`.

    Parameters
    ----------
    a, b : ndarray, shape (z, y, x)
        Masks.
    spacing : sequence of float
        Voxel size along x, y, z in mm.
    tolerance_mm : float
        Up to this distance, in mm, a surface voxel counts as right.

    Returns
    -------
    float
        0 to 1.
    """
    return surface_scores(a, b, spacing, tolerance_mm).dice


def assd_mm(a: NDArray[np.generic], b: NDArray[np.generic], spacing: Sequence[float]) -> float:
    """Give the average symmetric surface distance, see `surface_scores`.

    Parameters
    ----------
    a, b : ndarray, shape (z, y, x)
        Masks.
    spacing : sequence of float
        Voxel size along x, y, z in mm.

    Returns
    -------
    float
        In mm; NaN where a mask is empty.
    """
    return surface_scores(a, b, spacing).assd_mm


def hd95_mm(a: NDArray[np.generic], b: NDArray[np.generic], spacing: Sequence[float]) -> float:
    """Give the 95 % Hausdorff distance, see `surface_scores`.

    Parameters
    ----------
    a, b : ndarray, shape (z, y, x)
        Masks.
    spacing : sequence of float
        Voxel size along x, y, z in mm.

    Returns
    -------
    float
        In mm; NaN where a mask is empty.
    """
    return surface_scores(a, b, spacing).hd95_mm


def _masks(a: NDArray[np.generic], b: NDArray[np.generic]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    if a.shape != b.shape:
        message = f"masks of shape {a.shape} and {b.shape} cannot be compared; expected the same grid"
        raise ValueError(message)
    return np.asarray(a) != 0, np.asarray(b) != 0


def _box(mask: NDArray[np.bool_]) -> tuple[slice, ...]:
    from scipy.ndimage import find_objects

    box: tuple[slice, ...] = find_objects(mask.astype(np.uint8))[0]
    return box


def _surface(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    from scipy.ndimage import binary_erosion

    inner: NDArray[np.bool_] = binary_erosion(mask, border_value=0)
    return mask & ~inner
