"""What one risk adds to another: net reclassification (NRI), integrated discrimination (IDI), and the AUC that independent sources would give together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sarcofuse.metrics.roc import Bools, Estimate, Floats, pair


@dataclass(frozen=True, slots=True)
class Reclassification:
    """How a new risk moves patients, against an old one.

    Attributes
    ----------
    total : Estimate
        Sum of the two parts.
    events : Estimate
        Part of the patients with the event: positive where they move up.
    others : Estimate
        Part of the patients without it: positive where they move down.
    z : float
        Test of no change.
    p : float
        Two-sided p-value.
    """

    total: Estimate
    events: Estimate
    others: Estimate
    z: float
    p: float


def risk_categories(risk: ArrayLike, cuts: ArrayLike) -> NDArray[np.int64]:
    """Sort risks into categories.

    Parameters
    ----------
    risk : array-like, shape (patients,)
        Risks.
    cuts : array-like, shape (cuts,)
        Rising; a risk at a cut belongs to the higher category.

    Returns
    -------
    ndarray of int, shape (patients,)
        Category from 0.

    Raises
    ------
    ValueError
        If the cuts do not rise.

    Examples
    --------
    >>> risk_categories([0.05, 0.06, 0.3], [0.06, 0.2]).tolist()
    [0, 1, 2]
    """
    edges = np.asarray(cuts, dtype=np.float64)
    if (np.diff(edges) <= 0).any():
        message = f"cuts between risk categories must rise, found {edges.tolist()}"
        raise ValueError(message)
    return np.searchsorted(edges, np.asarray(risk, dtype=np.float64), side="right").astype(np.int64)


def net_reclassification(y: ArrayLike, old: ArrayLike, new: ArrayLike, confidence: float = 0.95) -> Reclassification:
    """Net reclassification improvement of a new risk over an old one.

    Of risks themselves it is the continuous (category-free) one [2]_, of categories by `risk_categories`, or of calls at a threshold, the categorical one [1]_; of calls it
    is the gain of sensitivity and of specificity.

    Parameters
    ----------
    y : array-like of 0 and 1, shape (patients,)
        Outcome.
    old, new : array-like, shape (patients,)
        Risks or categories of the same patients. Equal ones count as no move.
    confidence : float
        Coverage.

    Returns
    -------
    Reclassification
        Wald intervals with the multinomial variance of the moves; `z` has the variance under no net change, as in [1]_. NaN with one class; without any move 0 with z 0
        and p 1.

    References
    ----------
    .. [1] Pencina MJ, D'Agostino RB Sr, D'Agostino RB Jr, Vasan RS. Evaluating the added predictive ability of a new marker: from area under the ROC curve to
       reclassification and beyond. Stat Med 2008;27:157-172.
    .. [2] Pencina MJ, D'Agostino RB Sr, Steyerberg EW. Extensions of net reclassification improvement calculations to measure usefulness of new biomarkers. Stat Med
       2011;30:11-21.
    """
    event, before = pair(y, old)
    after = pair(y, new)[1]
    if event.all() or not event.any() or np.isnan(before + after).any():
        return _undefined()
    move = np.sign(after - before)
    parts, spread, null = [], [], []
    for group, sign in ((event, 1.0), (~event, -1.0)):
        share, moved, size = sign * float(move[group].mean()), float(np.abs(move[group]).mean()), int(group.sum())
        parts.append(share)
        spread.append((moved - share**2) / size)
        null.append(moved / size)
    return _summed(parts, spread, float(np.sqrt(sum(null))), confidence)


def integrated_discrimination(y: ArrayLike, old: ArrayLike, new: ArrayLike, confidence: float = 0.95) -> Reclassification:
    """Integrated discrimination improvement: the gain in the distance of the mean risks with and without the event [1]_.

    Parameters
    ----------
    y : array-like of 0 and 1, shape (patients,)
        Outcome.
    old, new : array-like, shape (patients,)
        Risks of the same patients.
    confidence : float
        Coverage.

    Returns
    -------
    Reclassification
        Wald intervals and test from the standard errors of the paired differences of risk. NaN with fewer than two patients in a class.

    References
    ----------
    .. [1] Pencina MJ, D'Agostino RB Sr, D'Agostino RB Jr, Vasan RS. Evaluating the added predictive ability of a new marker: from area under the ROC curve to
       reclassification and beyond. Stat Med 2008;27:157-172.
    """
    event, before = pair(y, old)
    gain = pair(y, new)[1] - before
    if min(int(event.sum()), int((~event).sum())) < 2 or np.isnan(gain).any():
        return _undefined()
    groups: list[tuple[Bools, float]] = [(event, 1.0), (~event, -1.0)]
    parts = [sign * float(gain[group].mean()) for group, sign in groups]
    spread = [float(gain[group].var(ddof=1)) / int(group.sum()) for group, _ in groups]
    return _summed(parts, spread, float(np.sqrt(sum(spread))), confidence)


def _undefined() -> Reclassification:
    none = Estimate(float("nan"), float("nan"), float("nan"))
    return Reclassification(none, none, none, float("nan"), float("nan"))


def _summed(parts: list[float], spread: list[float], error: float, confidence: float) -> Reclassification:
    from scipy.special import ndtr, ndtri

    q = float(ndtri(0.5 + confidence / 2.0))
    found = [Estimate(value, value - q * float(np.sqrt(v)), value + q * float(np.sqrt(v))) for value, v in zip([sum(parts), *parts], [sum(spread), *spread], strict=True)]
    if error <= 1e-15:
        same = abs(sum(parts)) <= 1e-15
        return Reclassification(found[0], found[1], found[2], 0.0 if same else float("nan"), 1.0 if same else float("nan"))
    z = sum(parts) / error
    return Reclassification(found[0], found[1], found[2], z, float(2.0 * ndtr(-abs(z))))


def independent_auc(aucs: ArrayLike) -> Floats:
    """AUC of the best joint reading of sources that are independent within each class.

    Each source is taken as binormal with equal variances, so that its AUC is Phi(d / sqrt 2); independent sources add their d in squares [1]_. A fused AUC far above
    this is too good to be true, unless the sources correct each other's noise (they then correlate against their signal).

    Parameters
    ----------
    aucs : array-like, shape (sources, ...)
        AUC of each source; one below 0.5 adds nothing.

    Returns
    -------
    ndarray, shape (...)
        The joint AUC.

    References
    ----------
    .. [1] Green DM, Swets JA. Signal detection theory and psychophysics. Wiley 1966, chapter 9.

    Examples
    --------
    >>> float(independent_auc([0.7, 0.7]).round(4))
    0.7708
    """
    from scipy.special import ndtr, ndtri

    distances = np.clip(ndtri(np.asarray(aucs, dtype=np.float64)), 0.0, None)  # d / sqrt 2 of each source
    joint: Floats = np.asarray(ndtr(np.sqrt((distances**2).sum(axis=0))))
    return joint


def heterogeneity(values: ArrayLike, variances: ArrayLike) -> tuple[float, int, float]:
    """Test whether a figure is the same in several separate groups of patients (Cochran's Q) [1]_.

    Parameters
    ----------
    values : array-like, shape (groups,)
        The figure in each group.
    variances : array-like, shape (groups,)
        Its variance; groups where either is undefined, or the variance is 0, are left out.

    Returns
    -------
    q : float
        The statistic; NaN with fewer than two groups.
    freedom : int
        Degrees of freedom.
    p : float
        P-value; small where the groups differ.

    References
    ----------
    .. [1] Cochran WG. The combination of estimates from different experiments. Biometrics 1954;10:101-129.
    """
    from scipy.special import chdtrc

    figures, spread = np.asarray(values, dtype=np.float64), np.asarray(variances, dtype=np.float64)
    with np.errstate(invalid="ignore"):
        sound = np.isfinite(figures) & np.isfinite(spread) & (spread > 0)
    freedom = int(sound.sum()) - 1
    if freedom < 1:
        return float("nan"), max(freedom, 0), float("nan")
    weight = 1.0 / spread[sound]
    centre = float((weight * figures[sound]).sum() / weight.sum())
    q = float((weight * (figures[sound] - centre) ** 2).sum())
    return q, freedom, float(chdtrc(freedom, q))
