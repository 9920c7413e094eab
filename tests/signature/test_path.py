"""The paths against scikit-learn, closed forms, and their optimality conditions worked out anew."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import ElasticNet, Lasso, LogisticRegression, Ridge

from sarcofuse.signature.path import PathSettings, cross_validate, fit_path

FAMILIES = ["gaussian", "binomial", "cox"]


def data(family, n=90, p=25, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p)) + 0.6 * rng.normal(size=(n, 1))
    eta = X[:, 0] - 0.8 * X[:, 1] + 0.5 * X[:, 2]
    if family == "gaussian":
        return X, 3 + eta + rng.normal(size=n)
    if family == "binomial":
        return X, (rng.random(n) < 1 / (1 + np.exp(0.5 - eta))).astype(float)
    time, censored = np.ceil(8 * rng.exponential(np.exp(-eta))), np.ceil(20 * rng.random(n))
    return X, np.column_stack([np.minimum(time, censored), time <= censored]).astype(float)


def standardised(X, share):
    Z = X - share @ X
    return Z / np.sqrt(share @ Z**2)


def residuals(family, y, eta, share, ties="breslow"):
    """Work out minus the gradient of the loss by the linear predictor, event by event."""
    if family == "gaussian":
        return share * (y - eta)
    if family == "binomial":
        return share * (y - 1 / (1 + np.exp(-eta)))
    time, event, hazard = y[:, 0], y[:, 1] == 1, share * np.exp(eta)
    pull = share * event
    for t in np.unique(time[event]):
        dying, at_risk = event & (time == t), time >= t
        count = int(dying.sum())
        for k in range(count):
            weight = hazard * at_risk * np.where(dying, 1 - k / count if ties == "efron" else 1.0, 1.0)
            pull = pull - share[dying].sum() / count * weight / weight.sum()
    return pull


def broken(X, y, path, settings, weights=None, factors=None):
    """Give the largest breach of the optimality conditions along a path, as a share of the penalty."""
    share = np.ones(len(X)) if weights is None else np.asarray(weights)
    share = share / share.sum()
    factors = np.ones(X.shape[1]) if factors is None else np.asarray(factors, dtype=float)
    factors = factors * factors.size / factors.sum()
    Z, deviations, worst = standardised(X, share), np.sqrt(share @ (X - share @ X) ** 2), 0.0
    for penalty, coefficients, intercept in zip(path.penalties, path.coefficients, path.intercepts, strict=True):
        beta = coefficients * deviations
        pull = Z.T @ residuals(settings.family, y, X @ coefficients + intercept, share, settings.ties)
        rest = pull - penalty * (1 - settings.l1_ratio) * factors * beta - penalty * settings.l1_ratio * factors * np.sign(beta)
        slack = np.abs(pull) - penalty * settings.l1_ratio * factors
        worst = max(worst, float(np.where(beta != 0, np.abs(rest), slack).max()) / penalty)
    return worst


@pytest.mark.parametrize("l1_ratio", [1.0, 0.5])
@pytest.mark.parametrize("shape", [(90, 25), (50, 160)])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_solution_is_optimal(family, shape, l1_ratio):
    X, y = data(family, *shape)
    settings = PathSettings(family, l1_ratio, count=20, ratio=0.05, tolerance=1e-14)
    path = fit_path(X, y, settings)
    assert np.count_nonzero(path.coefficients[-1]) > 5
    assert broken(X, y, path, settings) < 1e-4


@pytest.mark.parametrize("family", FAMILIES)
def test_optimal_with_weights_and_factors(family):
    X, y = data(family, seed=1)
    rng = np.random.default_rng(0)
    weights, factors = rng.random(90) + 0.2, np.r_[0.0, 0.0, rng.random(23) * 3]
    settings = PathSettings(family, 0.7, count=15, ratio=0.05, tolerance=1e-14)
    path = fit_path(X, y, settings, weights=weights, factors=factors)
    assert broken(X, y, path, settings, weights, factors) < 1e-4
    assert np.flatnonzero(np.abs(path.coefficients[0]) > 1e-6).tolist() == [0, 1]


def test_efron_path_is_optimal_and_differs_from_breslow():
    X, y = data("cox")
    settings = PathSettings("cox", ties="efron", count=15, ratio=0.05, tolerance=1e-14)
    path = fit_path(X, y, settings)
    assert broken(X, y, path, settings) < 1e-4
    assert np.unique(y[y[:, 1] == 1, 0]).size < y[:, 1].sum() - 10
    assert broken(X, y, path, PathSettings("cox")) > 1e-2


@pytest.mark.parametrize(("l1_ratio", "penalty"), [(1.0, 0.05), (1.0, 0.4), (0.3, 0.1)])
def test_gaussian_is_that_of_scikit_learn(l1_ratio, penalty):
    X, y = data("gaussian")
    weights = np.random.default_rng(2).random(90) + 0.1
    share = weights / weights.sum()
    Z = standardised(X, share)
    kind = Lasso(alpha=penalty, tol=1e-14, max_iter=100_000) if l1_ratio == 1 else ElasticNet(alpha=penalty, l1_ratio=l1_ratio, tol=1e-14, max_iter=100_000)
    peer = kind.fit(Z, y, sample_weight=weights)
    found = fit_path(Z, y, PathSettings("gaussian", l1_ratio, tolerance=1e-16), penalties=[penalty], weights=weights)
    np.testing.assert_allclose(found.coefficients[0], peer.coef_, atol=1e-7)
    assert found.intercepts[0] == pytest.approx(peer.intercept_, abs=1e-7)


def test_ridge_is_that_of_scikit_learn():
    X, y = data("gaussian")
    Z = standardised(X, np.full(90, 1 / 90))
    found = fit_path(Z, y, PathSettings("gaussian", 0.0, tolerance=1e-18), penalties=[0.7])
    np.testing.assert_allclose(found.coefficients[0], Ridge(alpha=0.7 * 90).fit(Z, y).coef_, atol=1e-7)


@pytest.mark.parametrize("l1_ratio", [1.0, 0.4])
def test_logistic_is_that_of_scikit_learn(l1_ratio):
    X, y = data("binomial")
    weights = np.random.default_rng(2).random(90) + 0.1
    Z = standardised(X, weights / weights.sum())
    peer = LogisticRegression(l1_ratio=l1_ratio, C=1 / (weights.sum() * 0.03), solver="saga", tol=1e-11, max_iter=200_000).fit(Z, y, sample_weight=weights)
    found = fit_path(Z, y, PathSettings("binomial", l1_ratio, tolerance=1e-16), penalties=[0.03], weights=weights)
    np.testing.assert_allclose(found.coefficients[0], peer.coef_[0], atol=1e-6)
    assert found.intercepts[0] == pytest.approx(peer.intercept_[0], abs=1e-6)


def test_cox_with_ties_is_that_of_therneau_and_grambsch():
    """Modeling survival data, appendix E; software validation, vignette of R's survival: solutions in closed form, and for weighted data to eight digits."""
    y, x = np.array([[1, 1], [1, 0], [6, 1], [6, 1], [8, 0], [9, 1]]), np.array([[1.0], [1], [1], [0], [0], [0]])
    exact = {ties: fit_path(x, y, PathSettings("cox", ties=ties, tolerance=1e-18, explained=1.0), penalties=[0.0]) for ties in ("breslow", "efron")}
    assert exact["breslow"].coefficients[0, 0] == pytest.approx(np.log((3 + np.sqrt(33)) / 2), abs=1e-9)
    root = 2 * np.sqrt(23 / 3) * np.cos(np.arccos(45 / 23 * np.sqrt(3 / 23)) / 3)
    assert exact["efron"].coefficients[0, 0] == pytest.approx(np.log(root), abs=1e-9)
    # Log-likelihoods -4.564348 and -3.824750; the saturated one of the two tied deaths at time 6 is -2 log 2.
    assert exact["breslow"].null_deviance * 3 == pytest.approx(4.564348 - 2 * np.log(2), abs=1e-6)
    assert exact["breslow"].deviances[0] * 3 == pytest.approx(3.824750 - 2 * np.log(2), abs=1e-6)
    y = np.column_stack([[1, 1, 2, 2, 2, 2, 3, 4, 5], [1, 0, 1, 1, 1, 0, 0, 1, 0]])
    x, weights = np.array([[2.0], [0], [1], [1], [0], [1], [0], [1], [0]]), [1, 2, 3, 4, 3, 2, 1, 2, 1]
    for ties, published in (("breslow", 0.85955744), ("efron", 0.87260425)):
        found = fit_path(x, y, PathSettings("cox", ties=ties, tolerance=1e-18, explained=1.0), penalties=[0.0], weights=weights)
        assert found.coefficients[0, 0] == pytest.approx(published, abs=1e-8)


