"""Time to event: how well risks foretell when, and what became of the locked risk groups."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sarcofuse.config import EvaluationConfig
from sarcofuse.errors import StageError
from sarcofuse.evaluation.groups import Floats, Group, Integers, estimate
from sarcofuse.evaluation.sampling import Sampling
from sarcofuse.metrics import StepCurve, censoring, cumulative_incidence, harrell_c, integrated_brier, kaplan_meier, log_rank, timed_auc, timed_brier, uno_c
from sarcofuse.records import Prediction


@dataclass(frozen=True, slots=True)
class PatientData:
    """What is known of patients beside risks and outcomes.

    Attributes
    ----------
    clinical : mapping of str to mapping
        Clinical columns by patient, for subgroups.
    time : mapping of str to float
        By patient, time of the event, or of the last sight without it; empty where follow-up is not known.
    competing : collection of str
        Patients whose `time` is that of a competing death. They count as censored where risks are judged, and as no longer at risk in the cumulative incidence.
    free : mapping of (features, classifier) to mapping
        By patient, the predicted probability to be free of the event at each of ``evaluation.horizons``; only of models that predict it.
    """

    clinical: Mapping[str, Mapping[str, float | str | None]] = field(default_factory=dict)
    time: Mapping[str, float] = field(default_factory=dict)
    competing: Collection[str] = ()
    free: Mapping[tuple[str, str], Mapping[str, Sequence[float]]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class _Watch:
    """Follow-up of the training patients, which sets the horizons and the weights."""

    horizons: Floats
    watched: StepCurve


def follow_up(groups: Sequence[Group], data: PatientData, weights: Mapping[str, tuple[Sampling, Sequence[Floats]]], config: EvaluationConfig) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Judge the risks against follow-up times.

    Parameters
    ----------
    groups : sequence of Group
        All models on all splits.
    data : PatientData
        Times, competing deaths, predicted probabilities.
    weights : mapping of str to (Sampling, sequence of ndarray)
        Samples of each split and their batches.
    config : EvaluationConfig
        Settings.

    Returns
    -------
    rows : list of dict
        Harrell's and Uno's concordance, time-dependent AUC, log-rank test of the locked risk groups, and, where survival was predicted, Brier scores.
    curves : list of dict
        Of each model and split the share free of the event in each locked risk group and, with competing deaths, the cumulative incidence.

    Raises
    ------
    StageError
        If a patient has a competing death beside an event, or a model does not predict every horizon.
    """
    when = {g.split: _times(g, data) for g in groups}
    first = next((g for g in groups if g.split == "train"), groups[0])
    watch = _watch(first, when[first.split], config)
    rows, curves = list[dict[str, Any]](), list[dict[str, Any]]()
    for group in groups:
        time, dead = when[group.split], np.array([p in data.competing for p in group.patients])
        sampling, batches = weights[group.split]

        def shown(measure: Callable[[Floats | None], Floats], sampling: Sampling = sampling, batches: Sequence[Floats] = batches) -> dict[str, float]:
            value = float(measure(None)[0])
            return estimate(sampling.estimate(value, np.concatenate([measure(w) for w in batches]))) if batches else {"value": value, "low": float("nan"), "high": float("nan")}

        row: dict[str, Any] = {**group.head, "patients": int(group.y.size), "events": int(group.y.sum()), "competing": int(dead.sum())}
        row |= _concordance(group, time, watch, shown)
        row |= _probabilities(group, time, watch, data, shown) if config.horizons and (group.features, group.classifier) in data.free else {}
        test = log_rank(time, group.y, group.positive)
        rows.append({**row, "log_rank": {"statistic": test.statistic, "p": test.p}})
        curves.append({**group.head, "groups": [_curve(group, time, dead, config, positive=p) for p in (False, True) if (group.positive == p).any()]})
    return rows, curves


