"""Unstable features are kept from every fold's signatures, and each fold judges by its own patients."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sarcofuse.config import ModelsConfig, SignatureConfig
from sarcofuse.config.selection import PcaStep
from sarcofuse.errors import CaseError, StageError
from sarcofuse.metrics import grouped_folds
from sarcofuse.models import Repeats, fit_models
from sarcofuse.models.blocks import Beside, learn_signatures
from sarcofuse.models.folds import inner_folds
from sarcofuse.records import FeatureTable
from sarcofuse.runtime import digest_file
from sarcofuse.signature import LassoSignature, StabilityFilter, compose_signature

PLAIN = ModelsConfig(classifiers=("logistic",), tuning=False, folds=3, signature=SignatureConfig(folds=3, repeats=1, penalties=20))
SIGNATURE = LassoSignature(folds=3, repeats=1, penalties=20)
SHAKY = (0, 4, 5, 11)


def measured_again(table: FeatureTable, patient_ids: tuple[str, ...], file: Path, noise: dict[int, float]) -> Repeats:
    """Repeats of some patients, in which some features are noisy."""
    values = table.rows(patient_ids)
    spread = np.array([noise.get(j, 0.05) for j in range(values.shape[1])])
    again = values[:, None] + np.random.default_rng(0).normal(size=(len(values), 5, values.shape[1])) * spread
    np.save(file, again)
    return Repeats(tuple(patient_ids), file, digest_file(file), StabilityFilter())


def test_models_are_those_of_a_table_without_the_unstable_features(simulated, engine, tmp_path):
    table = simulated.tables["radiomic"]
    steady = [j for j in range(len(table.names)) if j not in SHAKY]
    repeats = measured_again(table, simulated.train, tmp_path / "again.npy", dict.fromkeys(SHAKY, 9.0))
    (filtered,) = fit_models({"radiomic": table}, simulated.training(), SIGNATURE, PLAIN, engine, 0, repeats={"radiomic": (repeats,)})
    fewer = FeatureTable("radiomic", table.patient_ids, tuple(table.names[j] for j in steady), table.values[:, steady])
    (reference,) = fit_models({"radiomic": fewer}, simulated.training(), SIGNATURE, PLAIN, engine, 0)
    (without,) = fit_models({"radiomic": table}, simulated.training(), SIGNATURE, PLAIN, engine, 0)
    assert filtered.out_of_fold == reference.out_of_fold
    assert filtered.signatures == reference.signatures
    assert without.out_of_fold != reference.out_of_fold


def test_each_fold_judges_by_its_own_patients(simulated, tmp_path):
    """One patient makes a feature unstable: the fold without that patient keeps it."""
    table, who = simulated.tables["radiomic"], tuple(sorted(simulated.train))
    X, y = table.rows(who), np.array([float(simulated.outcome[p]) for p in who])
    repeats = measured_again(table, who, tmp_path / "again.npy", {})
    again = np.load(repeats.file)
    best = int(np.argmax([abs(np.corrcoef(c, y)[0, 1]) for c in X.T]))
    again[7, :, best] += np.linspace(-80, 80, again.shape[1])
    np.save(repeats.file, again)
    repeats = replace(repeats, content=digest_file(repeats.file))
    used = {}
    for left_out in (7, 8):
        train = np.arange(len(who)) != left_out
        learn_signatures(tmp_path, SIGNATURE, X, y, train, inner_folds(y[train], None, 3, 0), Beside(who, (repeats,)))
        with np.load(tmp_path / "columns.npz") as columns:
            seen = columns["features_train"]
        used[left_out] = any(np.allclose(np.corrcoef(c, X[train, best])[0, 1], 1.0) for c in seen.T)
    assert used == {7: True, 8: False}


@pytest.mark.parametrize("what", ["features", "repeats"])
def test_whoever_is_left_out_has_no_say_in_components_and_stability_of_his_fold(what, simulated, engine, tmp_path):
    """Alter one patient, his deep features or how they looked again: nobody of his own fold gets another risk, and everybody of the other folds does."""
    table, who = simulated.tables["deep"], tuple(sorted(simulated.train))
    y = np.array([float(simulated.outcome[p]) for p in who])
    fold = grouped_folds(y, None, 3, [0, 3])
    signature = compose_signature((PcaStep(share=0.9),), PLAIN.signature, 0)
    before = measured_again(table, who, tmp_path / "before.npy", {2: 9.0})
    again = np.load(before.file)
    one, values = who[7], table.values.copy()
    if what == "features":
        values[table.patient_ids.index(one)] = np.random.default_rng(1).normal(0, 9, values.shape[1])
    else:
        again[7, :, 0] += np.linspace(-80, 80, again.shape[1])
    np.save(tmp_path / "after.npy", again)
    after = replace(before, file=tmp_path / "after.npy", content=digest_file(tmp_path / "after.npy"))
    (first,) = fit_models({"deep": table}, simulated.training(), signature, PLAIN, engine, 0, repeats={"deep": (before,)})
    (second,) = fit_models({"deep": replace(table, values=values)}, simulated.training(), signature, PLAIN, engine, 0, repeats={"deep": (after,)})
    same = np.array([first.out_of_fold[p] == second.out_of_fold[p] for p in who])
    mine = fold == fold[7]
    if what == "features":
        mine[7] = False
        assert not same[7]
    assert same[mine].all()
    assert not same[fold != fold[7]].any()


def test_patients_who_were_not_measured_again_are_passed_over(simulated, tmp_path):
    table, who = simulated.tables["radiomic"], tuple(sorted(simulated.train))
    repeats = measured_again(table, who[:40], tmp_path / "again.npy", {2: 9.0})
    assert repeats.stable(who).tolist() == [j != 2 for j in range(len(table.names))]


def test_nothing_stable_is_told_with_what_to_do(simulated, engine, tmp_path):
    table = simulated.tables["radiomic"]
    repeats = measured_again(table, simulated.train, tmp_path / "again.npy", dict.fromkeys(range(24), 50.0))
    with pytest.raises(StageError, match=r"signatures: radiomic fold 1 failed: over \d+ training patients none of 24 features has an intraclass correlation of 0.75"):
        fit_models({"radiomic": table}, simulated.training(), SIGNATURE, PLAIN, engine, 0, repeats={"radiomic": (repeats,)})
    half = [measured_again(table, simulated.train, tmp_path / f"{k}.npy", dict.fromkeys(range(12 * k, 12 * k + 12), 50.0)) for k in (0, 1)]
    who = simulated.train
    y = np.array([float(simulated.outcome[p]) for p in who])
    with pytest.raises(CaseError, match="no feature is stable in every respect"):
        learn_signatures(tmp_path, SIGNATURE, table.rows(who), y, np.ones(len(who), bool), None, Beside(who, tuple(half)))
