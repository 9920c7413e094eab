"""Signatures of every block in every fold: computed once, used by all classifiers and feature sets."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sarcofuse.errors import CaseError, StageError
from sarcofuse.models.folds import Integers
from sarcofuse.models.record import Floats, Repeats, Signature
from sarcofuse.runtime import Task, digest

VERSION = "models signatures 3"
SIGNATURE = "signature"  # stands for the patient in errors


@dataclass(frozen=True, slots=True, eq=False)
class Beside:
    """What is known of a block's rows beside their features.

    Attributes
    ----------
    patient_ids : tuple of str
        Who they are; empty where there are no `repeats`.
    repeats : tuple of Repeats
        Features measured again: those that are not stable over the patients that a signature learns from are kept from it.
    group : ndarray of int, shape (patients,), or None
        Rows of one number stay together in the signature's own folds, too.
    time : ndarray of float64, shape (patients,), or None
        Time of the event or of the last sight without it, for signatures that learn from it.
    """

    patient_ids: tuple[str, ...] = ()
    repeats: tuple[Repeats, ...] = ()
    group: Integers | None = None
    time: Floats | None = None

    def of(self, rows: NDArray[np.bool_]) -> Beside:
        """Keep some of the rows.

        Parameters
        ----------
        rows : ndarray of bool, shape (patients,)
            Which.

        Returns
        -------
        Beside
            What is known of them.
        """
        who = tuple(p for p, kept in zip(self.patient_ids, rows, strict=True) if kept) if self.repeats else ()
        return replace(self, patient_ids=who, group=None if self.group is None else self.group[rows], time=None if self.time is None else self.time[rows])

    @property
    def key(self) -> str:
        """What a result depends on."""
        return digest(self.patient_ids, [r.key for r in self.repeats], *[None if a is None else digest_arrays(a) for a in (self.group, self.time)])


NOTHING = Beside()


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """What a classifier sees of one training set: for the final training, and for each inner fold as if the fold's patients were new.

    Attributes
    ----------
    train : ndarray, shape (patients, columns)
        Training patients.
    test : ndarray, shape (test patients, columns)
        Patients of the outer fold that was left out.
    inner : tuple of (ndarray, ndarray)
        For each inner fold its training and its left-out patients; empty where there are too few events for folds.
    """

    train: Floats
    test: Floats
    inner: tuple[tuple[Floats, Floats], ...]


def digest_arrays(*arrays: NDArray[Any]) -> str:
    """Give the SHA-256 of arrays with their shapes.

    Parameters
    ----------
    *arrays : ndarray
        What to digest.

    Returns
    -------
    str
        Hexadecimal digest.
    """
    total = hashlib.sha256()
    for array in arrays:
        total.update(f"{array.shape}{array.dtype.str}".encode())
        total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()


def signature_task(name: str, signature: Signature, X: Floats, y: Floats, train: NDArray[np.bool_], fold: Integers | None, beside: Beside = NOTHING) -> Task:
    """Make the task that learns a block's signatures on one training set.

    Parameters
    ----------
    name : str
        What to call it.
    signature : Signature
        Unfitted.
    X : ndarray, shape (patients, features)
        The block.
    y : ndarray of 0 and 1, shape (patients,)
        Outcome.
    train : ndarray of bool, shape (patients,)
        Training set; the others are the outer fold, whose outcome is not looked at.
    fold : ndarray of int, shape (training patients,), or None
        Inner folds.
    beside : Beside
        What is known of the rows.

    Returns
    -------
    Task
        For `learn_signatures`.
    """
    kind = type(signature)
    arrays = [a for a in (X, y, train, fold) if a is not None]
    key = digest(VERSION, f"{kind.__module__}.{kind.__qualname__}", signature.get_params(), digest_arrays(*arrays), beside.key)
    return Task(name, key, (signature, X, y, train, fold, beside))


def fit_signature(signature: Signature, X: Floats, y: Floats, beside: Beside = NOTHING) -> Any:  # noqa: ANN401 - a fitted copy of the signature
    """Fit a copy of a signature to what is stable, with groups if there are any.

    Parameters
    ----------
    signature : Signature
        Unfitted.
    X : ndarray, shape (patients, features)
        The block.
    y : ndarray of 0 and 1, shape (patients,)
        Outcome.
    beside : Beside
        What is known of the rows; with times, the signature is given two columns, time and event; groups are handed to ``fit(X, y, groups=...)``.

    Returns
    -------
    Signature
        Fitted.

    Raises
    ------
    CaseError
        If no feature is stable.
    StageError
        If there are groups and the signature's `fit` does not take them.
    """
    from sklearn.base import clone
    from sklearn.utils.validation import has_fit_parameter

    values = _without_unstable(X, beside)
    y = y if beside.time is None else np.column_stack([beside.time, y])
    if beside.group is None:
        return clone(signature).fit(values, y)
    if not has_fit_parameter(signature, "groups"):
        message = f"{type(signature).__name__}.fit takes no groups, so patients who belong together would be torn apart in its own folds; use a signature that takes them"
        raise StageError(message)
    return clone(signature).fit(values, y, groups=beside.group)


def learn_signatures(folder: Path, signature: Signature, X: Floats, y: Floats, train: NDArray[np.bool_], fold: Integers | None, beside: Beside = NOTHING) -> None:
    """Learn a block's signature on a training set, and once more without each inner fold.

    Writes the signature (``signature.skops``, if nobody was left out) and what classifiers will see (``columns.npz``): of the whole training set, of the outer fold, and of each inner fold as
    its own signature shows it. The out-of-fold signature takes the intercept of the whole training set's, since the intercept of a fold tells how many events were left out.

    Parameters
    ----------
    folder : Path
        Where to write.
    signature, X, y, train, fold, beside : object
        As in `signature_task`.

    Raises
    ------
    CaseError
        If no feature is stable.
    """
    from sarcofuse.models.persist import save_estimator

    values, outcome, rest, own = X[train], y[train], X[~train], beside.of(train)
    whole = fit_signature(signature, values, outcome, own)
    kept = {"signature_test": whole.transform(rest), "features_train": whole.features(values), "features_test": whole.features(rest), "signature_train": whole.transform(values)}
    for k in range(0 if fold is None else int(fold.max()) + 1):
        out = np.asarray(fold == k)
        part = fit_signature(signature, values[~out], outcome[~out], own.of(~out))
        kept["signature_train"][out] = part.transform(values[out]) - part.intercept_ + whole.intercept_
        kept[f"features_{k}"] = part.features(values)
    if not len(rest):
        save_estimator(whole, folder / "signature.skops")
    np.savez(folder / "columns.npz", **kept)


def _without_unstable(values: Floats, beside: Beside) -> Floats:
    """Blank the features that are not stable over these patients: what nobody has, no signature takes."""
    problem = "no feature is stable in every respect; lower models.stability.threshold, or set models.stability.masks: false"
    width = values.shape[1]
    try:
        for again in beside.repeats:
            stable = again.stable(beside.patient_ids)
            width = stable.size  # columns beyond the features, such as the site, stay
            values = np.where(np.pad(stable, (0, values.shape[1] - width), constant_values=True), values, np.nan)
    except ValueError as error:
        problem = f"{error} (models.stability)"
        values = np.full_like(values, np.nan)
    if beside.repeats and np.isnan(values[:, :width]).all():
        raise CaseError(SIGNATURE, f"over {len(values)} training patients {problem}")
    return values


def assemble(folders: Sequence[Path], view: str, fold: Integers | None) -> View:
    """Put the columns of several blocks side by side.

    Parameters
    ----------
    folders : sequence of Path
        What `learn_signatures` wrote for each block on the same training set.
    view : {'signatures', 'features'}
        Whether classifiers see one signature a block or the selected features.
    fold : ndarray of int, shape (patients,), or None
        Inner folds.

    Returns
    -------
    View
        All that a classifier sees.
    """
    blocks = []
    for folder in folders:
        with np.load(folder / "columns.npz", allow_pickle=False) as file:
            blocks.append({name: file[name] for name in file.files})
    stem = "signature" if view == "signatures" else "features"
    train = np.hstack([b[f"{stem}_train"] for b in blocks])
    inner = []
    for k in range(0 if fold is None else int(fold.max()) + 1):
        seen = train if view == "signatures" else np.hstack([b[f"features_{k}"] for b in blocks])
        inner.append((seen[fold != k], seen[fold == k]))
    return View(train, np.hstack([b[f"{stem}_test"] for b in blocks]), tuple(inner))