def waves():
    i = np.arange(60.0)
    X = np.column_stack([np.sin(1.7 * i * (j + 1)) + np.cos(0.31 * (j + 2) * i * i) for j in range(4)])
    return X, np.column_stack([np.ceil(20 * np.exp(-0.5 * X[:, 0] + 0.4 * X[:, 1]) * ((7 * i) % 13 + 1) / 13), (5 * i) % 3 != 0])


@pytest.mark.parametrize(
    ("penalizer", "l1_ratio", "lifelines", "exact"),
    [
        (0.0, 0.0, [0.68641883, -0.25046294, -0.08692301, 0.19807385], 1e-6),
        (0.1, 0.0, [0.55792225, -0.19558426, -0.07755737, 0.17885396], 1e-6),
        (0.1, 0.5, [0.5237496, -0.10463478, -0.00988896, 0.11204463], 5e-3),  # lifelines rounds the corner of the L1 norm off
        (0.1, 1.0, [0.48640756, 0, 0, 0.02837644], 5e-3),
    ],
)
def test_cox_is_that_of_lifelines(penalizer, l1_ratio, lifelines, exact):
    """lifelines 0.30.3: CoxPHFitter(penalizer=penalizer, l1_ratio=l1_ratio).fit(table, "t", "e", fit_options=dict(precision=1e-12, step_size=0.5, max_steps=2000)).params_; Efron's ties."""
    X, y = waves()
    ours = penalizer * (l1_ratio * np.sqrt(60 / 59) + (1 - l1_ratio) * 60 / 59)  # lifelines divides by n - 1 in the deviations
    mixing = penalizer * l1_ratio * np.sqrt(60 / 59) / ours if ours else 1.0
    found = fit_path(X, y, PathSettings("cox", mixing, ties="efron", tolerance=1e-16), penalties=[ours])
    np.testing.assert_allclose(found.coefficients[0], lifelines, atol=exact)


