"""Compile a kernel with numba, cached on disk where some folder can be written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """Compile a function on its first call; later processes load it from the cache.

    Parameters
    ----------
    function : callable
        A function in the part of Python that numba knows.

    Returns
    -------
    callable
        The compiled function.
    """
    return _compile(function, freedom=False)


def reassociated(function: F) -> F:
    """Compile a function in which sums may be taken in any order and nothing is NaN, as `compiled` does.

    Parameters
    ----------
    function : callable
        A function in the part of Python that numba knows.

    Returns
    -------
    callable
        The compiled function.
    """
    return _compile(function, freedom={"reassoc", "nnan", "nsz", "contract"})


def _compile(function: F, *, freedom: bool | set[str]) -> F:
    try:
        return cast("F", numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=freedom)(function))
    except RuntimeError:  # no folder to cache in
        return cast("F", numba.njit(nogil=True, error_model="numpy", fastmath=freedom)(function))
