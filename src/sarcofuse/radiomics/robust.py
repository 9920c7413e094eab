"""Stability of radiomic features: over perturbations of image and mask, and between two masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from sarcofuse.config import PerturbConfig, RadiomicsConfig
from sarcofuse.errors import CohortError
from sarcofuse.imaging import geometry_of
from sarcofuse.metrics import Reliability, icc
from sarcofuse.radiomics.compute import feature_names
from sarcofuse.radiomics.perturb import AS_GIVEN, Scene, plan
from sarcofuse.radiomics.prepare import prepare
from sarcofuse.radiomics.settings import read_settings
from sarcofuse.radiomics.shared import measure_masks
from sarcofuse.radiomics.stage import BARE, _labels, _picture, compile_kernels
from sarcofuse.radiomics.stage import VERSION as FEATURES
from sarcofuse.records import Case, FeatureTable, Mask, Patient, SetAside, Volume
from sarcofuse.runtime import Engine, Task, digest, digest_file, read_json, single_thread, write_json

if TYPE_CHECKING:
    import pandas as pd

STAGE = "perturb"
VERSION = "perturb 1"  # raise it when any value changes
RESULT = "features.json"
EVERYWHERE = 1e6  # mm
REACH = 4.0  # deviations of a Laplacian of Gaussian beyond which nothing tells


@dataclass(frozen=True, slots=True, eq=False)
class Stability:
    """How far features agree with themselves.

    Attributes
    ----------
    names : tuple of str
        The features.
    agreement : Reliability
        ICC(2,1): absolute agreement.
    consistency : Reliability
        ICC(3,1): agreement but for what shifts all patients alike.
    """

    names: tuple[str, ...]
    agreement: Reliability
    consistency: Reliability

    def to_frame(self) -> pd.DataFrame:
        """Give the figures as a DataFrame indexed by feature.

        Returns
        -------
        DataFrame
            Columns ``icc21``, ``icc21_low``, ``icc21_high``, ``icc31``, ``icc31_low``, ``icc31_high``, ``patients``.
        """
        import pandas as pd

        columns: dict[str, NDArray[np.float64]] = {}
        for name, found in (("icc21", self.agreement), ("icc31", self.consistency)):
            columns |= {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}
        return pd.DataFrame({**columns, "patients": self.agreement.subjects}, index=pd.Index(self.names, name="feature"))


def robustness(
    image: Volume | Path | str,
    mask: Mask | Path | str,
    settings: RadiomicsConfig | Mapping[str, object] | Path | str | None = None,
    perturbations: int = 20,
    *,
    seed: int = 0,
    changes: PerturbConfig | None = None,
    name: str | None = None,
) -> FeatureTable:
    """Compute the radiomic features of one case under perturbations of image and mask.

    What does not change is shared: perturbed masks of one image share its filtered images, and twenty perturbations by default lie on four images.

    Parameters
    ----------
    image : Volume or path
        The image, or its file or DICOM folder.
    mask : Mask or path
        The region, or its file; `label` (1) inside.
    settings : RadiomicsConfig, mapping, path or None
        Settings, their fields, or a parameter file of PyRadiomics; None for the defaults.
    perturbations : int
        How many.
    seed : int
        Seed of everything drawn. Perturbation k is the same change for every patient, but that noise and boundary fall differently on each.
    changes : PerturbConfig, optional
        What the perturbations are, and how strong.
    name : str, optional
        Whom it concerns, for errors; by default the image file's name.

    Returns
    -------
    FeatureTable
        Block ``radiomic``; rows ``unperturbed`` and one a perturbation, named by what was done; NaN in a row whose mask is too small for features.

    Raises
    ------
    ConfigError
        If a setting is unknown or out of range.
    CaseError
        If image or mask cannot be used.
    """
    label = name or ("image" if isinstance(image, Volume) else Path(image).name.split(".")[0])
    config, changes = read_settings(settings), changes or PerturbConfig()
    found = _measure(_picture(image, label), _labels(mask, label), config, (perturbations, seed, changes), label)
    return FeatureTable("radiomic", tuple(found), feature_names(config), np.array([list(v.values()) for v in found.values()]))


def _measure(picture: sitk.Image, labels: sitk.Image, config: RadiomicsConfig, how: tuple[int, int, PerturbConfig], patient_id: str) -> dict[str, dict[str, float]]:
    """Give the features by perturbation."""
    perturbations, seed, changes = how
    prepare(picture, labels, config, patient_id)  # for its checks
    if picture.GetPixelID() not in (sitk.sitkFloat32, sitk.sitkFloat64):
        picture = sitk.Cast(picture, sitk.sitkFloat64)
    tumour = _on_grid(picture, labels, config)
    with single_thread():
        x, y, z = picture.GetSpacing()
        scene = Scene(sitk.GetArrayFromImage(picture), tumour, (z, y, x), _reach(picture, config), changes, seed)
        steps = [AS_GIVEN, *plan(perturbations, changes)]
        found: dict[str, dict[str, float]] = {}
        for array, own, masks in scene.groups(steps):
            changed = sitk.GetImageFromArray(array)
            changed.CopyInformation(picture)
            found |= dict(zip([s.name for s in own], measure_masks(changed, masks, config, patient_id), strict=True))
    return {step.name: found[step.name] for step in steps}


def _on_grid(picture: sitk.Image, labels: sitk.Image, config: RadiomicsConfig) -> NDArray[np.bool_]:
    if geometry_of(picture).differences(geometry_of(labels), config.geometryTolerance):
        labels = sitk.Resample(labels, picture, sitk.Transform(), sitk.sitkNearestNeighbor, 0, labels.GetPixelID())
    found: NDArray[np.bool_] = sitk.GetArrayViewFromImage(labels) == config.label
    return found


def _reach(picture: sitk.Image, config: RadiomicsConfig) -> tuple[float, float, float]:
    """Give the distance in mm from the tumour, along z, y, x, that features depend on."""
    import pywt

    taps = 0 if config.wavelet is None else int(pywt.Wavelet(config.wavelet).dec_len) * (config.wavelet_start + config.wavelet_level)
    if config.filters or config.dialect == "ibsi":  # some of these filters reach everywhere
        return (EVERYWHERE,) * 3
    voxels = max(taps, 0 if config.resampledPixelSpacing is None else config.padDistance, 2)
    coarser = np.maximum(picture.GetSpacing(), config.resampledPixelSpacing or 0.0)
    x, y, z = (float(max(REACH * max(config.log_sigma, default=0.0), voxels * s, *config.regions.ring)) for s in coarser)
    return z, y, x


def robustness_many(
    patients: Sequence[Patient], settings: RadiomicsConfig | Mapping[str, object] | Path | str | None, engine: Engine, perturbations: int = 20, *, seed: int = 0, changes: PerturbConfig | None = None
) -> tuple[dict[str, FeatureTable], list[SetAside]]:
    """Compute the radiomic features of many patients under the same perturbations.

    Parameters
    ----------
    patients : sequence of Patient
        With images and masks.
    settings : RadiomicsConfig, mapping, path or None
        As for `robustness`.
    engine : Engine
        Runs the work, one task a patient.
    perturbations : int
        How many.
    seed : int
        Seed of everything drawn.
    changes : PerturbConfig, optional
        What the perturbations are, and how strong.

    Returns
    -------
    tables : dict of str to FeatureTable
        By patient, as `robustness` gives them.
    set_aside : list of SetAside
        Patients that could not be measured, with reasons.

    Raises
    ------
    ConfigError
        If a setting is unknown or out of range.
    """
    config, changes = read_settings(settings), changes or PerturbConfig()
    aside, tasks = [], []
    for p in patients:
        absent = [f for f in (p.image, p.mask) if f is not None and not f.exists()]
        if p.image is None or p.mask is None or absent:
            aside.append(SetAside(p.patient_id, STAGE, f"{absent[0].name}: file does not exist" if absent else BARE))
        else:
            key = digest(VERSION, FEATURES, config, changes, perturbations, seed, digest_file(p.image), digest_file(p.mask))
            tasks.append(Task(p.patient_id, key, (p.image, p.mask, config, (perturbations, seed, changes), p.patient_id)))
    tables, failed = _perturb_all(tasks, config, engine)
    return tables, aside + failed


def perturb_cases(
    cases: Sequence[Case], config: RadiomicsConfig, engine: Engine, perturbations: int, *, seed: int = 0, changes: PerturbConfig | None = None
) -> tuple[dict[str, FeatureTable], list[SetAside]]:
    """Compute the radiomic features of a study's cases under the same perturbations, within the masks that their features are taken from.

    Parameters
    ----------
    cases : sequence of Case
        Prepared images and masks; those without a mask are passed over.
    config : RadiomicsConfig
        The settings; `label` is not used, as prepared masks hold 1.
    engine : Engine
        Runs the work, one task a case.
    perturbations : int
        How many.
    seed : int
        Seed of everything drawn.
    changes : PerturbConfig, optional
        What the perturbations are, and how strong.

    Returns
    -------
    tables : dict of str to FeatureTable
        By patient, as `robustness` gives them.
    set_aside : list of SetAside
        Cases that could not be measured, with reasons.
    """
    config, changes = config.model_copy(update={"label": 1}), changes or PerturbConfig()
    how = (perturbations, seed, changes)
    masked = [c for c in cases if c.mask is not None]
    fixed = (VERSION, FEATURES, config, changes, perturbations, seed)
    tasks = [Task(c.patient_id, digest(*fixed, c.image_digest, c.mask_digest), (c.image, c.mask, config, how, c.patient_id)) for c in masked]
    return _perturb_all(tasks, config, engine)


def _perturb_all(tasks: Sequence[Task], config: RadiomicsConfig, engine: Engine) -> tuple[dict[str, FeatureTable], list[SetAside]]:
    if any(not (engine.cache / STAGE / t.key).is_dir() for t in tasks):
        compile_kernels(config.dialect)
    done, failed = engine.run(STAGE, _perturb_case, tasks)
    names, tables = feature_names(config), {}
    for entry in done:
        found = read_json(entry.folder / RESULT)
        values = np.array([[float("nan") if row[n] is None else row[n] for n in names] for row in found.values()])
        tables[entry.patient_id] = FeatureTable("radiomic", tuple(found), names, values)
    return tables, failed


def _perturb_case(folder: Path, image: Path, mask: Path, config: RadiomicsConfig, how: tuple[int, int, PerturbConfig], patient_id: str) -> None:
    """Engine task: measure one case under perturbations and write its features."""
    write_json(_measure(_picture(image, patient_id), _labels(mask, patient_id), config, how, patient_id), folder / RESULT)


def stability(tables: Sequence[FeatureTable], confidence: float = 0.95) -> Stability:
    """Judge every feature by how far it keeps patients apart in spite of the perturbations.

    Parameters
    ----------
    tables : sequence of FeatureTable
        One a patient, from `robustness` with the same settings, perturbations and seed: patients of the training, where a model is to be built on the result.
    confidence : float
        Coverage of the intervals.

    Returns
    -------
    Stability
        Intraclass correlations over patients and perturbations, the unperturbed row among them.

    Raises
    ------
    CohortError
        If the tables are not of the same features and perturbations, or there is none.
    """
    if not tables or any(t.names != tables[0].names or t.patient_ids != tables[0].patient_ids for t in tables):
        message = f"stability needs tables of the same features and perturbations, one a patient; found {len(tables)} tables that are not. Make them with the same settings, perturbations and seed"
        raise CohortError(message)
    return _judge(tables[0].names, np.stack([t.values for t in tables]), confidence)


def mask_agreement(first: FeatureTable, second: FeatureTable, confidence: float = 0.95) -> Stability:
    """Judge every feature by how far two masks of the same patients give the same value: drawn and automatic, or by two readers.

    Parameters
    ----------
    first, second : FeatureTable
        Features of the same names; patients of both are compared.
    confidence : float
        Coverage of the intervals.

    Returns
    -------
    Stability
        Intraclass correlations over patients and masks.

    Raises
    ------
    CohortError
        If the features differ, or fewer than two patients are in both.
    """
    shared = [p for p in first.patient_ids if p in set(second.patient_ids)]
    if first.names != second.names or len(shared) < 2:
        message = f"two tables of the same features with at least 2 patients in common are compared; found {len(first.names)} and {len(second.names)} features, {len(shared)} patients in common"
        raise CohortError(message)
    return _judge(first.names, np.stack([first.rows(shared), second.rows(shared)], axis=1), confidence)


def _judge(names: tuple[str, ...], values: NDArray[np.float64], confidence: float) -> Stability:
    return Stability(names, icc(values, "2,1", confidence), icc(values, "3,1", confidence))
