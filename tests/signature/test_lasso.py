"""The LASSO signature against scikit-learn and its own optimality conditions."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import TransformerMixin, clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import check_estimator

from sarcofuse.metrics import auc, stratified_folds
from sarcofuse.models import dump_estimator, load_estimator
from sarcofuse.signature import LassoSignature
from sarcofuse.signature.path import PathSettings, fit_path
from sarcofuse.signature.screen import uncorrelated, varying


def data(n: int = 120, p: int = 40, seed: int = 0, effect: float = 0.8) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p)) + 0.6 * rng.normal(size=(n, 1))
    eta = effect * (X[:, 0] - X[:, 1] + 0.5 * X[:, 2]) - 0.5
    return X, (rng.random(n) < 1 / (1 + np.exp(-eta))).astype(int)


def standardised(X):
    return (X - X.mean(axis=0)) / X.std(axis=0)


def solve(X, y, penalties, tolerance=1e-14):
    Z = standardised(X)
    largest = np.abs(Z.T @ (y - y.mean())).max() / len(y)
    path = fit_path(Z, y, PathSettings("binomial", tolerance=tolerance), penalties=largest * np.asarray(penalties, dtype=float))
    return Z, largest, path.coefficients, path.intercepts, path.deviances


@pytest.mark.parametrize("share", [0.5, 0.2, 0.05])
def test_coefficients_equal_scikit_learn(share):
    X, y = data()
    Z, largest, coefficients, intercepts, _ = solve(X, y, [1.0, 0.6, share])
    peer = LogisticRegression(l1_ratio=1.0, C=1 / (len(y) * largest * share), solver="saga", tol=1e-9, max_iter=100_000).fit(Z, y)
    np.testing.assert_allclose(coefficients[-1], peer.coef_[0], atol=2e-5)
    assert intercepts[-1] == pytest.approx(peer.intercept_[0], abs=2e-5)


@pytest.mark.parametrize(("n", "p"), [(120, 40), (60, 300)])
def test_every_solution_on_the_path_is_optimal(n, p):
    X, y = data(n, p)
    Z, largest, coefficients, intercepts, deviances = solve(X, y, np.geomspace(1, 0.05, 20), 1e-15)
    for share, beta, intercept, deviance in zip(np.geomspace(1, 0.05, 20), coefficients, intercepts, deviances, strict=True):
        risk = 1 / (1 + np.exp(-(Z @ beta + intercept)))
        pull, penalty = Z.T @ (y - risk) / n, largest * share
        assert abs((y - risk).mean()) < 1e-6
        assert np.abs(pull[beta == 0]).max() <= penalty * (1 + 1e-4)
        np.testing.assert_allclose(pull[beta != 0], penalty * np.sign(beta[beta != 0]), rtol=1e-3)
        assert deviance == pytest.approx(-2 * np.log(np.where(y == 1, risk, 1 - risk)).mean(), abs=1e-9)


def test_first_penalty_lets_nothing_in_and_the_second_something():
    X, y = data()
    _, _, coefficients, _, _ = solve(X, y, [1.0 + 1e-9, 0.95])
    assert not coefficients[0].any()
    assert coefficients[1].any()


def test_separable_data_end_the_path_without_running_away():
    X, y = data(40, 10)
    X[:, 3] = 10 * y + 0.01 * np.arange(40)
    _, _, coefficients, _, deviances = solve(X, y, np.geomspace(1, 1e-6, 60), 1e-9)
    assert np.isfinite(coefficients).all()
    assert deviances[-1] < 0.01


def test_cross_validated_deviance_is_that_of_scikit_learn():
    X, y = data()
    found = LassoSignature(correlation=1.0, repeats=1).fit(X, y)
    Z, at = standardised(X), 9
    fold, losses = stratified_folds(y, 5, [0, 0, 0]), np.empty(len(y))
    for k in range(5):
        train, test = Z[fold != k], Z[fold == k]
        mean, scale = train.mean(axis=0), train.std(axis=0)
        peer = LogisticRegression(l1_ratio=1.0, C=1 / (len(train) * found.path_["penalty"][at]), solver="saga", tol=1e-9, max_iter=100_000).fit((train - mean) / scale, y[fold != k])
        losses[fold == k] = -2 * np.log(peer.predict_proba((test - mean) / scale)[np.arange(len(test)), y[fold == k]])
    assert found.path_["deviance"][at] == pytest.approx(losses.mean(), abs=2e-5)
    by_fold = np.array([losses[fold == k].mean() for k in range(5)])
    share = np.bincount(fold) / len(y)
    assert found.path_["error"][at] == pytest.approx(np.sqrt((share * (by_fold - losses.mean()) ** 2).sum() / 4), abs=2e-4)


@pytest.mark.parametrize("seed", range(4))
def test_penalty_is_the_one_of_least_deviance_or_within_one_error_of_it(seed):
    X, y = data(seed=seed)
    least, sparse = LassoSignature().fit(X, y), LassoSignature(rule="1se").fit(X, y)
    path = least.path_
    best = int(np.argmin(path["deviance"]))
    assert least.penalty_ == path["penalty"][best]
    assert sparse.penalty_ >= least.penalty_
    limit = path["deviance"][best] + path["error"][best]
    assert sparse.penalty_ == max(p for p, d in zip(path["penalty"], path["deviance"], strict=True) if d <= limit)
    assert sparse.selected_.size <= least.selected_.size


def test_transform_is_the_linear_predictor():
    X, y = data()
    found = LassoSignature().fit(X, y)
    expected = found.intercept_ + standardised(X)[:, found.selected_] @ found.coef_[found.selected_]
    np.testing.assert_allclose(found.transform(X)[:, 0], expected, atol=1e-10)
    np.testing.assert_allclose(found.features(X), standardised(X)[:, found.selected_], atol=1e-10)


def test_signature_finds_what_matters():
    X, y = data(400, 60)
    fresh_X, fresh_y = data(4000, 60, seed=1)
    found = LassoSignature().fit(X, y)
    assert {0, 1, 2} <= set(found.selected_)
    assert found.coef_[0] > 0 > found.coef_[1]
    best = auc(fresh_y, fresh_X[:, 0] - fresh_X[:, 1] + 0.5 * fresh_X[:, 2])
    assert auc(fresh_y, found.transform(fresh_X)[:, 0]) - 0.5 > 0.9 * (best - 0.5)


def test_repeats_average_the_deviance_over_dealings():
    X, y = data()
    parts = [LassoSignature(repeats=r).fit(X, y).path_["deviance"][:10] for r in (1, 2)]
    second = 2 * parts[1] - parts[0]
    fold, at = stratified_folds(y, 5, [0, 0, 1]), 5
    kept = LassoSignature(repeats=1).fit(X, y)
    Z, losses = standardised(X)[:, kept.kept_], np.empty(len(y))
    for k in range(5):
        train, test = Z[fold != k], Z[fold == k]
        mean, scale = train.mean(axis=0), train.std(axis=0)
        peer = LogisticRegression(l1_ratio=1.0, C=1 / (len(train) * kept.path_["penalty"][at]), solver="saga", tol=1e-9, max_iter=100_000).fit((train - mean) / scale, y[fold != k])
        losses[fold == k] = -2 * np.log(peer.predict_proba((test - mean) / scale)[np.arange(len(test)), y[fold == k]])
    assert second[at] == pytest.approx(losses.mean(), abs=4e-5)


def test_units_of_the_features_do_not_matter():
    X, y = data()
    first, second = LassoSignature().fit(X, y), LassoSignature().fit(X * 1000 + 7, y)
    np.testing.assert_allclose(second.transform(X * 1000 + 7), first.transform(X), atol=1e-6)


def test_gaps_take_the_median_of_the_training_patients():
    X, y = data()
    holes = X.copy()
    holes[::7, 0] = np.nan
    found = LassoSignature().fit(holes, y)
    assert found.median_[0] == np.nanmedian(holes[:, 0])
    one = X[:1].copy()
    one[0, 0] = np.nan
    filled = one.copy()
    filled[0, 0] = found.median_[0]
    assert np.array_equal(found.transform(one), found.transform(filled))


def test_useless_features_are_dropped_before_the_lasso():
    X, y = data(100, 6)
    X[:, 1] = 4.0
    X[:, 2] = np.where(np.arange(100) < 4, 1.0, 0.0)
    X[:, 3] = np.nan
    X[:, 5] = -2 * X[:, 0] + 1e-3 * X[:, 4]
    assert LassoSignature().fit(X, y).kept_.tolist() == [0, 4]


def test_a_value_shared_by_95_percent_is_allowed_and_by_more_is_not():
    columns = np.column_stack([np.where(np.arange(100) < k, np.arange(100), -1.0) for k in (5, 4)])
    assert varying(columns).tolist() == [True, False]


def test_of_a_chain_of_correlated_features_each_is_compared_with_those_kept():
    rng = np.random.default_rng(0)
    a = rng.normal(size=2000)
    b = a + 0.3 * rng.normal(size=2000)
    c = b + 0.3 * rng.normal(size=2000)
    Z = standardised(np.column_stack([a, b, c]))
    r = np.corrcoef(Z.T)
    assert r[0, 1] > 0.94
    assert r[1, 2] > 0.94
    assert r[0, 2] < 0.94
    assert uncorrelated(Z, 0.94).tolist() == [True, False, True]
    assert uncorrelated(Z, 1.0).all()


def test_noise_may_leave_a_constant_signature_with_stand_ins():
    X, y = data(80, 30, seed=3, effect=0.0)
    found = LassoSignature(rule="1se", least=0, repeats=1).fit(X, y)
    assert (found.selected_.size, found.supported_) == (0, False)
    assert found.transform(X) == pytest.approx(np.log(y.mean() / (1 - y.mean())))
    strength = np.abs(standardised(X).T @ (y - y.mean()))
    assert found.columns.tolist() == [int(np.argmax(strength))]
    assert found.features(X).shape == (80, 1)


def test_where_none_is_preferred_the_first_on_the_path_are_taken():
    X, y = data(80, 30, seed=3, effect=0.0)
    found, empty = (LassoSignature(rule="1se", least=least, repeats=1).fit(X, y) for least in (5, 0))
    assert (found.supported_, empty.supported_) == (False, False)
    assert found.selected_.size >= 5
    at = int(np.flatnonzero(found.path_["penalty"] == found.penalty_)[0])
    _, _, coefficients, _, _ = solve(X[:, found.kept_], y, found.path_["penalty"] / empty.penalty_, 1e-9)
    assert np.count_nonzero(coefficients[at]) == found.selected_.size
    assert np.count_nonzero(coefficients[at - 1]) < 5
    np.testing.assert_allclose(found.coef_[found.kept_], coefficients[at], atol=1e-5)


def test_where_features_help_the_least_number_does_not_matter():
    X, y = data(400, 60)
    first, second = (LassoSignature(least=least).fit(X, y) for least in (0, 40))
    assert first.supported_
    assert np.array_equal(first.coef_, second.coef_)


def test_fit_transform_is_out_of_fold():
    X, y = data()
    whole = LassoSignature()
    given = whole.fit_transform(X, y)
    fold = stratified_folds(y, 5, [0, 1])
    for k in range(5):
        part = LassoSignature().fit(X[fold != k], y[fold != k])
        np.testing.assert_allclose(given[fold == k], part.transform(X[fold == k]) - part.intercept_ + whole.intercept_, atol=1e-12)
    assert np.array_equal(whole.coef_, LassoSignature().fit(X, y).coef_)


def test_training_on_noise_shows_in_transform_but_not_in_fit_transform():
    gained, honest = [], []
    for seed in range(12):
        X, y = data(100, 30, seed=seed, effect=0.0)
        found = LassoSignature(repeats=1, penalties=20)
        honest.append(auc(y, found.fit_transform(X, y)[:, 0]))
        gained.append(auc(y, found.transform(X)[:, 0]))
    assert np.mean(honest) == pytest.approx(0.5, abs=0.06)
    assert np.mean(gained) > np.mean(honest) + 0.05


def test_in_a_pipeline_the_classifier_learns_from_honest_signatures():
    X, y = data()
    line = make_pipeline(LassoSignature(), LogisticRegression()).fit(X, y)
    peer = LogisticRegression().fit(LassoSignature().fit_transform(X, y), y)
    np.testing.assert_allclose(line[-1].coef_, peer.coef_, atol=1e-9)


@pytest.mark.parametrize("events", [1, 2, 3])
def test_few_events_do_not_crash(events):
    X, _ = data(30, 8)
    y = np.zeros(30, dtype=int)
    y[:events] = 1
    found = LassoSignature().fit(X, y)
    assert np.isfinite(found.transform(X)).all()
    assert (found.path_ == {}) == (events == 1)


def test_features_without_use_give_the_mean_risk():
    found = LassoSignature().fit(np.ones((20, 3)), np.arange(20) % 2)
    assert found.transform(np.full((2, 3), 5.0)).tolist() == [[0.0], [0.0]]
    assert found.features(np.ones((2, 3))).shape == (2, 0)


def test_one_class_is_refused():
    X, _ = data(20, 3)
    with pytest.raises(ValueError, match="outcomes of both 0 and 1"):
        LassoSignature().fit(X, np.ones(20))


def test_other_numbers_of_features_are_refused():
    X, y = data(40, 5)
    with pytest.raises(ValueError, match="expecting 5 features"):
        LassoSignature().fit(X, y).transform(X[:, :4])


def test_a_patient_alone_has_the_same_bits():
    X, y = data()
    found = LassoSignature().fit(X, y)
    alone = np.vstack([found.transform(X[i : i + 1]) for i in range(len(X))])
    assert np.array_equal(alone, found.transform(X))


def test_skops_keeps_every_bit(tmp_path):
    X, y = data()
    found = LassoSignature().fit(X, y)
    file = tmp_path / "signature.skops"
    file.write_bytes(dump_estimator(found))
    again = load_estimator(file)
    assert np.array_equal(again.transform(X), found.transform(X))
    assert again.get_params() == found.get_params()
    assert dump_estimator(again) == dump_estimator(found) == dump_estimator(clone(found).fit(X, y))


class Plain(LassoSignature):
    """Without out-of-fold values in `fit_transform`, so that scikit-learn may compare them with `transform`."""

    fit_transform = TransformerMixin.fit_transform

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.non_deterministic = False
        return tags


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", [LassoSignature, Plain])
def test_scikit_learn_accepts_it(kind):
    check_estimator(kind(repeats=1, penalties=20))


def test_the_larger_label_is_the_event():
    X, y = data()
    assert np.array_equal(LassoSignature().fit(X, y + 3).coef_, LassoSignature().fit(X, y).coef_)
    with pytest.raises(ValueError, match="outcomes of both 0 and 1, found 3 values"):
        LassoSignature().fit(X, np.arange(120) % 3)


def test_elastic_net_is_that_of_scikit_learn():
    X, y = data()
    found = LassoSignature(l1_ratio=0.5, correlation=1.0).fit(X, y)
    peer = LogisticRegression(l1_ratio=0.5, C=1 / (len(y) * found.penalty_), solver="saga", tol=1e-10, max_iter=100_000).fit(standardised(X), y)
    np.testing.assert_allclose(found.coef_, peer.coef_[0], atol=1e-4)
    pure = LogisticRegression(l1_ratio=1.0, C=1 / (len(y) * found.penalty_), solver="saga", tol=1e-10, max_iter=100_000).fit(standardised(X), y)
    assert np.abs(found.coef_ - pure.coef_[0]).max() > 1e-2


def test_a_feature_without_penalty_stays_and_a_heavy_one_goes():
    X, y = data()
    factors = np.ones(40)
    factors[[7, 0]] = 0.0, 50.0
    plain, weighed = LassoSignature(least=0).fit(X, y), LassoSignature(least=0, factors=factors).fit(X, y)
    assert (0 in plain.selected_, 7 in plain.selected_) == (True, False)
    assert (0 in weighed.selected_, 7 in weighed.selected_) == (False, True)
    noise, outcome = data(80, 30, seed=3, effect=0.0)
    kept = LassoSignature(rule="1se", least=0, repeats=1, factors=np.r_[0.0, np.ones(29)]).fit(noise, outcome)
    assert kept.selected_.tolist() == [0]
    assert not kept.supported_
    with pytest.raises(ValueError, match=r"factors must be 40 finite numbers of at least 0, one a feature, found shape \(3,\)"):
        LassoSignature(factors=[1, 1, 1]).fit(X, y)


def test_balanced_classes_weigh_the_same():
    X, y = data()
    rare = np.flatnonzero((y == 0) | (np.arange(120) % 3 == 0))
    X, y = X[rare], y[rare]
    found = LassoSignature(class_weight="balanced", correlation=1.0).fit(X, y)
    weights = np.where(y == 1, 0.5 / y.mean(), 0.5 / (1 - y.mean()))
    share = weights / weights.sum()
    Z = standardised(X)
    path = fit_path(Z, y, PathSettings("binomial", tolerance=1e-14), penalties=[found.penalty_], weights=weights)
    np.testing.assert_allclose(found.coef_, path.coefficients[0], atol=1e-4)
    assert found.intercept_ == pytest.approx(path.intercepts[0], abs=1e-4)
    risk = 1 / (1 + np.exp(-(found.transform(X)[:, 0])))
    assert share @ risk == pytest.approx(0.5, abs=1e-3)
    with pytest.raises(ValueError, match="class_weight must be 'balanced' or None, found 'heavy'"):
        LassoSignature(class_weight="heavy").fit(X, y)


def test_rows_that_belong_together_stay_together_in_the_folds() -> None:
    """Everybody twice: with groups the folds, and so the path, are those of everybody once; without, a row's twin gives it away."""
    rng = np.random.default_rng(5)
    X = rng.normal(size=(60, 12))
    y = (rng.random(60) < 1 / (1 + np.exp(-X[:, 0]))).astype(float)
    twice = np.repeat(np.arange(60), 2)
    settings = {"folds": 4, "repeats": 2, "penalties": 20}
    once = LassoSignature(**settings).fit(X, y)
    grouped = LassoSignature(**settings).fit(X[twice], y[twice], groups=twice)
    torn = LassoSignature(**settings).fit(X[twice], y[twice])
    np.testing.assert_allclose(grouped.path_["deviance"], once.path_["deviance"], rtol=1e-7)
    np.testing.assert_allclose(grouped.coef_, once.coef_, atol=1e-7)
    assert torn.path_["deviance"].min() < once.path_["deviance"].min()
