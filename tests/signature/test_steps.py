"""Steps and LASSO as one signature: the same as by hand, in every fold, on disk, and for a patient alone."""

from __future__ import annotations

import numpy as np
import pytest

from sarcofuse.config import CombatStep, ModelsConfig, SignatureConfig
from sarcofuse.config.selection import BorutaStep, CorrelationStep, ImputeStep, L1Step, MrmrStep, UnivariateStep, VarianceStep
from sarcofuse.errors import StageError
from sarcofuse.metrics import auc
from sarcofuse.models import Repeats, dump_estimator, fit_models, load_estimator, risks, save_estimator
from sarcofuse.records import FeatureTable
from sarcofuse.runtime import Engine, digest_file
from sarcofuse.signature import ComBat, CorrelationFilter, LassoSignature, MedianImputer, StabilityFilter, SteppedSignature, UnivariateFilter, compose_signature

LASSO = {"folds": 3, "repeats": 1, "penalties": 20}
SETTINGS = SignatureConfig(**LASSO)
ALL = (
    CombatStep(least=5),
    ImputeStep(limit=0.4),
    VarianceStep(),
    UnivariateStep(level=0.5, least=12),
    CorrelationStep(limit=0.95),
    MrmrStep(count=10),
    L1Step(count=8),
    BorutaStep(trees=20, rounds=5, least=6),
)


def data(n=120, p=30, seed=0, sites=2):
    """Features of which three matter, some with gaps, measured at several sites; the last column is the site."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p))
    y = (rng.random(n) < 1 / (1 + np.exp(-2.0 * (X[:, 0] - X[:, 1] + X[:, 2])))).astype(int)
    site = np.arange(n) % sites
    X = X * (1.0 + site)[:, None] + 3.0 * site[:, None]
    X[rng.random((n, p)) < 0.02] = np.nan
    X[:, 7], X[:, 8] = 4.0, np.nan
    return np.column_stack([X, site]), y


def test_without_steps_it_is_the_lasso_itself():
    X, y = data()
    found = compose_signature((), SETTINGS, 3)
    assert type(found) is LassoSignature
    assert dump_estimator(found.fit(X, y)) == dump_estimator(LassoSignature(**LASSO, seed=3).fit(X, y))
    stepped = SteppedSignature((), LASSO, seed=3).fit(X, y)
    np.testing.assert_array_equal(stepped.transform(X), found.transform(X))
    np.testing.assert_array_equal(stepped.coef_, found.coef_)


def test_steps_are_those_by_hand():
    X, y = data()
    found = compose_signature((CombatStep(least=5), ImputeStep(), UnivariateStep(level=0.2, least=6), CorrelationStep()), SETTINGS, 1, ("A", "B")).fit(X, y)
    combat = ComBat(site=-1, labels=("A", "B"), least=5).fit(X, y)
    first = combat.transform(X)
    imputer = MedianImputer().fit(first)
    second = imputer.transform(first)
    univariate = UnivariateFilter(level=0.2, least=6).fit(second, y)
    third = univariate.transform(second)
    pruned = CorrelationFilter(keep="stronger").fit(third, y)
    lasso = LassoSignature(**LASSO, seed=1).fit(pruned.transform(third), y)
    at = np.arange(30)[imputer.kept_][univariate.kept_][pruned.kept_]
    np.testing.assert_array_equal(found.at_, at)
    np.testing.assert_array_equal(found.transform(X), lasso.transform(pruned.transform(third)))
    np.testing.assert_array_equal(found.features(X), lasso.features(pruned.transform(third)))
    np.testing.assert_array_equal(found.selected_, at[lasso.selected_])
    np.testing.assert_array_equal(found.columns, at[lasso.columns])
    np.testing.assert_array_equal(found.coef_[at], lasso.coef_)
    assert (np.delete(found.coef_, at) == 0.0).all()
    assert (found.intercept_, found.penalty_, found.supported_) == (lasso.intercept_, lasso.penalty_, lasso.supported_)


def test_everything_from_disk_and_alone_has_the_same_bits(tmp_path):
    X, y = data()
    model = compose_signature(ALL, SETTINGS, 0, ("A", "B")).fit(X, y)
    assert len(model.steps_) == len(ALL)
    assert {0, 1, 2} <= set(model.at_.tolist())
    assert not {7, 8, 30} & set(model.at_.tolist())
    save_estimator(model, tmp_path / "signature.skops")
    again = load_estimator(tmp_path / "signature.skops")
    assert dump_estimator(again) == dump_estimator(model)
    for give in ("transform", "features"):
        together = getattr(model, give)(X)
        np.testing.assert_array_equal(together, getattr(again, give)(X))
        np.testing.assert_array_equal(together, np.vstack([getattr(again, give)(X[i : i + 1]) for i in range(len(X))]))


def test_out_of_fold_signature_learns_every_step_anew():
    X, y = data()
    model = SteppedSignature([{"kind": "impute"}, {"kind": "univariate", "count": 5}], LASSO, 1)
    found = model.fit_transform(X, y)
    changed = X.copy()
    changed[0, :30] = 1e3
    other = SteppedSignature([{"kind": "impute"}, {"kind": "univariate", "count": 5}], LASSO, 1).fit_transform(changed, y)
    # Patient 0 is in the training part of all folds but its own: those who share its fold keep their value but for the common intercept.
    same = np.isclose(found - other, (found - other)[1:].ravel()[np.argmin(np.abs((found - other)[1:].ravel()))], rtol=0, atol=1e-12).ravel()
    assert 0 < same.sum() < len(X)
    assert auc(y, found.ravel()) < auc(y, model.transform(X).ravel())


def test_noise_stays_noise():
    """Selection on everybody would show an AUC far from 0.5 on noise; selection inside the folds does not."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(100, 400)), np.arange(100) % 2
    best = UnivariateFilter(count=10).fit(X, y).transform(X)
    leaky = LassoSignature(**LASSO).fit_transform(best, y)
    honest = SteppedSignature([{"kind": "univariate", "count": 10}], LASSO).fit_transform(X, y)
    assert auc(y, leaky.ravel()) > 0.7
    assert abs(auc(y, honest.ravel()) - 0.5) < 0.15


