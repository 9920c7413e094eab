"""What a reader can check by hand: signature formulas, coefficients, nomograms, and Shapley values of the classifiers, as numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sarcofuse.models.record import FittedModel, Floats
from sarcofuse.records import FeatureTable
from sarcofuse.runtime import single_thread

FORMAT = 1
SHOWN, BACKGROUND, WALKS = 100, 50, 10
EXACT = 4
"""Columns up to which every subset is evaluated."""
RISKS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99)
_TICKS = 5


def explain(models: Sequence[FittedModel], tables: Mapping[str, FeatureTable], lead: str, seed: int = 0) -> dict[str, Any]:
    """Explain models by what training patients show; no outcome is looked at.

    Parameters
    ----------
    models : sequence of FittedModel
        The frozen models.
    tables : mapping of str to FeatureTable
        Features of the training patients by block.
    lead : str
        Feature set whose classifiers get Shapley values.
    seed : int
        Seed of what is sampled.

    Returns
    -------
    dict
        Content of explain.json: ``formulas`` of the signatures by block; of every logistic model its ``linear`` form and ``nomogram``; of every model of the leading feature set
        its ``shapley`` values. Patients are not named.
    """
    rows: list[dict[str, Any]] = []
    formulas: dict[str, Any] = {}
    with single_thread():
        for model in models:
            columns, names = _columns(model, tables)
            for (block, features), signature in zip(model.blocks.items(), getattr(model.estimator, "signatures", ()), strict=False):
                formulas.setdefault(block, formula(signature, features))
            row: dict[str, Any] = {"features": model.features, "classifier": model.classifier, "columns": names}
            form = linear_form(model)
            if form is not None:
                row |= {"linear": {"intercept": form[0], "coefficients": form[1].tolist()}, "nomogram": nomogram(form[0], form[1], columns)}
            if model.features == lead:
                row["shapley"] = _shapley(model, columns, seed)
            rows.append(row)
    return {"format": FORMAT, "formulas": formulas, "models": rows}


def _columns(model: FittedModel, tables: Mapping[str, FeatureTable]) -> tuple[Floats, list[str]]:
    """Give what the classifier sees of the training patients, and the names of it."""
    estimator: Any = model.estimator
    first = tables[next(iter(model.blocks))]
    patients = sorted(first.patient_ids)
    values = []
    for block, names in model.blocks.items():
        at = {name: i for i, name in enumerate(tables[block].names)}
        values.append(tables[block].rows(patients)[:, [at[n] for n in names]])
    if estimator.view == "signatures":
        titles = [f"{block} signature" for block in model.blocks]
    else:
        titles = [title for names, s in zip(model.blocks.values(), estimator.signatures, strict=True) for title in column_names(s, names)]
    return estimator.columns(np.hstack(values)), titles


def formula(signature: Any, names: Sequence[str]) -> dict[str, Any]:  # noqa: ANN401 - any fitted signature
    """Write a signature down so that it can be computed by hand.

    Parameters
    ----------
    signature : Signature
        Fitted.
    names : sequence of str
        Features of its block.

    Returns
    -------
    dict
        ``intercept`` and ``terms``: of each feature the ``coefficient`` for (value - ``mean``) / ``scale``, and the ``median`` that stands in where it is missing; largest coefficients first.
    """
    order = sorted(signature.selected_.tolist(), key=lambda j: (-abs(float(signature.coef_[j])), j))
    parts = {"coefficient": signature.coef_, "mean": signature.mean_, "scale": signature.scale_, "median": signature.median_}
    terms = [{"feature": names[j], **{word: float(values[j]) for word, values in parts.items()}} for j in order]
    return {"intercept": float(signature.intercept_), "terms": terms}


def column_names(signature: Any, names: Sequence[str]) -> list[str]:  # noqa: ANN401 - any fitted signature
    """Name what a signature's `features` gives.

    Parameters
    ----------
    signature : Signature
        Fitted.
    names : sequence of str
        Features of its block.

    Returns
    -------
    list of str
        Features, or what takes their place.
    """
    own = getattr(signature, "column_names", None)
    return [names[j] for j in signature.columns] if own is None else list(own(names))


def linear_form(model: FittedModel) -> tuple[float, Floats] | None:
    """Give a logistic model as one line: log-odds = intercept + coefficients x columns, scaling and calibration worked in.

    Parameters
    ----------
    model : FittedModel
        The model.

    Returns
    -------
    (float, ndarray of shape (columns,)) or None
        Intercept and coefficients; None for a classifier that is no line.
    """
    tail = getattr(model.estimator, "tail", None)
    if tail is None or model.classifier.partition("-")[0] != "logistic" or not hasattr(tail.classifier, "coef_"):
        return None
    slope = tail.slope * tail.classifier.coef_[0] * tail.used / tail.scaler.scale_
    intercept = tail.slope * float(tail.classifier.intercept_[0]) + tail.offset - float((slope * tail.scaler.mean_).sum())
    return intercept, np.asarray(slope, dtype=np.float64)


def nomogram(intercept: float, coefficients: Floats, columns: Floats) -> dict[str, Any]:
    """Turn a line into points: the column that can move the risk most spans 0 to 100 [1]_.

    Parameters
    ----------
    intercept : float
        Intercept of the log-odds.
    coefficients : ndarray, shape (columns,)
        Coefficients.
    columns : ndarray, shape (patients, columns)
        Columns of the training patients, whose ranges are drawn.

    Returns
    -------
    dict
        ``axes``: of each column ticks with their points; ``total``: total points at round risks; ``points_per_log_odds`` and ``log_odds_at_zero``: log-odds = log_odds_at_zero +
        points / points_per_log_odds. Empty where no column matters.

    References
    ----------
    .. [1] Iasonos A, Schrag D, Raj GV, Panageas KS. How to build and interpret a nomogram for cancer prognosis. J Clin Oncol 2008;26:1364-1370.
    """
    low, high = columns.min(axis=0), columns.max(axis=0)
    reach = float((np.abs(coefficients) * (high - low)).max(initial=0.0))
    if reach <= 0.0:
        return {}
    unit, start = 100.0 / reach, np.where(coefficients >= 0.0, low, high)
    axes = []
    for j, slope in enumerate(coefficients):
        ticks = np.linspace(low[j], high[j], _TICKS)
        axes.append({"column": j, "values": ticks.tolist(), "points": (unit * slope * (ticks - start[j])).tolist()})
    base = float(intercept + (coefficients * start).sum())
    total = [{"risk": risk, "points": unit * (math.log(risk / (1.0 - risk)) - base)} for risk in RISKS]
    most = float((unit * np.abs(coefficients) * (high - low)).sum())
    return {"axes": axes, "total": [t for t in total if 0.0 <= t["points"] <= most], "most": most, "points_per_log_odds": unit, "log_odds_at_zero": base}


def _shapley(model: FittedModel, columns: Floats, seed: int) -> dict[str, Any]:
    """Shapley values of some training patients before others."""
    tail: Any = getattr(model.estimator, "tail")  # noqa: B009 - the protocol does not name it
    rng = np.random.default_rng([seed, 11])
    shown = columns[np.sort(rng.permutation(len(columns))[:SHOWN])]
    background = columns[np.sort(rng.permutation(len(columns))[:BACKGROUND])]

    def score(values: Floats) -> Floats:
        return np.asarray(tail.slope * tail.scores(values, singly=False) + tail.offset)

    base, values, method = shapley_values(score, shown, background, seed)
    return {"scale": "log-odds", "method": method, "base": base, "inputs": shown.tolist(), "values": values.tolist(), "importance": np.abs(values).mean(axis=0).tolist()}


def shapley_values(score: Callable[[Floats], Floats], shown: Floats, background: Floats, seed: int) -> tuple[float, Floats, str]:
    """Share a patient's score among the columns by Shapley's rule, absent columns being those of background patients [1]_.

    Parameters
    ----------
    score : callable
        Gives the scores of rows, shape (rows,).
    shown : ndarray, shape (patients, columns)
        Whose scores are shared out.
    background : ndarray, shape (others, columns)
        Patients before whom they stand.
    seed : int
        Seed of the orders that are drawn where there are more than four columns.

    Returns
    -------
    base : float
        Mean score of the background.
    values : ndarray, shape (patients, columns)
        Shares; with `base` they add up to the score.
    method : {'exact', 'sampled'}
        Whether all subsets were evaluated, or orders were drawn, each with its reverse [2]_.

    References
    ----------
    .. [1] Lundberg SM, Lee SI. A unified approach to interpreting model predictions. NeurIPS 2017.
    .. [2] Mitchell R, Cooper J, Frank E, Holmes G. Sampling permutations for Shapley value estimation. J Mach Learn Res 2022;23:1-46.

    Examples
    --------
    >>> base, values, _ = shapley_values(lambda X: X[:, 0] + 2 * X[:, 1], np.array([[1.0, 1.0]]), np.zeros((3, 2)), 0)
    >>> base, values.tolist()
    (0.0, [[1.0, 2.0]])
    """
    width = shown.shape[1]
    if width <= EXACT:
        worth = {subset: _mixed(score, shown, background, subset) for size in range(width + 1) for subset in combinations(range(width), size)}
        values = np.zeros(shown.shape)
        for subset, mean in worth.items():
            for j in range(width):
                if j not in subset:
                    share = math.factorial(len(subset)) * math.factorial(width - len(subset) - 1) / math.factorial(width)
                    values[:, j] += share * (worth[tuple(sorted((*subset, j)))] - mean)
        return float(np.mean(score(background))), values, "exact"
    rng, values = np.random.default_rng([seed, 12]), np.zeros(shown.shape)
    for _ in range(WALKS):
        order = rng.permutation(width)
        for path in (order, order[::-1]):
            _walk(score, shown, background[rng.integers(0, len(background), len(shown))], path, values)
    values /= 2 * WALKS
    # What the drawn others lack to the mean of the background goes to every column in proportion, so that shares and base add up.
    base = float(np.mean(score(background)))
    gap = score(shown) - base - values.sum(axis=1)
    weight = np.abs(values) + 1e-12
    return base, values + gap[:, None] * weight / weight.sum(axis=1, keepdims=True), "sampled"


def _mixed(score: Callable[[Floats], Floats], shown: Floats, background: Floats, subset: tuple[int, ...]) -> Floats:
    """Mean score of each patient with the columns of `subset` its own and the others those of the background."""
    rows = np.tile(background, (len(shown), 1))
    rows[:, list(subset)] = np.repeat(shown[:, list(subset)], len(background), axis=0)
    return np.asarray(score(rows).reshape(len(shown), len(background)).mean(axis=1))


def _walk(score: Callable[[Floats], Floats], shown: Floats, others: Floats, path: NDArray[np.int64], values: Floats) -> None:
    """Turn others into the patients column by column, adding each step's change to the column's share."""
    rows = others.copy()
    before = score(rows)
    for j in path:
        rows[:, j] = shown[:, j]
        after = score(rows)
        values[:, j] += after - before
        before = after
