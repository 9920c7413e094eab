"""The plan: what Auto3DSeg's data analysis says about spacing, network and training, with reasons."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sarcofuse.config.segment import SegmentConfig
from sarcofuse.errors import StageError
from sarcofuse.runtime import read_json, write_json

FORMAT = 1
LEVELS = 4
VOXELS = {"cpu": 120_000, "cuda": 1_500_000}
"""Most voxels that one training volume should have."""
VISITS = {"cpu": 1_750, "cuda": 20_000}
"""Training volumes that a network sees in all, unless the epochs are given."""
ACROSS = {"cpu": 14.0, "cuda": 40.0}
"""Voxels that the diameter of a middling tumour should span in its plane."""
FILTERS = {"cpu": 8, "cuda": 32}
BLOCKS = {"cpu": ([0, 1, 1, 1], [1, 1, 0]), "cuda": ([1, 2, 2, 4], [1, 1, 1])}
"""Residual blocks of each level, down and up."""


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


def make_plan(stats: Mapping[str, Any], config: SegmentConfig, device: str, seed: int) -> Plan:
    """Decide what the configuration leaves open, from the summary of Auto3DSeg's data analysis.

    Parameters
    ----------
    stats : mapping
        ``stats_summary`` of DataAnalyzer.
    config : SegmentConfig
        What is already decided.
    device : str
        ``cpu`` or ``cuda``.
    seed : int
        Seed of the study.

    Returns
    -------
    Plan
        With a reason for every decision.
    """
    reasons: dict[str, str] = {}
    spacing = _spacing(stats, config, device, reasons)
    resolution, factor = _scales(spacing, reasons)
    shape = _shape(stats, config, spacing, factor, reasons)
    patients = max(1, round(int(stats["n_cases"]) * (config.folds - 1) / config.folds))
    epochs = config.epochs or max(8, min(300, math.ceil(VISITS[device] / patients)))
    reasons["epochs"] = f"segment.epochs is {config.epochs}" if config.epochs else f"{VISITS[device]} volumes to see on {device}, {patients} training patients a fold"
    down, up = BLOCKS[device]
    network = {
        "spatial_dims": 3,
        "init_filters": config.filters or FILTERS[device],
        "in_channels": 1,
        "out_channels": 1,
        "norm": "instance",
        "blocks_down": down,
        "blocks_up": up,
        "dsdepth": 1,
        "resolution": list(resolution),
    }
    reasons["filters"] = f"segment.filters is {config.filters}" if config.filters else f"{FILTERS[device]} on {device}"
    reasons["blocks"] = "none at the first level, where each would cost as much as all others together" if device == "cpu" else "as in MONAI's SegResNet"
    return Plan(spacing, shape, factor, network, epochs, min(2, patients), config.learning_rate, device, config.folds, seed, reasons)


def _spacing(stats: Mapping[str, Any], config: SegmentConfig, device: str, reasons: dict[str, str]) -> tuple[float, float, float]:
    if config.spacing is not None:
        reasons["spacing"] = "segment.spacing gives it"
        return config.spacing
    image = stats["image_stats"]
    native = [float(v) for v in _row(image["spacing"]["median"])]
    extent = [float(v) for v in _row(image["sizemm"]["percentile_90_0"])]
    diameter = tumour_diameter(stats)
    plane = max(native[0], native[1], diameter / ACROSS[device])
    voxels = math.prod(extent) / (plane * plane * max(native[2], plane))
    if voxels > VOXELS[device]:
        deep = extent[2] / max(native[2], plane)
        plane = max(plane, math.sqrt(extent[0] * extent[1] * deep / VOXELS[device]))
        why = f"the largest that keeps a volume of {extent[0]:.0f} x {extent[1]:.0f} x {extent[2]:.0f} mm within {VOXELS[device]} voxels on {device}"
    else:
        why = f"a middling tumour, {diameter:.0f} mm across, spans {ACROSS[device]:.0f} voxels"
    plane = round(plane * 4) / 4 or 0.25
    through = max(native[2], plane)
    reasons["spacing"] = f"{plane:g} mm in the plane: {why}; {through:g} mm through it: " + ("the images' own" if through > plane else "as in the plane")
    return plane, plane, round(through, 3)


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
    volume = share * math.prod(float(v) for v in _row(stats["image_stats"]["sizemm"]["mean"]))
    return float((6.0 * volume / math.pi) ** (1.0 / 3.0))


def _scales(spacing: tuple[float, float, float], reasons: dict[str, str]) -> tuple[tuple[float, float, float], tuple[int, int, int]]:
    """Give the resolution that SegResNetDS is told, along z, y, x, and what shapes must be multiples of."""
    resolution = (float(spacing[2]), float(spacing[1]), float(spacing[0]))
    halvings = [min(LEVELS - 1, math.floor(math.log2(max(resolution) / r))) for r in resolution]
    factor = [2 ** (LEVELS - 1 - max(halvings) + h) for h in halvings]
    reasons["network"] = "kernels and strides spare the thick direction until voxels are about cubic" if max(halvings) else "voxels are within a factor of two of cubic: cubic kernels and strides"
    return resolution, (factor[0], factor[1], factor[2])


def _shape(stats: Mapping[str, Any], config: SegmentConfig, spacing: tuple[float, float, float], factor: Sequence[int], reasons: dict[str, str]) -> tuple[int, int, int]:
    if config.patch is not None:
        wanted = [config.patch[2], config.patch[1], config.patch[0]]
        reasons["shape"] = "segment.patch gives it, rounded up to what the network's strides need"
    else:
        extent = [float(v) for v in _row(stats["image_stats"]["sizemm"]["max"])]
        wanted = [math.ceil(extent[2 - k] / spacing[2 - k] - 1e-3) for k in range(3)]
        reasons["shape"] = "the largest training volume, rounded up to what the network's strides need"
    shape = tuple(math.ceil(w / f) * f for w, f in zip(wanted, factor, strict=True))
    return shape[0], shape[1], shape[2]


def _row(value: Any) -> list[float]:  # noqa: ANN401 - DataAnalyzer nests by channel
    while isinstance(value[0], list):
        value = value[0]
    return list(value)


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
