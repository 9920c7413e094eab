"""Predictions sorted by model and split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sarcofuse.errors import StageError
from sarcofuse.metrics import Estimate
from sarcofuse.records import SPLITS, Prediction

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """One model on one split, patients in order of patient_id.

    Attributes
    ----------
    features, classifier, split : str
        Which model, on whom.
    primary : bool
        Whether the bundle leads with it.
    patients : tuple of str
        Whom.
    y : ndarray of 0 and 1, shape (patients,)
        Outcome.
    risk : ndarray, shape (patients,)
        Risk.
    positive : ndarray of bool, shape (patients,)
        Whether the risk reaches the locked threshold.
    """

    features: str
    classifier: str
    split: str
    primary: bool
    patients: tuple[str, ...]
    y: Integers
    risk: Floats
    positive: Bools

    @property
    def head(self) -> dict[str, str]:
        """What every row of metrics.json begins with."""
        return {"features": self.features, "classifier": self.classifier, "split": self.split}

    def take(self, chosen: Bools) -> Group:
        """Give the same model on some of the patients.

        Parameters
        ----------
        chosen : ndarray of bool, shape (patients,)
            Whom.

        Returns
        -------
        Group
            Those.
        """
        patients = tuple(p for p, c in zip(self.patients, chosen, strict=True) if c)
        return Group(self.features, self.classifier, self.split, self.primary, patients, self.y[chosen], self.risk[chosen], self.positive[chosen])


def grouped(predictions: Sequence[Prediction], truth: Mapping[str, int]) -> list[Group]:
    """Sort the rows by model and split; models in order of appearance by name, splits in the order of the study.

    Parameters
    ----------
    predictions : sequence of Prediction
        Rows of predictions.csv, in any order.
    truth : mapping of str to int
        Outcome by patient.

    Returns
    -------
    list of Group
        One a model and split.

    Raises
    ------
    StageError
        If there are no predictions, a patient is predicted twice by one model, or has no outcome.
    """
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
        groups.append(Group(features, classifier, split, members[0].primary, tuple(p.patient_id for p in members), y, risk, positive))
    return groups


def _place(key: tuple[str, str, str]) -> tuple[int, str, str, int]:
    main = ("radiomic", "deep", "dlr")
    return main.index(key[0]) if key[0] in main else len(main), key[0], key[1], SPLITS.index(key[2])


def leading(groups: Sequence[Group]) -> list[Group]:
    """Give the primary model's groups; the first model's where none is marked.

    Parameters
    ----------
    groups : sequence of Group
        All of them.

    Returns
    -------
    list of Group
        One a split.
    """
    marked = [g for g in groups if g.primary]
    return marked or [g for g in groups if (g.features, g.classifier) == (groups[0].features, groups[0].classifier)]


def estimate(found: Estimate) -> dict[str, float]:
    """Give a figure as metrics.json holds it.

    Parameters
    ----------
    found : Estimate
        The figure.

    Returns
    -------
    dict
        ``value``, ``low`` and ``high``.
    """
    return {"value": found.value, "low": found.low, "high": found.high}
