"""The radiomics stage: features of all cases, in parallel, and of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sarcofuse.config import RadiomicsConfig
from sarcofuse.errors import CaseError, MaskError
from sarcofuse.radiomics.compute import compute_features, feature_names, measure
from sarcofuse.radiomics.diagnostics import Diagnostics
from sarcofuse.radiomics.settings import read_settings
from sarcofuse.records import Case, FeatureTable, Mask, Patient, SetAside, Volume
from sarcofuse.runtime import Engine, Entry, Task, digest, digest_file, read_json, write_json

if TYPE_CHECKING:
    import SimpleITK as sitk

STAGE = "radiomics"
VERSION = "radiomics 3"  # raise it when any value changes
RESULT = "features.json"
NOTES, LEVELS = "diagnostics.json", "levels.json"
BARE = "has no mask; expected one, drawn or by the segmentation model"


def extract(cases: Sequence[Case], config: RadiomicsConfig, engine: Engine) -> tuple[FeatureTable, list[SetAside]]:
    """Compute the radiomic features of every case within its mask.

    Parameters
    ----------
    cases : sequence of Case
        Prepared images and masks.
    config : RadiomicsConfig
        The settings; `label` is not used, as prepared masks hold 1.
    engine : Engine
        Runs the work, one task a case.

    Returns
    -------
    table : FeatureTable
        Block ``radiomic``: a row a case that could be measured, in the order given; NaN where a feature is not defined.
    set_aside : list of SetAside
        Cases that could not, with reasons.
    """
    config = config.model_copy(update={"label": 1})
    bare = [SetAside(c.patient_id, STAGE, BARE) for c in cases if c.mask is None]
    table, failed = _measure_all(_tasks(cases, config), config, engine)
    return table, bare + failed


def grey_levels(cases: Sequence[Case], config: RadiomicsConfig, engine: Engine) -> dict[str, list[int]]:
    """Give the number of grey levels that occur in each case's region, of cases that `extract` has measured with the same settings and engine.

    Parameters
    ----------
    cases : sequence of Case
        Prepared images and masks.
    config : RadiomicsConfig
        The settings.
    engine : Engine
        Holds the results.

    Returns
    -------
    dict of str to list of int
        By image, in the order of the cases; those that could not be measured are left out.
    """
    places = [engine.cache / STAGE / t.key / LEVELS for t in _tasks(cases, config.model_copy(update={"label": 1}))]
    return gather_levels([read_json(p) for p in places if p.exists()])


def gather_levels(counts: Sequence[Mapping[str, int]]) -> dict[str, list[int]]:
    """Turn numbers of grey levels by case into numbers by image.

    Parameters
    ----------
    counts : sequence of mapping of str to int
        Number by image, a mapping a case.

    Returns
    -------
    dict of str to list of int
        Numbers by image; a case whose image is not defined is left out there.
    """
    images = dict.fromkeys(image for one in counts for image in one)
    return {image: [one[image] for one in counts if image in one] for image in images}


def _tasks(cases: Sequence[Case], config: RadiomicsConfig) -> list[Task]:
    return [Task(c.patient_id, digest(VERSION, config, c.image_digest, c.mask_digest), (c.image, c.mask, config, c.patient_id)) for c in cases if c.mask is not None]


def extract_many(patients: Sequence[Patient], settings: RadiomicsConfig | Mapping[str, object] | Path | str | None, engine: Engine) -> tuple[FeatureTable, list[SetAside]]:
    """Compute the radiomic features of many patients straight from their files, without the preprocessing of a study.

    Parameters
    ----------
    patients : sequence of Patient
        With images and masks.
    settings : RadiomicsConfig, mapping, path or None
        Settings, their fields, or a parameter file of PyRadiomics; None for the defaults.
    engine : Engine
        Runs the work, one task a patient.

    Returns
    -------
    table : FeatureTable
        Block ``radiomic``: a row a patient that could be measured, in the order given; NaN where a feature is not defined.
    set_aside : list of SetAside
        Patients that could not, with reasons.

    Raises
    ------
    ConfigError
        If a setting is unknown or out of range.
    """
    config = read_settings(settings)
    aside, tasks = [], []
    for p in patients:
        absent = [f for f in (p.image, p.mask) if f is not None and not f.exists()]
        if p.image is None or p.mask is None or absent:
            aside.append(SetAside(p.patient_id, STAGE, f"{absent[0].name}: file does not exist" if absent else BARE))
        else:
            tasks.append(Task(p.patient_id, digest(VERSION, config, digest_file(p.image), digest_file(p.mask), p.patient_id), (p.image, p.mask, config, p.patient_id)))
    table, failed = _measure_all(tasks, config, engine)
    return table, aside + failed


def _measure_all(tasks: Sequence[Task], config: RadiomicsConfig, engine: Engine) -> tuple[FeatureTable, list[SetAside]]:
    names = feature_names(config)
    if any(not (engine.cache / STAGE / t.key).is_dir() for t in tasks):
        compile_kernels(config.dialect)
    done, failed = engine.run(STAGE, measure_case, tasks)
    table = FeatureTable("radiomic", tuple(e.patient_id for e in done), names, np.array([values_of(e, names) for e in done], dtype=np.float64).reshape(len(done), len(names)))
    return table, failed


def extract_radiomics(image: Volume | Path | str, mask: Mask | Path | str, settings: RadiomicsConfig | Mapping[str, object] | Path | str | None = None, *, name: str | None = None) -> FeatureTable:
    """Compute the radiomic features of one case.

    Parameters
    ----------
    image : Volume or path
        The image, or its file (NIfTI, NRRD, MetaImage) or DICOM folder.
    mask : Mask or path
        The region, or its file; `label` (1) inside.
    settings : RadiomicsConfig, mapping, path or None
        Settings, their fields, or a parameter file of PyRadiomics; None for the defaults.
    name : str, optional
        Label of the row; by default the image file's name without its ending.

    Returns
    -------
    FeatureTable
        Block ``radiomic``, one row.

    Raises
    ------
    ConfigError
        If a setting is unknown or out of range.
    CaseError
        If image or mask cannot be used; `ImageError`, `MaskError` or `GeometryError` says how.
    """
    config = read_settings(settings)
    label = name or ("image" if isinstance(image, Volume) else Path(image).name.split(".")[0])
    found = measure(_picture(image, label), _labels(mask, label), config, label)
    return FeatureTable("radiomic", (label,), tuple(found), np.array([list(found.values())], dtype=np.float64))


def describe_case(image: Volume | Path | str, mask: Mask | Path | str, settings: RadiomicsConfig | Mapping[str, object] | Path | str | None = None, *, name: str | None = None) -> dict[str, object]:
    """Give the diagnostics of a case under PyRadiomics' names: what its features are taken of.

    Parameters
    ----------
    image : Volume or path
        The image, or its file (NIfTI, NRRD, MetaImage) or DICOM folder.
    mask : Mask or path
        The region, or its file; `label` (1) inside.
    settings : RadiomicsConfig, mapping, path or None
        Settings, their fields, or a parameter file of PyRadiomics; None for the defaults.
    name : str, optional
        Whom it concerns, for errors; by default the image file's name without its ending.

    Returns
    -------
    dict of str to object
        ``diagnostics_...``: versions, settings, hashes, spacing (mm), size, bounding box (first voxel and size along x, y, z), number of voxels and of parts, centre of
        mass (voxels, and mm), intensities, the same after correction, interpolation and re-segmentation, and the number of grey levels of every image.

    Raises
    ------
    ConfigError
        If a setting is unknown or out of range.
    CaseError
        If image or mask cannot be used.
    """
    config = read_settings(settings)
    label = name or ("image" if isinstance(image, Volume) else Path(image).name.split(".")[0])
    picture, region = _picture(image, label), _labels(mask, label)
    notes = Diagnostics(picture, region, config)
    measure(picture, region, config.model_copy(update={"classes": ("firstorder",), "features": {}}), label, notes)
    return notes.found


def compile_kernels(dialect: str = "pyradiomics") -> None:
    """Compile all kernels, or load them from the cache, so that worker processes find them there.

    Parameters
    ----------
    dialect : str
        Whose kernels.
    """
    image = np.arange(64, dtype=np.float64).reshape(4, 4, 4) % 5
    mask, spacing = np.ones_like(image, dtype=np.uint8), (1.0, 1.0, 1.0)
    if dialect == "ibsi":
        compute_features(image, mask, spacing, {"dialect": "ibsi"})
        return
    settings = {"original": True, "log_sigma": (1.0,), "wavelet": "haar", "binWidth": 1}
    compute_features(image.astype(np.float32), mask, spacing, settings)
    compute_features(image, mask, spacing, settings | {"log_sigma": (), "classes": ("firstorder",)})  # images of integers have their wavelets in double precision


def measure_case(folder: Path, image: Path, mask: Path, config: RadiomicsConfig, patient_id: str) -> None:
    """Measure one case and write its features: an engine task.

    Parameters
    ----------
    folder : Path
        Where to.
    image, mask : Path
        Files.
    config : RadiomicsConfig
        The settings.
    patient_id : str
        Whom it concerns, for errors.
    """
    try:
        picture, region = _picture(image, patient_id), _labels(mask, patient_id)
        notes = Diagnostics(picture, region, config) if config.additionalInfo else None
        levels: dict[str, int] = {}
        found = measure(picture, region, config, patient_id, notes, levels)
    except CaseError as error:
        error.file = error.file or (mask if isinstance(error, MaskError) else image)
        raise
    write_json(found, folder / RESULT)
    write_json(levels, folder / LEVELS)
    if notes is not None:
        write_json(notes.found, folder / NOTES)


def values_of(entry: Entry, names: tuple[str, ...]) -> list[float]:
    """Give the features that a task wrote.

    Parameters
    ----------
    entry : Entry
        The task's result.
    names : tuple of str
        Which features.

    Returns
    -------
    list of float
        NaN where one is not defined.
    """
    found = read_json(entry.folder / RESULT)
    return [float("nan") if found[name] is None else found[name] for name in names]


def _picture(image: Volume | Path | str, label: str) -> sitk.Image:
    """Give an image in the type its file has: PyRadiomics computes wavelets of integers in double precision, of float32 in single."""
    import SimpleITK as sitk

    from sarcofuse.imaging import read_volume, to_sitk
    from sarcofuse.imaging.files import read_image

    if isinstance(image, Volume):
        return to_sitk(image)
    if Path(image).is_dir():
        return sitk.Cast(to_sitk(read_volume(Path(image), label)), sitk.sitkFloat64)
    return read_image(Path(image), label)


def _labels(mask: Mask | Path | str, label: str) -> sitk.Image:
    import SimpleITK as sitk

    from sarcofuse.imaging import to_sitk

    if isinstance(mask, Mask):
        return to_sitk(mask)
    try:
        return sitk.ReadImage(str(mask))
    except RuntimeError as error:
        message = "mask cannot be read" if Path(mask).exists() else "mask file does not exist"
        raise MaskError(label, f"{message}; expected a NIfTI, NRRD or MetaImage file of whole numbers", mask) from error


def read_case(image: Path, mask: Path, patient_id: str) -> tuple[sitk.Image, sitk.Image]:
    """Read image and mask as features are taken of them.

    Parameters
    ----------
    image, mask : Path
        Files.
    patient_id : str
        Whom they belong to, for errors.

    Returns
    -------
    image : SimpleITK.Image
        In the type that the file has.
    mask : SimpleITK.Image
        All its labels.

    Raises
    ------
    CaseError
        If one cannot be read.
    """
    return _picture(image, patient_id), _labels(mask, patient_id)


def labels_of(mask: Path, patient_id: str, channel: int = 0) -> list[int]:
    """List the labels that a mask holds.

    Parameters
    ----------
    mask : Path
        The file.
    patient_id : str
        Whom it belongs to, for errors.
    channel : int
        Which value of a voxel to read, where there are several.

    Returns
    -------
    list of int
        Ascending, without 0.

    Raises
    ------
    MaskError
        If the mask cannot be read, is empty, or holds values that are no whole numbers.
    """
    import SimpleITK as sitk

    picture = _labels(mask, patient_id)
    if picture.GetNumberOfComponentsPerPixel() > 1:
        picture = sitk.VectorIndexSelectionCast(picture, channel)
    found = np.unique(sitk.GetArrayViewFromImage(picture))
    labels = [int(v) for v in found if v > 0]
    if not labels or len(labels) != np.count_nonzero(found):
        problem = "mask is empty: it has no voxel above 0" if len(found) == 1 else f"mask holds values such as {found[found != 0][0]:g}"
        raise MaskError(patient_id, f"{problem}; expected whole numbers from 1. Draw the region, or name the label", mask)
    return labels
