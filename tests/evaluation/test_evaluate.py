"""The evaluation: one opening of the seal, figures that can be recomputed, comparisons that are corrected."""

from __future__ import annotations

import json
import zlib
from importlib import import_module

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from sarcofuse.config import EvaluationConfig
from sarcofuse.errors import StageError
from sarcofuse.evaluation import evaluate
from sarcofuse.metrics import RATES, auc, bca_interval, bootstrap_auc, delong_test, holm, hosmer_lemeshow, leave_out, percentile_interval, stratified_counts, wilson_interval
from sarcofuse.records import Outcomes, Prediction

SIZES = {"train": 80, "internal": 40, "external": 50}
METRICS = ("auc", *RATES, "brier", "calibration_slope", "calibration_intercept", "ici", "e90", "average_precision")
FAST = EvaluationConfig(bootstrap=200)
STRENGTH = {"radiomic": 0.8, "deep": 0.6, "dlr": 1.6, "clinical": 0.2, "radiomic-signature": 1.0, "deep-signature": 0.7}


def study(seed: int = 0, features: tuple[str, ...] = ("radiomic", "deep", "dlr"), classifiers: tuple[str, ...] = ("extratrees", "logistic")) -> tuple[list[Prediction], dict, dict]:
    rng = np.random.default_rng(seed)
    split = {f"{s}-{i:03d}": s for s, n in SIZES.items() for i in range(n)}
    truth = {p: int(rng.random() < 0.4) for p in split}
    rows = []
    for f in features:
        for c in classifiers:
            for p, s in split.items():
                risk = float(1 / (1 + np.exp(-(rng.normal() + STRENGTH[f] * truth[p] - 0.6))))
                rows.append(Prediction(p, s, f, c, (f, c) == ("dlr", "logistic"), risk, risk >= 0.45))
    return rows, truth, split


@pytest.fixture(scope="module")
def rows_and_result():
    rows, truth, split = study()
    outcomes = Outcomes(truth, split)
    return rows, truth, evaluate(rows, outcomes, FAST, 0), outcomes


def of(rows, truth, **wanted):
    chosen = sorted((p for p in rows if all(getattr(p, k) == v for k, v in wanted.items())), key=lambda p: p.patient_id)
    return np.array([truth[p.patient_id] for p in chosen]), np.array([p.risk for p in chosen]), np.array([p.positive for p in chosen])


def test_seal_is_opened_once_for_the_evaluation(rows_and_result):
    assert rows_and_result[3].openings == ("evaluation",)


def test_every_model_and_split_has_every_metric_with_its_interval(rows_and_result):
    models = rows_and_result[2].metrics["models"]
    assert len(models) == 18
    assert [(m["features"], m["split"]) for m in models[:3]] == [("radiomic", "train"), ("radiomic", "internal"), ("radiomic", "external")]
    for m in models:
        assert set(m) == {"features", "classifier", "split", "primary", "patients", "events", *METRICS}
        assert m["patients"] == SIZES[m["split"]]
        for name in METRICS:
            assert m[name]["low"] <= m[name]["value"] <= m[name]["high"]


def test_figures_are_those_of_scikit_learn(rows_and_result):
    rows, truth, result, _ = rows_and_result
    for m in result.metrics["models"]:
        y, risk, positive = of(rows, truth, features=m["features"], classifier=m["classifier"], split=m["split"])
        assert m["events"] == y.sum()
        assert m["auc"]["value"] == pytest.approx(roc_auc_score(y, risk), abs=1e-12)
        assert m["brier"]["value"] == pytest.approx(brier_score_loss(y, risk), abs=1e-12)
        assert m["sensitivity"]["value"] == pytest.approx(positive[y == 1].mean())
        assert m["npv"]["value"] == pytest.approx(1 - y[~positive].mean())
        assert m["average_precision"]["value"] == pytest.approx(average_precision_score(y, risk), abs=1e-12)


