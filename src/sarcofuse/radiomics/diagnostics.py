"""What features were taken of: versions, hashes, grids, the region before and after each step, grey levels, settings; with PyRadiomics' names.

A column is called ``diagnostics_<what>_<which>``. Beyond PyRadiomics' own there is ``diagnostics_Levels_<image>``, the number of grey levels that occur in the region of every image.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib.metadata import version

import numpy as np
import SimpleITK as sitk

from sarcofuse.config import RadiomicsConfig

PREFIX = "diagnostics_"


class Diagnostics:
    """Collects what is worth knowing of a case while it is measured.

    Parameters
    ----------
    image : SimpleITK.Image
        The image as it was read.
    mask : SimpleITK.Image
        The mask as it was read.
    config : RadiomicsConfig
        The settings.
    """

    def __init__(self, image: sitk.Image, mask: sitk.Image, config: RadiomicsConfig) -> None:
        import pywt

        self.found: dict[str, object] = {}
        self._put("Versions_PyRadiomics", f"sarcofuse {version('sarcofuse')}")
        self._put("Versions_Numpy", np.__version__)
        self._put("Versions_SimpleITK", sitk.Version().VersionString())
        self._put("Versions_PyWavelet", pywt.__version__)
        self._put("Versions_Python", ".".join(map(str, sys.version_info[:3])))
        settings = config.model_dump(mode="json", exclude={"ibsi", "regions"} if config.dialect == "pyradiomics" else set())
        self._put("Configuration_Settings", {k: v for k, v in settings.items() if k not in ("original", "further_images", "image_settings")})
        self._put("Configuration_EnabledImageTypes", enabled(config))
        self._put("Image-original_Hash", sitk.Hash(image))
        self._put("Image-original_Dimensionality", f"{image.GetDimension()}D")
        self._image("original", image)
        if mask.GetNumberOfComponentsPerPixel() > 1:
            mask = sitk.VectorIndexSelectionCast(mask, config.label_channel)
        self._put("Mask-original_Hash", sitk.Hash(sitk.Cast(mask, sitk.sitkUInt32)))
        self._mask("original", mask == config.label)

    def step(self, name: str, image: sitk.Image, mask: sitk.Image) -> None:
        """Note image and mask after a step.

        Parameters
        ----------
        name : str
            ``corrected``, ``interpolated`` or ``resegmented``.
        image : SimpleITK.Image
            The image after it.
        mask : SimpleITK.Image
            The mask after it, 1 inside.
        """
        if name == "interpolated":
            self._image(name, image)
        self._mask(name, mask)
        own = sitk.GetArrayViewFromImage(image)[sitk.GetArrayViewFromImage(mask) == 1].astype(np.float64)
        for statistic, value in (("Mean", own.mean()), ("Minimum", own.min()), ("Maximum", own.max())) if len(own) else ():
            self._put(f"Mask-{name}_{statistic}", float(value))

    def levels(self, counts: Mapping[str, int]) -> None:
        """Note the number of grey levels of every image.

        Parameters
        ----------
        counts : mapping of str to int
            Levels that occur in the region, by image.
        """
        for image, count in counts.items():
            self._put(f"Levels_{image}", count)

    def _put(self, name: str, value: object) -> None:
        self.found[PREFIX + name] = value

    def _image(self, which: str, image: sitk.Image) -> None:
        values = sitk.GetArrayViewFromImage(image).astype(np.float64)
        self._put(f"Image-{which}_Spacing", image.GetSpacing())
        self._put(f"Image-{which}_Size", image.GetSize())
        for statistic, value in (("Mean", values.mean()), ("Minimum", values.min()), ("Maximum", values.max())):
            self._put(f"Image-{which}_{statistic}", float(value))

    def _mask(self, which: str, mask: sitk.Image) -> None:
        places = np.argwhere(sitk.GetArrayViewFromImage(mask) == 1)[:, ::-1]
        self._put(f"Mask-{which}_Spacing", mask.GetSpacing())
        self._put(f"Mask-{which}_Size", mask.GetSize())
        if not len(places):
            return
        low, centre = places.min(axis=0), tuple(places.mean(axis=0).tolist())
        parts = sitk.ConnectedComponentImageFilter()
        parts.FullyConnectedOn()
        parts.Execute(mask)
        self._put(f"Mask-{which}_BoundingBox", (*low.tolist(), *(places.max(axis=0) - low + 1).tolist()))
        self._put(f"Mask-{which}_VoxelNum", len(places))
        self._put(f"Mask-{which}_VolumeNum", parts.GetObjectCount())
        self._put(f"Mask-{which}_CenterOfMassIndex", centre)
        self._put(f"Mask-{which}_CenterOfMass", mask.TransformContinuousIndexToPhysicalPoint(centre))


def enabled(config: RadiomicsConfig) -> dict[str, dict[str, object]]:
    """Give the image types that are asked for, as PyRadiomics writes them.

    Parameters
    ----------
    config : RadiomicsConfig
        The settings.

    Returns
    -------
    dict
        Settings of its own by image type.
    """
    from sarcofuse.radiomics.settings import IMAGE_TYPES

    found: dict[str, dict[str, object]] = {"Original": {}} if config.original else {}
    if config.log_sigma:
        found["LoG"] = {"sigma": list(config.log_sigma)}
    if config.wavelet is not None:
        found["Wavelet"] = {"wavelet": config.wavelet, "level": config.wavelet_level, "start_level": config.wavelet_start}
    titles = {kind: title for title, kind in IMAGE_TYPES.items()}
    found |= {titles[kind]: {} for kind in config.further_images}
    return {title: own | config.image_settings.get(IMAGE_TYPES[title], {}) for title, own in found.items()}  # type: ignore[call-overload]
