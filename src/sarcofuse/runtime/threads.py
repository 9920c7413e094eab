"""One thread a task: results then do not depend on the number of cores, and workers do not fight over them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS")


@contextmanager
def single_thread() -> Iterator[None]:
    """Hold BLAS, OpenMP, SimpleITK, and torch if it is loaded, to one thread within the block.

    Code that imports torch within the block must set its threads itself.

    Yields
    ------
    None
        Nothing.
    """
    import SimpleITK as sitk

    torch = sys.modules.get("torch")
    before_torch = torch.get_num_threads() if torch else 0
    before_itk = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    try:
        with _pools(len(sys.modules)).limit(limits=1):
            if torch:
                torch.set_num_threads(1)
            sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
            yield
    finally:
        if torch:
            torch.set_num_threads(before_torch)
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(before_itk)


@lru_cache(maxsize=1)
def _pools(_modules: int) -> ThreadpoolController:
    """Find the libraries that have threads, which takes milliseconds: anew only where modules, and maybe libraries, were loaded since."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
