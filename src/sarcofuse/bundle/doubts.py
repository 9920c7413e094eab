"""What to say of drawn masks that a person should look at."""

from __future__ import annotations

from collections.abc import Sequence

from sarcofuse.records import MaskQuality

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
