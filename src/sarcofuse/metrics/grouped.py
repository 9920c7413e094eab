"""Folds in which rows that belong together stay together."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sarcofuse.metrics.resampling import stratified_folds
from sarcofuse.metrics.roc import Floats

Integers = NDArray[np.int64]


def grouped_folds(y: Floats, group: Integers | None, folds: int, seed: int | list[int]) -> Integers:
    """Deal patients into folds, stratified by outcome, rows of one group always together.

    A group counts as an event where one of its rows is one. Without groups, or with groups of one row each, these are the folds of `stratified_folds`.

    Parameters
    ----------
    y : ndarray of 0 and 1, shape (patients,)
        Outcome.
    group : ndarray of int, shape (patients,), or None
        Group of each row.
    folds : int
        Folds wanted; never more than groups in the smaller class.
    seed : int or list of int
        Seed of the dealing.

    Returns
    -------
    ndarray of int, shape (patients,)
        Fold of each row, from 0.

    Raises
    ------
    ValueError
        If fewer than two groups have an event, or fewer than two have none.

    Examples
    --------
    >>> fold = grouped_folds(np.array([1.0, 0, 1, 0, 0, 0]), np.array([7, 7, 3, 5, 5, 9]), 2, 0)
    >>> bool(fold[0] == fold[1] and fold[3] == fold[4])
    True
    """
    if group is None:
        return stratified_folds(y, folds, seed)
    number, event = group_outcomes(y, group)
    return stratified_folds(event, folds, seed)[number]


def group_outcomes(y: Floats, group: Integers) -> tuple[Integers, Floats]:
    """Give each row the number of its group, in order of appearance, and say which groups have an event.

    Parameters
    ----------
    y : ndarray of 0 and 1, shape (patients,)
        Outcome.
    group : ndarray of int, shape (patients,)
        Group of each row.

    Returns
    -------
    number : ndarray of int, shape (patients,)
        Group of each row, from 0.
    event : ndarray of 0 and 1, shape (groups,)
        1 where one of the group's rows has the event.
    """
    _, first, number = np.unique(group, return_index=True, return_inverse=True)
    place = np.argsort(np.argsort(first, kind="stable"), kind="stable")
    number = place[number.ravel()]
    event = np.zeros(first.size)
    np.maximum.at(event, number, y)
    return number.astype(np.int64), event
