"""Get the next patient ready while the network looks at this one, in a thread of the same worker."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from queue import SimpleQueue
from typing import Any

_COMING: dict[Hashable, SimpleQueue[Any]] = {}


def start(key: Hashable, work: Callable[[], object], kept: int = 2) -> None:
    """Begin with work whose result will probably be asked for next.

    Parameters
    ----------
    key : hashable
        What the result depends on.
    work : callable
        Gives the result, which is not None. It must not use torch's threads or modes, which belong to who asks.
    kept : int
        Results in memory at most: those to come, and some that nobody asked for, another worker having taken the patient.
    """
    if key in _COMING:
        return
    while len(_COMING) >= kept:
        _COMING.pop(next(iter(_COMING)))
    done: SimpleQueue[Any] = SimpleQueue()
    _COMING[key] = done
    threading.Thread(target=_do, args=(work, done), daemon=True).start()


def take(key: Hashable, work: Callable[[], Any]) -> Any:  # noqa: ANN401 - whatever the work gives
    """Give the result of work, begun before or done now.

    Parameters
    ----------
    key : hashable
        As in `start`.
    work : callable
        The same work; done now if it was not begun, or failed, and then whatever it raises is raised here.

    Returns
    -------
    object
        Its result.
    """
    coming = _COMING.pop(key, None)
    done = None if coming is None else coming.get()
    return work() if done is None else done


def _do(work: Callable[[], object], done: SimpleQueue[Any]) -> None:
    result = None
    try:
        result = work()
    except Exception:  # noqa: BLE001 - whoever asks for it does it again, and tells what is wrong
        result = None
    finally:
        done.put(result)
