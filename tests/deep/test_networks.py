"""The architectures carry the published weights and say what the pictures show."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from sarcofuse.deep import backbone
from sarcofuse.deep.backbones import find_device, load_network, normalise
from sarcofuse.deep.networks import EfficientNetLite0, SameConv, SqueezeNet, build
from sarcofuse.deep.quick import quick
from sarcofuse.deep.weights import find_weights
from sarcofuse.errors import ConfigError, WeightsError

PALACE, DAISY = 698, 985
SQUEEZENET = "weights/squeezenet1_0_imagenet_deepcompression_fp16.pt"


@pytest.fixture(scope="module")
def photographs():
    """scikit-learn's two sample photographs, china.jpg and flower.jpg."""
    from sklearn.datasets import load_sample_images

    return load_sample_images().images


def shown(photograph, entry):
    """The middle square (7/8 of the shorter side, as in ImageNet evaluation), resized as the network wants it."""
    height, width = photograph.shape[:2]
    side = min(height, width) * 7 // 8
    top, left = (height - side) // 2, (width - side) // 2
    square = torch.from_numpy(np.array(photograph[top : top + side, left : left + side])).permute(2, 0, 1)[None].float()
    picture = functional.interpolate(square, (entry.size, entry.size), mode="bilinear", antialias=True)
    return normalise(picture[0].permute(1, 2, 0).round().byte().numpy()[None], entry)


def ranks(network, photographs, entry):
    """Place of palace in the first photograph, and of daisy in the second, 0 being first."""
    with torch.inference_mode():
        logits = [network(shown(p, entry))[0] for p in photographs]
    return [int((row > row[label]).sum()) for row, label in zip(logits, (PALACE, DAISY), strict=True)]


def test_efficientnet_lite0_sees_a_palace_and_a_daisy(photographs):
    entry = backbone("efficientnet-lite0")
    network = load_network(entry.name, find_weights(entry))
    assert ranks(network, photographs, entry) == [0, 0]


def test_efficientnet_lite0_needs_its_own_input_convention(photographs):
    """Zero-mean input is what it was trained with: intensities of 0 to 1 are not understood."""
    entry = backbone("efficientnet-lite0")
    network = load_network(entry.name, find_weights(entry))
    with torch.inference_mode():
        found = [int(network((shown(p, entry) * 128 + 127) / 255 / 255)[0].argmax()) for p in photographs]
    assert found != [PALACE, DAISY]


def test_efficientnet_lite0_has_the_published_size():
    network = EfficientNetLite0()
    assert sum(p.numel() for p in network.parameters()) == pytest.approx(4.65e6, rel=0.002)
    assert all(p.requires_grad for p in network.parameters())


def test_loaded_networks_are_frozen_and_in_evaluation_mode():
    entry = backbone("efficientnet-lite0")
    network = load_network(entry.name, find_weights(entry))
    assert not network.training
    assert not any(p.requires_grad for p in network.parameters())
    assert load_network(entry.name, find_weights(entry)) is network


def test_squeezenet_knows_the_photographs_among_a_thousand_classes(photographs, reference_data):
    """57 % top-1 and weights squeezed to 8 bits: it ranks palace and daisy among the first 1 and 5 per cent."""
    entry = backbone("squeezenet1_0")
    network = load_network(entry.name, find_weights(entry, reference_data / SQUEEZENET))
    palace, daisy = ranks(network, photographs, entry)
    assert palace < 10
    assert daisy < 50


@pytest.mark.parametrize(("name", "network"), [("efficientnet-lite0", EfficientNetLite0), ("squeezenet1_0", SqueezeNet)])
def test_maps_are_those_of_the_registry(name, network):
    entry = backbone(name)
    net = network().eval()
    with torch.inference_mode():
        x = torch.zeros(1, 3, entry.size, entry.size)
        assert [m.shape[1] for m in net.maps(x, "last")] == [entry.features]
        blocks = net.maps(x, "blocks")
    assert tuple(m.shape[1] for m in blocks) == entry.stages
    assert min(m.shape[-1] for m in blocks) >= 14


def test_same_padding_puts_the_odd_pixel_at_the_end():
    """TensorFlow's definition: of 224 pixels at stride 2 and kernel 3 the first window starts at pixel 0, not at -1."""
    conv = SameConv(1, 1, 3, 2)
    torch.nn.init.zeros_(conv.weight)
    conv.weight.data[0, 0, 0, 0] = 1.0
    x = torch.arange(36.0).reshape(1, 1, 6, 6)
    assert torch.equal(conv(x)[0, 0], x[0, 0, ::2, ::2])


def test_grey_goes_to_three_channels_each_with_its_own_mean():
    entry = backbone("squeezenet1_0")
    x = normalise(np.full((1, 2, 2), 200, dtype=np.uint8), entry)
    assert x.shape == (1, 3, 2, 2)
    assert x[0, :, 0, 0].tolist() == [96.0, 83.0, 77.0]


def test_colours_are_turned_to_the_networks_order():
    colour = np.zeros((1, 1, 1, 3), dtype=np.uint8)
    colour[..., 0] = 255
    assert normalise(colour, backbone("squeezenet1_0"))[0, :, 0, 0].tolist() == [-104.0, -117.0, 132.0]
    assert normalise(colour, backbone("efficientnet-lite0"))[0, :, 0, 0].tolist() == [1.0, -127 / 128, -127 / 128]


