"""Feature tables of a study, joined with its patients; every mismatch is told, and nothing is guessed."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sarcofuse.cohort.suspect import suspicions
from sarcofuse.config import ModelsConfig, StudyConfig
from sarcofuse.errors import CohortError
from sarcofuse.records import FeatureTable, Patient, SetAside, block_alone
from sarcofuse.runtime import read_table

STAGE = "features"
FUSED = "dlr"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
SHOWN = 5


@dataclass
class Joined:
    """Feature tables beside the patients of a study.

    Attributes
    ----------
    tables : dict of str to FeatureTable
        By block, the rows of patients of the study, in order of patient_id.
    set_aside : list of SetAside
        Patients without a row in some block.
    problems : list of str
        What stops a study.
    warnings : list of str
        What a careful reader should know.
    """

    tables: dict[str, FeatureTable] = field(default_factory=dict)
    set_aside: list[SetAside] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def join_tables(config: StudyConfig, folder: Path, patients: Sequence[Patient], outcome: Mapping[str, int], folds: int = 2) -> Joined:
    """Read all feature tables of a study and join them with its patients by identifier.

    Parameters
    ----------
    config : StudyConfig
        The study.
    folder : Path
        Folder of study.yaml.
    patients : sequence of Patient
        The study's patients.
    outcome : mapping of str to int
        Outcome of the training patients at least; of others it is not looked at.
    folds : int
        Training patients of each class that there must be at least.

    Returns
    -------
    Joined
        Tables, and everything that is wrong with them.
    """
    found = Joined()
    if config.models.stability.perturbations:
        found.problems.append("models.stability perturbs images, and a study of feature tables (features) has none; set models.stability.perturbations: 0")
    absent = sorted(set(config.models.fused) - set(config.features))
    if absent and config.models.fused != ModelsConfig().fused:
        found.problems.append(f"models.fused names {', '.join(absent)}, which features has not; its blocks are {', '.join(config.features)}. Clinical variables join with models.fuse_clinical: true")
    for block, file in config.features.items():
        if not _NAME.fullmatch(block) or block == FUSED or block_alone(block):
            taken = f"{FUSED} is the name of what is fused" if block == FUSED else "such a name is that of a block's signature by itself"
            why = taken if _NAME.fullmatch(block) else "expected letters, digits, dashes, dots and underscores: files are named after it"
            found.problems.append(f"features: {block!r} cannot be the name of a block; {why}")
            continue
        try:
            table = read_table(folder / file, block)
        except CohortError as error:
            found.problems.append(str(error))
            continue
        _join(table, (folder / file).name, patients, found)
    if not found.problems:
        _check_training(found, patients, outcome, folds)
    for table in found.tables.values():
        found.warnings += suspicions(table, patients, outcome)
    return found


def _join(table: FeatureTable, file: str, patients: Sequence[Patient], found: Joined) -> None:
    there, wanted = set(table.patient_ids), {p.patient_id for p in patients}
    absent, nobody = sorted(wanted - there), sorted(there - wanted)
    near = near_matches(absent, nobody)
    if not wanted & there:
        found.problems.append(f"the table of {table.block} features ({file}) has none of the study's {len(wanted)} patients; {_mismatch(absent, nobody, near)}")
        return
    if nobody and absent:
        found.warnings.append(f"{table.block} features ({file}): {_mismatch(absent, nobody, near)}")
    elif nobody:
        found.warnings.append(f"{table.block} features ({file}): {len(nobody)} rows are of nobody in the cohort and are passed over: {_some(nobody)}")
    for patient in absent:
        hint = f"; it has {near[patient][0]!r}, which differs in {near[patient][1]}: write both alike if they are the same" if patient in near else ""
        found.set_aside.append(SetAside(patient, STAGE, f"is not in the table of {table.block} features ({file}){hint}"))
    if nobody:
        kept = tuple(p for p in table.patient_ids if p in wanted)
        table = FeatureTable(table.block, kept, table.names, table.rows(kept))
    found.tables[table.block] = table


def _mismatch(absent: Sequence[str], nobody: Sequence[str], near: Mapping[str, tuple[str, str]]) -> str:
    text = f"{len(absent)} of the cohort are not there ({_some(absent)}), {len(nobody)} rows are of nobody in the cohort ({_some(nobody)})"
    if near:
        shown = [f"{a!r} is {b!r} there ({how})" for a, (b, how) in list(near.items())[:SHOWN]]
        text += f"; {len(near)} would match but for their spelling: {', '.join(shown)}{', ...' if len(near) > SHOWN else ''}. Nothing was guessed: write them alike"
    return text


def near_matches(absent: Iterable[str], nobody: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Pair identifiers that differ in case, blanks, leading zeros or a trailing ``.0`` alone.

    Parameters
    ----------
    absent : iterable of str
        Identifiers that were looked for.
    nobody : iterable of str
        Identifiers that were found and not looked for.

    Returns
    -------
    dict of str to (str, str)
        For each of `absent` that has exactly one counterpart: that, and in what they differ.

    Examples
    --------
    >>> near_matches(["P-7", "12"], ["p-007", "12.0"])
    {'P-7': ('p-007', 'case and leading zeros'), '12': ('12.0', 'a decimal point')}
    """
    candidates: dict[str, list[str]] = {}
    for name in nobody:
        candidates.setdefault(_plainly(name), []).append(name)
    found = {}
    for name in absent:
        other = candidates.get(_plainly(name), [])
        if len(other) == 1:
            found[name] = (other[0], _difference(name, other[0]))
    return found


