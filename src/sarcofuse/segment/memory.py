"""How much memory a training takes, how much there is, and what gives way where it does not fit."""

from __future__ import annotations

import math
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sarcofuse.segment.plan import Plan
from sarcofuse.segment.planning import level_scales

FLOAT = 4
STATE_COPIES = 6
"""Copies of the weights that training holds: network, gradient, AdamW's two moments, running average, best average."""
SHARE = {"cpu": 0.5, "cuda": 0.8}
"""Part of the memory that one training may plan with."""
SMALLEST_PATCH = 16
"""Patches are not halved below this many voxels along an axis."""
FEWEST_FILTERS = 8
"""Networks are not made narrower than this."""
CGROUP = Path("/sys/fs/cgroup/memory.max")


def activation_bytes(network: Mapping[str, Any], shape: Sequence[int]) -> int:
    """Estimate what the network must remember of one volume for its backward pass.

    Each residual block keeps four maps: both its normalised and activated inputs, what lies between its convolutions, and its result. The first convolution, each
    change of resolution and each skip add one. Maps are counted in full precision; mixed precision needs less.

    Parameters
    ----------
    network : mapping
        Arguments of SegResNetDS.
    shape : sequence of int
        Shape (z, y, x) of the volume.

    Returns
    -------
    int
        Bytes.
    """
    down, up = list(network["blocks_down"]), list(network.get("blocks_up") or [1] * (len(network["blocks_down"]) - 1))
    scales = level_scales(network["resolution"], len(down))
    voxels, values = float(math.prod(shape)), float(math.prod(shape)) * int(network["in_channels"])
    for level, blocks in enumerate(down):
        upward = up[len(up) - 1 - level] if level < len(up) else None
        maps = 1 + 4 * blocks + (0 if upward is None else 1 + 4 * upward)
        heads = 4 if upward is not None and level < int(network.get("dsdepth", 1)) else 0  # logits, probability, share of tumour, what the loss keeps
        values += voxels * (maps * int(network["init_filters"]) * 2**level + heads)
        voxels /= math.prod(scales[level])
    return int(values * FLOAT)


def weight_bytes(network: Mapping[str, Any]) -> int:
    """Estimate the size of the network's weights: those of its convolutions, which span 3 voxels along the axes that the level halves, and 1 along others.

    Parameters
    ----------
    network : mapping
        Arguments of SegResNetDS.

    Returns
    -------
    int
        Bytes.
    """
    down, up = list(network["blocks_down"]), list(network.get("blocks_up") or [1] * (len(network["blocks_down"]) - 1))
    filters, scales = int(network["init_filters"]), level_scales(network["resolution"], len(down))
    kernels = [math.prod(3 if stride > 1 else 1 for stride in scale) for scale in scales]
    count = kernels[0] * filters * int(network["in_channels"])
    for level, kernel in enumerate(kernels):
        wide = filters * 2**level
        blocks = down[level] + (up[len(up) - 1 - level] if level < len(up) else 0)
        count += kernel * wide * wide * (2 * blocks + (4 if level < len(up) else 0))
    return count * FLOAT


def training_bytes(plan: Plan) -> int:
    """Estimate the most memory that the training of one fold takes on its device.

    Parameters
    ----------
    plan : Plan
        How it trains.

    Returns
    -------
    int
        Bytes: what is remembered of a batch, three more maps of the finest level for the gradients under way, and the copies of the weights.
    """
    under_way = 3 * int(plan.network["init_filters"]) * math.prod(plan.shape) * FLOAT
    return plan.batch * (activation_bytes(plan.network, plan.shape) + under_way) + STATE_COPIES * weight_bytes(plan.network)


