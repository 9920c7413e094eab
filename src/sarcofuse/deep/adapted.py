"""MONAI's networks, made to give their feature maps and to take published state dicts; this module loads MONAI, so it is imported where a network is built."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from monai.networks.nets.densenet import DenseNet121
from monai.networks.nets.efficientnet import EfficientNetBN
from monai.networks.nets.resnet import ResNet
from torch import Tensor, nn

LAYERS = {10: ("basic", (1, 1, 1, 1)), 18: ("basic", (2, 2, 2, 2)), 34: ("basic", (3, 4, 6, 3)), 50: ("bottleneck", (3, 4, 6, 3)), 101: ("bottleneck", (3, 4, 23, 3))}
CLASSES = 1000
DILATIONS = {"layer3": 2, "layer4": 4}  # of MedicalNet, in place of steps of 2
# Children of torchvision's ResNet in order: RadImageNet's files name them by number
CHILDREN = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4")


class StagedResNet(ResNet):
    """MONAI's ResNet, whose parameters bear torchvision's names, with its feature maps.

    Parameters
    ----------
    depth : {10, 18, 34, 50, 101}
        Number of layers.
    dims : {2, 3}
        Pictures in three channels, or volumes in one.
    head : bool
        Whether there is a classifier of 1,000 classes.
    shortcut : {'A', 'B'}
        Shortcuts that change the size pad with zeros (A) or convolve (B).
    """

    def __init__(self, depth: int, dims: int = 2, *, head: bool = True, shortcut: str = "B") -> None:
        block, layers = LAYERS[depth]
        super().__init__(
            block,
            list(layers),
            [64, 128, 256, 512],
            spatial_dims=dims,
            n_input_channels=3 if dims == 2 else 1,
            conv1_t_size=7,
            conv1_t_stride=2,
            shortcut_type=shortcut,
            num_classes=CLASSES,
            feed_forward=head,
            bias_downsample=False,
        )

    def maps(self, x: Tensor, layer: str = "last") -> list[Tensor]:
        """Give the last feature map, or those of the three stages before.

        Parameters
        ----------
        x : Tensor, shape (n, 3, rows, columns) or (n, 1, planes, rows, columns)
            Pictures or volumes, normalised.
        layer : {'last', 'blocks'}
            Which.

        Returns
        -------
        list of Tensor
            The map of layer4; or those of layer1, layer2 and layer3, layer4 not computed.
        """
        x, found = self.maxpool(self.act(self.bn1(self.conv1(x)))), []
        for stage in (self.layer1, self.layer2, self.layer3):
            x = stage(x)
            found.append(x)
        return found if layer == "blocks" else [self.layer4(x)]


class StagedDenseNet(DenseNet121):
    """MONAI's DenseNet-121 with its feature maps.

    Parameters
    ----------
    head : bool
        Whether there is a classifier of 1,000 classes.
    """

    def __init__(self, *, head: bool = True) -> None:
        super().__init__(spatial_dims=2, in_channels=3, out_channels=CLASSES)
        if not head:
            self.class_layers = nn.Sequential()

    def maps(self, x: Tensor, layer: str = "last") -> list[Tensor]:
        """Give the last feature map, or those that the first three dense blocks end with.

        Parameters
        ----------
        x : Tensor, shape (n, 3, 224, 224)
            Pictures, normalised.
        layer : {'last', 'blocks'}
            Which.

        Returns
        -------
        list of Tensor
            1,024 channels (7 x 7); or 256, 512 and 1,024 channels (56 x 56 to 14 x 14), normalised and rectified as the next stage takes them, the last block not computed.
        """
        found: list[Tensor] = []
        module: Any
        for name, module in self.features.named_children():
            if name.startswith("transition"):
                found.append(module.relu(module.norm(x)))
                if layer == "blocks" and len(found) == 3:
                    return found
                x = module.pool(module.conv(found[-1]))
            else:
                x = module(x)
        return [torch.relu(x)]


class StagedEfficientNet(EfficientNetBN):
    """MONAI's EfficientNet-B0 with its feature maps."""

    def __init__(self) -> None:
        super().__init__("efficientnet-b0", pretrained=False, spatial_dims=2, in_channels=3, num_classes=CLASSES)

    def maps(self, x: Tensor, layer: str = "last") -> list[Tensor]:
        """Give the last feature map, or those that the first five stages end with.

        Parameters
        ----------
        x : Tensor, shape (n, 3, 224, 224)
            Pictures, normalised.
        layer : {'last', 'blocks'}
            Which.

        Returns
        -------
        list of Tensor
            The head's 1,280 channels (7 x 7); or 16, 24, 40, 80 and 112 channels (112 x 112 to 14 x 14), later stages not computed.
        """
        x, found = self._swish(self._bn0(self._conv_stem(self._conv_stem_padding(x)))), []
        for stage in self._blocks:
            x = stage(x)
            found.append(x)
            if layer == "blocks" and len(found) == 5:
                return found
        return [self._swish(self._bn1(self._conv_head(self._conv_head_padding(x))))]


