"""Settings of the preprocessing stage."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from sarcofuse.config.base import Section


class PreprocessConfig(Section):
    """From the scanner's image to the working image: orientation, bias field, grid, intensities."""

    n4: Annotated[bool, Field(description="Correct the bias field with N4.")] = True
    n4_shrink: Annotated[int, Field(ge=1, le=8, description="N4 estimates the field on an image shrunk by this factor.")] = 4
    n4_iterations: Annotated[tuple[int, ...], Field(min_length=1, description="N4 iterations at each fitting level.")] = (30, 20, 10)
    spacing: Annotated[tuple[float, float, float] | None, Field(description="Working voxel size along x, y, z in mm; empty keeps each image's own.")] = (1.5, 1.5, 5.0)
    normalise: Annotated[Literal["zscore", "percentile", "none"], Field(description="`zscore`: mean 0, deviation 1 over the body; `percentile`: 1st and 99th percentile of the body to 0 and 1; `none`: as they are.")] = "zscore"
    scale: Annotated[float, Field(gt=0, description="Factor after normalisation, so that bin widths stay handy numbers.")] = 100.0
    clip: Annotated[float | None, Field(gt=0, description="Intensities are clipped at this many deviations (zscore only).")] = 6.0
    geometry_tolerance: Annotated[float, Field(gt=0, description="Largest difference of image and mask grid, in mm, that counts as rounding.")] = 0.01
