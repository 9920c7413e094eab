"""Several processes train one network as one process would."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from sarcofuse.errors import StageError
from sarcofuse.runtime import read_json, write_json
from sarcofuse.segment import distributed, training
from sarcofuse.segment.plan import write_plan
from tests.segment.test_learning import INSTANCE
from tests.segment.test_training import PLAN


def cases(room: Path, count: int) -> list[Path]:
    found = []
    for i in range(count):
        rng = np.random.default_rng(i)
        label = np.zeros((6 + i % 2, 15, 18), dtype=np.uint8)
        label[2:5, 4 + i % 4 : 9 + i % 4, 5:11] = 255
        np.savez(room / f"{i}.npz", image=(rng.normal(0, 0.5, label.shape) + label / 128.0).astype(np.float16), label=label, spacing=(2.0, 2.0, 5.0))
        found.append(room / f"{i}.npz")
    return found


def test_two_processes_go_on_where_one_was_killed_and_end_with_its_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    room = tmp_path / "with space"
    room.mkdir()
    files = cases(room, 8)
    plan = replace(PLAN, network={**INSTANCE, "dsdepth": 2}, epochs=3, batch=1, accumulate=2, processes=2, early_stopping=True)
    write_plan(plan, room / "plan.json")
    alone, together = room / "alone", room / "together"
    for folder in (alone, together):
        folder.mkdir()

    def stop(folder: Path, done: int) -> None:
        raise KeyboardInterrupt("pulled the plug")

    training.train_fold(alone, plan, 1, files[:7], files[7:])  # 5 batches of one to learn from: the last step has a batch for one process only
    with monkeypatch.context() as patch:
        patch.setattr(training, "report_step", stop)
        with pytest.raises(KeyboardInterrupt, match="pulled the plug"):
            training.train_fold(together, plan, 1, files[:7], files[7:])
    distributed.train_together(together, room, 1, {"training": files[:7], "held_out": files[7:], "start": None})
    assert sorted(f.name for f in together.iterdir()) == ["history.json", "steps", "weights.safetensors"]
    one, two = load_file(alone / "weights.safetensors"), load_file(together / "weights.safetensors")
    assert list(one) == list(two)
    assert all(torch.allclose(one[name], two[name], rtol=1e-3, atol=1e-4) for name in one)
    first, second = read_json(alone / "history.json"), read_json(together / "history.json")
    assert second["losses"] == pytest.approx(first["losses"], rel=1e-4)
    assert [s for _, s in second["inner_dice"]] == pytest.approx([s for _, s in first["inner_dice"]], abs=0.02)


def test_failure_of_a_process_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write_plan(replace(PLAN, processes=2), tmp_path / "plan.json")
    job = {"training": [], "held_out": [], "start": None}
    command: list[str] = []

    def run(given: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        command[:] = given
        return subprocess.CompletedProcess(given, 1, "", "Traceback\nRuntimeError: NCCL is not there\ntorch.distributed.elastic.multiprocessing.errors.ChildFailedError:\n")

    monkeypatch.setattr(distributed.subprocess, "run", run)
    with pytest.raises(StageError, match=r"fold 3: one of 2 processes that train together failed: RuntimeError: NCCL is not there. Run again"):
        distributed.train_together(tmp_path, tmp_path, 3, job)
    assert command[1:5] == ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    assert Path(command[0]).is_absolute()  # the interpreter that runs this, not whatever `python` may be

    def tell(given: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        write_json({"message": "segment: training of fold 3 diverged twice"}, tmp_path / "failed.json")
        return subprocess.CompletedProcess(given, 1, "", "")

    monkeypatch.setattr(distributed.subprocess, "run", tell)
    with pytest.raises(StageError, match=r"^segment: training of fold 3 diverged twice$"):
        distributed.train_together(tmp_path, tmp_path, 3, job)


def test_folds_side_by_side_share_no_gpu(monkeypatch: pytest.MonkeyPatch):
    plan = replace(PLAN, device="cuda", processes=2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert [distributed.gpus_of(plan, fold, 5) for fold in range(4)] == ["0,1", "2,3", "0,1", "2,3"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4, 6,7")
    assert distributed.gpus_of(plan, 1, 3) == "4,6"
    with pytest.raises(StageError, match=r"segment.processes is 2, but there are 1 GPUs"):
        distributed.gpus_of(plan, 0, 1)
    assert distributed.gpus_of(replace(plan, device="cpu"), 0, 0) is None
