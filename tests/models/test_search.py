"""Searches for parameters: within their ranges, within the budget, the same again, and none by default."""

from __future__ import annotations

import builtins

import numpy as np
import pytest

from sarcofuse.config import ModelsConfig, SignatureConfig
from sarcofuse.errors import ConfigError
from sarcofuse.models import CLASSIFIERS, Recipe, find_classifier, fit_chosen
from sarcofuse.models.classifiers import Range
from sarcofuse.models.search import Search, Trial, draw, look
from sarcofuse.signature import LassoSignature

QUICK = {"folds": 2, "signature": SignatureConfig(folds=2, repeats=1, penalties=20)}


def bowl(calls: list[dict[str, float]]):
    """Loss with its least at C = 3, steepness = 0.2."""

    def judge(parameters):
        calls.append(dict(parameters))
        far = np.log10(parameters["C"] / 3) ** 2 + np.log10(parameters["steepness"] / 0.2) ** 2
        return Trial(parameters, np.full(4, far), (1.0, 0.0))

    return judge


@pytest.mark.parametrize("kind", ["random", "optuna"])
def test_search_keeps_to_ranges_and_budget_and_is_the_same_again(kind):
    if kind == "optuna":
        pytest.importorskip("optuna")
    svm, calls, again = CLASSIFIERS["svm"], [], []
    best = look(svm, "svm", bowl(calls), Search(kind, 25), 1)
    assert len(calls) == 25
    assert calls[0] == dict(svm.default)
    for name, values in svm.space.items():
        assert all(values.low <= c[name] <= values.high for c in calls[1:])
        assert len({c[name] for c in calls}) > 10
    far = [np.log10(c["C"] / 3) ** 2 + np.log10(c["steepness"] / 0.2) ** 2 for c in calls]
    assert dict(best.parameters) == calls[int(np.argmin(far))]
    look(svm, "svm", bowl(again), Search(kind, 25), 1)
    assert again == calls
    look(svm, "svm", bowl(other := []), Search(kind, 25), 2)
    assert other[1:] != calls[1:]


def test_grid_and_no_tuning_try_what_the_table_says():
    svm, calls, plain = CLASSIFIERS["svm"], [], []
    look(svm, "svm", bowl(calls), Search("grid"), 0)
    assert len(calls) == 9
    look(svm, "svm", bowl(plain), Search("none"), 0)
    assert plain == [dict(svm.default)]


def test_draws_are_even_on_their_scale():
    shares = (np.arange(999) + 0.5) / 999
    logs = [np.log10(draw(Range(1e-4, 100.0, log=True), s)) for s in shares]
    assert np.allclose(logs, -4 + 6 * shares, atol=0.004)
    whole = [draw(Range(1, 4, whole=True), s) for s in shares]
    assert np.bincount(whole).tolist()[1:] == [250, 249, 250, 250]
    assert draw(Range(2.0, 4.0), 0.25) == 2.5


def test_random_search_chooses_inside_every_fold(simulated, engine):
    config = ModelsConfig(classifiers=("logistic",), primary=("dlr", "logistic"), search="random", budget=6, **QUICK)
    signature = LassoSignature(folds=2, repeats=1, penalties=20)
    (model,) = fit_chosen(simulated.tables, simulated.training(), Recipe(signature, config, engine, 0), [("dlr", "logistic")])
    (grid,) = fit_chosen(simulated.tables, simulated.training(), Recipe(signature, config.model_copy(update={"search": "grid"}), engine, 0), [("dlr", "logistic")])
    assert 1e-4 <= model.parameters["C"] <= 100
    assert model.parameters["C"] not in (0.001, 0.01, 0.1, 10.0)
    assert model.parameters["inner_log_loss"] == pytest.approx(grid.parameters["inner_log_loss"], rel=0.02)


@pytest.fixture
def bare(monkeypatch):
    """An installation without extras."""
    missing = ("lightgbm", "xgboost", "optuna")
    real, spec = builtins.__import__, __import__("importlib.util").util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *rest: None if name in missing else spec(name, *rest))

    def without(name, *rest, **named):
        if name.split(".")[0] in missing:
            raise ImportError(name)
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)


@pytest.mark.parametrize("name", ["lightgbm", "xgboost"])
def test_an_absent_extra_is_named(name, bare):
    with pytest.raises(ConfigError, match=rf"{name} is not installed; pip install sarcofuse\[{name}\]"):
        find_classifier(name)


def test_absent_optuna_is_named(bare):
    with pytest.raises(ConfigError, match=r"optuna is not installed; pip install sarcofuse\[optuna\], or set models.search"):
        Search.of(ModelsConfig(search="optuna"))


def test_large_tables_give_the_support_vector_machine_a_stratified_part(monkeypatch):
    from dataclasses import replace

    from sarcofuse.models.tuning import train

    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 2))
    y = (rng.random(400) < 0.25).astype(float)
    kind = replace(CLASSIFIERS["svm"], most=100)
    machine = train(kind, kind.default, X, y, 0, monotone=False).classifier
    assert machine.shape_fit_ == (100, 2)
    assert machine.n_support_.sum() <= 100
    share = np.isin(machine.support_vectors_, (X - X.mean(axis=0)) / X.std(axis=0)).mean()
    assert share == 1.0
