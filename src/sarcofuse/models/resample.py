"""Balance of the classes among training rows: drop, repeat, or interpolate patients. Only ever for rows that something is about to learn from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import validate_data

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


class Sampler(BaseEstimator, ABC):  # type: ignore[misc]
    """What samplers share: `fit` counts the classes, `fit_resample` gives balanced rows. There is no `transform`, so that no sampler can act on patients to be scored.

    Parameters
    ----------
    seed : int
        Seed of what is drawn.

    Attributes
    ----------
    counts_ : dict
        Patients of each class that `fit` saw.
    """

    counts_: dict[object, int]

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Count the classes.

        Parameters
        ----------
        X : array-like, shape (patients, features)
            Training rows, NaN where missing.
        y : array-like, shape (patients,)
            Outcome, as classes.

        Returns
        -------
        Sampler
            Itself.

        Raises
        ------
        ValueError
            If there is only one class.
        """
        self._read(X, y)
        return self

    def _read(self, X: ArrayLike, y: ArrayLike) -> tuple[Floats, NDArray[Any]]:
        values, outcome = validate_data(self, X, y, dtype=np.float64, ensure_all_finite="allow-nan")
        check_classification_targets(outcome)
        classes, counts = np.unique(outcome, return_counts=True)
        if classes.size < 2:
            message = f"{type(self).__name__} needs training patients of two classes or more, found 1 class: {classes.tolist()}"
            raise ValueError(message)
        self.counts_ = dict(zip(classes.tolist(), map(int, counts), strict=True))
        return values, outcome

    def fit_resample(self, X: ArrayLike, y: ArrayLike) -> tuple[Floats, NDArray[Any]]:
        """Give balanced training rows.

        Parameters
        ----------
        X : array-like, shape (patients, features)
            Training rows, NaN where missing.
        y : array-like, shape (patients,)
            Outcome, as classes.

        Returns
        -------
        X : ndarray, shape (rows, features)
            As many rows of every class.
        y : ndarray, shape (rows,)
            Their classes.

        Raises
        ------
        ValueError
            If there is only one class.
        """
        values, outcome = self._read(X, y)
        rng = np.random.default_rng(self.seed)
        parts = [self._draw(values[outcome == c], np.flatnonzero(outcome == c), rng) for c in np.unique(outcome)]
        return self._join(values, outcome, parts)

    @abstractmethod
    def _draw(self, values: Floats, rows: Integers, rng: np.random.Generator) -> tuple[Integers, Floats]:
        """Give the rows of one class to keep, and rows to add."""

    def _join(self, values: Floats, outcome: NDArray[Any], parts: list[tuple[Integers, Floats]]) -> tuple[Floats, NDArray[Any]]:
        kept = np.sort(np.concatenate([p[0] for p in parts]))
        labels = np.concatenate([outcome[kept], *[np.repeat(c, len(p[1])) for c, p in zip(np.unique(outcome), parts, strict=True)]])
        return np.vstack([values[kept], *[p[1] for p in parts]]), labels

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "counts_")

    def __sklearn_tags__(self) -> Any:  # noqa: ANN401 - scikit-learn's interface
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.target_tags.required = True
        return tags


class UnderSampler(Sampler):
    """Leave out patients of the larger classes at random until all classes are of the size of the smallest.

    Parameters
    ----------
    seed : int
        Seed of what is drawn.

    Attributes
    ----------
    counts_ : dict
        Patients of each class that `fit` saw.

    Examples
    --------
    >>> UnderSampler().fit_resample(np.arange(5.0)[:, None], [0, 0, 0, 1, 1])[1].tolist()
    [0, 0, 1, 1]
    """

    def _draw(self, values: Floats, rows: Integers, rng: np.random.Generator) -> tuple[Integers, Floats]:
        return rng.choice(rows, min(self.counts_.values()), replace=False), values[:0]


