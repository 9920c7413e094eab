"""Reclassification, fusion beside independent sources, subgroups, sample size, follow-up."""

from __future__ import annotations

import json

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.stats import norm, spearmanr

from sarcofuse.config import EvaluationConfig
from sarcofuse.errors import StageError
from sarcofuse.evaluation import PatientData, evaluate
from sarcofuse.metrics import auc, censoring, delong, harrell_c, heterogeneity, kaplan_meier, log_rank, minimum_sample_size, net_reclassification, risk_categories, timed_auc, timed_brier, uno_c
from sarcofuse.records import Outcomes, Prediction

SIZES = {"train": 90, "internal": 60, "external": 70}
FAST = EvaluationConfig(bootstrap=200)


def study(fused: str = "sum") -> tuple[list[Prediction], dict, dict]:
    """Two independent sources and what is made of them: their sum, or the outcome itself (`leak`)."""
    rng = np.random.default_rng(7)
    split = {f"{s}-{i:03d}": s for s, n in SIZES.items() for i in range(n)}
    truth = {p: int(rng.random() < 0.4) for p in split}
    rows = []
    for p, s in split.items():
        x = {"radiomic": rng.normal() + 0.9 * truth[p], "deep": rng.normal() + 0.7 * truth[p]}
        x["dlr"] = x["radiomic"] + x["deep"] + (5.0 * truth[p] if fused == "leak" else 0.0)
        for f, v in x.items():
            risk = float(1 / (1 + np.exp(0.7 - v)))
            rows.append(Prediction(p, s, f, "logistic", f == "dlr", risk, risk >= 0.45))
    return rows, truth, split


def arrays(rows, truth, features, split):
    mine = sorted((p for p in rows if (p.features, p.split) == (features, split)), key=lambda p: p.patient_id)
    return np.array([truth[p.patient_id] for p in mine]), np.array([p.risk for p in mine]), np.array([p.positive for p in mine])


@pytest.fixture(scope="module")
def found():
    rows, truth, split = study()
    return rows, truth, evaluate(rows, Outcomes(truth, split), EvaluationConfig(bootstrap=1000), 0, candidates={"dlr": 2})


def patients(rows) -> PatientData:
    rng = np.random.default_rng(1)
    people = sorted({p.patient_id for p in rows})
    clinical = {p: {"age": float(rng.integers(20, 90)), "sex": str(rng.choice(["f", "m"])), "grade": None if i % 9 == 0 else float(rng.integers(1, 4))} for i, p in enumerate(people)}
    return PatientData(clinical, {p: float(np.ceil(rng.exponential(24))) for p in people})


def test_dlr_is_compared_with_its_sources_by_reclassification_too(found):
    rows, truth, result = found
    for row in result.metrics["comparisons"]:
        assert ("nri" in row) == (row["first"] == "dlr")
        if "nri" not in row:
            continue
        y, new, called = arrays(rows, truth, "dlr", row["split"])
        _, old, before = arrays(rows, truth, row["second"], row["split"])
        nri, continuous = net_reclassification(y, before, called), net_reclassification(y, old, new)
        assert (row["nri"]["value"], row["nri"]["events"], row["nri"]["p"]) == pytest.approx((nri.total.value, nri.events.value, nri.p))
        assert row["nri_continuous"]["value"] == pytest.approx(continuous.total.value)
        assert row["idi"]["value"] == pytest.approx(np.subtract(*[r[y == 1].mean() - r[y == 0].mean() for r in (new, old)]))
        for name in ("nri", "nri_continuous", "idi"):
            assert row[name]["low"] < row[name]["value"] < row[name]["high"]
        assert (row["nri_continuous"]["low"], row["nri_continuous"]["high"]) == pytest.approx((continuous.total.low, continuous.total.high), abs=0.15)


def test_risk_categories_replace_the_thresholds():
    rows, truth, split = study()
    row = evaluate(rows, Outcomes(truth, split), EvaluationConfig(bootstrap=100, risk_categories=(0.3, 0.6)), 0).metrics["comparisons"][0]
    y, new, _ = arrays(rows, truth, "dlr", "train")
    old = arrays(rows, truth, row["second"], "train")[1]
    assert row["nri"]["value"] == pytest.approx(net_reclassification(y, risk_categories(old, (0.3, 0.6)), risk_categories(new, (0.3, 0.6))).total.value)


