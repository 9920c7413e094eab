"""One fold on several GPUs: torchrun starts the processes, gradients are added up, the first process writes."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from sarcofuse.errors import SarcofuseError, StageError
from sarcofuse.runtime import read_json, write_json
from sarcofuse.segment.group import Group
from sarcofuse.segment.plan import Plan, read_plan

JOB, FAILED, PARENT = "job.json", "failed.json", "SARCOFUSE_PARENT"
MODULE = "sarcofuse.segment.distributed"


def train_together(folder: Path, bundle: Path, fold: int, job: Mapping[str, Any], visible: str | None = None) -> None:
    """Train one fold in several processes of this machine.

    Parameters
    ----------
    folder : Path
        Where results go, as for `train_fold`.
    bundle : Path
        Holds plan.json, which says how many processes.
    fold : int
        Which fold is held out.
    job : mapping
        ``training`` and ``held_out``: files of the cases; ``start``: weights to start from, or None.
    visible : str, optional
        GPUs to use, as CUDA_VISIBLE_DEVICES names them.

    Raises
    ------
    StageError
        If a process failed.
    """
    plan = read_plan(bundle / "plan.json")
    listed = {name: [str(file) for file in job[name]] for name in ("training", "held_out")}
    start = None if job.get("start") is None else str(job["start"])
    (folder / FAILED).unlink(missing_ok=True)
    write_json({"folder": str(folder), "bundle": str(bundle), "fold": fold, "start": start, **listed}, folder / JOB)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={plan.processes}", "-m", MODULE, str(folder / JOB)]
    settings = {**os.environ, "OMP_NUM_THREADS": "1", PARENT: str(os.getpid())} | ({} if visible is None else {"CUDA_VISIBLE_DEVICES": visible})
    done = subprocess.run(command, env=settings, capture_output=True, text=True, check=False)
    (folder / JOB).unlink(missing_ok=True)
    if done.returncode:
        told = read_json(folder / FAILED)["message"] if (folder / FAILED).is_file() else ""
        last = [line for line in done.stderr.splitlines() if "Error" in line and "ChildFailedError" not in line]  # torchrun's own word says nothing
        why = last[-1].strip() if last else f"exit code {done.returncode}"
        message = told or f"segment: fold {fold}: one of {plan.processes} processes that train together failed: {why}. Run again to go on, or set segment.processes: 1"
        raise StageError(message)


def gpus_of(plan: Plan, fold: int, there: int) -> str | None:
    """Choose the GPUs of a fold, so that folds that train side by side share none.

    Parameters
    ----------
    plan : Plan
        With the processes of a fold.
    fold : int
        Which fold.
    there : int
        GPUs of the machine.

    Returns
    -------
    str or None
        As CUDA_VISIBLE_DEVICES names them; None without GPUs.

    Raises
    ------
    StageError
        If a fold needs more GPUs than there are.
    """
    if plan.device != "cuda":
        return None
    if there < plan.processes:
        message = f"segment.processes is {plan.processes}, but there are {there} GPUs; expected one a process. Lower it, or set segment.device: cpu"
        raise StageError(message)
    given = os.environ.get("CUDA_VISIBLE_DEVICES", "").strip()
    names = [name.strip() for name in given.split(",")] if given else [str(k) for k in range(there)]
    turn = fold % (len(names) // plan.processes)
    return ",".join(names[turn * plan.processes : (turn + 1) * plan.processes])


def main(job_file: Path) -> int:
    """Train as one process of several; torchrun calls it.

    Parameters
    ----------
    job_file : Path
        What `train_together` wrote.

    Returns
    -------
    int
        Exit code.
    """
    follow_parent()
    import torch

    from sarcofuse.segment.training import train_fold
    from sarcofuse.segment.transfer import read_start

    job = read_json(job_file)
    folder, plan, fold = Path(job["folder"]), read_plan(Path(job["bundle"]) / "plan.json"), int(job["fold"])
    rank = int(os.environ["RANK"])
    if plan.device == "cuda":
        torch.cuda.set_device(rank)
    torch.distributed.init_process_group("nccl" if plan.device == "cuda" else "gloo")
    try:
        start = None if job["start"] is None else read_start(Path(job["start"]), plan.network, fold)
        files = [[Path(file) for file in job[name]] for name in ("training", "held_out")]
        train_fold(folder, plan, fold, *files, start=start, group=Group(rank, torch.distributed.get_world_size(), plan.device))
    except SarcofuseError as error:
        if rank == 0:
            write_json({"message": str(error)}, folder / FAILED)
        return 1
    finally:
        torch.distributed.destroy_process_group()
    return 0


def follow_parent() -> None:
    """End this process when the one that started it is gone, which PARENT names."""
    parent = int(os.environ.get(PARENT, "0"))
    if os.name != "posix" or parent <= 0:
        return

    def look() -> None:
        with suppress(ProcessLookupError):
            while True:
                os.kill(parent, 0)
                time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=look, daemon=True).start()


if __name__ == "__main__":
    code = main(Path(sys.argv[1]))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # all is on disk; torch's threads now and then abort a process that takes itself apart, and torchrun would then stop the others
