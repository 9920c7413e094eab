"""The networks by OpenVINO, an optional back end for processors."""

from __future__ import annotations

import importlib.util
import warnings
from typing import Any

import numpy as np
import torch

from sarcofuse.errors import ConfigError

SETTINGS = {"INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": "f32"}
"""One thread, as every task; full precision, for what it would choose otherwise differs from processor to processor."""


class Compiled(torch.nn.Module):
    """A network that OpenVINO computes, called like the one that it was made of.

    Parameters
    ----------
    model : openvino.CompiledModel
        What computes.
    """

    def __init__(self, model: Any) -> None:  # noqa: ANN401 - an optional package
        super().__init__()
        self.model = model
        self.place = torch.nn.Parameter(torch.zeros(0), requires_grad=False)  # says that it is on the processor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Give the logits.

        Parameters
        ----------
        x : Tensor of float32, shape (batch, channel, z, y, x)
            Images.

        Returns
        -------
        Tensor of float32, shape (batch, 1, z, y, x)
            Logits.
        """
        return torch.from_numpy(np.array(self.model([np.ascontiguousarray(x.numpy())])[0], dtype=np.float32))


def require_openvino() -> None:
    """Make sure that OpenVINO is there.

    Raises
    ------
    ConfigError
        If it is not installed.
    """
    if importlib.util.find_spec("openvino") is None:
        message = "segment.inference.backend is openvino, but OpenVINO is not installed; expected the package openvino. Run: pip install 'sarcofuse[openvino]', or set the back end to torch"
        raise ConfigError(message)


def compiled(network: torch.nn.Module) -> Compiled:
    """Convert a network.

    OpenVINO's reader of torch networks is called directly: its converter would report each use to its makers.

    Parameters
    ----------
    network : torch.nn.Module
        SegResNetDS in evaluation mode, on the processor.

    Returns
    -------
    Compiled
        Takes batches and images of any size that the network takes.

    Raises
    ------
    ConfigError
        If OpenVINO is not installed.
    """
    require_openvino()
    import openvino
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    sides = [2 * int(f) for f in getattr(network, "shape_factor", lambda: (8, 8, 8))()]
    channels = int(next(network.parameters()).shape[1])
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # tracing notes that shapes are checked, and that torch will trace otherwise one day
        traced: Any = torch.jit.trace(network, torch.zeros(1, channels, *sides), check_trace=False)  # type: ignore[no-untyped-call]
        reader, decoder = FrontEndManager().load_by_framework("pytorch"), TorchScriptPythonDecoder(traced)  # the reader does not keep the decoder alive
        model = reader.convert(reader.load(decoder))
    return Compiled(openvino.Core().compile_model(model, "CPU", SETTINGS))
