"""What fitting gives: a frozen model."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sarcofuse.runtime import digest

Floats = NDArray[np.float64]


class Signature(Protocol):
    """What a signature estimator must offer: `sarcofuse.signature.LassoSignature` does."""

    coef_: Floats
    intercept_: float
    penalty_: float
    selected_: NDArray[np.int64]
    supported_: bool

    @property
    @abstractmethod
    def columns(self) -> NDArray[np.int64]:
        """Columns that `features` gives."""

    @abstractmethod
    def fit(self, X: Floats, y: Floats) -> Any:  # noqa: ANN401 - scikit-learn's interface
        """Learn the signature."""

    @abstractmethod
    def transform(self, X: Floats) -> Floats:
        """Give the signature, shape (patients, 1)."""

    @abstractmethod
    def features(self, X: Floats) -> Floats:
        """Give the selected features, standardised."""

    @abstractmethod
    def get_params(self) -> dict[str, Any]:
        """Give the settings."""


class Keeper(Protocol):
    """What a filter of stable features must offer: `sarcofuse.signature.StabilityFilter` does."""

    @abstractmethod
    def fit(self, X: Floats, y: None = None, repeats: Floats | None = None) -> Any:  # noqa: ANN401 - scikit-learn's interface
        """Choose the features.

        Parameters
        ----------
        X : ndarray, shape (patients, features)
            Features.
        y : None
            Not used.
        repeats : ndarray, shape (patients, repeats, features)
            The same patients' features, measured again and again.
        """

    @abstractmethod
    def get_support(self) -> NDArray[np.bool_]:
        """Give the features that are kept."""

    @abstractmethod
    def get_params(self) -> dict[str, Any]:
        """Give the settings."""


@dataclass(frozen=True, slots=True, eq=False)
class Repeats:
    """A block's features measured again and again, by which each fold judges for itself what is stable. No outcome is part of it.

    Attributes
    ----------
    patient_ids : tuple of str
        Training patients, in order of the file's first axis.
    file : Path
        ``.npy`` of float64, shape (patients, repeats, features); the features are those of the block.
    content : str
        SHA-256 of the file.
    keeper : Keeper
        Unfitted filter.
    """

    patient_ids: tuple[str, ...]
    file: Path
    content: str
    keeper: Keeper

    @property
    def key(self) -> str:
        """What a result depends on."""
        return digest(self.patient_ids, self.content, self.keeper.get_params())

    def stable(self, patient_ids: Sequence[str]) -> NDArray[np.bool_]:
        """Say which features are stable over some patients.

        Parameters
        ----------
        patient_ids : sequence of str
            Who judges; those who were not measured again are passed over.

        Returns
        -------
        ndarray of bool, shape (features,)
            True for a stable feature.

        Raises
        ------
        ValueError
            If no feature is stable.
        """
        from sklearn.base import clone

        at = {p: i for i, p in enumerate(self.patient_ids)}
        values = np.array(np.load(self.file, mmap_mode="r", allow_pickle=False)[[at[p] for p in patient_ids if p in at]])
        found: NDArray[np.bool_] = clone(self.keeper).fit(values[:, 0], repeats=values).get_support()
        return found


class Learned(Protocol):
    """A block that is itself learned from the outcome, so that each training set has other values: `sarcofuse.deep.FineTuner` is one."""

    @property
    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """Columns that are learned; the block may have others behind them, such as the site."""

    @abstractmethod
    def learn(self, patient_ids: Sequence[str], y: Floats, group: NDArray[np.int64] | None, rounds: Sequence[tuple[NDArray[np.bool_], NDArray[np.int64]]]) -> list[Floats]:
        """Give the block's values for each training set.

        Parameters
        ----------
        patient_ids : sequence of str
            Training patients, in order.
        y : ndarray of 0 and 1, shape (patients,)
            Outcome.
        group : ndarray of int, shape (patients,), or None
            Patients of one number stay together.
        rounds : sequence of (ndarray of bool, ndarray of int), each of shape (patients,)
            Who learns, and in which fold; what others are is not looked at.

        Returns
        -------
        list of ndarray, each of shape (patients, columns)
            For learners out-of-fold; for others as for new patients.
        """


class Estimator(Protocol):
    """What the bundle keeps of a model: `sarcofuse.models.RiskModel`."""

    @abstractmethod
    def predict_proba(self, X: Floats) -> Floats:
        """Give the probabilities of no event and event, shape (patients, 2)."""


@dataclass(frozen=True, slots=True, eq=False)
class FittedModel:
    """One of the models, fitted on all training patients and frozen.

    Attributes
    ----------
    features : str
        Feature set: ``radiomic``, ``deep``, ``dlr``, ``clinical`` ...
    classifier : str
        Name of the classifier.
    blocks : mapping of str to tuple of str
        Feature names of each block that the model reads. The estimator's input is these blocks, in this order, side by side.
    estimator : Estimator
        Fitted scikit-learn estimator with ``predict_proba``; skops can keep it.
    threshold : float
        The locked operating point: positive means a risk of at least this.
    out_of_fold : mapping of str to float
        Out-of-fold risk of every training patient.
    events : int
        Training patients with the event.
    parameters : mapping
        The classifier's settings that tuning chose, and how well they did.
    signatures : mapping of str to mapping
        By block: penalty, intercept, and coefficients (per standard deviation) by feature name.
    warnings : tuple of str
        What a careful reader should know.
    validation : mapping
        Further figures of the training patients, as far as the settings ask for them: ``repeats``, ``ablation``, ``optimism``, ``learning_curve``.
    """

    features: str
    classifier: str
    blocks: Mapping[str, tuple[str, ...]]
    estimator: Estimator
    threshold: float
    out_of_fold: Mapping[str, float]
    events: int
    parameters: Mapping[str, Any] = field(default_factory=dict)
    signatures: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    validation: Mapping[str, Any] = field(default_factory=dict)

    def record(self) -> dict[str, Any]:
        """Give the model's entry in models.json.

        Returns
        -------
        dict
            Plain content, no patients.
        """
        return {
            "features": self.features,
            "classifier": self.classifier,
            "threshold": self.threshold,
            "parameters": dict(self.parameters),
            "signatures": {block: dict(content) for block, content in self.signatures.items()},
            "train_patients": len(self.out_of_fold),
            "train_events": self.events,
            "warnings": list(self.warnings),
            **({"validation": dict(self.validation)} if self.validation else {}),
        }
