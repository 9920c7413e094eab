"""Settings of the deep transfer learning stage."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from sarcofuse.config.base import Section

_CROP = (
    "Slices the network sees: the one of largest tumour area (`largest`), it and its two neighbours, slices in three orthogonal planes (`planes`), "
    "or all of the tumour's slices (`all`); features are averaged over slices."
)
_POOLING = (
    "Pooling of a feature map: over all of it, over the tumour only, its maximum, or side by side over three regions: "
    "the tumour, its rim (5 mm to either side of the border) and its surroundings (20 mm outside)."
)


class DeepConfig(Section):
    """Features of a pretrained network on a crop around the tumour."""

    backbone: Annotated[str, Field(description="Network by its registry name: efficientnet-lite0, squeezenet1_0, segresnet-encoder.")] = "efficientnet-lite0"
    weights: Annotated[Path | None, Field(description="Weights file, relative to study.yaml; empty takes the registry's own.")] = None
    crop: Annotated[Literal["largest", "neighbours", "planes", "all"], Field(description=_CROP)] = "planes"
    slices: Annotated[int, Field(ge=1, le=9, description="Slices in each plane (crop: planes): 1 is that of largest tumour area, more are spread evenly over the tumour's volume.")] = 3
    margin_mm: Annotated[float, Field(ge=0, description="Context kept around the tumour in mm.")] = 20.0
    field_mm: Annotated[float | None, Field(gt=0, description="Side of every picture in mm, whatever the tumour's size; empty for the tumour's bounding box and margin_mm.")] = None
    masked: Annotated[bool, Field(description="Blank everything outside the tumour.")] = False
    layer: Annotated[Literal["last", "blocks"], Field(description="Feature maps that are pooled: the last one (objects), or those of the earlier stages side by side (texture, margins).")] = "blocks"
    pooling: Annotated[Literal["average", "masked", "max", "regions"], Field(description=_POOLING)] = "regions"
    device: Annotated[Literal["auto", "cpu", "cuda"], Field(description="`auto` takes a GPU where there is one.")] = "auto"