def medicalnet(depth: int) -> StagedResNet:
    """Build the 3D network that MedicalNet's weights were trained in: its last two stages widen their kernels' reach by dilation instead of taking steps of 2.

    Parameters
    ----------
    depth : {10, 18, 34, 50}
        Number of layers.

    Returns
    -------
    StagedResNet
        Without a head, with one input channel; its last map has an eighth of the input's rows and columns.

    References
    ----------
    .. [1] Chen S, Ma K, Zheng Y. Med3D: transfer learning for 3D medical image analysis. arXiv:1904.00625; github.com/Tencent/MedicalNet, models/resnet.py.
    """
    network = StagedResNet(depth, 3, head=False, shortcut="A" if depth in (18, 34) else "B")
    for name, dilation in DILATIONS.items():
        stage: Any = network.get_submodule(name)
        for block in stage:
            for module in block.modules():
                if isinstance(module, nn.Conv3d):
                    module.stride = (1, 1, 1)
                    if module.kernel_size == (3, 3, 3):
                        module.dilation = module.padding = (dilation, dilation, dilation)
            if isinstance(block.downsample, partial):
                block.downsample = partial(block.downsample.func, **{**block.downsample.keywords, "stride": 1})
    return network


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    **{f"resnet{depth}": partial(StagedResNet, depth) for depth in (18, 34, 50, 101)},
    "densenet121": StagedDenseNet,
    "efficientnet-b0": StagedEfficientNet,
    "radimagenet-resnet50": partial(StagedResNet, 50, head=False),
    "radimagenet-densenet121": partial(StagedDenseNet, head=False),
    **{f"medicalnet-resnet{depth}": partial(medicalnet, depth) for depth in (10, 18, 34, 50)},
}


def adapt(name: str) -> nn.Module:
    """Build one of MONAI's networks, weights not loaded.

    Parameters
    ----------
    name : str
        Name in the registry.

    Returns
    -------
    Module
        With a method ``maps``.
    """
    return NETWORKS[name]()


def translate(state: Mapping[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    """Give published tensors the names that a network has for them.

    Changed are: ``backbone.`` and numbers of children (RadImageNet), the dots and the classifier's name in torchvision's DenseNet, and block numbers without their stage (EfficientNet).

    Parameters
    ----------
    state : mapping of str to Tensor
        As published.
    network : Module
        What they are meant for.

    Returns
    -------
    dict of str to Tensor
        Names that mean nothing to the network are left as they are.
    """
    rename = _dense if isinstance(network, StagedDenseNet) else _efficient(network.state_dict()) if isinstance(network, StagedEfficientNet) else _residual
    return {rename(name): tensor for name, tensor in state.items()}


def _residual(name: str) -> str:
    numbered = re.fullmatch(r"backbone\.([0-7])\.(.+)", name)
    return f"{CHILDREN[int(numbered[1])]}.{numbered[2]}" if numbered else name


def _dense(name: str) -> str:
    name = re.sub(r"^backbone\.0\.", "features.", name)
    name = re.sub(r"^classifier\.", "class_layers.out.", name)
    return re.sub(r"(denselayer\d+)\.(norm|conv)\.?([12])\.", r"\1.layers.\2\3.", name)


def _efficient(wanted: Mapping[str, Tensor]) -> Callable[[str], str]:
    staged = {re.sub(r"^_blocks\.\d+\.(\d+)\.", r"_blocks.\1.", name): name for name in wanted}
    return lambda name: staged.get(name, name)