def test_a_gpu_is_not_invented(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert find_device("auto") == "cpu"
    with pytest.raises(ConfigError, match="sees no GPU"):
        find_device("cuda")


def patches(photographs):
    """120 squares of random size and place, shrunk to 32 x 32 pixels."""
    rng, found = np.random.default_rng(0), []
    for photograph in photographs:
        for _ in range(60):
            side = int(rng.integers(64, 400))
            top, left = (int(rng.integers(0, n - side)) for n in photograph.shape[:2])
            square = torch.from_numpy(np.array(photograph[top : top + side, left : left + side])).permute(2, 0, 1)[None].float()
            found.append(functional.interpolate(square, (32, 32), mode="bilinear", antialias=True)[0].permute(1, 2, 0).round().byte().numpy())
    return np.stack(found)


@pytest.mark.parametrize("name", ["cifar-resnet20", "cifar-resnet56"])
def test_small_residual_networks_meet_the_statistics_they_were_trained_with(name, photographs, reference_data, monkeypatch):
    """Real weights, wrapped as training left them. What reaches each normalisation layer has, over channels, the means that the layer remembers; with zeros padded to one side it has not."""
    entry = backbone(name)
    network = load_network(name, find_weights(entry, reference_data / "weights" / entry.file))
    shown = normalise(patches(photographs), entry)

    def agreement():
        found = []
        hooks = [
            m.register_forward_hook(lambda m, x, _: found.append(np.corrcoef(x[0].mean((0, 2, 3)).numpy(), m.running_mean.numpy())[0, 1]))
            for m in network.modules()
            if isinstance(m, torch.nn.BatchNorm2d)
        ]
        with torch.inference_mode():
            maps = network.maps(shown)
        for hook in hooks:
            hook.remove()
        return float(np.mean(found)), maps[0].shape

    mean, shape = agreement()
    assert shape == (120, 64, 8, 8)
    assert mean > 0.92

    def one_sided(self, x):
        y = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
        return functional.relu(y + (functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 0, 2 * self.pad)) if self.halves else x))

    monkeypatch.setattr("sarcofuse.deep.networks.CifarBlock.forward", one_sided)
    assert agreement()[0] < 0.88


@pytest.mark.parametrize("name", ["squeezenet1_0", "cifar-resnet20", "cifar-resnet56"])
def test_a_wrong_byte_of_real_weights_is_refused(name, reference_data, tmp_path):
    entry = backbone(name)
    content = bytearray((reference_data / "weights" / entry.file).read_bytes())
    content[len(content) // 3] ^= 16
    (tmp_path / entry.file).write_bytes(content)
    with pytest.raises(WeightsError, match=f"is not that of {name}: its SHA-256 is .*, expected"):
        find_weights(entry, tmp_path / entry.file)


@pytest.mark.parametrize("size", [96, 75])
def test_the_quick_form_gives_the_maps_of_the_network_as_it_is(size):
    """The plain module is the reference; weights and running statistics at random, so that no normalisation is idle. It stays as it is and may go on learning."""
    torch.manual_seed(0)
    network = EfficientNetLite0().eval().requires_grad_(False)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2.0)
            module.weight.uniform_(0.5, 1.5)
            module.bias.normal_()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    pictures = torch.randn(2, 3, size, size)
    untouched = pictures.clone()
    with torch.inference_mode():
        for layer in ("blocks", "last"):
            expected, found = network.maps(pictures, layer), quick(network).maps(pictures, layer)
            assert [m.shape for m in found] == [m.shape for m in expected]
            for own, plain in zip(found, expected, strict=True):
                assert float((own - plain).abs().max()) <= 1e-5 * float(plain.abs().max())
                assert float((own.mean((2, 3)) - plain.mean((2, 3))).abs().max()) <= 1e-6 * float(plain.abs().max())
    assert torch.equal(pictures, untouched)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert quick(network) is quick(network)


@pytest.mark.parametrize("name", ["squeezenet1_0", "resnet18", "densenet121", "efficientnet-b0", "cifar-resnet20"])
def test_other_networks_give_the_same_maps_in_another_order_of_memory(name):
    torch.manual_seed(0)
    network = build(name).eval().requires_grad_(False)
    pictures = torch.randn(2, 3, 96, 96)
    with torch.inference_mode():
        for layer in ("blocks", "last"):
            expected, found = network.maps(pictures, layer), quick(network).maps(pictures, layer)
            for own, plain in zip(found, expected, strict=True):
                assert own.is_contiguous(memory_format=torch.channels_last)
                assert float((own.mean((2, 3)) - plain.mean((2, 3))).abs().max()) <= 1e-6 * float(plain.abs().max())
    assert all(p.is_contiguous() for p in network.parameters())


def test_what_does_not_convolve_is_asked_as_it_is():
    for network in (object(), torch.nn.Linear(2, 2), torch.nn.Sequential(torch.nn.Conv2d(3, 8, 14, 14))):  # the last as a transformer begins
        assert quick(network) is network
