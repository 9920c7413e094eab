"""The primary model in groups of patients, and whether it works alike in all of them."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from sarcofuse.config import EvaluationConfig
from sarcofuse.errors import StageError
from sarcofuse.evaluation.groups import Group, estimate, leading
from sarcofuse.evaluation.sampling import Sampling
from sarcofuse.evaluation.statistics import FIGURES, figures, measured
from sarcofuse.metrics import delong, heterogeneity, holm

Clinical = Mapping[str, Mapping[str, float | str | None]]
_LEVELS = 5
_MOST = 20
_SHOWN = ("auc", "sensitivity", "specificity", "calibration_intercept", "calibration_slope")


def subgroups(groups: Sequence[Group], clinical: Clinical, config: EvaluationConfig, seed: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Measure the primary model in the groups of the columns that the study names.

    Parameters
    ----------
    groups : sequence of Group
        All models on all splits.
    clinical : mapping
        Columns by patient.
    config : EvaluationConfig
        Settings, with the names of the columns.
    seed : int
        Seed of the bootstrap, which is drawn anew in every group.

    Returns
    -------
    rows : list of dict
        Figures of each group; patients without an entry are the group ``missing``.
    tests : list of dict
        For every column and split, Cochran's test whether the AUC is the same in all groups but the missing, with Holm's correction over the split's columns.
    """
    rows, tests = list[dict[str, Any]](), list[dict[str, Any]]()
    chosen = leading(groups)
    for split_group in chosen:
        mine = list[dict[str, Any]]()
        for column in config.subgroups:
            label = _labels(column, clinical, [g for g in chosen if g.split == "train"] or chosen)
            names = np.array([label(clinical.get(p, {}).get(column)) for p in split_group.patients])
            areas, spread = list[float](), list[float]()
            for name in sorted(set(names.tolist()), key=_order):
                part = split_group.take(names == name)
                rows.append({**part.head, "column": column, "group": name, "patients": part.y.size, "events": int(part.y.sum()), **_figures(part, column, name, config, seed)})
                if name != "missing":
                    area, covariance = delong(part.y, part.risk[None, :])
                    areas.append(float(area[0]))
                    spread.append(float(covariance[0, 0]))
            q, freedom, p = heterogeneity(areas, spread)
            mine.append({**split_group.head, "column": column, "q": q, "freedom": freedom, "p": p})
        tests += [{**test, "p_holm": float(h)} for test, h in zip(mine, holm([t["p"] for t in mine]), strict=True)]
    return rows, tests


def check_columns(clinical: Clinical, config: EvaluationConfig) -> None:
    """Refuse columns that are not there.

    Parameters
    ----------
    clinical : mapping
        Columns by patient.
    config : EvaluationConfig
        Settings, with the names of the columns.

    Raises
    ------
    StageError
        If a column is not there, or its entries are too many to be groups.
    """
    there = sorted({name for row in clinical.values() for name in row})
    for column in config.subgroups:
        if column not in there:
            message = f"evaluation.subgroups: column {column} is not among the clinical columns; expected one of {', '.join(there) or 'none, as the cohort has no clinical columns'}"
            raise StageError(message)
        entries = {v for row in clinical.values() if isinstance(v := row.get(column), str)}
        if len(entries) > _MOST:
            message = f"evaluation.subgroups: column {column} has {len(entries)} different entries; expected at most {_MOST}, or numbers. Sort them into fewer groups in the table"
            raise StageError(message)


def _figures(part: Group, column: str, name: str, config: EvaluationConfig, seed: int) -> dict[str, Any]:
    sampling = Sampling(part.y, config, [seed, *(zlib.crc32(text.encode()) for text in (part.split, column, name))])
    drawn = [measured(part, counts) for counts in sampling.batches()]
    found = figures(part, sampling, {f: np.concatenate([d[f] for d in drawn]) for f in FIGURES})
    return {f: estimate(found[f]) for f in _SHOWN}


def _labels(column: str, clinical: Clinical, training: Sequence[Group]) -> Callable[[float | str | None], str]:
    """Give the rule that names a patient's group: the levels of a column, or two sides of the training median."""
    seen = [clinical.get(p, {}).get(column) for p in training[0].patients]
    numbers = [float(v) for v in seen if isinstance(v, int | float) and np.isfinite(v)]
    if any(isinstance(v, str) for v in seen) or len(set(numbers)) <= _LEVELS:
        return _level
    middle = float(np.median(numbers))
    return lambda v: _level(v) if v is None or isinstance(v, str) or not np.isfinite(v) else f"above {middle:g}" if v > middle else f"up to {middle:g}"


def _order(name: str) -> tuple[bool, bool, float, str]:
    """Missing last, the lower side of a median first, numbers by size."""
    try:
        size = float(name)
    except ValueError:
        size = float("inf")
    return name == "missing", name.startswith("above "), size, name


def _level(value: float | str | None) -> str:
    if value is None or (not isinstance(value, str) and not np.isfinite(value)):
        return "missing"
    return value if isinstance(value, str) else f"{float(value):g}"
