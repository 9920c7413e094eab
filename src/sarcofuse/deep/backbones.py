"""From a registry entry to a network that is ready to be asked."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sarcofuse.deep.registry import Backbone, backbone
from sarcofuse.deep.weights import check_keys, identity, named_for, read_state
from sarcofuse.errors import ConfigError, WeightsError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor


@lru_cache(maxsize=2)
def load_network(name: str, file: Path, device: str = "cpu", known: str = "") -> Any:  # noqa: ANN401 - the networks share the method maps, not a class
    """Load a published backbone, once a process.

    Parameters
    ----------
    name : str
        Name in the registry.
    file : Path
        Its weights, given by `find_weights`.
    device : {'cpu', 'cuda'}
        Where it is to work.
    known : str
        What `identity` said of the file when it was found; empty to take it as it is.

    Returns
    -------
    Module
        In evaluation mode, without gradients.

    Raises
    ------
    WeightsError
        If the file was altered, or belongs to another network.
    """
    from sarcofuse.deep.networks import build

    entry = backbone(name)
    if known and identity(entry, file) != known:
        message = f"weights file {file} of {name} was altered while it was in use: expected the content with SHA-256 {known}. Run again"
        raise WeightsError(message)
    network = build(name)
    state = named_for(network, read_state(entry, file))
    check_keys(network, state, name)
    network.load_state_dict(state, strict=True)
    return network.eval().requires_grad_(False).to(device)


def find_device(wanted: str) -> str:
    """Say where networks work.

    Parameters
    ----------
    wanted : {'auto', 'cpu', 'cuda'}
        ``deep.device``.

    Returns
    -------
    {'cpu', 'cuda'}
        ``auto`` is cuda where there is a GPU.

    Raises
    ------
    ConfigError
        If a GPU is wanted and there is none.
    """
    if wanted == "cpu":
        return "cpu"
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if wanted == "cuda":
        message = "deep.device is cuda, and PyTorch sees no GPU; set it to auto or cpu"
        raise ConfigError(message)
    return "cpu"


def normalise(pictures: NDArray[np.uint8], entry: Backbone, device: str = "cpu") -> Tensor:
    """Turn pictures into what a backbone wants to be shown.

    Parameters
    ----------
    pictures : ndarray of uint8, shape (n, size, size) or (n, size, size, 3)
        Grey pictures, which go to all three channels, or colour pictures in the order red, green, blue.
    entry : Backbone
        Entry of the registry.
    device : {'cpu', 'cuda'}
        Where to; the pictures go there as they are, which is a twelfth of what the network takes.

    Returns
    -------
    Tensor of float32, shape (n, 3, size, size), or (n, 1, size, size) for a grey network
        In the backbone's own channel order and units.
    """
    import numpy as np
    import torch

    subtract, divide = _scale(entry.subtract, entry.divide, device)
    grey = pictures.ndim == 3  # one picture for all channels
    ordered = pictures[:, None] if grey else np.moveaxis(pictures[..., ::-1] if entry.channels == "BGR" else pictures, 3, 1)
    return (torch.from_numpy(np.ascontiguousarray(ordered)).to(device).float() - subtract) / divide


@lru_cache(maxsize=8)
def _scale(subtract: tuple[float, ...], divide: float | tuple[float, ...], device: str) -> tuple[Tensor, Tensor]:
    """Give what is subtracted and divided by where it is needed, once a process."""
    import torch

    with torch.inference_mode(mode=False):  # whoever learns may use them as well
        first, second = (torch.tensor(values, device=device).view(1, -1, 1, 1) for values in (subtract, divide))
    return first, second
