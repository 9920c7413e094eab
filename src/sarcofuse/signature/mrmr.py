"""Features that tell much of the outcome and little of one another."""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sarcofuse.signature.gaps import Floats, filled
from sarcofuse.signature.univariate import OutcomeSelector, association, unit_columns

_FLOOR = 1e-3


class MrmrSelector(OutcomeSelector):
    """Minimum redundancy, maximum relevance: features one after the other, each with the best of relevance against redundancy to those before.

    With ``measure="f"`` relevance is the F-statistic and redundancy the mean absolute Pearson correlation (the schemes FCQ and FCD of [2]_, the former that of the package mrmr_selection). With
    ``measure="binned"`` both are mutual information of features in three states, cut at the mean plus and minus one standard deviation (MIQ and MID of [1]_). Gaps count as the median.

    Parameters
    ----------
    count : int
        Features to keep; fewer where there are not as many that vary.
    measure : {'f', 'binned'}
        How relevance and redundancy are measured.
    scheme : {'quotient', 'difference'}
        Relevance over redundancy (never less than 0.001), or relevance less redundancy.

    Attributes
    ----------
    relevance_ : ndarray, shape (features,)
        Relevance of each feature.
    ranking_ : ndarray of int
        Columns in the order in which they were taken.
    kept_ : ndarray of bool, shape (features,)
        Features that are kept.

    References
    ----------
    .. [1] Peng H, Long F, Ding C. Feature selection based on mutual information: criteria of max-dependency, max-relevance, and min-redundancy. IEEE Trans Pattern Anal Mach Intell 2005;27:1226-1238.
    .. [2] Ding C, Peng H. Minimum redundancy feature selection from microarray gene expression data. J Bioinform Comput Biol 2005;3:185-205.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> y = np.repeat([0, 1], 50)
    >>> one = y + rng.normal(size=100)
    >>> X = np.column_stack([one, one + 0.01 * rng.normal(size=100), y + 1.2 * rng.normal(size=100)])
    >>> MrmrSelector(count=2).fit(X, y).ranking_.tolist()
    [0, 2]
    """

    def __init__(self, count: int = 20, measure: str = "f", scheme: str = "quotient") -> None:
        self.count = count
        self.measure = measure
        self.scheme = scheme

    def fit(self, X: ArrayLike, y: ArrayLike | None = None) -> Self:
        """Choose the features.

        Parameters
        ----------
        X : array-like, shape (patients, features)
            Features, NaN where missing.
        y : array-like, shape (patients,)
            Outcome, as classes.

        Returns
        -------
        MrmrSelector
            Itself.

        Raises
        ------
        ValueError
            If there is no outcome or only one class of it, or a setting is unknown.
        """
        if self.measure not in ("f", "binned") or self.scheme not in ("quotient", "difference"):
            message = f"measure must be f or binned and scheme quotient or difference, found {self.measure} and {self.scheme}"
            raise ValueError(message)
        values, classes = self._table_and_classes(X, y)
        columns = unit_columns(values, "pearson")
        able = columns.any(axis=1)
        states = _states(filled(values)) if self.measure == "binned" else np.empty((0, 0), dtype=np.int64)
        self.relevance_: Floats = information(states, classes) if self.measure == "binned" else association(filled(values), classes, "anova")[0]
        total, chosen = np.zeros(able.size), list[int]()
        for taken in range(min(self.count, max(1, int(able.sum())))):
            redundancy = total / max(1, taken)
            worth = self.relevance_ / np.maximum(redundancy, _FLOOR) if taken else self.relevance_
            score = self.relevance_ - redundancy if self.scheme == "difference" else worth
            score = np.where(able, score, -np.inf)
            score[chosen] = -np.inf
            best = int(np.argmax(score))
            chosen.append(best)
            total += np.abs(columns @ columns[best]) if self.measure == "f" else information(states, states[:, best])
        self.ranking_ = np.array(chosen)
        self.kept_ = np.isin(np.arange(able.size), chosen)
        return self


def _states(values: Floats) -> NDArray[np.int64]:
    mean, spread = values.mean(axis=0), values.std(axis=0)
    states: NDArray[np.int64] = (values > mean + spread).astype(np.int64) - (values < mean - spread) + 1
    return states


def information(states: NDArray[np.int64], other: NDArray[np.int64]) -> Floats:
    """Give the mutual information of discrete features with another variable.

    Parameters
    ----------
    states : ndarray of int, shape (patients, features)
        Features as states from 0.
    other : ndarray of int, shape (patients,)
        The other variable, as states from 0.

    Returns
    -------
    ndarray, shape (features,)
        Mutual information in nats.
    """
    joint = np.stack([[((states == a) & (other == b)[:, None]).mean(axis=0) for b in range(int(other.max()) + 1)] for a in range(int(states.max(initial=0)) + 1)])
    product = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(joint > 0.0, joint * np.log(joint / product), 0.0)
    result: Floats = terms.sum(axis=(0, 1))
    return result
