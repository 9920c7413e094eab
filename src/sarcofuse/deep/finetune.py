"""Deep signatures that were learned from the outcome: never by a network that saw the patient, nested in the folds of whoever asks.

A set of patients that learns (all training patients, or those of a training part of cross-validation) is divided into folds. The network of a fold learns from the others. A patient of
the set gets the logit of the one network that did not learn from him; everybody else the mean over the networks. Where the folds of a training part are those of the cross-validation
itself, the network without folds j and k serves both the round that leaves j out and the one that leaves k out.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sarcofuse.config.deep import DeepConfig
from sarcofuse.deep.bags import Kept, make_bags, read_bag
from sarcofuse.deep.kept import RECIPE, kept_networks
from sarcofuse.deep.look import Source
from sarcofuse.deep.stage import find_source
from sarcofuse.deep.trouble import is_memory
from sarcofuse.errors import CaseError, StageError
from sarcofuse.metrics import auc, delong_interval, group_outcomes
from sarcofuse.records import Case, FeatureTable, SetAside
from sarcofuse.runtime import Engine, Task, digest, digest_file, read_json, write_json

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sarcofuse.deep.learning import Lesson

VERSION = "deep fine-tuning 1"
NETWORKS, SCORES, SERVED = "deep-networks", "deep-scores", "deep-signatures"  # stages of the engine
COLUMN = "deep_signature"
VALUES = "scores.npy"
FEW = 30  # patients with the event below which more than a probe is too much


@dataclass(frozen=True, slots=True, eq=False)
class _Network:
    """One network: who learnt, and the task of doing so."""

    rows: NDArray[np.bool_]
    task: Task


@dataclass(frozen=True, eq=False)
class FineTuner:
    """Learns deep signatures for whatever set of patients is asked for.

    Attributes
    ----------
    config : DeepConfig
        Settings.
    source : Source
        Verified weights of the backbone.
    engine : Engine
        Runs and caches the work, one task a network.
    seed : int
        Seed of the study; ``deep.fine_tune.seed`` goes before it.
    bags : mapping of str to Kept
        By patient.
    """

    config: DeepConfig
    source: Source
    engine: Engine
    seed: int
    bags: Mapping[str, Kept]
    _scores: dict[tuple[str, str], float] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """Columns that are learned."""
        return (COLUMN,)

    def learn(self, patient_ids: Sequence[str], y: NDArray[np.float64], group: NDArray[np.int64] | None, rounds: Sequence[tuple[NDArray[np.bool_], NDArray[np.int64]]]) -> list[NDArray[np.float64]]:
        """Give the deep signatures of patients, as each of several training sets has them.

        Parameters
        ----------
        patient_ids : sequence of str
            Training patients, in order.
        y : ndarray of 0 and 1, shape (patients,)
            Outcome.
        group : ndarray of int, shape (patients,), or None
            Patients of one number stay together.
        rounds : sequence of (ndarray of bool, ndarray of int), each of shape (patients,)
            Who learns, and in which fold (only that of learners matters).

        Returns
        -------
        list of ndarray, each of shape (patients, 1)
            For learners out-of-fold, for others the mean over the round's networks, none of which saw their outcome.

        Raises
        ------
        StageError
            If a network would have fewer than two patients (or groups) with or without the event, or the loss is no longer a number.
        """
        planned = [[self._network(patient_ids, y, group, train & (fold != k)) for k in np.unique(fold[train])] for train, fold in rounds]
        self._train([network for networks in planned for network in networks])
        self._ask([(network, ~network.rows) for networks in planned for network in networks], patient_ids)
        found = []
        for (train, fold), networks in zip(rounds, planned, strict=True):
            values = np.zeros((len(patient_ids), 1))
            out = np.flatnonzero(~train).tolist()
            values[out, 0] = [float(np.mean([self._score(n, patient_ids[i]) for n in networks])) for i in out]
            for k, network in zip(np.unique(fold[train]), networks, strict=True):
                own = np.flatnonzero(train & (fold == k)).tolist()
                values[own, 0] = [self._score(network, patient_ids[i]) for i in own]
            found.append(values)
        return found

    def keep(self, folder: Path, patient_ids: Sequence[str], y: NDArray[np.float64], group: NDArray[np.int64] | None, fold: NDArray[np.int64]) -> dict[str, Path]:
        """Write the networks that serve new patients: those of the folds of all training patients.

        Parameters
        ----------
        folder : Path
            Where to; replaced. For each fold ``network_<fold>/`` (the tensors that changed, the head, notes), and ``recipe.json``.
        patient_ids, y, group : object
            As in `learn`.
        fold : ndarray of int, shape (patients,)
            Fold of each training patient.

        Returns
        -------
        dict of str to Path
            By training patient the folder of the one network that did not learn from them.
        """
        networks = self._final(patient_ids, y, group, fold)
        shutil.rmtree(folder, ignore_errors=True)
        for k, network in enumerate(networks):
            place = self._place(network)
            own = folder / f"network_{k}"
            own.mkdir(parents=True)
            for file in sorted(place.iterdir()):
                shutil.copyfile(file, own / file.name)
        settings = self.config.model_copy(update={"weights": None, "device": "auto"})
        names = [f"network_{k}" for k in range(len(networks))]
        write_json({"format": 1, "base": self.source.digest, "seed": self._seed, "settings": settings.model_dump(mode="json"), "networks": names}, folder / RECIPE)
        return {patient_ids[i]: folder / name for name, network in zip(names, networks, strict=True) for i in np.flatnonzero(~network.rows).tolist()}

    def figures(self, patient_ids: Sequence[str], y: NDArray[np.float64], group: NDArray[np.int64] | None, fold: NDArray[np.int64]) -> dict[str, Any]:
        """Compare what the networks say of patients whom they learnt from with what they say of others.

        Parameters
        ----------
        patient_ids, y, group, fold : object
            As in `keep`.

        Returns
        -------
        dict
            AUC with DeLong's interval of the training patients ``in_sample`` (mean over the networks that learnt from the patient) and ``out_of_fold``, the ``gap`` between them, and what each
            network notes of itself.
        """
        networks = self._final(patient_ids, y, group, fold)
        self._ask([(n, np.ones(len(patient_ids), dtype=bool)) for n in networks], patient_ids)
        scores = np.array([[self._score(n, p) for p in patient_ids] for n in networks])
        seen = np.array([n.rows for n in networks])
        inside, outside = (scores * seen).sum(0) / seen.sum(0), (scores * ~seen).sum(0)
        notes = [read_json(self._place(n) / "notes.json") for n in networks]
        brief = [{k: v for k, v in n.items() if not k.endswith("losses")} for n in notes]
        return {
            "mode": self.config.fine_tune.mode,
            "head": self.config.head,
            "backbone": self.config.backbone,
            "seed": self._seed,
            "patients": len(patient_ids),
            "events": int(y.sum()),
            "in_sample": asdict(delong_interval(y, inside)),
            "out_of_fold": asdict(delong_interval(y, outside)),
            "gap": float(auc(y, inside) - auc(y, outside)),
            "networks": brief,
        }

    def warnings(self, events: int) -> list[str]:
        """Tell what a careful reader should know of the settings.

        Parameters
        ----------
        events : int
            Training patients with the event.

        Returns
        -------
        list of str
            One, or none.
        """
        mode = self.config.fine_tune.mode
        if events >= FEW or mode == "probe":
            return []
        return [f"{events} training patients with the event are few for a network to change by (deep.fine_tune.mode: {mode}); mode: probe changes a head alone and is the safer choice below {FEW}"]

    @property
    def _seed(self) -> int:
        own = self.config.fine_tune.seed
        return self.seed if own is None else own

    def _final(self, patient_ids: Sequence[str], y: NDArray[np.float64], group: NDArray[np.int64] | None, fold: NDArray[np.int64]) -> list[_Network]:
        networks = [self._network(patient_ids, y, group, fold != k) for k in np.unique(fold)]
        self._train(networks)
        return networks

    def _network(self, patient_ids: Sequence[str], y: NDArray[np.float64], group: NDArray[np.int64] | None, rows: NDArray[np.bool_]) -> _Network:
        """Plan the network that learns from some patients; its name is what it learns from, so that one network serves all who ask for it."""
        from sarcofuse.deep.learning import Lesson

        at = np.flatnonzero(rows)
        number, event = (np.arange(at.size), y[at]) if group is None else group_outcomes(y[at], group[at])
        events, others = int(event.sum()), int(event.size - event.sum())
        if min(events, others) < 2:
            unit = "patients" if group is None else "groups of patients"
            message = (
                f"fine-tuning (deep.fine_tune.mode: {self.config.fine_tune.mode}): a network would learn from {events} {unit} with the event and {others} without it; "
                "expected at least 2 of each. Set models.folds higher (a network learns without two of the folds), or deep.fine_tune.mode: none"
            )
            raise StageError(message)
        bags = [self.bags[patient_ids[i]] for i in at.tolist()]
        own = None if group is None else number
        key = digest(VERSION, _learning(self.config), self.source.digest, self.source.device, self._seed, [b.key for b in bags], y[at], own)
        lesson = Lesson(f"network {key[:8]}", tuple(b.folder for b in bags), y[at], own, self._seed)
        return _Network(rows, Task(lesson.name, key, (lesson, self.config, self.source)))

    def _train(self, networks: Sequence[_Network]) -> None:
        unique = {n.task.key: n.task for n in networks}
        _all_done(self.engine, NETWORKS, _learn, list(unique.values()))

    def _place(self, network: _Network) -> Path:
        return self.engine.cache / NETWORKS / network.task.key

    def _ask(self, wanted: Sequence[tuple[_Network, NDArray[np.bool_]]], patient_ids: Sequence[str]) -> None:
        """Have networks score patients, each network's patients in one task."""
        whom: dict[str, tuple[_Network, dict[str, Kept]]] = {}
        for network, rows in wanted:
            own = whom.setdefault(network.task.key, (network, {}))[1]
            there = [self.bags[patient_ids[i]] for i in np.flatnonzero(rows).tolist()]
            own.update({b.key: b for b in there if (b.key, network.task.key) not in self._scores})
        tasks, bags = [], []
        for key, (network, own) in whom.items():
            ordered = [own[k] for k in sorted(own)]
            if ordered:
                folders = [b.folder for b in ordered]
                tasks.append(Task(f"network {key[:8]}", digest(VERSION, key, [b.key for b in ordered]), (self._place(network), self.config, self.source, folders)))
                bags.append((key, ordered))
        done = _all_done(self.engine, SCORES, _score_many, tasks)
        for folder, (key, ordered) in zip(done, bags, strict=True):
            self._scores.update({(b.key, key): float(v) for b, v in zip(ordered, np.load(folder / VALUES, allow_pickle=False), strict=True)})

    def _score(self, network: _Network, patient_id: str) -> float:
        return self._scores[self.bags[patient_id].key, network.task.key]


