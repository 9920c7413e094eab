"""Features of the grey-level co-occurrence matrix (GLCM).

References
----------
.. [1] Haralick RM, Shanmugam K, Dinstein I. Textural features for image classification. IEEE Trans Syst Man Cybern 1973;3:610-621.
.. [2] Zwanenburg A et al. The Image Biomarker Standardization Initiative. Radiology 2020;295:328-338, reference manual section 3.6.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sarcofuse.config import RadiomicsConfig
from sarcofuse.radiomics import matrices, statistics
from sarcofuse.radiomics.region import Discretised, Offset

ORDER = (
    "Autocorrelation",
    "JointAverage",
    "SumSquares",
    "Correlation",
    "JointEnergy",
    "JointEntropy",
    "MaximumProbability",
    "Imc1",
    "Imc2",
    "SumAverage",
    "SumEntropy",
    "ClusterTendency",
    "ClusterShade",
    "ClusterProminence",
    "DifferenceAverage",
    "DifferenceEntropy",
    "DifferenceVariance",
    "Contrast",
    "Id",
    "Idn",
    "Idm",
    "Idmn",
    "InverseVariance",
    "MCC",
)
AT_ONCE = 4_000_000  # cells of the matrices of all directions that are held at a time


def compute(image: Discretised, config: RadiomicsConfig) -> dict[str, float]:
    """Compute the GLCM features.

    Parameters
    ----------
    image : Discretised
        The region's grey levels.
    config : RadiomicsConfig
        Uses `distances`, `symmetricalGLCM`, `weightingNorm`, `force2D` and `force2Ddimension`.

    Returns
    -------
    dict of str to float
        Value by name; NaN where no voxel has a neighbour.
    """
    region, count = image.region, len(image.present)
    directions, steps = region.directions(config.distances, config.flat_axis)
    merged, rows = np.zeros((count, count)), []
    for part in blocks(list(range(len(directions))), count * count):
        counted = _count(image, steps[part], symmetric=config.symmetricalGLCM)
        if config.weightingNorm is None:
            rows += _read(counted, image)
        else:
            for k, p in zip(part, counted, strict=True):
                merged += np.exp(-(length(directions[k], region.spacing, config.weightingNorm) ** 2)) * p if config.weightingNorm != "no_weighting" else p
    if config.weightingNorm is not None:
        rows = _read(merged[None], image)
    found = dict(zip(ORDER, average(rows, len(ORDER)), strict=True))
    return found | {"MCC": 1.0} if len(image.present) == 1 else found


def length(offset: Offset, spacing: tuple[float, float, float], norm: str) -> float:
    """Give the length of a step in mm.

    Parameters
    ----------
    offset : tuple of int
        Voxels along z, y, x.
    spacing : tuple of float
        Voxel size along z, y, x in mm.
    norm : {'manhattan', 'euclidean', 'infinity', 'no_weighting'}
        How to measure; the last gives 1.

    Returns
    -------
    float
        The length.
    """
    steps = np.abs(offset) * np.asarray(spacing)
    return float({"manhattan": steps.sum(), "euclidean": np.sqrt((steps**2).sum()), "infinity": steps.max(), "no_weighting": 1.0}[norm])


def average(rows: list[NDArray[np.float64]], width: int) -> list[float]:
    """Average features over directions, leaving out those that are not defined.

    Parameters
    ----------
    rows : list of ndarray of float64, each of shape (width,)
        Features of each direction.
    width : int
        Number of features.

    Returns
    -------
    list of float
        NaN where no direction has a value.
    """
    table = np.array(rows).reshape(-1, width)
    known = np.isfinite(table)
    number = known.sum(axis=0)
    total = np.where(known, table, 0.0).sum(axis=0)
    return [float(t) / int(n) if n else float("nan") for t, n in zip(total, number, strict=True)]


def blocks(items: list[int], cells: int) -> list[list[int]]:
    """Part directions so that no more of their matrices are held at a time than fit a modest memory.

    Parameters
    ----------
    items : list of int
        The directions.
    cells : int
        Elements of one direction's matrix.

    Returns
    -------
    list of list of int
        The same in order, in parts.
    """
    many = max(1, AT_ONCE // max(1, cells))
    return [items[k : k + many] for k in range(0, len(items), many)]


def _count(image: Discretised, steps: NDArray[np.uint64], *, symmetric: bool) -> NDArray[np.float64]:
    found = matrices.cooccurrences(image.ranks, *image.region.rows, steps, len(image.present))[:, 1:, 1:]
    turned = found.transpose(0, 2, 1)  # from a voxel to the next instead of the one before
    return (found + turned if symmetric else turned).astype(np.float64)


def _read(counts: NDArray[np.float64], image: Discretised) -> list[NDArray[np.float64]]:
    """Give the features of each matrix that is not empty."""
    totals = counts.sum(axis=(1, 2))
    used = totals > 0
    p = counts[used] / totals[used, None, None]
    found = np.empty((len(p), len(ORDER)))
    found[:, -1] = _maximal_correlation(p)
    for matrix, row in zip(p, found, strict=True):
        row[:-1] = statistics.cooccurrence_features(matrix, image.present, image.highest)
    return list(found)


def _maximal_correlation(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the second largest singular value of p(i,j) / sqrt(px(i) py(j)) of each matrix, which is the square root of Haralick's second eigenvalue of Q."""
    if p.shape[1] < 2:
        return np.ones(len(p))
    scaled = p / np.sqrt(p.sum(axis=2)[:, :, None] * p.sum(axis=1)[:, None, :] + statistics.EPSILON)
    if np.array_equal(p, p.transpose(0, 2, 1)):
        values = np.linalg.eigvalsh(scaled)  # the largest in size is 1, and the second stands beside it or at the other end
        return np.maximum(values[:, -2], -values[:, 0])
    found: NDArray[np.float64] = np.linalg.svd(scaled, compute_uv=False)[:, 1]
    return found
