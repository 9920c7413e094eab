"""Networks that learnt the outcome, as they are kept for new patients."""

from __future__ import annotations

from pathlib import Path

from sarcofuse.deep.look import Source
from sarcofuse.errors import WeightsError
from sarcofuse.runtime import read_json

RECIPE = "recipe.json"


def kept_networks(folder: Path, backbone: str, source: Source) -> list[Path]:
    """Find the networks of a bundle or run.

    Parameters
    ----------
    folder : Path
        As `sarcofuse.deep.FineTuner.keep` wrote it.
    backbone : str
        Name of the backbone, for the message.
    source : Source
        Its weights.

    Returns
    -------
    list of Path
        A folder a network.

    Raises
    ------
    WeightsError
        If there are none, or they started from other weights.
    """
    try:
        recipe = read_json(folder / RECIPE)
        places, base = [folder / Path(n).name for n in recipe["networks"]], str(recipe["base"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        message = f"{folder} does not hold networks that learnt the outcome: {RECIPE} cannot be read ({error!r}). Take the bundle or the run folder as it was written"
        raise WeightsError(message) from error
    if base != source.digest:
        message = f"the networks in {folder.name} started from other weights of {backbone} than those found ({source.digest[:12]}, expected {base[:12]}); give those of the study"
        raise WeightsError(message)
    return places
