"""The trained ensemble as a folder: plan.json, segmenter.json and one file of weights a fold."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sarcofuse.errors import BundleError
from sarcofuse.records import SetAside
from sarcofuse.runtime import atomic_file, digest, digest_file, read_json
from sarcofuse.segment.forecast import Forecast, from_plain
from sarcofuse.segment.plan import Plan, read_plan

FORMAT = 1
CARD, PLAN, QUALITY = "segmenter.json", "plan.json", "quality.json"


@dataclass(frozen=True)
class Segmenter:
    """A trained ensemble of networks, one a fold.

    Attributes
    ----------
    folder : Path
        Holds plan.json, segmenter.json (SegResNetDS's arguments and the digest of each file), fold_0.safetensors ... and, where it was learned, quality.json (the model that
        predicts the Dice of masks); no patient is named in it.
    folds : mapping of str to int
        The fold that each training patient was held out in. Not kept in the folder; empty for one that was loaded.
    set_aside : tuple of SetAside
        Training patients that no network could learn from, with reasons.
    notes : tuple of str
        What a careful reader should know of the training.
    """

    folder: Path
    folds: Mapping[str, int] = field(default_factory=dict)
    set_aside: tuple[SetAside, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def plan(self) -> Plan:
        """The plan it was trained by."""
        return read_plan(self.folder / PLAN)

    @property
    def takes_prompts(self) -> bool:
        """Whether its networks were trained to be steered by boxes, clicks and rough masks."""
        return self.plan.prompts > 0

    @property
    def weights(self) -> tuple[Path, ...]:
        """Weights of each fold, in order; keys are those of MONAI's SegResNetDS."""
        return tuple(self.folder / item["file"] for item in read_json(self.folder / CARD)["folds"])

    @property
    def forecast(self) -> Forecast | None:
        """The model that predicts the Dice of its masks; None where there is none."""
        return from_plain(read_json(self.folder / QUALITY)) if "quality" in read_json(self.folder / CARD) else None

    @property
    def content(self) -> str:
        """SHA-256 of everything the masks depend on."""
        card = read_json(self.folder / CARD)
        return digest("segmenter", card["network"], card["plan"], [item["sha256"] for item in card["folds"]])


def save_segmenter(segmenter: Segmenter, folder: Path) -> None:
    """Copy the ensemble, without the names of its patients.

    Parameters
    ----------
    segmenter : Segmenter
        What to save.
    folder : Path
        Where to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    quality = [segmenter.folder / QUALITY] if "quality" in read_json(segmenter.folder / CARD) else []
    for source in (segmenter.folder / PLAN, *segmenter.weights, *quality, segmenter.folder / CARD):
        with atomic_file(folder / source.name) as part:
            shutil.copyfile(source, part)


def load_segmenter(folder: Path) -> Segmenter:
    """Open a saved ensemble and verify it.

    Parameters
    ----------
    folder : Path
        What `save_segmenter` wrote.

    Returns
    -------
    Segmenter
        Without folds: it gives ensemble masks only.

    Raises
    ------
    BundleError
        If a file is absent or altered, or the format is unknown.
    """
    try:
        card = read_json(folder / CARD)
    except (OSError, ValueError) as error:
        message = f"segmentation model {folder.name}: {CARD} cannot be read ({error}); expected a folder that save_segmenter wrote"
        raise BundleError(message) from error
    if not isinstance(card, dict) or card.get("format") != FORMAT:
        found = card.get("format") if isinstance(card, dict) else card
        message = f"segmentation model {folder.name}: format {found!r} in {CARD} is not known to this version; expected {FORMAT}. Use the version that wrote it, or a newer one"
        raise BundleError(message)
    quality = [(QUALITY, card["quality"])] if "quality" in card else []
    for name, wanted in [(PLAN, card["plan"]), *quality, *((item["file"], item["sha256"]) for item in card["folds"])]:
        file = folder / Path(name).name
        if not file.is_file():
            message = f"segmentation model {folder.name}: {name} is absent; expected it beside {CARD}. Copy the whole folder"
            raise BundleError(message)
        if digest_file(file) != wanted:
            message = f"segmentation model {folder.name}: {name} was altered: its SHA-256 differs from the one in {CARD}. Take the folder as it was saved"
            raise BundleError(message)
    return Segmenter(folder)
