"""MONAI's networks take the published state dicts, strictly, and compute what their authors' networks compute."""

from __future__ import annotations

import dataclasses
import hashlib
import re

import numpy as np
import pytest
import torch
from torch.nn import functional

from sarcofuse.deep import BACKBONES, backbone, extract_deep
from sarcofuse.deep.adapted import medicalnet
from sarcofuse.deep.backbones import load_network, normalise
from sarcofuse.deep.networks import build
from sarcofuse.deep.weights import check_keys, find_weights, named_for
from sarcofuse.errors import WeightsError
from tests.deep.conftest import ball

# Numbers of parameters by torchvision's documentation (ResNet18_Weights.meta["num_params"] and so on)
PUBLISHED = {"resnet18": 11689512, "resnet34": 21797672, "resnet50": 25557032, "resnet101": 44549160, "densenet121": 7978856, "efficientnet-b0": 5288548}
# A few tensors of each published file, by the names and shapes that they have there
TORCHVISION = {
    "resnet18": {"conv1.weight": (64, 3, 7, 7), "layer2.0.downsample.0.weight": (128, 64, 1, 1), "layer4.1.bn2.running_var": (512,), "fc.weight": (1000, 512), "fc.bias": (1000,)},
    "resnet50": {"layer1.0.conv3.weight": (256, 64, 1, 1), "layer3.5.bn3.bias": (1024,), "layer4.0.downsample.1.running_mean": (2048,), "fc.weight": (1000, 2048)},
    "densenet121": {
        "features.conv0.weight": (64, 3, 7, 7),
        "features.denseblock1.denselayer1.norm1.weight": (64,),
        "features.denseblock4.denselayer16.conv2.weight": (32, 128, 3, 3),
        "features.transition2.conv.weight": (256, 512, 1, 1),
        "features.norm5.running_var": (1024,),
        "classifier.weight": (1000, 1024),
    },
    "efficientnet-b0": {
        "_conv_stem.weight": (32, 3, 3, 3),
        "_blocks.0._depthwise_conv.weight": (32, 1, 3, 3),
        "_blocks.15._se_reduce.weight": (48, 1152, 1, 1),
        "_blocks.15._bn2.running_mean": (320,),
        "_fc.weight": (1000, 1280),
    },
    "radimagenet-resnet50": {"backbone.0.weight": (64, 3, 7, 7), "backbone.1.running_mean": (64,), "backbone.4.0.conv3.weight": (256, 64, 1, 1), "backbone.7.2.bn3.weight": (2048,)},
    "radimagenet-densenet121": {"backbone.0.conv0.weight": (64, 3, 7, 7), "backbone.0.denseblock3.denselayer24.norm2.bias": (128,), "backbone.0.norm5.weight": (1024,)},
    "medicalnet-resnet10": {"module.conv1.weight": (64, 1, 7, 7, 7), "module.layer2.0.downsample.0.weight": (128, 64, 1, 1, 1), "module.layer4.0.bn2.running_var": (512,)},
    "medicalnet-resnet18": {"module.layer2.1.conv1.weight": (128, 128, 3, 3, 3), "module.layer4.1.bn2.weight": (512,)},
}
CHILD = {"conv1": "0", "bn1": "1", "layer1": "4", "layer2": "5", "layer3": "6", "layer4": "7"}


def published(name, network):
    """The network's own tensors under the names of the published file."""
    state = {}
    for key, tensor in network.state_dict().items():
        key = re.sub(r"(denselayer\d+)\.layers\.", r"\1.", key).replace("class_layers.out.", "classifier.")
        if name.startswith("efficientnet"):
            key = re.sub(r"^_blocks\.\d+\.", "_blocks.", key)
        if name.startswith("radimagenet"):
            first, rest = key.split(".", 1)
            key = f"backbone.{CHILD.get(first, '0')}.{rest}"
        state["module." + key if name.startswith("medicalnet") else key] = tensor
    return state


