"""Atomic writes: a reader sees the old content or the new, never half of it."""

from __future__ import annotations

import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def atomic_file(file: Path) -> Iterator[Path]:
    """Give a temporary path beside `file`; when the block ends well it takes the name of `file`.

    Parameters
    ----------
    file : Path
        What to write in the end. Its folder is made if need be. The temporary path keeps the suffixes.

    Yields
    ------
    Path
        Where to write.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".part-", suffix="".join(file.suffixes[-2:]), dir=file.parent)
    os.close(handle)
    part = Path(name)
    try:
        yield part
        part.chmod(0o644)
        _sync(part)
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)


def write_text(text: str, file: Path) -> None:
    """Write text atomically, in UTF-8.

    Parameters
    ----------
    text : str
        What to write.
    file : Path
        Where to.
    """
    with atomic_file(file) as part:
        part.write_bytes(text.encode("utf8"))


def write_json(content: object, file: Path) -> None:
    """Write JSON atomically; NaN and infinities become null, paths become text.

    Parameters
    ----------
    content : object
        Mappings, sequences, numbers (NumPy's too), text, paths, None.
    file : Path
        Where to.
    """
    write_text(json.dumps(plain(content), indent=1, ensure_ascii=False, allow_nan=False) + "\n", file)


def read_json(file: Path) -> Any:  # noqa: ANN401 - JSON is what it is
    """Read JSON.

    Parameters
    ----------
    file : Path
        The file.

    Returns
    -------
    object
        Its content.
    """
    return json.loads(file.read_text(encoding="utf8"))


def plain(content: object) -> object:
    """Turn nested content into what JSON knows; NaN and infinities become None.

    Parameters
    ----------
    content : object
        Mappings, sequences, numbers (NumPy's too), text, paths, None.

    Returns
    -------
    object
        The same, of built-in types.

    Examples
    --------
    >>> plain({"a": (1.0, float("nan"))})
    {'a': [1.0, None]}
    """
    if isinstance(content, Mapping):
        return {str(k): plain(v) for k, v in content.items()}
    if isinstance(content, list | tuple | set | frozenset):
        return [plain(v) for v in (sorted(content) if isinstance(content, set | frozenset) else content)]
    if isinstance(content, Path):
        return content.as_posix()
    if hasattr(content, "tolist"):
        return plain(content.tolist())
    if isinstance(content, float) and not math.isfinite(content):
        return None
    return content


def publish_folder(part: Path, folder: Path) -> None:
    """Give a finished temporary folder its final name; one that is already there wins.

    Parameters
    ----------
    part : Path
        The finished folder.
    folder : Path
        Its final name, on the same file system.
    """
    for file in part.rglob("*"):
        if file.is_file():
            _sync(file)
    try:
        part.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise
        shutil.rmtree(part, ignore_errors=True)


def _sync(file: Path) -> None:
    with file.open("rb+") as stream:
        os.fsync(stream.fileno())
