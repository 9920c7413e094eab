"""How the segmentation networks were trained, and why so."""

from __future__ import annotations

from sarcofuse.report.blocks import Block, Bullets, Details
from sarcofuse.report.plotting import Studio
from sarcofuse.report.run_folder import RunFolder


def plan(run: RunFolder, studio: Studio) -> list[Block]:
    """List what the plan of the networks decided, with reasons.

    Parameters
    ----------
    run : RunFolder
        What there is to show.
    studio : Studio
        Who draws.

    Returns
    -------
    list of Block
        What to print, folded up.
    """
    del studio
    items = [(name, why) for name, _, why in (str(line).partition(": ") for line in run.run["segmentation_plan"])]
    return [Details("How the networks were trained, and why so", (Bullets(items),))]
