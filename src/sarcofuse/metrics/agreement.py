"""Agreement of two ways of measuring the same thing, by Bland and Altman."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from sarcofuse.metrics.roc import Estimate


@dataclass(frozen=True, slots=True)
class Agreement:
    """Bias and limits of agreement.

    Attributes
    ----------
    pairs : int
        Pairs of measurements.
    bias : Estimate
        Mean difference, with its interval.
    deviation : float
        Standard deviation of the differences.
    lower, upper : Estimate
        Limits of agreement, within which a share of the differences is expected to lie, each with its interval.
    """

    pairs: int
    bias: Estimate
    deviation: float
    lower: Estimate
    upper: Estimate


def bland_altman(first: ArrayLike, second: ArrayLike, confidence: float = 0.95) -> Agreement:
    """Give bias and limits of agreement of paired measurements [1]_ with the intervals that normal differences have [2]_.

    The limits lie z deviations from the bias (1.96 at 95 %); the variance of a limit is ``s**2 * (1 / n + z**2 / (2 * (n - 1)))``; intervals are by Student's t with n - 1 degrees
    of freedom.

    Parameters
    ----------
    first, second : array-like, shape (pairs,)
        Measurements of the same things; the difference is the first less the second.
    confidence : float
        Share of the differences that lies within the limits, and coverage of the intervals.

    Returns
    -------
    Agreement
        Deviation, limits and intervals are NaN of a single pair; all is NaN of none.

    Raises
    ------
    ValueError
        If the lengths differ.

    References
    ----------
    .. [1] Bland JM, Altman DG. Statistical methods for assessing agreement between two methods of clinical measurement. Lancet 1986;327(8476):307-310.
    .. [2] Bland JM, Altman DG. Measuring agreement in method comparison studies. Stat Methods Med Res 1999;8(2):135-160.

    Examples
    --------
    >>> found = bland_altman([2.0, 4.0, 6.0], [1.0, 4.0, 4.0])
    >>> found.bias.value, found.deviation
    (1.0, 1.0)
    """
    from scipy.special import ndtri, stdtrit

    one, other = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if one.shape != other.shape or one.ndim != 1:
        message = f"measurements of shape {one.shape} and {other.shape} are not paired; expected two of one length"
        raise ValueError(message)
    nan, n = float("nan"), one.size
    if n < 2:
        bias = float(one[0] - other[0]) if n else nan
        return Agreement(n, Estimate(bias, nan, nan), nan, Estimate(nan, nan, nan), Estimate(nan, nan, nan))
    gap = one - other
    mean, deviation = float(gap.mean()), float(gap.std(ddof=1))
    z, t = float(ndtri(0.5 + confidence / 2)), float(stdtrit(n - 1, 0.5 + confidence / 2))
    half, wide = t * deviation / np.sqrt(n), t * deviation * np.sqrt(1.0 / n + z**2 / (2.0 * (n - 1)))
    low, high = mean - z * deviation, mean + z * deviation
    return Agreement(n, _within(mean, half), deviation, _within(low, wide), _within(high, wide))


def _within(value: float, half: float) -> Estimate:
    return Estimate(value, float(value - half), float(value + half))
