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
from sarcofuse.radiomics.region import Discretised, Offset, offsets

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
    region = image.region
    directions = offsets(region.inside.shape, config.distances, config.flat_axis, both=False)
    counted = (_matrix(image, offset, symmetric=config.symmetricalGLCM) for offset in directions)
    if config.weightingNorm is None:
        rows = [_read(p, image) for p in counted if p.any()]
    else:
        count = len(image.present)
        merged = np.zeros((count, count))
        for offset, p in zip(directions, counted, strict=True):
            merged += np.exp(-(length(offset, region.spacing, config.weightingNorm) ** 2)) * p if config.weightingNorm != "no_weighting" else p
        rows = [_read(merged, image)] if merged.any() else []
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


def _matrix(image: Discretised, offset: Offset, *, symmetric: bool) -> NDArray[np.float64]:
    pairs = matrices.cooccurrence(image.ranks, image.region.voxels, image.region.step(offset), len(image.present))
    return pairs + pairs.T if symmetric else pairs


def _read(matrix: NDArray[np.float64], image: Discretised) -> NDArray[np.float64]:
    p = matrix / matrix.sum()
    return np.append(statistics.cooccurrence_features(p, image.present, image.highest), _maximal_correlation(p))


def _maximal_correlation(p: NDArray[np.float64]) -> float:
    """Give the second largest singular value of p(i,j) / sqrt(px(i) py(j)), which is the square root of Haralick's second eigenvalue of Q."""
    scaled = p / np.sqrt(p.sum(axis=1)[:, None] * p.sum(axis=0)[None, :] + statistics.EPSILON)
    if len(p) < 2:
        return 1.0
    if np.array_equal(p, p.T):
        return float(np.sort(np.abs(np.linalg.eigvalsh(scaled)))[-2])
    return float(np.linalg.svd(scaled, compute_uv=False)[1])
