"""Filters and selectors against published examples, other tools and formulas by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from sarcofuse.signature import BorutaSelector, CorrelationFilter, L1Selector, MedianImputer, MrmrSelector, UnivariateFilter, VarianceFilter
from sarcofuse.signature.mrmr import information
from sarcofuse.signature.univariate import association

# Benjamini and Hochberg 1995, section 4.1: p-values of 15 comparisons, of which their procedure at 0.05 rejects the first four (and Bonferroni's three).
BENJAMINI = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0000]


def data(n=80, p=12, seed=0):
    rng = np.random.default_rng(seed)
    y = (np.arange(n) * 7 % 10 < 4).astype(int)
    X = rng.normal(size=(n, p))
    X[:, 0] += 1.5 * y
    X[:, 1] -= 1.0 * y
    return X, y


def test_imputer_by_hand():
    X = np.array([[1.0, np.nan, np.nan, 4.0], [3.0, np.nan, 2.0, 5.0], [np.nan, np.nan, np.nan, 6.0], [8.0, np.nan, 5.0, 9.0]])
    model = MedianImputer(limit=0.25).fit(X)
    assert model.missing_.tolist() == [0.25, 1.0, 0.5, 0.0]
    assert model.get_feature_names_out().tolist() == ["x0", "x3"]
    assert model.transform(X).tolist() == [[1.0, 4.0], [3.0, 5.0], [3.0, 6.0], [8.0, 9.0]]
    with pytest.raises(ValueError, match="each of 2 features is missing in more than 20% of the 4 patients"):
        MedianImputer().fit(X[:, 1:3])


def test_near_zero_variance_by_the_two_rules_of_caret():
    n = 100
    X = np.zeros((n, 6))
    X[:, 0] = np.arange(n)  # all distinct
    X[:, 1] = 5.0  # constant
    X[:4, 2] = 1.0  # 96 to 4: ratio 24
    X[:5, 3] = 1.0  # 95 to 5: ratio 19, allowed
    X[:12, 4] = np.arange(1, 13)  # 88 to 1, but 13 distinct values
    X[:, 5] = 1e9 + np.arange(n) * 1e-6  # varies by rounding alone
    assert VarianceFilter().fit(X).get_support().tolist() == [True, False, False, True, True, False]
    with pytest.raises(ValueError, match="none of 1 features varies among the 100 patients"):
        VarianceFilter().fit(X[:, 1:2])


def test_false_discovery_rate_of_the_published_example(monkeypatch):
    monkeypatch.setattr("sarcofuse.signature.univariate.association", lambda values, classes, test: (1.0 - np.array(BENJAMINI), np.array(BENJAMINI)))
    X, y = data(p=15)
    assert UnivariateFilter().fit(X, y).get_support(indices=True).tolist() == [0, 1, 2, 3]
    # Benjamini and Yekutieli divide the level by 1 + 1/2 + ... + 1/15 = 3.318.
    bound = 0.05 * np.arange(1, 16) / 15 / (1 / np.arange(1, 16)).sum()
    many = max(i + 1 for i, p in enumerate(BENJAMINI) if p <= bound[i])
    assert UnivariateFilter(control="by").fit(X, y).get_support().sum() == many == 3
    assert UnivariateFilter(control="none").fit(X, y).get_support().sum() == 9
    assert UnivariateFilter(level=1e-9, least=2).fit(X, y).get_support(indices=True).tolist() == [0, 1]
    assert UnivariateFilter(count=6).fit(X, y).get_support(indices=True).tolist() == list(range(6))


@pytest.mark.parametrize("gap", [False, True])
def test_univariate_tests_equal_scipy(gap):
    X, y = data(p=700)
    if gap:
        X[3:9, 5] = np.nan
    for test, peer in (
        ("mannwhitney", lambda a, b: stats.mannwhitneyu(a, b, method="asymptotic").pvalue),
        ("t", lambda a, b: stats.ttest_ind(a, b, equal_var=False).pvalue),
        ("anova", lambda a, b: stats.f_oneway(a, b).pvalue),
    ):
        _, p = association(X, y, test)
        for j in (0, 1, 5, 650):
            known = ~np.isnan(X[:, j])
            assert p[j] == pytest.approx(peer(X[known & (y == 1), j], X[known & (y == 0), j]), rel=1e-9)


def test_features_that_cannot_be_tested_come_last():
    X, y = data(p=4)
    X[:, 2], X[:, 3] = 1.0, np.nan
    for test in ("mannwhitney", "t", "anova"):
        strength, p = association(X, y, test)
        assert p[2:].tolist() == [1.0, 1.0]
        assert strength[2:].tolist() == [0.0, 0.0]


def test_correlation_pruning_keeps_the_stronger_or_the_first():
    X, y = data(n=200, p=3)
    noisy = X[:, 0] + 0.3 * np.random.default_rng(1).normal(size=200)
    table = np.column_stack([noisy, X[:, 0], X[:, 2]])
    assert abs(np.corrcoef(noisy, X[:, 0])[0, 1]) > 0.9
    assert CorrelationFilter(keep="first").fit(table).get_support().tolist() == [True, False, True]
    assert CorrelationFilter(keep="stronger").fit(table, y).get_support().tolist() == [False, True, True]
    assert CorrelationFilter(limit=0.999, keep="stronger").fit(table, y).get_support().all()


def test_correlation_pruning_of_many_equals_the_plain_walk():
    rng = np.random.default_rng(2)
    X = rng.normal(size=(60, 40))[:, rng.integers(40, size=1300)] + 0.4 * rng.normal(size=(60, 1300))
    close = np.abs(np.corrcoef(X, rowvar=False)) > 0.8
    kept = []
    for j in range(1300):
        if not any(close[j, k] for k in kept):
            kept.append(j)
    assert CorrelationFilter(limit=0.8, keep="first").fit(X).get_support(indices=True).tolist() == kept
    assert len(kept) < 700


def test_rank_correlation_sees_what_pearson_does_not():
    x = np.linspace(-3, 3, 50)
    table = np.column_stack([x, np.exp(4 * x)])
    assert CorrelationFilter(keep="first", method="pearson").fit(table).get_support().sum() == 2
    assert CorrelationFilter(keep="first", method="spearman").fit(table).get_support().sum() == 1


def formula():
    i, j = np.arange(60)[:, None], np.arange(12)[None]
    y = (np.arange(60) * 7 % 13 < 6).astype(int)
    return np.sin(0.7 * i * (j // 2 + 1) + j) + 0.25 * ((i * (j + 3)) % 7) + (12 - j) * 0.15 * y[:, None], y


def test_mrmr_equals_mrmr_selection():
    # mrmr_selection 0.2.8: mrmr_classif(DataFrame(X), Series(y), K=8) -> [0, 4, 1, 2, 3, 5, 6, 7]
    X, y = formula()
    assert MrmrSelector(count=8).fit(X, y).ranking_.tolist() == [0, 4, 1, 2, 3, 5, 6, 7]


@pytest.mark.parametrize("scheme", ["quotient", "difference"])
def test_binned_mrmr_equals_a_plain_one(scheme):
    from sklearn.metrics import mutual_info_score

    X, y = formula()
    states = np.where(X.mean(axis=0) + X.std(axis=0) < X, 2, np.where(X.mean(axis=0) - X.std(axis=0) > X, 0, 1))
    chosen: list[int] = []
    while len(chosen) < 6:
        worth = {}
        for j in set(range(12)) - set(chosen):
            relevance = mutual_info_score(states[:, j], y)
            redundancy = np.mean([mutual_info_score(states[:, j], states[:, k]) for k in chosen]) if chosen else None
            worth[j] = relevance if redundancy is None else relevance - redundancy if scheme == "difference" else relevance / max(redundancy, 1e-3)
        chosen.append(max(worth, key=worth.get))
    assert MrmrSelector(count=6, measure="binned", scheme=scheme).fit(X, y).ranking_.tolist() == chosen
    np.testing.assert_allclose(information(states, y), [mutual_info_score(c, y) for c in states.T], atol=1e-12)


def test_mrmr_passes_over_what_does_not_vary():
    X, y = data(p=4)
    X[:, 0] = 3.0
    assert sorted(MrmrSelector(count=10).fit(X, y).ranking_.tolist()) == [1, 2, 3]


@pytest.mark.parametrize("forest", ["extratrees", "randomforest"])
def test_boruta_keeps_what_matters_and_little_else(forest):
    rng = np.random.default_rng(0)
    n = 300
    X = rng.normal(size=(n, 25))
    y = (X[:, 0] + X[:, 1] - X[:, 2] + 0.5 * rng.normal(size=n) > 0).astype(int)
    model = BorutaSelector(forest=forest, trees=60, rounds=25).fit(X, y)
    assert set(np.flatnonzero(model.decision_ == 1)) == {0, 1, 2}
    assert (model.decision_ == -1).sum() > 15
    np.testing.assert_array_equal(model.hits_, BorutaSelector(forest=forest, trees=60, rounds=25).fit(X, y).hits_)


def test_boruta_confirms_by_the_binomial_test():
    model = BorutaSelector(level=0.05)
    model.decision_, model.hits_ = np.zeros(4, dtype=int), np.array([7, 8, 0, 3])
    model._judge(8)
    # One-sided, four features: 4 x P(>= 8 of 8) = 4/256 < 0.05 but 4 x P(>= 7) = 36/256; 4 x P(<= 0) = 4/256.
    assert model.decision_.tolist() == [0, 1, -1, 0]


def test_boruta_of_noise_confirms_nothing():
    rng = np.random.default_rng(3)
    X, y = rng.normal(size=(120, 15)), np.arange(120) % 2
    model = BorutaSelector(trees=40, rounds=20, least=2).fit(X, y)
    assert (model.decision_ == 1).sum() == 0
    assert model.get_support().sum() == 2


def test_l1_keeps_the_largest_coefficients():
    from sklearn.linear_model import LogisticRegression

    X, y = data()
    peer = np.abs(LogisticRegression(l1_ratio=1.0, solver="liblinear", random_state=42).fit(X, y).coef_[0])
    assert set(L1Selector(count=4).fit(X, y).get_support(indices=True)) == set(np.argsort(-peer)[:4])


@pytest.mark.parametrize("selector", [UnivariateFilter(), MrmrSelector(), L1Selector(), BorutaSelector(), CorrelationFilter(keep="stronger")])
def test_one_class_is_refused_in_words(selector):
    X, _ = data()
    with pytest.raises(ValueError, match=rf"{type(selector).__name__} needs an outcome of two classes or more, found 1 class: \[1\]"):
        selector.fit(X, np.ones(80, dtype=int))


@pytest.mark.parametrize(
    ("selector", "message"),
    [
        (UnivariateFilter(test="z"), "must be one of mannwhitney, t, anova"),
        (UnivariateFilter(control="fdr"), "control must be bh, by or none, found fdr"),
        (CorrelationFilter(keep="last"), "keep must be stronger or first, found last"),
        (CorrelationFilter(method="kendall"), "method must be pearson or spearman, found kendall"),
        (MrmrSelector(scheme="ratio"), "scheme quotient or difference, found f and ratio"),
        (BorutaSelector(forest="oak"), "forest must be extratrees or randomforest, found oak"),
    ],
)
def test_unknown_settings(selector, message):
    with pytest.raises(ValueError, match=message):
        selector.fit(*data())


def test_text_is_refused_in_words():
    with pytest.raises(ValueError, match="could not convert string to float: 'high'"):
        VarianceFilter().fit(np.array([["1", "high"], ["2", "low"]], dtype=object))
