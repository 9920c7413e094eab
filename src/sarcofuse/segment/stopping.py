"""Early stopping: some of a fold's training patients are set apart and say which epoch's weights are kept."""

from __future__ import annotations

import math

import numpy as np

from sarcofuse.segment.plan import Plan

SHARE, FEWEST = 6, 2
"""One training patient in six is set apart, and two at least."""
EVERY, PATIENCE = 0.05, 0.25
"""Share of the epochs between two judgements, and without a better one until training stops."""


def inner_patients(plan: Plan, fold: int, count: int) -> list[int]:
    """Choose which of a fold's training patients are set apart.

    Parameters
    ----------
    plan : Plan
        With the seed, and whether to stop early at all.
    fold : int
        Which fold.
    count : int
        Training patients of the fold, in order of their names.

    Returns
    -------
    list of int
        Their places in that order; none without early stopping, or where fewer than four would be left to learn from.
    """
    wanted = max(FEWEST, round(count / SHARE))
    if not plan.early_stopping or count - wanted < 2 * FEWEST:
        return []
    return sorted(int(i) for i in np.random.default_rng([plan.seed, fold, 2**31]).permutation(count)[:wanted])


def due(plan: Plan, epoch: int) -> bool:
    """Tell whether the inner patients are judged after this epoch.

    Parameters
    ----------
    plan : Plan
        With the number of epochs.
    epoch : int
        Epochs done.

    Returns
    -------
    bool
        True every twentieth of the epochs, and after the last.
    """
    return epoch % max(1, math.ceil(plan.epochs * EVERY)) == 0 or epoch >= plan.epochs


def stop(plan: Plan, epoch: int, best_epoch: int) -> bool:
    """Tell whether to stop: a quarter of the epochs went by without a better judgement.

    Parameters
    ----------
    plan : Plan
        With the number of epochs.
    epoch : int
        Epochs done.
    best_epoch : int
        Epoch of the best judgement; 0 before any.

    Returns
    -------
    bool
        True to stop.
    """
    return best_epoch > 0 and epoch - best_epoch >= max(2, math.ceil(plan.epochs * PATIENCE))
