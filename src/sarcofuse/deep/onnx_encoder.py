"""Any encoder of pictures as an ONNX file, so that a new foundation model needs no release of ours; runs in onnxruntime (extra ``onnx``)."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sarcofuse.errors import ConfigError, WeightsError
from sarcofuse.runtime import digest_file

if TYPE_CHECKING:
    from torch import Tensor

MAP_AXES = 4
ABSENT = "backbone onnx needs the package onnxruntime, which is not installed; run `pip install sarcofuse[onnx]`"


@lru_cache(maxsize=2)
def load_onnx(file: Path, sha256: str, output: str | None = None, device: str = "cpu") -> OnnxEncoder:
    """Load an encoder, once a process.

    Parameters
    ----------
    file : Path
        The ONNX file.
    sha256 : str
        What its SHA-256 must be.
    output : str, optional
        Name of the output that holds the features; by default the last.
    device : {'cpu', 'cuda'}
        Where to work.

    Returns
    -------
    OnnxEncoder
        Ready to be asked.

    Raises
    ------
    ConfigError
        If onnxruntime is not installed, or there is no such output.
    WeightsError
        If the file was altered, is no ONNX file, or has another input than pictures.
    """
    found = digest_file(file)
    if found != sha256:
        message = f"ONNX file {file} was altered while it was in use: its SHA-256 is {found}, expected {sha256}"
        raise WeightsError(message)
    return OnnxEncoder(file, output, device)


class OnnxEncoder:
    """An ONNX file with the method ``maps`` that backbones have.

    Parameters
    ----------
    file : Path
        The ONNX file; its one input has the axes pictures, channels, rows, columns.
    output : str, optional
        Name of the output that holds the features; by default the last.
    device : {'cpu', 'cuda'}
        Where to work.
    """

    def __init__(self, file: Path, output: str | None = None, device: str = "cpu") -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise ConfigError(ABSENT) from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.use_deterministic_compute = True
        wanted = ["CUDAExecutionProvider"] if device == "cuda" and "CUDAExecutionProvider" in onnxruntime.get_available_providers() else []
        try:
            self._session: Any = onnxruntime.InferenceSession(str(file), options, providers=[*wanted, "CPUExecutionProvider"])
        except Exception as error:
            message = f"{file} cannot be read as an ONNX model: {str(error).splitlines()[0]}"
            raise WeightsError(message) from error
        inputs, self._file = self._session.get_inputs(), file
        if len(inputs) != 1 or len(inputs[0].shape) != MAP_AXES:
            found = ", ".join(f"{i.name} of shape {i.shape}" for i in inputs)
            message = f"ONNX file {file} must have one input with the axes pictures, channels, rows, columns; found {found}"
            raise WeightsError(message)
        self._input, self._whole = inputs[0], isinstance(inputs[0].shape[0], int)
        if self._whole and inputs[0].shape[0] != 1:
            message = f"ONNX file {file} takes exactly {inputs[0].shape[0]} pictures at a time; expected one, or any number. Export it again with a free first axis"
            raise WeightsError(message)
        names = [o.name for o in self._session.get_outputs()]
        if output is not None and output not in names:
            message = f"deep.onnx.output: {file.name} has no output {output}; it has {', '.join(names)}"
            raise ConfigError(message)
        self._output = output or names[-1]

    def maps(self, x: Tensor, layer: str = "last") -> list[Tensor]:
        """Give the chosen output, or all outputs that are feature maps.

        Parameters
        ----------
        x : Tensor, shape (n, channels, rows, columns)
            Pictures, normalised.
        layer : {'last', 'blocks'}
            Which.

        Returns
        -------
        list of Tensor
            Feature maps; features without rows and columns count as maps of one pixel.

        Raises
        ------
        WeightsError
            If the file does not take such pictures, or an output is neither features nor a map.
        ConfigError
            If feature maps are wanted and there are none.
        """
        import torch

        array = x.cpu().numpy()
        wrong = [(own, given) for own, given in zip(self._input.shape[1:], array.shape[1:], strict=True) if isinstance(own, int) and own != given]
        if wrong:
            message = f"ONNX file {self._file.name} takes pictures of shape {tuple(self._input.shape[1:])}, and deep.onnx says {array.shape[1:]}; set deep.onnx.size and channels to what it takes"
            raise WeightsError(message)
        batches = [array[i : i + 1] for i in range(len(array))] if self._whole else [array]
        names = [o.name for o in self._session.get_outputs()] if layer == "blocks" else [self._output]
        answers = [self._session.run(names, {self._input.name: batch}) for batch in batches]
        found = [torch.cat([torch.from_numpy(answer[k]).float() for answer in answers]) for k in range(len(names))]
        if layer == "blocks":
            found = [f for f in found if f.ndim == MAP_AXES]
            if not found:
                message = f"deep.layer blocks takes feature maps, and {self._file.name} gives none; set deep.layer: last and deep.pooling: average"
                raise ConfigError(message)
            return found
        if found[0].ndim == 2:
            return [found[0][:, :, None, None]]
        if found[0].ndim != MAP_AXES:
            shape = tuple(found[0].shape)
            message = f"output {self._output} of {self._file.name} has shape {shape}; expected pictures and features, or pictures, features, rows, columns. Name another in deep.onnx.output"
            raise WeightsError(message)
        return found
