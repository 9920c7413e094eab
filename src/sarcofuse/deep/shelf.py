"""Which weights are here: what `sarcofuse weights` lists, fetches and verifies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sarcofuse.deep.registry import BACKBONES, Backbone, backbone
from sarcofuse.deep.weights import cache_folder, find_weights, packaged
from sarcofuse.errors import WeightsError

Place = Literal["package", "cache", "absent", "not needed", "yours"]


@dataclass(frozen=True, slots=True)
class Standing:
    """Where the weights of a backbone are.

    Attributes
    ----------
    backbone : Backbone
        Entry of the registry.
    place : {'package', 'cache', 'absent', 'not needed', 'yours'}
        In an installed package, in the cache folder, nowhere, made by the study itself, or brought by the user.
    file : Path or None
        The file, or for absent ones where it belongs.
    """

    backbone: Backbone
    place: Place
    file: Path | None


def standing(entry: Backbone, cache: Path | None = None) -> Standing:
    """Say where the weights of a backbone are; nothing is read or verified.

    Parameters
    ----------
    entry : Backbone
        Entry of the registry.
    cache : Path, optional
        Folder of downloaded weights, by default the user's.

    Returns
    -------
    Standing
        Its place and file.
    """
    if entry.origin != "published":
        return Standing(entry, "not needed" if entry.origin == "study" else "yours", None)
    inside, kept = packaged(entry), (cache or cache_folder()) / entry.file
    if inside is not None and inside.exists():
        return Standing(entry, "package", inside)
    return Standing(entry, "cache" if kept.exists() else "absent", kept)


def list_weights(cache: Path | None = None) -> list[Standing]:
    """Say where the weights of all backbones are.

    Parameters
    ----------
    cache : Path, optional
        Folder of downloaded weights, by default the user's.

    Returns
    -------
    list of Standing
        In the order of the registry.
    """
    return [standing(entry, cache) for entry in BACKBONES.values()]


def fetch_weights(names: Sequence[str], cache: Path | None = None) -> list[Standing]:
    """Download the weights of backbones into the cache folder, but for those that are here; verify all.

    Parameters
    ----------
    names : sequence of str
        Names in the registry.
    cache : Path, optional
        Folder of downloaded weights, by default the user's.

    Returns
    -------
    list of Standing
        In the order of `names`.

    Raises
    ------
    ConfigError
        If there is no backbone of a name.
    WeightsError
        If a file cannot be had or was altered.
    """
    entries = [backbone(name) for name in names]
    for entry in entries:
        if entry.origin == "published":
            find_weights(entry, cache=cache)
    return [standing(entry, cache) for entry in entries]


def verify_weights(names: Sequence[str] = (), file: Path | None = None, cache: Path | None = None) -> list[Standing]:
    """Verify weights that are here, without the network: the SHA-256 of the file, and that every tensor has its place in the architecture.

    Parameters
    ----------
    names : sequence of str
        Names in the registry; none for all whose weights are here.
    file : Path, optional
        A file to verify in place of the package's or the cache's; takes exactly one name.
    cache : Path, optional
        Folder of downloaded weights, by default the user's.

    Returns
    -------
    list of Standing
        What was verified.

    Raises
    ------
    ConfigError
        If there is no backbone of a name.
    WeightsError
        If a named file is absent, was altered, or belongs to another network; says which tensors.
    """
    if file is not None and len(names) != 1:
        message = f"a file is verified as the weights of one backbone; named were {', '.join(names) or 'none'}"
        raise WeightsError(message)
    found = [standing(backbone(name), cache) for name in names] or [s for s in list_weights(cache) if s.place in ("package", "cache")]
    for own in found:
        if own.backbone.origin == "published":
            _fits(own.backbone, find_weights(own.backbone, file, cache=cache, network=False))
    return found


def _fits(entry: Backbone, file: Path) -> None:
    from sarcofuse.deep.networks import build
    from sarcofuse.deep.weights import check_keys, named_for, read_state

    network = build(entry.name)
    check_keys(network, named_for(network, read_state(entry, file)), entry.name)