def publish(name, folder, monkeypatch, *, wrap=False, prefix=True):
    """Write random weights as the published file would be, and give the registry its digits."""
    torch.manual_seed(0)
    network = build(name).eval()
    state = published(name, network)
    file = folder / backbone(name).file
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"epoch": 3, "state_dict": state} if wrap else state, file)
    digits = hashlib.sha256(file.read_bytes()).hexdigest()[:8]
    monkeypatch.setitem(BACKBONES, name, dataclasses.replace(backbone(name), sha256="", prefix=digits if prefix else ""))
    return network, file


@pytest.mark.parametrize("name", PUBLISHED)
def test_networks_have_the_published_number_of_parameters(name):
    assert sum(p.numel() for p in build(name).parameters()) == PUBLISHED[name]


def test_medicalnet_has_as_many_numbers_as_its_published_file():
    """resnet_10_23dataset.pth: 72 tensors with 14,361,292 numbers (buffers among them), no head."""
    state = build("medicalnet-resnet10").state_dict()
    assert len(state) == 72
    assert sum(t.numel() for t in state.values()) == 14_361_292


@pytest.mark.parametrize("name", TORCHVISION)
def test_published_names_are_understood_strictly(name):
    network = build(name)
    state = published(name, network)
    assert {k: tuple(state[k].shape) for k in TORCHVISION[name]} == TORCHVISION[name]
    translated = named_for(network, state)
    check_keys(network, translated, name)
    assert all(translated[k] is v or torch.equal(translated[k], v) for k, v in network.state_dict().items())


def test_old_files_of_torchvision_are_understood_too():
    """densenet121-a639ec97.pth writes norm.1 for norm1, and no counters of batches."""
    network = build("densenet121")
    state = {re.sub(r"(denselayer\d+\.(?:norm|conv))([12])", r"\1.\2", k): v for k, v in published("densenet121", network).items() if not k.endswith("num_batches_tracked")}
    assert "features.denseblock1.denselayer1.norm.1.weight" in state
    check_keys(network, named_for(network, state), "densenet121")


@pytest.mark.parametrize("name", ["resnet18", "densenet121", "efficientnet-b0"])
def test_heads_sit_on_the_last_map(name):
    """MONAI's own classification is that of the head on the mean of the map that features are taken of."""
    torch.manual_seed(0)
    network = build(name).eval()
    x = torch.randn(1, 3, 224, 224)
    head = {"resnet18": "fc", "densenet121": "class_layers.out", "efficientnet-b0": "_fc"}[name]
    with torch.inference_mode():
        assert torch.allclose(network.get_submodule(head)(network.maps(x)[0].mean((2, 3))), network(x), atol=1e-5)


@pytest.mark.parametrize("name", [n for n, b in BACKBONES.items() if b.origin == "published"])
def test_maps_have_the_channels_of_the_registry(name):
    if name.startswith("dinov2"):
        pytest.importorskip("transformers", reason="the extra dino is not installed")
    entry, network = backbone(name), build(name).eval()
    x = torch.zeros((1, 1, 16, 16, 16) if entry.dims == 3 else (1, 3, entry.size, entry.size))
    with torch.inference_mode():
        assert [m.shape[1] for m in network.maps(x, "last")] == [entry.features]
        assert tuple(m.shape[1] for m in network.maps(x, "blocks")) == entry.stages


def residual(state, x, blocks, shortcut):
    """MedicalNet's forward pass of basic blocks, written from its paper's code: steps of 2 in the second stage alone, then dilation by 2 and 4."""

    def norm(y, name):
        return functional.batch_norm(y, state[f"{name}.running_mean"], state[f"{name}.running_var"], state[f"{name}.weight"], state[f"{name}.bias"])

    x = functional.relu(norm(functional.conv3d(x, state["conv1.weight"], stride=2, padding=3), "bn1"))
    x = functional.max_pool3d(x, 3, 2, 1)
    for stage, (step, dilation) in enumerate([(1, 1), (2, 1), (1, 2), (1, 4)], 1):
        for block in range(blocks):
            name, stride = f"layer{stage}.{block}", step if block == 0 else 1
            y = functional.relu(norm(functional.conv3d(x, state[f"{name}.conv1.weight"], stride=stride, padding=dilation, dilation=dilation), f"{name}.bn1"))
            y = norm(functional.conv3d(y, state[f"{name}.conv2.weight"], padding=dilation, dilation=dilation), f"{name}.bn2")
            if x.shape != y.shape and shortcut == "A":
                x = x[:, :, ::stride, ::stride, ::stride]
                x = torch.cat([x, torch.zeros_like(y[:, : y.shape[1] - x.shape[1]])], 1)
            elif x.shape != y.shape:
                x = norm(functional.conv3d(x, state[f"{name}.downsample.0.weight"], stride=stride), f"{name}.downsample.1")
            x = functional.relu(x + y)
    return x


