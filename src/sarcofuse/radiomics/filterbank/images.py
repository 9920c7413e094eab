"""One door to all filters: an image in, a response of the same shape out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sarcofuse.config.filters import FilterConfig, GaborFilter, LawsFilter, LogFilter, MeanFilter, RieszFilter, WaveletFilter
from sarcofuse.errors import ImageError
from sarcofuse.radiomics.filterbank import gabor, separable, spectral
from sarcofuse.radiomics.filterbank.separable import Floats, Spacing

Box = tuple[slice, slice, slice]


def filter_image(array: NDArray[np.generic], spacing: Spacing, filter: FilterConfig) -> Floats:  # noqa: A002
    """Filter a 3D image as the second reference manual of the Image Biomarker Standardisation Initiative [1]_ defines it.

    Kernels of Laws, wavelets and Riesz transforms are given along x, y, z, which are the last, second and first axis of the array. Mean, Laws, wavelets and Riesz transforms
    count in voxels and are meant for cubic ones; Laplacian of Gaussian and Gabor count in mm along each axis.

    Parameters
    ----------
    array : ndarray, shape (z, y, x)
        The image.
    spacing : tuple of float
        Voxel size along z, y, x in mm.
    filter : MeanFilter, LogFilter, LawsFilter, GaborFilter, WaveletFilter, SimoncelliFilter, ShannonFilter or RieszFilter
        The filter and its settings.

    Returns
    -------
    ndarray of float64, shape (z, y, x)
        The response.

    Raises
    ------
    ImageError
        If the image is not 3D, is empty, or holds values that are not finite.

    References
    ----------
    .. [1] Depeursinge A, Andrearczyk V, Whybra P, et al. Standardised convolutional filtering for radiomics. arXiv:2006.05470.

    Examples
    --------
    >>> import numpy as np
    >>> from sarcofuse.config.filters import MeanFilter
    >>> filter_image(np.ones((3, 3, 3)), (1, 1, 1), MeanFilter(size=3, boundary="zero"))[0, 0].round(2)
    array([0.3 , 0.44, 0.3 ])
    """
    values = np.ascontiguousarray(array, dtype=np.float64)
    if values.ndim != 3 or values.size == 0:
        message = f"expected an image of three axes (z, y, x), found shape {values.shape}; give one of one slice as (1, y, x)"
        raise ImageError(patient_id="", problem=message)
    if not np.isfinite(values).all():
        message = f"{np.count_nonzero(~np.isfinite(values))} voxels are not finite; filters would spread them. Replace them first"
        raise ImageError(patient_id="", problem=message)
    if isinstance(filter, MeanFilter):
        return separable.mean(values, filter)
    if isinstance(filter, LogFilter):
        return separable.laplacian(values, spacing, filter)
    if isinstance(filter, LawsFilter):
        return separable.laws(values, filter)
    if isinstance(filter, GaborFilter):
        return gabor.gabor(values, spacing, filter)
    if isinstance(filter, WaveletFilter):
        return separable.wavelet(values, filter)
    if isinstance(filter, RieszFilter):
        return spectral.riesz(values, spacing, filter)
    return spectral.nonseparable(values, filter)


def filter_box(array: NDArray[np.generic], spacing: Spacing, filter: FilterConfig, box: Box) -> Floats:  # noqa: A002
    """Filter the part of an image that lies in a box, from no more of the image than bears on it.

    Parameters
    ----------
    array : ndarray, shape (z, y, x)
        The whole image.
    spacing : tuple of float
        Voxel size along z, y, x in mm.
    filter : MeanFilter, LogFilter, LawsFilter, GaborFilter, WaveletFilter, SimoncelliFilter, ShannonFilter or RieszFilter
        The filter and its settings.
    box : tuple of slice
        Which part is wanted.

    Returns
    -------
    ndarray of float64, shape of the box
        What `filter_image` gives there.

    Raises
    ------
    ImageError
        If what bears on the box holds values that are not finite.
    """
    margins = filter_reach(filter, spacing)
    if margins is None or isinstance(filter, RieszFilter):
        return np.ascontiguousarray(filter_image(array, spacing, filter)[box])
    taken: list[slice] = []
    for own, margin, size in zip(box, margins, array.shape, strict=True):
        start, stop = max(own.start - margin, 0), min(own.stop + margin, size)
        clipped = start > own.start - margin or stop < own.stop + margin
        taken.append(slice(0, size) if clipped and filter.boundary == "periodic" else slice(start, stop))
    inner = tuple(slice(own.start - part.start, own.stop - part.start) for own, part in zip(box, taken, strict=True))
    return np.ascontiguousarray(filter_image(array[tuple(taken)], spacing, filter)[inner])


def filter_reach(filter: FilterConfig, spacing: Spacing) -> tuple[int, int, int] | None:  # noqa: A002
    """Tell how far away a voxel can bear on a filter's response.

    Parameters
    ----------
    filter : MeanFilter, LogFilter, LawsFilter, GaborFilter, WaveletFilter, SimoncelliFilter, ShannonFilter or RieszFilter
        The filter and its settings.
    spacing : tuple of float
        Voxel size along z, y, x in mm.

    Returns
    -------
    tuple of int or None
        Distance along z, y, x in voxels; None where the whole image bears on every voxel.
    """
    if isinstance(filter, GaborFilter):
        return gabor.reach(filter, spacing)
    return separable.reach(filter, spacing) if isinstance(filter, MeanFilter | LogFilter | LawsFilter | WaveletFilter) else None


def filter_name(filter: FilterConfig) -> str:  # noqa: A002
    """Name the image that a filter makes, as in the names of its features.

    Parameters
    ----------
    filter : MeanFilter, LogFilter, LawsFilter, GaborFilter, WaveletFilter, SimoncelliFilter, ShannonFilter or RieszFilter
        The filter and its settings.

    Returns
    -------
    str
        The kind and its main settings; others where they are not the default. Filters that differ in what they give differ in their names.

    Examples
    --------
    >>> from sarcofuse.config.filters import LawsFilter, LogFilter
    >>> filter_name(LawsFilter(kernels="E5W5S5", energy={"delta": 7}))
    'laws-E5W5S5-max-energy7'
    >>> filter_name(LogFilter(sigma_mm=1.5, boundary="zero", dimensions=2))
    'log-1p5mm-zero-2D'
    """
    if isinstance(filter, RieszFilter):
        aligned = [] if filter.alignment_sigma_mm is None else [f"aligned{_number(filter.alignment_sigma_mm)}mm"]
        return "-".join(["riesz", "".join(map(str, filter.order)), *aligned, filter_name(filter.of)])
    parts = [filter.kind, *_main_settings(filter)]
    if filter.boundary != type(filter).model_fields["boundary"].default:
        parts.append(filter.boundary)
    if not isinstance(filter, GaborFilter) and filter.dimensions == 2:
        parts.append("2D")
    return "-".join(parts)


def _main_settings(settings: FilterConfig) -> list[str]:
    if isinstance(settings, MeanFilter):
        return [str(settings.size)]
    if isinstance(settings, LogFilter):
        return [f"{_number(settings.sigma_mm)}mm"] + [f"cut{_number(settings.cutoff)}"] * (settings.cutoff != 4)
    if isinstance(settings, GaborFilter):
        lengths = [f"s{_number(settings.sigma_mm)}", f"l{_number(settings.lambda_mm)}", f"g{_number(settings.gamma)}", f"t{_number(settings.theta)}"]
        steps = [] if settings.theta_step is None else [f"step{_number(settings.theta_step)}"]
        return [*lengths, *steps, *settings.planes, *[settings.pooling] * (bool(steps) or len(settings.planes) > 1)]
    if isinstance(settings, LawsFilter):
        energy = [] if settings.energy is None else [f"energy{settings.energy.delta}"]
        return [settings.kernels, *[settings.pooling] * settings.rotation_invariance, *energy]
    if isinstance(settings, WaveletFilter):
        return [settings.family, settings.band, str(settings.level), *[settings.pooling] * settings.rotation_invariance]
    if isinstance(settings, RieszFilter):
        return []
    return [str(settings.level), *["dft"] * (settings.frequencies == "dft")]


def _number(value: float) -> str:
    return str(value).removesuffix(".0").replace(".", "p")