class OverSampler(Sampler):
    """Repeat patients of the smaller classes at random until all classes are of the size of the largest.

    Parameters
    ----------
    seed : int
        Seed of what is drawn.

    Attributes
    ----------
    counts_ : dict
        Patients of each class that `fit` saw.

    Examples
    --------
    >>> OverSampler().fit_resample(np.arange(5.0)[:, None], [0, 0, 0, 0, 1])[0].ravel().tolist()
    [0.0, 1.0, 2.0, 3.0, 4.0, 4.0, 4.0, 4.0]
    """

    def _draw(self, values: Floats, rows: Integers, rng: np.random.Generator) -> tuple[Integers, Floats]:
        return rows, values[rng.integers(rows.size, size=max(self.counts_.values()) - rows.size)]


class SmoteSampler(Sampler):
    """Add synthetic patients to the smaller classes, each on the line between a patient and one of its nearest neighbours of the same class [1]_.

    Distances are Euclidean between standardised features, so that units mean nothing; gaps count as the mean there, and stay gaps in what is interpolated from them.

    Parameters
    ----------
    seed : int
        Seed of what is drawn.
    neighbours : int
        Neighbours to choose from; fewer where the class is small. A class of one patient is repeated.

    Attributes
    ----------
    counts_ : dict
        Patients of each class that `fit` saw.

    References
    ----------
    .. [1] Chawla NV, Bowyer KW, Hall LO, Kegelmeyer WP. SMOTE: synthetic minority over-sampling technique. J Artif Intell Res 2002;16:321-357.
    """

    def __init__(self, seed: int = 0, neighbours: int = 5) -> None:
        super().__init__(seed)
        self.neighbours = neighbours

    def _draw(self, values: Floats, rows: Integers, rng: np.random.Generator) -> tuple[Integers, Floats]:
        wanted = max(self.counts_.values()) - rows.size
        if wanted == 0 or rows.size == 1:
            return rows, np.repeat(values, wanted, axis=0)
        near = self._near(values)
        first = rng.integers(rows.size, size=wanted)
        second = near[first, rng.integers(near.shape[1], size=wanted)]
        share = rng.random((wanted, 1))
        return rows, values[first] + share * (values[second] - values[first])

    def _near(self, values: Floats) -> Integers:
        """Give each patient's nearest neighbours of its own class."""
        from scipy.spatial.distance import cdist

        count = min(self.neighbours, len(values) - 1)
        known = ~np.isnan(values)
        total = np.maximum(known.sum(axis=0), 1)
        centred = np.where(known, values - np.where(known, values, 0.0).sum(axis=0) / total, 0.0)
        spread = np.sqrt((centred**2).sum(axis=0) / total)
        scaled = centred / np.where(spread > 0.0, spread, 1.0)
        distance = cdist(scaled, scaled)
        np.fill_diagonal(distance, np.inf)
        nearest: Integers = np.argsort(distance, axis=1, kind="stable")[:, :count]
        return nearest


SAMPLERS: dict[str, type[Sampler]] = {"under": UnderSampler, "over": OverSampler, "smote": SmoteSampler}
BALANCES = ("weights", *SAMPLERS)


def balanced(balance: str | None, X: Floats, y: Floats, seed: int) -> tuple[Floats, Floats, Floats | None]:
    """Give the rows that a classifier learns from.

    Parameters
    ----------
    balance : {'weights', 'under', 'over', 'smote'} or None
        How to balance the classes; None for the rows as they are.
    X : ndarray, shape (patients, columns)
        Training rows.
    y : ndarray of 0 and 1, shape (patients,)
        Outcome.
    seed : int
        Seed of what is drawn.

    Returns
    -------
    X : ndarray, shape (rows, columns)
        Rows.
    y : ndarray of 0 and 1, shape (rows,)
        Their outcome.
    weights : ndarray, shape (rows,), or None
        Weights that give both classes the same total, with ``weights``.
    """
    if balance in SAMPLERS:
        return (*SAMPLERS[balance](seed).fit_resample(X, y), None)
    if balance == "weights":
        share = float(y.mean())
        return X, y, np.where(y > 0.5, 0.5 / share, 0.5 / (1.0 - share))
    return X, y, None
