"""Who is trained on and who is tested on."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping

import numpy as np

from sarcofuse.records import Split


def draw_split(outcome: Mapping[str, int], internal: float, external: float, seed: int) -> dict[str, Split]:
    """Draw test patients at random, keeping the share of events.

    Every patient draws a number that depends on the seed and the identifier alone; within each class those of the smallest numbers
    become external, the next ones internal, the others training. So neither the order of rows nor the number of workers matters.

    Parameters
    ----------
    outcome : mapping of str to int
        Outcome by patient.
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
