"""The command line: quick, plain words, the promised exit codes; the public interface is pinned."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

import sarcofuse
from sarcofuse.cli import main


def leave(*arguments: str) -> int:
    with pytest.raises(SystemExit, match=r"\d") as caught:
        main(arguments)
    return int(str(caught.value.code))


def test_help_is_quick() -> None:
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "sarcofuse", "--help"], check=True, capture_output=True)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.5, f"sarcofuse --help took {statistics.median(seconds):.2f} s"


def test_help_imports_nothing_heavy() -> None:
    heavy = {"numpy", "torch", "monai", "pandas", "matplotlib", "numba", "sklearn", "SimpleITK", "dask"}
    code = f"import sys; from sarcofuse.cli.app import make_app; make_app(); print(sorted({{m.split('.')[0] for m in sys.modules}} & {heavy!r}))"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip() == "[]"


@pytest.mark.parametrize("command", ["demo", "init", "check", "run", "radiomics", "deep", "segment", "report", "audit", "predict", "explain", "dicom", "weights"])
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert leave(command, "--help") == 0
    assert "Usage: sarcofuse" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "none.yaml"], "study file none.yaml does not exist"),
        (["check", "none.yaml"], "study file none.yaml does not exist"),
        (["predict", "none", "image.nii.gz"], "none is not a bundle"),
        (["frobnicate"], "No such command"),
        (["demo", "--patients", "5"], "24"),
    ],
)
def test_wrong_requests_exit_with_2_and_one_paragraph(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert leave(*arguments) == 2
    error = capsys.readouterr().err
    assert words in error
    assert "Traceback" not in error


def test_debug_shows_the_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(sarcofuse.SarcofuseError, match="does not exist"):
        main(["run", "none.yaml", "--debug"])


def test_public_interface_is_pinned() -> None:
    assert sarcofuse.__all__ == [
        "SarcofuseError",
        "StudyConfig",
        "audit",
        "bayes_auc",
        "check_study",
        "convert_dicom",
        "demo",
        "explain_deep",
        "extract_deep",
        "extract_radiomics",
        "load_bundle",
        "make_cohort",
        "make_study",
        "read_mask",
        "read_study",
        "read_volume",
        "run",
        "write_report",
    ]
    for name in sarcofuse.__all__:
        assert getattr(sarcofuse, name).__name__ == name
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        sarcofuse.nothing  # noqa: B018
