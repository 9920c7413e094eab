"""Where the network learns the outcome: signatures nested in the folds of the models, networks kept for new patients, the honest gap on record."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sarcofuse.records import Case, FeatureTable, SetAside
from sarcofuse.runtime import atomic_file, digest, write_json, write_table

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sarcofuse.deep import FineTuner
    from sarcofuse.models import Learned, Recipe

BLOCK = "deep"
NETWORKS, FIGURES, NESTED = "deep/networks", "deep/fine_tuning.json", "deep/nested.npz"
FORMAT = 1


@dataclass
class Remembered:
    """A learned block whose values, training set by training set, are kept in the run folder, so that an audit finds them without images.

    Attributes
    ----------
    source : Learned or None
        Who learns; None where only what is known can be given.
    names : tuple of str
        Columns that are learned.
    known : dict of str to ndarray, each of shape (patients, columns)
        Values by training set.
    otherwise : ndarray, shape (patients, columns), or None
        What to give for a training set that is not known and cannot be learned.
    """

    source: Learned | None
    names: tuple[str, ...]
    known: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    otherwise: NDArray[np.float64] | None = None

    def learn(self, patient_ids: Sequence[str], y: NDArray[np.float64], group: NDArray[np.int64] | None, rounds: Sequence[tuple[NDArray[np.bool_], NDArray[np.int64]]]) -> list[NDArray[np.float64]]:
        """Give the block's values for each training set.

        Parameters
        ----------
        patient_ids, y, group, rounds : object
            As in `sarcofuse.models.Learned`.

        Returns
        -------
        list of ndarray, each of shape (patients, columns)
            Values.
        """
        keys = [digest(list(patient_ids), y, train, fold[train]) for train, fold in rounds]
        absent = [i for i, key in enumerate(keys) if key not in self.known]
        if absent and self.source is not None:
            found = self.source.learn(patient_ids, y, group, [rounds[i] for i in absent])
            self.known |= {keys[i]: values for i, values in zip(absent, found, strict=True)}
        return [self.known.get(key, self.otherwise if self.otherwise is not None else np.zeros((len(patient_ids), len(self.names)))) for key in keys]

    def save(self, file: Path) -> None:
        """Write the values.

        Parameters
        ----------
        file : Path
            ``.npz``, an array a training set.
        """
        with atomic_file(file) as part, part.open("wb") as stream:
            np.savez(stream, **{key: self.known[key] for key in sorted(self.known)})  # type: ignore[arg-type]


def recall(folder: Path, tables: Mapping[str, FeatureTable], outcome: Mapping[str, int]) -> dict[str, Learned]:
    """Give the learned block of a finished run, without its images.

    Parameters
    ----------
    folder : Path
        The run folder.
    tables : mapping of str to FeatureTable
        Its features.
    outcome : mapping of str to int
        Outcome of the training patients who are in every table.

    Returns
    -------
    dict of str to Learned
        The block ``deep`` as the run's training sets had it; for other training sets its out-of-fold values. Empty where nothing was fine-tuned.
    """
    if not (folder / NESTED).is_file() or BLOCK not in tables:
        return {}
    with np.load(folder / NESTED, allow_pickle=False) as content:
        known = {key: content[key] for key in content.files}
    width = next(iter(known.values())).shape[1]
    return {BLOCK: Remembered(None, tables[BLOCK].names[:width], known, tables[BLOCK].rows(sorted(outcome))[:, :width])}


def unlearned(tuner: FineTuner) -> FeatureTable:
    """Say who will have a deep signature.

    Parameters
    ----------
    tuner : FineTuner
        Ready to learn.

    Returns
    -------
    FeatureTable
        Block ``deep`` with the patients who could be shown; its values are yet to be learned.
    """
    return FeatureTable(BLOCK, tuple(tuner.bags), tuner.names, np.full((len(tuner.bags), len(tuner.names)), np.nan))


@dataclass(frozen=True, slots=True)
class Tuned:
    """What came of fine-tuning.

    Attributes
    ----------
    tables : mapping of str to FeatureTable
        All blocks, the deep one with its values: out-of-fold for training patients, the networks' mean for others.
    recipe : Recipe
        Learns the deep block anew in every training set.
    set_aside : tuple of SetAside
        Patients whom the networks could not score.
    warnings : tuple of str
        What a careful reader should know.
    unseen : mapping of str to Path
        By training patient the folder of the network that did not learn from them.
    """

    tables: Mapping[str, FeatureTable]
    recipe: Recipe
    set_aside: tuple[SetAside, ...]
    warnings: tuple[str, ...]
    unseen: Mapping[str, Path]


def fine_tune(
    tuner: FineTuner, tables: Mapping[str, FeatureTable], outcome: Mapping[str, int], recipe: Recipe, cases: Sequence[Case], run: Path, *, weights: Path | None = None, encoder: Path | None = None
) -> Tuned:
    """Let networks learn in every fold of the models, and serve the other patients.

    Parameters
    ----------
    tuner : FineTuner
        Ready to learn.
    tables : mapping of str to FeatureTable
        All blocks; the deep one as `unlearned` gave it (and it may have further columns, such as the site).
    outcome : mapping of str to int
        Outcome of the training patients who are in every table.
    recipe : Recipe
        How models are fitted.
    cases : sequence of Case
        All patients with images; of the internal and external ones, those who are in every table are served.
    run : Path
        The run folder; ``deep/networks``, ``deep/fine_tuning.json``, ``deep/nested.npz`` and ``features/deep.parquet`` are written.
    weights : Path, optional
        Weights file of the backbone.
    encoder : Path, optional
        Folder of the study's segmenter.

    Returns
    -------
    Tuned
        Tables and recipe for the models.

    Raises
    ------
    StageError
        If a network would have too few patients of a class to learn from.
    """
    from sarcofuse import deep
    from sarcofuse.models import Work, prepare

    learner = Remembered(tuner, tuner.names)
    recipe = dataclasses.replace(recipe, learned={BLOCK: learner})
    data, _ = prepare({b: FeatureTable(b, tuple(outcome), t.names, t.rows(list(outcome))) for b, t in tables.items()}, outcome, recipe)
    work = Work(data, recipe)
    rounds = [data.final(), *data.outer()]
    own, group, fold = work.values(BLOCK, rounds)[0], data.group, work.division(rounds[0])
    learner.save(run / NESTED)
    unseen = tuner.keep(run / NETWORKS, data.patient_ids, data.y, group, fold)
    write_json({"format": FORMAT, **tuner.figures(data.patient_ids, data.y, group, fold)}, run / FIGURES)
    everywhere = set.intersection(*(set(t.patient_ids) for t in tables.values()))
    others = [c for c in cases if c.split != "train" and c.patient_id in everywhere]
    served, aside = deep.serve_fine_tuned(others, tuner.config, tuner.engine, run / NETWORKS, weights=weights, encoder=encoder)
    width, given = len(tuner.names), tables[BLOCK]
    who = (*data.patient_ids, *served.patient_ids)
    values = np.concatenate([own[:, :width], served.values])
    ordered = sorted(range(len(who)), key=lambda i: who[i])
    ids = tuple(who[i] for i in ordered)
    write_table(FeatureTable(BLOCK, ids, tuner.names, values[ordered]), run / "features" / f"{BLOCK}.parquet")
    found = FeatureTable(BLOCK, ids, given.names, np.hstack([values[ordered], given.rows(ids)[:, width:]]))
    return Tuned({**tables, BLOCK: found}, recipe, tuple(aside), tuple(tuner.warnings(int(data.y.sum()))), unseen)
