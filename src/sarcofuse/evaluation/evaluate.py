"""The evaluation: the only place where the sealed outcomes are opened, once, when everything else is frozen."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from sarcofuse.config import EvaluationConfig
from sarcofuse.errors import StageError
from sarcofuse.evaluation.statistics import Floats, Integers, curves, figures
from sarcofuse.metrics import delong_test, holm, stratified_counts
from sarcofuse.records import SPLITS, Outcomes, Prediction
from sarcofuse.runtime import plain, single_thread

FORMAT = 1
PAIRS = (("dlr", "radiomic"), ("dlr", "deep"), ("radiomic", "deep"))


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


@dataclass(frozen=True, slots=True, eq=False)
class _Group:
    """One model on one split, patients in order of patient_id."""

    features: str
    classifier: str
    split: str
    primary: bool
    patients: tuple[str, ...]
    y: Integers
    risk: Floats
    positive: Any = field(default=None)


def evaluate(
    predictions: Sequence[Prediction],
    outcomes: Outcomes,
    config: EvaluationConfig,
    seed: int,
    *,
    segmentation: Sequence[Mapping[str, Any]] = (),
    bayes: Sequence[Mapping[str, Any]] = (),
) -> Evaluation:
    """Measure every model on every split, and compare feature sets.

    Training rows hold out-of-fold risks. Sensitivity and the like use the locked operating point, that is `Prediction.positive`. All models of a split are measured on
    the same bootstrap samples. For every classifier and split the feature sets DLR, radiomic and deep are compared pair by pair with DeLong's test, with Holm's
    correction over all comparisons of the split.

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

    Returns
    -------
    Evaluation
        Metrics, curves, and warnings.

    Raises
    ------
    StageError
        If there are no predictions, a patient is predicted twice by one model, or has no outcome.
    """
    truth = {**outcomes.open("evaluation"), **outcomes.training}
    groups = _group(predictions, truth)
    measured, drawn, warnings = [], [], []
    with single_thread():
        for group in groups:
            counts = stratified_counts(group.y, config.bootstrap, [seed, zlib.crc32(group.split.encode())])
            head = {"features": group.features, "classifier": group.classifier, "split": group.split}
            found = figures(group.y, group.risk, group.positive, counts, config.confidence)
            size = {"primary": group.primary, "patients": group.y.size, "events": int(group.y.sum())}
            measured.append({**head, **size, **{name: asdict(e) for name, e in found.items()}})
            drawn.append({**head, **curves(group.y, group.risk, counts, config.confidence)})
    for split, y in {g.split: g.y for g in groups}.items():
        if min(int(y.sum()), int(y.size - y.sum())) < _FEW:
            warnings.append(f"split {split} has {int(y.sum())} patients with the event and {int(y.size - y.sum())} without it: too few to tell models apart; look at the intervals")
    metrics = {"format": FORMAT, "models": measured, "comparisons": _compare(groups, config.confidence), "segmentation": list(segmentation), "bayes": list(bayes)}
    return Evaluation(_plain(metrics), _plain({"models": drawn}), tuple(warnings))


_FEW = 10


def _plain(content: Mapping[str, Any]) -> dict[str, Any]:
    return dict(plain(content))  # type: ignore[call-overload, no-any-return]


def _group(predictions: Sequence[Prediction], truth: Mapping[str, int]) -> list[_Group]:
    """Sort the rows by model and split; models in order of appearance by name, splits in the order of the study."""
    if not predictions:
        message = "evaluation: there are no predictions to evaluate"
        raise StageError(message)
    rows: dict[tuple[str, str, str], dict[str, Prediction]] = {}
    for p in predictions:
        if p.patient_id not in truth:
            message = f"evaluation: patient {p.patient_id} has a prediction but no outcome"
            raise StageError(message)
        group = rows.setdefault((p.features, p.classifier, p.split), {})
        if p.patient_id in group:
            message = f"evaluation: patient {p.patient_id} has two predictions by the model {p.features} {p.classifier}; expected one"
            raise StageError(message)
        group[p.patient_id] = p
    groups = []
    for features, classifier, split in sorted(rows, key=_place):
        members = [p for _, p in sorted(rows[features, classifier, split].items())]
        y = np.array([truth[p.patient_id] for p in members], dtype=np.int64)
        risk, positive = np.array([p.risk for p in members], dtype=np.float64), np.array([p.positive for p in members], dtype=bool)
        groups.append(_Group(features, classifier, split, members[0].primary, tuple(p.patient_id for p in members), y, risk, positive))
    return groups


def _place(key: tuple[str, str, str]) -> tuple[int, str, str, int]:
    main = ("radiomic", "deep", "dlr")
    return main.index(key[0]) if key[0] in main else len(main), key[0], key[1], SPLITS.index(key[2])


def _compare(groups: Sequence[_Group], confidence: float) -> list[dict[str, Any]]:
    by = {(g.features, g.classifier, g.split): g for g in groups}
    found: list[dict[str, Any]] = []
    for split in SPLITS:
        rows: list[dict[str, Any]] = []
        for classifier in sorted({g.classifier for g in groups}):
            for first, second in PAIRS:
                a, b = by.get((first, classifier, split)), by.get((second, classifier, split))
                if a is None or b is None:
                    continue
                if a.patients != b.patients:
                    message = f"evaluation: models {first} and {second} of {classifier} were applied to different {split} patients and cannot be compared"
                    raise StageError(message)
                test = delong_test(a.y, a.risk, b.risk, confidence)
                d = test.difference
                rows.append({"split": split, "classifier": classifier, "first": first, "second": second, "difference": d.value, "low": d.low, "high": d.high, "z": test.z, "p": test.p})
        corrected = holm([row["p"] for row in rows])
        found += [{**row, "p_holm": float(p)} for row, p in zip(rows, corrected, strict=True)]
    return found
