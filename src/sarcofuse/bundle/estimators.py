"""Fitted estimators on disk: skops archives with the same bytes for the same estimator. Never pickle."""

from __future__ import annotations

import io
import json
import re
import zipfile
from pathlib import Path
from typing import Any

from sarcofuse.errors import BundleError
from sarcofuse.runtime import atomic_file

TRUSTED = re.compile(r"^(sarcofuse\.(signature|models)\.|sklearn\.|numpy\.|scipy\.sparse\.)[A-Za-z0-9_.]+$")
EPOCH = (1980, 1, 1, 0, 0, 0)


def save_estimator(estimator: object, file: Path) -> None:
    """Write a fitted estimator as a skops archive.

    skops names parts by memory address and stamps them with the time; both are replaced here, so that equal estimators give equal bytes.

    Parameters
    ----------
    estimator : object
        A fitted scikit-learn estimator.
    file : Path
        Where to.
    """
    import skops.io

    with atomic_file(file) as part:
        part.write_bytes(canonical(skops.io.dumps(estimator)))


def load_estimator(file: Path) -> Any:  # noqa: ANN401 - any estimator
    """Read an estimator that `save_estimator` wrote.

    Parameters
    ----------
    file : Path
        The archive.

    Returns
    -------
    object
        The fitted estimator.

    Raises
    ------
    BundleError
        If the archive is damaged or holds types that do not belong in a bundle.
    """
    import skops.io

    try:
        foreign = skops.io.get_untrusted_types(file=file)
        strangers = [name for name in foreign if not TRUSTED.match(name)]
        if strangers:
            message = f"{file.name} holds types that do not belong in a bundle: {', '.join(strangers[:5])}; do not use it"
            raise BundleError(message)
        return skops.io.load(file, trusted=foreign)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        message = f"{file.name} cannot be read as a fitted model: {error}"
        raise BundleError(message) from error


def canonical(archive: bytes) -> bytes:
    """Rewrite a skops archive so that its bytes depend on its content alone.

    Parameters
    ----------
    archive : bytes
        As ``skops.io.dumps`` gives it.

    Returns
    -------
    bytes
        An archive that loads to the same object.
    """
    with zipfile.ZipFile(io.BytesIO(archive)) as source:
        parts = {name: source.read(name) for name in source.namelist()}
    identities: dict[int, int] = {}
    files: dict[str, str] = {}

    def walk(node: object) -> object:
        if isinstance(node, list):
            return [walk(x) for x in node]
        if not isinstance(node, dict):
            return node
        renamed = {}
        for key, value in node.items():
            if key == "__id__":
                renamed[key] = identities.setdefault(value, len(identities) + 1)
            elif isinstance(value, str) and value in parts:
                renamed[key] = files.setdefault(value, f"{len(files) + 1}{Path(value).suffix}")
            else:
                renamed[key] = walk(value)
        return renamed

    schema = walk(json.loads(parts.pop("schema.json")))
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as out:
        for old, new in files.items():
            out.writestr(_entry(new), parts[old])
        out.writestr(_entry("schema.json"), json.dumps(schema, indent=1))
    return target.getvalue()


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, EPOCH)
    entry.compress_type = zipfile.ZIP_DEFLATED
    return entry
