"""Who is held out by which network."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable

from sarcofuse.errors import StageError


def assign_folds(patient_ids: Iterable[str], folds: int, seed: int) -> dict[str, int]:
    """Divide patients into folds by a hash of their names: neither their order nor their outcome has a say.

    Patients are ranked by the SHA-256 of seed and name, and dealt out to the folds in turn, so that fold sizes differ by at most one.

    Parameters
    ----------
    patient_ids : iterable of str
        Whom to divide.
    folds : int
        Number of folds.
    seed : int
        Another seed gives another division.

    Returns
    -------
    dict of str to int
        Fold (0 to folds - 1) by patient, in order of the names.

    Raises
    ------
    StageError
        If a name stands there twice.

    Examples
    --------
    >>> sorted(assign_folds(["a", "b", "c", "d"], 2, 0).values())
    [0, 0, 1, 1]
    """
    names = sorted(patient_ids)
    if len(set(names)) != len(names):
        twice = next(a for a, b in itertools.pairwise(names) if a == b)
        message = f"segment: patient {twice} is given twice; expected every patient once"
        raise StageError(message)
    ranked = sorted(names, key=lambda name: hashlib.sha256(f"{seed}/{name}".encode()).hexdigest())
    fold = {name: rank % folds for rank, name in enumerate(ranked)}
    return {name: fold[name] for name in names}