def test_fused_auc_stands_beside_that_of_independent_sources(found):
    rows, truth, result = found
    assert [(f["features"], f["split"]) for f in result.metrics["fusion"]] == [("dlr", s) for s in SIZES]
    for row in result.metrics["fusion"]:
        parts = [arrays(rows, truth, s, row["split"]) for s in ("radiomic", "deep")]
        areas = [auc(y, r) for y, r, _ in parts]
        assert [s["value"] for s in row["sources"]] == pytest.approx(areas)
        joint = norm.cdf(np.sqrt(sum(2 * norm.ppf(a) ** 2 for a in areas)) / np.sqrt(2))
        assert row["independent"]["value"] == pytest.approx(joint)
        assert row["excess"]["value"] == pytest.approx(row["auc"]["value"] - joint)
        assert row["independent"]["low"] < joint < row["independent"]["high"]
        y = parts[0][0]
        expected = sum((y == k).mean() * spearmanr(parts[0][1][y == k], parts[1][1][y == k]).statistic for k in (0, 1))
        assert row["correlation"] == pytest.approx(expected)
    assert not [w for w in result.warnings if "too good to be true" in w]


def test_a_gain_too_good_to_be_true_is_told():
    rows, truth, split = study("leak")
    warnings = evaluate(rows, Outcomes(truth, split), FAST, 0).warnings
    assert len([w for w in warnings if "dlr logistic" in w and "too good to be true" in w]) == 3


def test_subgroups_are_measured_and_tested():
    rows, truth, split = study()
    data = patients(rows)
    config = EvaluationConfig(bootstrap=100, subgroups=("age", "sex", "grade"))
    result = evaluate(rows, Outcomes(truth, split), config, 0, patients=data)
    middle = np.median([v["age"] for p, v in data.clinical.items() if split[p] == "train"])
    external = [r for r in result.metrics["subgroups"] if r["split"] == "external"]
    assert [r["group"] for r in external] == [f"up to {middle:g}", f"above {middle:g}", "f", "m", "1", "2", "3", "missing"]
    assert sum(r["patients"] for r in external if r["column"] == "grade") == 70
    mine = sorted((p for p in rows if (p.features, p.split) == ("dlr", "external")), key=lambda p: p.patient_id)
    parts = [[p for p in mine if data.clinical[p.patient_id]["sex"] == sex] for sex in ("f", "m")]
    both = [delong([truth[p.patient_id] for p in part], [[p.risk for p in part]]) for part in parts]
    assert [r["auc"]["value"] for r in external if r["column"] == "sex"] == pytest.approx([a[0] for a, _ in both])
    test = next(t for t in result.metrics["interactions"] if (t["split"], t["column"]) == ("external", "sex"))
    expected = heterogeneity([a[0] for a, _ in both], [v[0, 0] for _, v in both])
    assert (test["q"], test["freedom"], test["p"]) == pytest.approx(expected)
    assert next(t for t in result.metrics["interactions"] if t["column"] == "grade")["freedom"] == 2
    json.dumps(result.metrics, allow_nan=False)


def test_subgroups_do_not_depend_on_order_or_on_other_columns():
    rows, truth, split = study()
    data = patients(rows)
    both = evaluate(rows, Outcomes(truth, split), EvaluationConfig(bootstrap=100, subgroups=("age", "sex")), 0, patients=data)
    alone = evaluate(rows[::-1], Outcomes(truth, split), EvaluationConfig(bootstrap=100, subgroups=("sex",)), 0, patients=data)
    assert [r for r in both.metrics["subgroups"] if r["column"] == "sex"] == alone.metrics["subgroups"]


NAMES = PatientData({f"train-{i:03d}": {"stage": f"text {i}"} for i in range(30)})


AGES = PatientData({"train-000": {"age": 3.0}})


@pytest.mark.parametrize(("data", "words"), [(NAMES, "30 different entries; expected at most 20"), (PatientData(), "none, as the cohort has no clinical columns"), (AGES, "expected one of age")])
def test_an_unfit_column_is_refused_before_the_seal_is_broken(data, words):
    rows, truth, split = study()
    outcomes = Outcomes(truth, split)
    with pytest.raises(StageError, match=words):
        evaluate(rows, outcomes, EvaluationConfig(bootstrap=100, subgroups=("stage",)), 0, patients=data)
    assert outcomes.openings == ()


def test_sample_size_speaks_of_the_primary_model_on_training_patients(found):
    rows, truth, result = found
    (row,) = result.metrics["sample_size"]
    y, risk, _ = arrays(rows, truth, "dlr", "train")
    assert (row["features"], row["patients"], row["events"], row["auc"]) == ("dlr", 90, y.sum(), pytest.approx(auc(y, risk)))
    wanted = minimum_sample_size(2, y.mean(), row["r2"])
    assert (row["candidates"], row["minimum"]) == (2, wanted.minimum)
    assert 0 < row["expected_shrinkage"] < 1
    unknown = evaluate(rows, Outcomes(truth, study()[2]), FAST, 0).metrics["sample_size"][0]
    assert unknown["candidates"] is None
    assert "minimum" not in unknown