@pytest.mark.parametrize(("depth", "blocks", "shortcut"), [(10, 1, "B"), (18, 2, "A")])
def test_medicalnet_computes_what_its_authors_network_computes(depth, blocks, shortcut):
    torch.manual_seed(1)
    network = medicalnet(depth).eval()
    for name, buffer in network.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            buffer.copy_(torch.rand_like(buffer) + (0.5 if name.endswith("var") else -0.5))
    x = torch.randn(1, 1, 24, 16, 32)
    with torch.inference_mode():
        found, expected = network.maps(x)[0], residual(network.state_dict(), x, blocks, shortcut)
    assert found.shape == (1, 512, 3, 2, 4)
    assert torch.allclose(found, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


def test_colours_enter_as_torchvision_normalises_them():
    """ToTensor and Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])."""
    x = normalise(np.full((1, 2, 2), 200, dtype=np.uint8), backbone("resnet50"))
    expected = [(200 / 255 - m) / s for m, s in zip((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), strict=True)]
    assert x[0, :, 0, 0].tolist() == pytest.approx(expected, rel=1e-6)
    assert normalise(np.full((1, 2, 2), 255, dtype=np.uint8), backbone("radimagenet-resnet50")).unique().tolist() == [1.0]


def test_weights_of_another_depth_name_their_tensors(tmp_path, monkeypatch):
    _, file = publish("resnet34", tmp_path, monkeypatch)
    entry = dataclasses.replace(backbone("resnet18"), prefix="", sha256=hashlib.sha256(file.read_bytes()).hexdigest())
    monkeypatch.setitem(BACKBONES, "resnet18", entry)
    with pytest.raises(WeightsError, match=r"weights of another network than resnet18; tensors 96 unexpected: layer1\.2\.conv1\.weight"):
        load_network("resnet18", file)


def test_a_wrong_byte_is_refused_by_the_published_digits(tmp_path, monkeypatch):
    _, file = publish("resnet18", tmp_path, monkeypatch)
    assert find_weights(backbone("resnet18"), file) == file
    content = bytearray(file.read_bytes())
    content[-9000] ^= 1
    file.write_bytes(content)
    with pytest.raises(WeightsError, match=rf"SHA-256 is {hashlib.sha256(content).hexdigest()}, expected one that begins with {backbone('resnet18').prefix}"):
        find_weights(backbone("resnet18"), file)


def test_a_wrapped_3d_checkpoint_gives_features_of_the_tumours_box(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    network, file = publish("medicalnet-resnet10", tmp_path, monkeypatch, wrap=True, prefix=False)
    volume, mask = ball(shape=(10, 24, 24), spacing=(3.0, 3.0, 5.0), centre=(5, 12, 12), radius_mm=8.0)
    settings = {"weights": file, "margin_mm": 0.0, "layer": "last", "pooling": "average"}
    table = extract_deep(volume, mask, "medicalnet-resnet10", settings)
    assert table.values.shape == (1, 512)
    assert table.names[0] == "medicalnet-resnet10_0001"
    from sarcofuse.config import DeepConfig
    from sarcofuse.deep.boxes import make_box

    box = make_box(volume, mask, DeepConfig(margin_mm=0.0), (1.5, 1.5, 1.5), (16, 16, 16))
    assert all(n % 16 == 0 for n in box.array.shape)
    with torch.inference_mode():
        expected = network.maps(torch.from_numpy(box.array)[None, None])[0].mean((2, 3, 4))[0].numpy()
    assert table.values[0] == pytest.approx(expected, rel=1e-4, abs=1e-6)
