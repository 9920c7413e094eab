"""The evaluation: the only place where the sealed outcomes are opened, once, when everything else is frozen."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sarcofuse.config import EvaluationConfig
from sarcofuse.evaluation.comparison import compared, fused
from sarcofuse.evaluation.development import sample_size
from sarcofuse.evaluation.followup import PatientData, check_times, follow_up
from sarcofuse.evaluation.groups import Floats, Group, estimate, grouped
from sarcofuse.evaluation.sampling import Sampling
from sarcofuse.evaluation.statistics import FIGURES, benefits, curves, figures, fit_test, measured
from sarcofuse.evaluation.subgroups import check_columns, subgroups
from sarcofuse.records import Outcomes, Prediction
from sarcofuse.runtime import plain, single_thread

FORMAT = 1
_FEW = 10
_HELD = 60_000_000  # weights of all samples of a split that are kept for the comparisons, 0.5 GB


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What is known about the models.

    Attributes
    ----------
    metrics : mapping
        Content of metrics.json.
    curves : mapping
        Content of curves.json.
    warnings : tuple of str
        What a careful reader should know.
    """

    metrics: Mapping[str, Any]
    curves: Mapping[str, Any]
    warnings: tuple[str, ...] = ()


@dataclass(slots=True)
class _Work:
    """What is gathered split by split."""

    measured: dict[tuple[str, str, str], dict[str, Any]] = field(default_factory=dict)
    drawn: dict[tuple[str, str, str], dict[str, Any]] = field(default_factory=dict)
    areas: dict[tuple[str, str, str], Floats] = field(default_factory=dict)
    samplings: dict[str, Sampling] = field(default_factory=dict)
    weights: dict[str, list[Floats]] = field(default_factory=dict)


def evaluate(
    predictions: Sequence[Prediction],
    outcomes: Outcomes,
    config: EvaluationConfig,
    seed: int,
    *,
    segmentation: Sequence[Mapping[str, Any]] = (),
    bayes: Sequence[Mapping[str, Any]] = (),
    patients: PatientData | None = None,
    candidates: Mapping[str, int] | None = None,
) -> Evaluation:
    """Measure every model on every split, and compare feature sets.

    Training rows hold out-of-fold risks. Sensitivity and the like use the locked operating point, that is `Prediction.positive`. All models of a split are measured on
    the same bootstrap samples. For every classifier and split the feature sets DLR, radiomic and deep are compared pair by pair with DeLong's test, with Holm's
    correction over all comparisons of the split; DLR also by net reclassification and integrated discrimination, and its AUC is laid beside that of independent sources.

    Parameters
    ----------
    predictions : sequence of Prediction
        Rows of predictions.csv, in any order.
    outcomes : Outcomes
        Outcomes; those of internal and external patients are unsealed here, once.
    config : EvaluationConfig
        Settings.
    seed : int
        Seed of the bootstrap.
    segmentation, bayes : sequence of mapping
        Further lists of metrics.json, taken as they are.
    patients : PatientData, optional
        Clinical columns, without which there are no subgroups, and follow-up times, without which there is no ``survival``.
    candidates : mapping of str to int, optional
        Candidate predictors of each feature set, for the criteria of sample size.

    Returns
    -------
    Evaluation
        Metrics, curves, and warnings.

    Raises
    ------
    StageError
        If there are no predictions, a patient is predicted twice by one model, or has no outcome; if a subgroup's column or a follow-up time is not there.
    """
    data = patients or PatientData()
    check_columns(data.clinical, config)  # before the seal is broken for nothing
    check_times(predictions, data)
    truth = {**outcomes.open("evaluation"), **outcomes.training}
    groups = grouped(predictions, truth)
    with single_thread():
        metrics, drawn = _judge(groups, data, config, seed)
    metrics |= {"sample_size": sample_size(groups, candidates or {}), "segmentation": list(segmentation), "bayes": list(bayes)}
    return Evaluation(_plain(metrics), _plain(drawn), _warnings(groups, metrics["fusion"]))


