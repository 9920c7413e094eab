"""The registry is plain data and costs nothing to read."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import pytest

from sarcofuse.deep import BACKBONES, backbone
from sarcofuse.errors import ConfigError


def test_importing_the_stage_loads_nothing_heavy():
    code = "import sys, sarcofuse.deep as d; d.backbone('efficientnet-lite0'); print([m for m in ('torch', 'monai', 'SimpleITK', 'pandas', 'scipy', 'safetensors') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_entries_are_frozen_and_complete():
    assert set(BACKBONES) == {"efficientnet-lite0", "squeezenet1_0", "segresnet-encoder"}
    for name, entry in BACKBONES.items():
        assert entry.name == name
        assert entry.licence
        assert entry.source
        if entry.dims == 2:
            assert len(entry.sha256) == len(entry.tensors) == 64
            assert len(entry.subtract) == 3
    with pytest.raises(dataclasses.FrozenInstanceError, match="size"):
        BACKBONES["squeezenet1_0"].size = 1


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(ConfigError, match=r"efficientnet-lite is not in the registry.*did you mean efficientnet-lite0\?"):
        backbone("efficientnet-lite")
