"""Features that cannot help: dead, constant, or copies of another; found on training patients alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sarcofuse.records import FeatureTable


@dataclass(frozen=True, slots=True)
class Idle:
    """Features of a table that cannot tell training patients apart, or say again what another says.

    Attributes
    ----------
    features : int
        Features of the table.
    dead : tuple of str
        Names of features that are 0 for all training patients: units that never fire.
    constant : tuple of str
        Names of features that have one other value for all of them.
    duplicated : dict of str to str
        Names of features that are equal to an earlier one in all of them, and the name of that one.
    """

    features: int
    dead: tuple[str, ...]
    constant: tuple[str, ...]
    duplicated: dict[str, str]

    @property
    def dropped(self) -> frozenset[str]:
        """Names of all of them."""
        return frozenset((*self.dead, *self.constant, *self.duplicated))

    def counts(self) -> dict[str, int]:
        """Give the counts.

        Returns
        -------
        dict of str to int
            ``features``, ``dead``, ``constant``, ``duplicated``, ``left``.
        """
        gone = {"dead": len(self.dead), "constant": len(self.constant), "duplicated": len(self.duplicated)}
        return {"features": self.features, **gone, "left": self.features - sum(gone.values())}

    def note(self) -> str:
        """Say in words what was dropped.

        Returns
        -------
        str
            Empty if nothing was.
        """
        kinds = {"dead": self.dead, "constant": self.constant, "copies of others": self.duplicated}
        listed = ", ".join(f"{len(names)} {kind}" for kind, names in kinds.items() if names)
        return f"{len(self.dropped)} of {self.features} deep features were dropped: {listed} (among training patients)" if listed else ""


def find_idle(table: FeatureTable, patient_ids: Sequence[str]) -> Idle:
    """Find the features that cannot help; name the training patients, and nothing is learnt from the others.

    Parameters
    ----------
    table : FeatureTable
        Deep features.
    patient_ids : sequence of str
        Training patients; with fewer than two nothing is known, and nothing is found.

    Returns
    -------
    Idle
        Their names.
    """
    rows = table.rows(patient_ids) if len(patient_ids) > 1 else np.empty((0, 0))
    if not rows.size:
        return Idle(len(table.names), (), (), {})
    same = (rows == rows[:1]).all(axis=0)
    zero = same & (rows[0] == 0)
    first: dict[bytes, str] = {}
    duplicated = {}
    for name, column in ((n, c) for n, c, idle in zip(table.names, rows.T + 0.0, same, strict=True) if not idle):  # + 0.0: -0 equals 0
        earlier = first.setdefault(column.tobytes(), name)
        if earlier != name:
            duplicated[name] = earlier
    pick = np.asarray(table.names, dtype=object)
    return Idle(len(table.names), tuple(pick[zero]), tuple(pick[same & ~zero]), duplicated)


def drop_idle(table: FeatureTable, patient_ids: Sequence[str]) -> tuple[FeatureTable, Idle]:
    """Drop the features that cannot help.

    Parameters
    ----------
    table : FeatureTable
        Deep features of training and other patients.
    patient_ids : sequence of str
        Training patients, who alone decide.

    Returns
    -------
    table : FeatureTable
        The same patients; the very table if nothing is dropped.
    idle : Idle
        What was dropped. If every feature is idle, all are kept.
    """
    idle = find_idle(table, patient_ids)
    kept = [i for i, name in enumerate(table.names) if name not in idle.dropped]
    if not kept or len(kept) == len(table.names):
        return table, idle
    return FeatureTable(table.block, table.patient_ids, tuple(table.names[i] for i in kept), np.ascontiguousarray(table.values[:, kept])), idle
