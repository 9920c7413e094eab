"""Settings of the convolutional filters that the Image Biomarker Standardisation Initiative (IBSI) defines in its second reference manual."""

from __future__ import annotations

from typing import Annotated, Literal, Self, TypeVar

from pydantic import Field, model_validator

from sarcofuse.config.base import Section

SectionT = TypeVar("SectionT", bound=Section)
Boundary = Literal["zero", "nearest", "periodic", "mirror"]
Pooling = Literal["max", "average", "min"]
Plane = Literal["xy", "xz", "yz"]
Dimensions = Literal[2, 3]

BoundaryField = Annotated[Boundary, Field(description="How the image goes on beyond its border: zero, nearest (the border's value), periodic, mirror (about the border, whose voxel comes twice).")]
DimensionsField = Annotated[Dimensions, Field(description="3 filters in all directions, 2 within slices.")]
RotationField = Annotated[bool, Field(description="Rotate the filter to all 24 right-angled positions (4 within slices) and pool their responses.")]
PoolingField = Annotated[Pooling, Field(description="How responses of rotated filters become one: max, average or min.")]
LevelField = Annotated[int, Field(ge=1, le=8, description="Level of decomposition; the first holds the highest frequencies.")]
FrequenciesField = Annotated[
    Literal["inclusive", "dft"],
    Field(
        description="At which frequencies the filter is sampled: inclusive (evenly from minus to plus the Nyquist frequency, both included, as implementations of the standard do) or dft (those of the discrete Fourier transform)."
    ),
]


class MeanFilter(Section):
    """Mean over a cube of voxels."""

    kind: Annotated[Literal["mean"], Field(description="Which filter this is.")] = "mean"
    size: Annotated[int, Field(ge=1, description="Edge of the cube in voxels; odd.")] = 3
    boundary: BoundaryField = "mirror"
    dimensions: DimensionsField = 3

    @model_validator(mode="after")
    def _check_size(self) -> Self:
        if self.size % 2 == 0:
            message = f"size must be odd, so that the cube has a middle, found {self.size}; take {self.size + 1}"
            raise ValueError(message)
        return self


class LogFilter(Section):
    """Laplacian of a Gaussian, truncated."""

    kind: Annotated[Literal["log"], Field(description="Which filter this is.")] = "log"
    sigma_mm: Annotated[float, Field(gt=0, description="Width of the Gaussian in mm.")]
    cutoff: Annotated[float, Field(gt=0, description="The kernel ends at this many widths.")] = 4.0
    boundary: BoundaryField = "mirror"
    dimensions: DimensionsField = 3


class Energy(Section):
    """Texture energy: mean of the absolute response around a voxel."""

    delta: Annotated[int, Field(ge=0, description="Chebyshev distance in voxels that the mean reaches.")] = 7


