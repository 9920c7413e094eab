"""Do risks mean what they say: Brier score, calibration line, binned and smooth calibration curves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from sarcofuse.metrics.operating import wilson_interval
from sarcofuse.metrics.roc import Floats, pair

CLIP = 1e-6
_STEPS = 40


@dataclass(frozen=True, slots=True, eq=False)
class CalibrationCurve:
    """Observed against predicted risk.

    Attributes
    ----------
    predicted, observed : ndarray, shape (bins,)
        Mean risk and share of events in each bin.
    low, high : ndarray, shape (bins,)
        Wilson's interval of the share.
    smooth_x, smooth_y : ndarray, shape (points,)
        Smooth curve.
    """

    predicted: Floats
    observed: Floats
    low: Floats
    high: Floats
    smooth_x: Floats
    smooth_y: Floats


def logit(risk: ArrayLike) -> Floats:
    """Log-odds of risks, which are first held within 1e-6 and 1 - 1e-6.

    Parameters
    ----------
    risk : array-like
        Risks, 0 to 1.

    Returns
    -------
    ndarray
        Log-odds.
    """
    held = np.clip(np.asarray(risk, dtype=np.float64), CLIP, 1.0 - CLIP)
    odds: Floats = np.log(held) - np.log1p(-held)
    return odds


def brier(y: ArrayLike, risk: ArrayLike, counts: Floats | None = None) -> Floats:
    """Mean squared distance of risk and outcome [1]_.

    Parameters
    ----------
    y : array-like of 0 and 1, shape (patients,)
        Outcome.
    risk : array-like, shape (patients,)
        Risks.
    counts : ndarray, shape (samples, patients), optional
        How often each patient stands in each (bootstrap) sample; by default one sample with everybody once.

    Returns
    -------
    ndarray, shape (samples,)
        Brier scores; NaN without patients.

    References
    ----------
    .. [1] Brier GW. Verification of forecasts expressed in terms of probability. Monthly Weather Review 1950;78:1-3.
    """
    event, values = pair(y, risk)
    if not event.size:
        return np.full(1 if counts is None else len(counts), np.nan)
    error = (values - event) ** 2
    weight = np.ones((1, event.size)) if counts is None else counts
    scores: Floats = (weight * error).sum(axis=1) / weight.sum(axis=1)
    return scores


def calibration_line(y: ArrayLike, risk: ArrayLike, counts: Floats | None = None) -> tuple[Floats, Floats]:
    """Calibration slope and intercept (calibration in the large).

    The slope is that of a logistic regression of the outcome on the log-odds of the risk; the intercept is that of one whose slope is held at 1 [1]_. Perfect are 1 and 0.

    Parameters
    ----------
    y : array-like of 0 and 1, shape (patients,)
        Outcome.
    risk : array-like, shape (patients,)
        Risks.
    counts : ndarray, shape (samples, patients), optional
        How often each patient stands in each (bootstrap) sample; by default one sample with everybody once.

    Returns
    -------
    slope, intercept : ndarray, shape (samples,)
        NaN with one class; the slope also where all risks are alike, or where they separate the classes and it would be infinite.

    References
    ----------
    .. [1] Van Calster B, McLernon DJ, van Smeden M, Wynants L, Steyerberg EW. Calibration: the Achilles heel of predictive analytics. BMC Med 2019;17:230.
    """
    event, values = pair(y, risk)
    weight = np.ones((1, event.size)) if counts is None else np.asarray(counts, dtype=np.float64)
    if event.all() or not event.any() or np.isnan(values).any():
        return np.full(len(weight), np.nan), np.full(len(weight), np.nan)
    x, outcome = logit(values), event.astype(np.float64)
    start = float(_slope(x, outcome, np.ones((1, event.size)))[0]) if len(weight) > 1 else 0.0
    return _slope(x, outcome, weight, start if np.isfinite(start) else 0.0), _offset(x, outcome, weight)


def _slope(x: Floats, outcome: Floats, weight: Floats, start: float = 0.0) -> Floats:
    """Newton's method for outcome ~ a + b x in every sample at once, from a slope not far from theirs."""
    from scipy.special import expit

    spread = float(x.std())
    if spread < 1e-9:
        return np.full(len(weight), np.nan)
    scaled = (x - x.mean()) / spread
    share = (weight * outcome).sum(axis=1) / weight.sum(axis=1)
    solution = np.full(len(weight), np.nan)
    todo = np.flatnonzero((share > 0) & (share < 1))
    a, b = np.log(share[todo] / (1 - share[todo])), np.full(todo.size, start * spread)
    for _ in range(_STEPS):
        w = weight[todo]
        p = expit(a[:, None] + b[:, None] * scaled)
        residual, curve = w * (outcome - p), w * p * (1 - p)
        g0, g1 = residual.sum(axis=1), (residual * scaled).sum(axis=1)
        h00, h01, h11 = curve.sum(axis=1), (curve * scaled).sum(axis=1), (curve * scaled**2).sum(axis=1)
        determinant = h00 * h11 - h01**2
        sound = determinant > 1e-9 * np.maximum(h00, 1e-9) ** 2
        safe = np.where(sound, determinant, 1.0)
        da, db = (h11 * g0 - h01 * g1) / safe, (h00 * g1 - h01 * g0) / safe
        brake = np.minimum(1.0, 3.0 / np.maximum(np.maximum(np.abs(da), np.abs(db)), 1e-12))
        a, b = a + brake * da, b + brake * db
        settled = sound & (np.maximum(np.abs(da), np.abs(db)) < 1e-10)
        solution[todo[settled]] = b[settled] / spread
        going = sound & ~settled & (np.abs(b) < 1e3)
        todo, a, b = todo[going], a[going], b[going]
        if not todo.size:
            break
    return solution


