"""The commands weights list, fetch and verify: pretrained networks and their files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from sarcofuse.deep.shelf import Standing

HELP = """See, download and verify the weights of pretrained networks.

A study that names a backbone (`deep: {backbone: resnet50}`) looks for its weights in three places: the file that deep.weights names; an installed package or the cache folder;
the network. Each file is held to its SHA-256. On a machine without network: fetch on another one with --folder, copy the folder, and name the file in deep.weights.
efficientnet-lite0 (the default) comes with the program, and segresnet-encoder needs no file: it is the study's own segmentation network.
"""
Folder = Annotated[Path | None, typer.Option(help="Folder of downloaded weights; by default sarcofuse/weights in your cache folder.")]
WORDS = {"package": "here, in a package", "cache": "here, in the cache", "absent": "not here", "not needed": "no file needed", "yours": "your own file"}


def show(
    folder: Folder = None,
    sources: Annotated[bool, typer.Option("--sources", help="Add where each file comes from, its name, and what is known of its SHA-256.")] = False,
) -> None:
    """List the networks and where their weights are.

    `features` counts those of the last layer, averaged; other layers and poolings give others.
    """
    from sarcofuse.deep.shelf import list_weights
    from sarcofuse.deep.weights import cache_folder

    typer.echo(f"{'backbone':<24}{'sees':<6}{'features':>8}  {'licence':<18}weights")
    for own in list_weights(folder):
        entry = own.backbone
        count = str(entry.features) if entry.features else "varies"
        typer.echo(f"{entry.name:<24}{f'{entry.dims}D':<6}{count:>8}  {entry.licence:<18}{WORDS[own.place]}")
        if sources:
            typer.echo(_source(own))
    typer.echo(f"cache folder: {folder or cache_folder()}")


def fetch(
    backbones: Annotated[list[str], typer.Argument(metavar="BACKBONE...", help="Names that `sarcofuse weights list` shows.")],
    folder: Folder = None,
) -> None:
    """Download weights, and verify what comes.

    A download that broke off goes on where it was. Files that are here are verified only.
    """
    from sarcofuse.deep.shelf import fetch_weights

    for own in fetch_weights(backbones, folder):
        typer.echo(f"{own.backbone.name}: {WORDS[own.place]}{'' if own.file is None else f', verified: {own.file}'}")


def verify(
    backbones: Annotated[list[str] | None, typer.Argument(metavar="[BACKBONE...]", help="Names; without any, all whose weights are here.")] = None,
    file: Annotated[Path | None, typer.Option(help="Verify this file as the weights of the one backbone named.")] = None,
    folder: Folder = None,
) -> None:
    """Verify weights without the network.

    Each file must have its SHA-256, and every tensor its place in the architecture.
    """
    from sarcofuse.deep.shelf import verify_weights

    for own in verify_weights(backbones or [], file, folder):
        typer.echo(f"{own.backbone.name}: {'no file needed' if own.file is None else f'verified: {file or own.file}'}")


def _source(own: Standing) -> str:
    from sarcofuse.deep.weights import promise

    entry = own.backbone
    lines = [entry.source]
    if entry.origin == "published":
        lines += [f"file {entry.file}, {promise(entry)}", f"address {entry.url or 'none to download from: see the source'}"]
    return "\n".join(f"    {line}" for line in lines)
