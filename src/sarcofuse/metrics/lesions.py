"""Detection lesion by lesion: which components of the truth a mask finds, and what it finds besides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHARE = 0.1


@dataclass(frozen=True, slots=True)
class Detection:
    """What was found in one patient.

    Attributes
    ----------
    lesions : int
        Components of the truth.
    found : int
        Those of them that the mask covers by at least the share.
    false : int
        Components of the mask of which less than the share lies in the truth.
    """

    lesions: int
    found: int
    false: int


def detection(mask: NDArray[np.generic], truth: NDArray[np.generic], share: float = SHARE) -> Detection:
    """Count lesions found, missed and made up [1]_; components join across faces, edges and corners.

    Parameters
    ----------
    mask : ndarray, shape (z, y, x)
        Mask to judge, on the same grid as `truth`.
    truth : ndarray, shape (z, y, x)
        The given mask.
    share : float
        A component of the truth is found if at least this share of its voxels, and at least one voxel, is in the mask; a component of the mask is false unless at least this share
        of its own, and at least one voxel, is in the truth.

    Returns
    -------
    Detection
        The counts.

    Raises
    ------
    ValueError
        If the shapes differ, or the share is not within 0 and 1.

    References
    ----------
    .. [1] Maier-Hein L, Reinke A et al. Metrics reloaded: recommendations for image analysis validation. Nat Methods 2024;21:195-212 (instance detection, localisation by overlap).

    Examples
    --------
    >>> detection(np.array([1, 1, 0, 0, 0, 1]), np.array([0, 1, 0, 1, 0, 0]))
    Detection(lesions=2, found=1, false=1)
    """
    if mask.shape != truth.shape:
        message = f"masks of shape {mask.shape} and {truth.shape} cannot be compared; expected the same grid"
        raise ValueError(message)
    if not 0 <= share <= 1:
        message = f"share must lie within 0 and 1, found {share}"
        raise ValueError(message)
    drawn, given = np.asarray(mask) != 0, np.asarray(truth) != 0
    hit = _overlapped(given, drawn, share)
    right = _overlapped(drawn, given, share)
    return Detection(hit.size, int(np.count_nonzero(hit)), int(np.count_nonzero(~right)))


def _overlapped(region: NDArray[np.bool_], other: NDArray[np.bool_], share: float) -> NDArray[np.bool_]:
    """Say of each component of a region whether enough of it lies in the other."""
    from scipy.ndimage import label

    labels, count = label(region, structure=np.ones((3,) * region.ndim))
    size = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    common = np.bincount(labels[other].ravel(), minlength=count + 1)[1:]
    return np.asarray((common > 0) & (common >= share * size * (1.0 - 1e-9)))
