"""The LASSO-Cox signature."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.base import TransformerMixin
from sklearn.utils.estimator_checks import check_estimator

from sarcofuse.models import dump_estimator, load_estimator
from sarcofuse.signature import CoxSignature
from sarcofuse.signature.path import PathSettings, fit_path


def data(n=150, p=40, seed=0, effect=0.8):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p)) + 0.6 * rng.normal(size=(n, 1))
    eta = effect * (X[:, 0] - X[:, 1] + 0.5 * X[:, 2])
    time, censored = np.ceil(20 * rng.exponential(np.exp(-eta))), np.ceil(60 * rng.random(n))
    return X, np.column_stack([np.minimum(time, censored), time <= censored]).astype(float)


def standardised(X):
    return (X - X.mean(axis=0)) / X.std(axis=0)


def concordance(y, risk):
    """Give Harrell's C."""
    first, second = np.nonzero((y[:, 1] == 1)[:, None] & (y[:, 0][:, None] < y[:, 0]))
    return np.mean((risk[first] > risk[second]) + 0.5 * (risk[first] == risk[second]))


class Plain(CoxSignature):
    """Without out-of-fold values in `fit_transform`, so that scikit-learn may compare them with `transform`."""

    fit_transform = TransformerMixin.fit_transform

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.non_deterministic = False
        return tags


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", [CoxSignature, Plain])
def test_scikit_learn_accepts_it(kind):
    check_estimator(kind(repeats=1, penalties=20))


def test_it_finds_what_matters():
    X, y = data(400, 60)
    fresh_X, fresh_y = data(2000, 60, seed=1)
    found = CoxSignature().fit(X, y)
    assert {0, 1, 2} <= set(found.selected_)
    assert found.coef_[0] > 0 > found.coef_[1]
    assert found.supported_
    best = concordance(fresh_y, fresh_X[:, 0] - fresh_X[:, 1] + 0.5 * fresh_X[:, 2])
    assert concordance(fresh_y, found.transform(fresh_X)[:, 0]) - 0.5 > 0.9 * (best - 0.5)


@pytest.mark.parametrize("ties", ["breslow", "efron"])
def test_coefficients_are_those_of_the_path_at_the_chosen_penalty(ties):
    X, y = data()
    found = CoxSignature(correlation=1.0, ties=ties).fit(X, y)
    path = fit_path(standardised(X), y, PathSettings("cox", ties=ties, tolerance=1e-14), penalties=[found.penalty_])
    np.testing.assert_allclose(found.coef_, path.coefficients[0], atol=1e-4)
    np.testing.assert_allclose(found.transform(X)[:, 0], standardised(X) @ path.coefficients[0], atol=1e-3)
    assert found.penalty_ == found.path_["penalty"][np.argmin(found.path_["deviance"])]


def test_a_patient_alone_has_the_same_bits():
    X, y = data()
    found = CoxSignature().fit(X, y)
    alone = np.vstack([found.transform(X[i : i + 1]) for i in range(len(X))])
    assert np.array_equal(alone, found.transform(X))
    assert np.array_equal(found.features(X)[:1], found.features(X[:1]))


def test_fit_transform_is_out_of_fold():
    X, y = data(effect=0.0, n=100, p=60)
    gained, honest = [], []
    for seed in range(6):
        X, y = data(100, 60, seed, effect=0.0)
        found = CoxSignature(repeats=1, penalties=20)
        honest.append(concordance(y, found.fit_transform(X, y)[:, 0]))
        gained.append(concordance(y, found.transform(X)[:, 0]))
    assert np.mean(honest) == pytest.approx(0.5, abs=0.08)
    assert np.mean(gained) > np.mean(honest) + 0.1


def test_every_form_of_the_outcome_is_the_same():
    X, y = data()
    forms = [
        pd.DataFrame({"event": y[:, 1], "time": y[:, 0]}),
        np.array([(bool(e), t) for t, e in y], dtype=[("died", bool), ("months", float)]),
        np.array([(int(e), t) for t, e in y], dtype=[("event", int), ("time", float)]),
        y.tolist(),
    ]
    wanted = CoxSignature(repeats=1).fit(X, y).coef_
    assert wanted.any()
    for form in forms:
        assert np.array_equal(CoxSignature(repeats=1).fit(X, form).coef_, wanted)
    everybody = CoxSignature(repeats=1).fit(X, y[:, 0]).coef_
    assert np.array_equal(everybody, CoxSignature(repeats=1).fit(X, np.column_stack([y[:, 0], np.ones(len(y))])).coef_)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda y: y * [1, 0], "events must be 0 or 1, with at least one 1, found"),
        (lambda y: y * [-1, 1], r"times must be at least 0 .* in row 0"),
        (lambda y: y + np.array([0, 1]), "events must be 0 or 1"),
        (lambda y: np.where(np.arange(150)[:, None] == 4, np.nan, y), "nan.* in row 4"),
        (lambda y: y[:, 1] == 1, "truth values alone"),
        (lambda y: np.hstack([y, y]), r"columns time and event, found shape \(150, 4\)"),
        (lambda y: y[:-1], "inconsistent numbers of samples"),
        (lambda y: np.array([(1.0, 2.0)] * 150, dtype=[("a", float), ("b", float)]), "fields time and event, or one number and one truth value, found a, b"),
        (lambda y: [["soon", "yes"]] * 150, "time and event must be numbers"),
    ],
)
def test_bad_outcomes_are_told(change, words):
    X, y = data()
    with pytest.raises(ValueError, match=words):
        CoxSignature().fit(X, change(y))


@pytest.mark.parametrize("events", [1, 2, 3])
def test_few_events_do_not_crash(events):
    X, y = data(30, 8)
    y[:, 1] = np.arange(30) < events
    found = CoxSignature().fit(X, y)
    assert np.isfinite(found.transform(X)).all()
    assert (found.path_ == {}) == (events == 1)
    if events == 1:
        with pytest.raises(ValueError, match="at least 2 events, found 1"):
            CoxSignature().fit_transform(X, y)


def test_all_dead_and_useless_features():
    X, y = data(60, 5)
    y[:, 1] = 1
    assert np.isfinite(CoxSignature().fit_transform(X, y)).all()
    found = CoxSignature().fit(np.ones((60, 3)), y)
    assert found.transform(np.full((2, 3), 5.0)).tolist() == [[0.0], [0.0]]


def test_elastic_net_and_penalty_factors():
    X, y = data()
    factors = np.ones(40)
    factors[[7, 0]] = 0.0, 50.0
    plain, weighed, mixed = CoxSignature(least=0).fit(X, y), CoxSignature(least=0, factors=factors).fit(X, y), CoxSignature(least=0, l1_ratio=0.2).fit(X, y)
    assert (0 in plain.selected_, 7 in plain.selected_) == (True, False)
    assert (0 in weighed.selected_, 7 in weighed.selected_) == (False, True)
    assert mixed.selected_.size > plain.selected_.size


def test_skops_keeps_every_bit(tmp_path):
    X, y = data()
    found = CoxSignature().fit(X, y)
    file = tmp_path / "signature.skops"
    file.write_bytes(dump_estimator(found))
    again = load_estimator(file)
    assert np.array_equal(again.transform(X), found.transform(X))
    assert again.get_params() == found.get_params()
