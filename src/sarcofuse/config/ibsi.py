"""Settings of the radiomic engine's dialect that follows the Image Biomarker Standardisation Initiative (IBSI), in the words of its reference manual."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from sarcofuse.config.base import Section

IbsiFamily = Literal["morphology", "local", "statistics", "histogram", "ivh", "glcm", "glrlm", "glszm", "gldzm", "ngtdm", "ngldm"]
IbsiAggregation = Literal["BTW3", "SUJT", "JJUI", "ZW7Z", "ITBB", "IAZD", "8QNN", "62GR", "KOBO"]
EVERY_FAMILY: tuple[IbsiFamily, ...] = ("morphology", "local", "statistics", "histogram", "ivh", "glcm", "glrlm", "glszm", "gldzm", "ngtdm", "ngldm")
EVERY_AGGREGATION: tuple[IbsiAggregation, ...] = ("BTW3", "SUJT", "JJUI", "ZW7Z", "ITBB", "IAZD", "8QNN", "62GR", "KOBO")


class IbsiConfig(Section):
    """Radiomic features by the reference manual of the Image Biomarker Standardisation Initiative, in use with dialect: ibsi."""

    families: Annotated[tuple[IbsiFamily, ...], Field(min_length=1, description="Feature families.")] = EVERY_FAMILY
    aggregations: Annotated[
        tuple[IbsiAggregation, ...],
        Field(
            min_length=1,
            description="How texture is put together over directions and slices, by IBSI's codes. GLCM and GLRLM: BTW3 (2D averaged), SUJT (2D merged by slice), JJUI (2.5D merged by direction), ZW7Z (2.5D merged), ITBB (3D averaged), IAZD (3D merged). The other matrices: 8QNN (2D), 62GR (2.5D), KOBO (3D).",
        ),
    ] = EVERY_AGGREGATION
    spacing: Annotated[tuple[float, float, float] | None, Field(description="Interpolate to this voxel size along x, y, z in mm; 0 keeps that axis (0 for z: interpolation within slices). Empty keeps the grid.")] = None
    image_interpolation: Annotated[Literal["nearest", "linear", "cubic"], Field(description="Interpolation of the image: nearest neighbour, trilinear, or tricubic spline.")] = "linear"
    mask_interpolation: Annotated[Literal["nearest", "linear"], Field(description="Interpolation of the mask; linear keeps voxels of at least mask_threshold.")] = "linear"
    mask_threshold: Annotated[float, Field(gt=0, le=1, description="Share of a voxel that the region must fill after linear interpolation.")] = 0.5
    round_intensities: Annotated[bool, Field(description="Round interpolated intensities to whole numbers, as for computed tomography.")] = False
    resegment_range: Annotated[tuple[float | None, float | None] | None, Field(description="Intensity mask: keep intensities from the first to the second value, both included; an empty end is open.")] = None
    resegment_sigma: Annotated[float | None, Field(gt=0, description="Intensity mask: keep intensities within this many standard deviations of the mean (IBSI takes 3).")] = None
    discretisation: Annotated[Literal["FBN", "FBS"], Field(description="Grey levels: FBN is a fixed number of bins (bin_count), FBS bins of a fixed size (bin_width).")] = "FBN"
    bin_count: Annotated[int, Field(ge=1, description="Number of bins of FBN.")] = 32
    bin_width: Annotated[float, Field(gt=0, description="Width of the bins of FBS, in units of the image; the first begins at the lower end of resegment_range, or at the lowest intensity.")] = 25.0
    ivh_discretisation: Annotated[
        Literal["none", "FBN", "FBS"],
        Field(description="Intensity-volume histogram: none for whole-number intensities of definite units, FBS (ivh_bin_width) for continuous ones, FBN (ivh_bin_count) for arbitrary units."),
    ] = "FBN"
    ivh_bin_count: Annotated[int, Field(ge=2, description="Number of bins of the intensity-volume histogram with FBN.")] = 1000
    ivh_bin_width: Annotated[float, Field(gt=0, description="Width of the bins of the intensity-volume histogram with FBS.")] = 2.5
    distance: Annotated[int, Field(ge=1, description="Chebyshev distance of neighbours in voxels (GLCM, NGTDM, NGLDM).")] = 1
    coarseness: Annotated[float, Field(ge=0, description="Largest grey-level difference that counts as dependence (NGLDM).")] = 0.0

    weighting: Annotated[
        Literal["none", "inverse", "gaussian"],
        Field(description="Weight of a neighbour by its distance m in voxels: none, inverse (1/m) or gaussian (exp(-m^2)), where directions are merged into one matrix (GLCM, GLRLM) and in the mean of neighbours (NGTDM)."),
    ] = "none"
    weighting_norm: Annotated[Literal["euclidean", "manhattan", "chebyshev"], Field(description="How the distance of weighting is measured.")] = "euclidean"

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if self.spacing is not None and min(self.spacing) < 0:
            message = f"spacing must be three lengths in mm, or 0 to keep an axis, found {self.spacing}"
            raise ValueError(message)
        if self.resegment_range is not None:
            low, high = self.resegment_range
            if low is not None and high is not None and low >= high:
                message = f"resegment_range must go from a lower to a higher intensity, found {self.resegment_range}"
                raise ValueError(message)
        return self
