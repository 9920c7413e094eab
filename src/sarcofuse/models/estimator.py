"""What a bundle keeps of a model: signatures, scaler, classifier and sigmoid in one scikit-learn estimator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.preprocessing import StandardScaler

from sarcofuse.models.calibrate import probability
from sarcofuse.models.record import Floats, Signature

_LEAST = 1e-4


class CalibratedClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A fitted scaler, a fitted classifier, and the sigmoid that makes its scores probabilities.

    Parameters
    ----------
    scaler : StandardScaler
        Fitted.
    used : ndarray of float, shape (columns,)
        1 for a column that is used, 0 for one that is not.
    classifier : object
        Fitted, for classes 0 and 1.
    slope, offset : float
        The sigmoid, see `sarcofuse.models.calibrate.fit_sigmoid`.
    """

    def __init__(self, scaler: StandardScaler, used: Floats, classifier: Any, slope: float = 1.0, offset: float = 0.0) -> None:  # noqa: ANN401 - any scikit-learn classifier
        self.scaler = scaler
        self.used = used
        self.classifier = classifier
        self.slope = slope
        self.offset = offset

    def __sklearn_is_fitted__(self) -> bool:
        return True

    @property
    def classes_(self) -> NDArray[np.int64]:
        """Classes: 0 and 1."""
        return np.array([0, 1])

    def with_sigmoid(self, slope: float, offset: float) -> CalibratedClassifier:
        """Give the same classifier with another sigmoid.

        Parameters
        ----------
        slope, offset : float
            The sigmoid.

        Returns
        -------
        CalibratedClassifier
            It shares scaler and classifier.
        """
        return CalibratedClassifier(self.scaler, self.used, self.classifier, slope, offset)

    def scores(self, X: ArrayLike, *, singly: bool = True) -> Floats:
        """Give the classifier's scores: its decision values, or else the log-odds of its probabilities held within 0.0001 and 0.9999.

        Parameters
        ----------
        X : array-like, shape (patients, columns)
            What the classifier was trained on.
        singly : bool
            Whether to go through the patients one by one, so that a patient's score has the same bits alone and among others. Forests do not need it.

        Returns
        -------
        ndarray, shape (patients,)
            Scores.
        """
        given = np.asarray(X, dtype=np.float64)
        if not len(given):
            return np.empty(0)
        values = self.scaler.transform(given) * self.used
        if not singly or isinstance(self.classifier, ExtraTreesClassifier | RandomForestClassifier):
            return self._raw(values)
        return np.concatenate([self._raw(values[i : i + 1]) for i in range(len(values))])

    def _raw(self, values: Floats) -> Floats:
        if hasattr(self.classifier, "decision_function"):
            return np.asarray(self.classifier.decision_function(values), dtype=np.float64)
        risk = np.clip(self.classifier.predict_proba(values)[:, 1], _LEAST, 1.0 - _LEAST)
        return np.array([float(np.log(r / (1.0 - r))) for r in risk])

    def predict_proba(self, X: ArrayLike) -> Floats:
        """Give the probabilities of no event and event.

        Parameters
        ----------
        X : array-like, shape (patients, columns)
            What the classifier was trained on.

        Returns
        -------
        ndarray, shape (patients, 2)
            Probabilities; the same bits for a patient alone and among others.
        """
        risk = np.array([probability(float(s), self.slope, self.offset) for s in self.scores(X)])
        return np.column_stack([1.0 - risk, risk])

    def predict(self, X: ArrayLike) -> NDArray[np.int64]:
        """Give the more probable class.

        Parameters
        ----------
        X : array-like, shape (patients, columns)
            What the classifier was trained on.

        Returns
        -------
        ndarray of int, shape (patients,)
            0 or 1.
        """
        return (self.predict_proba(X)[:, 1] >= 0.5).astype(np.int64)


class RiskModel(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Feature blocks in, risk out.

    Parameters
    ----------
    signatures : list of fitted signatures
        One a block, see `sarcofuse.models.record.Signature`.
    widths : list of int
        Features of each block; the input is the blocks side by side.
    view : {'signatures', 'features'}
        Whether the classifier sees one signature a block, or the features that they selected.
    tail : CalibratedClassifier
        The fitted classifier.
    """

    def __init__(self, signatures: Sequence[Signature], widths: Sequence[int], view: str, tail: CalibratedClassifier) -> None:
        self.signatures = signatures
        self.widths = widths
        self.view = view
        self.tail = tail

    def __sklearn_is_fitted__(self) -> bool:
        return True

    @property
    def classes_(self) -> NDArray[np.int64]:
        """Classes: 0 and 1."""
        return np.array([0, 1])

    def columns(self, X: ArrayLike) -> Floats:
        """Give what the classifier sees.

        Parameters
        ----------
        X : array-like, shape (patients, features)
            The blocks side by side, NaN where missing.

        Returns
        -------
        ndarray, shape (patients, columns)
            Signatures, or selected features, block by block.

        Raises
        ------
        ValueError
            If the number of features is not that of the blocks.
        """
        values = np.asarray(X, dtype=np.float64)
        if values.ndim != 2 or values.shape[1] != sum(self.widths):
            message = f"the model reads {sum(self.widths)} features, found an array of shape {values.shape}"
            raise ValueError(message)
        blocks = np.split(values, np.cumsum(self.widths)[:-1], axis=1)
        return np.hstack([s.transform(b) if self.view == "signatures" else s.features(b) for s, b in zip(self.signatures, blocks, strict=True)])

    def predict_proba(self, X: ArrayLike) -> Floats:
        """Give the probabilities of no event and event.

        Parameters
        ----------
        X : array-like, shape (patients, features)
            The blocks side by side, NaN where missing.

        Returns
        -------
        ndarray, shape (patients, 2)
            Probabilities; the same bits for a patient alone and among others.
        """
        return self.tail.predict_proba(self.columns(X))

    def predict(self, X: ArrayLike) -> NDArray[np.int64]:
        """Give the more probable class; the locked threshold is not in here, see `FittedModel.threshold`.

        Parameters
        ----------
        X : array-like, shape (patients, features)
            The blocks side by side, NaN where missing.

        Returns
        -------
        ndarray of int, shape (patients,)
            0 or 1.
        """
        return self.tail.predict(self.columns(X))
