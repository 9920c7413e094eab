"""What flows between the stages: small frozen records, valid once constructed.

Arrays are in (z, y, x) order, as SimpleITK gives them; spacing, origin and direction are in (x, y, z) order, in
millimetres, in the patient coordinate system of DICOM (LPS).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

Split = Literal["train", "internal", "external"]
SPLITS: tuple[Split, ...] = ("train", "internal", "external")
MaskSource = Literal["given", "out-of-fold", "ensemble"]


@dataclass(frozen=True, slots=True)
class Geometry:
    """Where a voxel grid lies in the patient.

    Attributes
    ----------
    size : tuple of int
        Voxels along x, y, z.
    spacing : tuple of float
        Distance of voxel centres along x, y, z in mm.
    origin : tuple of float
        Centre of the first voxel in mm.
    direction : tuple of float
        Nine direction cosines, row by row.
    """

    size: tuple[int, int, int]
    spacing: tuple[float, float, float]
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)
    direction: tuple[float, ...] = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)

    def __post_init__(self) -> None:
        if len(self.size) != 3 or min(self.size) < 1:
            message = f"size must be three counts of at least 1, found {self.size}"
            raise ValueError(message)
        if len(self.spacing) != 3 or not all(np.isfinite(self.spacing)) or min(self.spacing) <= 0:
            message = f"spacing must be three positive lengths in mm, found {self.spacing}"
            raise ValueError(message)
        if len(self.direction) != 9:
            message = f"direction must be nine cosines, found {len(self.direction)}"
            raise ValueError(message)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of an array on this grid, (z, y, x)."""
        return self.size[2], self.size[1], self.size[0]

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel in ml."""
        return float(np.prod(self.spacing)) / 1000.0

    def differences(self, other: Geometry, tolerance: float = 1e-3) -> list[str]:
        """Say in words where two grids differ.

        Parameters
        ----------
        other : Geometry
            The grid to compare with.
        tolerance : float
            Largest difference that counts as rounding: in mm for spacing and origin, absolute for cosines.

        Returns
        -------
        list of str
            Empty where they agree.
        """
        found = [] if self.size == other.size else [f"size {self.size} against {other.size}"]
        for name in ("spacing", "origin", "direction"):
            mine, theirs = np.asarray(getattr(self, name)), np.asarray(getattr(other, name))
            gap = float(np.abs(mine - theirs).max())
            if gap > tolerance:
                found.append(f"{name} {_short(mine)} against {_short(theirs)} (off by up to {gap:.4g})")
        return found


def _short(values: NDArray[np.float64]) -> str:
    return "(" + ", ".join(f"{v:.4g}" for v in values) + ")"


@dataclass(frozen=True, slots=True, eq=False)
class Volume:
    """An image: intensities on a grid.

    Attributes
    ----------
    array : ndarray of float32, shape (z, y, x)
        Intensities, in the scanner's arbitrary units unless normalised.
    geometry : Geometry
        Where the grid lies.
    """

    array: NDArray[np.float32]
    geometry: Geometry

    def __post_init__(self) -> None:
        _check_shape(self.array, self.geometry)


@dataclass(frozen=True, slots=True, eq=False)
class Mask:
    """A region: 1 inside, 0 outside.

    Attributes
    ----------
    array : ndarray of uint8, shape (z, y, x)
        The region.
    geometry : Geometry
        Where the grid lies.
    """

    array: NDArray[np.uint8]
    geometry: Geometry

    def __post_init__(self) -> None:
        _check_shape(self.array, self.geometry)

    @property
    def volume_ml(self) -> float:
        """Volume of the region in ml."""
        return float(np.count_nonzero(self.array)) * self.geometry.voxel_ml


def _check_shape(array: NDArray[np.generic], geometry: Geometry) -> None:
    if array.shape != geometry.shape:
        message = f"array of shape {array.shape} does not fit a grid of shape {geometry.shape}"
        raise ValueError(message)


@dataclass(frozen=True, slots=True)
class Patient:
    """One row of cohort.csv, but for the outcome, which is kept apart in `Outcomes`.

    Attributes
    ----------
    patient_id : str
        Unique in the cohort.
    split : {'train', 'internal', 'external'}
        Which part of the study the patient belongs to.
    image : Path or None
        NIfTI (or NRRD) file or DICOM folder; None where the study starts from feature tables.
    mask : Path or None
        Tumour mask on the image's grid.
    site : str
        Hospital or scanner.
    clinical : mapping
        The further columns, as numbers, text or None.
    """

    patient_id: str
    split: Split
    image: Path | None = None
    mask: Path | None = None
    site: str = ""
    clinical: Mapping[str, float | str | None] = field(default_factory=dict)


class Outcomes:
    """The outcome of every patient, with those of the test splits sealed.

    Training outcomes are free to read. The others are read through `open`, which is counted; only the evaluation
    does that, once everything is frozen.

    Parameters
    ----------
    values : mapping of str to int
        Outcome (0 or 1) by patient.
    split : mapping of str to str
        Split by patient.
    """

    def __init__(self, values: Mapping[str, int], split: Mapping[str, Split]) -> None:
        self._training = {k: v for k, v in values.items() if split[k] == "train"}
        self.__sealed = {k: v for k, v in values.items() if split[k] != "train"}
        self._openings: list[str] = []

    @property
    def training(self) -> dict[str, int]:
        """Outcomes of the training patients."""
        return dict(self._training)

    @property
    def openings(self) -> tuple[str, ...]:
        """Purposes for which the sealed outcomes were opened, in order."""
        return tuple(self._openings)

    def open(self, purpose: str) -> dict[str, int]:
        """Break the seal: the outcomes of internal and external patients, counted.

        Parameters
        ----------
        purpose : str
            Why; goes into run.json and the report.

        Returns
        -------
        dict of str to int
            Outcome by patient of the internal and external splits.
        """
        self._openings.append(purpose)
        return dict(self.__sealed)


@dataclass(frozen=True, slots=True)
class SetAside:
    """A patient, or something of a patient, that could not be used.

    Attributes
    ----------
    patient_id : str
        Whom it concerns.
    stage : str
        Where it happened.
    reason : str
        The error's own words.
    """

    patient_id: str
    stage: str
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class Cohort:
    """The patients of a study.

    Attributes
    ----------
    patients : tuple of Patient
        In order of patient_id.
    outcomes : Outcomes
        Sealed where they must be.
    set_aside : tuple of SetAside
        Rows that were left out, with reasons.
    warnings : tuple of str
        What a careful reader should know (few events, say).
    """

    patients: tuple[Patient, ...]
    outcomes: Outcomes
    set_aside: tuple[SetAside, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Case:
    """A patient's prepared image, and mask if there is one, on the working grid.

    Attributes
    ----------
    patient_id, split, site
        As in `Patient`.
    image : Path
        Prepared image (NIfTI).
    mask : Path or None
        Tumour mask on the grid of `image` (NIfTI).
    native_image : Path
        The image as it came, whose grid masks are given back on.
    image_digest : str
        SHA-256 of the prepared image's content.
    mask_digest : str or None
        SHA-256 of the prepared mask's content.
    mask_source : {'given', 'out-of-fold', 'ensemble'} or None
        Where the mask comes from.
    """

    patient_id: str
    split: Split
    site: str
    image: Path
    mask: Path | None
    native_image: Path
    image_digest: str
    mask_digest: str | None = None
    mask_source: MaskSource | None = None


@dataclass(frozen=True, slots=True)
class MaskQuality:
    """How good an automatic mask is, as far as it can be known.

    Attributes
    ----------
    patient_id, split
        As in `Patient`.
    source : {'given', 'out-of-fold', 'ensemble'}
        Where the mask comes from.
    volume_ml : float
        Volume of the mask.
    agreement : float or None
        Mean Dice of the folds' own masks with the ensemble's: an estimate of quality that needs no truth. None where only one network may be used (out-of-fold).
    confidence : float
        Mean tumour probability inside the mask, 0 to 1.
    dice : float or None
        Dice with the given mask, where there is one.
    steps : mapping of str to float
        Dice with the given mask after each step of the refinement, in order.
    surface_mm : float or None
        95th percentile of the surface distance to the given mask (HD95) in mm.
    volume_error : float or None
        (automatic - given) / given volume.
    """

    patient_id: str
    split: Split
    source: MaskSource
    volume_ml: float
    agreement: float | None
    confidence: float
    dice: float | None = None
    steps: Mapping[str, float] = field(default_factory=dict)
    surface_mm: float | None = None
    volume_error: float | None = None


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
        return self.values[[at[p] for p in patient_ids]]

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