def gaps():
    return np.where(np.arange(60)[:, None] % 3 == 0, np.nan, np.arange(240.0).reshape(60, 4))


@pytest.mark.parametrize(
    ("steps", "X", "message"),
    [
        ([{"kind": "ica"}], None, "there is no step 'ica'; known are impute, variance"),
        ([{"kind": "variance"}, {"kind": "impute", "limit": 0.1}], gaps(), r"step 2 of the selection \(impute\): each of 4"),
        ([{"kind": "variance"}], np.ones((60, 4)), r"step 1 of the selection \(variance\): none of 4 features varies"),
    ],
)
def test_bad_steps_say_which(steps, X, message):
    y = np.arange(60) % 2
    with pytest.raises(ValueError, match=message):
        SteppedSignature(steps, LASSO).fit(np.random.default_rng(1).normal(size=(60, 4)) if X is None else X, y)


def test_one_class_is_refused_in_words():
    with pytest.raises(ValueError, match=r"a signature needs outcomes of both 0 and 1, found 1 class: \[0"):
        SteppedSignature([{"kind": "impute"}], LASSO).fit(np.ones((10, 2)), np.zeros(10))


def test_models_take_the_steps_into_every_fold(tmp_path):
    X, y = data(n=90)
    ids = tuple(f"P{i:03d}" for i in range(90))
    table = FeatureTable("radiomic", ids, (*[f"f{j}" for j in range(30)], "site"), X)
    config = ModelsConfig(classifiers=("logistic",), tuning=False, folds=3, signature=SignatureConfig(**LASSO), selection=ALL[:5])
    outcome = dict(zip(ids, y.tolist(), strict=True))
    with Engine(tmp_path / "cache", scheduler="serial", progress=False) as engine:
        (model,) = fit_models({"radiomic": table}, outcome, compose_signature(config.selection, config.signature, 0, ("A", "B")), config, engine, 0)
        assert auc(y, [model.out_of_fold[p] for p in ids]) > 0.75
        assert set(model.signatures["radiomic"]["coefficients"]) <= {f"f{j}" for j in range(30)}
        together = risks(model, {"radiomic": table}, ids)
        alone = {p: risks(model, {"radiomic": FeatureTable("radiomic", (p,), table.names, X[i : i + 1])}, [p])[p] for i, p in enumerate(ids)}
        assert together == alone
        barren = FeatureTable("radiomic", ids, ("a", "b"), np.ones((90, 2)))
        with pytest.raises(StageError, match=r"^step 1 of the selection \(variance\): none of 2 features varies"):
            fit_models({"radiomic": barren}, outcome, compose_signature((VarianceStep(),), SETTINGS, 0), config, engine, 0)


