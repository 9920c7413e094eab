"""What a bundle keeps of a model: signatures, scaler and classifier in one scikit-learn estimator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble._forest import ForestClassifier
from sklearn.preprocessing import StandardScaler

from sarcofuse.models.record import Floats, Signature


class ScaledClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A fitted scaler and a fitted classifier.

    Parameters
    ----------
    scaler : StandardScaler
        Fitted.
    classifier : object
        Fitted, with ``predict_proba`` for classes 0 and 1.
    """

    def __init__(self, scaler: StandardScaler, classifier: Any) -> None:  # noqa: ANN401 - any scikit-learn classifier
        self.scaler = scaler
        self.classifier = classifier

    def __sklearn_is_fitted__(self) -> bool:
        return True

    @property
    def classes_(self) -> NDArray[np.int64]:
        """Classes: 0 and 1."""
        return np.array([0, 1])

    def predict_proba(self, X: ArrayLike) -> Floats:
        """Give the probabilities of no event and event.

        Forests go through all patients at once, every other classifier goes through them one by one: a patient's risk has the same bits alone and among others.

        Parameters
        ----------
        X : array-like, shape (patients, columns)
            What the classifier was trained on.

        Returns
        -------
        ndarray, shape (patients, 2)
            Probabilities.
        """
        given = np.asarray(X, dtype=np.float64)
        if not len(given):
            return np.empty((0, 2))
        values = self.scaler.transform(given)
        if isinstance(self.classifier, ForestClassifier):
            return np.asarray(self.classifier.predict_proba(values), dtype=np.float64)
        return np.vstack([self.classifier.predict_proba(values[i : i + 1]) for i in range(len(values))])


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
    tail : ScaledClassifier
        The fitted classifier.
    """

    def __init__(self, signatures: Sequence[Signature], widths: Sequence[int], view: str, tail: ScaledClassifier) -> None:
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
        look = [s.transform(b) if self.view == "signatures" else s.features(b) for s, b in zip(self.signatures, blocks, strict=True)]
        return np.hstack(look)

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
        return (self.predict_proba(X)[:, 1] >= 0.5).astype(np.int64)
