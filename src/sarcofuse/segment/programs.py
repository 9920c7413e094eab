"""Foreign segmentation programs as child processes: which model they would use, what they are told, what became of it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sarcofuse.config.external import NnunetConfig, TotalSegmentatorConfig
from sarcofuse.errors import ConfigError, MaskError
from sarcofuse.runtime import digest, digest_file, read_json

LINES, CHARACTERS = 12, 1500
"""How much of a program's last words an error repeats."""
ENDINGS = (".nii.gz", ".nii", ".nrrd", ".mha")
CASE = "case"
"""What a patient is called in foreign file names."""


class _FailedError(Exception):
    """A program that did not end well; says how."""


@dataclass(frozen=True, slots=True)
class Model:
    """A foreign program with its trained model.

    Attributes
    ----------
    name : str
        What to call it in messages.
    command : tuple of str
        Program, found, and what comes before its options.
    identity : str
        What the masks depend on besides image and settings: SHA-256 of the trained model, or the release.
    environment : mapping of str to str
        Variables for the child alone.
    labels : tuple of int or str
        Labels (nnU-Net) or structures (TotalSegmentator) that make up the mask.
    ending : str
        Ending of its images and masks.
    """

    name: str
    command: tuple[str, ...]
    identity: str
    environment: Mapping[str, str]
    labels: tuple[int | str, ...]
    ending: str = ".nii.gz"


def find_nnunet(config: NnunetConfig, home: Path) -> Model:
    """Find nnU-Net and the trained model.

    Parameters
    ----------
    config : NnunetConfig
        Settings.
    home : Path
        Folder of study.yaml.

    Returns
    -------
    Model
        Ready to run.

    Raises
    ------
    ConfigError
        If the program, the model or its label is absent, the model takes several images, or it is not the one that was expected.
    """
    command = _found(config.command, "nnU-Net v2", "pip install nnunetv2", "segment.nnunet.command")
    given = config.results or os.environ.get("nnUNet_results")  # noqa: SIM112 - nnU-Net's own name
    if not given:
        message = "segment.masks is nnunet, but where its trained models are is not known; set segment.nnunet.results, or the environment variable nnUNet_results"
        raise ConfigError(message)
    results = (home / given).resolve()
    trained = _dataset(results, config.dataset) / f"{config.trainer}__{config.plans}__{config.configuration}"
    files = [trained / "dataset.json", trained / "plans.json", *(trained / f"fold_{fold}" / config.checkpoint for fold in config.folds)]
    absent = [f.relative_to(results).as_posix() for f in files if not f.is_file()]
    if absent:
        message = (
            f"segment.nnunet: the folder of trained models has no {absent[0]}; expected a model that nnU-Net trained or installed. Correct dataset, configuration, folds, trainer, plans or checkpoint"
        )
        raise ConfigError(message)
    identity = digest([digest_file(f) for f in files])
    if config.model not in (None, identity):
        message = f"segment.nnunet: the trained model has SHA-256 {identity[:12]}..., and {str(config.model)[:12]}... is expected (segment.nnunet.model). Use the model that the study used"
        raise ConfigError(message)
    dataset = read_json(files[0])
    channels, ending = dataset.get("channel_names", {}), str(dataset.get("file_ending", ".nii.gz"))
    if len(channels) != 1 or ending not in ENDINGS:
        message = f"segment.nnunet: the model of dataset {config.dataset} takes {len(channels)} images a patient as {ending}; expected 1, as one of {', '.join(ENDINGS)}. Choose another model"
        raise ConfigError(message)
    return Model("nnU-Net", command, identity, {"nnUNet_results": str(results)}, (_label(dataset.get("labels", {}), config),), ending)


def find_totalsegmentator(config: TotalSegmentatorConfig) -> Model:
    """Find TotalSegmentator and ask for its release, which fixes its weights.

    Parameters
    ----------
    config : TotalSegmentatorConfig
        Settings.

    Returns
    -------
    Model
        Ready to run.

    Raises
    ------
    ConfigError
        If the program is absent or does not answer, no structure is named, or it is not the release that was expected.
    """
    command = _found(config.command, "TotalSegmentator", "pip install TotalSegmentator", "segment.totalsegmentator.command")
    if not config.roi:
        message = "segment.masks is totalsegmentator, but segment.totalsegmentator.roi names no structure; expected at least 1 (TotalSegmentator --list-classes TASK lists them)"
        raise ConfigError(message)
    try:
        release = run_program([*command, "--version"], {}, 120.0).strip().splitlines()
    except _FailedError as error:
        message = f"segment.totalsegmentator: {command[0]} --version {error}. Install it again: pip install TotalSegmentator"
        raise ConfigError(message) from error
    identity = release[-1].strip() if release else ""
    if not identity or config.version not in (None, identity):
        message = f"segment.totalsegmentator: the release is {identity or 'not told'!r}, and {config.version or 'some release'!r} is expected (segment.totalsegmentator.version). Install that one"
        raise ConfigError(message)
    return Model("TotalSegmentator", command, identity, {}, config.roi)


def nnunet_arguments(config: NnunetConfig, images: Path, masks: Path, *, flips: bool, device: str) -> list[str]:
    """Give the options of nnUNetv2_predict.

    Parameters
    ----------
    config : NnunetConfig
        Settings.
    images, masks : Path
        Folder of images (``case_0000`` and the ending), and of masks to be.
    flips : bool
        Whether to average over flips.
    device : str
        ``cpu`` or ``cuda``.

    Returns
    -------
    list of str
        To follow the command.
    """
    model = ["-d", config.dataset, "-c", config.configuration, "-tr", config.trainer, "-p", config.plans, "-f", *map(str, config.folds), "-chk", config.checkpoint]
    how = ["-npp", "1", "-nps", "1", "-device", device, "--disable_progress_bar", *([] if flips else ["--disable_tta"])]
    return ["-i", str(images), "-o", str(masks), *model, *how]


