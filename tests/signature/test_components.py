"""Principal components against scikit-learn's, as a step before the LASSO, on disk, and for a patient alone."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from sarcofuse.config import ModelsConfig, SignatureConfig
from sarcofuse.config.selection import ImputeStep, PcaStep, VarianceStep
from sarcofuse.models import load_estimator, save_estimator
from sarcofuse.models.explain import column_names, formula
from sarcofuse.signature import LassoSignature, PrincipalComponents, SteppedSignature, compose_signature

LASSO = {"folds": 3, "repeats": 1, "penalties": 20}


def data(n=90, p=24, seed=0):
    """Features that hang together through four factors, of which the first decides; units a million times apart."""
    rng = np.random.default_rng(seed)
    factors = rng.normal(size=(n, 4)) * [3.0, 2.0, 1.5, 1.0]
    X = (factors @ rng.normal(size=(4, p)) + 0.5 * rng.normal(size=(n, p))) * np.logspace(-3, 3, p) + 5.0
    y = (rng.random(n) < 1 / (1 + np.exp(-factors[:, 0]))).astype(int)
    return X, y


def test_components_are_scikit_learns():
    X, _ = data()
    Z = StandardScaler().fit_transform(X)
    theirs = PCA(svd_solver="full").fit(Z)
    ours = PrincipalComponents(count=5).fit(X)
    signs = np.sign((ours.components_ * theirs.components_[:5]).sum(axis=1))
    np.testing.assert_allclose(ours.components_, theirs.components_[:5] * signs[:, None], atol=1e-10)
    np.testing.assert_allclose(ours.explained_, theirs.explained_variance_ratio_[:5], rtol=1e-10)
    np.testing.assert_allclose(ours.transform(X), theirs.transform(Z)[:, :5] * signs, atol=1e-9)
    assert (ours.components_[np.arange(5), np.abs(ours.components_).argmax(axis=1)] > 0).all()
    for share in (0.5, 0.9, 0.99):
        assert len(PrincipalComponents(share).fit(X).components_) == PCA(share, svd_solver="full").fit(Z).n_components_


def test_gaps_flat_features_and_few_patients():
    X, _ = data(n=8)
    X[:, 3], X[:, 5] = 7.0, np.nan
    X[2, 0] = np.nan
    found = PrincipalComponents(1.0).fit(X)
    assert len(found.components_) == 7  # one fewer than patients
    assert not found.components_[:, [3, 5]].any()
    complete = np.where(np.isnan(X), np.nanmedian(np.where(np.isnan(X).all(axis=0), 0.0, X), axis=0), X)
    used = [j for j in range(X.shape[1]) if j not in (3, 5)]
    theirs = PCA(7, svd_solver="full").fit(StandardScaler().fit_transform(complete[:, used]))
    np.testing.assert_allclose(found.explained_, theirs.explained_variance_ratio_, rtol=1e-9)
    alone = np.vstack([found.transform(X[i : i + 1]) for i in range(len(X))])
    assert alone.tobytes() == found.transform(X).tobytes()
    with pytest.raises(ValueError, match="none of 3 features varies among the 4 patients"):
        PrincipalComponents().fit(np.ones((4, 3)))
    with pytest.raises(ValueError, match="share must lie above 0"):
        PrincipalComponents(0.0).fit(X)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_it_is_an_estimator_of_scikit_learn():
    check_estimator(PrincipalComponents(count=2))


def test_as_a_step_it_is_what_it_is_by_hand_and_one_formula_of_the_features(tmp_path):
    X, y = data()
    found = compose_signature((ImputeStep(), VarianceStep(), PcaStep(share=0.9)), SignatureConfig(**LASSO), 1).fit(X, y)
    step = PrincipalComponents(0.9).fit(X)
    lasso = LassoSignature(**LASSO, seed=1).fit(step.transform(X), y)
    np.testing.assert_allclose(found.transform(X), lasso.transform(step.transform(X)), rtol=1e-12)
    np.testing.assert_allclose(found.features(X), lasso.features(step.transform(X)), rtol=1e-12)
    assert lasso.selected_.size
    names = [f"f{j}" for j in range(X.shape[1])]
    written = formula(found, names)
    told = [written["intercept"] + sum(t["coefficient"] * (row[names.index(t["feature"])] - t["mean"]) / t["scale"] for t in written["terms"]) for row in X]
    np.testing.assert_allclose(told, found.transform(X)[:, 0], rtol=1e-9)
    assert column_names(found, names) == [f"component {j + 1}" for j in lasso.columns]
    save_estimator(found, tmp_path / "signature.skops")
    assert load_estimator(tmp_path / "signature.skops").transform(X[:3]).tobytes() == found.transform(X[:3]).tobytes()


def test_components_are_learned_inside_the_fold():
    """What the out-of-fold signature says of a fold is what steps learned without that fold say, but for the intercept."""
    from sarcofuse.metrics import stratified_folds

    X, y = data()
    signature = compose_signature((PcaStep(share=0.9),), SignatureConfig(**LASSO), 1)
    honest, whole = signature.fit_transform(X, y)[:, 0], signature.fit(X, y).intercept_
    fold = stratified_folds(y.astype(float), 3, [1, 1])
    for k in range(3):
        step = PrincipalComponents(0.9).fit(X[fold != k])
        lasso = LassoSignature(**LASSO, seed=1).fit(step.transform(X[fold != k]), y[fold != k])
        np.testing.assert_allclose(honest[fold == k], lasso.transform(step.transform(X[fold == k]))[:, 0] - lasso.intercept_ + whole, rtol=1e-9, atol=1e-9)


def test_components_come_last():
    X, y = data()
    with pytest.raises(ValueError, match="can only be the last step"):
        ModelsConfig(selection=(PcaStep(), VarianceStep()))
    with pytest.raises(ValueError, match="can only be the last step"):
        SteppedSignature([{"kind": "pca"}, {"kind": "variance"}], LASSO).fit(X, y)
    assert ModelsConfig(selection=(VarianceStep(), PcaStep())).selection[-1].share == 0.95