def begin_fine_tuning(
    cases: Sequence[Case], config: DeepConfig, engine: Engine, seed: int, folder: Path | None = None, *, weights: Path | None = None, encoder: Path | None = None
) -> tuple[FineTuner, list[SetAside]]:
    """Show every case to the network as it came, and get ready to learn.

    Parameters
    ----------
    cases : sequence of Case
        Prepared images with masks on their grids.
    config : DeepConfig
        Settings.
    engine : Engine
        Runs and caches the work.
    seed : int
        Seed of the study.
    folder : Path, optional
        Where to write contact sheets of what the network saw.
    weights : Path, optional
        Weights file; overrides ``config.weights``.
    encoder : Path, optional
        Folder of the study's segmenter, for the backbone segresnet-encoder.

    Returns
    -------
    tuner : FineTuner
        Ready to learn.
    set_aside : list of SetAside
        Cases that could not be shown, with reasons.

    Raises
    ------
    WeightsError
        If weights are absent, altered, or of another network.
    """
    from sarcofuse.deep.bags import PICTURE
    from sarcofuse.deep.contact import write_contact

    source = find_source(config, weights, encoder)
    settings = config.model_copy(update={"weights": None, "device": "auto"})
    bags, aside = make_bags(cases, settings, engine, source)
    if folder is not None:
        write_contact({b.patient_id: b.folder / PICTURE for b in bags}, folder)
    return FineTuner(settings, source, engine, seed, {b.patient_id: b for b in bags}), aside


