"""What a result was made with."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys

from sarcofuse.runtime.engine import available_cores

PACKAGES = ("sarcofuse", "numpy", "scipy", "pandas", "scikit-learn", "numba", "SimpleITK", "torch", "monai", "PyWavelets", "skops", "safetensors", "pydicom", "nibabel", "pydantic")


def versions() -> dict[str, str]:
    """Give the versions of Python and of the packages that results depend on.

    Returns
    -------
    dict of str to str
        Version by name.
    """
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "absent"
    return found


def hardware() -> dict[str, object]:
    """Describe the machine without naming it.

    Returns
    -------
    dict
        System, processor architecture, cores, memory in GB, GPU if torch is loaded and sees one.
    """
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9 if hasattr(os, "sysconf") else None
    torch = sys.modules.get("torch")
    gpu = torch.cuda.get_device_name(0) if torch is not None and torch.cuda.is_available() else None
    return {"system": platform.system(), "machine": platform.machine(), "cores": available_cores(), "memory_gb": None if memory is None else round(memory, 1), "gpu": gpu}
