"""The network: MONAI's SegResNetDS, made from plain arguments, weights as safetensors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sarcofuse.errors import StageError, WeightsError
from sarcofuse.runtime import atomic_file

if TYPE_CHECKING:
    import torch


def build_network(arguments: Mapping[str, Any], seed: int = 0) -> torch.nn.Module:
    """Make the network; torch's global generator stays as it was.

    Parameters
    ----------
    arguments : mapping
        Arguments of `monai.networks.nets.SegResNetDS`, as JSON knows them; with ``guide`` (``gain`` and ``bound``) those of a `GuidedSegResNetDS`.
    seed : int
        Seed of the fresh weights.

    Returns
    -------
    torch.nn.Module
        With fresh weights, in channels-last memory order.
    """
    import torch
    from monai.networks.nets.segresnet_ds import SegResNetDS

    from sarcofuse.segment.guided import GuidedSegResNetDS

    given: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in arguments.items() if k != "guide"}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = GuidedSegResNetDS(**arguments["guide"], **given) if "guide" in arguments else SegResNetDS(**given)
    for module in network.modules():
        if isinstance(module, torch.nn.Conv3d | torch.nn.ConvTranspose3d):
            module.stride = tuple(int(s) for s in module.stride)  # SegResNetDS leaves NumPy integers where a resolution is given
    return network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload,no-any-return]


def save_weights(state: Mapping[str, torch.Tensor], file: Path) -> None:
    """Write weights as safetensors, atomically; the same weights give the same bytes.

    Parameters
    ----------
    state : mapping of str to Tensor
        State dict of the network.
    file : Path
        Where to.
    """
    from safetensors.torch import save_file

    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in sorted(state.items())}
    with atomic_file(file) as part:
        save_file(plain, part)


def load_network(arguments: Mapping[str, Any], file: Path, device: str = "cpu") -> torch.nn.Module:
    """Make the network and give it the weights of a file.

    Parameters
    ----------
    arguments : mapping
        Arguments of SegResNetDS.
    file : Path
        Weights.
    device : str
        Where the network is to live.

    Returns
    -------
    torch.nn.Module
        In evaluation mode.

    Raises
    ------
    WeightsError
        If the file cannot be read or belongs to another network.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    network = build_network(arguments)
    try:
        network.load_state_dict(load_file(file))
    except (OSError, SafetensorError, RuntimeError) as error:
        message = f"segmentation weights {file.name} cannot be loaded: {str(error).splitlines()[0]}; expected the weights that this model was saved with. Take the folder as it was"
        raise WeightsError(message) from error
    return network.eval().to(device)


def pick_device(wanted: str) -> str:
    """Decide where to compute.

    Parameters
    ----------
    wanted : str
        ``auto``, ``cpu`` or ``cuda``.

    Returns
    -------
    str
        ``cpu`` or ``cuda``.

    Raises
    ------
    StageError
        If a GPU is wanted and there is none.
    """
    import torch

    there = torch.cuda.is_available()
    if wanted == "cuda" and not there:
        message = "segment.device is cuda, but torch sees no GPU; expected one. Set segment.device: auto, or install a CUDA build of torch"
        raise StageError(message)
    return "cuda" if there and wanted != "cpu" else "cpu"
