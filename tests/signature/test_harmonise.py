"""ComBat against neuroCombat, its rules for other sites, and bad input."""

from __future__ import annotations

import numpy as np
import pytest

from sarcofuse.models import load_estimator, save_estimator
from sarcofuse.signature import ComBat
from tests.signature.reference import AGE, GRADE, SITES, sites_table

# neuroCombat 0.2.12 (MIT) on sites_table(): patients 0, 9 and 23; covariates are GRADE (categorical) and AGE (continuous).
NEUROCOMBAT = {
    "plain": [
        [-1.0859781014207408, 2.5958119717537866, 4.1620911905166995, 8.764254971490793, 11.799520021676342, 12.95933839576803],
        [-0.9071088729654851, 1.827655588394934, 3.872862179149032, 7.852751795217562, 11.153687465765717, 14.806244324742934],
        [-0.6910088485648571, 1.6317253339398325, 4.545389743211818, 7.099824399441864, 10.862729913791648, 16.00769161816172],
    ],
    "covariates": [
        [-1.2453133932631184, 2.5030057514836392, 4.0024400347203715, 8.704226080850054, 11.722958424265784, 13.085856814271322],
        [-1.0445439837781787, 1.804456062798123, 3.7522266850465047, 7.90079119712542, 11.11255663421463, 14.882895887221423],
        [-0.7041476159815852, 1.7103639021958772, 4.898866360131147, 7.140411085805203, 11.136305711348568, 15.669031884523717],
    ],
    "reference": [
        [-1.3259723299170836, 4.037653773895007, 6.778485617273002, 13.584630503792068, 18.29593334142876, 20.369432155688386],
        [-0.8555410256779569, 3.120718569271579, 6.342376405367577, 12.30775657467597, 17.298057000642316, 22.75634711394047],
        [-0.7733112268369366, 2.7617292028771487, 7.3003234166512465, 11.362763033279208, 17.005101059033624, 24.482153222140333],
    ],
    "no bayes": [
        [-1.1764670669874877, 2.5192642600431743, 4.1767413644668565, 8.706383845331729, 11.86349421439682, 12.754252111083693],
        [-0.8264414469673241, 1.8704448825316162, 3.8673619468986375, 7.821723499813256, 11.102378739646023, 14.727239032834717],
        [-0.7558765626053868, 1.6031272701755455, 4.550651029440267, 7.179655621703655, 10.734304847383662, 15.842790035971548],
    ],
    "reference and covariates": [
        [0.0, 2.7833269096274833, 3.5574795567051476, 6.9698898108450855, 8.965657776549277, 9.51282548753949],
        [0.12419687243529065, 2.173357796800431, 3.2471832950607764, 6.22407745707182, 8.341821134515301, 10.946869637844827],
        [0.5210536802591597, 2.1038619257834252, 4.0347817305383735, 5.6242115636288075, 8.353734951598597, 11.3762752348419],
    ],
}
SETTINGS = {
    "plain": {},
    "covariates": {"covariates": (6, 7)},
    "reference": {"reference": "B"},
    "no bayes": {"bayes": False},
    "reference and covariates": {"reference": "A", "covariates": (6, 7)},
}


def with_covariates(X):
    return np.column_stack([X, GRADE, AGE])


def coded(X, sites=SITES, names="ABC"):
    return np.column_stack([X, [names.index(s) if s in names else np.nan for s in sites]])


@pytest.mark.parametrize("case", list(SETTINGS))
def test_equals_neurocombat(case):
    X = with_covariates(sites_table()) if "covariates" in SETTINGS[case] else sites_table()
    found = ComBat(**SETTINGS[case]).fit(X, sites=SITES).transform(X, sites=SITES)
    np.testing.assert_allclose(found[[0, 9, 23]], NEUROCOMBAT[case], rtol=1e-10, atol=1e-10)


def test_takes_out_shift_and_scale_of_many_features():
    rng = np.random.default_rng(0)
    sites = np.repeat(["A", "B"], 200)
    X = rng.normal(size=(400, 30))
    moved = X.copy()
    moved[200:] = 3.0 * moved[200:] + 5.0
    found = ComBat().fit(moved, sites=sites).transform(moved, sites=sites)
    # What is left is what the sites' patients differ by anyway, which shrinkage does not take for the site's doing.
    assert np.abs(found[:200].mean(axis=0) - found[200:].mean(axis=0)).max() < 0.2 * found.std()
    assert np.abs(np.log(found[:200].std(axis=0) / found[200:].std(axis=0))).max() < 0.2


def test_what_covariates_say_is_preserved():
    rng = np.random.default_rng(1)
    sites = np.repeat(["A", "B"], 150)
    age = rng.normal(size=300) + (sites == "B")
    X = 2.0 * age[:, None] + rng.normal(size=(300, 8)) + 4.0 * (sites == "B")[:, None]
    table = np.column_stack([X, age])
    slope = [np.polyfit(age, column, 1)[0] for column in ComBat(covariates=(8,)).fit(table, sites=sites).transform(table, sites=sites).T]
    np.testing.assert_allclose(slope, 2.0, atol=0.3)


