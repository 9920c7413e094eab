"""All figures of one model on one split."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sarcofuse.metrics import (
    RATES,
    Estimate,
    auc,
    bootstrap_auc,
    brier,
    calibration_curve,
    calibration_line,
    net_benefit,
    newcombe_interval,
    percentile_interval,
    rate_sizes,
    rates,
    roc_curve,
    treat_all,
    wilson_interval,
)

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
DECISION = np.arange(1, 100) / 100.0


def figures(y: Integers, risk: Floats, positive: NDArray[np.bool_], counts: Floats, confidence: float) -> dict[str, Estimate]:
    """Give every metric with its interval.

    Intervals are percentiles over stratified bootstrap samples. Where a share is 0 or 1, or the AUC is, all samples agree and such an interval would have no width;
    Wilson's interval, or Newcombe's, stands there instead.

    Parameters
    ----------
    y : ndarray of 0 and 1, shape (patients,)
        Outcome.
    risk : ndarray, shape (patients,)
        Risks.
    positive : ndarray of bool, shape (patients,)
        Whether the risk reaches the locked threshold.
    counts : ndarray, shape (samples, patients)
        Bootstrap samples by `sarcofuse.metrics.stratified_counts`.
    confidence : float
        Coverage.

    Returns
    -------
    dict of str to Estimate
        By name, as in metrics.json; NaN where a figure is not defined.
    """
    area = auc(y, risk)
    whole, sampled, sizes = rates(y, positive), rates(y, positive, counts), rate_sizes(y, positive)
    found = {"auc": percentile_interval(area, bootstrap_auc(y, risk, counts), confidence)}
    if area in (0.0, 1.0):
        found["auc"] = newcombe_interval(area, int(y.sum()), int(y.size - y.sum()), confidence)
    for name in RATES:
        share = float(whole[name][0])
        found[name] = wilson_interval(share, sizes[name], confidence) if share in (0.0, 1.0) else percentile_interval(share, sampled[name], confidence)
    slope, intercept = calibration_line(y, risk)
    slopes, intercepts = calibration_line(y, risk, counts)
    found["brier"] = percentile_interval(float(brier(y, risk)[0]), brier(y, risk, counts), confidence)
    found["calibration_slope"] = percentile_interval(float(slope[0]), slopes, confidence)
    found["calibration_intercept"] = percentile_interval(float(intercept[0]), intercepts, confidence)
    return found


def curves(y: Integers, risk: Floats, counts: Floats, confidence: float) -> dict[str, Any]:
    """Give the points of the ROC, calibration and decision curves.

    Parameters
    ----------
    y : ndarray of 0 and 1, shape (patients,)
        Outcome.
    risk : ndarray, shape (patients,)
        Risks.
    counts : ndarray, shape (samples, patients)
        Bootstrap samples by `sarcofuse.metrics.stratified_counts`.
    confidence : float
        Coverage.

    Returns
    -------
    dict
        ``roc``, ``calibration`` and ``decision`` as in curves.json.
    """
    fpr, tpr, _ = roc_curve(y, risk)
    line = calibration_curve(y, risk, confidence=confidence)
    benefit = net_benefit(y, risk, DECISION)[0]
    spread = net_benefit(y, risk, DECISION, counts)
    ends = [percentile_interval(float(b), spread[:, i], confidence) for i, b in enumerate(benefit)]
    return {
        "roc": {"fpr": fpr, "tpr": tpr},
        "calibration": {name: getattr(line, name) for name in ("predicted", "observed", "low", "high", "smooth_x", "smooth_y")},
        "decision": {"threshold": DECISION, "net_benefit": benefit, "treat_all": treat_all(y, DECISION), "low": [e.low for e in ends], "high": [e.high for e in ends]},
    }
