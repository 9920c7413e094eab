"""What is suspicious about features: columns of no use, columns that give the outcome, the split or the site away, patients who stand there twice."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sarcofuse.records import FeatureTable, Patient

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
PART = 512  # columns that are looked at together
CHANCE = 0.01  # columns that may tell groups apart by chance alone for those that do to be worth a warning
SHOWN = 5


def suspicions(table: FeatureTable, patients: Sequence[Patient], outcome: Mapping[str, int]) -> list[str]:
    """Look through a block of features.

    The outcome is looked at for training patients alone; splits and sites, which are no outcome, for everybody.

    Parameters
    ----------
    table : FeatureTable
        The block.
    patients : sequence of Patient
        The patients of the study; those who are not in the table are passed over.
    outcome : mapping of str to int
        Outcome (0 or 1) of the training patients at least.

    Returns
    -------
    list of str
        Warnings, in plain words.
    """
    there = set(table.patient_ids)
    known = [p for p in patients if p.patient_id in there]
    training = [p.patient_id for p in known if p.split == "train"]
    if not training:
        return []
    values = table.rows([p.patient_id for p in known])
    within = np.array([p.split == "train" for p in known])
    own = values[within]
    return [*_useless(table, own), *_copies(table, own), *_twins(table.block, [p.patient_id for p in known], values), *_telling(table, values, known, own, training, outcome)]


def _useless(table: FeatureTable, own: Floats) -> list[str]:
    found = []
    empty, constant = np.zeros(own.shape[1], dtype=bool), np.zeros(own.shape[1], dtype=bool)
    for part in _parts(own.shape[1]):
        low, high, gaps, _ = _range(own[:, part])
        empty[part] = gaps
        constant[part] = ~gaps & (low == high)
    for which, words in ((empty, "have no value for any training patient"), (constant, "have one and the same value in all training patients")):
        if which.any():
            found.append(f"{np.count_nonzero(which)} of {len(table.names)} {table.block} features {words}: {_listed(table, which)}; models pass over them")
    return found


def _parts(count: int) -> list[slice]:
    """Cut columns into parts, so that no copy of the whole table is needed."""
    return [slice(k, min(k + PART, count)) for k in range(0, count, PART)]


def _range(values: Floats) -> tuple[Floats, Floats, Bools, Bools]:
    """Give least and largest value of each column, and whether it has none, or no gap."""
    known = np.isfinite(values)
    low: Floats = np.where(known, values, np.inf).min(axis=0)
    high: Floats = np.where(known, values, -np.inf).max(axis=0)
    return low, high, ~np.asarray(known.any(axis=0)), np.asarray(known.all(axis=0))


def _copies(table: FeatureTable, own: Floats) -> list[str]:
    """Find columns with the same values in all training patients."""
    first: dict[bytes, int] = {}
    pairs = []
    for j in range(own.shape[1]):
        column = own[:, j] + 0.0  # no negative zeros
        known = column[np.isfinite(column)]
        if known.size and known.min() < known.max():
            at = first.setdefault(hashlib.sha256(column.tobytes()).digest(), j)
            if at != j:
                pairs.append(f"{table.names[j]} is {table.names[at]}")
    if not pairs:
        return []
    return [f"{len(pairs)} {table.block} features are copies of others: {', '.join(pairs[:SHOWN])}{', ...' if len(pairs) > SHOWN else ''}; only the first of each is of use"]


def _twins(block: str, names: Sequence[str], values: Floats) -> list[str]:
    """Find patients with the very same row; with few features, or rows that hold hardly anything, that may be chance."""
    if values.shape[1] < 3:
        return []
    first: dict[bytes, int] = {}
    pairs = []
    for i, row in enumerate(values):
        row = row + 0.0
        if np.unique(row[np.isfinite(row)]).size >= 3:
            at = first.setdefault(hashlib.sha256(row.tobytes()).digest(), i)
            if at != i:
                pairs.append(f"{names[i]} and {names[at]}")
    if not pairs or len(pairs) > 0.05 * len(names) + 1:  # where many agree, features take few values
        return []
    listed = ", ".join(pairs[:SHOWN]) + (", ..." if len(pairs) > SHOWN else "")
    return [f"{len(pairs)} pair{'s' * (len(pairs) > 1)} of patients have the very same {block} features: {listed}; a patient who stands there twice?"]


def _telling(table: FeatureTable, values: Floats, known: Sequence[Patient], own: Floats, training: Sequence[str], outcome: Mapping[str, int]) -> list[str]:
    found = []
    y = np.array([outcome.get(p, -1) for p in training])
    if set(y.tolist()) == {0, 1}:
        found += _warn(table, separating(own, y), f"predict the outcome of all {len(y)} training patients perfectly", "does it hold the outcome, or what was known only after it?")
    split, site = np.array([p.split for p in known]), np.array([p.site for p in known])
    tells_split, tells_site = separating(values, split), separating(values, site)
    for name, count in sorted(Counter(site.tolist()).items()):
        if len(site) > count >= SHOWN:
            tells_site |= separating(values, site == name)
    tells_split &= ~tells_site  # a split by site is told by what tells the site
    mixed = "a scanner's setting? What such a column says of patients is mixed with where they were treated; harmonise it or leave it out"
    found += _warn(table, tells_split, "tell the splits apart without error", "a number in the order of the table, or a date? Models may not learn it, but it gives the test patients away")
    found += _warn(table, tells_site, "tell a site from the others without error", mixed)
    return found


def _warn(table: FeatureTable, which: Bools, what: str, question: str) -> list[str]:
    return [f"{np.count_nonzero(which)} of {len(table.names)} {table.block} features {what}: {_listed(table, which)}; {question}"] if which.any() else []


def _listed(table: FeatureTable, which: Bools) -> str:
    names = [table.names[j] for j in np.flatnonzero(which)]
    return ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")


def separating(values: Floats, labels: NDArray[Any]) -> Bools:
    """Say which features tell groups of patients apart without error: the groups' ranges do not touch, or only one group has gaps and all of it.

    Parameters
    ----------
    values : ndarray, shape (patients, features)
        Features, NaN where missing.
    labels : ndarray, shape (patients,)
        Group of each patient.

    Returns
    -------
    ndarray of bool, shape (features,)
        True for a feature that does; all False where among so many features one would do so by chance.
    """
    groups, which = np.unique(labels, return_inverse=True)
    count = values.shape[1]
    sizes = np.bincount(which)
    ways = math.lgamma(len(labels) + 1) - sum(math.lgamma(s + 1) for s in sizes) - math.lgamma(len(sizes) + 1)  # orders of the patients in which groups follow one another: k! of n! / (n1! n2! ...)
    if len(groups) < 2 or math.log(max(count, 1)) - ways > math.log(CHANCE):
        return np.zeros(count, dtype=bool)
    members = [np.flatnonzero(which == g) for g in range(len(groups))]
    found = np.zeros(count, dtype=bool)
    for part in _parts(count):
        low, high, bare, full = (np.array(v) for v in zip(*[_range(values[m, part]) for m in members], strict=True))
        order = np.argsort(low, axis=0)
        low, high = np.take_along_axis(low, order, axis=0), np.take_along_axis(high, order, axis=0)
        found[part] = (high[:-1] < low[1:]).all(axis=0) & full.all(axis=0)
        if len(groups) == 2:
            found[part] |= (full[0] & bare[1]) | (bare[0] & full[1])
    return found


def one_sided_sites(patients: Sequence[Patient], outcome: Mapping[str, int]) -> list[str]:
    """Name sites whose training patients all have one outcome.

    Parameters
    ----------
    patients : sequence of Patient
        The patients.
    outcome : mapping of str to int
        Outcome of the training patients at least.

    Returns
    -------
    list of str
        Warnings, at most one.
    """
    seen: dict[str, list[int]] = {}
    for p in patients:
        if p.split == "train" and p.site and p.patient_id in outcome:
            seen.setdefault(p.site, []).append(outcome[p.patient_id])
    odd = [f"{site} ({len(values)} patients, all {values[0]})" for site, values in sorted(seen.items()) if len(values) > 1 and len(set(values)) == 1]
    if not odd or len(seen) < 2:
        return []
    listed = ", ".join(odd[:SHOWN]) + (", ..." if len(odd) > SHOWN else "")
    return [f"{len(odd)} of {len(seen)} sites have training patients of one outcome alone: {listed}; a model can learn the site in its stead"]
