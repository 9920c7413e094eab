"""The run folder: what stands where, written atomically, with paths relative to it."""

from __future__ import annotations

import csv
import dataclasses
import io
import os
import shutil
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sarcofuse.config import StudyConfig
from sarcofuse.records import Case, Cohort, MaskQuality, Prediction, SetAside
from sarcofuse.runtime import atomic_file, digest, hardware, read_json, versions, write_json, write_text

FORMAT = 1


@dataclass
class RunFolder:
    """What a run leaves behind, and what it has to say of itself.

    Attributes
    ----------
    path : Path
        The folder RUN/.
    set_aside : list of SetAside
        Cases that could not be used, from all stages.
    warnings : list of str
        What a careful reader should know.
    plan : list of str
        How the segmentation networks were trained, and why; empty where none were.
    """

    path: Path
    set_aside: list[SetAside] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    plan: list[str] = field(default_factory=list)

    def write_cohort(self, cohort: Cohort) -> None:
        """Write cohort.parquet: patients, splits, sites and clinical columns; no outcomes.

        Parameters
        ----------
        cohort : Cohort
            The patients.
        """
        import pandas as pd

        names = sorted({n for p in cohort.patients for n in p.clinical})
        rows = [{"patient_id": p.patient_id, "split": p.split, "site": p.site, **{n: p.clinical.get(n) for n in names}} for p in cohort.patients]
        with atomic_file(self.path / "cohort.parquet") as part:
            pd.DataFrame(rows).to_parquet(part)

    def write_cases(self, cases: Sequence[Case], references: Mapping[str, Path | None]) -> None:
        """Write cases.json: where each patient's prepared image, mask and given mask lie; of a prompted mask also what steered it and the mask without.

        Parameters
        ----------
        cases : sequence of Case
            Cases with the mask that features were taken from.
        references : mapping of str to Path
            The given mask on the same grid, where there is one.
        """
        rows = [
            {"patient_id": c.patient_id, "split": c.split, "site": c.site, "image": self._inside(c.image), "mask": self._inside(c.mask), "reference": self._inside(references.get(c.patient_id))}
            | ({"prompted": c.prompted, "automatic": self._inside(_automatic(c))} if c.prompted else {})
            for c in cases
        ]
        write_json(rows, self.path / "cases.json")

    def write_quality(self, quality: Sequence[MaskQuality]) -> None:
        """Write quality.json, how good each automatic mask is, and quality.csv, the same as a plain table.

        Parameters
        ----------
        quality : sequence of MaskQuality
            One a patient.
        """
        import pandas as pd

        write_json([dataclasses.asdict(q) for q in quality], self.path / "quality.json")
        with atomic_file(self.path / "quality.csv") as part:
            pd.DataFrame([q.row for q in quality]).to_csv(part, index=False, lineterminator="\n")

    def write_mask_sources(self, cases: Sequence[Case]) -> None:
        """Write features/masks.csv: whose mask the features of each patient come from.

        Parameters
        ----------
        cases : sequence of Case
            Cases with the mask that features are taken from.
        """
        rows = [[c.patient_id, c.split, c.mask_source or "", c.prompted] for c in cases]
        write_text(_csv([["patient_id", "split", "source", "prompted"], *rows]), self.path / "features" / "masks.csv")

    def write_levels(self, levels: Mapping[str, Sequence[int]]) -> None:
        """Write features/levels.csv: fewest, median and most grey levels of any patient, image by image.

        Parameters
        ----------
        levels : mapping of str to sequence of int
            Number for each patient, by image.
        """
        rows = [f"{image},{min(counts)},{statistics.median(counts):g},{max(counts)}\n" for image, counts in levels.items()]
        write_text("image,fewest,median,most\n" + "".join(rows), self.path / "features" / "levels.csv")

    def write_masks(self, cases: Sequence[Case]) -> None:
        """Write masks/, on each image's own grid; those that are there already and fit are kept.

        Parameters
        ----------
        cases : sequence of Case
            Cases with masks.
        """
        from sarcofuse.imaging import write_mask
        from sarcofuse.segment import restore_mask

        known_file = self.path / "cache" / "masks.json"
        known = read_json(known_file) if known_file.exists() else {}
        for case in cases:
            file = self.path / "masks" / f"{case.patient_id}.nii.gz"
            if case.mask is None or (known.get(case.patient_id) == case.mask_digest and file.exists()):
                continue
            write_mask(restore_mask(case.mask, case.native_image), file)
        write_json({c.patient_id: c.mask_digest for c in cases}, known_file)

    def write_predictions(self, predictions: Sequence[Prediction], prompted: Mapping[str, str] | None = None) -> None:
        """Write predictions.csv; risks are written so that they read back to the last bit.

        Parameters
        ----------
        predictions : sequence of Prediction
            A row a patient and model.
        prompted : mapping of str to str, optional
            What steered each patient's mask; the column is left out where no mask was steered.
        """
        marks = prompted or {}
        marked = any(marks.values())
        head: list[object] = [*(f.name for f in dataclasses.fields(Prediction)), *["prompted"] * marked]
        rows = [[p.patient_id, p.split, p.features, p.classifier, int(p.primary), repr(p.risk), int(p.positive), *[marks.get(p.patient_id, "")] * marked] for p in predictions]
        write_text(_csv([head, *rows]), self.path / "predictions.csv")

    def note_opening(self, purpose: str, predictions: Sequence[Prediction]) -> list[str]:
        """Record that the sealed outcomes are opened for these frozen predictions.

        Opening them again for the very same predictions (after a crash, say) is not another look and is not counted again.

        Parameters
        ----------
        purpose : str
            Why.
        predictions : sequence of Prediction
            What is judged.

        Returns
        -------
        list of str
            The purposes of all openings so far.
        """
        file = self.path / "openings.json"
        known: list[dict[str, str]] = read_json(file) if file.exists() else []
        frozen = digest([dataclasses.astuple(p) for p in predictions])
        if all(o["frozen"] != frozen for o in known):
            known.append({"purpose": purpose, "frozen": frozen})
            write_json(known, file)
        return [o["purpose"] for o in known]

    def write_run(self, config: StudyConfig, *, flow: Mapping[str, object], timings: Mapping[str, float], inputs: Mapping[str, str]) -> None:
        """Write run.json.

        Parameters
        ----------
        config : StudyConfig
            The settings.
        flow : mapping
            Patients in and out.
        timings : mapping of str to float
            Seconds by stage.
        inputs : mapping of str to str
            SHA-256 of what came in, by name.
        """
        openings = self.path / "openings.json"
        content = {
            "format": FORMAT,
            "title": config.report.title,
            "config": config.model_dump(mode="json"),
            "inputs": inputs,
            "versions": versions(),
            "hardware": hardware(),
            "timings": {k: round(v, 2) for k, v in timings.items()},
            "set_aside": [dataclasses.asdict(s) for s in self.set_aside],
            "warnings": self.warnings,
            "openings": [o["purpose"] for o in read_json(openings)] if openings.exists() else [],
            "flow": flow,
            "segmentation_plan": self.plan,
        }
        write_json(content, self.path / "run.json")

    def _inside(self, file: Path | None) -> str | None:
        return None if file is None else Path(os.path.relpath(file, self.path.resolve())).as_posix()


def _csv(rows: Sequence[Sequence[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _automatic(case: Case) -> Path | None:
    """Give the mask that the networks drew without the prompt, where they found a tumour."""
    file = None if case.mask is None else case.mask.with_name("automatic.nii.gz")
    return file if file is not None and file.is_file() else None


def replace_folder(source: Path, target: Path) -> None:
    """Copy a folder over another, so that a crash leaves the old or the new.

    Parameters
    ----------
    source : Path
        What to copy.
    target : Path
        Where to; replaced.
    """
    part = target.with_name(target.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    shutil.copytree(source, part)
    shutil.rmtree(target, ignore_errors=True)
    part.rename(target)
