"""What a network is shown of one tumour, how maps of it go back to the image, and the same network with its weights shuffled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sarcofuse.config.deep import DeepConfig
from sarcofuse.deep.boxes import make_box
from sarcofuse.deep.crops import make_crops
from sarcofuse.deep.look import entry_of
from sarcofuse.deep.places import box_to_grid, pictures_to_grid
from sarcofuse.deep.pooling import weights_for
from sarcofuse.records import Mask, Volume

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """What a network is shown of one tumour.

    Attributes
    ----------
    inputs : list of Tensor
        For each picture (a box counts as one) what goes into the network.
    seen : ndarray of uint8, shape (pictures, rows, columns)
        The same for the eye; of a box its planes.
    tumour : list of ndarray of float32
        Share of each pixel that is tumour.
    lengths : list of tuple of float
        Length of a pixel along each axis in mm.
    where : list of (int or None, int or None)
        Axis and number of the slice.
    to_grid : callable
        Puts a map a picture on the image's grid; told whether sums are to stay.
    """

    inputs: list[Tensor]
    seen: NDArray[np.uint8]
    tumour: list[NDArray[np.float32]]
    lengths: list[tuple[float, ...]]
    where: list[tuple[int | None, int | None]]
    to_grid: Callable[[Sequence[Floats], bool], Floats]

    def maps(self, network: Any, layer: str) -> list[list[Tensor]]:  # noqa: ANN401 - see look.load
        """Give the feature maps of every picture.

        Parameters
        ----------
        network : object
            With a method ``maps``.
        layer : {'last', 'blocks'}
            ``deep.layer``.

        Returns
        -------
        list of list of Tensor
            Picture by picture, in each of them layer by layer.
        """
        return [network.maps(x, layer) for x in self.inputs]

    def regions(self, pooling: str) -> list[list[NDArray[np.float32] | None]]:
        """Give what feature maps are averaged with.

        Parameters
        ----------
        pooling : {'average', 'masked', 'max', 'regions'}
            ``deep.pooling``.

        Returns
        -------
        list of list of ndarray or None
            For each picture as `sarcofuse.deep.pooling.weights_for` has it.
        """
        return [weights_for(pooling, t, lengths) for t, lengths in zip(self.tumour, self.lengths, strict=True)]


def show(image: Volume, mask: Mask, config: DeepConfig, device: str, spacing: Sequence[float], multiples: Sequence[int]) -> Shown:
    """Cut what a network is shown.

    Parameters
    ----------
    image : Volume
        The prepared image, finite.
    mask : Mask
        The tumour on the same grid, not empty.
    config : DeepConfig
        Settings.
    device : {'cpu', 'cuda'}
        Where the network works.
    spacing : sequence of float
        Voxel size along x, y, z in mm of a 3D network.
    multiples : sequence of int
        What planes, rows and columns of a box must be multiples of.

    Returns
    -------
    Shown
        Pictures, or a box.
    """
    import torch

    from sarcofuse.deep.backbones import normalise

    entry = entry_of(config)
    if entry.dims == 2:
        crops, shape = make_crops(image, mask, config, entry.size), image.array.shape
        inputs = [normalise(p[None], entry).to(device) for p in crops.pictures]

        def back(maps: Sequence[Floats], whole: bool) -> Floats:
            return pictures_to_grid(maps, crops.places, (shape[0], shape[1], shape[2]), whole=whole)

        where: list[tuple[int | None, int | None]] = [(c.axis, c.number) for c in crops.places]
        return Shown(inputs, crops.pictures, list(crops.tumour), [(p, p) for p in crops.pixel_mm], where, back)
    box = make_box(image, mask, config, spacing, multiples)
    inputs = [torch.from_numpy(box.array)[None, None].to(device)]
    return Shown(inputs, box.picture(), [box.tumour], [tuple(spacing[::-1])], [(None, None)], lambda maps, whole: box_to_grid(maps[0], box.spans, whole=whole))


def shuffled(network: Any, seed: int) -> Any:  # noqa: ANN401 - see look.load
    """Copy a network with every weight tensor shuffled within itself.

    Parameters
    ----------
    network : object
        A module, or something with one as its attribute ``network``.
    seed : int
        Seed of the order.

    Returns
    -------
    object
        Of the same kind; None for one whose weights are not open to us.
    """
    import copy

    import torch

    module = network if isinstance(network, torch.nn.Module) else getattr(network, "network", None)
    if module is None:
        return None
    other = copy.deepcopy(network)
    draw = torch.Generator().manual_seed(seed)
    for tensor in (other if isinstance(other, torch.nn.Module) else other.network).parameters():
        order = torch.randperm(tensor.numel(), generator=draw).to(tensor.device)
        tensor.data = tensor.data.flatten()[order].reshape(tensor.shape)
    return other
