"""Who is in the cohort: splits, outcomes, hidden components, volumes and clinical columns, before any image is drawn."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from sarcofuse.errors import ConfigError
from sarcofuse.phantom.truth import CAUSES, Latents, check_causes, draw_latents
from sarcofuse.records import SPLITS, Split

Site = Literal["A", "B"]
Region = Literal["thigh", "leg", "pelvis"]

SMALLEST, LARGEST = 24, 803
STUDY_PATIENTS: dict[Split, int] = {"train": 527, "internal": 132, "external": 144}
"""Patients of the study that the phantom follows (doi 10.1007/s10278-025-01653-w)."""
STUDY_EVENTS: dict[Split, int] = {"train": 120, "internal": 33, "external": 47}
"""Recurrences of the study: 22.8 %, 25.0 % and 32.6 %."""
SITES: dict[Split, Site] = {"train": "A", "internal": "A", "external": "B"}
"""Hospital A gives the training and internal patients, hospital B the external ones."""
VOLUME_ML = (20.0, 300.0)
"""Smallest and largest tumour volume."""
VOLUME_MEDIAN_ML, VOLUME_SIGMA = 75.0, 0.6
LEG_LARGEST_ML = 90.0
"""A lower leg has no room for tumours beyond this."""


@dataclass(frozen=True, slots=True)
class PatientPlan:
    """All that is settled about a patient before the image is drawn.

    Attributes
    ----------
    patient_id : str
        ``P001`` and so on.
    index : int
        Place in the cohort, from 1; with `seed` it fixes everything random about the image.
    seed : int
        Seed of the cohort.
    split : {'train', 'internal', 'external'}
        Part of the study.
    site : {'A', 'B'}
        Hospital.
    region : {'thigh', 'leg', 'pelvis'}
        Part of the body.
    recurrence : int
        Outcome, 1 or 0.
    latents : Latents
        Hidden components.
    volume_ml : float
        Wanted tumour volume; the drawn one is within a few per cent, less where bone or skin is in the way.
    age : int
        Years; has nothing to do with the outcome.
    grade : int
        1 to 3; has nothing to do with the outcome.
    """

    patient_id: str
    index: int
    seed: int
    split: Split
    site: Site
    region: Region
    recurrence: int
    latents: Latents
    volume_ml: float
    age: int
    grade: int


def split_sizes(patients: int) -> dict[Split, int]:
    """Divide a number of patients as the study's 527/132/144.

    Parameters
    ----------
    patients : int
        24 to 803.

    Returns
    -------
    dict
        Patients by split.

    Raises
    ------
    ConfigError
        If the number is out of range.
    """
    if not SMALLEST <= patients <= LARGEST:
        message = f"a synthetic cohort has {SMALLEST} to {LARGEST} patients, found {patients}: choose a number in that range"
        raise ConfigError(message)
    internal, external = (max(4, round(patients * STUDY_PATIENTS[s] / LARGEST)) for s in SPLITS[1:])
    return {"train": patients - internal - external, "internal": internal, "external": external}


def event_counts(patients: int) -> dict[Split, int]:
    """Give the number of events of each split: the study's rate, and at least two with and two without the event.

    Parameters
    ----------
    patients : int
        24 to 803.

    Returns
    -------
    dict
        Events by split.
    """
    return {s: min(n - 2, max(2, round(n * STUDY_EVENTS[s] / STUDY_PATIENTS[s]))) for s, n in split_sizes(patients).items()}


def plan_cohort(patients: int, seed: int = 0, causes: Iterable[str] = CAUSES) -> tuple[PatientPlan, ...]:
    """Settle every patient of a cohort; takes milliseconds.

    Outcomes are a random order of the split's fixed counts; components are drawn given the outcome (see `sarcofuse.phantom.truth`). Tumour volumes
    are lognormal (median 75 ml, sigma 0.6, cut to 20 to 300 ml) and independent of everything else; within each split and outcome they are drawn one from each of n equally likely
    strata, so that chance does not make volume predictive in a small cohort.

    Parameters
    ----------
    patients : int
        24 to 803.
    seed : int
        The same seed gives the same cohort.
    causes : iterable of str
        Components that the risk depends on; the others show in the images and mean nothing.

    Returns
    -------
    tuple of PatientPlan
        Training, internal and then external patients.
    """
    events, causes = event_counts(patients), check_causes(causes)
    plans: list[PatientPlan] = []
    rng = np.random.default_rng([seed, 0])
    for split, count in split_sizes(patients).items():
        outcome = rng.permutation(np.arange(count) < events[split]).astype(int)
        strata = np.empty(count)
        for value in (0, 1):
            chosen = outcome == value
            strata[chosen] = (rng.permutation(int(chosen.sum())) + rng.random(int(chosen.sum()))) / chosen.sum()
        for recurrence, stratum in zip(outcome, strata, strict=True):
            plans.append(_plan_patient(len(plans) + 1, seed, split, int(recurrence), float(stratum), causes))
    return tuple(plans)


def _plan_patient(index: int, seed: int, split: Split, recurrence: int, stratum: float, causes: tuple[str, ...]) -> PatientPlan:
    rng = np.random.default_rng([seed, index, 0])
    latents = draw_latents(rng, recurrence, causes)
    volume = volume_at(stratum)
    regions: tuple[Region, ...] = ("thigh", "leg", "pelvis")
    chances = (0.4, 0.35, 0.25) if volume <= LEG_LARGEST_ML else (0.7, 0.0, 0.3)
    region = regions[int(rng.choice(3, p=chances))]
    age = int(np.clip(round(float(rng.normal(56, 15))), 18, 90))
    grade = int(rng.choice((1, 2, 3), p=(0.2, 0.35, 0.45)))
    return PatientPlan(f"P{index:03d}", index, seed, split, SITES[split], region, recurrence, latents, volume, age, grade)


def volume_at(share: float) -> float:
    """Give the tumour volume below which a share of all tumours lies.

    Parameters
    ----------
    share : float
        0 to 1.

    Returns
    -------
    float
        Volume in ml.
    """
    from scipy.special import ndtr, ndtri

    low, high = (ndtr(np.log(v / VOLUME_MEDIAN_ML) / VOLUME_SIGMA) for v in VOLUME_ML)
    return float(VOLUME_MEDIAN_ML * np.exp(VOLUME_SIGMA * ndtri(low + share * (high - low))))
