"""The command explain: where the deep signature of a bundle looks."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sarcofuse.cli.apply import Box, Click, Rough

if TYPE_CHECKING:
    from sarcofuse.bundle import Explanation


_METHOD = (
    "exact: each voxel's part of the deep signature, where that is linear in the slices; integrated: its part by integrated gradients, for heads that are not (attention, transformer); "
    "auto: the one of the two that fits; gradcam: Grad-CAM by the book."
)


class Method(StrEnum):
    """How maps are made."""

    auto = "auto"
    exact = "exact"
    integrated = "integrated"
    gradcam = "gradcam"


def explain(
    bundle: Annotated[Path, typer.Argument(help="The folder bundle/ of a finished run with deep features.")],
    images: Annotated[list[Path], typer.Argument(help="NIfTI files, DICOM folders, or one cohort.csv with patient_id and image.")],
    mask: Annotated[Path | None, typer.Option(help="The tumour's mask, for a single image; without it the bundle draws one.")] = None,
    box: Box = None,
    click: Click = None,
    rough: Rough = None,
    given_masks: Annotated[bool, typer.Option("--given-masks", help="Use the masks of a cohort.csv even where the bundle's models learned from masks by its own networks.")] = False,
    method: Annotated[Method, typer.Option(help=_METHOD)] = Method.auto,
    out: Annotated[Path, typer.Option(help="Folder for maps (NIfTI, on each image's own grid), pictures and explain.json.")] = Path("explained"),
) -> None:
    """Map where in an image the deep signature comes from.

    The signature is a linear formula of pooled feature maps, so each voxel's part in it can be told exactly: the values of the map add up to how far the patient's signature lies
    from the mean training patient's. Orange raises the risk, blue lowers it. Only the slices that the network saw have values.

    Where networks learnt the outcome, the map is the mean over them, and adds up to how far the signature lies from that of average slices.

    Three figures keep the map honest. How much of what raises the risk lies in the tumour, beside the share of the pictures that the tumour takes up (what a map that knows nothing
    would show). In how many pictures the strongest place lies in the tumour. And how alike the map is to that of the same network with shuffled weights: near 0 it shows what the
    network learned, near 1 no more than edges and regions.

    Example: sarcofuse explain run/bundle NEW.nii.gz --mask NEW_mask.nii.gz --out explained
    """
    from sarcofuse.bundle import explain_patients, load_bundle
    from sarcofuse.cli.apply import _tell_aside, read_options
    from sarcofuse.cohort import new_patients

    frozen = load_bundle(bundle)
    found, aside = explain_patients(frozen, new_patients(images, mask, read_options(box, click, rough, mask=mask)), out, given_masks=given_masks or mask is not None or None, method=method.value)
    for own in found:
        typer.echo(_line(own, out))
    _tell_aside(aside)


def _line(own: Explanation, out: Path) -> str:
    def share(value: float | None) -> str:
        return "not defined" if value is None else f"{100 * value:.0f} %"

    agreement, sanity = own.record["agreement"], own.record["sanity"]
    middle = "average slices" if "networks" in own.record else "mean training patient"
    return (
        f"{own.patient_id}: deep signature {own.signature:.2f} ({middle} {own.base:.2f}); {share(agreement['inside'])} of what raises it lies in the tumour, which takes up "
        f"{share(agreement['area'])} of the pictures; strongest place in the tumour in {share(agreement['hits'])} of them; "
        f"correlation with shuffled weights {'not defined' if sanity is None else f'{sanity:.2f}'}: {out / (own.patient_id + '_map.nii.gz')}"
    )
