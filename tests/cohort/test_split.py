"""Drawing splits: by share, by site, whatever the order of rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from sarcofuse.cohort import read_cohort
from sarcofuse.cohort.split import draw_split
from sarcofuse.config import CohortConfig, SplitConfig
from sarcofuse.errors import CohortError
from sarcofuse.records import Cohort
from tests.cohort.conftest import Rows

OUTCOME = {f"P{i:03d}": int(i % 4 == 0) for i in range(200)}
Table = Callable[..., Path]


def splits(cohort: Cohort) -> dict[str, str]:
    return {p.patient_id: p.split for p in cohort.patients}


def test_shares_hold_in_both_classes() -> None:
    drawn = draw_split(OUTCOME, 0.2, 0.1, 7)
    assert Counter((drawn[p], v) for p, v in OUTCOME.items()) == {
        ("train", 0): 105, ("train", 1): 35, ("internal", 0): 30, ("internal", 1): 10, ("external", 0): 15, ("external", 1): 5,
    }  # fmt: skip


def test_the_order_of_patients_does_not_matter_and_the_seed_does() -> None:
    drawn = draw_split(OUTCOME, 0.2, 0.1, 7)
    assert draw_split(dict(reversed(OUTCOME.items())), 0.2, 0.1, 7) == drawn
    assert draw_split(OUTCOME, 0.2, 0.1, 8) != drawn


def test_draws_are_random() -> None:
    """Over 400 seeds a patient is internal about as often as the share says."""
    small = dict(list(OUTCOME.items())[:40])
    hits = sum(draw_split(small, 0.25, 0.0, seed)["P001"] == "internal" for seed in range(400))
    assert 400 * 0.27 - 4 * 8.9 < hits < 400 * 0.27 + 4 * 8.9


def test_small_classes_get_at_least_one() -> None:
    drawn = draw_split({f"P{i}": int(i < 3) for i in range(20)}, 0.1, 0.1, 0)
    assert {drawn[f"P{i}"] for i in range(3)} == {"train", "internal", "external"}


def test_a_stratified_study(folder: Path, table: Table) -> None:
    config = CohortConfig(split=SplitConfig(by="stratified", internal=0.25))
    table(columns=["patient_id", "image", "recurrence"])
    drawn = splits(read_cohort(config, folder, 3))
    assert Counter(drawn.values()) == {"train": 18, "internal": 6}
    table(lambda rows: rows[::-1], columns=["recurrence", "image", "patient_id"])
    assert splits(read_cohort(config, folder, 3)) == drawn


def test_shares_that_leave_nobody_to_train_on(folder: Path, table: Table) -> None:
    table()
    with pytest.raises(CohortError, match=r"add up to 1\.2; expected less than 1"):
        read_cohort(CohortConfig(split=SplitConfig(by="stratified", internal=0.6, external=0.6)), folder, 0)


def test_a_site_as_the_external_split(folder: Path, table: Table) -> None:
    table()
    cohort = read_cohort(CohortConfig(split=SplitConfig(by="site", internal=0.2, external_sites=("B",))), folder, 0)
    assert all((p.split == "external") == (p.site == "B") for p in cohort.patients)
    assert Counter(p.split for p in cohort.patients) == {"train": 16, "internal": 4, "external": 4}


def test_sites_that_do_not_exist_or_are_not_told(folder: Path, table: Table) -> None:
    table()
    with pytest.raises(CohortError, match=r"site 'C' \(cohort\.split\.external_sites\) has no patient; the sites are: A, B"):
        read_cohort(CohortConfig(split=SplitConfig(by="site", external_sites=("B", "C"))), folder, 0)
    with pytest.raises(CohortError, match=r"external_sites names none"):
        read_cohort(CohortConfig(split=SplitConfig(by="site")), folder, 0)

    def forget(rows: Rows) -> None:
        rows[0]["site"] = ""

    table(forget)
    cohort = read_cohort(CohortConfig(split=SplitConfig(by="site", external_sites=("B",))), folder, 0)
    assert [s.reason for s in cohort.set_aside] == ["no site: column 'site' is empty, and the split goes by site"]
