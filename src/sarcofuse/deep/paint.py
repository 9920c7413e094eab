"""Maps as pictures: what the network saw, and on it where the risk comes from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

UP, DOWN, OUTLINE = (213, 94, 0), (0, 114, 178), (255, 255, 255)  # vermillion, blue: told apart by colour-blind readers
STRONGEST = 0.75  # part of a pixel's colour that the strongest value takes
PLANES, SMALL = 9, 96  # planes of a box that are shown and pictures of a strip, and the fewest pixels of a picture's side


def paint(seen: NDArray[np.uint8], maps: Sequence[NDArray[np.float64]], tumour: Sequence[NDArray[np.float32]]) -> NDArray[np.uint8]:
    """Paint pictures side by side: above what the network saw, with the tumour's outline; below it the map, orange where it raises the risk and blue where it lowers it.

    Parameters
    ----------
    seen : ndarray of uint8, shape (pictures, rows, columns)
        What the network saw; of a box its planes.
    maps : sequence of ndarray
        A map a picture, or one of shape (planes, rows, columns).
    tumour : sequence of ndarray
        Share of each pixel that is tumour.

    Returns
    -------
    ndarray of uint8, shape (2 * rows, pictures * columns, 3)
        More than nine pictures go on in further such strips below.
        Full colour is the 99.5th percentile of the absolute map over all pictures. Of a box up to nine planes that hold tumour; small pictures are shown larger, each pixel as a square.
    """
    values, regions, shown = list(maps), list(tumour), list(seen)
    if values[0].ndim == 3:
        there = np.flatnonzero(regions[0].any(axis=(1, 2)))
        chosen = sorted({int(k) for k in there[np.linspace(0, len(there) - 1, min(PLANES, len(there))).round().astype(int)]})
        values, regions, shown = ([part[k] for k in chosen] for part in (values[0], regions[0], seen))
    size = float(np.percentile(np.abs(np.stack(values)), 99.5)) or float(np.abs(np.stack(values)).max()) or 1.0
    columns = []
    for own, region, grey in zip(values, regions, shown, strict=True):
        plain = np.repeat(grey[..., None].astype(np.float64), 3, axis=2)
        share = np.clip(np.abs(own) / size, 0.0, 1.0)[..., None] * STRONGEST
        colour = np.where((own > 0)[..., None], np.array(UP), np.array(DOWN))
        painted = (1.0 - share) * plain + share * colour
        edge = _outline(region)
        plain[edge] = OUTLINE
        columns.append(np.concatenate([plain, painted]))
    gap = np.zeros_like(columns[0])
    strips = [columns[at : at + PLANES] for at in range(0, len(columns), PLANES)]
    strips[1:] = [s + [gap] * (PLANES - len(s)) for s in strips[1:]]
    page = np.rint(np.concatenate([np.concatenate(s, axis=1) for s in strips])).astype(np.uint8)
    times = max(1, -(-SMALL // shown[0].shape[0]))
    return np.ascontiguousarray(np.repeat(np.repeat(page, times, axis=0), times, axis=1))


def _outline(region: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Give the pixels of a region that touch its outside."""
    inside = np.pad(region >= min(0.5, float(region.max()) or 1.0), 1)
    core = inside[1:-1, 1:-1] & inside[:-2, 1:-1] & inside[2:, 1:-1] & inside[1:-1, :-2] & inside[1:-1, 2:]
    found: NDArray[np.bool_] = inside[1:-1, 1:-1] & ~core
    return found