def serve_fine_tuned(cases: Sequence[Case], config: DeepConfig, engine: Engine, folder: Path, *, weights: Path | None = None, encoder: Path | None = None) -> tuple[FeatureTable, list[SetAside]]:
    """Give new patients the mean of the networks' logits.

    Parameters
    ----------
    cases : sequence of Case
        Prepared images with masks on their grids.
    config : DeepConfig
        Settings, as the networks learnt with.
    engine : Engine
        Runs and caches the work, one task a patient.
    folder : Path
        As `FineTuner.keep` wrote it.
    weights : Path, optional
        Weights file of the backbone; overrides ``config.weights``.
    encoder : Path, optional
        Folder of the study's segmenter, for the backbone segresnet-encoder.

    Returns
    -------
    table : FeatureTable
        Block ``deep``, one column, in the order of the cases.
    set_aside : list of SetAside
        Cases without a signature, with reasons.

    Raises
    ------
    WeightsError
        If the backbone's weights are absent, altered, or not those that the networks started from.
    """
    source, settings = find_source(config, weights, encoder), config.model_copy(update={"weights": None, "device": "auto"})
    places = kept_networks(folder, config.backbone, source)
    bags, aside = make_bags(cases, settings, engine, source)
    content = [digest_file(p) for p in places]
    tasks = [Task(b.patient_id, digest(VERSION, content, _learning(settings), source.digest, source.device, b.key), (places, settings, source, b.folder)) for b in bags]
    done, failed = engine.run(SERVED, _serve, tasks)
    values = np.array([np.load(e.folder / VALUES, allow_pickle=False) for e in done], dtype=np.float64).reshape(len(done), 1)
    return FeatureTable("deep", tuple(e.patient_id for e in done), (COLUMN,), values), aside + failed


