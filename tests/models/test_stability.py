"""The stability filter: what it keeps, within folds too, and scikit-learn's conventions."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_validate
from sklearn.pipeline import Pipeline
from sklearn.utils.estimator_checks import estimator_checks_generator

from sarcofuse.metrics import icc
from sarcofuse.signature import StabilityFilter


@pytest.mark.parametrize("check", [pytest.param(c, id=getattr(c, "func", c).__name__) for _, c in estimator_checks_generator(StabilityFilter())])
def test_scikit_learns_conventions(check):
    check(StabilityFilter())


def patients(count=30, seed=0):
    """Features of which the first three are stable, the next three are not, and the last is the same for everybody; and their repeats."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(count, 7))
    X[:, 6] = 1.0
    spread = np.array([0.05, 0.1, 0.2, 2.0, 3.0, 4.0, 0.0])
    return X, np.concatenate([X[:, None], X[:, None] + rng.normal(size=(count, 9, 7)) * spread], axis=1)


def test_keeps_what_reaches_the_threshold():
    X, _ = patients()
    X[3, 0] = np.nan
    found = StabilityFilter([0.9, 0.75, 0.74, np.nan, 0.1, 0.8, 1.0]).fit(X)
    assert found.get_support().tolist() == [True, True, False, False, False, True, True]
    assert np.array_equal(found.transform(X), X[:, [0, 1, 5, 6]], equal_nan=True)
    assert found.get_feature_names_out(list("abcdefg")).tolist() == ["a", "b", "f", "g"]
    assert clone(found).fit(X).kept_.tolist() == found.kept_.tolist()


@pytest.mark.parametrize(("bound", "form"), [(True, "2,1"), (False, "3,1")])
def test_learns_from_repeats(bound, form):
    X, repeats = patients()
    found = StabilityFilter(bound=bound, form=form).fit(X, repeats=repeats)
    assert found.kept_.tolist() == [True] * 3 + [False] * 4
    own = icc(repeats, form)
    np.testing.assert_array_equal(found.reliability_, own.low if bound else own.value)


def test_each_fold_learns_from_its_own_patients():
    X, repeats = patients()
    y = (X[:, 0] > 0).astype(int)
    with config_context(enable_metadata_routing=True):
        pipe = Pipeline([("stable", StabilityFilter().set_fit_request(repeats=True)), ("model", LogisticRegression())])
        found = cross_validate(pipe, X, y, params={"repeats": repeats}, cv=3, return_estimator=True, return_indices=True)
    for pipe, train in zip(found["estimator"], found["indices"]["train"], strict=True):
        np.testing.assert_array_equal(pipe["stable"].reliability_, icc(repeats[train]).low)
    assert found["test_score"].mean() > 0.8


def test_says_what_does_not_fit():
    X, repeats = patients()
    with pytest.raises(ValueError, match=r"one value a feature, 7 in all, found shape \(3,\)"):
        StabilityFilter([0.9, 0.9, 0.9]).fit(X)
    with pytest.raises(ValueError, match=r"repeats must be of shape .* \(30, ..., 7\), found \(29, 10, 7\)"):
        StabilityFilter().fit(X, repeats=repeats[1:])
    with pytest.raises(ValueError, match=r"none of 7 features has an intraclass correlation of 0.99 or more; the highest is 0.90"):
        StabilityFilter(np.full(7, 0.9), threshold=0.99).fit(X)
    with pytest.raises(ValueError, match="none is defined"):
        StabilityFilter(np.full(7, np.nan)).fit(X)
