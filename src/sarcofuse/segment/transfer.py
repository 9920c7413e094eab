"""Weights to start from: of a study's segmenter or bundle, or of MONAI's SegResNetDS or SegResNet."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sarcofuse.errors import WeightsError
from sarcofuse.runtime import digest, digest_file, read_json
from sarcofuse.segment.guidance import NOTHING, OWN_WEIGHTS, PHANTOMS, own_digest
from sarcofuse.segment.model import CARD
from sarcofuse.segment.network import build_network

if TYPE_CHECKING:
    import torch

    from sarcofuse.segment.plan import Plan

LEAST = 0.25
"""Share of the network's weights that a checkpoint must hold to be worth starting from."""
INPUT = "encoder.conv_init.weight"
EXPECTED = "expected weights of MONAI's SegResNetDS or SegResNet (.safetensors, .pt), a bundle, or its segmenter folder"
OTHER_NAMES = (
    (r"^(?:module|model|network)\.", ""),
    (r"^convInit\.conv\.", "encoder.conv_init."),
    (r"^down_layers\.(\d+)\.0\.conv\.", lambda m: f"encoder.layers.{int(m[1]) - 1}.downsample."),
    (r"^down_layers\.(\d+)\.(\d+)\.", lambda m: f"encoder.layers.{m[1]}.blocks.{int(m[2]) - 1}."),
    (r"^up_layers\.(\d+)\.(\d+)\.", r"up_layers.\1.blocks.\2."),
    (r"\.(conv[12])\.conv\.weight$", r".\1.weight"),
)
"""How MONAI's SegResNet, and wrappers, name what SegResNetDS has under another name."""


@dataclass(frozen=True, slots=True)
class Start:
    """Weights that fit the network.

    Attributes
    ----------
    weights : mapping of str to Tensor
        What was taken, under the network's own names.
    fresh : tuple of str
        Weights of the network that the checkpoint does not have.
    unused : tuple of str
        Weights of the checkpoint that the network does not have.
    widened : bool
        Whether the first convolution got weights of zero for further input channels.
    """

    weights: Mapping[str, torch.Tensor]
    fresh: tuple[str, ...]
    unused: tuple[str, ...]
    widened: bool

    def told(self) -> str:
        """Tell what was taken and what was not.

        Returns
        -------
        str
            A sentence.
        """
        text = f"{len(self.weights)} weights taken"
        if self.widened:
            text += ", the first convolution with zeros for the further input channels"
        for what, names in (("fresh", self.fresh), ("not used", self.unused)):
            text += f"; {what}: {', '.join(names[:4])}{f' and {len(names) - 4} more' if len(names) > 4 else ''}" if names else ""
        return text


def start_files(source: Path) -> list[Path]:
    """Find the files of weights that a source holds.

    Parameters
    ----------
    source : Path
        A file of weights, a segmenter folder, or a bundle with one.

    Returns
    -------
    list of Path
        One file, or one a fold of a segmenter.

    Raises
    ------
    WeightsError
        If nothing of that kind is there.
    """
    for folder in (source, source / "segmenter"):
        if (folder / CARD).is_file():
            return [folder / Path(item["file"]).name for item in read_json(folder / CARD)["folds"]]
    if not source.is_file():
        message = f"segment.start_from: {source} is not there, or holds no {CARD}; {EXPECTED}. Give the path of one"
        raise WeightsError(message)
    return [source]


def start_digest(source: Path) -> str:
    """Give what a training that starts from a source depends on.

    Parameters
    ----------
    source : Path
        As for `start_files`.

    Returns
    -------
    str
        SHA-256 of the weights, whatever their place.

    Raises
    ------
    WeightsError
        If a file cannot be read.
    """
    files = start_files(source)
    try:
        return digest("start", [digest_file(file) for file in files])
    except OSError as error:
        message = f"segment.start_from: {source} cannot be read ({error}); {EXPECTED}. Give the path of one"
        raise WeightsError(message) from error


def start_of(given: Path | str | None) -> str:
    """Give what the plan is told of the weights to start from.

    Parameters
    ----------
    given : Path, str or None
        segment.start_from.

    Returns
    -------
    str
        Their SHA-256, ``nothing``, or empty where the plan is to decide.

    Raises
    ------
    WeightsError
        If they cannot be read, or the package lacks its own.
    """
    if given is None or given == NOTHING:
        return given or ""
    if given == PHANTOMS and not OWN_WEIGHTS.is_file():
        message = f"segment.start_from is {PHANTOMS}, but this installation lacks {OWN_WEIGHTS.name}; expected it in the package. Install the package again, or set segment.start_from: {NOTHING}"
        raise WeightsError(message)
    return own_digest() if given == PHANTOMS else start_digest(Path(given))


