"""Making the plan: what Auto3DSeg's data analysis says about spacing, network and training, with reasons."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sarcofuse.config.segment import SegmentConfig
from sarcofuse.segment.guidance import guide_plan
from sarcofuse.segment.plan import FLAT, Plan, axis_values, tumour_diameter

LEVELS = {"cpu": 4, "cuda": 5}
"""Most levels of resolution."""
VOXELS = {"cpu": 120_000, "cuda": 1_500_000}
"""Most voxels that one training volume should have."""
VISITS = {"cpu": 2_600, "cuda": 20_000}
"""Training volumes that a network sees in all, unless the epochs are given."""
ACROSS = {"cpu": 14.0, "cuda": 40.0}
"""Voxels that the diameter of a middling tumour should span in its plane."""
FILTERS = {"cpu": 8, "cuda": 32}
BLOCKS = {"cpu": ([0, 1, 1, 1], [0, 1, 1]), "cuda": ([1, 2, 2, 4, 4], [1, 1, 1, 1])}
"""Residual blocks of each level from the finest on, on the way down and up."""
SUPERVISED = {"cpu": 1, "cuda": 3}
"""Resolutions that the loss is taken at."""
DEEPEST = 2
"""Fewest voxels in the plane that the deepest level should have of the largest volume."""
LEARNING_RATE = 4e-3
EARLY_VISITS, EARLY_PATIENTS = 5_000, 10
"""Training volumes seen, and patients a fold, from which training stops early."""


def make_plan(stats: Mapping[str, Any], config: SegmentConfig, device: str, seed: int, start: str = "") -> Plan:
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
    start : str
        SHA-256 of the weights to start from; empty for none.

    Returns
    -------
    Plan
        With a reason for every decision.
    """
    reasons: dict[str, str] = {}
    spacing = _spacing(stats, config, device, reasons)
    wanted = _wanted(stats, config, spacing, device, reasons)
    levels = _levels(wanted, config, device, reasons)
    resolution, factor = _scales(spacing, wanted, levels, reasons)
    shape = tuple(math.ceil(w / f) * f for w, f in zip(wanted, factor, strict=True))
    patients = max(1, round(int(stats["n_cases"]) * (config.folds - 1) / config.folds))
    epochs = config.epochs or max(8, min(300, math.ceil(VISITS[device] / patients)))
    reasons["epochs"] = f"segment.epochs is {config.epochs}" if config.epochs else f"{VISITS[device]} volumes to see on {device}, {patients} training patients a fold"
    down, up = (_lengthened(blocks, levels) for blocks in BLOCKS[device])
    network = {
        "spatial_dims": 3,
        "init_filters": config.filters or FILTERS[device],
        "in_channels": 1,
        "out_channels": 1,
        "norm": "instance",
        "blocks_down": down,
        "blocks_up": up[: levels - 1][::-1],  # SegResNetDS counts them from the deepest level
        "dsdepth": min(config.deep_supervision or SUPERVISED[device], levels - 1),
        "resolution": list(resolution),
    }
    reasons["filters"] = f"segment.filters is {config.filters}" if config.filters else f"{FILTERS[device]} on {device}"
    reasons["blocks"] = "none at the first level, where each would cost as much as all others together" if device == "cpu" else "as in MONAI's SegResNet"
    plan = Plan(spacing, (shape[0], shape[1], shape[2]), factor, network, epochs, min(config.batch, patients), config.learning_rate or LEARNING_RATE, device, config.folds, seed, reasons)
    return guide_plan(_learning(plan, config, patients, start), stats, config, patients)


def _lengthened(blocks: Sequence[int], levels: int) -> list[int]:
    """Give as many levels as wanted; those beyond the last are like it."""
    return [blocks[min(level, len(blocks) - 1)] for level in range(levels)]


def _learning(plan: Plan, config: SegmentConfig, patients: int, start: str) -> Plan:
    """Add how the network learns."""
    visits, accumulate = plan.epochs * patients, max(config.accumulate, config.processes)
    early = (visits >= EARLY_VISITS and patients >= EARLY_PATIENTS) if config.early_stopping is None else config.early_stopping
    why = f"{visits} volumes to see, {patients} training patients a fold; worth it from {EARLY_VISITS} and {EARLY_PATIENTS} on"
    reasons = {**plan.reasons, "early_stopping": f"{'yes' if early else 'no'}: {why}" if config.early_stopping is None else f"segment.early_stopping is {str(early).lower()}"}
    if accumulate > 1:
        reasons["step"] = f"{accumulate} batches of {plan.batch}, by {config.processes} process{'es' if config.processes > 1 else ''}"
    if start:
        reasons["start"] = f"from the weights with SHA-256 {start[:12]}..."
    return replace(plan, reasons=reasons, accumulate=accumulate, processes=config.processes, early_stopping=early, tumour_share=config.tumour_share, start=start)


