"""How far risks lie from the truth: distances to a smooth calibration curve (ICI, E90, Emax), Hosmer and Lemeshow's test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from sarcofuse.metrics.roc import Floats, pair

Smoother = Literal["lowess", "loess"]
_SPAN: dict[Smoother, tuple[float, int]] = {"lowess": (2.0 / 3.0, 1), "loess": (0.75, 2)}


@dataclass(frozen=True, slots=True, eq=False)
class CalibrationErrors:
    """Distances of the risks from a smooth calibration curve, one a (bootstrap) sample.

    Attributes
    ----------
    ici : ndarray, shape (samples,)
        Mean distance over the patients (integrated calibration index, Eavg).
    e90 : ndarray, shape (samples,)
        90th percentile of the distance.
    emax : ndarray, shape (samples,)
        Largest distance.
    """

    ici: Floats
    e90: Floats
    emax: Floats


@dataclass(frozen=True, slots=True)
class GoodnessTest:
    """A test of goodness of fit.

    Attributes
    ----------
    statistic : float
        Chi-squared.
    freedom : int
        Degrees of freedom.
    p : float
        P-value; small where risks and outcomes disagree.
    groups : int
        Groups of patients.
    """

    statistic: float
    freedom: int
    p: float
    groups: int


def calibration_errors(y: ArrayLike, risk: ArrayLike, counts: Floats | None = None, *, smoother: Smoother = "lowess", places: int | None = None) -> CalibrationErrors:
    """Distances of risks from the smooth calibration curve [1]_.

    Parameters
    ----------
    y : array-like of 0 and 1, shape (patients,)
        Outcome.
    risk : array-like, shape (patients,)
        Risks.
    counts : ndarray, shape (samples, patients), optional
        How often each patient stands in each (bootstrap) sample; by default one sample with everybody once. The curve is drawn anew in each.
    smoother : {'lowess', 'loess'}
        ``lowess``: local lines over two thirds of the patients, as val.prob of R's rms draws them; ``loess``: local parabolas over three quarters, as
        CalibrationCurves and [1]_ do. Neither takes robustness steps.
    places : int, optional
        Places, evenly over the range of the risks, at which the curve is fitted; straight lines between them. By default it is fitted at every risk.

    Returns
    -------
    CalibrationErrors
        NaN with one class, or a risk that is not a number. Where all risks are alike the curve is the share of events.

    References
    ----------
    .. [1] Austin PC, Steyerberg EW. The Integrated Calibration Index (ICI) and related metrics for quantifying the calibration of logistic regression models. Stat Med
       2019;38:4051-4065.
    """
    from sarcofuse.metrics.smooth import distances, weighted_quantiles

    event, values = pair(y, risk)
    weight = np.ones((1, event.size)) if counts is None else np.asarray(counts, dtype=np.float64)
    if event.all() or not event.any() or np.isnan(values).any():
        none = np.full(len(weight), np.nan)
        return CalibrationErrors(none, none, none)
    order = np.argsort(values, kind="stable")
    x = values[order]
    levels = np.unique(x)
    at = levels if places is None or levels.size <= places else np.linspace(levels[0], levels[-1], places)
    span, degree = _SPAN[smoother]
    w = np.ascontiguousarray(weight[:, order])
    away = distances(x, event[order].astype(np.float64), w, at, span, degree)
    total = w.sum(axis=1)
    return CalibrationErrors((w * away).sum(axis=1) / total, weighted_quantiles(away, w, 0.9), np.where(w > 0, away, 0.0).max(axis=1))


def hosmer_lemeshow(y: ArrayLike, risk: ArrayLike, groups: int = 10, *, fitted: bool = False) -> GoodnessTest:
    """Hosmer and Lemeshow's test over groups of patients by quantiles of risk [1]_.

    It says little of how far risks are off: with many patients it rejects good models, with few it passes poor ones.

    Parameters
    ----------
    y : array-like of 0 and 1, shape (patients,)
        Outcome.
    risk : array-like, shape (patients,)
        Risks.
    groups : int
        Most groups; patients of equal risk share one, as R's ResourceSelection makes them.
    fitted : bool
        Whether the risks were fitted to these outcomes: 2 degrees of freedom fewer.

    Returns
    -------
    GoodnessTest
        Degrees of freedom are the groups, less 2 with `fitted`. NaN with one class or fewer than 3 groups; infinite where a group whose risks are all 0 has an event, or
        one whose risks are all 1 has none.

    References
    ----------
    .. [1] Hosmer DW, Lemeshow S. Goodness of fit tests for the multiple logistic regression model. Commun Stat Theory Methods 1980;9:1043-1069.
    """
    from scipy.special import chdtrc

    event, values = pair(y, risk)
    if event.all() or not event.any() or np.isnan(values).any():
        return GoodnessTest(float("nan"), 0, float("nan"), 0)
    edges = np.unique(np.quantile(values, np.arange(groups + 1) / groups))
    member = np.clip(np.searchsorted(edges, values, side="left") - 1, 0, None)
    _, inverse = np.unique(member, return_inverse=True)
    size, hits, expected = np.bincount(inverse), np.bincount(inverse, event), np.bincount(inverse, values)
    freedom = size.size - (2 if fitted else 0)
    if size.size < 3:
        return GoodnessTest(float("nan"), freedom, float("nan"), int(size.size))
    spread, gap = expected * (1.0 - expected / size), (hits - expected) ** 2
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = float(np.where(gap > 1e-12, gap / spread, 0.0).sum())
    return GoodnessTest(statistic, freedom, float(chdtrc(freedom, statistic)), int(size.size))
