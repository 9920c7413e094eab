"""How long training will take: two steps of the real network on real cases, before it starts."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sarcofuse.runtime import Engine, Task, digest, hardware, read_json, single_thread, write_json
from sarcofuse.segment.plan import Plan

SAMPLES = 8
"""Cases that are looked at: those in the middle of the order of sizes count."""


def say_time(cases: Sequence[Path], plan: Plan, at_once: int, engine: Engine) -> None:
    """Estimate how long all folds will take and tell; nothing else depends on it.

    Parameters
    ----------
    cases : sequence of Path
        Training cases as `read_sample` reads them, of all folds.
    plan : Plan
        How to train.
    at_once : int
        Folds that train side by side where there are enough workers.
    engine : Engine
        Runs the two steps in a worker, keeps the figure for this machine, and tells.
    """
    some = [cases[int(i)] for i in np.linspace(0, len(cases) - 1, min(SAMPLES, len(cases))).round()]
    machine = {name: value for name, value in hardware().items() if name != "gpu"}
    key = digest("segment-time", plan.network, plan.shape, plan.batch, plan.device, machine, [file.parent.name for file in some])
    done, lost = engine.run("segment-time", time_task, [Task("two steps", key, (some, plan))], unit="step")
    if lost:  # an estimate is not worth failing for
        return
    seconds = float(read_json(done[0].folder / "time.json")["seconds_per_volume"])
    workers = 1 if engine.scheduler == "serial" else (engine.workers or int(str(machine["cores"])))
    rounds = -(-plan.folds // min(at_once, workers, plan.folds))
    volumes = plan.epochs * max(1, round(len(cases) * (plan.folds - 1) / plan.folds))
    hours = seconds * volumes * rounds / plan.processes
    engine.say(f"Training {plan.folds} networks, {min(at_once, workers, plan.folds)} at a time: about {duration(hours)} ({seconds:.2f} s a volume, {volumes} volumes each)")


def duration(seconds: float) -> str:
    """Give a time as people say it.

    Parameters
    ----------
    seconds : float
        How long.

    Returns
    -------
    str
        Seconds, minutes, or hours with a decimal.

    Examples
    --------
    >>> duration(42), duration(600), duration(5400)
    ('42 s', '10 min', '1.5 h')
    """
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def time_task(folder: Path, cases: Sequence[Path], plan: Plan) -> None:
    """Time one step of training after another that warms up; an Engine task.

    Parameters
    ----------
    folder : Path
        Where time.json goes: ``seconds_per_volume``.
    cases : sequence of Path
        A few training cases.
    plan : Plan
        How to train.
    """
    import torch

    from sarcofuse.segment.batches import read_sample
    from sarcofuse.segment.group import ALONE
    from sarcofuse.segment.state import fresh
    from sarcofuse.segment.training import take_step

    seconds = []
    with single_thread():
        samples = sorted((read_sample(file) for file in cases), key=lambda s: s.image.size)
        first = max(0, (len(samples) - plan.batch) // 2)
        batch = samples[first : first + plan.batch]
        state = fresh(plan, 0, None)
        state.network.train()
        for _ in range(2):
            start = time.perf_counter()
            take_step(state, plan, [(1.0, batch, np.random.default_rng(0))], ALONE)
            if plan.device == "cuda":
                torch.cuda.synchronize()
            seconds.append(time.perf_counter() - start)
    write_json({"seconds_per_volume": seconds[1] / len(batch)}, folder / "time.json")
