"""Folds in which patients who belong together stay together, and the rounds of cross-validation made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sarcofuse.config import ModelsConfig
from sarcofuse.errors import StageError
from sarcofuse.metrics import group_outcomes, grouped_folds
from sarcofuse.models.record import Floats
from sarcofuse.records import FeatureTable

Integers = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Round:
    """One training set and the patients who are predicted from it.

    Attributes
    ----------
    name : str
        ``fold 2``, ``final`` ...
    train, test : ndarray of bool, shape (patients,)
        Who learns and who is predicted; nobody is in both.
    repeat : int
        To which repeat of the cross-validation it belongs.
    """

    name: str
    train: Bools
    test: Bools
    repeat: int = 0


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
    names : mapping of str to tuple of str
        Names of the features.
    group : ndarray of int, shape (patients,), or None
        Rows of one number stay together in every fold.
    fold : ndarray of int, shape (repeats, patients)
        Outer fold of each patient in each repeat.
    warnings : tuple of str
        What came up.
    time : ndarray of float64, shape (patients,), or None
        Follow-up time, where signatures learn from it.
    """

    patient_ids: tuple[str, ...]
    y: Floats
    blocks: Mapping[str, Floats]
    names: Mapping[str, tuple[str, ...]]
    group: Integers | None
    fold: Integers
    warnings: tuple[str, ...]
    time: Floats | None = None

    def outer(self) -> list[Round]:
        """Give the rounds of the outer cross-validation, repeat by repeat.

        Returns
        -------
        list of Round
            One a fold and repeat.
        """
        rounds = []
        for at, fold in enumerate(self.fold):
            again = f" of repeat {at + 1}" if len(self.fold) > 1 else ""
            rounds += [Round(f"fold {k + 1}{again}", fold != k, fold == k, at) for k in range(int(fold.max()) + 1)]
        return rounds

    def with_blocks(self, blocks: set[str]) -> Training:
        """Keep some of the blocks.

        Parameters
        ----------
        blocks : set of str
            Which.

        Returns
        -------
        Training
            The same patients and folds.
        """
        return replace(self, blocks={b: v for b, v in self.blocks.items() if b in blocks}, names={b: v for b, v in self.names.items() if b in blocks})

    def final(self) -> Round:
        """Give the round that everybody learns in and nobody is predicted in.

        Returns
        -------
        Round
            The last one.
        """
        return Round("final", np.ones(self.y.size, dtype=bool), np.zeros(self.y.size, dtype=bool))


def inner_folds(y: Floats, group: Integers | None, folds: int, seed: int) -> Integers | None:
    """Deal a training set into inner folds.

    Parameters
    ----------
    y : ndarray of 0 and 1, shape (patients,)
        Outcome of the training set, in order of patient_id.
    group : ndarray of int, shape (patients,), or None
        Rows of one number stay together.
    folds : int
        Folds wanted.
    seed : int
        Seed of the dealing.

    Returns
    -------
    ndarray of int or None
        Fold of each patient; None where a class has fewer than two patients (or groups).
    """
    event = y if group is None else group_outcomes(y, group)[1]
    return grouped_folds(y, group, folds, [seed, 2]) if min(event.sum(), (1 - event).sum()) >= 2 else None


def gather(
    tables: Mapping[str, FeatureTable], outcome: Mapping[str, int], config: ModelsConfig, seed: int, groups: Mapping[str, str] | None, times: Mapping[str, float] | None = None
) -> Training:
    """Put the training patients in order and deal the outer folds.

    Parameters
    ----------
    tables : mapping of str to FeatureTable
        Feature blocks; rows of patients without an outcome are not looked at.
    outcome : mapping of str to int
        Outcome (0 or 1) of the training patients.
    config : ModelsConfig
        Settings.
    seed : int
        Seed of the folds.
    groups : mapping of str to str, or None
        Group of each patient; whoever is not named is alone.
    times : mapping of str to float, optional
        Follow-up time of each patient, where signatures learn from it.

    Returns
    -------
    Training
        Those with features of every block.

    Raises
    ------
    StageError
        If there are no blocks, or fewer than two patients (or groups) with or without the event.
    """
    if not tables:
        message = "no feature block to learn from: expected radiomic, deep or others"
        raise StageError(message)
    everywhere = set.intersection(*[set(t.patient_ids) for t in tables.values()])
    patients = tuple(sorted(set(outcome) & everywhere))
    y = np.array([float(outcome[p]) for p in patients])
    group = _numbers(patients, groups)
    event = y if group is None else group_outcomes(y, group)[1]
    events, others, unit = int(event.sum()), int(event.size - event.sum()), "patients" if group is None else "groups of patients"
    if min(events, others) < 2:
        message = f"models need at least 2 training {unit} with the event and 2 without it, with features of every block; found {events} and {others}"
        raise StageError(message)
    warnings = []
    if len(patients) < len(outcome):
        warnings.append(f"{len(outcome) - len(patients)} of {len(outcome)} training patients have no features in some block and were left out")
    fold = np.array([grouped_folds(y, group, config.folds, [seed, 3, r][: 2 + (r > 0)]) for r in range(config.repeats)])
    count = int(fold.max()) + 1
    if count < config.folds:
        warnings.append(f"{count} outer folds instead of {config.folds}: there are only {min(events, others)} training {unit} {'with' if events <= others else 'without'} the event")
    names = {b: t.names for b, t in tables.items()}
    return Training(patients, y, {b: t.rows(patients) for b, t in tables.items()}, names, group, fold, tuple(warnings), _time_of(patients, times))


def _time_of(patients: Sequence[str], times: Mapping[str, float] | None) -> Floats | None:
    if times is None:
        return None
    bare = [p for p in patients if p not in times]
    if bare:
        message = f"models.signature.model is cox, and {len(bare)} of {len(patients)} training patients have no follow-up time; complete the column, or take model: logistic"
        raise StageError(message)
    return np.array([float(times[p]) for p in patients])


def _numbers(patients: Sequence[str], groups: Mapping[str, str] | None) -> Integers | None:
    """Give the numbers of the groups; None where nobody shares one."""
    if groups is None:
        return None
    labels = [("group", groups[p]) if p in groups else ("alone", p) for p in patients]
    numbers: dict[tuple[str, str], int] = {}
    found = np.array([numbers.setdefault(label, len(numbers)) for label in labels], dtype=np.int64)
    return found if len(numbers) < len(labels) else None
