"""How good a mask is: measured where there is a truth, and the signs of it that can be seen without one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sarcofuse.config.segment import RefineConfig

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sarcofuse.records import Mask
    from sarcofuse.segment.grid import WorkImage

SIGNS = ("expected_dice", "confidence", "flip_dice", "entropy", "network_ml", "sphericity", "share_kept")
"""What `network_signs` gives, in order."""


def judge(mask: Mask, mean: NDArray[np.float32], truth: NDArray[np.uint8] | None, steps: Mapping[str, float]) -> dict[str, Any]:
    """Give what there is to say of a refined mask, with its agreement with the truth where there is one.

    Parameters
    ----------
    mask : Mask
        The refined mask, not empty.
    mean : ndarray of float32, shape (z, y, x)
        Tumour probability on the same grid.
    truth : ndarray of uint8, shape (z, y, x), or None
        The given mask.
    steps : mapping of str to float
        Dice after each step of the refinement.

    Returns
    -------
    dict
        Fields of `MaskQuality`.
    """
    return {"confidence": float(mean[mask.array != 0].mean(dtype=np.float64)), "steps": dict(steps), **measured(mask, truth)}


def measured(mask: Mask, truth: NDArray[np.uint8] | None) -> dict[str, Any]:
    """Give a mask's volume, and its agreement with the truth where there is one.

    Parameters
    ----------
    mask : Mask
        Not empty.
    truth : ndarray of uint8, shape (z, y, x), or None
        The given mask.

    Returns
    -------
    dict
        Fields of `MaskQuality`.
    """
    from sarcofuse.metrics.lesions import detection
    from sarcofuse.metrics.overlap import dice, surface_scores, volume_error

    if truth is None:
        return {"volume_ml": mask.volume_ml}
    surface, lesions = surface_scores(mask.array, truth, mask.geometry.spacing), detection(mask.array, truth)
    return {
        "volume_ml": mask.volume_ml,
        "dice": dice(mask.array, truth),
        "surface_mm": surface.hd95_mm,
        "volume_error": volume_error(mask.array, truth),
        "surface_dice": surface.dice,
        "assd_mm": surface.assd_mm,
        "truth_ml": float(np.count_nonzero(truth)) * mask.geometry.voxel_ml,
        "lesions": lesions.lesions,
        "lesions_found": lesions.found,
        "lesions_false": lesions.false,
    }


def agreement(each: NDArray[np.float32], mean: NDArray[np.float32], work: WorkImage, config: RefineConfig) -> float:
    """Give the mean Dice of the networks' own masks with the ensemble's, before refinement.

    Parameters
    ----------
    each : ndarray of float32, shape (networks, z, y, x)
        Probability by each network, on the working grid.
    mean : ndarray of float32, shape (z, y, x)
        The ensemble's, on the prepared grid.
    work : WorkImage
        The image they are of.
    config : RefineConfig
        With the threshold.

    Returns
    -------
    float
        0 to 1.
    """
    from sarcofuse.metrics.overlap import dice
    from sarcofuse.segment.grid import restore

    whole = mean >= config.threshold
    return float(np.mean([dice(restore(one, work) >= config.threshold, whole) for one in each]))


def signs(each: NDArray[np.float32], spacing: Sequence[float], config: RefineConfig) -> dict[str, float]:
    """Give the signs of quality that need no truth: of every network by itself, then their mean, so that they mean the same for one network and for an ensemble.

    Parameters
    ----------
    each : ndarray of float32, shape (networks, 2, z, y, x)
        Probability by each network, of the image as it is and averaged over flips, on the working grid.
    spacing : sequence of float
        Working voxel size along x, y, z in mm.
    config : RefineConfig
        With the threshold, and whether one component is kept.

    Returns
    -------
    dict of str to float
        Value by name of `SIGNS`.
    """
    found = [network_signs(one[0], one[1], spacing, config) for one in each]
    return {name: float(np.mean([f[name] for f in found])) for name in SIGNS}


def network_signs(once: NDArray[np.float32], mean: NDArray[np.float32], spacing: Sequence[float], config: RefineConfig) -> dict[str, float]:
    """Give the signs of one network's mask.

    ``expected_dice`` is the Dice that the mask would have if every voxel were tumour with the probability that the network gives it, to first order; ``confidence`` the mean
    probability inside the mask; ``flip_dice`` the Dice of the masks with and without flips; ``entropy`` the binary entropy of all voxels in nats, over the voxels of the mask;
    ``network_ml`` the mask's volume; ``sphericity`` the surface of the ball of that volume over the mask's own, counted in voxel faces; ``share_kept`` the share of the probability above the
    threshold that lies in the component that is kept.

    Parameters
    ----------
    once, mean : ndarray of float32, shape (z, y, x)
        Tumour probability of the image as it is, and averaged over flips, on the working grid.
    spacing : sequence of float
        Working voxel size along x, y, z in mm.
    config : RefineConfig
        With the threshold, and whether one component is kept.

    Returns
    -------
    dict of str to float
        Value by name of `SIGNS`; where no voxel reaches the threshold, 0 for shares and shape, and the mask counts as one voxel.
    """
    from sarcofuse.metrics.overlap import dice
    from sarcofuse.segment.refine import keep_component

    p = mean.astype(np.float64)
    above = mean >= config.threshold
    mask = keep_component(above, mean) if config.keep == "largest" else above
    voxels, inside = max(int(np.count_nonzero(mask)), 1), float(p[mask].sum())
    sure = np.clip(p, 1e-6, 1.0 - 1e-6)
    entropy = -(sure * np.log(sure) + (1.0 - sure) * np.log1p(-sure))
    found = float(mask.any())
    return {
        "expected_dice": found * 2.0 * inside / (float(p.sum()) + voxels),
        "confidence": inside / voxels,
        "flip_dice": dice(once >= config.threshold, above),
        "entropy": float(entropy.sum()) / voxels,
        "network_ml": voxels * float(np.prod(spacing)) / 1000.0,
        "sphericity": _sphericity(mask, spacing) if found else 0.0,
        "share_kept": inside / float(p[above].sum()) if found else 0.0,
    }


def _sphericity(mask: NDArray[np.bool_], spacing: Sequence[float]) -> float:
    padded = np.pad(mask, 1).astype(np.int8)
    voxel = float(np.prod(spacing))
    area = sum(float(np.count_nonzero(np.diff(padded, axis=axis))) * voxel / float(step) for axis, step in enumerate(reversed(spacing)))
    return float((36.0 * np.pi * (np.count_nonzero(mask) * voxel) ** 2) ** (1.0 / 3.0) / area)
