"""Fitting: honest, reproducible, blind to test patients."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from sarcofuse.config import ModelsConfig, SignatureConfig
from sarcofuse.errors import BundleError, CohortError, ConfigError, StageError
from sarcofuse.metrics import auc, delong_test, sensitivity_threshold, stratified_folds, youden_threshold
from sarcofuse.models import CLASSIFIERS, FittedModel, dump_estimator, feature_sets, fit_models, load_estimator, risks, save_estimator
from sarcofuse.records import FeatureTable
from sarcofuse.runtime import Engine
from sarcofuse.signature import LassoSignature

QUICK = {"folds": 3, "signature": SignatureConfig(folds=3, repeats=1, penalties=20)}
PLAIN = ModelsConfig(classifiers=("logistic",), tuning=False, **QUICK)
SEVERAL = ModelsConfig(classifiers=("extratrees", "svm", "logistic"), tuning=False, **QUICK)
LINEAR = ModelsConfig(classifiers=("svm", "logistic"), tuning=False, **QUICK)
SIGNATURE = LassoSignature(folds=3, repeats=1, penalties=20)


def fingerprint(models: list[FittedModel]) -> list[object]:
    return [(m.record(), dict(m.out_of_fold), dump_estimator(m.estimator)) for m in models]


def serial(folder: Path) -> Engine:
    return Engine(folder, scheduler="serial", progress=False)


@pytest.fixture(scope="module")
def fitted(simulated, tmp_path_factory) -> list[FittedModel]:
    with serial(tmp_path_factory.mktemp("cache")) as engine:
        return fit_models(simulated.tables, simulated.training(), SIGNATURE, ModelsConfig(**QUICK), engine, 0)


@pytest.fixture(scope="module")
def plain(simulated, tmp_path_factory) -> list[object]:
    with serial(tmp_path_factory.mktemp("cache")) as engine:
        return fingerprint(fit_models(simulated.tables, simulated.training(), SIGNATURE, SEVERAL, engine, 0))


def test_nine_models_in_order_and_signatures_by_themselves(fitted, simulated):
    alone = {"radiomic-signature": ["radiomic"], "deep-signature": ["deep"]}
    assert [(m.features, m.classifier) for m in fitted] == [(f, c) for f in ("radiomic", "deep", *alone, "dlr") for c in ("extratrees", "svm", "logistic")]
    for m in fitted:
        assert set(m.out_of_fold) == set(simulated.train)
        assert 0 < m.threshold < 1
        assert list(m.blocks) == {"radiomic": ["radiomic"], "deep": ["deep"], "dlr": ["radiomic", "deep"], **alone}[m.features]


def test_a_signature_by_itself_is_what_fusion_sees_less_the_other(fitted, simulated):
    by = {(m.features, m.classifier): m for m in fitted}
    table = simulated.tables["radiomic"]
    for classifier in ("extratrees", "svm", "logistic"):
        alone, fused = by["radiomic-signature", classifier].estimator, by["dlr", classifier].estimator
        seen = alone.columns(table.rows(simulated.test))
        assert seen.shape == (len(simulated.test), 1)
        both = np.hstack([simulated.tables[b].rows(simulated.test) for b in ("radiomic", "deep")])
        assert np.array_equal(seen[:, 0], fused.columns(both)[:, 0])


def test_fusion_with_a_stranger_adds_nothing_to_the_signature(fitted, simulated, engine):
    deep = simulated.tables["deep"]
    dealt = FeatureTable("deep", deep.patient_ids, deep.names, np.random.default_rng(3).permutation(deep.values))
    tables = {**simulated.tables, "deep": dealt}
    config = ModelsConfig(classifiers=("logistic",), primary=("dlr", "logistic"))
    strange = {m.features: m for m in fit_models(tables, simulated.training(), SIGNATURE, config, engine, 0)}
    y = [simulated.outcome[p] for p in simulated.test]

    def gap(models, given):
        first, second = (list(risks(models[f], given, simulated.test).values()) for f in ("dlr", "radiomic-signature"))
        return delong_test(y, first, second).difference

    own, others = gap({m.features: m for m in fitted if m.classifier == "logistic"}, simulated.tables), gap(strange, tables)
    assert own.low > 0.02
    assert others.low < 0 < others.high
    assert others.value < own.value / 2


def test_models_have_learned_something(fitted, simulated):
    y = [simulated.outcome[p] for p in simulated.test]
    best = auc(y, [simulated.log_odds[p] for p in simulated.test])
    assert best > 0.8
    reached = {(m.features, m.classifier): auc(y, list(risks(m, simulated.tables, simulated.test).values())) for m in fitted}
    for classifier in ("extratrees", "svm", "logistic"):
        assert reached["dlr", classifier] > 0.5 + 0.6 * (best - 0.5)
        assert reached["dlr", classifier] > max(reached["radiomic", classifier], reached["deep", classifier])
    assert min(reached.values()) > 0.55


def test_threshold_is_chosen_on_out_of_fold_risks(fitted, simulated):
    patients = sorted(simulated.train)
    y = [simulated.outcome[p] for p in patients]
    for m in fitted:
        assert m.threshold == youden_threshold(y, [m.out_of_fold[p] for p in patients])


def test_wanted_sensitivity_is_reached(simulated, engine):
    config = PLAIN.model_copy(update={"threshold": "sensitivity", "sensitivity": 0.8})
    patients = sorted(simulated.train)
    y = np.array([simulated.outcome[p] for p in patients])
    for m in fit_models(simulated.tables, simulated.training(), SIGNATURE, config, engine, 0):
        risk = np.array([m.out_of_fold[p] for p in patients])
        assert m.threshold == sensitivity_threshold(y, risk, 0.8)
        assert (risk[y == 1] >= m.threshold).mean() >= 0.8


def test_out_of_fold_risks_are_those_of_a_study_without_the_fold(simulated, engine):
    patients = np.array(sorted(simulated.train))
    y = np.array([simulated.outcome[p] for p in patients])
    out = patients[stratified_folds(y, 3, [0, 3]) == 0]
    models = fit_models(simulated.tables, simulated.training(), SIGNATURE, PLAIN, engine, 0)
    without = fit_models(simulated.tables, {p: simulated.outcome[p] for p in patients if p not in set(out)}, SIGNATURE, PLAIN, engine, 0)
    for m, peer in zip(models, without, strict=True):
        assert risks(peer, simulated.tables, list(out)) == {p: m.out_of_fold[p] for p in out}
        assert risks(m, simulated.tables, list(out)) != {p: m.out_of_fold[p] for p in out}


def test_features_of_a_patient_do_not_reach_its_own_fold(simulated, engine):
    patients = np.array(sorted(simulated.train))
    fold = stratified_folds([simulated.outcome[p] for p in patients], 3, [0, 3])
    first = patients[fold == 0][0]
    changed = {}
    for block, table in simulated.tables.items():
        values = table.values.copy()
        values[table.patient_ids.index(first)] *= -100
        changed[block] = FeatureTable(block, table.patient_ids, table.names, values)
    before = fit_models(simulated.tables, simulated.training(), SIGNATURE, PLAIN, engine, 0)
    after = fit_models(changed, simulated.training(), SIGNATURE, PLAIN, engine, 0)
    for a, b in zip(before, after, strict=True):
        assert all(a.out_of_fold[p] == b.out_of_fold[p] for p in patients[fold == 0][1:])
        assert any(a.out_of_fold[p] != b.out_of_fold[p] for p in patients[fold == 1])


def test_test_patients_touch_nothing(simulated, plain, rearranged, tmp_path):
    rng = np.random.default_rng(0)
    table = simulated.tables["radiomic"]
    train = np.isin(table.patient_ids, simulated.train)
    altered = {b: FeatureTable(b, t.patient_ids, t.names, np.where(train[:, None], t.values, rng.normal(1e6, 1e9, t.values.shape))) for b, t in simulated.tables.items()}
    missing = {b: FeatureTable(b, t.patient_ids, t.names, np.where(train[:, None], t.values, np.nan)) for b, t in simulated.tables.items()}
    deleted = rearranged(simulated.tables, np.flatnonzero(train))
    for name, tables in {"altered": altered, "missing": missing, "deleted": deleted}.items():
        with serial(tmp_path / name) as engine:
            again = fit_models(tables, simulated.training(), SIGNATURE, SEVERAL, engine, 0)
        assert fingerprint(again) == plain


def test_order_of_patients_does_not_matter(simulated, plain, rearranged, tmp_path):
    rows = np.random.default_rng(1).permutation(len(simulated.outcome))
    shuffled = dict(sorted(simulated.training().items(), reverse=True))
    with serial(tmp_path) as engine:
        again = fit_models(rearranged(simulated.tables, rows), shuffled, SIGNATURE, SEVERAL, engine, 0)
    assert fingerprint(again) == plain


def test_order_of_blocks_does_not_matter(simulated, plain, tmp_path):
    with serial(tmp_path) as engine:
        again = fit_models(dict(reversed(simulated.tables.items())), simulated.training(), SIGNATURE, SEVERAL, engine, 0)
    assert fingerprint(again) == plain


@pytest.mark.slow
def test_number_of_workers_does_not_matter(simulated, tmp_path):
    found = []
    for scheduler in ("serial", "processes"):
        with Engine(tmp_path / scheduler, scheduler=scheduler, workers=2, progress=False) as engine:
            found.append(fingerprint(fit_models(simulated.tables, simulated.training(), SIGNATURE, LINEAR, engine, 0)))
    assert found[0] == found[1]


def test_seed_matters(simulated, engine):
    first, second = (fit_models(simulated.tables, simulated.training(), SIGNATURE, PLAIN, engine, seed) for seed in (0, 1))
    assert first[0].out_of_fold != second[0].out_of_fold


def test_finished_work_is_not_done_again(simulated, engine, monkeypatch):
    first = fit_models(simulated.tables, simulated.training(), SIGNATURE, PLAIN, engine, 0)
    monkeypatch.setattr(LassoSignature, "fit", None)
    again = fit_models(simulated.tables, simulated.training(), SIGNATURE, PLAIN, engine, 0)
    assert fingerprint(again) == fingerprint(first)


def test_a_patient_alone_has_the_same_bits(fitted, simulated, rearranged):
    for m in fitted:
        together = risks(m, simulated.tables, simulated.test)
        for patient in simulated.test[:10]:
            row = simulated.tables["deep"].patient_ids.index(patient)
            assert risks(m, rearranged(simulated.tables, np.array([row])), [patient])[patient] == together[patient]


@pytest.mark.parametrize("classifier", CLASSIFIERS)
@pytest.mark.parametrize("fusion", ["signatures", "features"])
def test_every_classifier_fits_and_survives_skops_bit_for_bit(classifier, fusion, simulated, engine, tmp_path):
    if CLASSIFIERS[classifier].extra is not None:
        pytest.importorskip(CLASSIFIERS[classifier].extra)
    config = ModelsConfig(classifiers=(classifier,), fusion=fusion, tuning=False, folds=2, signature=SignatureConfig(folds=2))
    model = fit_models(simulated.tables, simulated.training(), LassoSignature(folds=2, repeats=1, penalties=20), config, engine, 0)[-1]
    assert (model.features, model.parameters["view"]) == ("dlr", fusion)
    save_estimator(model.estimator, tmp_path / "model.skops")
    again = load_estimator(tmp_path / "model.skops")
    values = np.hstack([simulated.tables[b].rows(simulated.test) for b in model.blocks])
    whole = again.predict_proba(values)
    assert np.array_equal(whole[:, 1], list(risks(model, simulated.tables, simulated.test).values()))
    assert np.array_equal(whole, np.vstack([again.predict_proba(values[i : i + 1]) for i in range(len(values))]))
    assert dump_estimator(again) == (tmp_path / "model.skops").read_bytes()
    assert whole.min() > 0
    assert auc([simulated.outcome[p] for p in simulated.test], whole[:, 1]) > 0.65
    json.dumps(model.record())


def test_archives_of_other_classes_are_refused(tmp_path):
    import skops.io

    file = tmp_path / "bad.skops"
    skops.io.dump({"path": Path("x")}, file)
    with pytest.raises(BundleError, match=r"bad.skops holds pathlib.*only classes of sarcofuse"):
        load_estimator(file)
    file.write_bytes(b"not an archive")
    with pytest.raises(BundleError, match=r"bad.skops cannot be read"):
        load_estimator(file)


def test_unknown_classifier_lists_the_known(simulated, engine):
    with pytest.raises(ConfigError, match="no classifier 'catboost'; known are extratrees, svm, logistic"):
        fit_models(simulated.tables, simulated.training(), SIGNATURE, ModelsConfig(classifiers=("catboost",)), engine, 0)


def some(simulated, events: int, others: int) -> dict[str, int]:
    training = simulated.training()
    return dict([i for i in training.items() if i[1]][:events] + [i for i in training.items() if not i[1]][:others])


@pytest.mark.parametrize("events", [2, 3])
def test_fewer_events_than_folds_reduce_the_folds_and_say_so(events, simulated, engine):
    config = SEVERAL.model_copy(update={"folds": 5, "tuning": events == 3})
    models = fit_models(simulated.tables, some(simulated, events, 20), LassoSignature(), config, engine, 0)
    for m in models:
        assert f"{events} outer folds instead of 5: there are only {events} training patients with the event" in m.warnings[0]
        assert np.isfinite(list(m.out_of_fold.values())).all()


@pytest.mark.parametrize(("events", "others"), [(1, 20), (0, 10), (20, 1)])
def test_too_few_of_a_class_is_an_error(events, others, simulated, engine):
    with pytest.raises(StageError, match=f"at least 2 training patients with the event and 2 without it.*found {events} and {others}"):
        fit_models(simulated.tables, some(simulated, events, others), SIGNATURE, PLAIN, engine, 0)


def test_no_block_is_an_error(simulated, engine):
    with pytest.raises(StageError, match="no feature block"):
        fit_models({}, simulated.training(), SIGNATURE, PLAIN, engine, 0)


def test_patients_without_features_are_left_out_and_counted(simulated, engine, rearranged):
    gone = simulated.tables["deep"].patient_ids.index(simulated.train[0])
    rows = np.delete(np.arange(len(simulated.outcome)), gone)
    tables = {"radiomic": simulated.tables["radiomic"], "deep": rearranged(simulated.tables, rows)["deep"]}
    models = fit_models(tables, simulated.training(), SIGNATURE, PLAIN, engine, 0)
    assert all(simulated.train[0] not in m.out_of_fold for m in models)
    assert "1 of 150 training patients have no features in some block" in models[0].warnings[0]


def test_feature_sets_follow_the_blocks():
    def names(blocks, **settings):
        return [(s.name, s.blocks, s.view) for s in feature_sets(blocks, ModelsConfig(**settings))]

    deep, radiomic = ("deep", ("deep",), "features"), ("radiomic", ("radiomic",), "features")
    def alone(*blocks):
        return [(f"{b}-signature", (b,), "signatures") for b in blocks]

    dlr = ("dlr", ("radiomic", "deep"), "signatures")
    assert names(["deep", "radiomic"]) == [radiomic, deep, *alone("radiomic", "deep"), dlr]
    assert names(["deep", "radiomic"], alone=False) == [radiomic, deep, dlr]
    assert names(["deep"], fusion="features") == [deep]
    rim, clinical = ("rim", ("rim",), "features"), ("clinical", ("clinical",), "features")
    assert names(["rim", "clinical", "deep", "radiomic"], fusion="features") == [radiomic, deep, ("dlr", ("radiomic", "deep"), "features"), rim]
    assert names(["clinical", "radiomic"], clinical=True) == [radiomic, clinical]
    three = ("rim+deep+radiomic", ("rim", "deep", "radiomic"), "signatures")
    assert names(["deep", "radiomic", "rim"], fused=("rim", "deep", "radiomic")) == [rim, deep, radiomic, *alone("rim", "deep", "radiomic"), three]
    assert names(["deep", "radiomic", "rim"], fused=("rim", "deep")) == [rim, deep, *alone("rim", "deep"), ("rim+deep", ("rim", "deep"), "signatures"), radiomic]
    assert names(["deep", "radiomic"], fused=("rim", "deep")) == [deep, radiomic]
    assert names(["deep", "radiomic"], fused=("deep", "radiomic"))[-1] == ("dlr", ("deep", "radiomic"), "signatures")


def test_signatures_are_described_in_names(fitted):
    deep = next(m for m in fitted if m.features == "deep")
    kept = deep.estimator.signatures[0]
    told = deep.record()["signatures"]["deep"]
    assert told["penalty"] == kept.penalty_
    assert told["coefficients"] == {f"deep_{j}": kept.coef_[j] for j in kept.selected_}
    assert len(told["coefficients"]) > 0


@pytest.mark.parametrize("least", [0, 4])
def test_without_features_that_help_others_stand_in_and_it_is_said(least, simulated, engine):
    rng = np.random.default_rng(2)
    noise = FeatureTable("radiomic", simulated.tables["radiomic"].patient_ids, tuple("abcdefgh"), rng.normal(size=(250, 8)))
    model = fit_models({"radiomic": noise}, simulated.training(), LassoSignature(rule="1se", least=least), PLAIN, engine, 0)[0]
    told = model.signatures["radiomic"]
    assert told["supported"] is False
    assert (len(told["coefficients"]) >= 4, len(told["stand_in"])) == ((True, 0) if least else (False, 1))
    assert "radiomic: cross-validation found no features that do better than none" in model.warnings[-1]
    assert len(set(risks(model, {"radiomic": noise}, simulated.test).values())) > 10


def test_columns_are_found_by_name(fitted, simulated):
    turned = {b: FeatureTable(b, t.patient_ids, t.names[::-1], t.values[:, ::-1].copy()) for b, t in simulated.tables.items()}
    for m in fitted:
        assert risks(m, turned, simulated.test) == risks(m, simulated.tables, simulated.test)


def test_absent_blocks_features_and_patients_are_named(fitted, simulated):
    dlr, tables = fitted[-1], simulated.tables
    with pytest.raises(CohortError, match="reads features of block deep; found blocks radiomic"):
        risks(dlr, {"radiomic": tables["radiomic"]}, simulated.test)
    t = tables["deep"]
    with pytest.raises(CohortError, match=r"block deep lacks 2 features that the model needs: deep_22, deep_23"):
        risks(dlr, {**tables, "deep": FeatureTable("deep", t.patient_ids, t.names[:22], t.values[:, :22])}, simulated.test)
    with pytest.raises(CohortError, match=r"block radiomic lacks 1 patients that the model needs: nobody"):
        risks(dlr, tables, ["nobody"])


def test_signatures_can_only_raise_the_risk(fitted):
    for m in (m for m in fitted if m.features == "dlr"):
        grid = np.linspace(-3, 3, 25)
        tail = m.estimator.tail
        for other in (-1.0, 1.0):
            rising = tail.predict_proba(np.column_stack([grid, np.full(25, other)]))[:, 1]
            assert (np.diff(rising) >= -1e-12).all() or m.classifier == "svm"
        assert tail.predict_proba([[3.0, 3.0]])[0, 1] > tail.predict_proba([[-3.0, -3.0]])[0, 1]
