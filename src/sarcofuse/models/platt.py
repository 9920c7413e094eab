"""Support vector machine that gives probabilities."""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.svm import SVC

from sarcofuse.metrics import stratified_folds

Floats = NDArray[np.float64]


def fit_sigmoid(decision: Floats, y: Floats) -> tuple[float, float]:
    """Fit Platt's sigmoid: probability = 1 / (1 + exp(-(slope x decision + offset))).

    Parameters
    ----------
    decision : ndarray, shape (patients,)
        Decision values, best of patients that the machine has not seen.
    y : ndarray of 0 and 1, shape (patients,)
        Outcome.

    Returns
    -------
    slope, offset : float
        Maximum likelihood with Platt's softened targets [1]_; the slope is at least 0.

    References
    ----------
    .. [1] Platt J. Probabilistic outputs for support vector machines and comparisons to regularized likelihood methods. Advances in Large Margin Classifiers 1999;61-74.
    """
    events = float(y.sum())
    others = y.size - events
    target = np.where(y > 0.5, (events + 1.0) / (events + 2.0), 1.0 / (others + 2.0))
    spread = float(decision.std()) or 1.0
    scaled = decision / spread

    def loss(line: Floats) -> tuple[float, Floats]:
        eta = line[0] * scaled + line[1]
        rest = expit(eta) - target
        return float((np.logaddexp(0.0, eta) - target * eta).sum()), np.array([float((rest * scaled).sum()), float(rest.sum())])

    found = minimize(loss, np.array([1.0, np.log((events + 1.0) / (others + 1.0))]), jac=True, method="L-BFGS-B", bounds=[(0.0, None), (None, None)], options={"ftol": 1e-14, "gtol": 1e-9})
    return float(found.x[0]) / spread, float(found.x[1])


class PlattSVC(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """RBF support vector machine with probabilities by Platt's sigmoid on out-of-fold decision values.

    scikit-learn's own ``SVC(probability=True)`` is deprecated; its replacement wraps the machine in an object that keeps the folds. This one keeps two numbers.

    Parameters
    ----------
    C : float
        Cost of a patient on the wrong side.
    gamma : float
        Steepness of the kernel, as a multiple of 1 / features.
    folds : int
        Folds of the decision values where none are given.
    seed : int
        Seed of the folds.

    Attributes
    ----------
    machine_ : SVC
        The machine, trained on all patients.
    slope_, offset_ : float
        The sigmoid.
    classes_ : ndarray
        0 and 1.
    """

    def __init__(self, C: float = 1.0, gamma: float = 1.0, folds: int = 5, seed: int = 0) -> None:
        self.C = C
        self.gamma = gamma
        self.folds = folds
        self.seed = seed

    def fit(self, X: ArrayLike, y: ArrayLike, decision: ArrayLike | None = None) -> Self:
        """Train the machine and its sigmoid.

        Parameters
        ----------
        X : array-like, shape (patients, features)
            Standardised features.
        y : array-like of 0 and 1, shape (patients,)
            Outcome.
        decision : array-like, shape (patients,), optional
            Decision values of patients that the machine had not seen; by default found by cross-validation.

        Returns
        -------
        PlattSVC
            Itself.
        """
        values, outcome = np.asarray(X, dtype=np.float64), np.asarray(y, dtype=np.float64)
        self.classes_, self.n_features_in_ = np.array([0, 1]), values.shape[1]
        self.machine_ = self._machine(values, outcome)
        if decision is None and min(outcome.sum(), (1 - outcome).sum()) < 2:
            decision = self.machine_.decision_function(values)
        if decision is None:
            fold = stratified_folds(outcome, self.folds, self.seed)
            unseen = np.empty(outcome.size)
            for k in range(int(fold.max()) + 1):
                unseen[fold == k] = self._machine(values[fold != k], outcome[fold != k]).decision_function(values[fold == k])
            decision = unseen
        self.slope_, self.offset_ = fit_sigmoid(np.asarray(decision, dtype=np.float64), outcome)
        return self

    def _machine(self, values: Floats, outcome: Floats) -> SVC:
        return SVC(C=self.C, gamma=self.gamma / max(1, values.shape[1])).fit(values, outcome.astype(np.int64))

    def decision_function(self, X: ArrayLike) -> Floats:
        """Give the machine's decision values.

        Parameters
        ----------
        X : array-like, shape (patients, features)
            Standardised features.

        Returns
        -------
        ndarray, shape (patients,)
            Above 0 on the side of the events.
        """
        values: Floats = self.machine_.decision_function(np.asarray(X, dtype=np.float64))
        return values

    def predict_proba(self, X: ArrayLike) -> Floats:
        """Give the probabilities of no event and event.

        Parameters
        ----------
        X : array-like, shape (patients, features)
            Standardised features.

        Returns
        -------
        ndarray, shape (patients, 2)
            Probabilities.
        """
        risk = expit(self.slope_ * self.decision_function(X) + self.offset_)
        return np.column_stack([1.0 - risk, risk])

    def predict(self, X: ArrayLike) -> NDArray[np.int64]:
        """Give the more probable class.

        Parameters
        ----------
        X : array-like, shape (patients, features)
            Standardised features.

        Returns
        -------
        ndarray of int, shape (patients,)
            0 or 1.
        """
        return (self.predict_proba(X)[:, 1] >= 0.5).astype(np.int64)
