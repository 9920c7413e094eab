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


def by_time(cut: str | None, **more: object) -> CohortConfig:
    return CohortConfig.model_validate({"split": {"by": "time", "date": "operated", "cut": cut, "internal": 0.0, **more}})


def dated(rows: Rows, dates: list[str]) -> None:
    for i, (row, when) in enumerate(zip(rows, dates * len(rows), strict=False)):
        row.update(operated=when, recurrence=str(i // len(dates) % 2))


OPERATED = ("patient_id", "image", "recurrence", "operated", "patient")


@pytest.mark.parametrize(
    ("dates", "cut", "external"),
    [
        (["2018", "2019", "2020"], "2019", {1, 2}),
        (["2018-12-31", "2019-01-01", "2018-01-01"], "2019", {1}),
        (["20190630", "2019/07/01 08:00", "2019-07-02"], "2019-07-01", {1, 2}),
        (["2018", "2019.0", "2017"], 2019, {1}),
    ],
)
def test_a_cut_in_time(folder: Path, table: Table, dates: list[str], cut: str, external: set[int]) -> None:
    table(lambda rows: dated(rows, dates), columns=OPERATED)
    found = splits(read_cohort(by_time(cut), folder, 0))
    assert {p for p, s in found.items() if s == "external"} == {f"P-{i:02d}" for i in range(24) if i % 3 in external}
    assert set(found.values()) == {"train", "external"}
    drawn = splits(read_cohort(by_time(cut, internal=0.3), folder, 0))
    assert {p for p, s in drawn.items() if s == "external"} == {p for p, s in found.items() if s == "external"}
    assert Counter(drawn.values())["internal"] > 0


def test_dates_that_cannot_be_read_or_are_too_coarse(folder: Path, table: Table) -> None:
    table(lambda rows: dated(rows, ["2018-05-01", "2020-05-01", "2017-01-01", "2021-02-03"]) or rows[3].update(operated="01.07.2019"), columns=OPERATED)
    cohort = read_cohort(by_time("2019"), folder, 0)
    ((who, why),) = [(s.patient_id, s.reason) for s in cohort.set_aside]
    assert (who, why) == ("P-03", "no date that can be read: column 'operated' says '01.07.2019'; expected a year, month or date such as 2019, 2019-07 or 2019-07-01")
    table(lambda rows: dated(rows, ["2018", "2019", "2020"]), columns=OPERATED)
    with pytest.raises(CohortError, match=r"the cut 2019-07 \(cohort.split.cut\) lies within what column 'operated' says of 8 patients \(P-01, P-04"):
        read_cohort(by_time("2019-07"), folder, 0)
    with pytest.raises(CohortError, match=r"nobody is from 2023 or later \(cohort.split.cut\), so that the external split is empty; the last is 2020"):
        read_cohort(by_time("2023"), folder, 0)
    for cut, found in (("summer", "found 'summer'"), (None, "there is none")):
        with pytest.raises(CohortError, match=f"must be a year, month or date .*; {found}"):
            read_cohort(by_time(cut), folder, 0)
    with pytest.raises(CohortError, match=r"no column 'date' \(cohort.split.date\)"):
        read_cohort(by_time("2019", date="date"), folder, 0)


def together(rows: Rows) -> None:
    """Rows of two: P-00 and P-01 are one patient, and so on; the last two stand alone."""
    for i, row in enumerate(rows[:-2]):
        row["patient"] = f"S{i // 2}"


@pytest.mark.parametrize("how", [{"by": "stratified", "internal": 0.3, "external": 0.2}, {"by": "time", "date": "operated", "cut": "2019", "internal": 0.3}])
def test_rows_of_one_patient_stay_together(folder: Path, table: Table, how: dict[str, object]) -> None:
    table(lambda rows: together(rows) or dated(rows, ["2018", "2018", "2018", "2020", "2020", "2020"]), columns=OPERATED)
    cohort = read_cohort(CohortConfig.model_validate({"group": "patient", "split": how}), folder, 5)
    found = splits(cohort)
    assert set(found.values()) == {"train", "internal", "external"}
    for i in range(0, 22, 2):
        assert found[f"P-{i:02d}"] == found[f"P-{i + 1:02d}"], i
    assert cohort.groups == {f"P-{i:02d}": f"S{i // 2}" if i < 22 else f"P-{i:02d}" for i in range(24)}
    if how["by"] == "time":  # rows 2 and 3 are of one patient, who was first seen before the cut
        assert found["P-03"] != "external"
        assert found["P-04"] == "external"


def test_groups_of_one_change_no_drawn_split(folder: Path, table: Table) -> None:
    table(lambda rows: [r | {"patient": r["patient_id"]} for r in rows])
    alone = splits(read_cohort(CohortConfig(split=SplitConfig(by="stratified", internal=0.25)), folder, 3))
    table(lambda rows: [r | {"patient": r["patient_id"]} for r in rows], columns=[*OPERATED[:3], "patient"])
    cohort = read_cohort(CohortConfig(group="patient", split=SplitConfig(by="stratified", internal=0.25)), folder, 3)
    assert splits(cohort) == alone


def test_a_group_in_two_splits_is_an_error(folder: Path, table: Table) -> None:
    table(lambda rows: [r | {"patient": f"S{i % 20}"} for i, r in enumerate(rows)], columns=[*OPERATED[:3], "split", "patient"])
    with pytest.raises(CohortError, match=r"4 groups \(S0, S1, S2, S3\) are in more than one split; .* or the test knows the patient from the training"):
        read_cohort(CohortConfig(group="patient"), folder, 0)
    table(lambda rows: [r | {"patient": "S"} if i in (0, 23) else r for i, r in enumerate(rows)], columns=[*OPERATED[:3], "site", "patient"])
    with pytest.raises(CohortError, match=r"group S is both in cohort.split.external_sites and elsewhere"):
        read_cohort(CohortConfig(group="patient", split=SplitConfig(by="site", external_sites=("B",))), folder, 0)


def test_follow_up_times_of_test_patients_are_kept_for_the_evaluation(folder: Path, table: Table) -> None:
    table(lambda rows: [r | {"months": str(10 + i) if i else ""} for i, r in enumerate(rows)], columns=["patient_id", "image", "recurrence", "split", "months"])
    cohort = read_cohort(CohortConfig(time="months"), folder, 0)
    assert cohort.outcomes.times == {f"P-{i:02d}": 10.0 + i for i in range(1, 16)}
    assert any("missing or not a positive number for 1 of 24 patients" in w for w in cohort.warnings)
    assert cohort.outcomes.open_times() == {f"P-{i:02d}": 10.0 + i for i in range(1, 24)}


def test_competing_deaths(folder: Path, table: Table) -> None:
    def write(deaths: dict[int, str]) -> None:
        table(lambda rows: [r | {"months": "12", "died": deaths.get(i, "")} for i, r in enumerate(rows)], columns=["patient_id", "image", "recurrence", "split", "months", "died"])

    config = CohortConfig(time="months", competing="died")
    write({})
    outcome = read_cohort(config, folder, 0).outcomes
    free = [int(p[2:]) for p, y in {**outcome.training, **outcome.open("test")}.items() if y == 0]
    taken = next(int(p[2:]) for p, y in outcome.training.items() if y == 1)
    write({free[0]: "1", free[1]: "0"})
    assert read_cohort(config, folder, 0).outcomes.open_competing() == {f"P-{free[0]:02d}"}
    write({taken: "1"})
    with pytest.raises(CohortError, match=rf"patient P-{taken:02d} has both the event and a competing death \(column 'died'\); expected the one that came first"):
        read_cohort(config, folder, 0)
    write({free[0]: "yes"})
    with pytest.raises(CohortError, match=rf"patient P-{free[0]:02d}: competing death \(column 'died'\) must be 0 or 1, found 'yes'"):
        read_cohort(config, folder, 0)
    with pytest.raises(CohortError, match=r"column 'died' is the competing death and must not be a clinical variable"):
        read_cohort(config.model_copy(update={"clinical": ("died",)}), folder, 0)
