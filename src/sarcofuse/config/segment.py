"""Settings of the segmentation stage."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from sarcofuse.config.base import Section
from sarcofuse.config.external import NnunetConfig, TotalSegmentatorConfig


class RefineConfig(Section):
    """Clean-up of the networks' masks."""

    flips: Annotated[bool, Field(description="Average the prediction over left-right and front-back flips (test-time augmentation).")] = True
    threshold: Annotated[float, Field(gt=0, lt=1, description="Tumour probability from which a voxel belongs to the mask.")] = 0.5
    keep: Annotated[Literal["largest", "all"], Field(description="Keep the component of largest volume and probability, or all.")] = "largest"
    gap_mm: Annotated[float, Field(ge=0, description="Slices missing between two parts of the tumour are interpolated by shape where the gap is at most this wide, in mm; 0 leaves gaps.")] = 10.0
    minimum_ml: Annotated[float, Field(ge=0, description="Components smaller than this are removed, in ml.")] = 0.5
    fill_holes: Annotated[bool, Field(description="Fill holes inside the mask.")] = True
    fill_slices: Annotated[bool, Field(description="Fill holes within each axial slice, too, also where they are open above or below.")] = False
    smooth_mm: Annotated[float, Field(ge=0, description="Smooth the boundary with a Gaussian of this deviation in mm that keeps the volume; 0 does not.")] = 0.0


class InferenceConfig(Section):
    """How the networks see an image; training is not concerned."""

    backend: Annotated[Literal["torch", "openvino"], Field(description="What computes on a processor; `openvino` needs the package (`pip install 'sarcofuse[openvino]'`). GPUs always use torch.")] = "torch"
    overlap: Annotated[float, Field(ge=0, le=0.9, description="Share of a window that lies in its neighbour at least, for images larger than the training volumes, which go window by window.")] = 0.5
    memory_gb: Annotated[float | None, Field(gt=0, description="Memory that one network's activations may take, in GB; empty gives 60 % of a core's part of the machine's memory, or of the GPU's.")] = None


class SegmentConfig(Section):
    """Tumour masks: given, or by SegResNet trained within Auto3DSeg."""

    masks: Annotated[Literal["given", "model", "nnunet", "totalsegmentator"], Field(description="`given`: use the masks of cohort.csv; `model`: train on the training patients' masks and use the model's masks for everybody, out-of-fold for training patients; `nnunet`, `totalsegmentator`: masks for everybody by that program, which must be installed.")] = "given"
    folds: Annotated[int, Field(ge=2, le=10, description="Folds of the cross-validation; one network each.")] = 4
    spacing: Annotated[tuple[float, float, float] | None, Field(description="Voxel size the networks work at, along x, y, z in mm; empty lets the data analysis decide.")] = None
    epochs: Annotated[int | None, Field(ge=1, description="Passes over the training images; empty lets the plan decide.")] = None
    filters: Annotated[int | None, Field(ge=4, description="Filters of the first level; empty lets the plan decide (8 on a processor, 32 on a GPU).")] = None
    learning_rate: Annotated[float | None, Field(gt=0, description="Peak learning rate of AdamW; empty lets the plan decide (0.004; 0.001 for images that are cropped around the tumour).")] = None
    patch: Annotated[tuple[int, int, int] | None, Field(description="Training patch in voxels along x, y, z; empty takes the whole volume where it fits.")] = None
    levels: Annotated[int | None, Field(ge=2, le=6, description="Levels of resolution of the network; empty lets the plan decide (4 on a processor, 5 on a GPU, fewer for small images).")] = None
    batch: Annotated[int, Field(ge=1, description="Training volumes that go through the network at once.")] = 2
    accumulate: Annotated[int, Field(ge=1, description="Batches whose gradients are added up before each step: a larger batch without its memory.")] = 1
    processes: Annotated[int, Field(ge=1, description="Processes that train each fold together, one GPU each where there are GPUs; they divide the batches of a step, of which there are then at least as many.")] = 1
    deep_supervision: Annotated[int | None, Field(ge=1, le=5, description="Resolutions that the loss is taken at; empty lets the plan decide (1 on a processor, 3 on a GPU).")] = None
    tumour_share: Annotated[float, Field(ge=0, le=1, description="Share of training patches that are placed on the tumour; the others lie anywhere. It matters where volumes are larger than the patch.")] = 1.0
    early_stopping: Annotated[bool | None, Field(description="Set some of a fold's training patients apart, stop when their Dice no longer rises, and keep the best weights; held-out patients have no part in it. Empty lets the plan decide (only where many volumes are seen).")] = None
    prompts: Annotated[float | None, Field(ge=0, lt=1, description="Share of training volumes that come with a made-up box, click or rough mask, so that the networks can be steered; 0 for networks that know no prompts. Empty gives one half.")] = None
    cropped: Annotated[bool | None, Field(description="Whether images are cropped around the tumour: the networks then expect it in the middle and see every image at the same number of voxels. Empty lets the data analysis decide.")] = None
    start_from: Annotated[Literal["phantoms", "nothing"] | Path | None, Field(description="Weights to start training from: `phantoms` are the package's own, learnt on synthetic patients, and are what empty gives for cropped images of few patients on a processor; a .safetensors or .pt file of MONAI's SegResNetDS or SegResNet, a bundle, or its segmenter folder; relative to study.yaml. They must not have learnt from patients of this study.")] = None
    templates: Annotated[Path | None, Field(description="Folder of other Auto3DSeg algorithm templates, such as upstream's `algorithm_templates`, to train with `masks: model` in place of ours; relative to study.yaml. Its scripts are run. The bundle then holds no segmentation networks.")] = None
    unlabelled: Annotated[Literal["ignore", "pseudo"], Field(description="Training patients without a mask (model): `ignore` them in training, or let each fold's network draw them and learn on from its own masks where its flips agree.")] = "ignore"
    unlabelled_agreement: Annotated[float, Field(ge=0, le=1, description="Smallest agreement (Dice) of a network's masks of the flipped image for a mask to be learned from.")] = 0.9
    device: Annotated[Literal["auto", "cpu", "cuda"], Field(description="`auto` takes a GPU where there is one.")] = "auto"
    refine: Annotated[RefineConfig, Field(description="Clean-up.")] = RefineConfig()
    inference: Annotated[InferenceConfig, Field(description="How the networks see an image.")] = InferenceConfig()
    nnunet: Annotated[NnunetConfig, Field(description="An installed nnU-Net v2.")] = NnunetConfig()
    totalsegmentator: Annotated[TotalSegmentatorConfig, Field(description="An installed TotalSegmentator.")] = TotalSegmentatorConfig()
    review_below: Annotated[float, Field(ge=0, le=1, description="Masks whose predicted Dice is below this are listed for a person to look at (and those beside which another structure is almost as likely).")] = 0.6
    fold_masks: Annotated[bool, Field(description="Keep every network's own mask of internal and external patients as well, and take radiomic features of each: their spread goes into features/radiomic_spread.parquet. Multiplies the extraction by the number of networks.")] = False