_STEPS = (
    ("case", str.casefold),
    ("blanks", lambda t: re.sub(r"\s+", "", t)),
    ("a decimal point", lambda t: re.sub(r"(?<=\d)\.0+$", "", t)),
    ("leading zeros", lambda t: re.sub(r"(?<!\d)0+(?=\d)", "", t)),
    ("the form of characters", lambda t: unicodedata.normalize("NFKC", t)),
)


def _plainly(name: str) -> str:
    for _, step in reversed(_STEPS):
        name = step(name)
    return name


def _difference(one: str, other: str) -> str:
    """Say which steps it takes to make two identifiers alike."""
    needed = []
    for left_out, _ in _STEPS:
        a, b = one, other
        for word, step in reversed(_STEPS):
            if word != left_out:
                a, b = step(a), step(b)
        if a != b:
            needed.append(left_out)
    return " and ".join(needed) or "spelling"


def _some(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:SHOWN])) + (", ..." if len(names) > SHOWN else "")


def _check_training(found: Joined, patients: Sequence[Patient], outcome: Mapping[str, int], folds: int) -> None:
    """Check that enough of either class have features of every block."""
    gone = {s.patient_id for s in found.set_aside}
    left = [outcome[p.patient_id] for p in patients if p.split == "train" and p.patient_id in outcome and p.patient_id not in gone]
    rare = min(sum(left), len(left) - sum(left))
    if rare < folds:
        kind = "events" if sum(left) == rare else "patients without the event"
        what = f"fewer {kind} than folds: {rare} of the training patients have features of every block, {folds} folds"
        found.problems.append(f"{what}; expected at least one a fold. Set fewer folds, or complete the tables")


def read_features(config: StudyConfig, folder: Path, patients: Sequence[Patient], outcome: Mapping[str, int], folds: int = 2) -> Joined:
    """Read all feature tables of a study, as `join_tables` does.

    Parameters
    ----------
    config, folder, patients, outcome, folds : object
        As for `join_tables`.

    Returns
    -------
    Joined
        Without problems.

    Raises
    ------
    CohortError
        If there are any; the message lists them all.
    """
    found = join_tables(config, folder, patients, outcome, folds)
    if found.problems:
        count = "" if len(found.problems) == 1 else f"{len(found.problems)} problems: "
        message = f"{count}{'; '.join(found.problems)}"
        raise CohortError(message)
    return found
