"""What happens to features before the LASSO, none of it looking at the outcome."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

SAME = 0.95
FLAT = 1e-8
_WIDTH = 2048


def medians(X: Floats) -> Floats:
    """Give each feature's median over the patients who have it.

    Parameters
    ----------
    X : ndarray, shape (patients, features)
        Features, NaN where missing.

    Returns
    -------
    ndarray, shape (features,)
        Medians; NaN for a feature that nobody has.
    """
    found = np.full(X.shape[1], np.nan)
    some = ~np.isnan(X).all(axis=0)
    found[some] = np.nanmedian(X[:, some], axis=0)
    return found


def varying(X: Floats) -> NDArray[np.bool_]:
    """Say which features vary enough to be of use.

    Parameters
    ----------
    X : ndarray, shape (patients, features)
        Features without gaps, NaN in those that nobody has.

    Returns
    -------
    ndarray of bool, shape (features,)
        False for a feature that nobody has, whose standard deviation is below 1e-8 of its size, or that has one and the same value in more than 95 % of the patients.
    """
    n = len(X)
    ranked = np.sort(X, axis=0)
    run = int(np.floor(SAME * n)) + 1
    monotonous = (ranked[run - 1 :] == ranked[: n - run + 1]).any(axis=0) if run <= n else np.zeros(X.shape[1], dtype=bool)
    with np.errstate(invalid="ignore"):
        moving = X.std(axis=0) > FLAT * np.abs(X).max(axis=0, initial=0.0)
    useful: NDArray[np.bool_] = moving & ~monotonous
    return useful


def uncorrelated(Z: Floats, limit: float) -> NDArray[np.bool_]:
    """Walk through the features in order and drop each that correlates with one kept before it.

    Parameters
    ----------
    Z : ndarray, shape (patients, features)
        Standardised features.
    limit : float
        Largest absolute correlation that two kept features may have; 1 keeps everything.

    Returns
    -------
    ndarray of bool, shape (features,)
        True for a kept feature.
    """
    kept = np.ones(Z.shape[1], dtype=bool)
    if limit >= 1.0 or not Z.size:
        return kept
    for start in range(0, Z.shape[1], _WIDTH):
        piece, before = Z[:, start : start + _WIDTH], np.flatnonzero(kept[:start])
        for at in range(0, before.size, _WIDTH):
            kept[start : start + _WIDTH] &= ~(np.abs(Z[:, before[at : at + _WIDTH]].T @ piece) / len(Z) > limit).any(axis=0)
        close = np.abs(piece.T @ piece) / len(Z) > limit
        for j in range(start, start + piece.shape[1]):
            if kept[j]:
                kept[j + 1 : start + piece.shape[1]] &= ~close[j - start, j + 1 - start :]
    return kept
