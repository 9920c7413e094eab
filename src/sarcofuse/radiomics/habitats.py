"""Habitats: parts of the tumour whose voxels look alike, told apart by a codebook that training patients taught once and for all."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sarcofuse.config import Codebook, RadiomicsConfig, RegionsConfig
from sarcofuse.errors import MaskError, StageError
from sarcofuse.radiomics.laplacian import laplacian_of_gaussian
from sarcofuse.records import Case
from sarcofuse.runtime import Engine, Task, digest, single_thread

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]

STAGE = "habitats"
VERSION = "habitats 2"  # raise it when any value changes
SAMPLES = "samples.npy"
VOXELS = 4000  # of each patient, at most; evenly spread over the tumour
REACH = 4.0  # deviations of the Gaussian that are kept around the tumour
RIDGE = 1e-3  # added to the variances of a Gaussian mixture, in standardised features
Spacing = tuple[float, float, float]


def voxel_features(image: NDArray[np.generic], tumour: Bools, spacing: Spacing, config: RegionsConfig) -> Floats:
    """Describe every voxel of a tumour by what is around it.

    Parameters
    ----------
    image : ndarray, shape (z, y, x)
        Intensities; comparable between patients.
    tumour : ndarray of bool, shape (z, y, x)
        The tumour.
    spacing : tuple of float
        Voxel size along z, y, x in mm.
    config : RegionsConfig
        Uses `habitat_voxels` and `habitat_radius`.

    Returns
    -------
    ndarray of float64, shape (voxels, features)
        Voxels in raster order; features in the order of `habitat_voxels`.
    """
    from scipy.ndimage import gaussian_filter

    widths = [config.habitat_radius / s for s in spacing]
    inner, outer = [], []
    for axis, width in enumerate(widths):
        hit = np.flatnonzero(tumour.any(axis=tuple(a for a in range(3) if a != axis)))
        start = max(0, int(hit[0]) - int(np.ceil(REACH * width)))
        outer.append(slice(start, int(hit[-1]) + 1 + int(np.ceil(REACH * width))))
        inner.append(slice(int(hit[0]) - start, int(hit[-1]) + 1 - start))
    box = (inner[0], inner[1], inner[2])
    values, within = image[tuple(outer)].astype(np.float64), tumour[tuple(outer)]

    def smooth(what: Floats) -> Floats:
        found: Floats = gaussian_filter(what, widths, mode="nearest", truncate=REACH)
        return found

    def laplacian() -> Floats:
        found = np.zeros(values.shape)
        if min(values.shape) >= 4:  # the recursive filter needs as many
            found[box] = laplacian_of_gaussian(values, box, spacing, config.habitat_radius)
        return found

    mean = smooth(values)
    makers: dict[str, Callable[[], Floats]] = {
        "intensity": lambda: values,
        "mean": lambda: mean,
        "deviation": lambda: np.sqrt(np.maximum(smooth((values - values.mean()) ** 2) - (mean - values.mean()) ** 2, 0.0)),
        "log": laplacian,
    }
    return np.column_stack([makers[name]()[within] for name in config.habitat_voxels])


def assign(image: NDArray[np.generic], tumour: Bools, spacing: Spacing, config: RegionsConfig) -> NDArray[np.uint8]:
    """Give every voxel of a tumour its habitat.

    Parameters
    ----------
    image : ndarray, shape (z, y, x)
        Intensities, on the scale that the codebook was learned on.
    tumour : ndarray of bool, shape (z, y, x)
        The tumour.
    spacing : tuple of float
        Voxel size along z, y, x in mm.
    config : RegionsConfig
        With a codebook.

    Returns
    -------
    ndarray of uint8, shape (z, y, x)
        Habitat from 1; 0 outside the tumour.

    Raises
    ------
    ValueError
        If there is no codebook.
    """
    book = config.codebook
    if book is None:
        message = "habitats need a codebook; learn_habitats gives one"
        raise ValueError(message)
    z = (voxel_features(image, tumour, spacing, config) - np.array(book.centre)) / np.array(book.scale)
    away = [z - np.array(mean) for mean in book.means]
    if book.precisions:
        fit = [np.log(w) + 0.5 * np.linalg.slogdet(np.array(p))[1] - 0.5 * np.einsum("vi,ij,vj->v", d, np.array(p), d) for w, p, d in zip(book.weights, book.precisions, away, strict=True)]
    else:
        fit = [-(d**2).sum(axis=1) for d in away]
    found = np.zeros(tumour.shape, np.uint8)
    found[tumour] = 1 + np.argmax(fit, axis=0)
    return found


def fit_codebook(samples: Sequence[Floats], config: RegionsConfig, seed: int = 0) -> Codebook:
    """Learn habitats from voxels of training patients.

    Parameters
    ----------
    samples : sequence of ndarray, shape (voxels, features)
        Voxel features by patient, as `voxel_features` gives them; the order of the patients matters to the last bits.
    config : RegionsConfig
        Uses `habitats` and `habitat_method`.
    seed : int
        Seed of the starting points.

    Returns
    -------
    Codebook
        Habitats in rising order of the first voxel feature (intensity, by default).

    Raises
    ------
    StageError
        If the voxels do not differ enough for so many habitats.

    References
    ----------
    .. [1] Gatenby RA, Grove O, Gillies RJ. Quantitative imaging in cancer evolution and ecology. Radiology 2013;269:8-15.
    """
    from sklearn.cluster import KMeans
    from sklearn.mixture import GaussianMixture

    pooled = np.concatenate([np.asarray(s, dtype=np.float64) for s in samples]) if samples else np.empty((0, len(config.habitat_voxels)))
    if len(np.unique(pooled, axis=0)) < config.habitats:
        message = f"{config.habitats} habitats cannot be learned from {len(np.unique(pooled, axis=0))} different voxels of {len(samples)} patients; expected at least as many voxels"
        raise StageError(message)
    centre, scale = pooled.mean(axis=0), pooled.std(axis=0)
    scale = np.where(scale > 1e-12 * np.maximum(1.0, np.abs(centre)), scale, 1.0)
    z = (pooled - centre) / scale
    weights, precisions = np.empty(0), np.empty((0, 0, 0))
    with single_thread(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one that has not quite converged is as good a codebook
        if config.habitat_method == "kmeans":
            means = KMeans(config.habitats, n_init=10, random_state=seed).fit(z).cluster_centers_
        else:
            model = GaussianMixture(config.habitats, n_init=3, reg_covar=RIDGE, random_state=seed).fit(z)
            means, weights, precisions = model.means_, model.weights_, model.precisions_
    order = np.argsort(means[:, 0], kind="stable")
    if len(weights):
        weights, precisions = weights[order], precisions[order]
    return Codebook.model_validate({"centre": centre.tolist(), "scale": scale.tolist(), "means": means[order].tolist(), "weights": weights.tolist(), "precisions": precisions.tolist()})


def learn_habitats(cases: Sequence[Case], config: RadiomicsConfig, engine: Engine, seed: int = 0) -> RadiomicsConfig:
    """Learn the codebook of habitats from the training patients among the cases.

    Parameters
    ----------
    cases : sequence of Case
        Prepared images and masks; those of other splits than ``train`` are passed over.
    config : RadiomicsConfig
        The settings.
    engine : Engine
        Runs the work, one task a case.
    seed : int
        Seed of the starting points.

    Returns
    -------
    RadiomicsConfig
        The settings with the codebook; as they were where no habitats are asked for, or a codebook is given.

    Raises
    ------
    StageError
        If no training patient's voxels can be had.
    """
    regions = config.regions
    if not regions.habitats or regions.codebook is not None:
        return config
    training = sorted((c for c in cases if c.split == "train" and c.mask is not None), key=lambda c: c.patient_id)
    which = (VERSION, regions.habitat_voxels, regions.habitat_radius)
    tasks = [Task(c.patient_id, digest(*which, c.image_digest, c.mask_digest), (c.image, c.mask, regions, c.patient_id)) for c in training]
    done, _ = engine.run(STAGE, _sample_case, tasks)  # who fails here is set aside with the reason when features are measured
    book = fit_codebook([np.load(e.folder / SAMPLES) for e in done], regions, seed)
    return config.model_copy(update={"regions": regions.model_copy(update={"codebook": book})})


def _sample_case(folder: Path, image: Path, mask: Path, config: RegionsConfig, patient_id: str) -> None:
    """Engine task: voxel features of a sample of a tumour."""
    import SimpleITK as sitk

    from sarcofuse.imaging import read_volume

    volume = read_volume(image, patient_id)
    tumour = sitk.GetArrayFromImage(sitk.ReadImage(str(mask))) == 1  # no view: the image it looks into would be gone
    if tumour.shape != volume.array.shape or not tumour.any() or not np.isfinite(volume.array).all():
        raise MaskError(patient_id, "has no tumour to learn habitats from: the mask is empty or on another grid than the image, or the image is not finite", mask)
    x, y, z = volume.geometry.spacing
    found = voxel_features(volume.array, tumour, (z, y, x), config)
    np.save(folder / SAMPLES, found[np.unique(np.linspace(0, len(found) - 1, VOXELS).astype(int))])