@pytest.mark.parametrize("family", FAMILIES)
def test_weights_stand_for_repetition_and_zero_for_absence(family):
    X, y = data(family)
    counts = np.arange(90) % 4
    settings = PathSettings(family, count=10, ratio=0.1, tolerance=1e-16)
    weighted, repeated = fit_path(X, y, settings, weights=counts), fit_path(np.repeat(X, counts, axis=0), np.repeat(y, counts, axis=0), settings)
    np.testing.assert_allclose(weighted.penalties, repeated.penalties, rtol=1e-12)
    np.testing.assert_allclose(weighted.coefficients, repeated.coefficients, atol=1e-7)


@pytest.mark.parametrize("ties", ["breslow", "efron"])
def test_order_of_patients_does_not_matter(ties):
    X, y = data("cox")
    order = np.random.default_rng(0).permutation(90)
    settings = PathSettings("cox", ties=ties, count=10, ratio=0.1, tolerance=1e-16)
    np.testing.assert_allclose(fit_path(X[order], y[order], settings).coefficients, fit_path(X, y, settings).coefficients, atol=1e-7)


def test_cox_cross_validation_is_that_of_its_definition():
    X, y = data("cox")
    fold, settings = np.arange(90) % 4, PathSettings("cox", tolerance=1e-14)
    found = cross_validate(X, y, [0.15, 0.08], [fold], settings)

    def deviance(rows, beta):
        time, event, eta = y[rows, 0], y[rows, 1], X[rows] @ beta
        total = 0.0
        for t in np.unique(time[event == 1]):
            dying = (event == 1) & (time == t)
            total += 2 * (dying.sum() * np.log(np.exp(eta[time >= t]).sum()) - eta[dying].sum() - dying.sum() * np.log(dying.sum()))
        return total

    everybody = np.ones(90, dtype=bool)
    betas = [fit_path(X[fold != k], y[fold != k], settings, penalties=[0.15, 0.08]).coefficients for k in range(4)]
    events = np.array([y[fold == k, 1].sum() for k in range(4)])
    for at in (0, 1):
        losses = np.array([(deviance(everybody, b[at]) - deviance(fold != k, b[at])) / events[k] for k, b in enumerate(betas)])
        mean = losses @ events / events.sum()
        assert found.deviance[at] == pytest.approx(mean, abs=1e-8)
        assert found.error[at] == pytest.approx(np.sqrt(((losses - mean) ** 2 @ events) / events.sum() / 3), abs=1e-8)


def test_one_standard_error_rule():
    X, y = data("gaussian")
    penalties = fit_path(X, y, PathSettings("gaussian", count=40, ratio=0.01)).penalties
    found = cross_validate(X, y, penalties, [np.arange(90) % 5], PathSettings("gaussian"))
    least = int(np.argmin(found.deviance))
    assert found.choose("min") == least
    assert penalties[found.choose("1se")] == max(p for p, d in zip(penalties, found.deviance, strict=True) if d <= found.deviance[least] + found.error[least])
    with pytest.raises(ValueError, match="rule must be min or 1se, found 'best'"):
        found.choose("best")


