"""The plan of the networks: what was decided, and why."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sarcofuse.errors import StageError
from sarcofuse.runtime import read_json, write_json
from sarcofuse.segment.grid import cubic

FORMAT = 1
FLAT = 2
"""Images of so few slices are seen slice by slice."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How to train and use the networks.

    Attributes
    ----------
    spacing : tuple of float
        Working voxel size along x, y, z in mm.
    shape : tuple of int
        Largest shape (z, y, x) of a training volume in working voxels; larger ones are cropped, and predicted window by window.
    factor : tuple of int
        What shapes must be multiples of along z, y, x.
    network : mapping
        Arguments of SegResNetDS.
    epochs, batch : int
        Passes over the training images; images a step.
    learning_rate : float
        Peak learning rate of AdamW.
    device : str
        ``cpu`` or ``cuda``.
    folds : int
        Networks of the ensemble.
    seed : int
        Seed of everything drawn in training.
    reasons : mapping of str to str
        Why each of them is what it is.
    accumulate : int
        Batches whose gradients are added up before each step.
    processes : int
        Processes that train one network together, dividing the batches of a step.
    early_stopping : bool
        Whether some training patients are set apart and decide which epoch's weights are kept.
    tumour_share : float
        Share of patches that are placed on the tumour.
    start : str
        SHA-256 of the weights that training starts from; empty for fresh ones.
    prompts : float
        Share of training volumes that come with a prompt.
    radius_mm : float
        Of a middling tumour: what a click is taken to mean.
    voxels : int
        Working voxels of every image, whatever its size, where images are cropped around the tumour; 0 where they are not.
    repaint : float
        Share of training volumes whose grey scale is inverted or whose tumour gets another brightness.
    """

    spacing: tuple[float, float, float]
    shape: tuple[int, int, int]
    factor: tuple[int, int, int]
    network: Mapping[str, Any]
    epochs: int
    batch: int
    learning_rate: float
    device: str
    folds: int
    seed: int
    reasons: Mapping[str, str]
    accumulate: int = 1
    processes: int = 1
    early_stopping: bool = False
    tumour_share: float = 1.0
    start: str = ""
    prompts: float = 0.0
    radius_mm: float = 0.0
    voxels: int = 0
    repaint: float = 0.0

    @property
    def channels(self) -> int:
        """Channels of the networks' input."""
        return int(self.network["in_channels"])

    def spacing_for(self, shape: Sequence[int], spacing: Sequence[float]) -> tuple[float, float, float]:
        """Give the working voxel size of an image, or of a part of it.

        Parameters
        ----------
        shape : sequence of int
            Its shape (z, y, x).
        spacing : sequence of float
            Its voxel size along x, y, z in mm.

        Returns
        -------
        tuple of float
            Along x, y, z in mm: always the same, or for cropped images such that all have as many voxels.
        """
        if not self.voxels:
            return self.spacing
        side = cubic(shape, spacing, self.voxels)
        return side, side, side


def tumour_diameter(stats: Mapping[str, Any]) -> float:
    """Give the diameter of a sphere as large as the mean tumour.

    Parameters
    ----------
    stats : mapping
        ``stats_summary`` of DataAnalyzer.

    Returns
    -------
    float
        In mm.

    Raises
    ------
    StageError
        If no image has a tumour.
    """
    labels = stats["label_stats"]
    if 1 not in labels["labels"]:
        message = "segment: none of the training masks holds a tumour; expected at least one voxel in each"
        raise StageError(message)
    share = float(labels["label"][labels["labels"].index(1)]["foreground_percentage"]["mean"])
    volume = share * math.prod(float(v) for v in axis_values(stats["image_stats"]["sizemm"]["mean"]))
    return float((6.0 * volume / math.pi) ** (1.0 / 3.0))


def axis_values(value: Any) -> list[float]:  # noqa: ANN401 - DataAnalyzer nests by channel
    """Give what DataAnalyzer says of each axis.

    Parameters
    ----------
    value : list
        Three numbers, nested by channel or not.

    Returns
    -------
    list of float
        Along x, y, z.
    """
    while isinstance(value[0], list):
        value = value[0]
    return [float(v) for v in value]


def explain(plan: Plan) -> list[str]:
    """Tell what was decided and why, for people.

    Parameters
    ----------
    plan : Plan
        The plan.

    Returns
    -------
    list of str
        A line each.
    """
    size = " x ".join(f"{n}" for n in reversed(plan.shape))
    values = {
        "shape": f"{size} voxels",
        "levels": f"{len(plan.network['blocks_down'])}",
        "filters": f"{plan.network['init_filters']}",
        "epochs": f"{plan.epochs}",
    }
    return [f"{name}: {values[name]} ({why})" if name in values else f"{name}: {why}" for name, why in plan.reasons.items()]


def write_plan(plan: Plan, file: Path) -> None:
    """Write a plan as JSON.

    Parameters
    ----------
    plan : Plan
        What to write.
    file : Path
        Where to.
    """
    write_json({"format": FORMAT, **asdict(plan)}, file)


def read_plan(file: Path) -> Plan:
    """Read a plan.

    Parameters
    ----------
    file : Path
        plan.json.

    Returns
    -------
    Plan
        The plan.

    Raises
    ------
    StageError
        If it is of another format.
    """
    content = read_json(file)
    if content.pop("format", None) != FORMAT:
        message = f"{file.name} is of a format this version does not know; expected {FORMAT}. Train again, or use the version that wrote it"
        raise StageError(message)
    content.update({name: tuple(content[name]) for name in ("spacing", "shape", "factor")})
    return Plan(**content)