def start_file(given: Path | str | None, plan: Plan) -> Path | None:
    """Give where the weights lie that a plan starts from.

    Parameters
    ----------
    given : Path, str or None
        segment.start_from.
    plan : Plan
        The plan.

    Returns
    -------
    Path or None
        A file or folder; None for fresh weights.
    """
    if not plan.start:
        return None
    return OWN_WEIGHTS if given is None or given == PHANTOMS else Path(given).resolve()


def read_start(source: Path, network: Mapping[str, Any], fold: int) -> Start:
    """Read weights and fit them to a network.

    Weights of MONAI's SegResNet are taken under SegResNetDS's names: its whole encoder and the blocks of its decoder; what changes the resolution on the way up
    differs between the two. A first convolution of fewer input channels is filled up with zeros.

    Parameters
    ----------
    source : Path
        As for `start_files`; of a segmenter each fold takes the weights of the fold with its number.
    network : mapping
        Arguments of SegResNetDS.
    fold : int
        Which fold is to be trained.

    Returns
    -------
    Start
        The weights, and what was not taken.

    Raises
    ------
    WeightsError
        If the file cannot be read, a shape differs, or next to nothing in it belongs to the network.
    """
    files = start_files(source)
    file = files[fold % len(files)]
    given = {_own_name(name): value for name, value in _read(file).items()}
    wanted = build_network(network).state_dict()
    taken = {name: value for name, value in given.items() if name in wanted}
    widened = INPUT in taken and _can_widen(taken[INPUT], wanted[INPUT])
    if widened:
        taken[INPUT] = _widen(taken[INPUT], wanted[INPUT])
    wrong = [name for name, value in taken.items() if value.shape != wanted[name].shape]
    if wrong:
        name, found, expected = wrong[0], tuple(taken[wrong[0]].shape), tuple(wanted[wrong[0]].shape)
        message = (
            f"segment.start_from: {file.name} belongs to a network of another size: {name} has shape {found}, expected {expected}"
            f"{f', and {len(wrong) - 1} more differ' if len(wrong) > 1 else ''}. Set segment.filters and segment.levels as in its study, or start from other weights"
        )
        raise WeightsError(message)
    share = sum(value.numel() for value in taken.values()) / sum(value.numel() for value in wanted.values())
    if share < LEAST:
        message = (
            f"segment.start_from: {file.name} holds {share:.0%} of the network's weights, expected at least {LEAST:.0%}; its first is {next(iter(given), 'none')}; "
            f"{EXPECTED}. Start from other weights"
        )
        raise WeightsError(message)
    return Start({name: taken[name].to(wanted[name].dtype) for name in sorted(taken)}, tuple(sorted(set(wanted) - set(taken))), tuple(sorted(set(given) - set(taken))), widened)


def _own_name(name: str) -> str:
    for pattern, ours in OTHER_NAMES:
        name = re.sub(pattern, ours, name)
    return name


def _can_widen(given: torch.Tensor, wanted: torch.Tensor) -> bool:
    return given.ndim == wanted.ndim and given.shape[1] < wanted.shape[1] and given.shape[0] == wanted.shape[0] and given.shape[2:] == wanted.shape[2:]


def _widen(given: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    import torch

    more = given.new_zeros((given.shape[0], wanted.shape[1] - given.shape[1], *given.shape[2:]))
    return torch.cat([given, more], dim=1)


def _read(file: Path) -> dict[str, torch.Tensor]:
    """Read a state dict, bare or under a name, without running anything of the file."""
    import pickle

    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        content: Any = load_file(file) if file.suffix == ".safetensors" else torch.load(file, map_location="cpu", weights_only=True)
    except (OSError, SafetensorError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
        message = f"segment.start_from: {file.name} cannot be read as plain weights: {str(error).splitlines()[0] if str(error) else type(error).__name__}; {EXPECTED}. Save its state dict"
        raise WeightsError(message) from error
    for name in ("state_dict", "model", "network"):
        content = content[name] if isinstance(content, dict) and isinstance(content.get(name), dict) else content
    if not isinstance(content, dict) or not content or not all(isinstance(value, torch.Tensor) for value in content.values()):
        message = f"segment.start_from: {file.name} holds no state dict (weights by name); {EXPECTED}. Save its state dict"
        raise WeightsError(message)
    return content
