"""What is said of a map: how much of it lies in the tumour, in which slices, and how alike it is to that of shuffled weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sarcofuse.deep.cam import Method
from sarcofuse.deep.paint import paint
from sarcofuse.deep.shown import Shown
from sarcofuse.records import Geometry, Volume

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Why:
    """Where the risk of one patient comes from.

    Attributes
    ----------
    risk, base : float
        Linear predictor, and its value at the formula's centre; of networks that learnt the outcome the deep signature, and its value for slices like the mean one.
    map : Volume
        On the image's grid; but for ``gradcam`` in units of the risk, adding up to ``risk - base`` less what lies beyond the image.
    pictures : tuple of dict
        For each picture (a box counts as one): ``axis`` and ``slice`` where it was cut, its ``share`` (sum of the map), ``inside`` (part of the positive map in the tumour),
        ``area`` (part of the picture that is tumour) and ``hit`` (whether the largest value lies in the tumour); ``attention``, where a head weighs slices.
    agreement : dict
        ``inside``, ``area`` and ``hits`` over all pictures.
    beyond : float or None
        What of the map lies where a picture reaches beyond the image, and is therefore not in `map`; None for ``gradcam``.
    sanity : float or None
        Spearman's correlation between this map and that of the same network with its weights shuffled [1]_; None where that cannot be had.
    painted : ndarray of uint8, shape (rows, columns, 3)
        What the network saw, above, and the map on it.
    method : {'exact', 'integrated', 'gradcam'}
        How the map was made.
    networks : int or None
        Networks that learnt the outcome, of which the map is the mean; None for a frozen one.

    References
    ----------
    .. [1] Adebayo J et al. Sanity checks for saliency maps. NeurIPS 2018.
    """

    risk: float
    base: float
    map: Volume
    pictures: tuple[dict[str, Any], ...]
    agreement: dict[str, float | None]
    beyond: float | None
    sanity: float | None
    painted: NDArray[np.uint8]
    method: Method = "exact"
    networks: int | None = None

    def record(self) -> dict[str, Any]:
        """Give the figures, without map and picture.

        Returns
        -------
        dict
            Plain content.
        """
        kept = ("risk", "base", "method", "agreement", "beyond", "sanity")
        own = {} if self.networks is None else {"networks": self.networks}
        return {name: getattr(self, name) for name in kept} | own | {"pictures": list(self.pictures)}


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """A map before it is judged.

    Attributes
    ----------
    risk, base : float
        As of `Why`.
    maps : list of ndarray of float64
        A map a picture, pixel by pixel.
    attention : ndarray of float64, shape (pictures,), or None
        Share of each picture in the decision, where a head says.
    """

    risk: float
    base: float
    maps: list[Floats]
    attention: Floats | None = None


def judge(drawn: Drawn, other: Drawn | None, shown: Shown, grid: Geometry, method: Method, networks: int | None = None) -> Why:
    """Put a map on the image's grid and say what is to be said of it.

    Parameters
    ----------
    drawn : Drawn
        The map.
    other : Drawn or None
        That of shuffled weights.
    shown : Shown
        What the network was shown.
    grid : Geometry
        The image's grid.
    method : {'exact', 'integrated', 'gradcam'}
        How the map was made.
    networks : int, optional
        Networks that learnt the outcome, of which it is the mean.

    Returns
    -------
    Why
        Map and figures.
    """
    maps, whole = drawn.maps, method != "gradcam"
    pictures = [_picture(m, t, w) for m, t, w in zip(maps, shown.tumour, shown.where, strict=True)]
    if drawn.attention is not None:
        pictures = [p | {"attention": float(a)} for p, a in zip(pictures, drawn.attention, strict=True)]
    placed = shown.to_grid(maps, whole)
    return Why(
        risk=drawn.risk,
        base=drawn.base,
        map=Volume(placed.astype(np.float32), grid),
        pictures=tuple(pictures),
        agreement=_agreement(maps, shown.tumour, pictures),
        beyond=sum(float(m.sum()) for m in maps) - float(placed.sum()) if whole else None,
        sanity=None if other is None else alike(maps, other.maps),
        painted=paint(shown.seen, maps, shown.tumour),
        method=method,
        networks=networks,
    )


def alike(first: Sequence[Floats], second: Sequence[Floats]) -> float | None:
    """Give Spearman's correlation of two maps over the pixels where either has a value.

    Parameters
    ----------
    first, second : sequence of ndarray
        A map a picture.

    Returns
    -------
    float or None
        None where either is constant there, or not finite.
    """
    from scipy.stats import rankdata

    x, y = (np.concatenate([m.ravel() for m in maps]) for maps in (first, second))
    if not np.isfinite(y).all():
        return None
    used = (x != 0) | (y != 0)
    x, y = (rankdata(v[used]) for v in (x, y))
    if x.size < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    return float(np.corrcoef(x, y)[0, 1])


def _picture(values: Floats, tumour: NDArray[np.float32], where: tuple[int | None, int | None]) -> dict[str, Any]:
    positive = np.maximum(values, 0.0)
    total, peak = float(positive.sum()), np.unravel_index(int(np.argmax(values)), values.shape)
    inside = float((positive * tumour).sum()) / total if total > 0 else None
    hit = bool(tumour[peak] >= min(0.5, float(tumour.max()))) and tumour[peak] > 0 if total > 0 else None
    return {"axis": where[0], "slice": where[1], "share": float(values.sum()), "inside": inside, "area": float(tumour.mean(dtype=np.float64)), "hit": None if hit is None else bool(hit)}


def _agreement(maps: Sequence[Floats], tumours: Sequence[NDArray[np.float32]], pictures: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    positive = [np.maximum(m, 0.0) for m in maps]
    total, known = sum(float(p.sum()) for p in positive), [p["hit"] for p in pictures if p["hit"] is not None]
    inside = sum(float((p * t).sum()) for p, t in zip(positive, tumours, strict=True))
    area = float(np.mean([t.mean(dtype=np.float64) for t in tumours]))
    return {"inside": inside / total if total > 0 else None, "area": area, "hits": float(np.mean(known)) if known else None}