def test_sample_size_without_signal_names_no_number():
    rows, truth, split = study()
    flat = [Prediction(p.patient_id, p.split, p.features, p.classifier, p.primary, 0.4, positive=True) for p in rows]
    (row,) = evaluate(flat, Outcomes(truth, split), FAST, 0, candidates={"dlr": 2}).metrics["sample_size"]
    assert (row["r2"], row["affordable"]) == (0.0, None)
    assert "minimum" not in row


def test_follow_up_is_judged_with_the_training_patients_censoring():
    rows, truth, split = study()
    data = patients(rows)
    result = evaluate(rows, Outcomes(truth, split), EvaluationConfig(bootstrap=100, horizons=(6.0, 18.0)), 0, patients=data)
    row = next(r for r in result.metrics["survival"] if (r["features"], r["split"]) == ("dlr", "external"))

    def times(s):
        return np.array([data.time[p] for p in sorted(q for q in split if split[q] == s)])

    y, risk, positive = arrays(rows, truth, "dlr", "external")
    watched = censoring(times("train"), arrays(rows, truth, "dlr", "train")[0])
    assert row["harrell_c"]["value"] == pytest.approx(harrell_c(times("external"), y, risk)[0])
    assert row["uno_c"]["value"] == pytest.approx(uno_c(times("external"), y, risk, watched, 18.0)[0])
    assert [a["value"] for a in row["timed_auc"]] == pytest.approx([timed_auc(times("external"), y, risk, t, watched)[0] for t in (6.0, 18.0)])
    assert row["log_rank"]["p"] == pytest.approx(log_rank(times("external"), y, positive).p)
    for figure in (row["harrell_c"], row["uno_c"], *row["timed_auc"]):
        assert figure["low"] < figure["value"] < figure["high"]
    line = next(c for c in result.curves["survival"] if (c["features"], c["split"]) == ("dlr", "external"))
    assert [g["risk"] for g in line["groups"]] == ["low", "high"]
    assert line["groups"][1]["free"] == pytest.approx(kaplan_meier(times("external")[positive], y[positive]).value.tolist())
    json.dumps([result.metrics, result.curves], allow_nan=False)


def test_predicted_survival_gets_its_brier_scores():
    rows, truth, split = study()
    data = patients(rows)
    free = {("dlr", "logistic"): {p.patient_id: (1 - p.risk / 2, 1 - p.risk) for p in rows if p.features == "dlr"}}
    whole = PatientData(data.clinical, data.time, free=free)
    result = evaluate(rows, Outcomes(truth, split), EvaluationConfig(bootstrap=100, horizons=(6.0, 18.0)), 0, patients=whole)
    row = next(r for r in result.metrics["survival"] if (r["features"], r["split"]) == ("dlr", "train"))
    y, risk, _ = arrays(rows, truth, "dlr", "train")
    time = np.array([data.time[p] for p in sorted(q for q in split if split[q] == "train")])
    expected = timed_brier(time, y, np.column_stack([1 - risk / 2, 1 - risk]), [6.0, 18.0], censoring(time, y))[0]
    assert [b["value"] for b in row["timed_brier"]] == pytest.approx(expected)
    assert row["integrated_brier"]["value"] == pytest.approx(expected.mean())
    assert "timed_brier" not in next(r for r in result.metrics["survival"] if r["features"] == "deep")


def test_competing_deaths_lower_the_cumulative_incidence():
    rows, truth, split = study()
    data = patients(rows)
    dead = {p for i, p in enumerate(sorted(truth)) if not truth[p] and i % 3 == 0}
    result = evaluate(rows, Outcomes(truth, split), FAST, 0, patients=PatientData(time=data.time, competing=dead))
    assert result.metrics["survival"][0]["competing"] == sum(split[p] == "train" for p in dead)
    groups = next(c for c in result.curves["survival"] if c["split"] == "train")["groups"]
    for g in groups:
        assert g["incidence"]["value"][-1] < 1 - g["free"][-1]


@pytest.mark.parametrize("how", ["none", "negative", "both"])
def test_follow_up_that_does_not_fit_is_refused(how):
    rows, truth, split = study()
    time = dict(patients(rows).time)
    if how == "none":
        del time["internal-005"]
    if how == "negative":
        time["internal-005"] = -1.0
    event = next(p for p in truth if truth[p])
    data = PatientData(time=time, competing={event} if how == "both" else ())
    with pytest.raises(StageError, match=event if how == "both" else "internal-005 has no follow-up time"):
        evaluate(rows, Outcomes(truth, split), FAST, 0, patients=data)


def test_settings_that_do_not_rise_are_refused():
    with pytest.raises(ValidationError, match="must rise"):
        EvaluationConfig(horizons=(12.0, 12.0))
    with pytest.raises(ValidationError, match="must rise"):
        EvaluationConfig(risk_categories=(0.5, 0.2))
