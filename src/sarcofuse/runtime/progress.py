"""Progress bars: patients done and time left on a terminal, silence elsewhere."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tqdm import tqdm


def progress_bar(stage: str, total: int, unit: str = "patient", *, show: bool = True) -> tqdm[Any]:
    """Open a progress bar on standard error.

    Parameters
    ----------
    stage : str
        What is going on.
    total : int
        How much there is to do.
    unit : str
        Of what.
    show : bool
        False for silence; a standard error that is not a terminal is always silent.

    Returns
    -------
    tqdm
        Call its ``update(n)`` and ``close()``.
    """
    from tqdm import tqdm

    return tqdm(total=total, desc=f"{stage:<12}", unit=f" {unit}", file=sys.stderr, disable=not (show and sys.stderr.isatty()), dynamic_ncols=True, smoothing=0.1)
