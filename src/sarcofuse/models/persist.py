"""Fitted estimators on disk: skops archives with reproducible bytes; never pickle."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

from sarcofuse.errors import BundleError
from sarcofuse.runtime import atomic_file

TRUSTED = ("sarcofuse.", "sklearn.", "numpy.")
_DATE = (1980, 1, 1, 0, 0, 0)


def dump_estimator(estimator: object) -> bytes:
    """Give a fitted estimator as a skops archive whose bytes depend on its content alone.

    Parameters
    ----------
    estimator : object
        Fitted scikit-learn estimator.

    Returns
    -------
    bytes
        Compressed archive that `load_estimator`, and skops itself, reads. What skops numbers by memory address is numbered in order instead, and files carry no date.
    """
    import skops.io

    order = _Order()
    with zipfile.ZipFile(io.BytesIO(skops.io.dumps(estimator))) as archive:
        schema = order.schema(json.loads(archive.read("schema.json")))
        files = {order.name(name): _without_padding(name, archive.read(name)) for name in archive.namelist() if name != "schema.json"}
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as target:
        for name, content in [*sorted(files.items()), ("schema.json", json.dumps(schema).encode("utf8"))]:
            target.writestr(zipfile.ZipInfo(name, _DATE), content, zipfile.ZIP_DEFLATED, 6)
    return out.getvalue()


def _without_padding(name: str, content: bytes) -> bytes:
    """Zero the bytes between the fields of a structured array (the nodes of a tree), which hold whatever lay in memory."""
    import numpy as np

    if not name.endswith(".npy"):
        return content
    array = np.load(io.BytesIO(content), allow_pickle=False)
    if array.dtype.names is None:
        return content
    clean, out = np.zeros(array.shape, array.dtype), io.BytesIO()
    for part in array.dtype.names:
        clean[part] = array[part]
    np.save(out, clean)
    return out.getvalue()


class _Order:
    """Numbers objects in the order in which they are met."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}

    def schema(self, node: Any) -> Any:  # noqa: ANN401 - JSON is what it is
        """Renumber a node of the schema and all below it."""
        if isinstance(node, list):
            return [self.schema(item) for item in node]
        if not isinstance(node, dict):
            return node
        if node.get("__loader__") == "JsonNode":
            # Numbers and texts may or may not be one object in memory, which means nothing.
            return {**node, "__id__": self.number(f"value {len(self.numbers)}")}
        found: dict[str, Any] = {}
        for key, value in node.items():
            if key == "__id__":
                found[key] = self.number(str(value))
            else:
                found[key] = self.name(value) if key == "file" and isinstance(value, str) else self.schema(value)
        return found

    def name(self, file: str) -> str:
        """Rename a file that is named by an object's number."""
        stem, dot, suffix = file.partition(".")
        return f"{self.number(stem):06d}{dot}{suffix}" if stem.isdigit() else file

    def number(self, old: str) -> int:
        """Give an object's number."""
        return self.numbers.setdefault(old, len(self.numbers) + 1)


def save_estimator(estimator: object, file: Path) -> None:
    """Write a fitted estimator atomically.

    Parameters
    ----------
    estimator : object
        Fitted scikit-learn estimator.
    file : Path
        Where to, ``.skops``.
    """
    with atomic_file(file) as part:
        part.write_bytes(dump_estimator(estimator))


def load_estimator(file: Path) -> Any:  # noqa: ANN401 - any estimator
    """Read a fitted estimator; only classes of Sarcofuse, scikit-learn and NumPy are let in.

    Parameters
    ----------
    file : Path
        From `save_estimator`.

    Returns
    -------
    object
        The estimator, whose risks have the very bits of the one that was saved.

    Raises
    ------
    BundleError
        If the file cannot be read or holds anything else.
    """
    import skops.io

    try:
        content = file.read_bytes()
        unknown = skops.io.get_untrusted_types(data=content)
        foreign = [name for name in unknown if not name.startswith(TRUSTED)]
        if foreign:
            message = f"{file.name} holds {', '.join(foreign[:5])}; only classes of sarcofuse, scikit-learn and numpy are allowed: the file was altered or is of another tool"
            raise BundleError(message)
        return skops.io.loads(content, trusted=unknown)
    except BundleError:
        raise
    except Exception as error:
        message = f"{file.name} cannot be read as a fitted estimator: {error}"
        raise BundleError(message) from error
