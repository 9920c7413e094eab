"""Image types: what features are taken of besides the image itself.

An image type is one entry in `IMAGE_TYPES`: a function from settings to the names of its images, and one that computes them within the region's bounding box.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from typing import NamedTuple, get_args

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from sarcofuse.config import RadiomicsConfig
from sarcofuse.config.radiomics import FurtherImage, ImageType
from sarcofuse.radiomics.laplacian import laplacian_of_gaussian
from sarcofuse.radiomics.prepare import Box, Prepared

Images = Iterator[NDArray[np.generic] | None]


class Filter(NamedTuple):
    """An image type.

    Attributes
    ----------
    names : callable
        Gives the names of the type's images for the settings; none where it is not asked for.
    images : callable
        Gives the images in that order, each within the region's bounding box; None for one that is not defined.
    """

    names: Callable[[RadiomicsConfig], list[str]]
    images: Callable[[Prepared, RadiomicsConfig], Images]


def image_names(config: RadiomicsConfig) -> list[tuple[ImageType, str]]:
    """List the images that the settings ask for.

    Parameters
    ----------
    config : RadiomicsConfig
        The settings.

    Returns
    -------
    list of (type, name)
        In the order in which features are given.
    """
    return [(kind, name) for kind, entry in IMAGE_TYPES.items() for name in entry.names(config.for_image(kind))]


def filtered(prepared: Prepared, config: RadiomicsConfig) -> Iterator[tuple[ImageType, str, NDArray[np.generic] | None]]:
    """Compute the images that the settings ask for, one at a time.

    Parameters
    ----------
    prepared : Prepared
        Image and region.
    config : RadiomicsConfig
        The settings.

    Yields
    ------
    kind : str
        Image type.
    name : str
        Name of the image, as in the names of its features.
    values : ndarray or None
        The image within the region's bounding box; None where the filter is not defined on this image.
    """
    for kind, entry in IMAGE_TYPES.items():
        own = config.for_image(kind)
        names = entry.names(own)
        if names:
            for name, values in zip(names, entry.images(prepared, own), strict=True):
                yield kind, name, values


def _original(prepared: Prepared, _config: RadiomicsConfig) -> Images:
    yield _within(prepared.image, prepared.box)


def _within(image: sitk.Image, box: Box) -> NDArray[np.generic]:
    return np.ascontiguousarray(sitk.GetArrayViewFromImage(image)[box]).copy()


def _log_names(config: RadiomicsConfig) -> list[str]:
    return [f"log-sigma-{str(sigma).replace('.', '-')}-mm-3D" for sigma in config.log_sigma]


def _log(prepared: Prepared, config: RadiomicsConfig) -> Images:
    size, spacing = np.array(prepared.image.GetSize()), np.array(prepared.image.GetSpacing())
    for sigma in config.log_sigma:
        if size.min() < 4 or (size < np.ceil(sigma / spacing) + 1).any():
            yield None
        else:
            yield laplacian_of_gaussian(sitk.GetArrayViewFromImage(prepared.image), prepared.box, prepared.spacing, float(sigma))


def _wavelet_names(config: RadiomicsConfig) -> list[str]:
    if config.wavelet is None:
        return []
    bands = ["".join(b) for b in product("LH", repeat=2 if config.force2D else 3)]
    found = [f"wavelet{level if level > 1 else ''}-{band}" for level in range(1, config.wavelet_level + 1) for band in bands[1:]]
    return [*found, f"wavelet{config.wavelet_level if config.wavelet_level > 1 else ''}-{bands[0]}"]


def _wavelet(prepared: Prepared, config: RadiomicsConfig) -> Images:
    if config.wavelet is not None:
        from sarcofuse.radiomics.wavelets import sub_bands

        levels = range(config.wavelet_start, config.wavelet_start + config.wavelet_level)
        yield from sub_bands(sitk.GetArrayViewFromImage(prepared.image), prepared.box, config.wavelet, levels, config.flat_axis)


def _square(values: NDArray[np.float64]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = (1.0 / np.sqrt(np.abs(values).max()) * values) ** 2
    return found


def _squareroot(values: NDArray[np.float64]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = np.sign(values) * np.sqrt(np.abs(values) * np.abs(values).max())
    return found


def _logarithm(values: NDArray[np.float64]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = np.sign(values) * np.log(np.abs(values) + 1.0)
    found *= np.abs(values).max() / np.abs(found).max()
    return found


def _exponential(values: NDArray[np.float64]) -> NDArray[np.float64]:
    largest = np.abs(values).max()
    found: NDArray[np.float64] = np.exp(np.log(largest) / largest * values)
    return found


POINTWISE: dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "square": _square,
    "squareroot": _squareroot,
    "logarithm": _logarithm,
    "exponential": _exponential,
}


def _bank_names(config: RadiomicsConfig) -> list[str]:
    from sarcofuse.radiomics.filterbank import filter_name

    return [filter_name(one) for one in config.filters]


def _bank(prepared: Prepared, config: RadiomicsConfig) -> Images:
    from sarcofuse.radiomics.filterbank import filter_box

    for one in config.filters:
        yield filter_box(sitk.GetArrayViewFromImage(prepared.image), prepared.spacing, one, prepared.box)


def _lbp2d(prepared: Prepared, config: RadiomicsConfig) -> Images:
    from sarcofuse.radiomics import lbp

    yield lbp.in_plane(sitk.GetArrayViewFromImage(prepared.image), prepared.box, config)


def _lbp3d_names(config: RadiomicsConfig) -> list[str]:
    return [f"lbp-3D-{part}" for part in (*(f"m{level + 1}" for level in range(config.lbp3DLevels)), "k")] if "lbp3d" in config.further_images else []


def _lbp3d(prepared: Prepared, config: RadiomicsConfig) -> Images:
    from sarcofuse.radiomics import lbp

    yield from lbp.in_space(sitk.GetArrayViewFromImage(prepared.image), prepared.box, prepared.inside, config)


def _further(kind: FurtherImage) -> Filter:
    def images(prepared: Prepared, config: RadiomicsConfig) -> Images:
        if kind == "gradient":
            yield _within(sitk.GradientMagnitude(prepared.image, config.gradientUseSpacing), prepared.box)
            return
        whole = sitk.GetArrayFromImage(prepared.image).astype(np.float64)
        yield POINTWISE[kind](whole)[prepared.box] if np.any(whole) else None

    return Filter(lambda config: [kind] * (kind in config.further_images), images)


IMAGE_TYPES: dict[ImageType, Filter] = {
    "original": Filter(lambda config: ["original"] * config.original, _original),
    "log": Filter(_log_names, _log),
    "wavelet": Filter(_wavelet_names, _wavelet),
    **{kind: _further(kind) for kind in get_args(FurtherImage) if not kind.startswith("lbp")},
    "lbp2d": Filter(lambda config: ["lbp-2D"] * ("lbp2d" in config.further_images), _lbp2d),
    "lbp3d": Filter(_lbp3d_names, _lbp3d),
    "filter": Filter(_bank_names, _bank),
}
