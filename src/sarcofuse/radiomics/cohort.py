"""Many cases, several masks a case, several labels a mask: one row a region."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from sarcofuse.config import RadiomicsConfig
from sarcofuse.errors import CaseError, ConfigError
from sarcofuse.radiomics.compute import feature_names
from sarcofuse.radiomics.settings import read_settings
from sarcofuse.radiomics.stage import BARE, LEVELS, NOTES, STAGE, VERSION, compile_kernels, gather_levels, labels_of, measure_case, values_of
from sarcofuse.records import FeatureTable, Patient, SetAside
from sarcofuse.runtime import Engine, Task, digest, digest_file, read_json

if TYPE_CHECKING:
    import pandas as pd

Labels = Sequence[int] | Literal["all"]


@dataclass(frozen=True, slots=True)
class Drawn:
    """A region to be measured.

    Attributes
    ----------
    patient_id : str
        Whose.
    image, mask : Path
        Files.
    label : int
        Value of the region in the mask.
    """

    patient_id: str
    image: Path
    mask: Path
    label: int


@dataclass(frozen=True, slots=True, eq=False)
class Extraction:
    """Features of many regions.

    Attributes
    ----------
    regions : tuple of Drawn
        A row each.
    names : tuple of str
        A feature each.
    values : ndarray of float64, shape (regions, features)
        NaN where a feature is not defined.
    diagnostics : tuple of dict
        Of each region, where they were asked for; else empty.
    set_aside : tuple of SetAside
        What could not be measured, with reasons.
    levels : mapping of str to list of int
        Grey levels that occur in each region, by image.
    """

    regions: tuple[Drawn, ...]
    names: tuple[str, ...]
    values: NDArray[np.float64]
    diagnostics: tuple[dict[str, object], ...]
    set_aside: tuple[SetAside, ...]
    levels: Mapping[str, list[int]] = field(default_factory=dict)

    @property
    def one_each(self) -> bool:
        """Whether no patient has more than one region."""
        return len({r.patient_id for r in self.regions}) == len(self.regions)

    def rows(self) -> Iterator[dict[str, object]]:
        """Give the rows: patient, mask and label where a patient has several, diagnostics, features.

        Yields
        ------
        dict of str to object
            One region.
        """
        one = self.one_each
        for region, notes, values in zip(self.regions, self.diagnostics or [{}] * len(self.regions), self.values, strict=True):
            which = {} if one else {"mask": region.mask.name, "label": region.label}
            yield {"patient_id": region.patient_id, **which, **notes, **dict(zip(self.names, values.tolist(), strict=True))}

    def to_frame(self) -> pd.DataFrame:
        """Give the rows as a DataFrame, with lists and mappings among the diagnostics as text.

        Returns
        -------
        DataFrame
            One row a region.
        """
        import pandas as pd

        return pd.DataFrame([{name: _text(value) for name, value in row.items()} for row in self.rows()])

    def to_table(self) -> FeatureTable:
        """Give the features alone.

        Returns
        -------
        FeatureTable
            Block ``radiomic``; a row is named after its patient, and after mask and label where patients have several regions.
        """
        labels = tuple(r.patient_id if self.one_each else f"{r.patient_id} {r.mask.name} {r.label}" for r in self.regions)
        return FeatureTable("radiomic", labels, self.names, self.values)


def extract_cohort(
    patients: Sequence[Patient],
    settings: RadiomicsConfig | Mapping[str, object] | Path | str | None,
    engine: Engine,
    *,
    labels: Labels = (),
    folder: Path | None = None,
) -> Extraction:
    """Compute the radiomic features of every mask and label of many patients, straight from their files.

    A patient's masks are those of its column ``mask``, parted by semicolons where there are several, and of all further columns whose names begin with ``mask``. The work is
    parallel and goes on where it was stopped if the engine's cache is kept.

    Parameters
    ----------
    patients : sequence of Patient
        With images and masks.
    settings : RadiomicsConfig, mapping, path or None
        Settings, their fields, or a parameter file of PyRadiomics; None for the defaults.
    engine : Engine
        Runs the work, one task a region.
    labels : sequence of int or 'all', optional
        Labels to measure; ``all`` for those that each mask holds. By default the patient's own column ``label``, else that of the settings.
    folder : Path, optional
        What relative paths of further masks are meant from; by default the folder of the patient's image.

    Returns
    -------
    Extraction
        In the order of patients, masks, labels.

    Raises
    ------
    ConfigError
        If a setting is unknown or out of range.
    """
    config = read_settings(settings)
    names = feature_names(config)
    aside: list[SetAside] = []
    drawn = [region for p in patients for region in _regions(p, config, labels, folder, aside)]
    several = len({r.patient_id for r in drawn}) < len(drawn)
    tasks, digests = [], {f: digest_file(f) for f in {f for r in drawn for f in (r.image, r.mask)}}
    for r in drawn:
        own = config.model_copy(update={"label": r.label})
        who = f"{r.patient_id} ({r.mask.name}, label {r.label})" if several else r.patient_id
        tasks.append(Task(who, digest(VERSION, own, digests[r.image], digests[r.mask], r.patient_id), (r.image, r.mask, own, r.patient_id)))
    if any(not (engine.cache / STAGE / t.key).is_dir() for t in tasks):
        compile_kernels(config.dialect)
    done, failed = engine.run(STAGE, measure_case, tasks, unit="region")
    lost = {f.patient_id for f in failed}
    regions = tuple(r for r, t in zip(drawn, tasks, strict=True) if t.patient_id not in lost)
    values = np.array([values_of(e, names) for e in done], dtype=np.float64).reshape(len(done), len(names))
    notes = tuple(read_json(e.folder / NOTES) for e in done) if config.additionalInfo else ()
    return Extraction(regions, names, values, notes, (*aside, *failed), gather_levels([read_json(e.folder / LEVELS) for e in done]))


def masks_of(patient: Patient, folder: Path | None = None) -> list[Path]:
    """Give all masks of a patient.

    Parameters
    ----------
    patient : Patient
        From a table with the column ``mask``, and perhaps others whose names begin so.
    folder : Path, optional
        What relative paths are meant from; by default the folder of the first mask or image.

    Returns
    -------
    list of Path
        Each once, in the order of the table.
    """
    found: list[Path] = []
    if patient.mask is not None:
        first, *others = [part.strip() for part in str(patient.mask).split(";") if part.strip()]
        room = folder or Path(first).parent
        found = [Path(first), *(room / other for other in others)]
    room = folder or (patient.image.parent if patient.image is not None else Path())
    for column, cell in patient.clinical.items():
        if column.lower().startswith("mask") and isinstance(cell, str):
            found += [room / part.strip() for part in cell.split(";") if part.strip()]
    return list(dict.fromkeys(found))


def _regions(patient: Patient, config: RadiomicsConfig, labels: Labels, folder: Path | None, aside: list[SetAside]) -> Iterator[Drawn]:
    masks = masks_of(patient, folder)
    if patient.image is None or not masks:
        aside.append(SetAside(patient.patient_id, STAGE, BARE if patient.image is not None else "has no image; expected a file or a DICOM folder"))
        return
    if not patient.image.exists():
        aside.append(SetAside(patient.patient_id, STAGE, f"{patient.image.name}: file does not exist"))
        return
    for mask in masks:
        if not mask.exists():
            aside.append(SetAside(patient.patient_id, STAGE, f"{mask.name}: file does not exist"))
            continue
        try:
            chosen = labels_of(mask, patient.patient_id, config.label_channel) if labels == "all" else _chosen(patient, config, labels)
        except CaseError as error:
            aside.append(SetAside(patient.patient_id, STAGE, f"{mask.name}: {error.problem}"))
            continue
        base = Drawn(patient.patient_id, patient.image, mask, config.label)
        yield from (replace(base, label=label) for label in chosen)


def _chosen(patient: Patient, config: RadiomicsConfig, labels: Labels) -> list[int]:
    if labels:
        return [int(label) for label in labels]
    own = next((cell for column, cell in patient.clinical.items() if column.lower() == "label" and cell is not None), None)
    if own is None:
        return [config.label]
    if not str(own).strip().isdigit() or int(str(own)) < 1:
        message = f"patient {patient.patient_id}: label must be a whole number of at least 1, found {own!r}"
        raise ConfigError(message)
    return [int(str(own))]


def _text(value: Any) -> object:  # noqa: ANN401 - whatever a diagnostic holds
    if isinstance(value, list):
        return str(tuple(value))
    return str(value) if isinstance(value, dict) else value