def _learning(config: DeepConfig) -> dict[str, Any]:
    """Give the settings that a network's learning depends on."""
    content = config.model_dump(mode="json")
    return {k: v for k, v in content.items() if k not in ("weights", "device", "batch")}


def _all_done(engine: Engine, stage: str, function: Any, tasks: Sequence[Task]) -> list[Path]:  # noqa: ANN401 - as in Engine.run
    """Run tasks of which none may fail."""
    if not tasks:
        return []
    done, failed = engine.run(stage, function, tasks, unit="network")
    if failed:
        message = f"fine-tuning: {failed[0].patient_id} failed: {failed[0].reason}"
        raise StageError(message)
    return [entry.folder for entry in done]


def _learn(folder: Path, lesson: Lesson, config: DeepConfig, source: Source) -> None:
    """Let one network learn (a task of the engine)."""
    from sarcofuse.deep.learning import learn_network

    try:
        learn_network(folder, lesson, config, source)
    except (RuntimeError, MemoryError) as error:
        if not is_memory(error):
            raise
        message = "memory does not suffice to learn; run with fewer --workers, or set deep.fine_tune.mode: probe, a deep.crop of fewer slices or a smaller deep.backbone"
        raise StageError(message) from error


def _score_many(folder: Path, place: Path, config: DeepConfig, source: Source, bags: Sequence[Path]) -> None:
    """Write what one network says of some patients (a task of the engine)."""
    from sarcofuse.deep.tuned import score

    np.save(folder / VALUES, _numbers(np.array(score(place, config, source, (read_bag(b) for b in bags)))), allow_pickle=False)


def _serve(folder: Path, places: Sequence[Path], config: DeepConfig, source: Source, bag: Path) -> None:
    """Write what the networks say of one patient (a task of the engine)."""
    from sarcofuse.deep.tuned import score

    own = read_bag(bag)
    np.save(folder / VALUES, _numbers(np.array(np.mean([score(place, config, source, [own])[0] for place in places]))), allow_pickle=False)


def _numbers(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Refuse logits that are not finite."""
    bad = int(np.count_nonzero(~np.isfinite(logits)))
    if bad:
        nobody, message = "", f"{bad} of {logits.size} logits of the fine-tuned networks are NaN or infinite; expected numbers. Look at the prepared image for extreme intensities"
        raise CaseError(nobody, message)
    return logits
