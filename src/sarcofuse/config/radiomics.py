"""Settings of the radiomic engine, in PyRadiomics' own names where it has one."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from sarcofuse.config.base import Section

FeatureClass = Literal["shape", "firstorder", "glcm", "glrlm", "glszm", "gldm", "ngtdm"]


class RadiomicsConfig(Section):
    """Radiomic features of the tumour, with PyRadiomics' names and conventions."""

    classes: Annotated[tuple[FeatureClass, ...], Field(description="Feature classes.")] = ("shape", "firstorder", "glcm", "glrlm", "glszm", "gldm", "ngtdm")
    original: Annotated[bool, Field(description="Features of the image itself.")] = True
    log_sigma: Annotated[tuple[float, ...], Field(description="Widths in mm of the Laplacian of Gaussian; empty for none.")] = (1.0, 3.0, 5.0)
    wavelet: Annotated[str | None, Field(description="Wavelet by PyWavelets' name, one level, eight sub-bands; empty for none.")] = "coif1"
    binWidth: Annotated[float, Field(gt=0, description="Width of a grey-level bin, in units of the (normalised) image.")] = 25.0
    binCount: Annotated[int | None, Field(ge=2, description="Number of grey-level bins; overrides binWidth.")] = None
    resampledPixelSpacing: Annotated[tuple[float, float, float] | None, Field(description="Resample to this voxel size along x, y, z in mm first; 0 keeps that axis. Empty keeps the grid.")] = None
    interpolator: Annotated[str, Field(description="SimpleITK interpolator for resampling the image.")] = "sitkBSpline"
    padDistance: Annotated[int, Field(ge=0, description="Voxels kept around the tumour when resampling.")] = 5
    normalize: Annotated[bool, Field(description="Scale the image to mean 0 and deviation normalizeScale over all voxels.")] = False
    normalizeScale: Annotated[float, Field(gt=0, description="Deviation after normalize.")] = 1.0
    removeOutliers: Annotated[float | None, Field(gt=0, description="With normalize: clip at this many deviations.")] = None
    resegmentRange: Annotated[tuple[float, ...] | None, Field(description="Keep only mask voxels with intensities from the first to the second value (or at least the only one).")] = None
    resegmentMode: Annotated[Literal["absolute", "relative", "sigma"], Field(description="Units of resegmentRange.")] = "absolute"
    resegmentShape: Annotated[bool, Field(description="Use the re-segmented mask for shape as well.")] = False
    voxelArrayShift: Annotated[float, Field(description="Added to intensities before energy, total energy and root mean square.")] = 0.0
    force2D: Annotated[bool, Field(description="Texture neighbours within the plane only.")] = False
    force2Ddimension: Annotated[Literal[0, 1, 2], Field(description="Axis across the plane, 0 being z.")] = 0
    distances: Annotated[tuple[int, ...], Field(min_length=1, description="Neighbour distances in voxels (GLCM, GLDM, NGTDM).")] = (1,)
    symmetricalGLCM: Annotated[bool, Field(description="Count each GLCM pair both ways.")] = True
    weightingNorm: Annotated[Literal["manhattan", "euclidean", "infinity", "no_weighting"] | None, Field(description="Weights of the directions of GLCM and GLRLM; empty averages features over directions.")] = None
    gldm_a: Annotated[float, Field(ge=0, description="Largest grey-level difference that counts as dependence.")] = 0.0
    label: Annotated[int, Field(ge=1, description="Value of the region in the mask.")] = 1
    minimumROIDimensions: Annotated[Literal[1, 2, 3], Field(description="Least number of dimensions the region must extend in.")] = 2
    minimumROISize: Annotated[int | None, Field(ge=1, description="Least number of voxels of the region.")] = None
    maximum_levels: Annotated[int, Field(ge=2, description="More grey levels than this are refused before memory is gone.")] = 4096
