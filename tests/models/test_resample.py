"""Balanced training rows: what samplers give, and that they never reach anybody who is scored."""

from __future__ import annotations

import numpy as np
import pytest

from sarcofuse.config import ModelsConfig, SignatureConfig
from sarcofuse.errors import ConfigError
from sarcofuse.metrics import auc
from sarcofuse.models import find_classifier, fit_models, risks
from sarcofuse.models.resample import OverSampler, SmoteSampler, UnderSampler, balanced
from sarcofuse.models.tuning import train
from sarcofuse.signature import LassoSignature

QUICK = {"folds": 3, "signature": SignatureConfig(folds=3, repeats=1, penalties=20), "tuning": False}


def rare(n=100, seed=0):
    rng = np.random.default_rng(seed)
    y = (np.arange(n) % 5 == 0).astype(int)
    return rng.normal(size=(n, 4)) + 1.5 * y[:, None], y


def rows_of(X):
    return {tuple(r) for r in X}


def test_under_sampling_keeps_all_of_the_smaller_class():
    X, y = rare()
    rows, labels = UnderSampler().fit_resample(X, y)
    assert np.bincount(labels).tolist() == [20, 20]
    assert rows_of(rows[labels == 1]) == rows_of(X[y == 1])
    assert rows_of(rows[labels == 0]) < rows_of(X[y == 0])
    assert len(rows_of(rows)) == 40


def test_over_sampling_repeats_the_smaller_class():
    X, y = rare()
    rows, labels = OverSampler().fit_resample(X, y)
    assert np.bincount(labels).tolist() == [80, 80]
    assert rows_of(rows) == rows_of(X)
    np.testing.assert_array_equal(rows[:100], X)


def test_smote_lies_between_neighbours_of_its_class():
    X, y = rare()
    rows, labels = SmoteSampler(neighbours=3).fit_resample(X, y)
    assert np.bincount(labels).tolist() == [80, 80]
    np.testing.assert_array_equal(rows[:100], X)
    own = X[y == 1]
    scaled = (own - own.mean(axis=0)) / own.std(axis=0)
    distance = np.linalg.norm(scaled[:, None] - scaled[None], axis=2)
    near = np.argsort(distance, axis=1)[:, 1:4]
    for made in rows[100:]:
        share = [np.linalg.norm(made - own[i]) + np.linalg.norm(made - own[j]) - np.linalg.norm(own[i] - own[j]) for i in range(20) for j in near[i]]
        assert min(share) < 1e-9
    assert len(rows_of(rows[100:])) == 60


def test_smote_of_one_patient_repeats_it_and_gaps_stay_gaps():
    X, y = rare(12)
    y[:] = 0
    y[3] = 1
    rows, _ = SmoteSampler().fit_resample(X, y)
    assert (rows[12:] == X[3]).all()
    X, y = rare()
    X[y == 1, 2] = np.nan
    assert np.isnan(SmoteSampler().fit_resample(X, y)[0][100:, 2]).all()


@pytest.mark.parametrize("sampler", [UnderSampler, OverSampler, SmoteSampler])
def test_same_seed_same_rows(sampler):
    X, y = rare()
    first, second, other = (sampler(seed).fit_resample(X, y)[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, other)
    with pytest.raises(ValueError, match=r"needs training patients of two classes or more, found 1 class: \[0\]"):
        sampler().fit(X, np.zeros(100, dtype=int))


def test_weights_give_both_classes_the_same_total():
    X, y = rare()
    _, _, weights = balanced("weights", X, y.astype(float), 0)
    assert weights[y == 1].sum() == pytest.approx(50.0)
    assert weights[y == 0].sum() == pytest.approx(50.0)


def test_weighed_logistic_regression_is_that_of_scikit_learn():
    from sklearn.linear_model import LogisticRegression

    X, y = rare()
    found = train(find_classifier("logistic-weights"), {"C": 1.0}, X, y.astype(float), 0, monotone=False)
    peer = LogisticRegression(class_weight="balanced", max_iter=5000, tol=1e-8).fit((X - X.mean(axis=0)) / X.std(axis=0), y)
    np.testing.assert_allclose(found.classifier.coef_, peer.coef_, rtol=1e-5)


@pytest.mark.parametrize("name", ["logistic-smote", "extratrees-over", "knn-under", "svm-weights"])
def test_balanced_classifiers_by_name(simulated, engine, name):
    config = ModelsConfig(classifiers=(name,), **QUICK)
    models = fit_models(simulated.tables, simulated.training(), LassoSignature(folds=3, repeats=1, penalties=20), config, engine, 0)
    y = [simulated.outcome[p] for p in simulated.test]
    fused = next(m for m in models if m.features == "dlr")
    assert fused.classifier == name
    risk = risks(fused, simulated.tables, simulated.test)
    assert auc(y, list(risk.values())) > 0.65
    # Balance is for learning alone: the risks are calibrated on rows as they are.
    assert abs(np.mean(list(risk.values())) - np.mean(y)) < 0.15


def test_unknown_balance_and_classifiers_without_weights():
    with pytest.raises(ConfigError, match=r"there is no classifier 'logistic-rose'.*-weights, -under, -over, -smote"):
        find_classifier("logistic-rose")
    with pytest.raises(ConfigError, match="there is no classifier 'logistic-'"):
        find_classifier("logistic-")
    X, y = rare()
    with pytest.raises(ConfigError, match="KNeighborsClassifier takes no weights; balance its training rows with -under"):
        train(find_classifier("knn-weights"), {"share": 0.1}, X, y.astype(float), 0, monotone=False)
