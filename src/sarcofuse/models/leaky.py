"""The usual recipe that leaks, for comparison alone: features are scaled and selected on all patients, and only then cross-validated."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sarcofuse.models.blocks import View, digest_arrays
from sarcofuse.models.fit import Model, prepare
from sarcofuse.models.folds import Integers
from sarcofuse.models.record import Floats
from sarcofuse.models.search import Search
from sarcofuse.models.tuning import VERSION, learn
from sarcofuse.models.work import Recipe, Work, collect, pooled, run_tasks
from sarcofuse.records import FeatureTable
from sarcofuse.runtime import Task, digest, write_json


def leaky_risks(tables: Mapping[str, FeatureTable], outcome: Mapping[str, int], recipe: Recipe, model: Model) -> dict[str, float]:
    """Give the cross-validated risks that one gets by selecting features on all patients first: wrong, and shown to be.

    Gaps, scaling, selection and signatures are learned once from all training patients; the classifier alone is cross-validated, on the folds of the honest risks. No
    figure of a study comes from here.

    Parameters
    ----------
    tables, outcome, recipe : object
        As in `sarcofuse.models.fit_chosen`.
    model : (str, str)
        Feature set and classifier.

    Returns
    -------
    dict of str to float
        Risk of every training patient.

    Raises
    ------
    ConfigError, StageError
        As `sarcofuse.models.fit_chosen`.
    """
    from sarcofuse.models.persist import load_estimator

    data, wanted = prepare(tables, outcome, recipe, [model])
    work, (chosen, classifier) = Work(data, recipe), wanted[0]
    folders = work.signatures(chosen.blocks, [data.final()])
    columns = []
    for block in chosen.blocks:
        whole = load_estimator(folders[block, 0] / "signature.skops")
        columns.append(whole.transform(data.blocks[block]) if chosen.view == "signatures" else whole.features(data.blocks[block]))
    seen, search, rounds = np.hstack(columns), Search.of(recipe.config), data.outer()
    tasks = []
    for round_ in rounds:
        fold = work.inner(round_.train)
        key = digest(VERSION, "leaky", classifier, chosen.view, digest_arrays(seen, data.y, round_.train, *([] if fold is None else [fold])), recipe.seed, search.kind, search.budget)
        tasks.append(Task(f"leaky {round_.name}", key, (classifier, seen, data.y, round_.train, fold, (recipe.seed, search, chosen.view == "signatures"))))
    places = [entry.folder for entry in run_tasks(recipe.engine, "leaky", learn_leaky, tasks)]
    return dict(zip(data.patient_ids, map(float, pooled(collect(rounds, places, data))), strict=True))


def learn_leaky(folder: Path, classifier: str, seen: Floats, y: Floats, train: NDArray[np.bool_], fold: Integers | None, how: tuple[int, Search, bool]) -> None:
    """Train a classifier on columns that have seen everybody, and write the risks of the patients left out (``result.json``).

    Parameters
    ----------
    folder : Path
        Where to write.
    classifier : str
        Name of the classifier.
    seen : ndarray, shape (patients, columns)
        What it sees.
    y : ndarray of 0 and 1, shape (patients,)
        Outcome.
    train : ndarray of bool, shape (patients,)
        Training set.
    fold : ndarray of int, shape (training patients,), or None
        Inner folds.
    how : (int, Search, bool)
        Seed, how to tune, and whether more of a column can only mean more risk.
    """
    seed, search, monotone = how
    known = seen[train]
    inner = tuple((known[fold != k], known[fold == k]) for k in range(0 if fold is None else int(fold.max()) + 1))
    tail, _ = learn(classifier, View(known, seen[~train], inner), y[train], fold, seed, search=search, monotone=monotone)
    write_json({"risks": tail.predict_proba(seen[~train])[:, 1]}, folder / "result.json")
