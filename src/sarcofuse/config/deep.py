"""Settings of the deep transfer learning stage."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from sarcofuse.config.base import Section

_CROP = (
    "Slices the network sees: the one of largest tumour area (`largest`), it and its two neighbours, slices in three orthogonal planes (`planes`), "
    "or all of the tumour's slices (`all`). 3D networks see a box around the tumour instead."
)
_POOLING = (
    "Pooling of a feature map: over all of it, over the tumour only, its maximum, or side by side over three regions: "
    "the tumour, its rim (5 mm to either side of the border) and its surroundings (20 mm outside)."
)

_INTENSITIES = (
    "What is black and what is white, or mean 0 and deviation 1 in a 3D box: by the `body` (from air to its brightest), so that a tumour's intensity beside its surroundings stays to be seen, "
    "or by the tumour `region` alone, which uses the whole range for what is inside it."
)

_MODE = (
    "`none`: the network stays as it is and its features go to the models. Otherwise it learns the outcome, and one number a patient goes to the models, the out-of-fold `deep_signature`: "
    "`probe` learns a head on the features as they are; `last` the last block too; `all` everything, early blocks slowly; `adapters` low-rank additions to convolutions and linear layers."
)
_HEAD = (
    "What makes one number of a patient's slices with fine_tune: `pool` joins them as slice_pooling says; `attention` learns which of them matter (gated attention, multiple instances); "
    "`transformer` lets them look at one another."
)


class OnnxConfig(Section):
    """What an encoder given as an ONNX file wants to be shown."""

    size: Annotated[int, Field(ge=8, le=2048, description="Rows and columns of a picture.")] = 224
    channels: Annotated[Literal["RGB", "BGR", "grey"], Field(description="Order of the input channels; `grey` for one channel.")] = "RGB"
    subtract: Annotated[tuple[float, ...], Field(description="Each channel of intensities 0 to 255 enters as (intensity - subtract) / divide; by default as for ImageNet.")] = (123.675, 116.28, 103.53)
    divide: Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(description="See subtract.")] = (58.395, 57.12, 57.375)
    output: Annotated[str | None, Field(description="Name of the output that holds the features; empty for the last. With layer: blocks all outputs that are feature maps are taken.")] = None

    @model_validator(mode="after")
    def _check_channels(self) -> Self:
        count = 1 if self.channels == "grey" else 3
        for name in ("subtract", "divide"):
            if len(getattr(self, name)) != count:
                message = f"{name} must have {count} number{'s' if count > 1 else ''} with channels {self.channels}, found {len(getattr(self, name))}"
                raise ValueError(message)
        return self


class FineTuneConfig(Section):
    """Learning of the outcome by the network; its folds are those of the models (models.folds), groups kept together."""

    mode: Annotated[Literal["none", "probe", "last", "all", "adapters"], Field(description=_MODE)] = "none"
    epochs: Annotated[int, Field(ge=1, description="Passes over the patients, at most.")] = 40
    patience: Annotated[int, Field(ge=1, description="Passes without a smaller loss in the patients held out for stopping, after which a network stops; the best pass is kept.")] = 8
    held_out: Annotated[float, Field(gt=0, le=0.5, description="Share of a network's own patients that is held out for stopping and for the temperature, never for the figures.")] = 0.2
    batch: Annotated[int, Field(ge=1, le=256, description="Patients a step.")] = 8
    learning_rate: Annotated[float, Field(gt=0, description="Learning rate (AdamW) of the head.")] = 1e-3
    network_rate: Annotated[float, Field(gt=0, description="Learning rate of the network's last block, or of the adapters.")] = 1e-4
    discriminative: Annotated[float, Field(ge=1, description="With mode all, each block before the last learns at its successor's rate divided by this.")] = 2.6
    weight_decay: Annotated[float, Field(ge=0, description="Weight decay.")] = 0.01
    dropout: Annotated[float, Field(ge=0, lt=1, description="Share of a head's inputs dropped in learning.")] = 0.2
    rank: Annotated[int, Field(ge=1, le=64, description="Rank of the adapters (mode: adapters).")] = 4
    class_weights: Annotated[Literal["balanced", "none"], Field(description="Weigh both outcomes alike, or every patient alike.")] = "balanced"
    flips: Annotated[bool, Field(description="Augmentation: mirror pictures at random. Nothing is augmented with mode probe.")] = True
    turn_degrees: Annotated[float, Field(ge=0, le=180, description="Augmentation: turn pictures by up to so many degrees; not in 3D.")] = 10.0
    intensity: Annotated[float, Field(ge=0, lt=1, description="Augmentation: stretch and shift intensities by up to this share.")] = 0.1
    temperature: Annotated[bool, Field(description="Bring the networks' logits to one scale on the patients held out for stopping.")] = True
    seed: Annotated[int | None, Field(ge=0, description="Seed of all that is drawn; empty for the study's.")] = None


class DeepConfig(Section):
    """Features of a pretrained network on a crop around the tumour."""

    backbone: Annotated[str, Field(description="Network by its registry name, which `sarcofuse weights list` shows; `onnx` for any encoder as an ONNX file.")] = "efficientnet-lite0"
    weights: Annotated[Path | None, Field(description="Weights file, relative to study.yaml; empty takes the registry's own.")] = None
    crop: Annotated[Literal["largest", "neighbours", "planes", "all"], Field(description=_CROP)] = "planes"
    slices: Annotated[int, Field(ge=1, le=9, description="Slices in each plane (crop: planes): 1 is that of largest tumour area, more are spread evenly over the tumour's volume.")] = 3
    margin_mm: Annotated[float, Field(ge=0, description="Context kept around the tumour in mm.")] = 20.0
    field_mm: Annotated[float | None, Field(gt=0, description="Side of every picture in mm, whatever the tumour's size; empty for the tumour's bounding box and margin_mm.")] = None
    masked: Annotated[bool, Field(description="Blank everything outside the tumour.")] = False
    intensities: Annotated[Literal["body", "region"], Field(description=_INTENSITIES)] = "body"
    layer: Annotated[Literal["last", "blocks"], Field(description="Feature maps that are pooled: the last one (objects), or those of the earlier stages side by side (texture, margins).")] = "blocks"
    pooling: Annotated[Literal["average", "masked", "max", "regions"], Field(description=_POOLING)] = "regions"
    device: Annotated[Literal["auto", "cpu", "cuda"], Field(description="`auto` takes a GPU where there is one.")] = "auto"
    slice_pooling: Annotated[
        Literal["mean", "max", "attention"], Field(description="How the slices' features become one: their mean, their maximum, or their mean weighted by the tumour's area in each (`attention`).")
    ] = "mean"
    batch: Annotated[int, Field(ge=1, le=1024, description="Pictures that go through the network at a time; halved where memory does not suffice. On a GPU pictures of several patients fill it: 64, say. Features agree within 1e-6 whatever it is.")] = 1
    onnx: Annotated[OnnxConfig, Field(description="What an ONNX file (backbone: onnx) wants to be shown.")] = OnnxConfig()
    head: Annotated[Literal["pool", "attention", "transformer"], Field(description=_HEAD)] = "pool"
    fine_tune: Annotated[FineTuneConfig, Field(description="Learning of the outcome by the network.")] = FineTuneConfig()

    @model_validator(mode="after")
    def _check_fine_tuning(self) -> Self:
        if self.head != "pool" and self.fine_tune.mode == "none":
            message = f"head {self.head} learns from the outcome; set fine_tune.mode: probe or more, or head: pool"
            raise ValueError(message)
        if self.backbone == "onnx" and self.fine_tune.mode not in ("none", "probe"):
            message = f"an ONNX file cannot learn (fine_tune.mode: {self.fine_tune.mode}); set fine_tune.mode: probe, or another backbone"
            raise ValueError(message)
        return self
