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
    for entry in BACKBONES.values():
        if entry.prefix:
            assert re.fullmatch(rf"[a-z0-9-]+-{entry.prefix}\.(pth|th)", entry.file)
            assert len(entry.prefix) == 8
            assert entry.url.endswith(f"/{entry.file}")
        if entry.sha256 and entry.name == "efficientnet-lite0":
            assert entry.sha256[:8] in entry.file
    unknown = {e.name for e in BACKBONES.values() if e.origin == "published" and not e.sha256 and not e.prefix}
    assert unknown == {"dinov2-small", "radimagenet-resnet50", "radimagenet-densenet121", *(f"medicalnet-resnet{d}" for d in (10, 18, 34, 50))}


def test_entries_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError, match="size"):
        BACKBONES["squeezenet1_0"].size = 1


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(ConfigError, match=r"efficientnet-lite is not in the registry.*did you mean efficientnet-lite0\?"):
        backbone("efficientnet-lite")
