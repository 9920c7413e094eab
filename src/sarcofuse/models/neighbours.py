"""Nearest neighbours, as many as a share of the patients."""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.neighbors import KNeighborsClassifier


class NeighbourShare(KNeighborsClassifier):  # type: ignore[misc]
    """Nearest neighbours whose number follows the number of training patients.

    Parameters
    ----------
    share : float
        Neighbours as a share of the training patients.
    """

    def __init__(self, share: float = 0.1) -> None:
        super().__init__(algorithm="kd_tree")
        self.share = share

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Keep the patients.

        Parameters
        ----------
        X : array-like, shape (patients, features)
            Standardised features.
        y : array-like of 0 and 1, shape (patients,)
            Outcome.

        Returns
        -------
        NeighbourShare
            Itself.
        """
        outcome = np.asarray(y)
        self.n_neighbors = max(1, round(self.share * outcome.size))
        super().fit(X, outcome)
        return self