def _spacing(stats: Mapping[str, Any], config: SegmentConfig, device: str, reasons: dict[str, str]) -> tuple[float, float, float]:
    if config.spacing is not None:
        reasons["spacing"] = "segment.spacing gives it"
        return config.spacing
    image = stats["image_stats"]
    native = [float(v) for v in axis_values(image["spacing"]["median"])]
    extent = [float(v) for v in axis_values(image["sizemm"]["percentile_90_0"])]
    diameter = tumour_diameter(stats)
    plane = max(native[0], native[1], diameter / ACROSS[device])
    why = f"a middling tumour, {diameter:.0f} mm across, spans {ACROSS[device]:.0f} voxels"
    if math.prod(extent) / (plane * plane * max(native[2], plane)) > VOXELS[device]:
        needed = math.sqrt(math.prod(extent) / native[2] / VOXELS[device])
        needed = needed if needed <= native[2] else (math.prod(extent) / VOXELS[device]) ** (1 / 3)
        coarsest = 2 * diameter / ACROSS[device]
        plane = max(plane, min(needed, coarsest))
        why = f"the largest that keeps a volume of {extent[0]:.0f} x {extent[1]:.0f} x {extent[2]:.0f} mm within {VOXELS[device]} voxels on {device}"
        if needed > coarsest:
            why = f"so that a middling tumour, {diameter:.0f} mm across, still spans {ACROSS[device] / 2:.0f} voxels"
    plane = round(plane * 4) / 4 or 0.25
    through = max(native[2], plane)
    reasons["spacing"] = f"{plane:g} mm in the plane: {why}; {through:g} mm through it: " + ("the images' own" if through > plane else "as in the plane")
    return plane, plane, round(through, 3)


def _wanted(stats: Mapping[str, Any], config: SegmentConfig, spacing: tuple[float, float, float], device: str, reasons: dict[str, str]) -> list[int]:
    """Give the largest shape (z, y, x) to train on, before it is rounded up."""
    if config.patch is not None:
        reasons["shape"] = "segment.patch gives it, rounded up to what the network's strides need"
        return [config.patch[2], config.patch[1], config.patch[0]]
    image = stats["image_stats"]
    largest, usual = ([float(v) for v in axis_values(image["sizemm"][name])] for name in ("max", "percentile_90_0"))
    wanted = [math.ceil(min(a, 2 * b) / s - 1e-3) for a, b, s in zip(largest[::-1], usual[::-1], spacing[::-1], strict=True)]
    outlier, cut = any(a > 2 * b for a, b in zip(largest, usual, strict=True)), False
    while config.spacing is None and math.prod(wanted) > 2 * VOXELS[device]:
        longest = max(range(3), key=lambda axis: wanted[axis])
        wanted[longest], cut = math.ceil(wanted[longest] / 2), True
    why = "twice the usual training volume; single ones are larger" if outlier else "the largest training volume"
    reasons["shape"] = (f"patches of at most {2 * VOXELS[device]} voxels on {device}" if cut else why) + ", rounded up to what the network's strides need"
    return wanted


def _levels(wanted: Sequence[int], config: SegmentConfig, device: str, reasons: dict[str, str]) -> int:
    most = config.levels or LEVELS[device]
    levels = most
    while config.levels is None and levels > 2 and min(wanted[1:]) < DEEPEST * 2 ** (levels - 1):
        levels -= 1
    why = f"as many as on {device} at most" if levels == most else f"volumes are only {min(wanted[1:])} voxels across"
    reasons["levels"] = f"segment.levels is {most}" if config.levels else why
    return levels


def _scales(spacing: tuple[float, float, float], wanted: Sequence[int], levels: int, reasons: dict[str, str]) -> tuple[tuple[float, float, float], tuple[int, int, int]]:
    """Give the resolution that SegResNetDS is told, along z, y, x, and what shapes must be multiples of."""
    resolution = (float(spacing[2]), float(spacing[1]), float(spacing[0]))
    if wanted[0] <= FLAT:
        resolution = (max(resolution[0], 2.0**levels * max(resolution[1:])), *resolution[1:])
    scales = level_scales(resolution, levels)
    factor = [math.prod(scale[axis] for scale in scales[:-1]) for axis in range(3)]
    if wanted[0] <= FLAT:
        reasons["network"] = f"images of {wanted[0]} slice{'s' if wanted[0] > 1 else ''}: kernels stay in the plane"
    elif len(set(scales)) > 1:
        reasons["network"] = "kernels and strides spare the thick direction until voxels are about cubic"
    else:
        reasons["network"] = "voxels are within a factor of two of cubic: cubic kernels and strides"
    return resolution, (factor[0], factor[1], factor[2])


def level_scales(resolution: Sequence[float], levels: int) -> list[tuple[int, int, int]]:
    """Give the strides of each level: the finer axes are halved first, until voxels are within a factor of two of cubic.

    Parameters
    ----------
    resolution : sequence of float
        Voxel size along z, y, x, as SegResNetDS is told.
    levels : int
        Levels of resolution.

    Returns
    -------
    list of tuple of int
        A stride (z, y, x) a level, of which the last is not used.
    """
    finer = [math.floor(math.log2(max(resolution) / r)) for r in resolution]
    strides = [[2 if level < own or level >= max(finer) else 1 for own in finer] for level in range(levels)]
    return [(z, y, x) for z, y, x in strides]
