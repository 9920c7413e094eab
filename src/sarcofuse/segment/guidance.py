"""What the plan says of networks that can be guided: by prompts, and by the middle of images that are cropped around the tumour."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from sarcofuse.config.segment import SegmentConfig
from sarcofuse.runtime import digest, digest_file
from sarcofuse.segment.guide import CHANNELS
from sarcofuse.segment.plan import FLAT, Plan, axis_values, tumour_diameter

GUIDE = {"gain": 4.0, "bound": 3.0}
PROMPTS = 0.5
CROPPED_DICE = 0.4
"""Images are cropped around the tumour where the ellipsoid in their middle has at least this mean Dice with the masks."""
FEW = 100
"""With fewer patients a fold, networks of cropped images are small and start from the package's own weights."""
VOXELS = {"cpu": 20_000, "cuda": 160_000}
SIDE = {"cpu": 64, "cuda": 128}
"""Longest side of what a network of cropped images sees at once, in voxels."""
EPOCHS, LEARNING_RATE = 68, 1e-3
SMALL: dict[str, Any] = {"init_filters": 8, "blocks_down": [0, 1, 1, 1], "blocks_up": [1, 1, 0], "dsdepth": 1}
PHANTOMS, NOTHING = "phantoms", "nothing"
"""What segment.start_from may say instead of a path."""
OWN_WEIGHTS = Path(__file__).parent / "weights" / "phantoms.safetensors"


def guide_plan(plan: Plan, stats: Mapping[str, Any], config: SegmentConfig, patients: int) -> Plan:
    """Let a plan's networks be guided.

    Parameters
    ----------
    plan : Plan
        The plan without.
    stats : mapping
        ``stats_summary`` of DataAnalyzer with ``middle_dice``, the mean Dice of the ellipsoid in the middle of each image with its mask.
    config : SegmentConfig
        What is already decided.
    patients : int
        Training patients a fold.

    Returns
    -------
    Plan
        With a reason for every decision; the same plan where neither prompts nor cropped images are at hand.
    """
    found = float(stats.get("middle_dice", 0.0))
    fixed = [name for name in ("spacing", "patch") if getattr(config, name) is not None]
    flat = plan.shape[0] <= FLAT
    cropped = found >= CROPPED_DICE and not (fixed or flat) if config.cropped is None else config.cropped
    prompts = PROMPTS if config.prompts is None else config.prompts
    reasons = dict(plan.reasons)
    if cropped or found >= CROPPED_DICE:
        why = "images of so few slices are seen slice by slice" if flat else f"an ellipsoid in the middle of each image has a mean Dice of {found:.2f} with the masks"
        reasons["cropped"] = f"{'yes' if cropped else 'no'}: " + (why if config.cropped is None and not fixed else f"segment.{fixed[0] if fixed and config.cropped is None else 'cropped'} says so")
    if not (cropped or prompts):
        return _without_nothing(plan)
    reasons["prompts"] = f"{prompts:.0%} of the training volumes come with a box, a click or a rough mask" if prompts else "none: segment.prompts is 0"
    guided = replace(plan, reasons=reasons, network={**plan.network, "in_channels": CHANNELS, "guide": GUIDE}, prompts=prompts, radius_mm=tumour_diameter(stats) / 2.0)
    return _without_nothing(_of_cropped(guided, stats, config, patients) if cropped else guided)


def _without_nothing(plan: Plan) -> Plan:
    return replace(plan, start="", reasons={k: v for k, v in plan.reasons.items() if k != "start"}) if plan.start == NOTHING else plan


def _of_cropped(plan: Plan, stats: Mapping[str, Any], config: SegmentConfig, patients: int) -> Plan:
    few = patients < FEW
    kind = "cpu" if few else plan.device
    side = float(math.prod(axis_values(stats["image_stats"]["sizemm"]["mean"])) / VOXELS[kind]) ** (1.0 / 3.0)
    network: dict[str, Any] = {**plan.network, "resolution": [1.0, 1.0, 1.0]}
    reasons = {
        **plan.reasons,
        "spacing": f"cubic voxels, {VOXELS[kind]} an image whatever its size; of a middling image {side:.1f} mm",
        "network": "cubic kernels and strides",
        "shape": f"whatever the image has, at most {SIDE[kind]} a side",
    }
    reasons.pop("step", None)
    levels = config.levels or len(SMALL["blocks_down"]) if few else len(plan.network["blocks_down"])
    if few and config.filters is None and levels == len(SMALL["blocks_down"]):
        network |= SMALL
        reasons |= {"filters": f"{patients} training patients a fold cannot teach more", "levels": f"{patients} training patients a fold cannot teach more"}
    factor = (2 ** (len(network["blocks_down"]) - 1),) * 3
    epochs = config.epochs or EPOCHS
    reasons["epochs"] = f"segment.epochs is {config.epochs}" if config.epochs else "images cropped around the tumour are soon learnt, and few patients soon known by heart"
    start = plan.start
    if not start and all(network[k] == v for k, v in SMALL.items()) and OWN_WEIGHTS.is_file():
        start = own_digest()
        reasons["start"] = "from the package's own weights, learnt on synthetic patients"
    rate = config.learning_rate or LEARNING_RATE
    shape = (SIDE[kind],) * 3
    early = bool(config.early_stopping)
    if config.early_stopping is None:
        reasons["early_stopping"] = "no: few passes as it is"
    sizes = replace(plan, spacing=(side,) * 3, shape=shape, factor=factor, voxels=VOXELS[kind])
    return replace(sizes, network=network, epochs=epochs, learning_rate=rate, reasons=reasons, start=start, early_stopping=early)


def own_digest() -> str:
    """Give the SHA-256 of the package's own weights, which training may start from.

    Returns
    -------
    str
        Hexadecimal; empty where the package has none.
    """
    return digest("start", [digest_file(OWN_WEIGHTS)]) if OWN_WEIGHTS.is_file() else ""
