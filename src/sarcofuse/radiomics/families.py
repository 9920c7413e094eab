"""Feature classes that are computed on every image: one entry in `FAMILIES` each.

The kernels are imported when they are first needed, as importing numba takes a while.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sarcofuse.config import RadiomicsConfig
from sarcofuse.config.radiomics import FeatureClass
from sarcofuse.radiomics.region import Discretised


@dataclass(frozen=True)
class Measured:
    """One image of a region, ready to be measured.

    Attributes
    ----------
    values : ndarray of float64, shape (voxels,)
        Intensities in raster order.
    image : Discretised
        Their grey levels.
    config : RadiomicsConfig
        Settings that hold for this image.
    """

    values: NDArray[np.float64]
    image: Discretised
    config: RadiomicsConfig

    @cached_property
    def neighbourhood(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Dependence counts and differences from the neighbours' mean, which GLDM and NGTDM share."""
        from sarcofuse.radiomics import emphasis

        return emphasis.neighbourhood(self.image, self.config)


def _firstorder(measured: Measured) -> dict[str, float]:
    from sarcofuse.radiomics import firstorder

    return firstorder.compute(measured.values, measured.image, measured.config)


def _glcm(measured: Measured) -> dict[str, float]:
    from sarcofuse.radiomics import glcm

    return glcm.compute(measured.image, measured.config)


def _glrlm(measured: Measured) -> dict[str, float]:
    from sarcofuse.radiomics import emphasis

    return emphasis.compute_runs(measured.image, measured.config)


def _glszm(measured: Measured) -> dict[str, float]:
    from sarcofuse.radiomics import emphasis

    return emphasis.compute_zones(measured.image, measured.config)


def _gldm(measured: Measured) -> dict[str, float]:
    from sarcofuse.radiomics import emphasis

    return emphasis.compute_dependences(measured.image, measured.neighbourhood[0])


def _ngtdm(measured: Measured) -> dict[str, float]:
    from sarcofuse.radiomics import emphasis

    return emphasis.compute_tones(measured.image, measured.neighbourhood[1])


FAMILIES: dict[FeatureClass, Callable[[Measured], dict[str, float]]] = {
    "firstorder": _firstorder,
    "glcm": _glcm,
    "glrlm": _glrlm,
    "glszm": _glszm,
    "gldm": _gldm,
    "ngtdm": _ngtdm,
}
