"""Feature tables beside the cohort: what does not match is told, what is suspicious is told, nothing is guessed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sarcofuse.cohort import join_tables, one_sided_sites, read_features, suspicions
from sarcofuse.cohort.suspect import separating
from sarcofuse.cohort.tables import near_matches
from sarcofuse.config import ModelsConfig, StabilityConfig, StudyConfig
from sarcofuse.errors import CohortError
from sarcofuse.records import FeatureTable, Patient

IDS = [f"P-{i:03d}" for i in range(60)]
OUTCOME = {p: int(i % 3 == 0) for i, p in enumerate(IDS)}
PATIENTS = [Patient(p, "train" if i < 40 else "external", site="AB"[i % 2]) for i, p in enumerate(IDS)]
Write = Callable[..., StudyConfig]


def frame(count: int = 4, seed: int = 0) -> pd.DataFrame:
    return pd.DataFrame(np.random.default_rng(seed).normal(size=(len(IDS), count)), index=pd.Index(IDS, name="patient_id"), columns=[f"f{j}" for j in range(count)])


@pytest.fixture
def study(tmp_path: Path) -> Write:
    """Write frames, or text, as tables of blocks and give the study."""

    def write(**blocks: pd.DataFrame | str) -> StudyConfig:
        for name, content in blocks.items():
            if isinstance(content, str):
                (tmp_path / f"{name}.csv").write_text(content, encoding="utf8")
            else:
                content.to_csv(tmp_path / f"{name}.csv")
        return StudyConfig(features={name: Path(f"{name}.csv") for name in blocks})

    return write


def test_blocks_of_any_name_are_joined_whatever_the_order_of_rows(study: Write, tmp_path: Path) -> None:
    proteins = frame(3, 1).sample(frac=1.0, random_state=2)
    found = read_features(study(radiomic=frame(), proteins=proteins), tmp_path, PATIENTS, OUTCOME)
    assert list(found.tables) == ["radiomic", "proteins"]
    assert found.tables["proteins"].patient_ids == tuple(IDS)
    np.testing.assert_array_equal(found.tables["proteins"].values, frame(3, 1).to_numpy())
    assert (found.set_aside, found.warnings, found.problems) == ([], [], [])


def test_every_mismatch_is_told_and_nothing_is_guessed(study: Write, tmp_path: Path) -> None:
    other = {"P-001": "p-001", "P-002": " P-002", "P-003": "P-3", "P-004": "P-004.0", "P-005": "Q-005"}
    found = join_tables(study(radiomic=frame().rename(index=other)), tmp_path, PATIENTS, OUTCOME)
    assert found.problems == []
    reasons = {s.patient_id: s.reason for s in found.set_aside}
    assert set(reasons) == set(other)
    for patient, how in {"P-001": "case", "P-002": "blanks", "P-003": "leading zeros", "P-004": "a decimal point"}.items():
        assert reasons[patient] == f"is not in the table of radiomic features (radiomic.csv); it has {other[patient]!r}, which differs in {how}: write both alike if they are the same"
    assert reasons["P-005"] == "is not in the table of radiomic features (radiomic.csv)"
    (warning,) = found.warnings
    assert warning.startswith("radiomic features (radiomic.csv): 5 of the cohort are not there ('P-001', ")
    assert "5 rows are of nobody in the cohort" in warning
    assert "4 would match but for their spelling: 'P-001' is 'p-001' there (case), " in warning
    assert set(found.tables["radiomic"].patient_ids) == set(IDS) - set(other)


def test_two_candidates_are_no_match() -> None:
    assert near_matches(["P-1"], ["p-1", "P-01"]) == {}
    assert near_matches(["Köln 1"], ["KÖLN1"]) == {"Köln 1": ("KÖLN1", "case and blanks")}


def test_a_table_of_nobody_stops_the_study_with_the_reason(study: Write, tmp_path: Path) -> None:
    numbers = frame()
    numbers.index = pd.Index(range(60), name="patient_id")
    with pytest.raises(CohortError, match=r"the table of radiomic features \(radiomic.csv\) has none of the study's 60 patients; .*'P-000', .* rows are of nobody in the cohort \('0', "):
        read_features(study(radiomic=numbers), tmp_path, PATIENTS, OUTCOME)


def test_all_problems_of_all_tables_at_once(study: Write, tmp_path: Path) -> None:
    text = "patient_id,a,b,a\nP-000,1,high,2\nP-000,1,2,inf\nP-001,1e400,low,3\n"
    config = study(radiomic=text, deep="patient,a\nP-000,1\n").model_copy(update={"models": ModelsConfig(stability=StabilityConfig(perturbations=2))})
    config = config.model_copy(update={"features": {**config.features, "dlr": Path("x.csv"), "deep-signature": Path("x.csv"), "a/b": Path("x.csv"), "gone": Path("gone.csv")}})
    with pytest.raises(CohortError) as caught:
        read_features(config, tmp_path, PATIENTS, OUTCOME)
    told = str(caught.value)
    for words in (
        "7 problems: ",
        "patient P-000 twice",
        "feature a twice",
        "text in 1 columns that should be numbers: b ('high', patient P-000)",
        "an infinite value: patient P-000, feature a, 2 in all",
        "has no column patient_id; its columns begin ['patient', 'a']",
        "'dlr' cannot be the name of a block; dlr is the name of what is fused",
        "'deep-signature' cannot be the name of a block; such a name is that of a block's signature by itself",
        "'a/b' cannot be the name of a block",
        "gone.csv of block gone cannot be read: it does not exist",
        "models.stability perturbs images, and a study of feature tables (features) has none",
    ):
        assert words in told, f"{words} not in {told}"


def test_blocks_to_be_fused_that_are_not_there(study: Write, tmp_path: Path) -> None:
    config = study(radiomic=frame(), proteins=frame(3, 1))
    assert join_tables(config, tmp_path, PATIENTS, OUTCOME).problems == []
    (problem,) = join_tables(config.model_copy(update={"models": ModelsConfig(fused=("radiomic", "genes"))}), tmp_path, PATIENTS, OUTCOME).problems
    assert problem.startswith("models.fused names genes, which features has not; its blocks are radiomic, proteins")


def test_too_few_events_with_features_of_every_block(study: Write, tmp_path: Path) -> None:
    events = [p for p in IDS[:40] if OUTCOME[p]]
    with pytest.raises(CohortError, match="fewer events than folds: 4 of the training patients have features of every block, 5 folds"):
        read_features(study(radiomic=frame().drop(index=events[4:])), tmp_path, PATIENTS, OUTCOME, 5)


def told(change: Callable[[pd.DataFrame], object], count: int = 6) -> list[str]:
    table = frame(count)
    change(table)
    return suspicions(FeatureTable("radiomic", tuple(table.index), tuple(table.columns), table.to_numpy()), PATIENTS, OUTCOME)


def test_a_sound_table_is_not_suspicious() -> None:
    assert told(lambda t: None, 500) == []


def test_useless_columns_and_copies() -> None:
    def spoil(table: pd.DataFrame) -> None:
        table["f0"] = np.nan
        table.iloc[:40, 1] = 0.0
        table["f3"] = table["f2"]

    assert told(spoil) == [
        "1 of 6 radiomic features have no value for any training patient: f0; models pass over them",
        "1 of 6 radiomic features have one and the same value in all training patients: f1; models pass over them",
        "1 radiomic features are copies of others: f3 is f2; only the first of each is of use",
    ]


def test_a_patient_who_stands_there_twice() -> None:
    def spoil(table: pd.DataFrame) -> None:
        table.loc["P-050"] = table.loc["P-007"]

    assert told(spoil) == ["1 pair of patients have the very same radiomic features: P-050 and P-007; a patient who stands there twice?"]


def test_a_column_that_holds_the_outcome() -> None:
    def score(table: pd.DataFrame) -> None:
        table["f4"] = [5.0 + OUTCOME[p] * 3 + 0.01 * i for i, p in enumerate(IDS)]

    def known_only_after(table: pd.DataFrame) -> None:
        table["f4"] = table["f4"].where([bool(OUTCOME[p]) for p in IDS])

    for change in (score, known_only_after):
        (warning,) = told(change)
        assert warning.startswith("1 of 6 radiomic features predict the outcome of all 40 training patients perfectly: f4; does it hold the outcome")


def test_the_outcome_of_test_patients_is_not_looked_at() -> None:
    table = frame()
    table["f1"] = [OUTCOME[p] if i < 40 else np.random.default_rng(i).normal() for i, p in enumerate(IDS)]
    given = FeatureTable("radiomic", tuple(table.index), tuple(table.columns), table.to_numpy())
    training = {p: OUTCOME[p] for p in IDS[:40]}
    assert suspicions(given, PATIENTS, training) == suspicions(given, PATIENTS, {**dict.fromkeys(IDS, 0), **training}) != []


def test_columns_that_give_split_or_site_away() -> None:
    def spoil(table: pd.DataFrame) -> None:
        table["f0"] = range(60)
        table["f1"] = [p.site == "B" for p in PATIENTS]
        table["f1"] = table["f1"].astype(float)

    split, site = told(spoil)
    assert split.startswith("1 of 6 radiomic features tell the splits apart without error: f0; ")
    assert site.startswith("1 of 6 radiomic features tell a site from the others without error: f1; ")


def test_what_chance_may_do_is_no_suspicion() -> None:
    """Of 3,000 random features some tell 3 events of 12 patients perfectly; with 4 features that would be odd."""
    labels = np.array([1] * 3 + [0] * 9)
    values = np.random.default_rng(0).normal(size=(12, 3000))
    perfect = (values[:3].max(axis=0) < values[3:].min(axis=0)) | (values[:3].min(axis=0) > values[3:].max(axis=0))
    assert 10 < perfect.sum() < 50
    assert not separating(values, labels).any()
    many = np.repeat(labels, 4)
    assert separating(np.column_stack([many + 0.1, -2.0 * many, np.roll(many, 1)]), many).tolist() == [True, True, False]
    three = np.repeat([2, 0, 1], 8)
    assert separating(np.column_stack([three, three == 1, np.where(three == 1, np.nan, three)]).astype(float), three).tolist() == [True, False, False]


def test_sites_with_one_outcome() -> None:
    people = [Patient(f"P{i}", "train", site="ABC"[i % 3]) for i in range(12)]
    outcome = {p.patient_id: int(p.site == "A") for p in people} | {"P1": 1}
    (warning,) = one_sided_sites(people, outcome)
    assert warning.startswith("2 of 3 sites have training patients of one outcome alone: A (4 patients, all 1), C (4 patients, all 0); ")
    assert one_sided_sites(people[::3], outcome) == []