@pytest.mark.parametrize("family", FAMILIES)
def test_constant_columns_stay_out(family):
    X, y = data(family)
    padded = np.column_stack([np.full(90, 7.3), X, np.zeros(90)])
    settings = PathSettings(family, count=10, ratio=0.1, tolerance=1e-14)
    factors = np.r_[1.0, np.ones(25), 1.0]
    found = fit_path(padded, y, settings, factors=factors)
    assert not found.coefficients[:, [0, -1]].any()
    np.testing.assert_allclose(found.coefficients[:, 1:-1], fit_path(X, y, settings).coefficients, atol=1e-9)
    assert not fit_path(np.ones((90, 2)), y, settings, penalties=[0.1]).coefficients.any()


def test_single_feature_is_soft_thresholding():
    X, y = data("gaussian", p=3)
    x, y = standardised(X[:, :1], np.full(90, 1 / 90)), y - y.mean()
    slope = float(x[:, 0] @ y) / 90
    for penalty in (0.5 * abs(slope), 1.5 * abs(slope)):
        found = fit_path(x, y, PathSettings("gaussian"), penalties=[penalty])
        assert found.coefficients[0, 0] == pytest.approx(np.sign(slope) * max(abs(slope) - penalty, 0.0), abs=1e-12)


@pytest.mark.parametrize("family", ["binomial", "cox"])
def test_perfect_separation_ends_the_path(family):
    x = np.linspace(-1, 1, 40)
    X = np.column_stack([x, np.sin(9 * x)])
    y = (x > 0).astype(float) if family == "binomial" else np.column_stack([2 - x, np.ones(40)])
    path = fit_path(X, y, PathSettings(family, ratio=1e-7))
    assert np.isfinite(path.coefficients).all()
    assert (np.diff(path.deviances) <= 1e-9).all()
    assert path.explained[-1] > 0.9


def test_an_outcome_without_variance_leaves_nothing_to_explain():
    X, _ = data("gaussian")
    path = fit_path(X, np.full(90, 4.0), PathSettings("gaussian"), penalties=[0.1, 0.01])
    assert not path.coefficients.any()
    assert path.intercepts == pytest.approx([4.0, 4.0], abs=1e-12)
    assert path.explained.tolist() == [0.0, 0.0]


def test_ties_of_a_patient_censored_at_the_time_of_an_event_leave_them_at_risk():
    x = np.array([[1.0], [0.0], [0.5], [2.0]])
    tied = fit_path(x, [[2, 1], [2, 0], [3, 1], [4, 0]], PathSettings("cox"), penalties=[0.01])
    later = fit_path(x, [[2, 1], [2.5, 0], [3, 1], [4, 0]], PathSettings("cox"), penalties=[0.01])
    sooner = fit_path(x, [[2, 1], [1.5, 0], [3, 1], [4, 0]], PathSettings("cox"), penalties=[0.01])
    assert tied.coefficients == pytest.approx(later.coefficients, abs=1e-12)
    assert tied.coefficients != pytest.approx(sooner.coefficients, abs=1e-3)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"y": np.ones(90)}, "outcomes of both 0 and 1, found only 1"),
        ({"y": np.arange(90)}, "outcomes must be 0 or 1, found"),
        ({"y": np.zeros(80)}, r"outcome must be finite and of shape \(90,\), found \(80,\)"),
        ({"weights": np.zeros(90)}, "weights must be 90 finite numbers of at least 0, one a patient, not all 0"),
        ({"weights": -np.ones(90)}, "weights must be 90 finite"),
        ({"factors": np.ones(3)}, "penalty factors must be 25 finite numbers"),
        ({"penalties": [0.1, 0.2]}, "fall from one to the next"),
        ({"X": np.full((90, 25), np.nan)}, "features must be a table of finite numbers"),
    ],
)
def test_bad_input_is_told(change, words):
    X, y = data("binomial")
    given = {"X": X, "y": y} | change
    with pytest.raises(ValueError, match=words):
        fit_path(given.pop("X"), given.pop("y"), PathSettings("binomial"), **given)


def test_bad_settings_are_told():
    X, y = data("cox")
    with pytest.raises(ValueError, match="at least one event, found none"):
        fit_path(X, np.column_stack([y[:, 0], np.zeros(90)]), PathSettings("cox"))
    with pytest.raises(ValueError, match="family must be one of gaussian, binomial, cox, found 'poisson'"):
        PathSettings("poisson")
    with pytest.raises(ValueError, match=r"l1_ratio must lie between 0 and 1, found 1\.5"):
        PathSettings(l1_ratio=1.5)
    with pytest.raises(ValueError, match="at least 2 folds with events, found 1"):
        cross_validate(X, y, [0.1], [np.where(y[:, 1] == 1, 0, 1)], PathSettings("cox"))