def step_down(plan: Plan) -> tuple[Plan, str] | None:
    """Give the next plan that takes less memory: half the batch, twice accumulated, then half the patch along its longest axis.

    Parameters
    ----------
    plan : Plan
        One that does not fit.

    Returns
    -------
    (Plan, str) or None
        The smaller plan and what was changed; None if there is nothing to take away.
    """
    if plan.batch > 1:
        divisor = next(d for d in range(2, plan.batch + 1) if plan.batch % d == 0)
        less = replace(plan, batch=plan.batch // divisor, accumulate=plan.accumulate * divisor)
        return less, f"batch {plan.batch} to {less.batch}, {less.accumulate} of them added up before each step"
    longest = max(range(3), key=lambda axis: plan.shape[axis])
    wanted = list(plan.shape)
    wanted[longest] = math.ceil(wanted[longest] / 2 / plan.factor[longest]) * plan.factor[longest]
    if wanted[longest] < max(SMALLEST_PATCH, plan.factor[longest]) or wanted[longest] >= plan.shape[longest]:
        return None
    before, after = (" x ".join(str(n) for n in reversed(s)) for s in (plan.shape, wanted))
    return replace(plan, shape=(wanted[0], wanted[1], wanted[2])), f"patch {before} to {after} voxels"


def fit(plan: Plan, memory_gb: float, *, narrow: bool = False) -> Plan:
    """Step a plan down until its training should fit.

    Parameters
    ----------
    plan : Plan
        What is wanted.
    memory_gb : float
        Memory of the device, in GiB.
    narrow : bool
        Whether the network may get fewer filters, once the patch would be less than an eighth of what is wanted.

    Returns
    -------
    Plan
        The plan, or a smaller one whose reasons say so.
    """
    room, changes = memory_gb * 2**30 * SHARE[plan.device], list[str]()
    smaller, steps = _shrunk_to(plan, room)
    while narrow and (training_bytes(smaller) > room or math.prod(smaller.shape) * 8 < math.prod(plan.shape)):
        filters = int(plan.network["init_filters"])
        if filters < 2 * FEWEST_FILTERS:
            break
        plan = replace(plan, network={**plan.network, "init_filters": filters // 2})
        changes.append(f"{filters} to {filters // 2} filters")
        smaller, steps = _shrunk_to(plan, room)
    changes += steps
    if not changes:
        return plan
    why = f"{SHARE[plan.device] * memory_gb:g} of {memory_gb:g} GiB may be used: " + "; ".join(changes)
    return replace(smaller, reasons={**plan.reasons, "memory": why})


def _shrunk_to(plan: Plan, room: float) -> tuple[Plan, list[str]]:
    changes = []
    while training_bytes(plan) > room and (found := step_down(plan)) is not None:
        plan = found[0]
        changes.append(found[1])
    return plan, changes


def memory_gb(device: str) -> int:
    """Tell how much memory there is, rounded down to a power of two so that machines of like size make the same plan.

    Parameters
    ----------
    device : str
        ``cpu``: of the machine, or of the container that this process is in; ``cuda``: of the smallest GPU.

    Returns
    -------
    int
        GiB, at least 1; 8 where the machine does not tell.
    """
    if device == "cuda":
        import torch

        found = min((torch.cuda.mem_get_info(k)[1] for k in range(torch.cuda.device_count())), default=0)
    else:
        found = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 0
        limit = CGROUP.read_text(encoding="utf8").strip() if CGROUP.is_file() else ""
        found = min(found, int(limit)) if limit.isdigit() else found
    return 2 ** int(math.log2(max(1.0, found / 2**30))) if found else 8


def gpu_memory_mib() -> tuple[int, ...]:
    """List the memory of the GPUs without loading torch.

    Returns
    -------
    tuple of int
        MiB of each, as nvidia-smi tells; empty where there is none.
    """
    try:
        listed = subprocess.run(["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return tuple(int(line) for line in listed.stdout.split() if line.isdigit()) if listed.returncode == 0 else ()


def folds_at_once(plan: Plan, samples: int, memory: float, gpus: int) -> int:
    """Tell how many folds may train side by side.

    Parameters
    ----------
    plan : Plan
        How each trains.
    samples : int
        Training cases of a fold, which lie in memory (three bytes a voxel).
    memory : float
        Memory of the machine in GiB.
    gpus : int
        GPUs there are; without one the processor's cores decide, and memory.

    Returns
    -------
    int
        At least 1.
    """
    if plan.device == "cuda":
        return max(1, gpus // plan.processes)
    each = plan.processes * (training_bytes(plan) + 3 * samples * math.prod(plan.shape))
    return max(1, min(plan.folds, int(memory * 2**30 * 0.8 / each)))
