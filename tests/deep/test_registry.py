"""The registry is plain data and costs nothing to read."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys

import pytest

from sarcofuse.deep import BACKBONES, backbone
from sarcofuse.errors import ConfigError


def test_importing_the_stage_loads_nothing_heavy():
    code = "import sys, sarcofuse.deep as d; d.backbone('efficientnet-lite0'); print([m for m in ('torch', 'monai', 'SimpleITK', 'pandas', 'scipy', 'safetensors') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_entries_are_frozen_and_complete():
    resnets = {f"resnet{d}" for d in (18, 34, 50, 101)} | {f"medicalnet-resnet{d}" for d in (10, 18, 34, 50)}
    others = {
        "efficientnet-lite0",
        "squeezenet1_0",
        "segresnet-encoder",
        "densenet121",
        "efficientnet-b0",
        "radimagenet-resnet50",
        "radimagenet-densenet121",
        "onnx",
        "dinov2-small",
        "dinov2-base",
        "cifar-resnet20",
        "cifar-resnet56",
    }
    assert set(BACKBONES) == resnets | others
    for name, entry in BACKBONES.items():
        assert entry.name == name
        assert entry.licence
        assert entry.source
        if entry.origin != "published":
            continue
        assert entry.features > 0
        assert (entry.size > 0) == (entry.dims == 2)
        assert len(entry.spacing) == (3 if entry.dims == 3 else 0)
        assert len(entry.subtract) == (3 if entry.dims == 2 else 1)
        assert len(entry.sha256) in (0, 64)
        assert not entry.url or entry.url.startswith("https://")


def test_digits_are_those_of_the_published_file_names():
    """PyTorch's convention, which torch.hub checks: NAME-XXXXXXXX.pth names the first eight digits of its SHA-256; nothing else is claimed of a file."""
    named = 0
    for entry in BACKBONES.values():
        digits = re.fullmatch(r"[a-z0-9-]+-([0-9a-f]{8})\.(pth|th)", entry.file)
        if digits:
            named += 1
            assert (entry.sha256 or entry.prefix)[:8] == digits[1]
            assert entry.package or entry.url.endswith(f"/{entry.file}")
        assert not entry.prefix or (digits and len(entry.prefix) == 8 and not entry.sha256)
    assert named == 9
    assert {e.name for e in BACKBONES.values() if e.origin == "published" and not e.sha256 and not e.prefix} == {"radimagenet-densenet121"}


# huggingface.co's large-file pointers (commits 2a0c8cd and 3d5811d of MedicalNet-Resnet10, 38043c1 of -Resnet34, 7cd767e of -Resnet50): SHA-256, bytes
POINTERS = {
    "medicalnet-resnet10": ("afa8055f3e47f4a18239495d92a7abc587902c69c31c743de2b2784653b72605", 57_456_599),
    "medicalnet-resnet18": ("61224f9317fcce873366deb3703183e92cc47325b726b69691b33536244e10f4", 131_992_196),
    "medicalnet-resnet34": ("3ea7188e396774e4ef95b66e5e90a78273bb33f6e58d3d717bf24f5f1aaeaa28", 253_276_232),
    "medicalnet-resnet50": ("ff48a62219073fb977fd3f4ddfb8dc1367f0ec156c8d6f6c37e205bd683a246e", 184_885_051),
}


@pytest.mark.parametrize("name", POINTERS)
def test_files_are_those_of_the_published_pointers(name):
    """The tensors of our architecture account for the published file's length, but for names and headers."""
    from sarcofuse.deep.networks import build

    sha256, length = POINTERS[name]
    assert backbone(name).sha256 == sha256
    state = build(name).state_dict()
    assert 0 < length - sum(t.numel() * t.element_size() for t in state.values()) < 200 * len(state) + 4096


def test_entries_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError, match="size"):
        BACKBONES["squeezenet1_0"].size = 1


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(ConfigError, match=r"efficientnet-lite is not in the registry.*did you mean efficientnet-lite0\?"):
        backbone("efficientnet-lite")
