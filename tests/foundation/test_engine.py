"""The engine: cached, ordered, one bad case set aside, a killed worker told plainly, a killed run resumed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sarcofuse.errors import ConfigError, MaskError, StageError
from sarcofuse.runtime import Engine, Task, digest, report_step

ROOT = Path(__file__).resolve().parents[2]


def square(folder: Path, value: int) -> None:
    if value < 0:
        raise MaskError(f"P-{-value}", "tumour mask is empty: 0 voxels; expected at least 1", "secret/mask.nii.gz")
    if value == 13:
        raise ZeroDivisionError("thirteen")
    (folder / "value").write_text(str(value * value))


def die(folder: Path, value: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def count_up(folder: Path, total: int, log: str) -> None:
    """Add a line a step to a file that survives a crash."""
    file = folder / "steps.log"
    done = len(file.read_text().splitlines()) if file.exists() else 0
    for step in range(done, total):
        with file.open("a") as stream:
            stream.write(f"{step}\n")
        with Path(log).open("a") as stream:
            stream.write(f"{step}\n")
        report_step(folder, step + 1)
        time.sleep(0.05)


def tasks(values: list[int]) -> list[Task]:
    return [Task(f"P-{abs(v)}", digest("square", v), (v,)) for v in values]


@pytest.mark.parametrize("scheduler", ["serial", "processes"])
def test_results_keep_their_order_and_bad_cases_are_set_aside(tmp_path: Path, scheduler: str) -> None:
    with Engine(tmp_path, scheduler=scheduler, workers=2) as engine:
        done, aside = engine.run("square", square, tasks([3, -7, 1, 13, 2]))
    assert [(e.patient_id, (e.folder / "value").read_text()) for e in done] == [("P-3", "9"), ("P-1", "1"), ("P-2", "4")]
    assert [(s.patient_id, s.stage) for s in aside] == [("P-7", "square"), ("P-13", "square")]
    assert aside[0].reason == "mask.nii.gz: tumour mask is empty: 0 voxels; expected at least 1"
    assert "ZeroDivisionError: thirteen" in aside[1].reason


def test_finished_work_is_reused_and_nothing_half_done_is_left(tmp_path: Path) -> None:
    engine = Engine(tmp_path, scheduler="serial")
    engine.run("square", square, tasks([2]))
    (tmp_path / "square" / digest("square", 2) / "value").write_text("kept")
    done, _ = engine.run("square", square, tasks([2, -1]))
    assert (done[0].folder / "value").read_text() == "kept"
    assert [p.name for p in (tmp_path / "square").iterdir()] == [digest("square", 2)]


def test_a_dead_worker_is_told_plainly(tmp_path: Path) -> None:
    with Engine(tmp_path, workers=1) as engine, pytest.raises(StageError, match=r"a worker process died.*finished work is kept"):
        engine.run("die", die, [Task("P-1", "k", (1,))])


def test_unknown_scheduler(tmp_path: Path) -> None:
    with Engine(tmp_path, scheduler="nonsense") as engine, pytest.raises(ConfigError, match="no dask scheduler answers at nonsense"):
        engine.run("square", square, tasks([2]))


def test_a_dask_scheduler_gives_the_same_results(tmp_path: Path) -> None:
    pytest.importorskip("distributed", reason="the cluster extra is not installed")
    script = (
        "from pathlib import Path\nfrom distributed import LocalCluster\nfrom sarcofuse.runtime import Engine\nfrom tests.foundation.test_engine import square, tasks\n"
        "with LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None, protocol='tcp', host='127.0.0.1') as cluster:\n"
        f"    engine = Engine(Path({str(tmp_path)!r}), scheduler=cluster.scheduler_address)\n"
        "    done, aside = engine.run('square', square, tasks([3, -7]))\n    engine.close()\n"
        "print((done[0].folder / 'value').read_text(), aside[0].patient_id)\n"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False)
    assert found.stdout.split() == ["9", "P-7"], found.stderr


def test_a_script_without_a_guard_works(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from pathlib import Path\nfrom sarcofuse.runtime import Engine, Task\nfrom tests.foundation.test_engine import square\n"
        "print('started')\n"
        f"with Engine(Path({str(tmp_path / 'cache')!r}), workers=2) as engine:\n    done, _ = engine.run('square', square, [Task('a', 'k', (3,))])\nprint((done[0].folder / 'value').read_text())\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False)
    assert done.stdout.split() == ["started", "9"], done.stderr


def test_a_killed_run_goes_on_where_it_was(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from sarcofuse.runtime import Engine, Task\n"
        f"sys.path.insert(0, {str(ROOT)!r}); from tests.foundation import test_engine\n"
        f"Engine(Path({str(tmp_path / 'cache')!r}), scheduler='serial')"
        f".run('count', test_engine.count_up, [Task('fold 1', 'k', (40, {str(tmp_path / 'log')!r}))], steps=40)\n"
    )
    log = tmp_path / "log"
    process = subprocess.Popen([sys.executable, "-c", script])
    deadline = time.time() + 60
    while time.time() < deadline and not (log.exists() and len(log.read_text().splitlines()) >= 5):
        time.sleep(0.02)
    process.kill()
    process.wait()
    before = len(log.read_text().splitlines())
    assert 5 <= before < 40
    subprocess.run([sys.executable, "-c", script], check=True)
    assert (tmp_path / "cache" / "count" / "k" / "steps.log").read_text().splitlines() == [str(i) for i in range(40)]
    assert len(log.read_text().splitlines()) <= 41