def test_a_site_of_one_outcome_is_a_warning_of_the_model(tmp_path):
    X, y = data(n=90)
    y = np.where(X[:, -1] == 1, 0, y)
    ids = tuple(f"P{i:03d}" for i in range(90))
    table = FeatureTable("radiomic", ids, (*[f"f{j}" for j in range(30)], "site"), X)
    config = ModelsConfig(classifiers=("logistic",), tuning=False, folds=3, signature=SignatureConfig(**LASSO))
    with Engine(tmp_path / "cache", scheduler="serial", progress=False) as engine:
        (model,) = fit_models({"radiomic": table}, dict(zip(ids, y.tolist(), strict=True)), compose_signature((CombatStep(),), SETTINGS, 0, ("A", "B")), config, engine, 0)
    assert any("site B has patients of one outcome alone" in w for w in model.warnings)


def test_settings_are_checked():
    with pytest.raises(ValueError, match="more than once"):
        ModelsConfig(selection=({"kind": "combat"}, {"kind": "combat"}))
    with pytest.raises(ValueError, match="treats patients of other sites like the reference site; name it"):
        ModelsConfig(selection=({"kind": "combat", "unseen": "reference"},))
    with pytest.raises(ValueError, match="does not match any of the expected tags"):
        ModelsConfig(selection=({"kind": "ica"},))
    assert ModelsConfig(selection=({"kind": "mrmr", "count": 7},)).selection == (MrmrStep(count=7),)


def test_unstable_features_and_the_site_of_a_harmonisation_go_together(tmp_path):
    X, y = data(n=90)
    ids = tuple(f"P{i:03d}" for i in range(90))
    table = FeatureTable("radiomic", ids, (*[f"f{j}" for j in range(30)], "site"), X)
    noise = np.where(np.arange(30) == 0, 50.0, 1e-3)  # measured again, the first feature is another one
    again = np.nan_to_num(X[:, None, :30]) + noise * np.random.default_rng(1).normal(size=(90, 4, 30))
    np.save(tmp_path / "again.npy", again)
    repeats = {"radiomic": (Repeats(ids, tmp_path / "again.npy", digest_file(tmp_path / "again.npy"), StabilityFilter(threshold=0.75)),)}
    config = ModelsConfig(classifiers=("logistic",), tuning=False, folds=3, signature=SignatureConfig(**LASSO))
    signature = compose_signature((CombatStep(), ImputeStep()), SETTINGS, 0, ("A", "B"))
    with Engine(tmp_path / "cache", scheduler="serial", progress=False) as engine:
        (free,) = fit_models({"radiomic": table}, dict(zip(ids, y.tolist(), strict=True)), signature, config, engine, 0)
        (kept,) = fit_models({"radiomic": table}, dict(zip(ids, y.tolist(), strict=True)), signature, config, engine, 0, repeats=repeats)
    assert "f0" in free.signatures["radiomic"]["coefficients"]
    assert "f0" not in kept.signatures["radiomic"]["coefficients"]
    assert {"f1", "f2"} <= set(kept.signatures["radiomic"]["coefficients"])


def test_groups_reach_the_lasso():
    X, y = data()
    groups, each = np.repeat(np.arange(60), 2), np.repeat(y[::2], 2)
    found = SteppedSignature([{"kind": "impute"}], LASSO, seed=1).fit(X, each, groups)
    imputer = MedianImputer().fit(X)
    table = imputer.transform(X)
    np.testing.assert_array_equal(found.path_["deviance"], LassoSignature(**LASSO, seed=1).fit(table, each, groups).path_["deviance"])
    assert not np.array_equal(found.path_["deviance"], LassoSignature(**LASSO, seed=1).fit(table, each).path_["deviance"])