class LawsFilter(Section):
    """Product of Laws' kernels along the axes."""

    kind: Annotated[Literal["laws"], Field(description="Which filter this is.")] = "laws"
    kernels: Annotated[str, Field(pattern=r"^([LES]3|[LESWR]5){2,3}$", description="Kernels along x, y and z, such as E5W5S5: level, edge, spot, wave, ripple of 3 or 5 voxels.")]
    rotation_invariance: RotationField = True
    pooling: PoolingField = "max"
    energy: Annotated[Energy | None, Field(description="Take the texture energy of the (pooled) response; empty for the response itself.")] = None
    boundary: BoundaryField = "mirror"
    dimensions: DimensionsField = 3

    @model_validator(mode="after")
    def _check_kernels(self) -> Self:
        return _as_many(self, "kernels", len(self.kernels) // 2, self.dimensions)


class GaborFilter(Section):
    """Modulus of the response to Gabor's kernel, a plane wave under a Gaussian, slice by slice."""

    kind: Annotated[Literal["gabor"], Field(description="Which filter this is.")] = "gabor"
    sigma_mm: Annotated[float, Field(gt=0, description="Width of the Gaussian along the wave in mm.")]
    lambda_mm: Annotated[float, Field(gt=0, description="Length of the wave in mm.")]
    gamma: Annotated[float, Field(gt=0, description="Width along the wave divided by that across it.")] = 1.0
    theta: Annotated[float, Field(ge=0, lt=360, description="Direction of the wave in degrees, from the plane's first axis towards its second.")] = 0.0
    theta_step: Annotated[float | None, Field(gt=0, le=180, description="Take all directions from theta on in steps of so many degrees, and pool; empty for theta alone.")] = None
    planes: Annotated[tuple[Plane, ...], Field(min_length=1, description="Planes to filter in, pooled: xy is within slices; [xy, xz, yz] are all orthogonal ones.")] = ("xy",)
    pooling: PoolingField = "average"
    boundary: BoundaryField = "mirror"

    @model_validator(mode="after")
    def _check_angles(self) -> Self:
        if self.theta_step is not None and abs(360 / self.theta_step - round(360 / self.theta_step)) > 1e-9:
            message = f"theta_step must divide 360 degrees, found {self.theta_step}; 22.5, 30 and 45 do"
            raise ValueError(message)
        if len(set(self.planes)) < len(self.planes):
            message = f"planes names a plane twice, found {self.planes}; name each once"
            raise ValueError(message)
        return self


class WaveletFilter(Section):
    """Separable wavelet, undecimated (a trous)."""

    kind: Annotated[Literal["wavelet"], Field(description="Which filter this is.")] = "wavelet"
    family: Annotated[str, Field(description="Wavelet by PyWavelets' name, such as haar, db2, coif1.")]
    band: Annotated[str, Field(pattern=r"^[LH]{2,3}$", description="Low- or high-pass along x, y and z, such as LLH.")]
    level: LevelField = 1
    rotation_invariance: RotationField = True
    pooling: PoolingField = "average"
    boundary: BoundaryField = "mirror"
    dimensions: DimensionsField = 3

    @model_validator(mode="after")
    def _check_band(self) -> Self:
        import pywt

        if self.family not in pywt.wavelist(kind="discrete"):
            message = f"family must be a discrete wavelet of PyWavelets, found {self.family}; haar, db2, sym4 and coif1 are some"
            raise ValueError(message)
        return _as_many(self, "band", len(self.band), self.dimensions)


class SimoncelliFilter(Section):
    """Simoncelli's non-separable wavelet: a smooth band of two octaves, alike in all directions."""

    kind: Annotated[Literal["simoncelli"], Field(description="Which filter this is.")] = "simoncelli"
    level: LevelField = 1
    frequencies: FrequenciesField = "inclusive"
    boundary: BoundaryField = "periodic"
    dimensions: DimensionsField = 3


class ShannonFilter(Section):
    """Shannon's non-separable wavelet: a sharp band of one octave, alike in all directions."""

    kind: Annotated[Literal["shannon"], Field(description="Which filter this is.")] = "shannon"
    level: LevelField = 1
    frequencies: FrequenciesField = "inclusive"
    boundary: BoundaryField = "periodic"
    dimensions: DimensionsField = 3


class RieszFilter(Section):
    """Riesz transform of another filter's response; along fixed axes, or along those that the image has around each voxel."""

    kind: Annotated[Literal["riesz"], Field(description="Which filter this is.")] = "riesz"
    of: Annotated[LogFilter | SimoncelliFilter | ShannonFilter, Field(discriminator="kind", description="The filter whose response is transformed.")]
    order: Annotated[tuple[Annotated[int, Field(ge=0, le=6)], ...], Field(min_length=2, max_length=3, description="Order along x, y and z, such as [2, 0, 0].")]
    alignment_sigma_mm: Annotated[
        float | None,
        Field(
            gt=0,
            description="Turn the axes at each voxel to those of the structure tensor of the response, of this width in mm; the first axis is that of strongest change. Empty for the image's axes.",
        ),
    ] = None

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if not 1 <= sum(self.order) <= 6:
            message = f"order must add up to 1 to 6, found {self.order}"
            raise ValueError(message)
        return _as_many(self, "order", len(self.order), self.of.dimensions)


FilterConfig = Annotated[MeanFilter | LogFilter | LawsFilter | GaborFilter | WaveletFilter | SimoncelliFilter | ShannonFilter | RieszFilter, Field(discriminator="kind")]


def _as_many(section: SectionT, name: str, found: int, dimensions: int) -> SectionT:
    """Check that a setting has one part an axis."""
    if found != dimensions:
        message = f"{name} must have {dimensions} parts, one an axis (dimensions: {dimensions}), found {getattr(section, name)}"
        raise ValueError(message)
    return section
