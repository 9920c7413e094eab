"""Signatures of every block in every fold: computed once, used by all classifiers and feature sets."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sarcofuse.errors import CaseError
from sarcofuse.metrics import stratified_folds
from sarcofuse.models.record import Floats, Repeats, Signature
from sarcofuse.runtime import Task, digest

VERSION = "models signatures 2"
Integers = NDArray[np.int64]
Steady = tuple[tuple[str, ...], tuple[Repeats, ...]]  # who is in the rows of a block, and their features measured again
ANYTHING: Steady = ((), ())
SIGNATURE = "signature"  # stands for the patient in errors


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


def inner_folds(y: Floats, folds: int, seed: int) -> Integers | None:
    """Deal a training set into inner folds.

    Parameters
    ----------
    y : ndarray of 0 and 1, shape (patients,)
        Outcome of the training set, in order of patient_id.
    folds : int
        Folds wanted.
    seed : int
        Seed of the dealing.

    Returns
    -------
    ndarray of int or None
        Fold of each patient; None where a class has fewer than two patients.
    """
    return stratified_folds(y, folds, [seed, 2]) if min(y.sum(), (1 - y).sum()) >= 2 else None


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


def signature_task(name: str, signature: Signature, X: Floats, y: Floats, train: NDArray[np.bool_], folds: int, seed: int, steady: Steady = ANYTHING) -> Task:
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
        Training set; the others are the outer fold.
    folds : int
        Inner folds.
    seed : int
        Seed of the inner folds.
    steady : tuple
        Patients in the rows of `X`, and their features measured again: those that are not stable over the patients that a signature learns from are kept from it.

    Returns
    -------
    Task
        For `learn_signatures`.
    """
    kind = type(signature)
    key = digest(VERSION, f"{kind.__module__}.{kind.__qualname__}", signature.get_params(), digest_arrays(X, y, train), folds, seed, *[(steady[0], r.key) for r in steady[1]])
    return Task(name, key, (signature, X, y, train, folds, seed, steady))


def learn_signatures(folder: Path, signature: Signature, X: Floats, y: Floats, train: NDArray[np.bool_], folds: int, seed: int, steady: Steady = ANYTHING) -> None:
    """Learn a block's signature on a training set, and once more without each inner fold.

    Writes the signature (``signature.skops``, if nobody was left out) and what classifiers will see (``columns.npz``): of the whole training set, of the outer fold, and of each inner fold as
    its own signature shows it. The out-of-fold signature takes the intercept of the whole training set's, since the intercept of a fold tells how many events were left out.

    Parameters
    ----------
    folder : Path
        Where to write.
    signature, X, y, train, folds, seed, steady : object
        As in `signature_task`.

    Raises
    ------
    CaseError
        If no feature is stable.
    """
    from sklearn.base import clone

    from sarcofuse.models.persist import save_estimator

    values, outcome, rest = X[train], y[train], X[~train]
    who, repeats = np.asarray(steady[0], dtype=object), steady[1]
    who = who[train] if repeats else who
    whole = clone(signature).fit(_without_unstable(values, who, repeats), outcome)
    fold = inner_folds(outcome, folds, seed)
    kept = {"signature_test": whole.transform(rest), "features_train": whole.features(values), "features_test": whole.features(rest), "signature_train": whole.transform(values)}
    for k in range(0 if fold is None else int(fold.max()) + 1):
        out = fold == k
        part = clone(signature).fit(_without_unstable(values[~out], who[~out] if repeats else who, repeats), outcome[~out])
        kept["signature_train"][out] = part.transform(values[out]) - part.intercept_ + whole.intercept_
        kept[f"features_{k}"] = part.features(values)
    if not len(rest):
        save_estimator(whole, folder / "signature.skops")
    np.savez(folder / "columns.npz", **kept)


def _without_unstable(values: Floats, who: NDArray[np.object_], repeats: tuple[Repeats, ...]) -> Floats:
    """Blank the features that are not stable over these patients: what nobody has, no signature takes."""
    problem = "no feature is stable in every respect; lower models.stability.threshold, or set models.stability.masks: false"
    try:
        for again in repeats:
            values = np.where(again.stable(who.tolist()), values, np.nan)
    except ValueError as error:
        problem = f"{error} (models.stability)"
        values = np.full_like(values, np.nan)
    if repeats and np.isnan(values).all():
        raise CaseError(SIGNATURE, f"over {len(who)} training patients {problem}")
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