def test_a_column_of_sites_says_the_same_as_an_argument():
    X = sites_table()
    by_column = ComBat(site=-1, labels=["A", "B", "C"]).fit(coded(X)).transform(coded(X))
    np.testing.assert_array_equal(by_column, ComBat().fit(X, sites=SITES).transform(X, sites=SITES))


def test_a_patient_alone_has_the_same_bits_from_disk_too(tmp_path):
    X = coded(sites_table())
    model = ComBat(site=-1).fit(X)
    together = model.transform(X)
    np.testing.assert_array_equal(together, np.vstack([model.transform(X[i : i + 1]) for i in range(len(X))]))
    save_estimator(model, tmp_path / "combat.skops")
    np.testing.assert_array_equal(together, load_estimator(tmp_path / "combat.skops").transform(X))


def test_the_outcome_does_not_matter_but_is_noted():
    X, y = sites_table(), np.where(SITES == "C", 1, np.arange(24) % 2)
    model = ComBat().fit(X, y, sites=SITES)
    np.testing.assert_array_equal(model.transform(X, sites=SITES), ComBat().fit(X, sites=SITES).transform(X, sites=SITES))
    assert model.notes_ == ("site C has patients of one outcome alone: its site effect and the outcome cannot be told apart",)


def test_new_patients_change_nothing():
    X = sites_table()
    some = np.arange(24) % 3 != 0
    model = ComBat().fit(X[some], sites=SITES[some])
    far = X[~some] * 1e6
    far[0] = X[~some][0]
    np.testing.assert_array_equal(model.transform(far, sites=SITES[~some])[0], model.transform(X[~some], sites=SITES[~some])[0])


def test_an_unseen_site_is_refused_by_name():
    X = sites_table()
    model = ComBat().fit(X[:18], sites=SITES[:18])
    with pytest.raises(ValueError, match=r"site C \(rows 0, 1, 2, 3, 4 \.\.\.\) was not harmonised in training, which had sites A, B"):
        model.transform(X[18:], sites=SITES[18:])


def test_an_unseen_site_counts_as_the_reference_site():
    X = sites_table()
    model = ComBat(reference="A", unseen="reference").fit(X[:18], sites=SITES[:18])
    np.testing.assert_array_equal(model.transform(X[18:], sites=SITES[18:]), X[18:])
    np.testing.assert_array_equal(model.transform(X[:8], sites=SITES[:8]), X[:8])
    with pytest.raises(ValueError, match="`reference` needs the name of a reference site"):
        ComBat(unseen="reference").fit(X, sites=SITES)


def test_an_unseen_site_is_harmonised_by_its_own_unlabelled_patients():
    X = sites_table()
    model = ComBat(unseen="location-scale", least=6, bayes=False).fit(X[:18], sites=SITES[:18])
    found = model.transform(X[18:], sites=SITES[18:])
    # By hand: mean and deviation of the site become those of training.
    np.testing.assert_allclose(found.mean(axis=0), model.mean_, atol=1e-12)
    np.testing.assert_allclose(found.std(axis=0, ddof=1), model.spread_, rtol=1e-12)
    order = np.array([3, 0, 5, 1, 4, 2])
    np.testing.assert_array_equal(model.transform(X[18:][order], sites=SITES[18:]), found[order])
    with pytest.raises(ValueError, match="site C has 5 patients here; its own shift and scale need at least 6"):
        model.transform(X[19:], sites=SITES[19:])


def test_gaps_and_constant_features_pass():
    X = np.column_stack([sites_table(), np.full(24, 7.0), np.full(24, np.nan), np.where(SITES == "B", np.nan, AGE)])
    X[2, 1] = np.nan
    found = ComBat().fit(X, sites=SITES).transform(X, sites=SITES)
    np.testing.assert_array_equal(found[:, 6:], X[:, 6:])
    assert np.isnan(found[2, 1])
    assert np.isfinite(np.delete(found[:, :6].ravel(), 2 * 6 + 1)).all()


@pytest.mark.parametrize(
    ("sites", "message"),
    [
        (["A"] * 24, "two sites or more, found A 24"),
        (["A"] * 23 + ["B"], r"site B has a single patient among these 24 training patients \(A 23, B 1\)"),
        (["A"] * 12 + [None] * 12, "needs the site of every training patient; 12 of 24 have none"),
        (["A", "B"], "one a patient, 24 in all"),
    ],
)
def test_bad_sites(sites, message):
    with pytest.raises(ValueError, match=message):
        ComBat().fit(sites_table(), sites=sites)


def test_bad_settings():
    X = sites_table()
    with pytest.raises(ValueError, match="the reference site Z is not among those of the training patients: A 8, B 10, C 6"):
        ComBat(reference="Z").fit(X, sites=SITES)
    with pytest.raises(ValueError, match="covariates of the harmonisation cannot be told apart from the sites"):
        ComBat(covariates=(6,)).fit(np.column_stack([X, SITES == "A"]), sites=SITES)
    with pytest.raises(ValueError, match="2 of 24 patients lack a covariate"):
        ComBat(covariates=(6,)).fit(np.column_stack([X, np.where(np.arange(24) < 2, np.nan, AGE)]), sites=SITES)
    with pytest.raises(ValueError, match="needs each patient's site, one of A, B, C"):
        ComBat().fit(X, sites=SITES).transform(X)
