"""Settings of the segmentation stage."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from sarcofuse.config.base import Section


class RefineConfig(Section):
    """Clean-up of the networks' masks."""

    flips: Annotated[bool, Field(description="Average the prediction over left-right and front-back flips (test-time augmentation).")] = True
    threshold: Annotated[float, Field(gt=0, lt=1, description="Tumour probability from which a voxel belongs to the mask.")] = 0.5
    keep: Annotated[Literal["largest", "all"], Field(description="Keep the component of largest volume and probability, or all.")] = "largest"
    minimum_ml: Annotated[float, Field(ge=0, description="Components smaller than this are removed, in ml.")] = 0.5
    fill_holes: Annotated[bool, Field(description="Fill holes inside the mask.")] = True


class InferenceConfig(Section):
    """How the networks see an image; training is not concerned."""

    overlap: Annotated[float, Field(ge=0, le=0.9, description="Share of a window that lies in its neighbour at least, for images larger than the training volumes, which go window by window.")] = 0.5
    memory_gb: Annotated[float | None, Field(gt=0, description="Memory that one network's activations may take, in GB; empty gives 60 % of a core's part of the machine's memory, or of the GPU's.")] = None


class SegmentConfig(Section):
    """Tumour masks: given, or by SegResNet trained within Auto3DSeg."""

    masks: Annotated[Literal["given", "model"], Field(description="`given`: use the masks of cohort.csv; `model`: train on the training patients' masks and use the model's masks for everybody, out-of-fold for training patients.")] = "given"
    folds: Annotated[int, Field(ge=2, le=10, description="Folds of the cross-validation; one network each.")] = 4
    spacing: Annotated[tuple[float, float, float] | None, Field(description="Voxel size the networks work at, along x, y, z in mm; empty lets the data analysis decide.")] = None
    epochs: Annotated[int | None, Field(ge=1, description="Passes over the training images; empty lets the plan decide.")] = None
    filters: Annotated[int | None, Field(ge=4, description="Filters of the first level; empty lets the plan decide (8 on a processor, 32 on a GPU).")] = None
    learning_rate: Annotated[float, Field(gt=0, description="Peak learning rate of AdamW.")] = 4e-3
    patch: Annotated[tuple[int, int, int] | None, Field(description="Training patch in voxels along x, y, z; empty takes the whole volume where it fits.")] = None
    device: Annotated[Literal["auto", "cpu", "cuda"], Field(description="`auto` takes a GPU where there is one.")] = "auto"
    refine: Annotated[RefineConfig, Field(description="Clean-up.")] = RefineConfig()
    inference: Annotated[InferenceConfig, Field(description="How the networks see an image.")] = InferenceConfig()
