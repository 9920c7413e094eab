"""Clinical variables as a block of features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from sarcofuse.cohort.text import number
from sarcofuse.records import Cohort, FeatureTable, Patient

Schema = Mapping[str, tuple[str, ...] | None]


def clinical_schema(patients: Sequence[Patient]) -> dict[str, tuple[str, ...] | None]:
    """Learn from training patients which clinical variables are numbers and which categories the others have.

    Parameters
    ----------
    patients : sequence of Patient
        All of them; only those of the training split are looked at.

    Returns
    -------
    dict of str to tuple of str or None
        By variable: None for numbers, else the categories in alphabetical order.
    """
    training = [p for p in patients if p.split == "train"]
    names = list(training[0].clinical) if training else []
    schema: dict[str, tuple[str, ...] | None] = {}
    for name in names:
        texts = {v for p in training if isinstance(v := p.clinical.get(name), str)}
        schema[name] = tuple(sorted(texts)) if texts else None
    return schema


def encode_clinical(patients: Sequence[Patient], schema: Schema) -> FeatureTable:
    """Give clinical variables as numbers, by a schema that was learnt before.

    Parameters
    ----------
    patients : sequence of Patient
        Whose.
    schema : mapping of str to sequence of str or None
        As `clinical_schema` gives it.

    Returns
    -------
    FeatureTable
        Block ``clinical``: numbers as they are; of categories a column of 0 and 1 each, named ``grade=High`` (of two categories only
        the second). NaN where the value is missing or should be a number and is not; a category that training did not have gives 0 in all columns.
    """
    columns: list[tuple[str, list[float]]] = []
    for name, categories in schema.items():
        values = [p.clinical.get(name) for p in patients]
        if categories is None:
            columns.append((name, [_number(v) for v in values]))
        else:
            texts = [None if v is None else str(v) for v in values]
            shown = categories[1:] if len(categories) == 2 else categories
            columns += [(f"{name}={c}", [np.nan if t is None else float(t == c) for t in texts]) for c in shown]
    matrix = np.array([c for _, c in columns], dtype=np.float64).T.reshape(len(patients), len(columns))
    return FeatureTable("clinical", tuple(p.patient_id for p in patients), tuple(n for n, _ in columns), matrix)


def _number(value: float | str | None) -> float:
    found = number(value) if isinstance(value, str) else value
    return np.nan if found is None else float(found)


def clinical_table(cohort: Cohort) -> FeatureTable:
    """Give the clinical variables of a cohort as numbers; categories are those of its training patients.

    Parameters
    ----------
    cohort : Cohort
        The patients.

    Returns
    -------
    FeatureTable
        Block ``clinical``, as of `encode_clinical`.
    """
    return encode_clinical(cohort.patients, clinical_schema(cohort.patients))
