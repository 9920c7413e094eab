"""What to say of masks: of drawn ones that a person should look at, and of given ones that cannot be used."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from sarcofuse.records import MaskQuality, SetAside

DOUBT = "the mask's predicted Dice is {:.2f} ({:.2f} to {:.2f}){}: look at the mask before the risk is believed"
RIVAL = ", and another structure is almost as likely to be the tumour"


def mask_doubts(quality: Sequence[MaskQuality], below: float) -> dict[str, str]:
    """Give a warning for each mask to review.

    Parameters
    ----------
    quality : sequence of MaskQuality
        Drawn masks.
    below : float
        The limit of the predicted Dice.

    Returns
    -------
    dict of str to str
        Warning by patient.
    """
    found = {}
    for q in quality:
        if q.review and q.predicted_dice is not None:
            why = f", below {below:g}" if q.predicted_dice < below else RIVAL
            found[q.patient_id] = DOUBT.format(q.predicted_dice, q.predicted_low, q.predicted_high, why)
    return found


def advise(aside: Sequence[SetAside], *, draws: bool) -> list[SetAside]:
    """Give advice that helps with a new patient in place of advice for a study.

    Parameters
    ----------
    aside : sequence of SetAside
        Patients that could not be used.
    draws : bool
        Whether the bundle can draw masks.

    Returns
    -------
    list of SetAside
        The same, with reasons changed.
    """
    from sarcofuse.imaging.masks import BY_STUDY

    better = ", give another mask, or leave it out: the bundle then draws one" if draws else ", or give another mask"
    return [dataclasses.replace(a, reason=a.reason.replace(BY_STUDY, better)) for a in aside]
