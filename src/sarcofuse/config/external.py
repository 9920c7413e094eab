"""Settings of segmentation programs that are not part of this package."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from sarcofuse.config.base import Section


class NnunetConfig(Section):
    """An installed nnU-Net v2 with a trained model (masks: nnunet)."""

    command: Annotated[tuple[str, ...], Field(min_length=1, description="Program and what comes before its options; found on the PATH.")] = ("nnUNetv2_predict",)
    dataset: Annotated[str, Field(pattern=r"^([0-9]{1,3}|Dataset[0-9]{3}_[A-Za-z0-9_.+-]+)$", description="Number or name of the dataset that the model learned from: 501, or Dataset501_Sarcoma.")] = (
        "501"
    )
    configuration: Annotated[str, Field(pattern=r"^[A-Za-z0-9]\w*$", description="Its configuration: 3d_fullres, 3d_lowres, 2d; one that needs no other's result (no cascade).")] = "3d_fullres"
    folds: Annotated[
        tuple[Annotated[int, Field(ge=0)] | Literal["all"], ...], Field(min_length=1, description="Folds whose networks are averaged; `all` is the network that was trained on everybody.")
    ] = (0, 1, 2, 3, 4)
    trainer: Annotated[str, Field(pattern=r"^[A-Za-z0-9]\w*$", description="Trainer class it was trained by.")] = "nnUNetTrainer"
    plans: Annotated[str, Field(pattern=r"^[A-Za-z0-9]\w*$", description="Plans it was trained by.")] = "nnUNetPlans"
    checkpoint: Annotated[str, Field(pattern=r"^[A-Za-z0-9][\w.-]*$", description="File of weights in each fold.")] = "checkpoint_final.pth"
    results: Annotated[Path | None, Field(description="Folder of trained models (nnU-Net's nnUNet_results), relative to study.yaml; empty takes the environment variable.")] = None
    label: Annotated[Annotated[int, Field(ge=1)] | Annotated[str, Field(min_length=1)], Field(description="The tumour's label: its number, or its name in the model's dataset.json.")] = 1
    timeout_minutes: Annotated[float, Field(gt=0, description="A patient that takes longer is set aside.")] = 60.0
    model: Annotated[str | None, Field(pattern="^[0-9a-f]{64}$", description="SHA-256 of the trained model, as a run notes it and its bundle keeps it; another model is then refused.")] = None


class TotalSegmentatorConfig(Section):
    """An installed TotalSegmentator (masks: totalsegmentator)."""

    command: Annotated[tuple[str, ...], Field(min_length=1, description="Program and what comes before its options; found on the PATH.")] = ("TotalSegmentator",)
    task: Annotated[str, Field(pattern=r"^[A-Za-z0-9]\w*$", description="Its task; names that end in _mr are for MRI. Some tasks need a licence, set beforehand.")] = "total_mr"
    roi: Annotated[tuple[Annotated[str, Field(pattern=r"^[A-Za-z0-9]\w*$")], ...], Field(description="Structures of the task that make up the mask together.")] = ()
    fast: Annotated[bool, Field(description="Its faster model at 3 mm, where the task has one.")] = False
    timeout_minutes: Annotated[float, Field(gt=0, description="A patient that takes longer is set aside.")] = 60.0
    version: Annotated[str | None, Field(description="Release of TotalSegmentator, as a run notes it and its bundle keeps it; another release is then refused.")] = None
