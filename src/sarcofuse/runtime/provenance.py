"""What a result was made with."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
from pathlib import Path

from sarcofuse.runtime.engine import available_cores

PACKAGES = ("sarcofuse", "numpy", "scipy", "pandas", "scikit-learn", "numba", "SimpleITK", "torch", "monai", "PyWavelets", "skops", "safetensors", "pydicom", "nibabel", "pydantic")

CONTAINER = Path("/sys/fs/cgroup/memory.max")


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


def memory_gb() -> float | None:
    """Give the memory of the machine, or of the container that the process runs in.

    Returns
    -------
    float or None
        In GB; None where the system does not say.
    """
    if not hasattr(os, "sysconf"):
        return None
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    try:
        return min(total, int(CONTAINER.read_text(encoding="ascii")) / 1e9)
    except (OSError, ValueError):  # no container, or one without a limit ("max")
        return total


def hardware() -> dict[str, object]:
    """Describe the machine without naming it.

    Returns
    -------
    dict
        System, processor architecture, cores, memory in GB, GPU if torch is loaded and sees one.
    """
    memory = memory_gb()
    torch = sys.modules.get("torch")
    gpu = torch.cuda.get_device_name(0) if torch is not None and torch.cuda.is_available() else None
    return {"system": platform.system(), "machine": platform.machine(), "cores": available_cores(), "memory_gb": None if memory is None else round(memory, 1), "gpu": gpu}
