"""PyRadiomics in a process of its own, for live comparison."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest


class Oracle:
    """PyRadiomics in a process of its own."""

    def __init__(self, python, folder):
        self.file = folder / "arrays.npz"
        self.process = subprocess.Popen([python, str(Path(__file__).with_name("oracle.py"))], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, image, mask, spacing, wanted):
        np.savez(self.file, image=image, mask=mask)
        self.process.stdin.write(json.dumps({"arrays": str(self.file), "spacing": spacing, "settings": wanted}) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


@pytest.fixture(scope="module")
def oracle(request, tmp_path_factory):
    found = importlib.util.find_spec("radiomics")
    installed = found is not None and found.submodule_search_locations is not None  # a package: a benchmark of this name is a file
    python = request.config.getoption("--oracle") or (sys.executable if installed else None)
    if python is None:
        pytest.skip("PyRadiomics is not installed: pip install sarcofuse[oracle], or pytest --oracle PYTHON with an interpreter that has it")
    found = Oracle(python, tmp_path_factory.mktemp("oracle"))
    yield found
    found.process.stdin.close()
    found.process.stdout.close()
    found.process.wait()
