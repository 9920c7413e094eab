"""Explanations are numbers that can be checked: formulas give the signature, points give the risk, shares add up to the score."""

from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pytest

from sarcofuse.config import ModelsConfig, SignatureConfig
from sarcofuse.models import explain, fit_models, risks, shapley_values
from sarcofuse.models.explain import EXACT, nomogram
from sarcofuse.records import FeatureTable
from sarcofuse.runtime import Engine
from sarcofuse.signature import LassoSignature

CONFIG = {"classifiers": ("extratrees", "logistic"), "tuning": False, "folds": 2, "signature": SignatureConfig(folds=2)}


@pytest.fixture(scope="module", params=["signatures", "features"])
def explained(request, simulated, tmp_path_factory):
    """Models, training tables, and the content of explain.json as it is read back."""
    tables = {b: FeatureTable(b, simulated.train, t.names, t.rows(simulated.train)) for b, t in simulated.tables.items()}
    with Engine(tmp_path_factory.mktemp("cache"), scheduler="serial", progress=False) as engine:
        models = fit_models(tables, simulated.training(), LassoSignature(folds=2, repeats=1, penalties=20), ModelsConfig(**CONFIG, fusion=request.param), engine, 0)
    return models, tables, json.loads(json.dumps(explain(models, tables, "dlr"), allow_nan=False))


def test_formula_by_hand_is_the_signature(explained):
    models, tables, content = explained
    for block, table in tables.items():
        written = content["formulas"][block]
        total = np.full(len(table.patient_ids), written["intercept"])
        for term in written["terms"]:
            total += term["coefficient"] * (table.values[:, table.names.index(term["feature"])] - term["mean"]) / term["scale"]
        signature = next(m for m in models if m.features == block).estimator.signatures[0]
        assert np.allclose(total, signature.transform(table.values)[:, 0], atol=1e-12)
        sizes = [abs(t["coefficient"]) for t in written["terms"]]
        assert sizes == sorted(sizes, reverse=True)


def test_line_and_points_give_the_risk(explained):
    models, tables, content = explained
    for model, row in zip(models, content["models"], strict=True):
        assert (model.features, model.classifier) == (row["features"], row["classifier"])
        if model.classifier != "logistic":
            assert "linear" not in row
            continue
        patients = list(tables["deep"].patient_ids)
        found = np.array(list(risks(model, tables, patients).values()))
        columns = model.estimator.columns(np.hstack([tables[b].rows(patients) for b in model.blocks]))
        assert columns.shape[1] == len(row["columns"])
        odds = row["linear"]["intercept"] + columns @ row["linear"]["coefficients"]
        assert np.allclose(1 / (1 + np.exp(-odds)), found, atol=1e-10)
        chart = row["nomogram"]
        points = sum(np.interp(columns[:, a["column"]], a["values"], a["points"]) for a in chart["axes"])
        assert np.allclose(chart["log_odds_at_zero"] + points / chart["points_per_log_odds"], odds, atol=1e-9)
        assert max(max(a["points"]) for a in chart["axes"]) == pytest.approx(100)
        assert min(min(a["points"]) for a in chart["axes"]) == pytest.approx(0, abs=1e-9)
        assert points.max() <= chart["most"] + 1e-9


def test_nomogram_of_a_worked_example():
    chart = nomogram(-1.0, np.array([2.0, -0.5]), np.array([[0.0, 0.0], [1.0, 2.0]]))
    assert chart["axes"][0]["points"] == pytest.approx([0, 25, 50, 75, 100])
    assert chart["axes"][1]["points"] == pytest.approx([50, 37.5, 25, 12.5, 0])
    # at zero points: x = (0, 2), log-odds -2; 50 points a unit of log-odds; risk 0.5 at log-odds 0
    assert chart["log_odds_at_zero"] == pytest.approx(-2)
    assert next(t["points"] for t in chart["total"] if t["risk"] == 0.5) == pytest.approx(100)
    assert {t["risk"] for t in chart["total"]} == {0.2, 0.3, 0.4, 0.5, 0.6, 0.7}
    assert nomogram(-1.0, np.zeros(2), np.ones((3, 2))) == {}


def test_shares_add_up_and_the_leading_set_alone_has_them(explained):
    models, _, content = explained
    for model, row in zip(models, content["models"], strict=True):
        assert ("shapley" in row) == (model.features == "dlr")
        if "shapley" not in row:
            continue
        found = row["shapley"]
        inputs, values = np.array(found["inputs"]), np.array(found["values"])
        tail = model.estimator.tail
        assert np.allclose(found["base"] + values.sum(axis=1), tail.slope * tail.scores(inputs) + tail.offset, atol=1e-9)
        assert found["importance"] == pytest.approx(np.abs(values).mean(axis=0).tolist())
        assert found["method"] == ("exact" if inputs.shape[1] <= EXACT else "sampled")


def by_orders(score, patient, background):
    """Shapley's definition: the mean, over all orders, of what a column adds when its turn comes."""
    width = len(patient)
    shares = np.zeros(width)
    for order in itertools.permutations(range(width)):
        rows = background.copy()
        before = score(rows).mean()
        for j in order:
            rows[:, j] = patient[j]
            shares[j] += score(rows).mean() - before
            before = score(rows).mean()
    return shares / math.factorial(width)


def test_exact_values_are_those_of_the_definition():
    rng = np.random.default_rng(0)
    shown, background = rng.normal(size=(5, 4)), rng.normal(size=(7, 4))

    def score(X):
        return X[:, 0] * X[:, 1] + np.sin(X[:, 2]) * X[:, 3] + np.maximum(X[:, 0], X[:, 3])

    base, values, method = shapley_values(score, shown, background, 0)
    assert method == "exact"
    assert base == pytest.approx(score(background).mean())
    assert np.allclose(values, [by_orders(score, x, background) for x in shown], atol=1e-12)


def test_sampled_values_of_a_line_are_coefficient_times_distance_and_of_a_product_come_near():
    rng = np.random.default_rng(1)
    shown, background, beta = rng.normal(size=(30, 6)), np.zeros((9, 6)), np.array([1.0, -2.0, 0.5, 0.0, 3.0, 0.1])
    base, values, method = shapley_values(lambda X: X @ beta, shown, background, 0)
    assert method == "sampled"
    assert base == 0.0
    assert np.allclose(values, shown * beta, atol=1e-9)

    def score(X):
        return X[:, 0] * X[:, 1] * X[:, 2]

    found = shapley_values(score, shown, background, 0)[1]
    assert np.allclose(found[:, :3], np.array([by_orders(score, x[:3], np.zeros((1, 3))) for x in shown]), atol=0.5 * np.abs(score(shown)).max())
    assert np.allclose(found.sum(axis=1), score(shown), atol=1e-9)


def test_identities_and_outcomes_are_not_in_it(explained):
    _, tables, content = explained
    text = json.dumps(content)
    assert not any(p in text for p in tables["deep"].patient_ids)
