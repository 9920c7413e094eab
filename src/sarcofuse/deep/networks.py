"""The architectures that MONAI does not have; this module loads torch, so it is imported where a network is built."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

# (blocks, kernel, stride of the first block, expansion, output channels) of each stage: reference [1]_ of EfficientNetLite0, its width and depth being 1
LITE0 = ((1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192), (1, 3, 1, 6, 320))
# (squeeze, expand) channels of fire2 to fire9, and after which of them the map is halved: reference [1]_ of SqueezeNet
FIRES = {2: (16, 64), 3: (16, 64), 4: (32, 128), 5: (32, 128), 6: (48, 192), 7: (48, 192), 8: (64, 256), 9: (64, 256)}
HALVED = (4, 8)
STAGES = 5  # of LITE0 whose maps are still as fine as the regions that are pooled
KEPT = (3, 5, 7)


class SameConv(nn.Conv2d):
    """Convolution with TensorFlow's ``SAME`` padding: of an odd total, the extra row and column go to the end.

    Parameters
    ----------
    channels_in, channels_out : int
        Channels.
    kernel, stride : int
        Size of the kernel and step.
    groups : int
        Groups of channels.
    """

    def __init__(self, channels_in: int, channels_out: int, kernel: int, stride: int, groups: int = 1) -> None:
        super().__init__(channels_in, channels_out, kernel, stride, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Pad and convolve.

        Parameters
        ----------
        x : Tensor, shape (n, channels_in, rows, columns)
            Input.

        Returns
        -------
        Tensor, shape (n, channels_out, ceil(rows / stride), ceil(columns / stride))
            Output.
        """
        pads: list[int] = []
        for length in (x.shape[-1], x.shape[-2]):
            total = max((-(-length // self.stride[0]) - 1) * self.stride[0] + self.kernel_size[0] - length, 0)
            pads += [total // 2, total - total // 2]
        return super().forward(functional.pad(x, pads))


class InvertedResidual(nn.Module):
    """Expand, convolve each channel by itself, project back; no squeeze-and-excitation.

    Parameters
    ----------
    channels_in, channels_out : int
        Channels.
    kernel, stride : int
        Size and step of the depthwise kernel.
    expansion : int
        Factor of channels in between.
    """

    def __init__(self, channels_in: int, channels_out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        middle = channels_in * expansion
        self.expands, self.adds = expansion > 1, stride == 1 and channels_in == channels_out
        if self.expands:
            self._expand_conv, self._bn0 = nn.Conv2d(channels_in, middle, 1, bias=False), _norm(middle)
        self._depthwise_conv, self._bn1 = SameConv(middle, middle, kernel, stride, groups=middle), _norm(middle)
        self._project_conv, self._bn2 = nn.Conv2d(middle, channels_out, 1, bias=False), _norm(channels_out)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block.

        Parameters
        ----------
        x : Tensor, shape (n, channels_in, rows, columns)
            Input.

        Returns
        -------
        Tensor
            Output.
        """
        y = functional.relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        y = self._bn2(self._project_conv(functional.relu6(self._bn1(self._depthwise_conv(y)))))
        result: Tensor = x + y if self.adds else y
        return result


class EfficientNetLite0(nn.Module):
    """EfficientNet-Lite0 with its classifier head [1]_, in the parameter names of the published tensors.

    References
    ----------
    .. [1] tensorflow/tpu, models/official/efficientnet/lite; Tan M, Le QV. EfficientNet: rethinking model scaling for convolutional neural networks. ICML 2019.
    """

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem, self._bn0 = SameConv(3, 32, 3, 2), _norm(32)
        self._blocks, before = nn.ModuleList(), 32
        for count, kernel, stride, expansion, after in LITE0:
            for i in range(count):
                self._blocks.append(InvertedResidual(before, after, kernel, stride if i == 0 else 1, expansion))
                before = after
        self._conv_head, self._bn1, self._fc = nn.Conv2d(320, 1280, 1, bias=False), _norm(1280), nn.Linear(1280, 1000)

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
        found, ends = [], [sum(s[0] for s in LITE0[: i + 1]) for i in range(STAGES)]
        x = functional.relu6(self._bn0(self._conv_stem(x)))
        for number, block in enumerate(self._blocks, 1):
            x = block(x)
            if layer == "blocks" and number in ends:
                found.append(x)
                if number == ends[-1]:
                    return found
        return [functional.relu6(self._bn1(self._conv_head(x)))]

    def forward(self, x: Tensor) -> Tensor:
        """Classify.

        Parameters
        ----------
        x : Tensor, shape (n, 3, 224, 224)
            Pictures, normalised.

        Returns
        -------
        Tensor, shape (n, 1000)
            Logits of the ImageNet classes.
        """
        logits: Tensor = self._fc(self.maps(x)[-1].mean((2, 3)))
        return logits


class Fire(nn.Module):
    """SqueezeNet's module: squeeze to few channels, expand by 1x1 and 3x3 kernels side by side.

    Parameters
    ----------
    channels_in : int
        Channels that come in.
    squeeze, expand : int
        Channels after squeezing, and of each half after expanding.
    """

    def __init__(self, channels_in: int, squeeze: int, expand: int) -> None:
        super().__init__()
        self.squeeze, self.expand1x1, self.expand3x3 = nn.Conv2d(channels_in, squeeze, 1), nn.Conv2d(squeeze, expand, 1), nn.Conv2d(squeeze, expand, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the module.

        Parameters
        ----------
        x : Tensor, shape (n, channels_in, rows, columns)
            Input.

        Returns
        -------
        Tensor, shape (n, 2 * expand, rows, columns)
            Output.
        """
        x = functional.relu(self.squeeze(x))
        return torch.cat([functional.relu(self.expand1x1(x)), functional.relu(self.expand3x3(x))], 1)


class SqueezeNet(nn.Module):
    """SqueezeNet 1.0 with its classifier head, as in Caffe [1]_.

    References
    ----------
    .. [1] Iandola FN et al. SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and <0.5 MB model size. arXiv:1602.07360.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv10, before = nn.Conv2d(3, 96, 7, 2), nn.Conv2d(512, 1000, 1, padding=1), 96
        for number, (squeeze, expand) in FIRES.items():
            self.add_module(f"fire{number}", Fire(before, squeeze, expand))
            before = 2 * expand

    def maps(self, x: Tensor, layer: str = "last") -> list[Tensor]:
        """Give the last feature map, or those of three fire modules before.

        Parameters
        ----------
        x : Tensor, shape (n, 3, 227, 227)
            Pictures, normalised.
        layer : {'last', 'blocks'}
            Which.

        Returns
        -------
        list of Tensor
            The 512 channels of fire9 (13 x 13); or the 128, 256 and 384 channels of fire3, fire5 and fire7 (55 x 55 to 27 x 27), later modules not computed.
        """
        found = []
        x = functional.max_pool2d(functional.relu(self.conv1(x)), 3, 2, ceil_mode=True)
        for number in FIRES:
            x = self.get_submodule(f"fire{number}")(x)
            if layer == "blocks" and number in KEPT:
                found.append(x)
                if number == KEPT[-1]:
                    return found
            if number in HALVED:
                x = functional.max_pool2d(x, 3, 2, ceil_mode=True)
        return [x]

    def forward(self, x: Tensor) -> Tensor:
        """Classify.

        Parameters
        ----------
        x : Tensor, shape (n, 3, 227, 227)
            Pictures, normalised.

        Returns
        -------
        Tensor, shape (n, 1000)
            Logits of the ImageNet classes.
        """
        return functional.relu(self.conv10(self.maps(x)[-1])).mean((2, 3))


class CifarBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut that, where the size changes, takes every second pixel and pads new channels with zeros on both sides.

    Parameters
    ----------
    channels_in, channels_out : int
        Channels; the map is halved where they differ.
    """

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.halves, self.pad = channels_in != channels_out, (channels_out - channels_in) // 2
        self.conv1, self.bn1 = nn.Conv2d(channels_in, channels_out, 3, 2 if self.halves else 1, 1, bias=False), nn.BatchNorm2d(channels_out)
        self.conv2, self.bn2 = nn.Conv2d(channels_out, channels_out, 3, 1, 1, bias=False), nn.BatchNorm2d(channels_out)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block.

        Parameters
        ----------
        x : Tensor, shape (n, channels_in, rows, columns)
            Input.

        Returns
        -------
        Tensor
            Output.
        """
        y = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
        short = functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.pad, self.pad)) if self.halves else x
        return functional.relu(y + short)


class CifarResNet(nn.Module):
    """The small residual network for pictures of 32 x 32 pixels, section 4.2 of its paper [1]_, in the parameter names of the published tensors.

    Parameters
    ----------
    depth : {20, 56}
        Number of layers.

    References
    ----------
    .. [1] He K et al. Deep residual learning for image recognition. CVPR 2016; tensors of github.com/akamaster/pytorch_resnet_cifar10.
    """

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.conv1, self.bn1, before = nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), 16
        for stage, channels in enumerate((16, 32, 64), 1):
            self.add_module(f"layer{stage}", nn.Sequential(*(CifarBlock(before if i == 0 else channels, channels) for i in range((depth - 2) // 6))))
            before = channels
        self.linear = nn.Linear(64, 10)

    def maps(self, x: Tensor, layer: str = "last") -> list[Tensor]:
        """Give the last feature map, or those of the first two stages.

        Parameters
        ----------
        x : Tensor, shape (n, 3, 32, 32)
            Pictures, normalised.
        layer : {'last', 'blocks'}
            Which.

        Returns
        -------
        list of Tensor
            64 channels (8 x 8); or 16 and 32 channels (32 x 32 and 16 x 16), the last stage not computed.
        """
        x = functional.relu(self.bn1(self.conv1(x)))
        first = self.get_submodule("layer1")(x)
        second = self.get_submodule("layer2")(first)
        return [first, second] if layer == "blocks" else [self.get_submodule("layer3")(second)]


def build(name: str) -> nn.Module:
    """Build a backbone, weights not loaded.

    Parameters
    ----------
    name : str
        Name in the registry.

    Returns
    -------
    Module
        With a method ``maps`` that gives the feature maps of a batch of pictures or volumes, stage by stage, the last one last.
    """
    own: dict[str, Callable[[], nn.Module]] = {
        "efficientnet-lite0": EfficientNetLite0,
        "squeezenet1_0": SqueezeNet,
        "cifar-resnet20": partial(CifarResNet, 20),
        "cifar-resnet56": partial(CifarResNet, 56),
    }
    if name in own:
        return own[name]()
    if name.startswith("dinov2"):
        from sarcofuse.deep.dino import build_dino

        network: nn.Module = build_dino(name)
        return network
    from sarcofuse.deep.adapted import adapt

    return adapt(name)


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)
