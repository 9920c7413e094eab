"""Fit the models: outer folds for honest training risks, then everything once more on all training patients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from sarcofuse.config import ModelsConfig
from sarcofuse.errors import CohortError, ConfigError
from sarcofuse.metrics import sensitivity_threshold, youden_threshold
from sarcofuse.models.classifiers import find_classifier
from sarcofuse.models.folds import Training, gather
from sarcofuse.models.record import FittedModel, Repeats, Signature
from sarcofuse.models.sets import FeatureSet, feature_sets
from sarcofuse.models.validate import further
from sarcofuse.models.work import Recipe, Work, collect, pooled, spread
from sarcofuse.records import FeatureTable
from sarcofuse.runtime import Engine, read_json, single_thread

Model = tuple[str, str]


def fit_models(
    tables: Mapping[str, FeatureTable],
    outcome: Mapping[str, int],
    signature: Signature,
    config: ModelsConfig,
    engine: Engine,
    seed: int,
    *,
    groups: Mapping[str, str] | None = None,
    repeats: Mapping[str, tuple[Repeats, ...]] | None = None,
) -> list[FittedModel]:
    """Fit every classifier on every feature set.

    The training patients are dealt into outer folds, stratified by outcome. For the risks of a fold, everything (gaps, selection, signatures, tuning) is learned from the
    other folds; where that is repeated with other folds, a patient's risk is the mean of its log-odds. The models themselves learn from all training patients; their
    threshold is chosen on the out-of-fold risks and stays.

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
    groups : mapping of str to str, optional
        Group of each patient; lesions or scans of one group stay together in every fold.
    repeats : mapping of str to tuple of Repeats, optional
        By block, features measured again: every fold, inner ones too, leaves out what is not stable over its own training patients.

    Returns
    -------
    list of FittedModel
        Feature set by feature set, classifiers in the order of the settings.

    Raises
    ------
    ConfigError
        If a classifier is unknown or not installed.
    StageError
        If there are no blocks, fewer than two patients with or without the event, or groups that the signature does not take.
    """
    return fit_chosen(tables, outcome, Recipe(signature, config, engine, seed, groups, repeats or {}))


def fit_chosen(tables: Mapping[str, FeatureTable], outcome: Mapping[str, int], recipe: Recipe, only: Sequence[Model] | None = None) -> list[FittedModel]:
    """Fit some of the models.

    Parameters
    ----------
    tables, outcome : mapping
        As in `fit_models`.
    recipe : Recipe
        All but the patients.
    only : sequence of (str, str), optional
        Feature set and classifier of the models to fit; by default all, and the primary one with the further figures that the settings ask for.

    Returns
    -------
    list of FittedModel
        As `fit_models`.

    Raises
    ------
    ConfigError, StageError
        As `fit_models`; or if there is no such model as in `only`.
    """
    data, wanted = prepare(tables, outcome, recipe, only)
    work = Work(data, recipe)
    rounds = [*data.outer(), data.final()]
    folders = work.signatures(data.blocks, rounds)
    places, last = work.classifiers(wanted, rounds, folders), len(rounds) - 1
    models = [_model(chosen, classifier, data, place, [folders[b, last] for b in chosen.blocks], recipe.config) for (chosen, classifier), place in zip(wanted, places, strict=True)]
    return further(models, work, wanted) if only is None else models


def out_of_fold(tables: Mapping[str, FeatureTable], outcome: Mapping[str, int], recipe: Recipe, only: Sequence[Model] | None = None) -> dict[Model, dict[str, float]]:
    """Give the out-of-fold risks that `fit_models` gives, without the models of all training patients.

    Parameters
    ----------
    tables, outcome, recipe, only : object
        As in `fit_chosen`.

    Returns
    -------
    dict of (str, str) to dict of str to float
        By feature set and classifier the risk of every training patient.

    Raises
    ------
    ConfigError, StageError
        As `fit_chosen`.
    """
    data, wanted = prepare(tables, outcome, recipe, only)
    risk = Work(data, recipe).out_of_fold(wanted, data.outer())
    return {(s.name, c): dict(zip(data.patient_ids, map(float, pooled(each)), strict=True)) for (s, c), each in zip(wanted, risk, strict=True)}


def prepare(tables: Mapping[str, FeatureTable], outcome: Mapping[str, int], recipe: Recipe, only: Sequence[Model] | None = None) -> tuple[Training, list[tuple[FeatureSet, str]]]:
    """Gather the patients and list the models.

    Parameters
    ----------
    tables, outcome, recipe, only : object
        As in `fit_chosen`.

    Returns
    -------
    data : Training
        The patients, with the blocks that the models read.
    wanted : list of (FeatureSet, str)
        Feature set and classifier of each model.

    Raises
    ------
    ConfigError, StageError
        As `fit_chosen`.
    """
    sets = feature_sets(tables, recipe.config)
    wanted = [(s, c) for s in sets for c in recipe.config.classifiers]
    data = gather({b: tables[b] for s in sets for b in s.blocks}, outcome, recipe.config, recipe.seed, recipe.groups, recipe.times)
    if only is not None:
        there = {(s.name, c) for s, c in wanted}
        absent = [m for m in only if m not in there]
        if absent:
            message = f"there is no model {absent[0][0]} with {absent[0][1]}; there are {', '.join(f'{s} with {c}' for s, c in sorted(there))}"
            raise ConfigError(message)
        wanted = [(s, c) for s, c in wanted if (s.name, c) in only]
        data = data.with_blocks({b for s, _ in wanted for b in s.blocks})
    for _, name in wanted:
        find_classifier(name)
    return data, wanted


def _model(chosen: FeatureSet, classifier: str, data: Training, folders: Sequence[Path], signatures: Sequence[Path], config: ModelsConfig) -> FittedModel:
    """Put a model together from what the tasks wrote: `folders` by round, `signatures` of the last round by block."""
    from sarcofuse.models.estimator import RiskModel
    from sarcofuse.models.persist import load_estimator

    each = collect(data.outer(), folders[:-1], data)
    risk = pooled(each)
    fitted = {b: load_estimator(folder / "signature.skops") for b, folder in zip(chosen.blocks, signatures, strict=True)}
    tail, most = load_estimator(folders[-1] / "classifier.skops"), find_classifier(classifier).most
    threshold = youden_threshold(data.y, risk) if config.threshold == "youden" else sensitivity_threshold(data.y, risk, config.sensitivity)
    notes = [f"{b}: cross-validation found no features that do better than none; {len(s.columns)} stand in, and chance is to be expected" for b, s in fitted.items() if not s.supported_]
    if most is not None and data.y.size > most:
        notes.append(f"{classifier} learns from {most} of {data.y.size} training patients, drawn within each class: its work grows with the square of their number")
    return FittedModel(
        features=chosen.name,
        classifier=classifier,
        blocks={b: data.names[b] for b in chosen.blocks},
        estimator=RiskModel(list(fitted.values()), [len(data.names[b]) for b in chosen.blocks], chosen.view, tail),
        threshold=threshold,
        out_of_fold=dict(zip(data.patient_ids, map(float, risk), strict=True)),
        events=int(data.y.sum()),
        parameters={**read_json(folders[-1] / "result.json")["parameters"], "view": chosen.view},
        signatures={b: _describe(s, data.names[b]) for b, s in fitted.items()},
        warnings=(*data.warnings, *notes, *(f"{b}: {note}" for b, s in fitted.items() for note in getattr(s, "notes_", ()))),
        validation={"repeats": spread(data.y, each)} if len(each) > 1 else {},
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
