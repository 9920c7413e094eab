"""Freeze a study into a bundle."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sarcofuse.bundle.manifest import FORMAT, MANIFEST, BundledModel, Manifest
from sarcofuse.config import Harmonisation, StudyConfig
from sarcofuse.records import FeatureTable, block_alone
from sarcofuse.runtime import digest_file, plain, versions, write_json

if TYPE_CHECKING:
    from sarcofuse.models import FittedModel

NETWORKS = "networks"


@dataclass(frozen=True, slots=True)
class Parts:
    """What a bundle carries beside its models.

    Attributes
    ----------
    segmenter : Path or None
        Folder of the segmentation networks, if the study trained them.
    weights : Path or None
        Weights of the backbone, if they came as a file.
    clinical : mapping or None
        How clinical variables become numbers, if models use them.
    harmonisation : Harmonisation or None
        Sites that features were harmonised by, and the rule for others.
    networks : Path or None
        Folder of the networks that learnt the outcome, if the study fine-tuned its backbone.
    """

    segmenter: Path | None = None
    weights: Path | None = None
    clinical: Mapping[str, tuple[str, ...] | None] | None = None
    harmonisation: Harmonisation | None = None
    networks: Path | None = None


def write_bundle(folder: Path, config: StudyConfig, models: Sequence[FittedModel], tables: Mapping[str, FeatureTable], parts: Parts) -> None:
    """Write everything that scoring a new patient needs.

    Parameters
    ----------
    folder : Path
        The bundle; what was there before is replaced.
    config : StudyConfig
        The study's settings.
    models : sequence of FittedModel
        The frozen models; signatures by themselves (`sarcofuse.records.alone`) stay out, unless the study leads with one.
    tables : mapping of str to FeatureTable
        Features of the training patients by block, for the training ranges.
    parts : Parts
        Networks, weights and clinical schema, as far as there are any.
    """
    from sarcofuse.segment import portable

    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    (part / "models").mkdir(parents=True)
    lead = lead_model(models, config)
    models = [m for m in models if m is lead or block_alone(m.features) is None]  # references are for the report
    bundled = tuple(_save_model(model, part, primary=model is lead) for model in models)
    weights = _save_parts(parts, config, part)
    manifest = Manifest(
        format=FORMAT,
        created_by=f"sarcofuse {versions()['sarcofuse']}",
        title=config.report.title,
        outcome=config.cohort.outcome,
        imaging=not config.features,
        mask_label=config.cohort.mask_label,
        preprocess=config.preprocess,
        segment=portable(config.segment),
        radiomics=config.radiomics,
        deep=config.deep.model_copy(update={"weights": None}),
        weights=weights,
        networks=None if parts.networks is None else NETWORKS,
        clinical=None if parts.clinical is None else dict(parts.clinical),
        harmonisation=parts.harmonisation,
        columns={name: tuple(columns) for model in models for name, columns in model.blocks.items()},
        models=bundled,
        training_ranges={name: _ranges(table) for name, table in tables.items()},
        model_card=_model_card(config, models, lead),
        versions=versions(),
        files={f.relative_to(part).as_posix(): digest_file(f) for f in sorted(part.rglob("*")) if f.is_file()},
    )
    write_json(manifest.model_dump(mode="json"), part / MANIFEST)
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)


def _save_model(model: FittedModel, part: Path, *, primary: bool) -> BundledModel:
    from sarcofuse.models import save_estimator

    name = f"models/{model.features}-{model.classifier}.skops"
    save_estimator(model.estimator, part / name)
    return BundledModel(
        features=model.features,
        classifier=model.classifier,
        primary=primary,
        threshold=model.threshold,
        file=name,
        blocks=tuple(model.blocks),
        parameters=_plain(model.parameters),
        signatures=_plain(model.signatures),
        warnings=tuple(model.warnings),
    )


def _save_parts(parts: Parts, config: StudyConfig, part: Path) -> str | None:
    """Copy the networks, and the backbone's weights as safetensors; give the name of the weights."""
    if parts.segmenter is not None:
        shutil.copytree(parts.segmenter, part / "segmenter")
    if parts.networks is not None:
        shutil.copytree(parts.networks, part / NETWORKS)
    from sarcofuse.deep import backbone
    from sarcofuse.deep.weights import save_weights

    entry = backbone(config.deep.backbone)
    if parts.weights is None and (config.features or entry.origin == "study" or entry.package):
        return None
    (part / "weights").mkdir()
    return save_weights(entry, part / "weights", parts.weights).relative_to(part).as_posix()


def lead_model(models: Sequence[FittedModel], config: StudyConfig) -> FittedModel:
    """Give the model that the study declared as primary; where that is not there, the first that fuses blocks, or else of the last feature set.

    Parameters
    ----------
    models : sequence of FittedModel
        The models, at least one.
    config : StudyConfig
        The study's settings.

    Returns
    -------
    FittedModel
        The lead.
    """
    named = [m for m in models if (m.features, m.classifier) == config.models.primary]
    fused = [m for m in models if len(m.blocks) > 1]
    return next(iter(named or fused), None) or next(m for m in models if m.features == models[-1].features)


def _plain(content: Mapping[str, object]) -> dict[str, Any]:
    result = plain(content)
    return result if isinstance(result, dict) else {}


def _ranges(table: FeatureTable) -> dict[str, tuple[float, float]]:
    found = {}
    for name, column in zip(table.names, table.values.T, strict=True):
        known = column[np.isfinite(column)]
        if known.size:
            found[name] = (float(known.min()), float(known.max()))
    return found


def _model_card(config: StudyConfig, models: Sequence[FittedModel], lead: FittedModel) -> dict[str, object]:
    return {
        "intended_use": "Research: estimated probability of the outcome after surgery of soft tissue sarcoma, from one preoperative MRI. Not a medical device.",
        "outcome": config.cohort.outcome,
        "primary": f"{lead.features} with {lead.classifier}",
        "training_patients": len(lead.out_of_fold),
        "training_events": lead.events,
        "operating_point": f"{config.models.threshold} on out-of-fold training risks",
        "models": len(models),
        "limits": "Valid for images like those of the training hospitals; see training_ranges, and validate at your own hospital first.",
    }
