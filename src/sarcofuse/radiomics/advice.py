"""Advice on settings: what resampling, and which bins for each image type, fit a cohort.

References
----------
.. [1] Tixier F et al. Reproducibility of tumor uptake heterogeneity characterization through textural feature analysis in 18F-FDG PET. J Nucl Med 2012;53:693-700.
.. [2] Duron L et al. Gray-level discretization impacts reproducible MRI radiomics texture features. PLoS One 2019;14:e0213459.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sarcofuse.config import RadiomicsConfig
from sarcofuse.errors import CaseError, ConfigError, StageError
from sarcofuse.radiomics.cohort import masks_of
from sarcofuse.radiomics.diagnostics import enabled
from sarcofuse.radiomics.filters import filtered
from sarcofuse.radiomics.prepare import prepare
from sarcofuse.radiomics.settings import read_settings
from sarcofuse.radiomics.stage import BARE, STAGE, read_case
from sarcofuse.records import Patient, SetAside
from sarcofuse.runtime import Engine, Task, digest, digest_file, read_json, single_thread, write_json

FEWEST, WANTED, MOST = 16, 64, 128  # grey levels: texture of fewer is blurred, of more is noise in regions of ordinary size
ALIKE = 0.02  # spacings that differ by less than this share are one spacing
FLAT = 2.0  # slices thicker than this many in-plane spacings: neighbours across them are other tissue
SMALL = 200  # voxels; a GLCM of 64 levels has 4,096 cells
RESULT = "look.json"
# Fields that a parameter file holds outside its part setting, or not at all.
ELSEWHERE = ("dialect", "classes", "features", "image_settings", "ibsi", "regions", "original", "log_sigma", "wavelet", "wavelet_level", "wavelet_start", "further_images", "additionalInfo")


@dataclass(frozen=True, slots=True)
class Levels:
    """Grey levels of one image over a cohort.

    Attributes
    ----------
    kind, image : str
        Image type and name of the image.
    present, proposed : tuple of int
        Fewest, median and most levels of any patient, with the settings as they are and as proposed; noughts where those settings have no such image.
    """

    kind: str
    image: str
    present: tuple[int, int, int]
    proposed: tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Advice:
    """What is proposed for a cohort, and why.

    Attributes
    ----------
    settings : dict
        A parameter file: imageType, featureClass, setting.
    reasons : tuple of str
        One sentence a proposal.
    levels : tuple of Levels
        A row an image.
    patients : int
        How many were looked at.
    set_aside : tuple of SetAside
        Who could not be, with reasons.
    """

    settings: dict[str, Any]
    reasons: tuple[str, ...]
    levels: tuple[Levels, ...]
    patients: int
    set_aside: tuple[SetAside, ...]

    def to_yaml(self) -> str:
        """Give the settings as a parameter file, with the reasons as comments.

        Returns
        -------
        str
            YAML that `sarcofuse radiomics --settings` and PyRadiomics read.
        """
        import yaml

        head = "\n".join(f"# {line}" for line in (f"Proposed from {self.patients} patients.", *self.reasons))
        return f"{head}\n{yaml.safe_dump(self.settings, sort_keys=False)}"

    def to_text(self) -> str:
        """Give the reasons and a table of grey levels.

        Returns
        -------
        str
            For a terminal.
        """
        rows = [f"{'image':<26}{'levels now':>20}{'levels proposed':>22}", *(f"{r.image:<26}{_span(r.present):>20}{_span(r.proposed):>22}" for r in self.levels)]
        return "\n".join([*(f"- {reason}" for reason in self.reasons), "", "Grey levels: fewest, median, most of any patient", *rows])

    def to_svg(self) -> str:
        """Draw the grey levels of every image, now and as proposed.

        Returns
        -------
        str
            A picture that needs no other file.
        """
        return _draw(self)


def advise(patients: Sequence[Patient], settings: RadiomicsConfig | Mapping[str, object] | Path | str | None, engine: Engine, *, folder: Path | None = None) -> Advice:
    """Look at a cohort and propose resampling, normalisation, and bin widths or counts for each image type.

    Only intensities and grids are looked at, never outcomes; still, settings belong to the training patients alone: leave test patients out of the table.

    Parameters
    ----------
    patients : sequence of Patient
        With images and masks; the first mask of each is looked at.
    settings : RadiomicsConfig, mapping, path or None
        Where to start from: image types and feature classes stay.
    engine : Engine
        Runs the work.
    folder : Path, optional
        What relative paths of masks are meant from.

    Returns
    -------
    Advice
        Settings, reasons, numbers of grey levels.

    Raises
    ------
    StageError
        If no patient can be looked at.
    ConfigError
        If a setting is unknown or out of range, or the dialect is not `pyradiomics`.
    """
    config = read_settings(settings)
    if config.dialect != "pyradiomics":
        message = f"advice is for the dialect pyradiomics, found {config.dialect}; there, discretisation FBN with bin_count {WANTED // 2} needs none"
        raise ConfigError(message)
    first, aside = _look_at(patients, config, engine, folder)
    if not first:
        message = f"no patient of {len(patients)} can be looked at; the first: {aside[0].patient_id}: {aside[0].reason}" if aside else "there is no patient to look at"
        raise StageError(message)
    changes, reasons = _resampling(first)
    more, why = _normalisation(first, config)
    better = config.model_copy(update={**changes, **more})
    second, _ = _look_at(patients, better, engine, folder)
    second = second or first
    proposed, because = _bins(second, better)
    after = better.model_copy(update={"image_settings": proposed, "binCount": None})
    levels = tuple(
        Levels(kind, image, _levels(first, image, config.for_image(kind)), _levels(second, image, after.for_image(kind))) for kind, image in _images(second)  # type: ignore[arg-type]
    )
    return Advice(_file(after, {**changes, **more}), (*reasons, *why, *because, *_sizes(second)), levels, len(first), tuple(aside))


def _look_at(patients: Sequence[Patient], config: RadiomicsConfig, engine: Engine, folder: Path | None) -> tuple[list[dict[str, Any]], list[SetAside]]:
    tasks, aside = [], []
    for p in patients:
        masks = masks_of(p, folder)
        absent = [f for f in (p.image, *masks[:1]) if f is not None and not f.exists()]
        if p.image is None or not masks or absent:
            aside.append(SetAside(p.patient_id, STAGE, f"{absent[0].name}: file does not exist" if absent else BARE))
        else:
            tasks.append(Task(p.patient_id, digest("advice 1", config, digest_file(p.image), digest_file(masks[0]), p.patient_id), (p.image, masks[0], config, p.patient_id)))
    done, failed = engine.run("advice", look, tasks)
    return [read_json(e.folder / RESULT) for e in done], [*aside, *failed]


def look(folder: Path, image: Path, mask: Path, config: RadiomicsConfig, patient_id: str) -> None:
    """Note a patient's grid, region and the range of every image: an engine task.

    Parameters
    ----------
    folder : Path
        Where to write.
    image, mask : Path
        Files.
    config : RadiomicsConfig
        The settings.
    patient_id : str
        Whom it concerns.
    """
    try:
        picture, region = read_case(image, mask, patient_id)
        with single_thread():
            prepared = prepare(picture, region, config, patient_id)
            own = {}
            for kind, name, values in filtered(prepared, config):
                inside = None if values is None else values[prepared.inside].astype(np.float64)
                if inside is not None and np.isfinite(inside).all():
                    own[name] = [kind, float(inside.min()), float(inside.max()), float(np.median(inside))]
    except CaseError as error:
        error.file = error.file or image
        raise
    found = {"patient_id": patient_id, "spacing": list(picture.GetSpacing()), "voxels": int(prepared.inside.sum()), "slices": int(prepared.inside.shape[0]), "images": own}
    write_json(found, folder / RESULT)


def _resampling(looks: list[dict[str, Any]]) -> tuple[dict[str, Any], list[str]]:
    spacings = np.array([x["spacing"] for x in looks])
    plane, across = spacings[:, :2].mean(axis=1), spacings[:, 2]
    step = _nice(statistics.median(plane.tolist()))
    alike = _differ(plane) < ALIKE and _differ(across) < ALIKE
    ratio = statistics.median((across / plane).tolist())
    told = f"spacing in the plane runs from {plane.min():.3g} to {plane.max():.3g} mm, across slices from {across.min():.3g} to {across.max():.3g} mm"
    if alike and ratio <= 1.0 + ALIKE:
        return {}, [f"No resampling: {told}, one isotropic grid."]
    if ratio > FLAT:
        kept = 0.0 if _differ(across) < 0.2 else _nice(statistics.median(across.tolist()))
        grid = "slices keep their spacing" if kept == 0.0 else f"slices are brought to {kept:g} mm, as their spacing differs between patients"
        reason = f"Resample to {step:g} mm in the plane, texture within slices (force2D): {told}; a slice is {ratio:.2g} times as thick as a voxel is wide, so {grid}."
        return {"resampledPixelSpacing": None if alike else (step, step, kept), "force2D": True}, [reason if not alike else f"No resampling, texture within slices (force2D): {told}."]
    cube = _nice(max(step, statistics.median(across.tolist())))
    return {"resampledPixelSpacing": (cube, cube, cube)}, [f"Resample to {cube:g} mm along every axis: {told}; texture needs one spacing for all patients and directions."]


def _normalisation(looks: list[dict[str, Any]], config: RadiomicsConfig) -> tuple[dict[str, Any], list[str]]:
    """Propose normalisation where intensities have no unit of their own."""
    seen = [x["images"]["original"] for x in looks if "original" in x["images"]]
    if config.normalize or not seen:
        return {}, []
    lowest, middles = min(s[1] for s in seen), [abs(s[3]) for s in seen]
    if lowest < -100:
        return {}, [f"No normalisation: intensities reach down to {lowest:.4g}, so they seem to have a unit (CT)."]
    ratio = max(middles) / max(min(middles), 1e-9)
    if len(seen) < 2 or ratio < 1.5:
        return {}, [f"No normalisation: median intensities of the regions differ by a factor of {ratio:.3g} at most."]
    reason = f"Normalise (deviation 100): median intensities of the regions differ by a factor of {ratio:.3g} between patients, as of a scale without a unit."
    return {"normalize": True, "normalizeScale": 100.0}, [reason]


def _bins(looks: list[dict[str, Any]], config: RadiomicsConfig) -> tuple[dict[str, dict[str, Any]], list[str]]:
    proposed: dict[str, dict[str, Any]] = {}
    reasons = []
    for kind in dict.fromkeys(kind for kind, _ in _images(looks)):
        ranges = [high - low for x in looks for k, low, high, _ in x["images"].values() if k == kind and high > low]
        if not ranges:
            continue
        width = _nice(statistics.median(ranges) / WANTED)
        few, most = (max(1, round(r / width)) for r in (min(ranges), max(ranges)))
        if kind in ("lbp2d", "lbp3d"):
            proposed[kind] = {"binWidth": 1.0 if kind == "lbp2d" else width}
            reasons.append(f"{kind}: bin width {proposed[kind]['binWidth']:g}, as patterns are numbers of a short list.")
        elif few >= FEWEST / 2 and most <= 2 * MOST:
            proposed[kind] = {"binWidth": width}
            reasons.append(f"{kind}: bin width {width:g} gives {few} to {most} levels over all patients and images of this type, about {WANTED} in the middle.")
        else:
            proposed[kind] = {"binCount": WANTED // 2}
            reasons.append(f"{kind}: {WANTED // 2} bins for each region, as one width ({width:g}) would give anything from {few} to {most} levels.")
    now = config.binWidth
    if config.binCount is None and config.image_settings == {} and looks:
        every = [_count(low, high, now) for x in looks for _, low, high, _ in x["images"].values()]
        reasons.append(f"One bin width of {now:g} for all of these images would give {min(every)} to {max(every)} levels.")
    return proposed, reasons


def _sizes(looks: list[dict[str, Any]]) -> list[str]:
    voxels = [x["voxels"] for x in looks]
    small = [x["patient_id"] for x in looks if x["voxels"] < SMALL]
    told = f"Regions have {min(voxels):,} to {max(voxels):,} voxels (median {statistics.median(voxels):,.0f}) after resampling"
    return [f"{told}." if not small else f"{told}; {len(small)} have fewer than {SMALL}, too few for texture: {', '.join(small[:8])}."]


def _images(looks: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return list(dict.fromkeys((own[0], name) for x in looks for name, own in x["images"].items()))


def _levels(looks: list[dict[str, Any]], image: str, config: RadiomicsConfig) -> tuple[int, int, int]:
    own = [x["images"][image] for x in looks if image in x["images"]]
    counts = [config.binCount if config.binCount is not None else _count(low, high, config.binWidth) for _, low, high, _ in own] or [0]
    return min(counts), int(statistics.median(counts)), max(counts)


def _count(low: float, high: float, width: float) -> int:
    return math.floor(high / width) - math.floor(low / width) + 1


def _nice(value: float) -> float:
    """Round to 1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6 or 8 times a power of ten, whichever is nearest by ratio."""
    power = 10.0 ** math.floor(math.log10(value))
    steps = (1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)
    return float(f"{min(steps, key=lambda s: abs(math.log(s * power / value))) * power:.6g}")


def _differ(values: np.ndarray[Any, np.dtype[np.float64]]) -> float:
    return float((values.max() - values.min()) / np.median(values))


def _span(levels: tuple[int, int, int]) -> str:
    return ", ".join(map(str, levels)) if levels[2] else ""


def _file(config: RadiomicsConfig, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Give settings as a parameter file: what differs from PyRadiomics' defaults."""
    plain = RadiomicsConfig().model_dump(mode="json")
    kept = {k: v for k, v in config.model_dump(mode="json").items() if k not in ELSEWHERE and v != plain[k]}
    kept |= {k: list(v) if isinstance(v, tuple) else v for k, v in changes.items() if v is not None}
    return {"imageType": enabled(config), "featureClass": {c: list(config.features.get(c, ())) for c in config.classes}, "setting": {**kept, "binWidth": config.binWidth}}


