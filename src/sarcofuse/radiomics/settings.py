"""Settings from PyRadiomics' parameter files."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import ValidationError

from sarcofuse.config import RadiomicsConfig
from sarcofuse.config.radiomics import PER_IMAGE, FeatureClass
from sarcofuse.errors import ConfigError

PARTS = ("imageType", "featureClass", "setting")
IMAGE_TYPES = {
    "Original": "original",
    "LoG": "log",
    "Wavelet": "wavelet",
    "Square": "square",
    "SquareRoot": "squareroot",
    "Logarithm": "logarithm",
    "Exponential": "exponential",
    "Gradient": "gradient",
    "LBP2D": "lbp2d",
    "LBP3D": "lbp3d",
}
FILTER_SETTINGS = {
    "log": {"sigma": "log_sigma"},
    "wavelet": {"wavelet": "wavelet", "level": "wavelet_level", "start_level": "wavelet_start"},
    "gradient": {"gradientUseSpacing": "gradientUseSpacing"},
    "lbp2d": {name: name for name in ("lbp2DRadius", "lbp2DSamples", "lbp2DMethod")},
    "lbp3d": {name: name for name in ("lbp3DLevels", "lbp3DIcosphereRadius", "lbp3DIcosphereSubdivision")},
}
# A setting of older PyRadiomics that changes no value: which of its two implementations runs.
NO_EFFECT = ("enableCExtensions",)
INTERPOLATORS = (
    "sitkNearestNeighbor",
    "sitkLinear",
    "sitkBSpline",
    "sitkGaussian",
    "sitkLabelGaussian",
    "sitkHammingWindowedSinc",
    "sitkCosineWindowedSinc",
    "sitkWelchWindowedSinc",
    "sitkLanczosWindowedSinc",
    "sitkBlackmanWindowedSinc",
)
OWN = ("classes", "features", "original", "log_sigma", "wavelet", "wavelet_level", "wavelet_start", "further_images", "image_settings")
VALUES = tuple(name for name in RadiomicsConfig.model_fields if name not in OWN)


def read_settings(source: RadiomicsConfig | Mapping[str, object] | Path | str | None) -> RadiomicsConfig:
    """Give settings, from wherever they come.

    Parameters
    ----------
    source : RadiomicsConfig, mapping, path or None
        Settings as they are; a mapping of their fields; a mapping as in PyRadiomics' parameter files (`imageType`, `featureClass`, `setting`); the path of such a
        file (YAML or JSON); None for the defaults.

    Returns
    -------
    RadiomicsConfig
        The settings.

    Raises
    ------
    ConfigError
        If the file cannot be read, or a setting is unknown or out of range.
    """
    if source is None:
        return RadiomicsConfig()
    if isinstance(source, RadiomicsConfig):
        return source
    where = "settings"
    if isinstance(source, Path | str):
        where = Path(source).name
        source = _read(Path(source))
    content = dict(source)
    if set(content) & set(PARTS) or not content:
        content = _translate(content, where)
    else:
        _refuse(content, (*RadiomicsConfig.model_fields, *NO_EFFECT), where)
        content = {k: v for k, v in content.items() if k not in NO_EFFECT}
    try:
        return RadiomicsConfig.model_validate(content)
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, e['loc'])) or 'settings'}: {e['msg']}" + (f", found {e['input']!r}" if e["loc"] else "") for e in error.errors()]
        message = f"{where}: " + "; ".join(lines)
        raise ConfigError(message) from error


def _read(file: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(file.read_text(encoding="utf8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        message = f"settings file {file} cannot be read: {error}"
        raise ConfigError(message) from error
    if isinstance(content, dict) and "dialect" in content and not set(content) & set(PARTS):
        return content  # our own fields
    if not isinstance(content, dict) or not all(isinstance(v, dict | None) for v in content.values()):
        message = f"settings file {file.name} must hold the mappings {', '.join(PARTS)}; found {content!r:.80}"
        raise ConfigError(message)
    if not set(content) & set(PARTS):
        message = f"settings file {file.name} holds none of {', '.join(PARTS)}; found {', '.join(map(str, content))}"
        raise ConfigError(message)
    return content


def _translate(content: dict[str, Any], where: str) -> dict[str, Any]:
    """Turn PyRadiomics' three parts into our fields."""
    if "voxelSetting" in content:
        message = f"{where}: voxelSetting asks for maps of features voxel by voxel, which are not computed here; take that part out for features of the whole region"
        raise ConfigError(message)
    _refuse(content, PARTS, where)
    setting = dict(content.get("setting") or {})
    _refuse(setting, (*VALUES, *NO_EFFECT, *_filter_names()), where)
    if isinstance(setting.get("interpolator"), int):
        setting["interpolator"] = _interpolator_name(setting["interpolator"], where)
    found = {k: v for k, v in setting.items() if k in VALUES and not (v is None and k == "geometryTolerance")}
    filters = {k: v for k, v in setting.items() if k in _filter_names()}
    classes = content.get("featureClass") or dict.fromkeys(c for c in get_args(FeatureClass) if c != "shape2D")
    _refuse(classes, get_args(FeatureClass), where)
    found |= {"classes": tuple(classes), "features": {c: tuple(names) for c, names in classes.items() if names}}
    images = content.get("imageType") or {"Original": {}}
    _refuse(images, tuple(IMAGE_TYPES), where)
    found |= {"original": "Original" in images, "log_sigma": (), "wavelet": None, "further_images": (), "image_settings": {}}
    for title, given in images.items():
        kind, own = IMAGE_TYPES[title], filters | dict(given or {})
        names = FILTER_SETTINGS.get(kind, {})
        _refuse(dict(given or {}), (*names, *PER_IMAGE), f"{where}, imageType {title}")
        found |= {field: own[name] for name, field in names.items() if name in own}
        if kind == "wavelet":
            found["wavelet"] = own.get("wavelet", "coif1")
        elif kind not in ("original", "log"):
            found["further_images"] = (*found["further_images"], kind)
        differing = {k: v for k, v in (given or {}).items() if k in PER_IMAGE}
        if differing:
            found["image_settings"][kind] = differing
    return found


def _interpolator_name(number: int, where: str) -> str:
    """Give the name of an interpolator that is named by SimpleITK's number, as PyRadiomics allows."""
    import SimpleITK as sitk

    named = [name for name in INTERPOLATORS if getattr(sitk, name) == number]
    if not named:
        message = f"{where}: interpolator {number} is not known to SimpleITK; expected a name such as sitkBSpline"
        raise ConfigError(message)
    return named[0]


def _filter_names() -> tuple[str, ...]:
    return tuple(name for names in FILTER_SETTINGS.values() for name in names)


def _refuse(given: Mapping[str, object], known: tuple[str, ...], where: str) -> None:
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, n=1)
            message = f"{where}: {name} is not a setting that is known here" + (f"; did you mean {near[0]}?" if near else f"; expected one of {', '.join(known)}")
            raise ConfigError(message)