def test_operating_point_is_the_locked_one_and_not_found_anew():
    rows, truth, split = study()
    nobody = [Prediction(p.patient_id, p.split, p.features, p.classifier, p.primary, p.risk, positive=False) for p in rows]
    m = evaluate(nobody, Outcomes(truth, split), FAST, 0).metrics["models"][2]
    assert m["sensitivity"]["value"] == 0.0
    assert m["specificity"]["value"] == 1.0
    assert m["ppv"] == {"value": None, "low": None, "high": None}


def test_shares_of_0_and_1_keep_a_width():
    rows, truth, split = study()
    nobody = [Prediction(p.patient_id, p.split, p.features, p.classifier, p.primary, p.risk, positive=False) for p in rows]
    m = evaluate(nobody, Outcomes(truth, split), FAST, 0).metrics["models"][2]
    expected = wilson_interval(0.0, m["events"])
    assert (m["sensitivity"]["low"], m["sensitivity"]["high"]) == (expected.low, expected.high)


def test_a_perfect_auc_keeps_a_width():
    rows, truth, split = study(features=("dlr",))
    perfect = [Prediction(p.patient_id, p.split, p.features, p.classifier, p.primary, 0.2 + 0.5 * truth[p.patient_id], positive=True) for p in rows]
    for m in evaluate(perfect, Outcomes(truth, split), FAST, 0).metrics["models"]:
        assert 0.8 < m["auc"]["low"] < m["auc"]["value"] == m["auc"]["high"] == 1.0
        assert m["calibration_slope"]["value"] is None
        assert m["average_precision"] == {"value": 1.0, "low": None, "high": None}


def test_fusion_is_held_against_each_signature_by_itself():
    rows, truth, split = study(features=("radiomic", "deep", "dlr", "radiomic-signature", "deep-signature"), classifiers=("logistic",))
    found = evaluate(rows, Outcomes(truth, split), FAST, 0).metrics
    external = [row for row in found["comparisons"] if row["split"] == "external"]
    alike = [("dlr", "radiomic-signature"), ("dlr", "deep-signature")]
    assert [(row["first"], row["second"]) for row in external] == [*alike, ("dlr", "radiomic"), ("dlr", "deep"), ("radiomic", "deep")]
    assert [(row["first"], row["second"]) for row in external if "nri" in row] == [*alike, ("dlr", "radiomic"), ("dlr", "deep")]
    (y, first, _), (_, second, _) = (of(rows, truth, features=f, split="external") for f in alike[0])
    assert external[0]["difference"] == pytest.approx(roc_auc_score(y, first) - roc_auc_score(y, second))
    for row in found["fusion"]:
        assert [s["features"] for s in row["sources"]] == ["radiomic-signature", "deep-signature"]
        y, risk, _ = of(rows, truth, features="deep-signature", split=row["split"])
        assert row["sources"][1]["value"] == pytest.approx(roc_auc_score(y, risk))


def test_comparisons_are_delongs_with_holms_correction(rows_and_result):
    rows, truth, result, _ = rows_and_result
    found = result.metrics["comparisons"]
    assert len(found) == 3 * 2 * 3
    for split in SIZES:
        part = [c for c in found if c["split"] == split]
        assert {(c["classifier"], c["first"], c["second"]) for c in part} == {(c, *pair) for c in ("extratrees", "logistic") for pair in (("dlr", "radiomic"), ("dlr", "deep"), ("radiomic", "deep"))}
        for c in part:
            y, first, _ = of(rows, truth, features=c["first"], classifier=c["classifier"], split=split)
            test = delong_test(y, first, of(rows, truth, features=c["second"], classifier=c["classifier"], split=split)[1])
            assert (c["difference"], c["low"], c["high"], c["p"]) == (test.difference.value, test.difference.low, test.difference.high, test.p)
        np.testing.assert_allclose([c["p_holm"] for c in part], holm([c["p"] for c in part]))


