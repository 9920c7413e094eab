"""Load the next patient while the network looks at this one, in a thread of the same worker."""

from __future__ import annotations

import threading
from pathlib import Path
from queue import SimpleQueue

from sarcofuse.errors import SarcofuseError
from sarcofuse.records import Mask, Volume

Files = tuple[Path, Path]
Pair = tuple[Volume, Mask]
_COMING: dict[Files, SimpleQueue[Pair | None]] = {}
KEPT = 2  # patients in memory who were loaded ahead and not asked for, another worker having taken them


def start(files: Files) -> None:
    """Begin to load a patient who will probably be asked for next.

    Parameters
    ----------
    files : (Path, Path)
        Image and mask.
    """
    if files in _COMING:
        return
    while len(_COMING) >= KEPT:
        _COMING.pop(next(iter(_COMING)))
    found: SimpleQueue[Pair | None] = SimpleQueue()
    _COMING[files] = found
    threading.Thread(target=_load, args=(files, found), daemon=True).start()


def take(files: Files, patient_id: str) -> Pair:
    """Give image and mask of a patient, loaded ahead or now.

    Parameters
    ----------
    files : (Path, Path)
        Image and mask.
    patient_id : str
        Whose, for error messages.

    Returns
    -------
    (Volume, Mask)
        As `read_volume` and `read_mask` give them.

    Raises
    ------
    CaseError
        If either cannot be used.
    """
    from sarcofuse.imaging import read_mask, read_volume

    coming = _COMING.pop(files, None)
    loaded = None if coming is None else coming.get()
    return loaded or (read_volume(files[0], patient_id), read_mask(files[1], patient_id))


def _load(files: Files, found: SimpleQueue[Pair | None]) -> None:
    from sarcofuse.imaging import read_mask, read_volume

    pair: Pair | None = None
    try:
        pair = read_volume(files[0]), read_mask(files[1])
    except (SarcofuseError, OSError, RuntimeError, MemoryError):
        pair = None  # whoever asks for it reads it again, and tells what is wrong
    finally:
        found.put(pair)
