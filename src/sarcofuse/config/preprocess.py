"""Settings of the preprocessing stage."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from sarcofuse.config.base import Section


class PreprocessConfig(Section):
    """From the scanner's image to the working image: orientation, bias field, grid, intensities."""

    n4: Annotated[bool, Field(description="Correct the bias field with N4.")] = True
    n4_spacing: Annotated[float, Field(gt=0, description="N4 estimates the field on a grid of about this voxel size in mm; the field itself is removed on the working grid.")] = 10.0
    n4_iterations: Annotated[tuple[int, ...], Field(min_length=1, description="N4 iterations at each fitting level.")] = (30, 20, 10)
    spacing: Annotated[tuple[float, float, float] | None, Field(description="Working voxel size along x, y, z in mm; empty keeps each image's own.")] = (1.5, 1.5, 5.0)
    interpolation: Annotated[Literal["linear", "bspline"], Field(description="How images are resampled (an axis that gets coarser is smoothed first).")] = "linear"
    normalise: Annotated[Literal["zscore", "percentile", "none"], Field(description="`zscore`: mean 0, deviation 1 in the body; `percentile`: its 1st and 99th to 0 and 1; `none`.")] = "zscore"
    scale: Annotated[float, Field(gt=0, description="Factor after normalisation, so that bin widths stay handy numbers.")] = 100.0
    clip: Annotated[float | None, Field(gt=0, description="Intensities are clipped at this many deviations (zscore only).")] = 6.0
    geometry_tolerance: Annotated[float, Field(gt=0, description="Largest difference of image and mask grid, in mm, that counts as rounding.")] = 0.01
    other_grids: Annotated[Literal["refuse", "resample"], Field(description="What becomes of a mask on a grid that is neither the image's nor a part of it: an error of that patient, or resampled to the image's grid.")] = "refuse"
    minimum_slices: Annotated[int, Field(ge=1, description="Axial slices that a given tumour mask must extend over, before and after resampling; fewer is an error of that patient.")] = 2
