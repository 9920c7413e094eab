"""Undecimated wavelet transform with a periodic boundary, of a part of an image, equal to PyWavelets' over the whole to the last bit.

Every level filters the approximation of the one before along x, y and z with the wavelet's low- and high-pass filter, without leaving out voxels [1]_. Arithmetic
is in the image's own precision, and products are added in PyWavelets' order, as in single precision another order would move voxels across bin edges.

References
----------
.. [1] Lee GR et al. PyWavelets: a Python package for wavelet analysis. J Open Source Softw 2019;4:1237.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pywt
from numpy.typing import NDArray

from sarcofuse.radiomics.compiled import compiled
from sarcofuse.radiomics.prepare import Box

Numbers = NDArray[np.floating[Any]]
Places = NDArray[np.int64]

U = np.uint64
AT_ONCE = 1024  # results that are added up in the nearest cache


def sub_bands(image: NDArray[np.generic], box: Box, name: str, levels: range, flat: int | None) -> Iterator[Numbers]:
    """Compute the sub-bands of several levels within a box.

    Parameters
    ----------
    image : ndarray, shape (z, y, x)
        The whole image; an axis of odd length is continued by its first voxel.
    box : tuple of slice
        Which part is wanted.
    name : str
        PyWavelets' name of a discrete wavelet.
    levels : range
        Levels whose details are wanted, from 0.
    flat : int or None
        Axis along which not to filter.

    Yields
    ------
    ndarray of float32 or float64, shape of the box
        For every level the details, low- before high-pass along x, then y, then z; after the last level its approximation. Single precision for images of float32.
    """
    wavelet = pywt.Wavelet(name)
    size = wavelet.dec_len
    axes = tuple(a for a in (2, 1, 0) if a != flat)
    margin = [size * levels.stop if a in axes else 0 for a in range(3)]
    places = [np.arange(s.start - m, s.stop + m) % (n + n % 2) for s, m, n in zip(box, margin, image.shape, strict=True)]
    kind = np.float32 if image.dtype == np.float32 else np.float64
    data: Numbers = np.ascontiguousarray(image[np.ix_(*(np.where(p < n, p, 0) for p, n in zip(places, image.shape, strict=True)))], dtype=kind)
    turned = [np.maximum(p + size // 2 + 1 - n - n % 2, 0) for p, n in zip(places, image.shape, strict=True)]
    filters = _taps(wavelet, kind)
    for level in range(levels.stop):
        rest = size * (levels.stop - 1 - level)
        first = [size if a in axes else 0 for a in range(3)]
        kept = [len(t) - 2 * f for t, f in zip(turned, first, strict=True)]
        own = [t[f : f + k] for t, f, k in zip(turned, first, kept, strict=True)]
        inner = tuple(slice(rest, k - rest) if a in axes else slice(None) for a, k in enumerate(kept))
        found = _split(data, axes, filters, own)
        approximation = next(found)
        for band in found if level in levels else ():
            yield band[inner]
        data, turned = approximation, own
    yield data


def _taps(wavelet: pywt.Wavelet, kind: type[np.floating[Any]]) -> list[Numbers]:
    """Give the low- and high-pass filter as PyWavelets holds them: in single precision they are not its doubles rounded."""
    size = wavelet.dec_len
    unit = np.zeros(4 * size, kind)
    unit[size] = 1
    return [np.ascontiguousarray(f[size - size // 2 : 2 * size - size // 2]) for f in pywt.swt(unit, wavelet, level=1)[0]]


def _split(values: Numbers, axes: tuple[int, ...], filters: list[Numbers], turned: list[Places]) -> Iterator[Numbers]:
    """Filter along the axes in turn, low before high."""
    if not axes:
        yield values
        return
    axis = axes[0]
    for taps in filters:
        yield from _split(_filter(values, axis, taps, turned[axis]), axes[1:], filters, turned)


def _filter(values: Numbers, axis: int, taps: Numbers, turned: Places) -> Numbers:
    """Filter along an axis; as many voxels as the filter is long are given up at either end."""
    shape = values.shape
    before, lanes = int(np.prod(shape[:axis])), int(np.prod(shape[axis + 1 :]))
    found = np.empty((*shape[:axis], len(turned), *shape[axis + 1 :]), values.dtype)
    _convolve(values.reshape(before, -1), taps, turned, lanes, found.reshape(before, -1))
    return found


@compiled
def _convolve(values: Numbers, taps: Numbers, turned: Places, lanes: int, found: Numbers) -> None:
    """Add up ``taps[j] * values[k + centre - j]`` for j rising; in the last rows of the image PyWavelets takes the first few j falling."""
    size, many = len(taps), found.shape[1]
    centre = (size + size // 2) * lanes
    for a in range(found.shape[0]):
        row, into = values[a], found[a]
        for start in range(0, many, AT_ONCE):
            total = into[start : min(start + AT_ONCE, many)]
            for k in range(len(total)):
                total[k] = 0
            for j in range(size):
                part, tap = row[start + centre - j * lanes : start + centre - j * lanes + len(total)], taps[j]
                for k in range(len(total)):
                    total[k] += tap * part[k]
        for i in range(len(turned)):
            if turned[i] > 0:
                for k in range(i * lanes, (i + 1) * lanes):
                    into[k] = 0
                    for j in range(size):
                        place = turned[i] - 1 - j if j < turned[i] else j
                        into[k] += taps[place] * row[k + centre - place * lanes]
