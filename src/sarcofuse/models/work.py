"""Rounds of learning, handed to the engine: signatures block by block, then classifiers on what they show."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sarcofuse.config import ModelsConfig
from sarcofuse.errors import StageError
from sarcofuse.metrics import auc, grouped_folds, logit
from sarcofuse.models.blocks import Beside, digest_arrays, learn_signatures, signature_task
from sarcofuse.models.calibrate import probability
from sarcofuse.models.folds import Bools, Integers, Round, Training, inner_folds
from sarcofuse.models.record import Floats, Learned, Repeats, Signature
from sarcofuse.models.search import Search
from sarcofuse.models.sets import FeatureSet
from sarcofuse.models.tuning import VERSION, learn_classifier
from sarcofuse.runtime import Engine, Entry, Task, digest, read_json


@dataclass(frozen=True, slots=True, eq=False)
class Recipe:
    """How models are fitted: all but the patients.

    Attributes
    ----------
    signature : Signature
        Unfitted.
    config : ModelsConfig
        Settings.
    engine : Engine
        Runs and caches the work.
    seed : int
        Seed of folds and classifiers.
    groups : mapping of str to str, or None
        Group of each patient; rows of one group stay together in every fold.
    repeats : mapping of str to tuple of Repeats
        By block, features measured again: every fold, inner ones too, leaves out what is not stable over its own training patients.
    times : mapping of str to float, or None
        Time of the event or of the last sight without it by patient, where signatures learn from it (`sarcofuse.signature.CoxSignature`).
    learned : mapping of str to Learned
        Blocks that are themselves learned from the outcome: they are learned anew in the training part of every round.
    """

    signature: Signature
    config: ModelsConfig
    engine: Engine
    seed: int
    groups: Mapping[str, str] | None = None
    repeats: Mapping[str, tuple[Repeats, ...]] = field(default_factory=dict)
    times: Mapping[str, float] | None = None
    learned: Mapping[str, Learned] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Work:
    """What every round has in common.

    Attributes
    ----------
    data : Training
        The patients.
    recipe : Recipe
        All but the patients.
    """

    data: Training
    recipe: Recipe

    def inner(self, train: Bools) -> Integers | None:
        """Deal the inner folds of a training set.

        Parameters
        ----------
        train : ndarray of bool, shape (patients,)
            Who is in it.

        Returns
        -------
        ndarray of int or None
            Fold of each of them; None where there are too few events.
        """
        group = None if self.data.group is None else self.data.group[train]
        return inner_folds(self.data.y[train], group, self.recipe.config.signature.folds, self.recipe.seed)

    def division(self, round_: Round) -> Integers:
        """Divide the training set of a round for blocks that are learned from the outcome.

        The folds are those of the cross-validation itself, so that what was learned without folds j and k serves both the round that leaves out j and the one that leaves out k. Where the
        training set lies in one of them, it is dealt anew.

        Parameters
        ----------
        round_ : Round
            The round.

        Returns
        -------
        ndarray of int, shape (patients,)
            Fold; -1 for patients who are not in the training set.

        Raises
        ------
        StageError
            If the training set has fewer than two patients (or groups) with or without the event.
        """
        fold = np.where(round_.train, self.data.fold[round_.repeat], -1)
        if len(np.unique(fold[round_.train])) < 2:
            group = None if self.data.group is None else self.data.group[round_.train]
            try:
                fold[round_.train] = grouped_folds(self.data.y[round_.train], group, self.recipe.config.folds, [self.recipe.seed, 14])
            except ValueError as error:
                message = f"deep features that learn from the outcome cannot be dealt into folds within {round_.name}: {error}. Set models.folds higher, or deep.fine_tune.mode: none"
                raise StageError(message) from error
        return fold

    def values(self, block: str, rounds: Sequence[Round]) -> list[Floats]:
        """Give a block's values in every round: the same, unless the block is learned from the outcome.

        Parameters
        ----------
        block : str
            Which block.
        rounds : sequence of Round
            Training sets.

        Returns
        -------
        list of ndarray, each of shape (patients, features)
            Values of all training patients.
        """
        given = self.data.blocks[block]
        if block not in self.recipe.learned:
            return [given] * len(rounds)
        learned, data = self.recipe.learned[block], self.data
        found = learned.learn(data.patient_ids, data.y, data.group, [(r.train, self.division(r)) for r in rounds])
        return [np.hstack([values, given[:, len(learned.names) :]]) for values in found]

    def signatures(self, blocks: Iterable[str], rounds: Sequence[Round]) -> dict[tuple[str, int], Path]:
        """Learn the signatures of every block in every round.

        Parameters
        ----------
        blocks : iterable of str
            Which blocks.
        rounds : sequence of Round
            Training sets.

        Returns
        -------
        dict of (str, int) to Path
            By block and place of the round, what `learn_signatures` wrote.
        """
        data, names = self.data, list(blocks)
        inner = [self.inner(r.train) for r in rounds]
        places = [(block, at) for at in range(len(rounds)) for block in names]
        tasks, found = [], {block: self.values(block, rounds) for block in names}
        for block, at in places:
            used = rounds[at].train | rounds[at].test
            beside = Beside(data.patient_ids, self.recipe.repeats.get(block, ()), data.group, data.time).of(used)
            values = found[block][at] if used.all() else found[block][at][used]  # one array for all rounds, not a copy each
            tasks.append(signature_task(f"{block} {rounds[at].name}", self.recipe.signature, values, data.y[used], rounds[at].train[used], inner[at], beside))
        return {place: entry.folder for place, entry in zip(places, run_tasks(self.recipe.engine, "signatures", learn_signatures, tasks), strict=True)}

    def classifiers(self, wanted: Sequence[tuple[FeatureSet, str]], rounds: Sequence[Round], folders: Mapping[tuple[str, int], Path]) -> list[list[Path]]:
        """Learn the classifiers of every model in every round.

        Parameters
        ----------
        wanted : sequence of (FeatureSet, str)
            Feature set and classifier of each model.
        rounds : sequence of Round
            Training sets.
        folders : mapping of (str, int) to Path
            From `signatures`, for the same rounds.

        Returns
        -------
        list of list of Path
            By model and round, what `learn_classifier` wrote.
        """
        inner, search, tasks = [self.inner(r.train) for r in rounds], Search.of(self.recipe.config), []
        for chosen, classifier in wanted:
            for at, round_ in enumerate(rounds):
                seen, y, fold = [folders[b, at] for b in chosen.blocks], self.data.y[round_.train], inner[at]
                key = digest(VERSION, classifier, chosen.view, [f.name for f in seen], digest_arrays(y, *([] if fold is None else [fold])), self.recipe.seed, search.kind, search.budget)
                tasks.append(Task(f"{chosen.name} {classifier} {round_.name}", key, (classifier, chosen.view, seen, y, fold, self.recipe.seed, search)))
        done = [entry.folder for entry in run_tasks(self.recipe.engine, "models", learn_classifier, tasks)]
        return [done[start : start + len(rounds)] for start in range(0, len(done), len(rounds))]

    def out_of_fold(self, wanted: Sequence[tuple[FeatureSet, str]], rounds: Sequence[Round]) -> list[Floats]:
        """Give each model's risks of the patients whom the rounds leave out.

        Parameters
        ----------
        wanted : sequence of (FeatureSet, str)
            The models.
        rounds : sequence of Round
            Each repeat leaves every patient out once.

        Returns
        -------
        list of ndarray, shape (repeats, patients)
            Risks, one array a model.
        """
        folders = self.signatures(dict.fromkeys(b for s, _ in wanted for b in s.blocks), rounds)
        return [collect(rounds, places, self.data) for places in self.classifiers(wanted, rounds, folders)]


def collect(rounds: Sequence[Round], folders: Sequence[Path], data: Training) -> Floats:
    """Read the risks of the patients whom each round left out.

    Parameters
    ----------
    rounds : sequence of Round
        The rounds.
    folders : sequence of Path
        What `learn_classifier` wrote in each.
    data : Training
        The patients.

    Returns
    -------
    ndarray, shape (repeats, patients)
        Risks.
    """
    each = np.full((max(r.repeat for r in rounds) + 1, data.y.size), np.nan)
    for round_, folder in zip(rounds, folders, strict=True):
        each[round_.repeat, round_.test] = read_json(folder / "result.json")["risks"]
    return each


def pooled(each: Floats) -> Floats:
    """Pool a patient's risks over repeats: the probability of the mean log-odds.

    Parameters
    ----------
    each : ndarray, shape (repeats, patients)
        Risks.

    Returns
    -------
    ndarray, shape (patients,)
        One risk a patient; the risk itself where there is one repeat.

    Examples
    --------
    >>> pooled(np.array([[0.2, 0.5], [0.8, 0.5]])).round(12).tolist()
    [0.5, 0.5]
    """
    if len(each) == 1:
        return np.asarray(each[0])
    return np.array([probability(float(odds), 1.0, 0.0) for odds in logit(each).mean(axis=0)])


def spread(y: Floats, each: Floats) -> dict[str, Any]:
    """Say how much the out-of-fold AUC depends on how the patients were dealt.

    Parameters
    ----------
    y : ndarray of 0 and 1, shape (patients,)
        Outcome.
    each : ndarray, shape (repeats, patients)
        Risks.

    Returns
    -------
    dict
        AUC of each repeat, their mean and standard deviation, that of the pooled risks, and the mean over patients of the standard deviation of their risk.
    """
    areas = [auc(y, risk) for risk in each]
    return {
        "repeats": len(each),
        "auc": areas,
        "auc_mean": float(np.mean(areas)),
        "auc_deviation": float(np.std(areas, ddof=1)) if len(areas) > 1 else None,
        "auc_pooled": auc(y, pooled(each)),
        "risk_deviation": float(each.std(axis=0, ddof=1).mean()) if len(each) > 1 else None,
    }


def run_tasks(engine: Engine, stage: str, function: object, tasks: Sequence[Task]) -> list[Entry]:
    """Run tasks of which none may fail.

    Parameters
    ----------
    engine : Engine
        Runs and caches the work.
    stage : str
        Name of the stage.
    function : callable
        As in `Engine.run`.
    tasks : sequence of Task
        What to do.

    Returns
    -------
    list of Entry
        In the order of the tasks.

    Raises
    ------
    StageError
        If one fails, in its own words.
    """
    done, failed = engine.run(stage, function, tasks, unit="fit")  # type: ignore[arg-type]
    if failed:
        message = f"{stage}: {failed[0].patient_id} failed: {failed[0].reason}"
        raise StageError(message)
    return done
