"""A second look at NIfTI files: SimpleITK fills a truncated one with zeros, and turns NaN and infinities into zeros, without a word.

Headers are those of the NIfTI-1.1 and NIfTI-2 standards (nifti1.h, nifti2.h).
"""

from __future__ import annotations

import math
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

HEAD = 352  # bytes before the voxels of a NIfTI-1 file without extensions
_FLOATS = {16: "f4", 64: "f8"}
_KINDS = {2: "u1", 4: "i2", 8: "i4", 256: "i1", 512: "u2", 768: "u4", **_FLOATS}


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """What a NIfTI file really holds.

    Attributes
    ----------
    damage : str or None
        What is missing or broken.
    voxels : int
        Values that the header announces.
    odd : int
        Those of them that are NaN or infinite.
    head : bytes
        The header, where `values` are given.
    values : ndarray, shape (voxels,), or None
        The voxels, x first, where they mean what they are: a whole file of NIfTI-1, without scaling.
    """

    damage: str | None = None
    voxels: int = 0
    odd: int = 0
    head: bytes = b""
    values: NDArray[Any] | None = None


def look(file: Path) -> Look:
    """Read a NIfTI file through, and count what SimpleITK would hide.

    Parameters
    ----------
    file : Path
        Any image; one that is not named as NIfTI is passed over.

    Returns
    -------
    Look
        What was found.
    """
    if not file.name.lower().endswith((".nii", ".nii.gz")):
        return Look()
    content: bytes | bytearray = bytearray()
    try:
        content = file.read_bytes()
        if content[:2] == b"\x1f\x8b":
            packed, content = content, bytearray()
            _unpack(packed, content)
    except (zlib.error, EOFError, OSError) as problem:
        return Look(f"its compressed data end or break after {len(content)} bytes ({problem})")
    header = _header(bytes(content[:540]))
    if header is None:
        return Look()
    order, version, kind, bits, offset, voxels = header
    if version == 2:
        return Look("it is NIfTI-2, which is not read; save it as NIfTI-1")
    wanted = offset + voxels * bits // 8
    if len(content) < wanted:
        return Look(f"{len(content)} bytes of the {wanted} that its header announces", voxels)
    if kind not in _KINDS:
        return Look(None, voxels)
    values = np.frombuffer(content, dtype=order + _KINDS[kind], count=voxels, offset=offset)
    odd = voxels - int(np.count_nonzero(np.isfinite(values))) if kind in _FLOATS else 0
    return Look(None, voxels, odd, bytes(content[:HEAD]), values) if _is_plain(bytes(content[:HEAD]), order) else Look(None, voxels, odd)


def _is_plain(head: bytes, order: str) -> bool:
    """Say whether voxels lie behind the header in one file and need no scaling; a scale that is 0 or no number stands for none, as in the standard's own library."""
    slope, shift = (f if math.isfinite(f) else 0.0 for f in struct.unpack_from(order + "2f", head, 112))
    return head[344:348] == b"n+1\0" and slope in (0.0, 1.0) and shift == 0.0


def _unpack(packed: bytes, content: bytearray) -> None:
    """Unpack gzip members one after another, each at once: twice as fast as `gzip`, which goes by small blocks."""
    while packed[:2] == b"\x1f\x8b":
        member = zlib.decompressobj(wbits=31)
        block = member.decompress(packed)
        content += block
        if not member.eof:
            message = "compressed file ended before the end-of-stream marker was reached"
            raise EOFError(message)
        packed = member.unused_data.lstrip(b"\0")


def _header(head: bytes) -> tuple[str, int, int, int, int, int] | None:
    """Give byte order, version, data type, bits a voxel, offset of the data and number of voxels; None for a header that is not NIfTI."""
    for order in "<>":
        if len(head) < 348:
            return None
        (size,) = struct.unpack_from(order + "i", head, 0)
        if size == 348:
            dims, (kind, bits), (offset,) = struct.unpack_from(order + "8h", head, 40), struct.unpack_from(order + "2h", head, 70), struct.unpack_from(order + "f", head, 108)
            version = 1
        elif size == 540 and len(head) >= 540:
            dims, (kind, bits), (offset,) = struct.unpack_from(order + "8q", head, 16), struct.unpack_from(order + "2h", head, 12), struct.unpack_from(order + "q", head, 168)
            version = 2
        else:
            continue
        voxels = 1
        for count in dims[1 : 1 + max(0, min(7, dims[0]))]:
            voxels *= max(1, int(count))
        return order, version, int(kind), int(bits), int(offset), voxels
    return None
