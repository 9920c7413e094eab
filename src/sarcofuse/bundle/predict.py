"""Score new patients with a frozen bundle, by the very stage functions that the study ran."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sarcofuse.bundle.doubts import advise, mask_doubts
from sarcofuse.bundle.manifest import BundledModel, Manifest, read_manifest
from sarcofuse.errors import BundleError
from sarcofuse.records import Case, FeatureTable, MaskQuality, Patient, SetAside
from sarcofuse.runtime import Engine

if TYPE_CHECKING:
    from sarcofuse.models import FittedModel

UNUSED = "the given mask was not used: the models learned from masks by the bundle's networks, and such a mask was drawn"
IDLE = "the box, click or rough mask was not used: the given mask was"
STEERED = "the mask was steered by a {}: judge the risk by that mask"
UNLIKE = "the given mask was used, while the models learned from masks by the bundle's networks"


@dataclass(frozen=True, slots=True)
class Risk:
    """What a bundle says of a new patient.

    Attributes
    ----------
    patient_id : str
        Whom it concerns.
    risk : float
        Predicted probability of the outcome.
    positive : bool
        Whether the risk reaches the locked threshold.
    threshold : float
        The locked threshold.
    model : str
        Feature set and classifier, ``dlr-extratrees`` say.
    warnings : tuple of str
        Where the patient differs from those of the training.
    prompted : {'box', 'click', 'rough', ''}
        What the mask was steered by; empty for one that was not.
    """

    patient_id: str
    risk: float
    positive: bool
    threshold: float
    model: str
    warnings: tuple[str, ...] = ()
    prompted: str = ""


@dataclass(frozen=True)
class Bundle:
    """A frozen study, ready to score new patients.

    Attributes
    ----------
    folder : Path
        Where it lies.
    manifest : Manifest
        Its checked bundle.json.
    """

    folder: Path
    manifest: Manifest

    def predict(
        self, patients: Sequence[Patient], *, engine: Engine | None = None, masks: Path | None = None, all_models: bool = False, given_masks: bool | None = None
    ) -> tuple[list[Risk], list[SetAside]]:
        """Score patients from their images.

        Parameters
        ----------
        patients : sequence of Patient
            New patients.
        engine : Engine, optional
            Runs and caches the work; by default serially, in a temporary folder.
        masks : Path, optional
            Folder to keep the masks in, on the images' own grids.
        all_models : bool
            Give the risks of all models; otherwise that of the primary one.
        given_masks : bool, optional
            Whether to use the masks that patients come with. By default as the study did: the networks draw everybody's mask if its models learned from such masks.
            Patients without a mask get one by the networks in any case.

        Returns
        -------
        risks : list of Risk
            In the order of the patients.
        set_aside : list of SetAside
            Patients that could not be scored, with reasons.

        Raises
        ------
        BundleError
            If the bundle was made from feature tables and has no imaging half, or patients come with prompts and its networks know none.
        """
        if not self.manifest.imaging:
            message = f"bundle {self.folder.name} was made from feature tables; score new tables with predict_tables (sarcofuse predict --table BLOCK=FILE)"
            raise BundleError(message)
        by_networks = self.manifest.segment.masks != "given"
        use = not by_networks if given_masks is None else given_masks
        note = UNUSED if by_networks and not use else UNLIKE if by_networks else None
        noted = {p.patient_id for p in patients if p.mask is not None and note is not None}
        idle = {p.patient_id for p in patients if use and p.mask is not None and p.prompt is not None}
        doubts: dict[str, str] = {}
        with _engine(engine) as own:
            tables, cases, aside = self._features(patients if use else [dataclasses.replace(p, mask=None) for p in patients], own, doubts)
            if masks is not None:
                _keep_masks(cases, masks)
        able = {c.patient_id for c in cases}
        aside = aside + self._unharmonised([p for p in patients if p.patient_id in able])
        out = {a.patient_id for a in aside}
        served = [p for p in patients if p.patient_id not in out]
        risks = self.predict_tables(tables, [p.patient_id for p in served], all_models=all_models, patients=served) if cases else []
        steered = {c.patient_id: c.prompted for c in cases}
        risks = [dataclasses.replace(r, warnings=(doubts[r.patient_id], *r.warnings)) if r.patient_id in doubts else r for r in risks]
        risks = [dataclasses.replace(r, warnings=(str(note), *r.warnings)) if r.patient_id in noted else r for r in risks]
        risks = [dataclasses.replace(r, warnings=(IDLE, *r.warnings)) if r.patient_id in idle else r for r in risks]
        return [_marked(r, steered.get(r.patient_id, "")) for r in risks], aside

    def segment(self, patients: Sequence[Patient], masks: Path, *, engine: Engine | None = None) -> tuple[list[MaskQuality], list[SetAside]]:
        """Draw tumour masks.

        Parameters
        ----------
        patients : sequence of Patient
            New patients; given masks only serve to measure the drawn ones.
        masks : Path
            Folder to keep the masks in, on the images' own grids.
        engine : Engine, optional
            Runs and caches the work; by default serially, in a temporary folder.

        Returns
        -------
        quality : list of MaskQuality
            One a mask.
        set_aside : list of SetAside
            Patients without a mask, with reasons.

        Raises
        ------
        BundleError
            If the bundle has no segmentation networks, or patients come with prompts and they know none.
        """
        from sarcofuse import preprocess, segment

        folder = self.folder / "segmenter"
        foreign = self.manifest.segment.masks in segment.FOREIGN
        if not folder.is_dir() and not foreign:
            message = f"bundle {self.folder.name} has no segmentation networks; its study used given masks"
            raise BundleError(message)
        self._check_prompts(patients)
        with _engine(engine) as own:
            cases, aside = preprocess.prepare(patients, self.manifest.preprocess, own, mask_label=self.manifest.mask_label)
            if foreign:
                drawn, quality, failed = segment.segment_external(cases, segment.portable(self.manifest.segment), own, Path())
            else:
                drawn, quality, failed = segment.segment(segment.load_segmenter(folder), cases, self.manifest.segment, own, out_of_fold=False)
            _keep_masks(drawn, masks)
        return quality, aside + failed

    def _check_prompts(self, patients: Sequence[Patient]) -> None:
        """Refuse prompts before any work, where no network would heed them."""
        from sarcofuse import segment

        prompted = [p for p in patients if p.prompt is not None]
        if not prompted:
            return
        folder = self.folder / "segmenter"
        if folder.is_dir() and segment.load_segmenter(folder).takes_prompts:
            return
        what = "its networks were trained without prompts" if folder.is_dir() else "it has no segmentation networks"
        who = f"patient {prompted[0].patient_id}" + (f" and {len(prompted) - 1} more" if len(prompted) > 1 else "")
        message = f"bundle {self.folder.name} cannot heed the box, click or rough mask of {who}: {what}. Leave the prompts out, or use a bundle whose networks take them"
        raise BundleError(message)

    def _features(self, patients: Sequence[Patient], engine: Engine, doubts: dict[str, str] | None = None) -> tuple[dict[str, FeatureTable], list[Case], list[SetAside]]:
        """Give features, cases and who was set aside; `doubts` takes up what is to be said of masks, by patient."""
        from sarcofuse import deep, preprocess, radiomics, segment
        from sarcofuse.cohort import encode_clinical

        manifest = self.manifest
        patients = [dataclasses.replace(p, prompt=None) if p.mask is not None else p for p in patients]  # a given mask is used as it is
        self._check_prompts(patients)
        cases, aside = preprocess.prepare(patients, manifest.preprocess, engine, mask_label=manifest.mask_label)
        aside = advise(aside, draws=(self.folder / "segmenter").is_dir() or manifest.segment.masks in segment.FOREIGN)
        bare = [c for c in cases if c.mask is None]
        masked = [c for c in cases if c.mask is not None]
        encoder = None
        if (self.folder / "segmenter").is_dir():
            segmenter = segment.load_segmenter(self.folder / "segmenter")
            encoder = segmenter.folder
            drawn, quality, failed = segment.segment(segmenter, bare, manifest.segment, engine, out_of_fold=False)
            if doubts is not None:
                doubts |= mask_doubts(quality, manifest.segment.review_below)
            masked, aside = masked + drawn, aside + failed
        elif manifest.segment.masks in segment.FOREIGN:
            drawn, _, failed = segment.segment_external(bare, segment.portable(manifest.segment), engine, Path())  # never a program that a bundle names
            masked, aside = masked + drawn, aside + failed
        else:
            reason = "has no mask, and this bundle has no segmentation networks; draw the tumour and give it as mask"
            aside = aside + [SetAside(c.patient_id, "segment", reason) for c in bare]
        if not masked:
            return {}, [], aside
        radiomic, failed_radiomic = radiomics.extract(masked, manifest.radiomics, engine)
        weights = None if manifest.weights is None else self.folder / manifest.weights
        if manifest.networks is None:
            deeps, failed_deep = deep.extract(masked, manifest.deep, engine, weights=weights, encoder=encoder)
        else:
            deeps, failed_deep = deep.serve_fine_tuned(masked, manifest.deep, engine, self.folder / manifest.networks, weights=weights, encoder=encoder)
        tables = {"radiomic": radiomic, "deep": deeps}
        if manifest.clinical is not None:
            tables["clinical"] = encode_clinical(patients, manifest.clinical)
        return tables, masked, aside + failed_radiomic + failed_deep

    def _unharmonised(self, patients: Sequence[Patient]) -> list[SetAside]:
        """Give the patients whose site the harmonisation cannot serve."""
        from sarcofuse.signature.sites import unharmonised

        plan = self.manifest.harmonisation
        return [] if plan is None else [SetAside(p, "models", reason) for p, reason in unharmonised(patients, plan).items()]

    def predict_tables(self, tables: Mapping[str, FeatureTable], patient_ids: Sequence[str], *, all_models: bool = False, patients: Sequence[Patient] | None = None) -> list[Risk]:
        """Score patients from their features.

        Parameters
        ----------
        tables : mapping of str to FeatureTable
            Features by block, with at least the bundle's columns.
        patient_ids : sequence of str
            Whom to score; those who are absent from a table are passed over.
        all_models : bool
            Give the risks of all models; otherwise that of the primary one.
        patients : sequence of Patient, optional
            The patients' records, of which a bundle that harmonises by site needs site and covariates.

        Returns
        -------
        list of Risk
            In the order of `patient_ids`.

        Raises
        ------
        BundleError
            If a block or a column is absent, or the bundle harmonises by site and cannot do so for a patient.
        """
        from sarcofuse.models import risks

        tables = self._with_sites(tables, patients)
        chosen = self.manifest.models if all_models else (self.manifest.primary,)
        found: list[Risk] = []
        for item in chosen:
            own = {name: _columns(tables, name, self.manifest.columns[name]) for name in item.blocks}
            everywhere = set.intersection(*(set(t.patient_ids) for t in own.values()))
            present = [p for p in patient_ids if p in everywhere]
            values = risks(self.model(item), own, present)
            notes = self._unlike_training(item, own, present)
            found += [Risk(p, values[p], values[p] >= item.threshold, item.threshold, f"{item.features}-{item.classifier}", notes[p]) for p in present]
        return found

    def _with_sites(self, tables: Mapping[str, FeatureTable], patients: Sequence[Patient] | None) -> Mapping[str, FeatureTable]:
        """Add what the harmonisation needs to know of each patient."""
        from sarcofuse.signature.sites import with_sites

        plan = self.manifest.harmonisation
        if plan is None:
            return tables
        if patients is None:
            message = f"bundle {self.folder.name} harmonises features by site ({', '.join(plan.sites)}); say each patient's site (patients of predict_tables, or a cohort.csv with sites)"
            raise BundleError(message)
        refused = self._unharmonised(patients)
        if refused:
            message = f"patient {refused[0].patient_id} {refused[0].reason}"
            raise BundleError(message)
        return {name: with_sites(table, patients, plan) for name, table in tables.items()}

    def model(self, item: BundledModel) -> FittedModel:
        """Load one of the models.

        Parameters
        ----------
        item : BundledModel
            One of ``manifest.models``.

        Returns
        -------
        FittedModel
            Ready to apply; its out-of-fold risks are not part of a bundle.
        """
        from sarcofuse.models import FittedModel, load_estimator

        return FittedModel(
            features=item.features,
            classifier=item.classifier,
            blocks={name: self.manifest.columns[name] for name in item.blocks},
            estimator=load_estimator(self.folder / item.file),
            threshold=item.threshold,
            out_of_fold={},
            events=int(str(self.manifest.model_card["training_events"])),
            parameters=item.parameters,
            signatures=item.signatures,
            warnings=item.warnings,
        )

    def _unlike_training(self, item: BundledModel, tables: Mapping[str, FeatureTable], patient_ids: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """Tell of each patient what training has not seen the like of, or what is missing."""
        notes: dict[str, list[str]] = {p: [] for p in patient_ids}  # each once
        for name, table in tables.items():
            ranges, used = self.manifest.training_ranges.get(name, {}), _used(item, name) or set(table.names)
            at = [i for i, n in enumerate(table.names) if n in used and n in ranges]
            known = [table.names[i] for i in at]
            values, ends = table.rows(list(notes))[:, at], np.array([ranges[n] for n in known], dtype=np.float64).reshape(-1, 2)
            finite = np.isfinite(values)
            for own, there, out in zip(notes.values(), finite, finite & ((values < ends[:, 0]) | (values > ends[:, 1])), strict=True):
                if out.any():
                    beyond = [known[i] for i in np.flatnonzero(out)]
                    own.append(f"{len(beyond)} of {len(known)} {name} features lie outside the training range: {', '.join(beyond[:3])}{' ...' if len(beyond) > 3 else ''}")
                if not there.all():
                    own.append(f"{np.count_nonzero(~there)} of {len(known)} {name} features are not defined for this tumour and were imputed")
        return {p: tuple(own) for p, own in notes.items()}


def load_bundle(folder: Path | str) -> Bundle:
    """Open a bundle and verify it.

    Parameters
    ----------
    folder : Path or str
        The folder ``bundle/`` of a finished run, or a copy of it.

    Returns
    -------
    Bundle
        Ready to predict.

    Raises
    ------
    BundleError
        If it is no bundle, or any of its files is absent or altered.
    """
    folder = Path(folder)
    return Bundle(folder, read_manifest(folder))


@contextmanager
def _engine(given: Engine | None) -> Iterator[Engine]:
    if given is not None:
        yield given
        return
    with tempfile.TemporaryDirectory(prefix="sarcofuse-") as room, Engine(Path(room), scheduler="serial") as engine:
        yield engine


def _marked(risk: Risk, prompted: str) -> Risk:
    return dataclasses.replace(risk, prompted=prompted, warnings=(STEERED.format(prompted.replace("rough", "rough mask")), *risk.warnings)) if prompted else risk


def _used(item: BundledModel, block: str) -> set[str]:
    signature = item.signatures.get(block)
    coefficients = signature.get("coefficients") if isinstance(signature, dict) else None
    return set(coefficients) if isinstance(coefficients, dict) else set()


def _columns(tables: Mapping[str, FeatureTable], name: str, names: Sequence[str]) -> FeatureTable:
    if name not in tables:
        message = f"the bundle needs a table of {name} features; found {', '.join(tables) or 'none'}"
        raise BundleError(message)
    table = tables[name]
    at = {n: i for i, n in enumerate(table.names)}
    absent = [n for n in names if n not in at]
    if absent:
        message = f"table {name} lacks {len(absent)} of the bundle's {len(names)} columns: {', '.join(absent[:5])}"
        raise BundleError(message)
    return FeatureTable(name, table.patient_ids, tuple(names), table.values[:, [at[n] for n in names]])


def _keep_masks(cases: Sequence[Case], folder: Path) -> None:
    from sarcofuse import segment
    from sarcofuse.imaging import write_mask

    folder.mkdir(parents=True, exist_ok=True)
    for case in cases:
        if case.mask is not None:
            write_mask(segment.restore_mask(case.mask, case.native_image), folder / f"{case.patient_id}.nii.gz")