def totalsegmentator_arguments(config: TotalSegmentatorConfig, image: Path, masks: Path, device: str) -> list[str]:
    """Give the options of TotalSegmentator.

    Parameters
    ----------
    config : TotalSegmentatorConfig
        Settings.
    image, masks : Path
        Image, and folder of masks to be, a file a structure.
    device : str
        ``cpu`` or ``cuda``.

    Returns
    -------
    list of str
        To follow the command.
    """
    some = ["-rs", *config.roi] if config.task.startswith("total") else []  # other tasks refuse the option
    fast = ["--fast"] if config.fast else []
    return ["-i", str(image), "-o", str(masks), "-ta", config.task, *some, *fast, "-d", "gpu" if device == "cuda" else "cpu", "-nr", "1", "-ns", "1", "-q"]


def run_case(model: Model, arguments: Sequence[str], minutes: float, patient_id: str) -> None:
    """Run the program on one patient's image.

    Parameters
    ----------
    model : Model
        The program.
    arguments : sequence of str
        Its options.
    minutes : float
        Longest time.
    patient_id : str
        Whom it concerns, for error messages; the program is not told.

    Raises
    ------
    MaskError
        If it cannot be started, fails, or takes too long.
    """
    try:
        run_program([*model.command, *arguments], model.environment, minutes * 60.0)
    except _FailedError as error:
        message = f"{model.name} {error}. Run it by hand on this image, draw the mask, or give masks as files"
        raise MaskError(patient_id, message) from error


def run_program(command: Sequence[str], environment: Mapping[str, str], seconds: float) -> str:
    """Run a program without a shell and without input; it and all that it started end with this call.

    Parameters
    ----------
    command : sequence of str
        Program and arguments.
    environment : mapping of str to str
        Variables for it alone, beside those of this process.
    seconds : float
        Longest time.

    Returns
    -------
    str
        What it wrote to standard output.
    """
    with tempfile.TemporaryFile() as told, tempfile.TemporaryFile() as wrong:
        try:
            child = subprocess.Popen(list(command), env={**os.environ, **environment}, stdin=subprocess.DEVNULL, stdout=told, stderr=wrong, start_new_session=os.name == "posix")
        except OSError as error:
            message = f"cannot be started: {error.strerror or error}"
            raise _FailedError(message) from error
        try:
            code = child.wait(seconds)
        except subprocess.TimeoutExpired as error:
            _end(child)
            message = f"took longer than {seconds / 60:g} minutes and was stopped{_last_words(told, wrong)}"
            raise _FailedError(message) from error
        except BaseException:
            _end(child)
            raise
        if code:
            message = f"failed with exit code {code}{_last_words(told, wrong)}"
            raise _FailedError(message)
        told.seek(0)
        return told.read().decode("utf8", errors="replace")


def _end(child: subprocess.Popen[bytes]) -> None:
    """End a program and the workers that it started."""
    if os.name == "posix":
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
    else:
        child.kill()
    child.wait()


def _last_words(told: Any, wrong: Any) -> str:  # noqa: ANN401 - temporary files have no common type
    """Give the end of standard error, or of standard output where that is empty."""
    for stream in (wrong, told):
        stream.seek(0)
        lines = [line.rstrip() for line in stream.read().decode("utf8", errors="replace").splitlines() if line.strip()]
        if lines:
            return ": " + " | ".join(lines[-LINES:])[-CHARACTERS:].replace(tempfile.gettempdir(), "").rstrip(". ")
    return " without a word"


def _found(command: tuple[str, ...], name: str, install: str, setting: str) -> tuple[str, ...]:
    program = shutil.which(command[0])
    if program is None:
        message = (
            f"{name} is not installed here: there is no program {command[0]!r}. Install it ({install}, in an environment of its own if you like) and name the program in {setting}, "
            "or run it elsewhere and give its masks as files (segment.masks: given)"
        )
        raise ConfigError(message)
    return (program, *command[1:])


def _dataset(results: Path, wanted: str) -> Path:
    pattern = wanted if wanted.startswith("Dataset") else f"Dataset{int(wanted):03d}_*"
    found = sorted(f for f in results.glob(pattern) if f.is_dir())
    if len(found) != 1:
        there = ", ".join(sorted(f.name for f in results.glob("Dataset*"))[:8]) or "none"
        message = f"segment.nnunet.dataset is {wanted}, and {len(found)} trained models fit; expected 1. There are: {there}. Correct dataset or results"
        raise ConfigError(message)
    return found[0]


def _label(labels: Mapping[str, Any], config: NnunetConfig) -> int:
    known = {name: value for name, value in labels.items() if isinstance(value, int)}
    value = known.get(config.label) if isinstance(config.label, str) else config.label
    numbers = {n for v in labels.values() for n in (v if isinstance(v, list) else [v])}
    if value is None or value == 0 or value not in numbers:
        message = f"segment.nnunet.label is {config.label!r}, which the model does not know; its labels are {', '.join(f'{n} ({v})' for n, v in labels.items()) or 'none'}"
        raise ConfigError(message)
    return value
