"""All figures and curves of one model on one split."""

from __future__ import annotations

from typing import Any

import numpy as np

from sarcofuse.evaluation.groups import Floats, Group
from sarcofuse.evaluation.sampling import Sampling
from sarcofuse.metrics import (
    RATES,
    Estimate,
    auc,
    average_precision,
    bootstrap_auc,
    brier,
    calibration_curve,
    calibration_errors,
    calibration_line,
    hosmer_lemeshow,
    net_benefit,
    newcombe_interval,
    precision_recall_curve,
    rate_sizes,
    rates,
    roc_curve,
    treat_all,
    wilson_interval,
)

DECISION = np.arange(1, 100) / 100.0
FIGURES = ("auc", *RATES, "brier", "calibration_slope", "calibration_intercept", "ici", "e90", "average_precision")
_PLACES = 25  # of fit of the calibration curve in each sample
_POINTS = 2000  # of a curve


def measured(group: Group, counts: Floats | None = None) -> dict[str, Floats]:
    """Give every figure in every sample, without intervals.

    Parameters
    ----------
    group : Group
        One model on one split.
    counts : ndarray, shape (samples, patients), optional
        Weight of each patient in each sample; by default one sample with everybody once.

    Returns
    -------
    dict of str to ndarray, shape (samples,)
        By the names in `FIGURES`; NaN where a figure is not defined.
    """
    y, risk = group.y, group.risk
    slope, intercept = calibration_line(y, risk, counts)
    errors = calibration_errors(y, risk, counts, places=None if counts is None else _PLACES)
    area = np.array([auc(y, risk)]) if counts is None else bootstrap_auc(y, risk, counts)
    found = {"auc": area, **rates(y, group.positive, counts), "brier": brier(y, risk, counts), "calibration_slope": slope, "calibration_intercept": intercept}
    return {**found, "ici": errors.ici, "e90": errors.e90, "average_precision": average_precision(y, risk, counts)}


def figures(group: Group, sampling: Sampling, rows: dict[str, Floats]) -> dict[str, Estimate]:
    """Give every figure with its interval.

    Where a share is 0 or 1, or the AUC is, all samples agree and an interval from them would have no width; Wilson's interval, or Newcombe's, stands there instead. An
    average precision of 1 has none.

    Parameters
    ----------
    group : Group
        One model on one split.
    sampling : Sampling
        What the samples were drawn by.
    rows : dict of str to ndarray, shape (samples,)
        From `measured`, in the order of the samples.

    Returns
    -------
    dict of str to Estimate
        By name, as in metrics.json; NaN where a figure is not defined.
    """
    whole, sizes = measured(group), rate_sizes(group.y, group.positive)
    values = np.array([float(whole[name][0]) for name in FIGURES])
    low, high = sampling.ends(values, np.column_stack([rows[name] for name in FIGURES]))
    found = {name: Estimate(float(v), float(a), float(b)) for name, v, a, b in zip(FIGURES, values, low, high, strict=True)}
    events = int(group.y.sum())
    for name, current in list(found.items()):
        if current.value in (0.0, 1.0) and name in RATES:
            found[name] = wilson_interval(current.value, sizes[name], sampling.config.confidence)
        elif current.value in (0.0, 1.0) and name == "auc":
            found[name] = newcombe_interval(current.value, events, group.y.size - events, sampling.config.confidence)
        elif current.value == 1.0 and name == "average_precision":
            found[name] = Estimate(1.0, float("nan"), float("nan"))
    return found


def fit_test(group: Group) -> dict[str, Any]:
    """Give Hosmer and Lemeshow's test.

    Parameters
    ----------
    group : Group
        One model on one split.

    Returns
    -------
    dict
        ``hosmer_lemeshow`` with ``statistic``, ``freedom`` and ``p``; degrees of freedom are the groups, as the risks were not fitted to these outcomes.
    """
    test = hosmer_lemeshow(group.y, group.risk)
    return {"hosmer_lemeshow": {"statistic": test.statistic, "freedom": test.freedom, "p": test.p}}


def benefits(group: Group, counts: Floats) -> Floats:
    """Give the net benefit in every sample.

    Parameters
    ----------
    group : Group
        One model on one split.
    counts : ndarray, shape (samples, patients)
        Weight of each patient in each sample.

    Returns
    -------
    ndarray, shape (samples, thresholds)
        At the thresholds in `DECISION`.
    """
    return net_benefit(group.y, group.risk, DECISION, counts)


def _thinned(*points: Floats) -> tuple[Floats, ...]:
    """Leave out points of a curve that nobody could see: evenly, the ends stay."""
    size = points[0].size
    chosen = np.unique(np.linspace(0, size - 1, min(size, _POINTS)).round().astype(np.int64)) if size else np.empty(0, dtype=np.int64)
    return tuple(p[chosen] for p in points)


def curves(group: Group, sampling: Sampling, rows: Floats) -> dict[str, Any]:
    """Give the points of the ROC, precision-recall, calibration and decision curves.

    Parameters
    ----------
    group : Group
        One model on one split.
    sampling : Sampling
        What the samples were drawn by.
    rows : ndarray, shape (samples, thresholds)
        From `benefits`, in the order of the samples.

    Returns
    -------
    dict
        ``roc``, ``pr``, ``calibration``, ``decision`` and ``reduction`` (interventions avoided per 100 patients) as in curves.json.
    """
    y, risk = group.y, group.risk
    fpr, tpr, _ = roc_curve(y, risk)
    precision, recall, _ = precision_recall_curve(y, risk)
    line = calibration_curve(y, risk, confidence=sampling.config.confidence)
    benefit, everybody = net_benefit(y, risk, DECISION)[0], treat_all(y, DECISION)
    low, high = sampling.ends(benefit, rows)
    # Treating everybody is worth the same in every sample, as each has the same share of events: the intervals carry over.
    avoided = [100.0 * (b - everybody) * (1.0 - DECISION) / DECISION for b in (benefit, low, high)]
    return {
        "roc": dict(zip(("fpr", "tpr"), _thinned(fpr, tpr), strict=True)),
        "pr": dict(zip(("recall", "precision"), _thinned(recall, precision), strict=True)),
        "calibration": {name: getattr(line, name) for name in ("predicted", "observed", "low", "high", "smooth_x", "smooth_y")},
        "decision": {"threshold": DECISION, "net_benefit": benefit, "treat_all": everybody, "low": low, "high": high},
        "reduction": {"threshold": DECISION, "avoided": avoided[0], "low": avoided[1], "high": avoided[2]},
    }
