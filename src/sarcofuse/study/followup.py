"""What the evaluation needs where follow-up times are known: times, competing deaths, and each model's chance of staying free of the event."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sarcofuse.config import EvaluationConfig
from sarcofuse.records import Cohort, Prediction

if TYPE_CHECKING:
    from sarcofuse.evaluation import PatientData


def known_patients(cohort: Cohort, predictions: Sequence[Prediction], config: EvaluationConfig, column: str | None) -> tuple[PatientData, EvaluationConfig, list[str]]:
    """Gather clinical columns and follow-up for the evaluation.

    A model gives a risk, not a course. Its log-odds become the chance of staying free of the event by a Cox model of one variable, learned from the training patients' out-of-fold risks, so
    that Brier scores over time can be given. Times are used only where every predicted patient has one, as figures over some would be of a chosen few.

    Parameters
    ----------
    cohort : Cohort
        The patients.
    predictions : sequence of Prediction
        Frozen.
    config : EvaluationConfig
        Settings.
    column : str or None
        Column of the follow-up time, for the warning.

    Returns
    -------
    patients : PatientData
        For `sarcofuse.evaluation.evaluate`.
    config : EvaluationConfig
        With horizons: those wanted, else the quartiles of the training patients' event times.
    warnings : list of str
        What a careful reader should know.
    """
    from sarcofuse.evaluation import PatientData

    clinical = {p.patient_id: p.clinical for p in cohort.patients}
    times, predicted = cohort.outcomes.open_times(), {p.patient_id for p in predictions}
    bare = sorted(predicted - set(times))
    if not times or bare:
        warning = f"{len(bare)} of {len(predicted)} patients have no follow-up time ({', '.join(bare[:5])}); nothing is said of time to event. Complete the column {column!r}"
        return PatientData(clinical=clinical), config, [warning] if times else []
    horizons = config.horizons or _quartiles(cohort, predicted)
    free = _free(cohort, predictions, horizons) if horizons else {}
    competing = cohort.outcomes.open_competing() & predicted
    return PatientData(clinical, {p: times[p] for p in sorted(predicted)}, competing, free), config.model_copy(update={"horizons": horizons}), []


def _quartiles(cohort: Cohort, predicted: set[str]) -> tuple[float, ...]:
    import numpy as np

    outcome, times = cohort.outcomes.training, cohort.outcomes.times
    events = [times[p] for p in sorted(times) if p in predicted and outcome[p] == 1]
    return tuple(float(q) for q in np.unique(np.quantile(events, [0.25, 0.5, 0.75]))) if events else ()


def _free(cohort: Cohort, predictions: Sequence[Prediction], horizons: Sequence[float]) -> dict[tuple[str, str], dict[str, list[float]]]:
    from sarcofuse.metrics import logit, proportional_hazards

    outcome, times = cohort.outcomes.training, cohort.outcomes.times
    rows: dict[tuple[str, str], list[Prediction]] = {}
    for p in predictions:
        rows.setdefault((p.features, p.classifier), []).append(p)
    found = {}
    for model, own in rows.items():
        training = sorted((p for p in own if p.split == "train"), key=lambda p: p.patient_id)
        scores = logit([p.risk for p in training])
        course = proportional_hazards([times[p.patient_id] for p in training], [outcome[p.patient_id] for p in training], scores)
        chance = course.free(logit([p.risk for p in own]), horizons)
        found[model] = {p.patient_id: row for p, row in zip(own, chance.tolist(), strict=True)}
    return found
