"""What fitting gives: a frozen model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Signature(Protocol):
    """What a signature estimator must offer: `sarcofuse.signature.LassoSignature` does."""

    coef_: Floats
    intercept_: float
    penalty_: float
    selected_: NDArray[np.int64]
    supported_: bool

    @property
    def columns(self) -> NDArray[np.int64]:
        """Columns that `features` gives."""

    def fit(self, X: Floats, y: Floats) -> Any:  # noqa: ANN401 - scikit-learn's interface
        """Learn the signature."""

    def transform(self, X: Floats) -> Floats:
        """Give the signature, shape (patients, 1)."""

    def features(self, X: Floats) -> Floats:
        """Give the selected features, standardised."""

    def get_params(self) -> dict[str, Any]:
        """Give the settings."""


class Estimator(Protocol):
    """What the bundle keeps of a model: `sarcofuse.models.RiskModel`."""

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
        }