def _judge(groups: Sequence[Group], data: PatientData, config: EvaluationConfig, seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Give what metrics.json and curves.json hold of the models."""
    work = _Work()
    for split in dict.fromkeys(g.split for g in groups):
        _measure(split, [g for g in groups if g.split == split], config, seed, work)
    comparisons = compared(groups, work.samplings, work.weights, config)
    audit = fused(groups, work.samplings, work.areas)
    parts, tests = subgroups(groups, data.clinical, config, seed) if config.subgroups else ([], [])
    both = {s: (work.samplings[s], work.weights[s]) for s in work.samplings}
    survival, lines = follow_up(groups, data, both, config) if data.time else ([], [])
    places = [(g.features, g.classifier, g.split) for g in groups]
    measured = [work.measured[p] for p in places]
    metrics = {"format": FORMAT, "models": measured, "comparisons": comparisons, "fusion": audit, "subgroups": parts, "interactions": tests, "survival": survival}
    drawn: dict[str, Any] = {"models": [work.drawn[p] for p in places]}
    return metrics, {**drawn, "survival": lines} if lines else drawn


def _measure(split: str, groups: Sequence[Group], config: EvaluationConfig, seed: int, work: _Work) -> None:
    """Measure all models of a split on the same samples, a batch of samples at a time."""
    samplings: dict[tuple[str, ...], Sampling] = {}
    for group in groups:  # models are applied to the same patients, but for a mistake that the comparison will name
        samplings.setdefault(group.patients, Sampling(group.y, config, [seed, zlib.crc32(split.encode())]))
    for patients, sampling in samplings.items():
        mine = [g for g in groups if g.patients == patients]
        rows: dict[str, list[dict[str, Floats]]] = {g.features + " " + g.classifier: [] for g in mine}
        gains: dict[str, list[Floats]] = {name: [] for name in rows}
        held = list[Floats]()
        small = (config.bootstrap + sampling.plan.stratum.size) * sampling.y.size <= _HELD
        for counts in sampling.batches():
            held += [counts] if small else []
            for group in mine:
                rows[group.features + " " + group.classifier].append(measured(group, counts))
                gains[group.features + " " + group.classifier].append(benefits(group, counts))
        work.samplings.setdefault(split, sampling)
        work.weights.setdefault(split, held)
        for group in mine:
            name, place = group.features + " " + group.classifier, (group.features, group.classifier, split)
            whole = {f: np.concatenate([r[f] for r in rows[name]]) for f in FIGURES}
            found = figures(group, sampling, whole)
            size = {"primary": group.primary, "patients": int(group.y.size), "events": int(group.y.sum())}
            test = fit_test(group) if config.hosmer_lemeshow else {}
            work.measured[place] = {**group.head, **size, **{f: estimate(e) for f, e in found.items()}, **test}
            work.drawn[place] = {**group.head, **curves(group, sampling, np.concatenate(gains[name]))}
            work.areas[place] = np.concatenate([[found["auc"].value], whole["auc"]])


def _warnings(groups: Sequence[Group], audit: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    warnings = []
    for split, y in {g.split: g.y for g in groups}.items():
        if min(int(y.sum()), int(y.size - y.sum())) < _FEW:
            warnings.append(f"split {split} has {int(y.sum())} patients with the event and {int(y.size - y.sum())} without it: too few to tell models apart; look at the intervals")
    warnings += [
        f"{row['features']} {row['classifier']} has an AUC of {row['auc']['value']:.3f} on split {row['split']}, more than the {row['independent']['value']:.3f} that its sources "
        "would give if they were independent: too good to be true, unless they correct each other's noise; look for leakage"
        for row in audit
        if row["excess"]["low"] > 0
    ]
    return tuple(warnings)


def _plain(content: Mapping[str, Any]) -> dict[str, Any]:
    return dict(plain(content))  # type: ignore[call-overload, no-any-return]
