"""A synthetic cohort on disk: images, masks, cohort.csv, and the truth kept apart."""

from __future__ import annotations

import csv
import filecmp
import io
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from sarcofuse.errors import StageError
from sarcofuse.phantom.patient import draw_patient
from sarcofuse.phantom.plan import PatientPlan, plan_cohort
from sarcofuse.phantom.truth import CAUSES, SOURCES, aggressiveness_of, bayes_auc, check_causes, risk_of
from sarcofuse.records import Mask, Volume
from sarcofuse.runtime import Engine, Entry, Task, atomic_file, digest, write_json, write_text

VERSION = "phantom 2"
"""Changes whenever the same plan would give other images."""
COLUMNS = ("patient_id", "image", "mask", "site", "split", "recurrence", "age", "grade")


@dataclass(frozen=True, slots=True)
class PhantomCohort:
    """A synthetic cohort on disk.

    Attributes
    ----------
    folder : Path
        Where it lies.
    table : Path
        cohort.csv, with paths relative to its folder.
    plans : tuple of PatientPlan
        What was drawn, patient by patient.
    bayes : dict of str to float
        Bayes AUC by feature set; the same for every split.
    """

    folder: Path
    table: Path
    plans: tuple[PatientPlan, ...]
    bayes: dict[str, float]


def make_cohort(folder: Path, patients: int = 120, seed: int = 0, engine: Engine | None = None, masks: Literal["all", "train"] = "all", causes: Iterable[str] = CAUSES) -> PhantomCohort:
    """Write a synthetic cohort of two hospitals.

    Writes images/P001.nii.gz and masks/P001.nii.gz and so on, cohort.csv, truth.csv (hidden components, true tumour volumes) and truth.json (Bayes AUC of each feature
    set). Work that was done before is not done again, and files that are there already and hold the same bytes stay as they are.

    Parameters
    ----------
    folder : Path
        Where to; made if need be.
    patients : int
        24 to 803; 803 gives the study's 527 training, 132 internal and 144 external patients with its 120, 33 and 47 events.
    seed : int
        The same seed gives the same bytes, whatever the engine.
    engine : Engine, optional
        Runs the work and keeps its cache; by default all cores, and a cache in the folder.
    masks : {'all', 'train'}
        Whose masks to write.
    causes : iterable of str
        Components that the risk depends on: without ``oedema`` there is nothing that the networks see and radiomics does not.

    Returns
    -------
    PhantomCohort
        What was written.

    Raises
    ------
    ConfigError
        If the number of patients is out of range.
    StageError
        If a patient could not be drawn.
    """
    causes = check_causes(causes)
    plans = plan_cohort(patients, seed, causes)
    folder = folder.resolve()
    if engine is None:
        with Engine(folder / "cache") as own:
            entries = _draw_all(plans, own)
    else:
        entries = _draw_all(plans, engine)
    for plan, entry in zip(plans, entries, strict=True):
        _place(entry.folder / "image.nii.gz", folder / "images" / f"{plan.patient_id}.nii.gz")
        mask = folder / "masks" / f"{plan.patient_id}.nii.gz"
        if masks == "all" or plan.split == "train":
            _place(entry.folder / "mask.nii.gz", mask)
        else:
            mask.unlink(missing_ok=True)
    bayes = {features: bayes_auc(sources, causes) for features, sources in SOURCES.items()}
    write_text(_csv(COLUMNS, (_row(p, masks) for p in plans)), folder / "cohort.csv")
    write_text(_csv(("patient_id", "region", "volume_ml", "texture", "shape", "oedema", "aggressiveness", "risk"), (_truth(p, causes) for p in plans)), folder / "truth.csv")
    write_json({"format": 1, "phantom": VERSION, "patients": patients, "seed": seed, "sources": SOURCES, "bayes": bayes, **({} if causes == CAUSES else {"causes": causes})}, folder / "truth.json")
    return PhantomCohort(folder, folder / "cohort.csv", plans, bayes)


def _draw_all(plans: Sequence[PatientPlan], engine: Engine) -> list[Entry]:
    tasks = [Task(p.patient_id, digest(VERSION, asdict(p)), (p,)) for p in plans]
    entries, failed = engine.run("phantom", _draw, tasks)
    if failed:
        message = f"phantom: {len(failed)} of {len(plans)} patients could not be drawn, first {failed[0].patient_id}: {failed[0].reason}"
        raise StageError(message)
    return entries


def _draw(folder: Path, plan: PatientPlan) -> None:
    image, mask, _ = draw_patient(plan)
    _write(image, np.int16, folder / "image.nii.gz")
    _write(mask, np.uint8, folder / "mask.nii.gz")


def _write(content: Volume | Mask, kind: type[np.integer], file: Path) -> None:
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(content.array.astype(kind))
    image.SetSpacing(content.geometry.spacing)
    image.SetOrigin(content.geometry.origin)
    image.SetDirection(content.geometry.direction)
    sitk.WriteImage(image, str(file), True)


def _place(source: Path, file: Path) -> None:
    if file.exists() and filecmp.cmp(source, file, shallow=False):
        return
    with atomic_file(file) as part:
        shutil.copyfile(source, part)


def _csv(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue()


def _row(plan: PatientPlan, masks: str) -> tuple[object, ...]:
    mask = f"masks/{plan.patient_id}.nii.gz" if masks == "all" or plan.split == "train" else ""
    return plan.patient_id, f"images/{plan.patient_id}.nii.gz", mask, plan.site, plan.split, plan.recurrence, plan.age, plan.grade


def _truth(plan: PatientPlan, causes: tuple[str, ...]) -> tuple[object, ...]:
    hidden, value = plan.latents, aggressiveness_of(plan.latents, causes)
    return plan.patient_id, plan.region, plan.volume_ml, hidden.texture, hidden.shape, hidden.oedema, value, float(risk_of(np.asarray(value)))
