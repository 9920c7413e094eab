"""What a study tells of masks that were steered by a prompt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from sarcofuse.records import SPLITS, Case, MaskQuality

UNEVEN = 0.2
"""Difference between the shares of steered masks of two splits from which it is told."""


def prompt_counts(cases: Sequence[Case]) -> dict[str, object]:
    """Count steered masks for the flow of run.json.

    Parameters
    ----------
    cases : sequence of Case
        With the masks that features are taken from.

    Returns
    -------
    dict
        ``prompted``: by split, how many masks were steered by a box, click or rough mask; empty where none was.
    """
    found = {split: dict(sorted(Counter(str(c.prompted) for c in cases if c.split == split and c.prompted).items())) for split in SPLITS}
    there = {split: counts for split, counts in found.items() if counts}
    return {"prompted": there} if there else {}


def uneven_prompts(cases: Sequence[Case]) -> list[str]:
    """Warn where one split has many more steered masks than another: its features then differ by how masks were made. Outcomes are not looked at.

    Parameters
    ----------
    cases : sequence of Case
        With the masks that features are taken from.

    Returns
    -------
    list of str
        A warning, or nothing.
    """
    shares = {}
    for split in SPLITS:
        members = [c for c in cases if c.split == split]
        if members:
            shares[split] = sum(bool(c.prompted) for c in members) / len(members)
    if not shares or max(shares.values()) - min(shares.values()) <= UNEVEN:
        return []
    listed = ", ".join(f"{split} {100 * share:.0f}%" for split, share in shares.items())
    return [f"masks steered by a box, click or rough mask are not spread evenly over the splits ({listed}), so that features differ by how masks were made. Prompt all splits by one rule"]


def dice_side_by_side(quality: Sequence[MaskQuality], split: str) -> dict[str, object]:
    """Give the Dice of steered masks beside that of the same patients' automatic ones.

    Parameters
    ----------
    quality : sequence of MaskQuality
        One a mask.
    split : str
        Whose.

    Returns
    -------
    dict
        ``prompted`` (patients), ``prompted_dice_mean``, ``prompted_dice_median``, ``automatic_dice_mean``, ``automatic_dice_median``; empty where no steered mask can be compared.
    """
    import numpy as np

    pairs = [(q.dice, q.automatic_dice) for q in quality if q.split == split and q.prompted and q.dice is not None and q.automatic_dice is not None]
    if not pairs:
        return {}
    found: dict[str, object] = {"prompted": len(pairs)}
    for name, values in zip(("prompted", "automatic"), zip(*pairs, strict=True), strict=True):
        found |= {f"{name}_dice_mean": float(np.mean(values)), f"{name}_dice_median": float(np.median(values))}
    return found