def test_order_of_predictions_does_not_matter(rows_and_result):
    rows, truth, result, _ = rows_and_result
    _, _, split = study()
    shuffled = [rows[i] for i in np.random.default_rng(1).permutation(len(rows))]
    assert evaluate(shuffled, Outcomes(truth, split), FAST, 0) == result
    assert evaluate(rows, Outcomes(truth, split), FAST, 1) != result


def test_models_of_a_split_share_their_bootstrap_samples():
    rows, truth, split = study(features=("radiomic",))
    twin = [Prediction(p.patient_id, p.split, "deep", p.classifier, p.primary, p.risk, p.positive) for p in rows]
    models = evaluate(rows + twin, Outcomes(truth, split), FAST, 0).metrics["models"]
    assert [{k: v for k, v in m.items() if k != "features"} for m in models[:6]] == [{k: v for k, v in m.items() if k != "features"} for m in models[6:]]


def test_curves_have_all_their_points(rows_and_result):
    result = rows_and_result[2]
    assert len(result.curves["models"]) == 18
    for c, m in zip(result.curves["models"], result.metrics["models"], strict=True):
        assert (c["features"], c["classifier"], c["split"]) == (m["features"], m["classifier"], m["split"])
        assert np.trapezoid(c["roc"]["tpr"], c["roc"]["fpr"]) == pytest.approx(m["auc"]["value"], abs=1e-12)
        assert set(c["calibration"]) == {"predicted", "observed", "low", "high", "smooth_x", "smooth_y"}
        assert len(c["calibration"]["smooth_x"]) == len(c["calibration"]["smooth_y"]) == 50
        decision = c["decision"]
        assert {len(v) for v in decision.values()} == {99}
        assert decision["threshold"][0] == 0.01
        assert c["pr"]["recall"][-1] == 1.0
        assert c["pr"]["precision"][-1] == pytest.approx(m["events"] / m["patients"])
        reduction = c["reduction"]
        gain = np.array(decision["net_benefit"]) - decision["treat_all"]
        cut = np.array(decision["threshold"])
        np.testing.assert_allclose(reduction["avoided"], 100 * gain / (cut / (1 - cut)), atol=1e-9)
        inside = [low <= b <= high for low, b, high in zip(decision["low"], decision["net_benefit"], decision["high"], strict=True)]
        assert np.mean(inside) > 0.9


def test_intervals_are_bca_unless_percentiles_are_wanted(rows_and_result):
    rows, truth, result, _ = rows_and_result
    y, risk, _ = of(rows, truth, features="dlr", classifier="logistic", split="external")
    plain = evaluate(rows, Outcomes(truth, study()[2]), EvaluationConfig(bootstrap=200, intervals="percentile"), 0)
    counts, plan = stratified_counts(y, 200, [0, zlib.crc32(b"external")]), leave_out(y)
    drawn = bootstrap_auc(y, risk, counts)
    wanted = bca_interval(auc(y, risk), drawn, bootstrap_auc(y, risk, plan.weights(0, y.size)), plan.stratum)
    usual = percentile_interval(auc(y, risk), drawn)
    for found, expected in ((result, wanted), (plain, usual)):
        row = next(m for m in found.metrics["models"] if (m["features"], m["classifier"], m["split"]) == ("dlr", "logistic", "external"))
        assert (row["auc"]["low"], row["auc"]["high"]) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_hosmer_and_lemeshow_are_asked_when_wanted(rows_and_result):
    rows, truth, _, _ = rows_and_result
    row = evaluate(rows, Outcomes(truth, study()[2]), EvaluationConfig(bootstrap=100, hosmer_lemeshow=True), 0).metrics["models"][0]
    y, risk, _ = of(rows, truth, features="radiomic", classifier="extratrees", split="train")
    test = hosmer_lemeshow(y, risk)
    assert row["hosmer_lemeshow"] == {"statistic": test.statistic, "freedom": test.freedom, "p": test.p}


