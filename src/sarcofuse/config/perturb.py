"""Settings of the perturbations that the stability of radiomic features is judged by, and of the filter that follows from it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from sarcofuse.config.base import Section

ImageChange = Literal["none", "noise", "rotation", "translation"]
MaskChange = Literal["none", "boundary", "volume"]


class PerturbConfig(Section):
    """How images and masks are perturbed: each perturbation is a change of the mask on a change of the image."""

    images: Annotated[tuple[ImageChange, ...], Field(min_length=1, description="Changes of the image, in turn: noise, rotation within slices, translation, none.")] = ("none", "noise", "rotation", "translation")
    masks: Annotated[tuple[MaskChange, ...], Field(min_length=1, description="Changes of the mask, in turn: boundary (random), volume (dilation or erosion), none.")] = ("boundary", "volume")
    masks_an_image: Annotated[int, Field(ge=1, description="Perturbed masks on each changed image; filters are computed once for all of them.")] = 4
    boundary: Annotated[float, Field(gt=0, description="Standard deviation in mm by which the mask's boundary is moved.")] = 1.5
    boundary_length: Annotated[float, Field(gt=0, description="Length in mm over which the boundary moves together.")] = 10.0
    volume: Annotated[float, Field(gt=0, lt=1, description="Largest share by which the mask's volume grows or shrinks.")] = 0.15
    noise: Annotated[float, Field(gt=0, description="Standard deviation of the added noise, as a multiple of the noise that the image has.")] = 1.0
    rotation: Annotated[float, Field(gt=0, le=45, description="Largest angle in degrees of the rotation about the slices' normal.")] = 5.0
    translation: Annotated[float, Field(gt=0, le=1, description="Largest translation along each axis, in voxels.")] = 0.5


class StabilityConfig(Section):
    """Features that do not outlast perturbation of training patients' images and masks are left out, inside every fold."""

    perturbations: Annotated[int, Field(ge=0, description="Perturbations of each training patient's image and mask, for radiomic features; 0 for no filter.")] = 0
    threshold: Annotated[float, Field(gt=0, lt=1, description="Least intraclass correlation of a feature that is used: 0.75 is called good, 0.9 excellent.")] = 0.75
    bound: Annotated[bool, Field(description="Whether the lower end of the 95 % interval must reach the threshold, or the correlation itself.")] = True
    form: Annotated[Literal["2,1", "3,1"], Field(description="ICC(2,1), absolute agreement, or ICC(3,1), consistency.")] = "2,1"
    masks: Annotated[bool, Field(description="Whether features must reach the threshold between out-of-fold and given masks as well (segment.masks: model). That correlation is reported in any case.")] = False
    deep: Annotated[int, Field(ge=0, description="Perturbations under which deep features are taken again, for the same filter; each costs a patient as much as the features themselves. 0 for no filter.")] = 0
    changes: Annotated[PerturbConfig, Field(description="What the perturbations are, and how strong.")] = PerturbConfig()
