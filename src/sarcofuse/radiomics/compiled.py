"""Compile a kernel with numba; see `sarcofuse.runtime.compiled`."""

from sarcofuse.runtime.compiled import compiled, reassociated

__all__ = ["compiled", "reassociated"]
