"""Fit the models: outer folds for honest training risks, then everything once more on all training patients."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sarcofuse.config import ModelsConfig
from sarcofuse.errors import CohortError, StageError
from sarcofuse.metrics import sensitivity_threshold, stratified_folds, youden_threshold
from sarcofuse.models.blocks import ANYTHING, digest_arrays, learn_signatures, signature_task
from sarcofuse.models.classifiers import find_classifier
from sarcofuse.models.record import FittedModel, Floats, Repeats, Signature
from sarcofuse.models.tuning import VERSION, learn_classifier
from sarcofuse.records import FeatureTable
from sarcofuse.runtime import Engine, Entry, Task, digest, read_json, single_thread

FUSED = "dlr"
SOURCES = ("radiomic", "deep")
CLINICAL = "clinical"
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class FeatureSet:
    """Which blocks a model reads, and how.

    Attributes
    ----------
    name : str
        Name of the set.
    blocks : tuple of str
        Blocks, in order.
    view : {'signatures', 'features'}
        What the classifier sees of each.
    """

    name: str
    blocks: tuple[str, ...]
    view: str


@dataclass(frozen=True, slots=True, eq=False)
class Training:
    """The training patients, in order of patient_id.

    Attributes
    ----------
    patient_ids : tuple of str
        Who.
    y : ndarray of 0.0 and 1.0, shape (patients,)
        Outcome.
    blocks : mapping of str to ndarray, shape (patients, features)
        Features.
    rounds : tuple of ndarray of bool, shape (patients,)
        Training set of each outer fold, and last everybody.
    warnings : tuple of str
        What came up.
    """

    patient_ids: tuple[str, ...]
    y: Floats
    blocks: Mapping[str, Floats]
    rounds: tuple[Bools, ...]
    warnings: tuple[str, ...]


def feature_sets(blocks: Iterable[str], config: ModelsConfig) -> list[FeatureSet]:
    """Say which feature sets there are: each block by itself, and radiomic and deep fused.

    Parameters
    ----------
    blocks : iterable of str
        Blocks that there are.
    config : ModelsConfig
        Settings.

    Returns
    -------
    list of FeatureSet
        Radiomic, deep, DLR, then the others by name; the clinical block only if the settings ask for it.
    """
    there = set(blocks)
    main = [b for b in SOURCES if b in there]
    others = sorted(there - set(SOURCES) - (set() if config.clinical else {CLINICAL}))
    fused = [FeatureSet(FUSED, tuple(main), config.fusion)] if len(main) == len(SOURCES) else []
    return [FeatureSet(b, (b,), "features") for b in main] + fused + [FeatureSet(b, (b,), "features") for b in others]


def fit_models(
    tables: Mapping[str, FeatureTable],
    outcome: Mapping[str, int],
    signature: Signature,
    config: ModelsConfig,
    engine: Engine,
    seed: int,
    *,
    repeats: Mapping[str, tuple[Repeats, ...]] | None = None,
) -> list[FittedModel]:
    """Fit every classifier on every feature set.

    The training patients are dealt into outer folds, stratified by outcome. For the risks of a fold, everything (gaps, selection, signatures, tuning) is learned from the
    other folds. The models themselves learn from all training patients; their threshold is chosen on the out-of-fold risks and stays.

    Parameters
    ----------
    tables : mapping of str to FeatureTable
        Feature blocks. Rows of patients without a training outcome are not looked at.
    outcome : mapping of str to int
        Outcome (0 or 1) of the training patients.
    signature : Signature
        Unfitted signature estimator, such as `sarcofuse.signature.LassoSignature`.
    config : ModelsConfig
        Settings.
    engine : Engine
        Runs and caches the work.
    seed : int
        Seed of folds and classifiers.
    repeats : mapping of str to tuple of Repeats, optional
        By block, features measured again: every fold, inner ones too, leaves out what is not stable over its own training patients.

    Returns
    -------
    list of FittedModel
        Feature set by feature set, classifiers in the order of the settings.

    Raises
    ------
    ConfigError
        If a classifier is unknown.
    StageError
        If there are no blocks, or fewer than two patients with or without the event.
    """
    for name in config.classifiers:
        find_classifier(name)
    sets = feature_sets(tables, config)
    used = {b: tables[b] for s in sets for b in s.blocks}
    data = _training(used, outcome, config, seed)
    folders = _signatures(data, signature, config, engine, seed, repeats or {})
    jobs = [(s, c, at) for s in sets for c in config.classifiers for at in range(len(data.rounds))]
    tasks = [_classifier_task(s, c, at, data, folders, config, seed) for s, c, at in jobs]
    places = [entry.folder for entry in _run(engine, "models", learn_classifier, tasks)]
    names, last, models = {b: t.names for b, t in used.items()}, len(data.rounds) - 1, []
    for start in range(0, len(jobs), last + 1):
        chosen, classifier, _ = jobs[start]
        models.append(_model(chosen, classifier, data, names, places[start : start + last + 1], [folders[b, last] for b in chosen.blocks], config))
    return models


def _training(tables: Mapping[str, FeatureTable], outcome: Mapping[str, int], config: ModelsConfig, seed: int) -> Training:
    if not tables:
        message = "no feature block to learn from: expected radiomic, deep or others"
        raise StageError(message)
    everywhere = set.intersection(*[set(t.patient_ids) for t in tables.values()])
    patients = tuple(sorted(set(outcome) & everywhere))
    y = np.array([float(outcome[p]) for p in patients])
    events, others = int(y.sum()), int(y.size - y.sum())
    if min(events, others) < 2:
        message = f"models need at least 2 training patients with the event and 2 without it, with features of every block; found {events} and {others}"
        raise StageError(message)
    warnings = []
    if len(patients) < len(outcome):
        warnings.append(f"{len(outcome) - len(patients)} of {len(outcome)} training patients have no features in some block and were left out")
    fold = stratified_folds(y, config.folds, [seed, 3])
    count = int(fold.max()) + 1
    if count < config.folds:
        warnings.append(f"{count} outer folds instead of {config.folds}: there are only {min(events, others)} training patients {'with' if events <= others else 'without'} the event")
    rounds = (*[fold != k for k in range(count)], np.ones(y.size, dtype=bool))
    return Training(patients, y, {b: t.rows(patients) for b, t in tables.items()}, rounds, tuple(warnings))


def _signatures(data: Training, signature: Signature, config: ModelsConfig, engine: Engine, seed: int, repeats: Mapping[str, tuple[Repeats, ...]]) -> dict[tuple[str, int], Path]:
    places = [(block, at) for at in range(len(data.rounds)) for block in data.blocks]
    steady = {b: (data.patient_ids, repeats[b]) if repeats.get(b) else ANYTHING for b in data.blocks}
    tasks = [signature_task(f"{block} {_round(at, data)}", signature, data.blocks[block], data.y, data.rounds[at], config.signature.folds, seed, steady[block]) for block, at in places]
    return {place: entry.folder for place, entry in zip(places, _run(engine, "signatures", learn_signatures, tasks), strict=True)}


def _classifier_task(feature_set: FeatureSet, classifier: str, at: int, data: Training, folders: Mapping[tuple[str, int], Path], config: ModelsConfig, seed: int) -> Task:
    signatures = [folders[b, at] for b in feature_set.blocks]
    y = data.y[data.rounds[at]]
    key = digest(VERSION, classifier, feature_set.view, [f.name for f in signatures], digest_arrays(y), config.signature.folds, seed, config.tuning)
    return Task(f"{feature_set.name} {classifier} {_round(at, data)}", key, (classifier, feature_set.view, signatures, y, config.signature.folds, seed, config.tuning))


def _round(at: int, data: Training) -> str:
    return "final" if at == len(data.rounds) - 1 else f"fold {at + 1}"


def _run(engine: Engine, stage: str, function: object, tasks: Sequence[Task]) -> list[Entry]:
    done, failed = engine.run(stage, function, tasks, unit="fit")  # type: ignore[arg-type]
    if failed:
        message = f"{stage}: {failed[0].patient_id} failed: {failed[0].reason}"
        raise StageError(message)
    return done


def _model(chosen: FeatureSet, classifier: str, data: Training, names: Mapping[str, tuple[str, ...]], folders: Sequence[Path], signatures: Sequence[Path], config: ModelsConfig) -> FittedModel:
    """Put a model together from what the tasks wrote: `folders` by round, `signatures` of the last round by block."""
    from sarcofuse.models.estimator import RiskModel
    from sarcofuse.models.persist import load_estimator

    risk = np.empty(data.y.size)
    for train, folder in zip(data.rounds[:-1], folders[:-1], strict=True):
        risk[~train] = read_json(folder / "result.json")["risks"]
    fitted = {b: load_estimator(folder / "signature.skops") for b, folder in zip(chosen.blocks, signatures, strict=True)}
    tail = load_estimator(folders[-1] / "classifier.skops")
    threshold = youden_threshold(data.y, risk) if config.threshold == "youden" else sensitivity_threshold(data.y, risk, config.sensitivity)
    bare = [f"{b}: cross-validation found no features that do better than none; {len(s.columns)} stand in, and chance is to be expected" for b, s in fitted.items() if not s.supported_]
    return FittedModel(
        features=chosen.name,
        classifier=classifier,
        blocks={b: names[b] for b in chosen.blocks},
        estimator=RiskModel(list(fitted.values()), [len(names[b]) for b in chosen.blocks], chosen.view, tail),
        threshold=threshold,
        out_of_fold=dict(zip(data.patient_ids, map(float, risk), strict=True)),
        events=int(data.y.sum()),
        parameters={**read_json(folders[-1] / "result.json")["parameters"], "view": chosen.view},
        signatures={b: _describe(s, names[b]) for b, s in fitted.items()},
        warnings=(*data.warnings, *bare),
    )


def _describe(signature: Signature, names: Sequence[str]) -> dict[str, object]:
    coefficients = {names[j]: float(signature.coef_[j]) for j in signature.selected_}
    stand_in = [] if signature.selected_.size else [names[j] for j in signature.columns]
    return {"penalty": float(signature.penalty_), "intercept": float(signature.intercept_), "coefficients": coefficients, "supported": bool(signature.supported_), "stand_in": stand_in}


def risks(model: FittedModel, tables: Mapping[str, FeatureTable], patient_ids: Sequence[str]) -> dict[str, float]:
    """Give patients' risks: the same bits for a patient alone and among others.

    Parameters
    ----------
    model : FittedModel
        The model.
    tables : mapping of str to FeatureTable
        Feature blocks; columns are found by name.
    patient_ids : sequence of str
        Whose risk.

    Returns
    -------
    dict of str to float
        Probability of the event by patient.

    Raises
    ------
    CohortError
        If a block, a feature or a patient is absent.
    """
    columns = []
    for block, names in model.blocks.items():
        if block not in tables:
            message = f"the model {model.features} {model.classifier} reads features of block {block}; found blocks {', '.join(tables) or 'none'}"
            raise CohortError(message)
        table = tables[block]
        for kind, wanted, found in (("features", names, table.names), ("patients", patient_ids, table.patient_ids)):
            absent = sorted(set(wanted) - set(found))
            if absent:
                message = f"the table of block {block} lacks {len(absent)} {kind} that the model needs: {', '.join(absent[:5])}"
                raise CohortError(message)
        at = {name: i for i, name in enumerate(table.names)}
        columns.append(table.rows(patient_ids)[:, [at[name] for name in names]])
    with single_thread():
        risk = model.estimator.predict_proba(np.hstack(columns))[:, 1]
    return dict(zip(patient_ids, map(float, risk), strict=True))