def _offset(x: Floats, outcome: Floats, weight: Floats) -> Floats:
    """Newton's method for outcome ~ a + 1 x in every sample at once."""
    from scipy.special import expit

    share = (weight * outcome).sum(axis=1) / weight.sum(axis=1)
    valid = (share > 0) & (share < 1)
    a = np.zeros(len(weight))
    for _ in range(_STEPS):
        p = expit(a[:, None] + x)
        step = (weight * (outcome - p)).sum(axis=1) / np.maximum((weight * p * (1 - p)).sum(axis=1), 1e-12)
        a = np.where(valid, a + np.clip(step, -2.0, 2.0), 0.0)
        if not valid.any() or float(np.abs(step[valid]).max()) < 1e-10:
            break
    return np.where(valid, a, np.nan)


def lowess(x: ArrayLike, y: ArrayLike, at: ArrayLike, span: float = 2.0 / 3.0) -> Floats:
    """Locally weighted straight lines (Cleveland's lowess without robustness steps, which would take rare events for outliers).

    Parameters
    ----------
    x, y : array-like, shape (n,)
        Points.
    at : array-like, shape (m,)
        Where to evaluate.
    span : float
        Share of the points that each line rests on, tricube weights within their distance [1]_.

    Returns
    -------
    ndarray, shape (m,)
        Smoothed values; a local mean where the neighbours' x are all alike.

    References
    ----------
    .. [1] Cleveland WS. Robust locally weighted regression and smoothing scatterplots. J Am Stat Assoc 1979;74:829-836.
    """
    points, values, places = (np.asarray(v, dtype=np.float64) for v in (x, y, at))
    if not points.size:
        return np.full(places.shape, np.nan)
    near = min(points.size, max(2, int(span * points.size + 1e-10)))
    distance = np.abs(points[None, :] - places[:, None])
    reach = np.sort(distance, axis=1)[:, near - 1 : near]
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = np.where(reach > 0, distance / reach, np.where(distance > 0, 2.0, 0.0))
    weight = np.where(relative < 1.0, (1.0 - np.minimum(relative, 1.0) ** 3) ** 3, 0.0)
    weight = np.where(weight.sum(axis=1, keepdims=True) > 0, weight, (relative <= 1.0).astype(np.float64))
    weight /= weight.sum(axis=1, keepdims=True)
    mean_x, mean_y = (weight * points).sum(axis=1), (weight * values).sum(axis=1)
    off = points - mean_x[:, None]
    spread = (weight * off**2).sum(axis=1)
    tilt = (weight * off * values).sum(axis=1) / np.where(spread > 0, spread, 1.0)
    width = float(points.max() - points.min())
    smoothed: Floats = np.where(np.sqrt(spread) > max(1e-3 * width, 1e-12), mean_y + tilt * (places - mean_x), mean_y)
    return smoothed


def calibration_curve(y: ArrayLike, risk: ArrayLike, *, bins: int = 10, points: int = 50, confidence: float = 0.95) -> CalibrationCurve:
    """Observed against predicted risk, in bins of equal numbers of patients and as a smooth curve.

    Parameters
    ----------
    y : array-like of 0 and 1, shape (patients,)
        Outcome.
    risk : array-like, shape (patients,)
        Risks.
    bins : int
        Most bins; fewer where a bin would hold fewer than 5 patients. Patients of equal risk share a bin.
    points : int
        Points of the smooth curve, evenly over the observed risks.
    confidence : float
        Coverage of the bins' intervals.

    Returns
    -------
    CalibrationCurve
        Empty without patients.
    """
    event, values = pair(y, risk)
    if not event.size:
        none = np.empty(0)
        return CalibrationCurve(none, none, none, none, none, none)
    count = max(1, min(bins, event.size // 5))
    levels = np.unique(np.quantile(values, np.arange(1, count) / count, method="inverted_cdf"))
    member = np.searchsorted(levels, values, side="left")
    groups = [member == g for g in np.unique(member)]
    shares = [wilson_interval(float(event[g].mean()), int(g.sum()), confidence) for g in groups]
    smooth_x = np.linspace(values.min(), values.max(), points) if values.max() > values.min() else values[:1]
    smooth_y = np.clip(lowess(values, event, smooth_x), 0.0, 1.0)
    predicted = np.array([float(values[g].mean()) for g in groups])
    return CalibrationCurve(predicted, np.array([s.value for s in shares]), np.array([s.low for s in shares]), np.array([s.high for s in shares]), smooth_x, smooth_y)


def integrated_calibration_index(y: ArrayLike, risk: ArrayLike) -> float:
    """Mean distance of risk and smooth calibration curve over the patients [1]_.

    Parameters
    ----------
    y : array-like of 0 and 1, shape (patients,)
        Outcome.
    risk : array-like, shape (patients,)
        Risks.

    Returns
    -------
    float
        0 is perfect; NaN without patients.

    References
    ----------
    .. [1] Austin PC, Steyerberg EW. The Integrated Calibration Index (ICI) and related metrics. Stat Med 2019;38:4051-4065.
    """
    event, values = pair(y, risk)
    return float(np.abs(np.clip(lowess(values, event, values), 0.0, 1.0) - values).mean()) if event.size else float("nan")
