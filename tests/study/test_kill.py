"""A run that is killed in every stage ends with the bytes of one that was not."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sarcofuse.study import RunResult, run

pytestmark = pytest.mark.slow

SAME = ("predictions.csv", "metrics.json", "curves.json", "models.json", "quality.json", "cases.json", "report.html", "features/radiomic.parquet", "features/deep.parquet", "openings.json")


def busy_stages(cache: Path) -> set[str]:
    """Stages that have begun to write."""
    return {p.name for p in cache.iterdir() if p.is_dir() and any(p.iterdir())} if cache.is_dir() else set()


def test_killed_in_every_stage_and_run_again(finished: RunResult, home: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    command = [sys.executable, "-m", "sarcofuse", "run", str(home / "study.yaml"), "--out", str(out), "--workers", "2"]
    killed: set[str] = set()
    for _ in range(20):
        with (tmp_path / "log").open("w") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)
            while process.poll() is None:
                fresh = busy_stages(out / "cache") - killed
                if fresh:
                    time.sleep(0.3)
                    process.kill()
                    killed |= fresh
                    break
                time.sleep(0.02)
            process.wait()
        if process.returncode == 0:
            break
        assert process.returncode == -9, (tmp_path / "log").read_text()
    assert process.returncode == 0
    assert len(killed) >= 5
    for name in SAME:
        assert (out / name).read_bytes() == (finished.folder / name).read_bytes(), name
    for file in sorted((finished.folder / "bundle").rglob("*")):
        if file.is_file():
            assert (out / file.relative_to(finished.folder)).read_bytes() == file.read_bytes(), file.name
    assert run(home / "study.yaml", out, workers=2).finished == "report"
    assert not list((out / "cache").rglob("*.part")), "what killed workers left is swept up"


def test_ctrl_c_ends_in_one_plain_line(home: Path, tmp_path: Path) -> None:
    code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from sarcofuse.cli import main; main()"
    command = [sys.executable, "-c", code, "run", str(home / "study.yaml"), "--out", str(tmp_path / "run")]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.time() + 60
        while time.time() < deadline and not busy_stages(tmp_path / "run" / "cache"):
            time.sleep(0.05)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 1
    assert (tmp_path / "log").read_text().strip() == "sarcofuse: interrupted; finished work is kept, the same command goes on from there"
