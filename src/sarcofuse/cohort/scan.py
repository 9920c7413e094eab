"""cohort.csv, checked: patients, outcomes, rows set aside, and every problem of the table as a whole."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from sarcofuse.cohort.prompt import read_prompt
from sarcofuse.cohort.split import Candidate, Moment, assign_splits, moment, torn_groups
from sarcofuse.cohort.text import TextTable, missing, number, read_text, with_point
from sarcofuse.config import CohortConfig
from sarcofuse.errors import CohortError
from sarcofuse.records import SPLITS, Patient, Prompt, SetAside, Split

STAGE = "cohort"
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f-\x9f/\\:*?\"<>|]")
_LONGEST = 100


@dataclass
class Scan:
    """What a table holds.

    Attributes
    ----------
    patients : list of Patient
        In order of patient_id.
    outcome : dict of str to int
        Of these patients; empty where it was not wanted.
    set_aside : list of SetAside
        Rows that cannot be used.
    problems : list of str
        Of the table as a whole; a study cannot start with any.
    warnings : list of str
        What a careful reader should know.
    groups : dict of str to str
        What each patient's row belongs to; empty where the table has no such column.
    times : dict of str to float
        Follow-up time in months, of those who have one; empty where the table has no such column.
    competing : set of str
        Patients whose follow-up ended with a death of something else.
    """

    patients: list[Patient] = field(default_factory=list)
    outcome: dict[str, int] = field(default_factory=dict)
    set_aside: list[SetAside] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    groups: dict[str, str] = field(default_factory=dict)
    times: dict[str, float] = field(default_factory=dict)
    competing: set[str] = field(default_factory=set)


@dataclass
class _Row:
    patient_id: str
    cells: dict[str, str]
    image: Path | None = None
    mask: Path | None = None
    prompt: Prompt | None = None
    outcome: int | None = None
    split: Split | None = None
    moment: Moment = ()


def scan_table(config: CohortConfig, folder: Path, seed: int, *, imaging: bool = True, outcomes: bool = True, folds: int = 2) -> Scan:
    """Read and check a table; nothing is raised but for a file that is no table.

    Parameters
    ----------
    config : CohortConfig
        Where the table is and what its columns are called.
    folder : Path
        Folder of study.yaml.
    seed : int
        Of the study.
    imaging : bool
        Whether images are needed.
    outcomes : bool
        Whether outcome and split are needed; without, everybody is external.
    folds : int
        Training patients of each class that there must be at least.

    Returns
    -------
    Scan
        What was found.

    Raises
    ------
    CohortError
        If the file is absent or is no table.
    """
    file = folder / config.file
    table = read_text(file)
    scan = Scan(problems=_columns(table, config, imaging=imaging, outcomes=outcomes))
    if config.patient_id not in table.columns:
        return scan
    scan.problems += _duplicates(table, config)
    rows: list[_Row] = []
    for position, cells in enumerate(table.rows):
        row = _Row(cells[config.patient_id], cells)
        reason = ragged(table, position) or _examine(row, config, file.parent, imaging=imaging, outcomes=outcomes and config.outcome in table.columns, decimal_comma=table.decimal_comma)
        if reason is None:
            rows.append(row)
        else:
            scan.set_aside.append(SetAside(row.patient_id or f"row {table.lines[position]}", STAGE, reason))
    if not scan.problems:
        alone: dict[str, Split] = {r.patient_id: "external" for r in rows}
        split = _split(rows, config, seed, scan) if outcomes else alone
        _finish(scan, rows, split, table, config, outcomes=outcomes)
        if outcomes:
            _classes(scan, split, folds)
    else:
        once = {r.patient_id: Patient(r.patient_id, r.split or "train", r.image, r.mask, prompt=r.prompt) for r in reversed(rows)}
        scan.patients = [once[name] for name in sorted(once)]
    scan.set_aside.sort(key=lambda s: s.patient_id)
    return scan


def _columns(table: TextTable, config: CohortConfig, *, imaging: bool, outcomes: bool) -> list[str]:
    """Name the columns that are wanted and absent, and those that must not be clinical variables."""
    wanted = {"cohort.patient_id": config.patient_id}
    if imaging:
        wanted["cohort.image"] = config.image
    if outcomes:
        wanted["cohort.outcome"] = config.outcome
        if config.split.by == "column":
            wanted["cohort.split_column"] = config.split_column
        if config.split.by == "site":
            wanted["cohort.site"] = config.site
        if config.split.by == "time":
            wanted["cohort.split.date"] = config.split.date or ""
        if config.group is not None:
            wanted["cohort.group"] = config.group
        if config.time is not None:
            wanted["cohort.time"] = config.time
        if config.competing is not None:
            wanted["cohort.competing"] = config.competing
    pairs = [*wanted.items(), *(("cohort.clinical", c) for c in config.clinical)]
    listed = ", ".join(table.columns[:20]) + (", ..." if len(table.columns) > 20 else "")
    found = []
    for setting, name in pairs:
        if name not in table.columns:
            near = difflib.get_close_matches(name, table.columns, n=1) or [c for c in table.columns if c.lower() == name.lower()]
            hint = f"; did you mean {near[0]!r}?" if near else ""
            found.append(f"there is no column {name!r} ({setting}){hint} The columns are: {listed}" if hint else f"there is no column {name!r} ({setting}); the columns are: {listed}")
    sealed = {config.outcome: "the outcome", config.patient_id: "the identifier", config.split_column: "the split"} | ({config.time: "the follow-up time"} if config.time else {})
    sealed |= {config.competing: "the competing death"} if config.competing else {}
    sealed |= {config.box: "a box that steers masks", config.click: "a click that steers masks", config.rough_mask: "a rough mask that steers masks"}
    found += [f"column {c!r} is {sealed[c]} and must not be a clinical variable (cohort.clinical)" for c in config.clinical if c in sealed]
    return found


def _duplicates(table: TextTable, config: CohortConfig) -> list[str]:
    at: dict[str, list[int]] = {}
    for line, cells in zip(table.lines, table.rows, strict=True):
        name = cells[config.patient_id]
        if name:
            at.setdefault(name.casefold(), []).append(line)
    names = {r[config.patient_id].casefold(): r[config.patient_id] for r in table.rows}
    return [f"patient_id {names[k]!r} stands there twice or more (lines {', '.join(map(str, v))}); expected every patient once" for k, v in sorted(at.items()) if len(v) > 1]


def ragged(table: TextTable, position: int) -> str | None:
    """Say what is wrong with a row of too many or too few cells.

    Parameters
    ----------
    table : TextTable
        The table.
    position : int
        Which row.

    Returns
    -------
    str or None
        None for a row that fits the header.
    """
    if position not in table.ragged:
        return None
    return f"row with a wrong number of cells: line {table.lines[position]} has {table.ragged[position]}, the header {len(table.columns)}. Quote cells that hold the separator"


def _examine(row: _Row, config: CohortConfig, folder: Path, *, imaging: bool, outcomes: bool, decimal_comma: bool) -> str | None:
    """Fill in a row; give the reason why it cannot be used, if there is one."""
    checks: list[Callable[[], str | None]] = [lambda: unusable(row.patient_id)]
    if outcomes:
        checks.append(lambda: _outcome(row, config))
        if config.split.by == "column" and config.split_column in row.cells:
            checks.append(lambda: _split_value(row, config))
        if config.split.by == "time" and config.split.date in row.cells:
            checks.append(lambda: _moment(row, config))
        if config.split.by == "site" and config.site in row.cells:
            checks.append(lambda: None if row.cells[config.site] else f"no site: column {config.site!r} is empty, and the split goes by site")
    if imaging and config.image in row.cells:
        checks.append(lambda: _files(row, config, folder))
        checks.append(lambda: _prompt(row, config, folder, decimal_comma=decimal_comma))
    return next((reason for check in checks if (reason := check()) is not None), None)


def unusable(name: str) -> str | None:
    """Say why a patient_id cannot be used; files are named after it.

    Parameters
    ----------
    name : str
        The identifier.

    Returns
    -------
    str or None
        None for one that can be used.

    Examples
    --------
    >>> unusable("P-017") is None
    True
    """
    if not name:
        return "no patient_id: the cell is empty"
    bad = _FORBIDDEN.search(name)
    if bad is not None or name.startswith(".") or name.endswith("."):
        what = repr(bad.group()) if bad is not None else "a dot at an end"
        return f"unusable patient_id: it holds {what}; expected letters, digits, blanks, dashes and the like, since files are named after it"
    if len(name) > _LONGEST:
        return f"unusable patient_id: {len(name)} characters; expected at most {_LONGEST}"
    return None


def _outcome(row: _Row, config: CohortConfig) -> str | None:
    text = row.cells[config.outcome]
    if missing(text):
        return f"outcome missing: column {config.outcome!r} is empty; expected 0 or 1"
    value = number(text)
    if value not in (0.0, 1.0):
        return f"outcome not 0 or 1: column {config.outcome!r} says {text!r}"
    row.outcome = int(value)
    return None


def _split_value(row: _Row, config: CohortConfig) -> str | None:
    text = row.cells[config.split_column].lower()
    for split in SPLITS:
        if text == split:
            row.split = split
            return None
    near = difflib.get_close_matches(text, SPLITS, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"unknown split value: column {config.split_column!r} says {row.cells[config.split_column]!r}; expected train, internal or external{hint}"


def _moment(row: _Row, config: CohortConfig) -> str | None:
    text = row.cells[str(config.split.date)]
    found = None if missing(text) else moment(text)
    if found is None:
        return f"no date that can be read: column {config.split.date!r} says {text!r}; expected a year, month or date such as 2019, 2019-07 or 2019-07-01"
    row.moment = found
    return None


def _files(row: _Row, config: CohortConfig, folder: Path) -> str | None:
    text = row.cells[config.image]
    if missing(text):
        return f"no image: column {config.image!r} is empty"
    row.image = folder / text
    if not row.image.exists():
        return f"image does not exist: {text}"
    mask = row.cells.get(config.mask, "")
    if missing(mask):
        return None
    row.mask = folder / mask
    if not row.mask.is_file():
        return f"mask is a folder, expected one file: {mask}" if row.mask.is_dir() else f"mask does not exist: {mask}"
    return None


def _prompt(row: _Row, config: CohortConfig, folder: Path, *, decimal_comma: bool) -> str | None:
    columns = (config.box, config.click, config.rough_mask)
    try:
        row.prompt = read_prompt([row.cells.get(c, "") for c in columns], folder, [f"column {c!r}" for c in columns], decimal_comma=decimal_comma)
    except CohortError as error:
        return f"unusable prompt: {error}"
    if row.prompt is not None and row.prompt.rough is not None and not row.prompt.rough.is_file():
        return f"rough mask does not exist: {row.cells[config.rough_mask]}"
    return None


def _split(rows: list[_Row], config: CohortConfig, seed: int, scan: Scan) -> dict[str, Split]:
    group = {r.patient_id: r.cells[config.group] or r.patient_id if config.group is not None else r.patient_id for r in rows}
    if config.group is not None:
        scan.groups = dict(sorted(group.items()))
    if config.split.by != "column":
        split, problems = assign_splits([Candidate(r.patient_id, group[r.patient_id], r.outcome or 0, r.cells.get(config.site, ""), r.moment) for r in rows], config.split, seed)
        scan.problems += problems
        return split
    given: dict[str, Split] = {r.patient_id: r.split or "train" for r in rows}
    scan.problems += torn_groups(given, group)
    return given


def _finish(scan: Scan, rows: list[_Row], split: dict[str, Split], table: TextTable, config: CohortConfig, *, outcomes: bool) -> None:
    """Make the patients; whether a clinical column holds numbers is decided by training patients alone (in prediction cells stay text, since training has decided)."""
    numeric = {}
    for name in config.clinical:
        deciding = [r for r in rows if split.get(r.patient_id) == "train"]
        numeric[name] = outcomes and all(number(r.cells[name], decimal_comma=table.decimal_comma) is not None for r in deciding if not missing(r.cells[name]))
    unread: Counter[str] = Counter()
    for row in sorted(rows, key=lambda r: r.patient_id):
        clinical: dict[str, float | str | None] = {}
        for name in config.clinical:
            text = row.cells[name]
            value = None if missing(text) else number(text, decimal_comma=table.decimal_comma) if numeric[name] else text if outcomes else with_point(text, decimal_comma=table.decimal_comma)
            unread[name] += value is None and not missing(text)
            clinical[name] = value
        scan.patients.append(Patient(row.patient_id, split.get(row.patient_id, "train"), row.image, row.mask, row.cells.get(config.site, ""), clinical, row.prompt))
        if row.outcome is not None:
            scan.outcome[row.patient_id] = row.outcome
    scan.warnings += [f"clinical column {n!r} holds numbers in training; {c} test value{'s' if c > 1 else ''} that are no numbers count as missing" for n, c in unread.items() if c]
    if config.time is not None and config.time in table.columns:
        read = {r.patient_id: number(r.cells[config.time], decimal_comma=table.decimal_comma) for r in rows}
        scan.times = {p: t for p, t in sorted(read.items()) if t is not None and t > 0}
        odd = len(rows) - len(scan.times)
        if odd:
            scan.warnings.append(f"follow-up time (column {config.time!r}) is missing or not a positive number for {odd} of {len(rows)} patients")
    if config.competing is not None and config.competing in table.columns:
        _competing(scan, rows, table, config.competing)


def _competing(scan: Scan, rows: list[_Row], table: TextTable, column: str) -> None:
    """Read who died of something else; nobody can have that and the event, as follow-up ends with whichever comes first."""
    for row in rows:
        text = row.cells[column]
        value = None if missing(text) else number(text, decimal_comma=table.decimal_comma)
        if not missing(text) and value not in (0.0, 1.0):
            scan.problems.append(f"patient {row.patient_id}: competing death (column {column!r}) must be 0 or 1, found {text!r}")
        elif value == 1.0 and row.outcome == 1:
            scan.problems.append(f"patient {row.patient_id} has both the event and a competing death (column {column!r}); expected the one that came first")
        elif value == 1.0:
            scan.competing.add(row.patient_id)


def _classes(scan: Scan, split: dict[str, Split], folds: int) -> None:
    """Check that there is something to learn from and something to test on."""
    members = {s: [p for p, v in split.items() if v == s] for s in SPLITS}
    if not members["train"]:
        scan.problems.append("the training split is empty: no usable row says train")
    for name in SPLITS:
        seen = {scan.outcome[p] for p in members[name] if p in scan.outcome}
        if len(seen) == 1:
            scan.problems.append(f"only one class in the {name} split: all {len(members[name])} patients have outcome {seen.pop()}; expected both 0 and 1")
    training = {scan.groups.get(p, p): 0 for p in members["train"] if p in scan.outcome}
    for patient in members["train"]:
        if scan.outcome.get(patient):
            training[scan.groups.get(patient, patient)] = 1
    classes = Counter(training.values())
    if len(classes) == 2 and min(classes.values()) < folds:
        rare = min(classes, key=lambda v: (classes[v], -v))
        kind = "events" if rare == 1 else "patients without the event"
        found = f"{classes[rare]}{' groups' if scan.groups else ''} in the training split, {folds} folds"
        scan.problems.append(f"fewer {kind} than folds: {found}; expected at least one a fold. Set fewer folds, or train on more patients")
    if not members["internal"] and not members["external"]:
        scan.warnings.append("no patient is kept for testing: every figure is from cross-validation within the training split")


def raise_problems(scan: Scan, file: Path) -> None:
    """Raise one error that lists every problem of a table, if there is any.

    Parameters
    ----------
    scan : Scan
        What was found.
    file : Path
        The table.

    Raises
    ------
    CohortError
        If there are problems.
    """
    if scan.problems:
        count = "" if len(scan.problems) == 1 else f"{len(scan.problems)} problems: "
        message = f"{file}: {count}" + "; ".join(scan.problems)
        raise CohortError(message)
