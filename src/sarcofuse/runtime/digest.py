"""Content keys: SHA-256 of files and of settings."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from sarcofuse.config.base import Section
from sarcofuse.runtime.files import plain


def digest_file(file: Path) -> str:
    """Give the SHA-256 of a file, or of a folder's files with their relative names.

    Parameters
    ----------
    file : Path
        A file or a folder.

    Returns
    -------
    str
        Hexadecimal digest.
    """
    if file.is_dir():
        return digest(*[(f.relative_to(file).as_posix(), digest_file(f)) for f in sorted(file.rglob("*")) if f.is_file()])
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def digest(*parts: object) -> str:
    """Give the SHA-256 of settings: any nesting of mappings, sequences, numbers, text, paths and configuration sections.

    Parameters
    ----------
    *parts : object
        What the result depends on.

    Returns
    -------
    str
        Hexadecimal digest; the same for equal content, whatever the order of keys.
    """
    content = [p.model_dump(mode="json") if isinstance(p, Section) else plain(p) for p in parts]
    return hashlib.sha256(json.dumps(content, sort_keys=True, ensure_ascii=False).encode("utf8")).hexdigest()
