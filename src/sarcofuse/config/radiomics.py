"""Settings of the radiomic engine, in PyRadiomics' own names where it has one."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from sarcofuse.config.base import Section
from sarcofuse.config.filters import FilterConfig
from sarcofuse.config.ibsi import IbsiConfig
from sarcofuse.config.regions import RegionsConfig

FeatureClass = Literal["shape", "shape2D", "firstorder", "glcm", "glrlm", "glszm", "gldm", "ngtdm"]
ImageType = Literal["original", "log", "wavelet", "square", "squareroot", "logarithm", "exponential", "gradient", "lbp2d", "lbp3d", "filter"]
FurtherImage = Literal["square", "squareroot", "logarithm", "exponential", "gradient", "lbp2d", "lbp3d"]

PER_IMAGE = ("binWidth", "binCount", "voxelArrayShift", "force2D", "force2Ddimension", "distances", "symmetricalGLCM", "weightingNorm", "gldm_a", "maximum_levels")
# Settings without a meaning in the dialect ibsi, and what says the same there; an empty name where nothing does.
NOT_IBSI = {
    "classes": "families", "features": "families", "further_images": "", "image_settings": "", "binWidth": "bin_width", "binCount": "bin_count", "resampledPixelSpacing": "spacing",
    "interpolator": "image_interpolation", "padDistance": "", "preCrop": "", "normalize": "", "normalizeScale": "", "removeOutliers": "resegment_sigma", "resegmentRange": "resegment_range",
    "resegmentMode": "resegment_sigma", "resegmentShape": "", "voxelArrayShift": "", "force2D": "aggregations", "force2Ddimension": "aggregations", "distances": "distance",
    "symmetricalGLCM": "", "weightingNorm": "weighting", "gldm_a": "coarseness", "gradientUseSpacing": "", "minimumROIDimensions": "", "minimumROISize": "",
}  # fmt: skip


class RadiomicsConfig(Section):
    """Radiomic features of the tumour: with PyRadiomics' names and conventions, or by IBSI's standard."""

    dialect: Annotated[Literal["pyradiomics", "ibsi"], Field(description="Names and conventions: PyRadiomics' (all settings of this section), or IBSI's (ibsi, filters, regions, label, label_channel, correctMask, fixGeometry, geometryTolerance, maximum_levels).")] = "pyradiomics"
    classes: Annotated[tuple[FeatureClass, ...], Field(min_length=1, description="Feature classes.")] = ("shape", "firstorder", "glcm", "glrlm", "glszm", "gldm", "ngtdm")
    features: Annotated[dict[FeatureClass, tuple[str, ...]], Field(description="Names of the wanted features by class; a class that is not named gives all of its features.")] = {}
    original: Annotated[bool, Field(description="Features of the image itself.")] = True
    log_sigma: Annotated[tuple[Annotated[int | float, Field(gt=0)], ...], Field(description="Widths in mm of the Laplacian of Gaussian; empty for none.")] = (1.0, 3.0, 5.0)
    wavelet: Annotated[str | None, Field(description="Wavelet by PyWavelets' name, eight sub-bands a level; empty for none.")] = "coif1"
    wavelet_level: Annotated[int, Field(ge=1, le=5, description="Number of wavelet levels.")] = 1
    wavelet_start: Annotated[int, Field(ge=0, le=5, description="Wavelet levels to pass over before the first that is used.")] = 0
    further_images: Annotated[tuple[FurtherImage, ...], Field(description="Further images to take features of: square, squareroot, logarithm, exponential, gradient, lbp2d, lbp3d (local binary patterns).")] = ()
    filters: Annotated[tuple[FilterConfig, ...], Field(description="Convolutional filters of IBSI to take features of the response to, such as {kind: laws, kernels: E5W5S5}; in both dialects.")] = ()
    image_settings: Annotated[dict[ImageType, dict[str, Any]], Field(description="Settings that differ for one image type, such as {log: {binWidth: 5}}.")] = {}
    binWidth: Annotated[float, Field(gt=0, description="Width of a grey-level bin, in units of the (normalised) image.")] = 25.0
    binCount: Annotated[int | None, Field(ge=1, description="Number of grey-level bins; overrides binWidth.")] = None
    resampledPixelSpacing: Annotated[tuple[float, float, float] | None, Field(description="Resample to this voxel size along x, y, z in mm first; 0 keeps that axis. Empty keeps the grid.")] = None
    interpolator: Annotated[str | None, Field(description="SimpleITK interpolator for resampling the image; empty for no resampling.")] = "sitkBSpline"
    padDistance: Annotated[int, Field(ge=0, description="Voxels kept around the tumour when resampling, or with preCrop.")] = 5
    preCrop: Annotated[bool, Field(description="Crop to the tumour and padDistance before filtering.")] = False
    correctMask: Annotated[bool, Field(description="Resample a mask of another geometry onto the image's grid.")] = False
    geometryTolerance: Annotated[float, Field(gt=0, description="Largest difference of the grids of image and mask that counts as rounding: in mm, absolute for cosines.")] = 1e-3
    fixGeometry: Annotated[bool, Field(description="Give a mask the image's grid where the two differ by rounding alone: equal size, voxel centres at most a tenth of a voxel apart.")] = False
    normalize: Annotated[bool, Field(description="Scale the image to mean 0 and deviation normalizeScale over all voxels.")] = False
    normalizeScale: Annotated[float, Field(gt=0, description="Deviation after normalize.")] = 1.0
    removeOutliers: Annotated[float | None, Field(gt=0, description="With normalize: clip at this many deviations.")] = None
    resegmentRange: Annotated[tuple[float, ...] | None, Field(min_length=1, max_length=2, description="Keep only mask voxels with intensities in this range (or of at least the only value).")] = None
    resegmentMode: Annotated[Literal["absolute", "relative", "sigma"], Field(description="Units of resegmentRange.")] = "absolute"
    resegmentShape: Annotated[bool, Field(description="Use the re-segmented mask for shape as well.")] = False
    voxelArrayShift: Annotated[float, Field(description="Added to intensities before energy, total energy and root mean square.")] = 0.0
    force2D: Annotated[bool, Field(description="Texture neighbours within the plane only.")] = False
    force2Ddimension: Annotated[Literal[0, 1, 2], Field(description="Axis across the plane, 0 being z.")] = 0
    distances: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1, description="Neighbour distances in voxels (GLCM, GLDM, NGTDM).")] = (1,)
    symmetricalGLCM: Annotated[bool, Field(description="Count each GLCM pair both ways.")] = True
    weightingNorm: Annotated[Literal["manhattan", "euclidean", "infinity", "no_weighting"] | None, Field(description="Merge directions with these weights (GLCM, GLRLM); empty averages features.")] = None
    gldm_a: Annotated[float, Field(ge=0, description="Largest grey-level difference that counts as dependence.")] = 0.0
    gradientUseSpacing: Annotated[bool, Field(description="Take the gradient per mm instead of per voxel.")] = True
    lbp2DRadius: Annotated[float, Field(gt=0, description="Local binary pattern in the plane: radius of its circle in voxels.")] = 1.0
    lbp2DSamples: Annotated[int, Field(ge=1, le=24, description="Samples on the circle.")] = 8
    lbp2DMethod: Annotated[Literal["default", "ror", "uniform", "var"], Field(description="How the samples become a number: plain, rotation-invariant, uniform, or their variance.")] = "uniform"
    lbp3DLevels: Annotated[int, Field(ge=1, le=10, description="Local binary pattern in space: levels of spherical harmonics.")] = 2
    lbp3DIcosphereRadius: Annotated[float, Field(gt=0, description="Radius of its sphere in voxels.")] = 1.0
    lbp3DIcosphereSubdivision: Annotated[int, Field(ge=0, le=4, description="How often the sphere's icosahedron is subdivided: 12, 42, 162 samples.")] = 1
    label: Annotated[int, Field(ge=1, description="Value of the region in the mask.")] = 1
    label_channel: Annotated[int, Field(ge=0, description="Which value of a voxel holds the labels, where a mask has several, such as a segmentation of overlapping segments.")] = 0
    minimumROIDimensions: Annotated[Literal[1, 2, 3], Field(description="Least number of dimensions the region must extend in.")] = 2
    minimumROISize: Annotated[int | None, Field(ge=1, description="The region must have more voxels than this.")] = None
    additionalInfo: Annotated[bool, Field(description="Keep diagnostics beside the features: versions, hashes, grids, the region after each step, grey levels of every image.")] = False
    maximum_levels: Annotated[int, Field(ge=1, le=32767, description="More grey levels than this are refused before memory is gone.")] = 4096
    ibsi: Annotated[IbsiConfig, Field(description="Settings of the dialect ibsi.")] = IbsiConfig()
    regions: Annotated[RegionsConfig, Field(description="Regions beside the tumour: rings around it, rim and core, habitats.")] = RegionsConfig()

    @property
    def flat_axis(self) -> int | None:
        """Axis along which texture neighbours are not looked for, 0 being z; None for all directions."""
        return self.force2Ddimension if self.force2D else None

    def for_image(self, kind: ImageType) -> RadiomicsConfig:
        """Give the settings that hold for one image type.

        Parameters
        ----------
        kind : str
            The image type.

        Returns
        -------
        RadiomicsConfig
            With `image_settings` of that type put in place.
        """
        own = self.image_settings.get(kind)
        return RadiomicsConfig.model_validate(self.model_dump() | {"image_settings": {}} | own) if own else self

    @model_validator(mode="after")
    def _check_dialect(self) -> Self:
        fields = type(self).model_fields
        for name, same in NOT_IBSI.items() if self.dialect == "ibsi" else ():
            if getattr(self, name) != fields[name].default:
                instead = f"set ibsi.{same}" if same else "leave it out"
                message = f"{name} is a setting of the dialect pyradiomics and says nothing in the dialect ibsi; {instead}"
                raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        for kind, own in self.image_settings.items():
            wrong = sorted(set(own) - set(PER_IMAGE))
            if wrong:
                message = f"{wrong[0]} cannot differ between image types ({kind}); these can: {', '.join(PER_IMAGE)}"
                raise ValueError(message)
            RadiomicsConfig.model_validate({name: getattr(self, name) for name in PER_IMAGE} | own)
        if self.binCount is not None and self.binCount > self.maximum_levels:
            message = f"binCount {self.binCount} exceeds maximum_levels {self.maximum_levels}: matrices grow with its square; lower binCount"
            raise ValueError(message)
        if self.resampledPixelSpacing is not None and min(self.resampledPixelSpacing) < 0:
            message = f"resampledPixelSpacing must be three lengths in mm, or 0 to keep an axis, found {self.resampledPixelSpacing}"
            raise ValueError(message)
        absent = sorted(set(self.features) - set(self.classes))
        if absent:
            message = f"features names the class {absent[0]}, which is not among classes {self.classes}"
            raise ValueError(message)
        return self
