"""Bootstrap intervals of many figures at once: percentile, and bias-corrected and accelerated (BCa)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sarcofuse.metrics.roc import Bools, Estimate, Floats, labels

ALONE, GROUPS = 1000, 200  # up to so many patients are left out one by one; of more, so many groups
_DEFINED = 0.95


@dataclass(frozen=True, slots=True, eq=False)
class LeaveOut:
    """What the jackknife of a stratified sample leaves out.

    Attributes
    ----------
    group : ndarray of int, shape (patients,)
        Group of each patient, from 0; a group holds patients of one class.
    stratum : ndarray of int, shape (groups,)
        Class of each group: 1 events, 0 others.
    event : ndarray of bool, shape (patients,)
        Outcome.
    """

    group: NDArray[np.int64]
    stratum: NDArray[np.int64]
    event: Bools

    def weights(self, start: int, stop: int) -> Floats:
        """Weights of the patients with one group after the other left out.

        Parameters
        ----------
        start, stop : int
            Which groups.

        Returns
        -------
        ndarray, shape (stop - start, patients)
            0 for who is left out; the others of the class share the weight, so that the class keeps its size.
        """
        rows = np.ones((stop - start, self.group.size))
        for row, g in enumerate(range(start, stop)):
            mine, gone = self.event == bool(self.stratum[g]), self.group == g
            rows[row, mine] = mine.sum() / max(int(mine.sum() - gone.sum()), 1)
            rows[row, gone] = 0.0
        return rows


def leave_out(y: ArrayLike, alone: int = ALONE, most: int = GROUPS) -> LeaveOut:
    """Plan a jackknife within each class.

    Parameters
    ----------
    y : array-like of 0 and 1, shape (patients,)
        Outcome.
    alone : int
        Up to so many patients each is a group of its own.
    most : int
        Groups of more patients: each class is dealt into groups in proportion, at least two a class.

    Returns
    -------
    LeaveOut
        The groups.
    """
    event = labels(y)
    group, stratum = np.zeros(event.size, dtype=np.int64), list[int]()
    for kind in (1, 0):
        mine = np.flatnonzero(event == bool(kind))
        count = mine.size if event.size <= alone else min(mine.size, max(2, round(most * mine.size / event.size)))
        if count:
            group[mine] = len(stratum) + np.arange(mine.size) % count
        stratum += [kind] * count
    return LeaveOut(group, np.array(stratum, dtype=np.int64), event)


def acceleration(left: ArrayLike, stratum: ArrayLike) -> Floats:
    """Acceleration of BCa from a stratified jackknife [1]_.

    Parameters
    ----------
    left : array-like, shape (groups, figures)
        Each figure with one group left out.
    stratum : array-like, shape (groups,)
        Stratum of each group.

    Returns
    -------
    ndarray, shape (figures,)
        The sum over strata of cubed influences over 6 times the sum of squared ones to the power 3/2; 0 where the jackknife does not move the figure, or where the
        figure is not defined with a group left out.

    References
    ----------
    .. [1] Davison AC, Hinkley DV. Bootstrap methods and their application. Cambridge University Press 1997, section 5.3.
    """
    values, kinds = np.asarray(left, dtype=np.float64), np.asarray(stratum)
    cubes, squares = np.zeros(values.shape[1]), np.zeros(values.shape[1])
    for kind in np.unique(kinds):
        part = values[kinds == kind]
        influence = (len(part) - 1) * (part.mean(axis=0) - part)
        cubes += (influence**3).sum(axis=0) / len(part) ** 3
        squares += (influence**2).sum(axis=0) / len(part) ** 2
    scale = np.abs(values).max(axis=0, initial=0.0) + 1e-300
    moved = np.isfinite(squares) & (squares > (1e-12 * scale) ** 2)
    return np.where(moved, cubes / (6.0 * np.where(moved, squares, 1.0) ** 1.5), 0.0)


def percentile_ends(values: ArrayLike, samples: ArrayLike, confidence: float = 0.95) -> tuple[Floats, Floats]:
    """Percentile intervals of many figures [1]_.

    Parameters
    ----------
    values : array-like, shape (figures,)
        The figures themselves.
    samples : array-like, shape (samples, figures)
        The figures in each bootstrap sample; NaN where undefined.
    confidence : float
        Coverage.

    Returns
    -------
    low, high : ndarray, shape (figures,)
        NaN where a figure is undefined, or is undefined in more than one sample of twenty.

    References
    ----------
    .. [1] Efron B, Tibshirani RJ. An introduction to the bootstrap. Chapman & Hall 1993, chapter 13.
    """
    figures = np.asarray(values, dtype=np.float64)
    low, high = np.full(figures.shape, 0.5 - confidence / 2.0), np.full(figures.shape, 0.5 + confidence / 2.0)
    return _ends(figures, np.asarray(samples, dtype=np.float64), low, high)


def bca_ends(values: ArrayLike, samples: ArrayLike, accelerations: ArrayLike, confidence: float = 0.95) -> tuple[Floats, Floats]:
    """Bias-corrected and accelerated intervals of many figures [1]_.

    Where all samples lie on one side of the figure, or the correction leaves the samples (it asks for a percentile beyond the outermost of them), the interval falls
    back to the percentile interval, widened to hold the figure.

    Parameters
    ----------
    values : array-like, shape (figures,)
        The figures themselves.
    samples : array-like, shape (samples, figures)
        The figures in each bootstrap sample; NaN where undefined. Samples equal to the figure count half on each side.
    accelerations : array-like, shape (figures,)
        From `acceleration`; 0 gives the bias-corrected interval.
    confidence : float
        Coverage.

    Returns
    -------
    low, high : ndarray, shape (figures,)
        NaN where a figure is undefined, or is undefined in more than one sample of twenty.

    References
    ----------
    .. [1] Efron B. Better bootstrap confidence intervals. J Am Stat Assoc 1987;82:171-185.
    """
    from scipy.special import ndtr, ndtri

    figures, drawn, bend = np.asarray(values, dtype=np.float64), np.asarray(samples, dtype=np.float64), np.asarray(accelerations, dtype=np.float64)
    with np.errstate(invalid="ignore"):
        below, equal, defined = (drawn < figures).sum(axis=0), (drawn == figures).sum(axis=0), np.isfinite(drawn).sum(axis=0)
    share = (below + 0.5 * equal) / np.maximum(defined, 1)
    bias = ndtri(np.clip(share, 1e-12, 1.0 - 1e-12))
    ends = []
    for side in (-1.0, 1.0):
        z = bias + side * ndtri(0.5 + confidence / 2.0)
        room = 1.0 - bend * z
        with np.errstate(invalid="ignore", divide="ignore"):
            ends.append(np.where(room > 0, ndtr(bias + z / room), np.nan))
    least = 0.5 / np.maximum(defined, 1)
    with np.errstate(invalid="ignore"):
        sound = (share > 0) & (share < 1) & (ends[0] >= least) & (ends[1] <= 1 - least) & (ends[0] < ends[1])
    low, high = np.where(sound, ends[0], 0.5 - confidence / 2.0), np.where(sound, ends[1], 0.5 + confidence / 2.0)
    bottom, top = _ends(figures, drawn, low, high)
    return np.where(sound, bottom, np.minimum(bottom, figures)), np.where(sound, top, np.maximum(top, figures))


def bca_interval(value: float, samples: ArrayLike, left: ArrayLike, stratum: ArrayLike, confidence: float = 0.95) -> Estimate:
    """Bias-corrected and accelerated interval of one figure, see `bca_ends`.

    Parameters
    ----------
    value : float
        The figure itself.
    samples : array-like, shape (samples,)
        The figure in each bootstrap sample.
    left : array-like, shape (groups,)
        The figure with one group of patients left out.
    stratum : array-like, shape (groups,)
        Class of each group.
    confidence : float
        Coverage.

    Returns
    -------
    Estimate
        The figure and its interval.
    """
    bend = acceleration(np.asarray(left, dtype=np.float64)[:, None], stratum)
    low, high = bca_ends([value], np.asarray(samples, dtype=np.float64)[:, None], bend, confidence)
    return Estimate(float(value), float(low[0]), float(high[0]))


def _ends(values: Floats, samples: Floats, low: Floats, high: Floats) -> tuple[Floats, Floats]:
    """Quantiles, each figure with its own levels, of the samples that are defined (linear between order statistics)."""
    ranked = np.sort(samples, axis=0)  # NaN last
    defined = np.isfinite(samples).sum(axis=0)
    usable = np.isfinite(values) & (defined >= _DEFINED * len(samples)) & (defined > 0)
    found = []
    for level in (low, high):
        place = level * (np.maximum(defined, 1) - 1)
        under = np.floor(place).astype(np.int64)
        over = np.minimum(under + 1, np.maximum(defined, 1) - 1)
        column = np.arange(values.size)
        first, second = ranked[under, column], ranked[over, column]
        with np.errstate(invalid="ignore"):
            found.append(np.where(usable, first + (place - under) * (second - first), np.nan))
    return found[0], found[1]
