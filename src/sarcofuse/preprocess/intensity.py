"""Intensities: where the body is, the bias field, a common scale."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk

from sarcofuse.config import PreprocessConfig
from sarcofuse.imaging import to_sitk
from sarcofuse.records import Mask, Volume
from sarcofuse.runtime import single_thread

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEAST_COMPONENT = 0.1
LEAST_VOXELS = 8
PADDING = 0.002


def otsu_threshold(values: NDArray[np.floating], bins: int = 256) -> float:
    """Give the threshold that separates two classes best, by the variance between them [1]_.

    Parameters
    ----------
    values : ndarray of float
        Values of any shape, not all equal.
    bins : int
        Bins of the histogram.

    Returns
    -------
    float
        Values above it belong to the upper class.

    References
    ----------
    .. [1] Otsu N. A threshold selection method from gray-level histograms. IEEE Trans Syst Man Cybern 1979;9:62-66.
    """
    counts, edges = np.histogram(values, bins)
    centres = (edges[1:] + edges[:-1]) / 2.0
    weight, moment = np.cumsum(counts)[:-1].astype(np.float64), np.cumsum(counts * centres)[:-1]
    total, mean = float(counts.sum()), float((counts * centres).sum()) / float(counts.sum())
    between = np.zeros(bins - 1)
    both = (weight > 0) & (weight < total)
    between[both] = (mean * weight[both] - moment[both]) ** 2 / (weight[both] * (total - weight[both]))
    return float(edges[1 + int(np.argmax(between))])


def foreground(array: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Find the voxels that give signal: Otsu's threshold on the logarithm of intensity.

    Fat can be twenty times as bright as muscle, so that on the intensities themselves the threshold would part tissues and not body from air. Padding
    (voxels within `PADDING` of the image's range from its least value) is left out of the histogram where there is noise of its own beside it.

    Parameters
    ----------
    array : ndarray of float32
        Intensities.

    Returns
    -------
    ndarray of bool
        Same shape; all True for a constant image.
    """
    least, top = float(array.min()), float(np.percentile(array, 99.0))
    if top <= least:
        return np.ones(array.shape, dtype=bool)
    scaled = np.log1p(np.clip((array - least) / (top - least), 0.0, 1.0) * 100.0)
    beside = scaled[scaled > np.log1p(100.0 * PADDING)]
    padded = scaled.size - beside.size > 0.01 * scaled.size and float(np.percentile(beside, 2.0)) < np.log1p(10.0)
    return np.asarray(scaled > otsu_threshold(beside if padded else scaled))


def body_mask(array: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Find the body: the large connected parts that give signal, with what they enclose within each slice (bone, vessels, air).

    Parameters
    ----------
    array : ndarray of float32, shape (z, y, x)
        Intensities, axial slices.

    Returns
    -------
    ndarray of bool, shape (z, y, x)
        The body.
    """
    from scipy import ndimage

    parts, count = ndimage.label(foreground(array))
    if count == 0:
        return np.ones(array.shape, dtype=bool)
    sizes = np.bincount(parts.ravel(), minlength=count + 1)
    sizes[0] = 0
    inside = (sizes >= LEAST_COMPONENT * sizes.max())[parts]
    in_plane = np.zeros((3, 3, 3), dtype=bool)
    in_plane[1] = ndimage.generate_binary_structure(2, 1)
    outside, count = ndimage.label(~inside, structure=in_plane)
    open_air = np.zeros(count + 1, dtype=bool)
    for edge in (outside[:, 0], outside[:, -1], outside[:, :, 0], outside[:, :, -1]):
        open_air[np.unique(edge)] = True
    open_air[0] = False
    return np.asarray(~open_air[outside])


def correct_bias(volume: Volume, spacing: float = 10.0, iterations: tuple[int, ...] = (30, 20, 10)) -> Volume:
    """Remove the bias field that N4 [1]_ finds.

    The field is smooth over centimetres, so it is estimated on a coarse grid, from voxels that give signal, and removed on the volume's own.
    It is done on one thread, since with several the last bits vary.

    Parameters
    ----------
    volume : Volume
        The image.
    spacing : float
        Voxel size in mm of the coarse grid; no axis gets fewer than `LEAST_VOXELS` voxels by it.
    iterations : tuple of int
        Iterations at each level; the mesh is twice as fine at each.

    Returns
    -------
    Volume
        The image divided by its field.

    Raises
    ------
    RuntimeError
        If SimpleITK finds no field (an image without contrast, say).

    References
    ----------
    .. [1] Tustison NJ et al. N4ITK: improved N3 bias correction. IEEE Trans Med Imaging 2010;29:1310-1320.
    """
    factors = [max(1, min(round(spacing / own), count // LEAST_VOXELS)) for own, count in zip(volume.geometry.spacing, volume.geometry.size, strict=True)]
    image = to_sitk(volume)
    signal = to_sitk(Mask((foreground(volume.array) & (volume.array > 0)).astype(np.uint8), volume.geometry))
    task = sitk.N4BiasFieldCorrectionImageFilter()
    task.SetMaximumNumberOfIterations(iterations)
    with single_thread():
        task.Execute(sitk.Shrink(image, factors), sitk.Shrink(signal, factors))
        field = sitk.GetArrayFromImage(task.GetLogBiasFieldAsImage(image))
    return Volume(np.asarray(volume.array / np.exp(field), dtype=np.float32), volume.geometry)


def normalise(array: NDArray[np.float32], body: NDArray[np.bool_], config: PreprocessConfig) -> tuple[NDArray[np.float32], dict[str, float]]:
    """Bring intensities to a common scale.

    Parameters
    ----------
    array : ndarray of float32
        Intensities.
    body : ndarray of bool
        The voxels that the scale is taken from.
    config : PreprocessConfig
        Which scale: settings `normalise`, `clip` and `scale`.

    Returns
    -------
    array : ndarray of float32
        On the common scale.
    statistics : dict
        What the scale was taken from: voxels, mean, deviation, 1st and 99th percentile of the body.

    Raises
    ------
    ValueError
        If the body has one intensity only.
    """
    values = array[body].astype(np.float64)
    low, high = (float(v) for v in np.percentile(values, (1.0, 99.0)))
    mean, deviation = float(values.mean()), float(values.std())
    statistics = {"voxels": float(values.size), "mean": mean, "deviation": deviation, "p01": low, "p99": high}
    if config.normalise == "none":
        return (array * np.float32(config.scale)).astype(np.float32), statistics
    width = deviation if config.normalise == "zscore" else high - low
    if not width > 1e-6 * max(1e-30, abs(mean)):
        message = f"body of one intensity only ({mean:g})"
        raise ValueError(message)
    if config.normalise == "percentile":
        return (((array - low) / width) * config.scale).astype(np.float32), statistics
    standard = (array - mean) / width
    if config.clip is not None:
        standard = np.clip(standard, -config.clip, config.clip)
    return (standard * config.scale).astype(np.float32), statistics
