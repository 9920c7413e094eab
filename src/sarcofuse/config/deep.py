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


class DeepConfig(Section):
    """Features of a pretrained network on a crop around the tumour."""

    backbone: Annotated[str, Field(description="Network by its registry name, which `sarcofuse weights list` shows; `onnx` for any encoder as an ONNX file.")] = "efficientnet-lite0"
    weights: Annotated[Path | None, Field(description="Weights file, relative to study.yaml; empty takes the registry's own.")] = None
    crop: Annotated[Literal["largest", "neighbours", "planes", "all"], Field(description=_CROP)] = "planes"
    slices: Annotated[int, Field(ge=1, le=9, description="Slices in each plane (crop: planes): 1 is that of largest tumour area, more are spread evenly over the tumour's volume.")] = 3
    margin_mm: Annotated[float, Field(ge=0, description="Context kept around the tumour in mm.")] = 20.0
    field_mm: Annotated[float | None, Field(gt=0, description="Side of every picture in mm, whatever the tumour's size; empty for the tumour's bounding box and margin_mm.")] = None
    masked: Annotated[bool, Field(description="Blank everything outside the tumour.")] = False
    layer: Annotated[Literal["last", "blocks"], Field(description="Feature maps that are pooled: the last one (objects), or those of the earlier stages side by side (texture, margins).")] = "blocks"
    pooling: Annotated[Literal["average", "masked", "max", "regions"], Field(description=_POOLING)] = "regions"
    device: Annotated[Literal["auto", "cpu", "cuda"], Field(description="`auto` takes a GPU where there is one.")] = "auto"
    slice_pooling: Annotated[
        Literal["mean", "max", "attention"], Field(description="How the slices' features become one: their mean, their maximum, or their mean weighted by the tumour's area in each (`attention`).")
    ] = "mean"
    batch: Annotated[int, Field(ge=1, le=1024, description="Pictures that go through the network at a time; halved where memory does not suffice. Features agree within 1e-6 whatever it is.")] = 1
    onnx: Annotated[OnnxConfig, Field(description="What an ONNX file (backbone: onnx) wants to be shown.")] = OnnxConfig()