def test_many_patients_are_sampled_in_batches(monkeypatch):
    rows, truth, split = study(features=("dlr", "radiomic"), classifiers=("logistic",))
    whole = evaluate(rows, Outcomes(truth, split), EvaluationConfig(bootstrap=1500), 0)
    monkeypatch.setattr("sarcofuse.evaluation.sampling._ENTRIES", 80 * 600)
    monkeypatch.setattr(import_module("sarcofuse.evaluation.evaluate"), "_HELD", 0)
    parts = evaluate(rows, Outcomes(truth, split), EvaluationConfig(bootstrap=1500), 0)
    for a, b in zip(whole.metrics["models"], parts.metrics["models"], strict=True):
        for name in ("auc", "brier", "calibration_slope"):
            assert a[name]["value"] == b[name]["value"]
            assert (a[name]["low"], a[name]["high"]) == pytest.approx((b[name]["low"], b[name]["high"]), abs=0.12)
    assert parts.metrics["comparisons"][0]["idi"]["low"] is not None


def test_result_is_plain_json_with_the_lists_of_the_study():
    rows, truth, split = study(features=("dlr", "clinical"))
    dice, best = [{"split": "external", "dice_mean": 0.8}], [{"features": "dlr", "split": "external", "auc": 0.9}]
    result = evaluate(rows, Outcomes(truth, split), FAST, 0, segmentation=dice, bayes=best)
    again = json.loads(json.dumps(result.metrics, allow_nan=False))
    assert (again["format"], again["segmentation"], again["bayes"], again["comparisons"]) == (1, dice, best, [])
    assert {m["features"] for m in again["models"]} == {"dlr", "clinical"}
    assert [m["primary"] for m in again["models"] if m["features"] == "dlr"] == [False] * 3 + [True] * 3
    json.dumps(result.curves, allow_nan=False)


def test_splits_with_few_events_are_warned_about():
    rows, truth, split = study(features=("dlr",))
    rare = {p: int(v and not (split[p] == "external" and p > "external-010")) for p, v in truth.items()}
    result = evaluate(rows, Outcomes(rare, split), FAST, 0)
    events = sum(v for p, v in rare.items() if split[p] == "external")
    assert [w.split(":")[0] for w in result.warnings] == [f"split external has {events} patients with the event and {50 - events} without it"]


def test_a_split_of_one_class_or_of_equal_risks_does_not_stop_the_others():
    rows, truth, split = study()
    nothing = {p: 0 if split[p] == "external" else v for p, v in truth.items()}
    flat = [Prediction(p.patient_id, p.split, p.features, p.classifier, p.primary, 0.3 if p.split == "internal" else p.risk, p.positive) for p in rows]
    models = {(m["features"], m["classifier"], m["split"]): m for m in evaluate(flat, Outcomes(nothing, split), FAST, 0).metrics["models"]}
    external, internal, train = (models["dlr", "logistic", s] for s in ("external", "internal", "train"))
    assert external["auc"] == {"value": None, "low": None, "high": None}
    assert external["specificity"]["value"] is not None
    assert internal["auc"]["value"] == 0.5
    assert internal["calibration_slope"]["value"] is None
    assert train["auc"]["value"] > 0.7


@pytest.mark.parametrize("how", ["nobody", "twice", "no outcome", "other patients"])
def test_predictions_that_do_not_fit_are_refused(how):
    rows, truth, split = study(classifiers=("logistic",))
    bad, message = {
        "nobody": ([], "no predictions"),
        "twice": ([*rows, rows[0]], "train-000 has two predictions by the model radiomic logistic"),
        "no outcome": ([*rows, Prediction("X", "external", "dlr", "logistic", True, 0.1, False)], "patient X has a prediction but no outcome"),
        "other patients": (rows[:-1], "different external patients"),
    }[how]
    with pytest.raises(StageError, match=message):
        evaluate(bad, Outcomes(truth, split), FAST, 0)
