"""What can go wrong when a network is asked, in words."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from sarcofuse.deep.registry import Backbone
from sarcofuse.errors import CaseError, ImageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

SILENT = "could not create a primitive"  # what oneDNN says where it gets no memory; of other reasons it speaks of a primitive descriptor
MEMORY = ("not enough memory", "out of memory", "can't allocate memory", "failed to allocate", "bad allocation")


def check_answer(features: NDArray[np.floating], seen: NDArray[np.uint8], name: str, patient_id: str) -> None:
    """Refuse features that mean nothing: of pictures without contrast, or not finite.

    Parameters
    ----------
    features : ndarray
        Pooled feature maps.
    seen : ndarray of uint8, shape (pictures, rows, columns)
        What the network was shown.
    name : str
        The network, for the message.
    patient_id : str
        Whom it concerns.

    Raises
    ------
    ImageError
        If all that was shown is of one intensity.
    CaseError
        If features are NaN or infinite.
    """
    if seen.min() == seen.max():
        message = "nothing is to be seen around the tumour: all pixels of its pictures have one intensity; expected an image with contrast where the mask is. Look whether the two belong together"
        raise ImageError(patient_id, message)
    bad = int(np.count_nonzero(~np.isfinite(features)))
    if bad:
        message = f"{bad} of {features.size} activations of {name} are NaN or infinite; expected numbers. Look at the image for extreme intensities; if no patient has features, at the weights"
        raise CaseError(patient_id, message)


def remember(work: Callable[[], Any], what: str = "the tumour's box", entry: Backbone | None = None) -> Any:  # noqa: ANN401 - whatever the work gives
    """Do the work; tell too little memory in words.

    Parameters
    ----------
    work : callable
        What to do.
    what : str
        What memory may not suffice for.
    entry : Backbone, optional
        The network.

    Returns
    -------
    object
        What the work gives.

    Raises
    ------
    CaseError
        If memory does not suffice.
    """
    try:
        return work()
    except (RuntimeError, MemoryError) as error:
        if not is_memory(error):
            raise
        raise too_little(what, entry, error) from error


def is_memory(error: Exception) -> bool:
    """Say whether an error is for want of memory; torch and onnxruntime have no class of their own for that on the CPU.

    Parameters
    ----------
    error : Exception
        What a network raised.

    Returns
    -------
    bool
        Judged by its words.
    """
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(words in text for words in MEMORY) or (SILENT in text and f"{SILENT} descriptor" not in text)


def too_little(what: str, entry: Backbone | None, error: Exception) -> CaseError:
    """Say in words that memory does not suffice.

    Parameters
    ----------
    what : str
        What for.
    entry : Backbone or None
        The network; None for the study's own.
    error : Exception
        What the network raised.

    Returns
    -------
    CaseError
        Of nobody yet.
    """
    advice = "fewer --workers" if entry is not None and entry.dims == 2 else "fewer --workers or a smaller deep.margin_mm"
    told = f" ({SILENT})" if SILENT in str(error) else ""
    nobody, message = "", f"memory does not suffice for {what}; run with {advice}, or with deep.device: cpu, or take a smaller backbone{told}"
    return CaseError(nobody, message)
