"""Who is trained on and who is tested on."""

from __future__ import annotations

import math
import re
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sarcofuse.config import SplitConfig
from sarcofuse.records import Split

Moment = tuple[int, ...]
_MOMENT = re.compile(r"(\d{4})(?:\.0)?|(\d{4})[-/.](\d{1,2})|(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})(?:[T ].*)?|(\d{4})(\d{2})(\d{2})")


@dataclass(frozen=True, slots=True)
class Candidate:
    """What a split may depend on.

    Attributes
    ----------
    patient_id : str
        Who.
    group : str
        Rows of one group stay together; the identifier itself for a row alone.
    outcome : int
        0 or 1.
    site : str
        Hospital or scanner.
    moment : tuple of int
        Year, or year and month, or year, month and day; empty where there is none.
    """

    patient_id: str
    group: str
    outcome: int
    site: str = ""
    moment: Moment = ()


def assign_splits(rows: Sequence[Candidate], how: SplitConfig, seed: int) -> tuple[dict[str, Split], list[str]]:
    """Divide patients by share, by site or by time; rows of one group stay together.

    Parameters
    ----------
    rows : sequence of Candidate
        The patients, in any order.
    how : SplitConfig
        Settings; `by` is not ``column``.
    seed : int
        Of the study.

    Returns
    -------
    split : dict of str to {'train', 'internal', 'external'}
        By patient; empty where there are problems.
    problems : list of str
        Why it cannot be done.
    """
    problems: list[str] = []
    away: set[str] = set()
    if how.by == "stratified" and how.internal + how.external >= 1.0:
        problems.append(f"cohort.split.internal and cohort.split.external add up to {how.internal + how.external:g}; expected less than 1")
    if how.by == "site":
        away, problems = _by_site(rows, how)
    if how.by == "time":
        away, problems = _by_time(rows, how)
    if problems:
        return {}, problems
    events: dict[str, int] = {}
    for row in rows:
        if row.group not in away:
            events[row.group] = max(events.get(row.group, 0), row.outcome)
    drawn = draw_split(events, how.internal, how.external if how.by == "stratified" else 0.0, seed)
    return {r.patient_id: drawn.get(r.group, "external") for r in rows}, []


def _by_site(rows: Sequence[Candidate], how: SplitConfig) -> tuple[set[str], list[str]]:
    problems = []
    sites = Counter(r.site for r in rows)
    if not how.external_sites:
        problems.append("cohort.split.by is site, but cohort.split.external_sites names none")
    problems += [f"site {s!r} (cohort.split.external_sites) has no patient; the sites are: {', '.join(sorted(sites))}" for s in how.external_sites if s not in sites]
    away = {r.group for r in rows if r.site in how.external_sites}
    torn = sorted(away & {r.group for r in rows if r.site not in how.external_sites})
    if torn:
        problems.append(f"{_groups(torn)} both in cohort.split.external_sites and elsewhere, and a group stays together; correct cohort.group or the sites, or divide patients by a split column")
    return away, problems


def _by_time(rows: Sequence[Candidate], how: SplitConfig) -> tuple[set[str], list[str]]:
    """Give the groups whose first moment is not before the cut."""
    cut = moment(how.cut or "")
    if cut is None:
        found = "there is none" if how.cut is None else f"found {how.cut!r}"
        return set(), [f"cohort.split.by is time, and cohort.split.cut must be a year, month or date such as 2019, 2019-07 or 2019-07-01; {found}"]
    vague = [r.patient_id for r in rows if len(r.moment) < len(cut) and r.moment == cut[: len(r.moment)]]
    if vague:
        return set(), [f"the cut {how.cut} (cohort.split.cut) lies within what column {how.date!r} says of {len(vague)} patients ({', '.join(vague[:5])}); give finer dates, or a coarser cut"]
    first: dict[str, Moment] = {}
    for row in rows:
        first[row.group] = min(first.get(row.group, row.moment), row.moment)
    away = {g for g, m in first.items() if m >= cut}
    if not away:
        return set(), [f"nobody is from {how.cut} or later (cohort.split.cut), so that the external split is empty; the last is {_written(max(first.values(), default=()))}"]
    return away, []


def torn_groups(split: Mapping[str, Split], group: Mapping[str, str]) -> list[str]:
    """Find groups of which some rows are trained on and others tested on.

    Parameters
    ----------
    split : mapping of str to str
        Split by patient.
    group : mapping of str to str
        Group by patient.

    Returns
    -------
    list of str
        Problems in words, at most one.
    """
    seen: dict[str, set[str]] = {}
    for patient, name in group.items():
        seen.setdefault(name, set()).add(split[patient])
    torn = sorted(g for g, splits in seen.items() if len(splits) > 1)
    return [f"{_groups(torn)} in more than one split; rows of one group (cohort.group) belong into one, or the test knows the patient from the training"] if torn else []


def _groups(names: Sequence[str]) -> str:
    listed = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
    return f"group {listed} is" if len(names) == 1 else f"{len(names)} groups ({listed}) are"


def moment(text: str) -> Moment | None:
    """Read a year, month or date; what could mean two things is not read.

    Parameters
    ----------
    text : str
        ``2019``, ``2019-07``, ``2019-07-01``, ``2019/07/01``, ``20190701``, with or without a time of day.

    Returns
    -------
    tuple of int or None
        Year, month and day as far as they are there; None where it is none of these.

    Examples
    --------
    >>> moment("2019"), moment("2019-07-01 10:30"), moment("01.07.2019")
    ((2019,), (2019, 7, 1), None)
    """
    found = _MOMENT.fullmatch(text.strip())
    if found is None:
        return None
    parts = tuple(int(g) for g in found.groups() if g is not None)
    good = 1 <= (parts[1] if len(parts) > 1 else 1) <= 12 and 1 <= (parts[2] if len(parts) > 2 else 1) <= 31
    return parts if good else None


def _written(when: Moment) -> str:
    return "-".join(f"{p:02d}" for p in when) or "not known"


def draw_split(outcome: Mapping[str, int], internal: float, external: float, seed: int) -> dict[str, Split]:
    """Draw test patients at random, keeping the share of events.

    Every patient draws a number that depends on the seed and the identifier alone; within each class those of the smallest numbers
    become external, the next ones internal, the others training. So neither the order of rows nor the number of workers matters.

    Parameters
    ----------
    outcome : mapping of str to int
        Outcome by patient, or by group of rows that stay together.
    internal, external : float
        Shares to draw, 0 to 1.
    seed : int
        Of the study.

    Returns
    -------
    dict of str to {'train', 'internal', 'external'}
        Split by patient.
    """
    split: dict[str, Split] = {}
    for value in sorted(set(outcome.values())):
        members = sorted((p for p, v in outcome.items() if v == value), key=lambda p: (_draw(seed, p), p))
        away, inside = (_share(len(members), s) for s in (external, internal))
        for rank, patient in enumerate(members):
            split[patient] = "external" if rank < away else "internal" if rank < away + inside else "train"
    return split


def _draw(seed: int, patient_id: str) -> float:
    return float(np.random.default_rng([seed, zlib.crc32(patient_id.encode("utf8"))]).random())


def _share(count: int, share: float) -> int:
    return min(count, max(1, math.floor(count * share + 0.5))) if share > 0 else 0
