"""Features and predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sarcofuse.records.patients import Split

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True, eq=False)
class FeatureTable:
    """A block of features: a row a patient, a column a feature.

    Attributes
    ----------
    block : str
        ``radiomic``, ``deep``, ``clinical`` or any other name.
    patient_ids : tuple of str
        Row labels, unique.
    names : tuple of str
        Column labels, unique.
    values : ndarray of float64, shape (patients, features)
        NaN where a feature is not defined.
    """

    block: str
    patient_ids: tuple[str, ...]
    names: tuple[str, ...]
    values: NDArray[np.float64]

    def __post_init__(self) -> None:
        if self.values.shape != (len(self.patient_ids), len(self.names)):
            message = f"{self.block}: {self.values.shape} values for {len(self.patient_ids)} patients and {len(self.names)} features"
            raise ValueError(message)
        for kind, labels in (("patient", self.patient_ids), ("feature", self.names)):
            if len(set(labels)) != len(labels):
                twice = next(x for x in labels if labels.count(x) > 1)
                message = f"{self.block}: {kind} {twice} stands there twice"
                raise ValueError(message)

    def rows(self, patient_ids: Sequence[str]) -> NDArray[np.float64]:
        """Give the rows of the named patients, in that order; KeyError for one that is absent.

        Parameters
        ----------
        patient_ids : sequence of str
            Whom to give.

        Returns
        -------
        ndarray of float64, shape (len(patient_ids), features)
            Their values.
        """
        at = {p: i for i, p in enumerate(self.patient_ids)}
        return np.ascontiguousarray(self.values[[at[p] for p in patient_ids]])  # sums round by layout in memory

    def to_frame(self) -> pd.DataFrame:
        """Give the table as a DataFrame indexed by patient_id.

        Returns
        -------
        DataFrame
            One row a patient.
        """
        import pandas as pd

        return pd.DataFrame(self.values, index=pd.Index(self.patient_ids, name="patient_id"), columns=list(self.names))


@dataclass(frozen=True, slots=True)
class Prediction:
    """The risk that one model gives one patient: a row of predictions.csv.

    Attributes
    ----------
    patient_id, split
        As in `Patient`.
    features : str
        Feature set: ``radiomic``, ``deep``, ``dlr``, ``clinical`` ...
    classifier : str
        Name of the classifier.
    primary : bool
        Whether this is the model that the bundle leads with.
    risk : float
        Predicted probability of the outcome; out-of-fold for training patients.
    positive : bool
        Whether the risk reaches the model's locked threshold.
    """

    patient_id: str
    split: Split
    features: str
    classifier: str
    primary: bool
    risk: float
    positive: bool