def _draw(advice: Advice) -> str:
    row, left, wide = 18, 200, 420
    top = max([MOST * 4, *(r.present[2] for r in advice.levels), *(r.proposed[2] for r in advice.levels)])
    height = 70 + row * len(advice.levels)

    def place(levels: float) -> float:
        return left + wide * math.log2(max(levels, 1)) / math.log2(top)

    def text(x: float, y: float, words: str, anchor: str = "start") -> str:
        return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{words}</text>'

    parts = [f'<rect x="{place(FEWEST):.1f}" y="36" width="{place(MOST) - place(FEWEST):.1f}" height="{row * len(advice.levels) + 6}" fill="#e6f0e6"/>']
    parts += [text(place(n), 32, str(n), "middle") for n in (1, 4, 16, 64, 256, 1024, 4096) if n <= top]
    for k, r in enumerate(advice.levels):
        y = 50 + row * k
        parts.append(text(left - 8, y + 4, r.image, "end"))
        for levels, shift, colour in ((r.present, -3, "#b06000"), (r.proposed, 3, "#205090")):
            if not levels[2]:
                continue  # an image that the other settings do not have
            low, middle, high = (place(n) for n in levels)
            parts.append(f'<line x1="{low:.1f}" x2="{max(high, low + 1):.1f}" y1="{y + shift}" y2="{y + shift}" stroke="{colour}" stroke-width="3"/>')
            parts.append(f'<circle cx="{middle:.1f}" cy="{y + shift}" r="3.5" fill="{colour}"/>')
    foot = f"Grey levels of {advice.patients} patients: fewest, median, most. Brown: now; blue: as proposed; green: {FEWEST} to {MOST}."
    parts += [text(8, 16, foot)]
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + wide + 30}" height="{height}" font-family="sans-serif" font-size="11">'
    return f'{head}<rect width="100%" height="100%" fill="white"/>{"".join(parts)}</svg>\n'