def check_times(predictions: Sequence[Prediction], data: PatientData) -> None:
    """Refuse follow-up that is not known of every patient.

    Parameters
    ----------
    predictions : sequence of Prediction
        Rows of predictions.csv.
    data : PatientData
        Times, if there are any.

    Raises
    ------
    StageError
        If a patient who was predicted has no usable time.
    """
    for patient in sorted({p.patient_id for p in predictions}) if data.time else ():
        time = data.time.get(patient)
        if time is None or not np.isfinite(time) or time < 0:
            message = f"evaluation: patient {patient} has no follow-up time (found {time}); expected a number of at least 0 for every patient that was predicted"
            raise StageError(message)


def _times(group: Group, data: PatientData) -> Floats:
    both = next((p for p, y in zip(group.patients, group.y, strict=True) if y and p in data.competing), None)
    if both is not None:
        message = f"evaluation: patient {both} has both the event and a competing death; expected the one that came first"
        raise StageError(message)
    return np.array([float(data.time[p]) for p in group.patients])


def _watch(group: Group, time: Floats, config: EvaluationConfig) -> _Watch:
    events = time[group.y == 1]
    horizons = np.array(config.horizons) if config.horizons else np.unique(np.quantile(events, [0.25, 0.5, 0.75])) if events.size else np.empty(0)
    return _Watch(horizons, censoring(time, group.y))


def _concordance(group: Group, time: Floats, watch: _Watch, shown: Callable[[Callable[[Floats | None], Floats]], dict[str, float]]) -> dict[str, Any]:
    y, risk, watched = group.y, group.risk, watch.watched
    until = float(watch.horizons[-1]) if watch.horizons.size else None
    areas = [{"time": float(t), **shown(lambda w, t=float(t): timed_auc(time, y, risk, t, watched, w))} for t in watch.horizons]  # type: ignore[misc]
    return {
        "harrell_c": shown(lambda w: harrell_c(time, y, risk, w)),
        "uno_c": {**shown(lambda w: uno_c(time, y, risk, watched, until, w)), "until": until},
        "timed_auc": areas,
    }


def _probabilities(group: Group, time: Floats, watch: _Watch, data: PatientData, shown: Callable[[Callable[[Floats | None], Floats]], dict[str, float]]) -> dict[str, Any]:
    predicted = data.free[group.features, group.classifier]
    short = next((p for p in group.patients if len(predicted.get(p, ())) != watch.horizons.size), None)
    if short is not None:
        message = f"evaluation: {group.features} {group.classifier} predicts {len(predicted.get(short, ()))} probabilities for patient {short}; expected one for each of {watch.horizons.size} horizons"
        raise StageError(message)
    free, y = np.array([predicted[p] for p in group.patients], dtype=np.float64), group.y

    def scores(w: Floats | None) -> Floats:
        return timed_brier(time, y, free, watch.horizons, watch.watched, w)

    found: dict[str, Any] = {"timed_brier": [{"time": float(t), **shown(lambda w, i=i: scores(w)[:, i])} for i, t in enumerate(watch.horizons)]}  # type: ignore[misc]
    if watch.horizons.size > 1:
        found["integrated_brier"] = shown(lambda w: integrated_brier(scores(w), watch.horizons))
    return found


def _curve(group: Group, time: Floats, dead: Any, config: EvaluationConfig, *, positive: bool) -> dict[str, Any]:  # noqa: ANN401 - an array of bool
    mine = group.positive == positive
    y: Integers = group.y[mine]
    line = kaplan_meier(time[mine], y, config.confidence)
    found: dict[str, Any] = {"risk": "high" if positive else "low", "time": line.time, "free": line.value, "low": line.low, "high": line.high, "at_risk": line.at_risk}
    if dead.any():
        share = cumulative_incidence(time[mine], np.where(dead[mine], 2, y), 1, config.confidence)
        found["incidence"] = {"value": share.value, "low": share.low, "high": share.high}
    return found
