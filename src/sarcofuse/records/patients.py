"""Patients, their outcomes and what becomes of their images."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from sarcofuse.records.prompts import Prompt, PromptKind

Split = Literal["train", "internal", "external"]
SPLITS: tuple[Split, ...] = ("train", "internal", "external")
MaskSource = Literal["given", "out-of-fold", "ensemble", "nnunet", "totalsegmentator"]


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
    prompt : Prompt or None
        A box, clicks or a rough mask that steer the networks' mask.
    """

    patient_id: str
    split: Split
    image: Path | None = None
    mask: Path | None = None
    site: str = ""
    clinical: Mapping[str, float | str | None] = field(default_factory=dict)
    prompt: Prompt | None = None


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
    times : mapping of str to float, optional
        Follow-up time in months by patient, where it is known; sealed like the outcomes.
    competing : collection of str, optional
        Patients whose follow-up ended with a death of something else; sealed, too.
    """

    def __init__(self, values: Mapping[str, int], split: Mapping[str, Split], times: Mapping[str, float] | None = None, competing: Collection[str] = ()) -> None:
        self._training = {k: v for k, v in values.items() if split[k] == "train"}
        self.__sealed = {k: v for k, v in values.items() if split[k] != "train"}
        self.__times = dict(times or {})
        self.__training_times = {p: t for p, t in self.__times.items() if split.get(p) == "train"}
        self.__competing = frozenset(competing)
        self._openings: list[str] = []

    @property
    def training(self) -> dict[str, int]:
        """Outcomes of the training patients."""
        return dict(self._training)

    @property
    def openings(self) -> tuple[str, ...]:
        """Purposes for which the sealed outcomes were opened, in order."""
        return tuple(self._openings)

    @property
    def times(self) -> dict[str, float]:
        """Follow-up times in months of the training patients, where they are known."""
        return dict(self.__training_times)

    def open_times(self) -> dict[str, float]:
        """Give the follow-up times of everybody, for the evaluation, which opens the outcomes as well.

        Returns
        -------
        dict of str to float
            Months by patient, where they are known.
        """
        return dict(self.__times)

    def open_competing(self) -> frozenset[str]:
        """Give those whose follow-up ended with a death of something else, for the evaluation.

        Returns
        -------
        frozenset of str
            Patients.
        """
        return self.__competing

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
    groups : mapping of str to str
        What each patient's row belongs to, where a patient has several tumours or scans; empty where nobody has.
    """

    patients: tuple[Patient, ...]
    outcomes: Outcomes
    set_aside: tuple[SetAside, ...] = ()
    warnings: tuple[str, ...] = ()
    groups: Mapping[str, str] = field(default_factory=dict)


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
    mask_source : {'given', 'out-of-fold', 'ensemble', 'nnunet', 'totalsegmentator'} or None
        Where the mask comes from.
    prompt : Prompt or None
        What steers the networks' mask; a rough mask lies on the grid of `image`.
    prompt_digest : str or None
        SHA-256 of what the prompt says.
    prompted : {'box', 'click', 'rough', ''}
        What `mask` was steered by; empty for a mask that was not.
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
    prompt: Prompt | None = None
    prompt_digest: str | None = None
    prompted: PromptKind | Literal[""] = ""


@dataclass(frozen=True, slots=True)
class MaskQuality:
    """How good an automatic mask is, as far as it can be known.

    Attributes
    ----------
    patient_id, split
        As in `Patient`.
    source : {'given', 'out-of-fold', 'ensemble', 'nnunet', 'totalsegmentator'}
        Where the mask comes from.
    volume_ml : float
        Volume of the mask.
    agreement : float or None
        Mean Dice of the folds' own masks with the ensemble's: an estimate of quality that needs no truth. None where only one network may be used (out-of-fold).
    confidence : float or None
        Mean tumour probability inside the mask, 0 to 1. None for masks by other programs, which come without probabilities.
    dice : float or None
        Dice with the given mask, where there is one.
    steps : mapping of str to float
        Dice with the given mask after each step of the refinement, in order.
    surface_mm : float or None
        95th percentile of the surface distance to the given mask (HD95) in mm.
    volume_error : float or None
        (automatic - given) / given volume.
    prompted : {'box', 'click', 'rough', ''}
        What the mask was steered by; empty for a mask that was not. All other figures are of the steered mask.
    automatic_ml : float or None
        Volume of the mask that the same networks draw without the prompt, 0 where they find no tumour; None where there was no prompt.
    automatic_dice : float or None
        Dice of that mask with the given one.
    warnings : tuple of str
        What had to be done otherwise, for want of memory for instance.
    surface_dice : float or None
        Share of both surfaces that lies within 2 mm of the other (normalised surface Dice).
    assd_mm : float or None
        Average symmetric surface distance in mm.
    truth_ml : float or None
        Volume of the given mask.
    lesions, lesions_found : int or None
        Components of the given mask, and how many of them are covered by at least a tenth.
    lesions_false : int or None
        Components of the automatic mask of which less than a tenth lies in the given one.
    signs : mapping of str to float
        What is seen of the quality without a truth, by name.
    predicted_dice : float or None
        Dice predicted from the signs; of a training patient by a model that was learned without the patient. None where none was learned, and of steered masks.
    predicted_low, predicted_high : float or None
        Between which the Dice of nine such patients in ten is expected.
    review : bool
        Whether a person should look at the mask: its predicted Dice is below the limit, or another structure is almost as likely to be the tumour.
    """

    patient_id: str
    split: Split
    source: MaskSource
    volume_ml: float
    agreement: float | None
    confidence: float | None
    dice: float | None = None
    steps: Mapping[str, float] = field(default_factory=dict)
    surface_mm: float | None = None
    volume_error: float | None = None
    prompted: PromptKind | Literal[""] = ""
    automatic_ml: float | None = None
    automatic_dice: float | None = None
    warnings: tuple[str, ...] = ()
    surface_dice: float | None = None
    assd_mm: float | None = None
    truth_ml: float | None = None
    lesions: int | None = None
    lesions_found: int | None = None
    lesions_false: int | None = None
    signs: Mapping[str, float] = field(default_factory=dict)
    predicted_dice: float | None = None
    predicted_low: float | None = None
    predicted_high: float | None = None
    review: bool = False

    @property
    def row(self) -> dict[str, float | str | bool | None]:
        """All of it but the steps as one flat row; names of signs begin with ``sign_``."""
        fields = {name: getattr(self, name) for name in self.__slots__ if name not in ("steps", "signs", "warnings")}
        return {**fields, "warnings": "; ".join(self.warnings), **{f"sign_{name}": value for name, value in self.signs.items()}}
