"""Settings of the regions that radiomic features are taken of beside the tumour."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from sarcofuse.config.base import Section

RegionFamily = Literal["shape", "firstorder", "glcm", "glrlm", "glszm", "gldm", "ngtdm"]
VoxelFeature = Literal["intensity", "mean", "deviation", "log"]


class Codebook(Section):
    """What training patients taught about habitats: plain numbers that assign a voxel anywhere to its habitat."""

    centre: Annotated[tuple[float, ...], Field(description="Mean of each voxel feature.")]
    scale: Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(description="Standard deviation of each voxel feature.")]
    means: Annotated[tuple[tuple[float, ...], ...], Field(min_length=1, description="Centre of each habitat, in standardised features.")]
    precisions: Annotated[tuple[tuple[tuple[float, ...], ...], ...], Field(description="Inverse covariance of each habitat (Gaussian mixture); empty for k-means.")] = ()
    weights: Annotated[tuple[float, ...], Field(description="Share of each habitat (Gaussian mixture); empty for k-means.")] = ()

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        n, k = len(self.centre), len(self.means)
        fits = len(self.scale) == n and all(len(m) == n for m in self.means) and len(self.weights) == len(self.precisions) and len(self.precisions) in (0, k)
        if not fits or not all(len(p) == n and all(len(row) == n for row in p) for p in self.precisions):
            message = f"a codebook of {k} habitats in {n} voxel features has parts of other sizes"
            raise ValueError(message)
        return self


class RegionsConfig(Section):
    """Regions beside the tumour; their features carry the region's name in front, as in ring-0-5_original_firstorder_Mean."""

    ring: Annotated[tuple[float, ...], Field(description="Distances from the tumour in mm between which rings lie, such as [0, 5, 10] for two; empty for none.")] = ()
    clip: Annotated[bool, Field(description="Clip rings to the body.")] = True
    rim: Annotated[float | None, Field(gt=0, description="Width in mm of the tumour's rim; gives the regions rim and core. Empty for neither.")] = None
    habitats: Annotated[int, Field(ge=0, le=12, description="Number of habitats within the tumour, learned from training patients; 0 for none.")] = 0
    habitat_method: Annotated[Literal["kmeans", "gaussian"], Field(description="How habitats are learned: k-means, or a Gaussian mixture.")] = "kmeans"
    habitat_voxels: Annotated[tuple[VoxelFeature, ...], Field(min_length=1, description="What habitats are told apart by: a voxel's intensity, mean and deviation of its surroundings, Laplacian of Gaussian.")] = (
        "intensity",
        "mean",
        "deviation",
        "log",
    )
    habitat_radius: Annotated[float, Field(gt=0, description="Standard deviation in mm of the Gaussian surroundings, and width of the Laplacian of Gaussian.")] = 2.0
    habitat_classes: Annotated[bool, Field(description="Features of each habitat, beside its share of the tumour.")] = False
    codebook: Annotated[Codebook | None, Field(description="The habitats; a study learns them from its training patients.")] = None
    classes: Annotated[tuple[RegionFamily, ...], Field(min_length=1, description="Feature classes of these regions, as far as the tumour has them too; in the dialect ibsi only shape (morphology) is heeded, the other families are the tumour's.")] = ("firstorder", "glcm", "glrlm", "glszm", "gldm", "ngtdm")

    @property
    def any(self) -> bool:
        """Whether there is any region beside the tumour."""
        return bool(self.ring) or self.rim is not None or self.habitats > 0

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if len(self.ring) == 1 or any(b <= a for a, b in zip((-1.0, *self.ring), self.ring, strict=False)) or min(self.ring, default=0.0) < 0.0:
            message = f"ring must be two or more rising distances in mm, from 0 on, found {list(self.ring)}"
            raise ValueError(message)
        if self.habitats == 1:
            message = "habitats must be 0 or at least 2: one habitat is the tumour itself"
            raise ValueError(message)
        if self.codebook is not None and (len(self.codebook.means), len(self.codebook.centre)) != (self.habitats, len(self.habitat_voxels)):
            message = f"codebook has {len(self.codebook.means)} habitats in {len(self.codebook.centre)} voxel features; habitats is {self.habitats} and habitat_voxels has {len(self.habitat_voxels)}"
            raise ValueError(message)
        return self
