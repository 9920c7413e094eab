"""Pure statistics on arrays: discrimination, operating points, calibration, decision curves, resampling, reliability, overlap of masks."""

from sarcofuse.metrics.calibration import CalibrationCurve, brier, calibration_curve, calibration_line, integrated_calibration_index, logit, lowess
from sarcofuse.metrics.decision import net_benefit, treat_all
from sarcofuse.metrics.operating import RATES, rate_sizes, rates, sensitivity_threshold, wilson_interval, youden_threshold
from sarcofuse.metrics.reliability import Reliability, icc
from sarcofuse.metrics.resampling import bootstrap_auc, holm, percentile_interval, stratified_counts, stratified_folds
from sarcofuse.metrics.roc import AucTest, Estimate, auc, delong, delong_interval, delong_test, midranks, newcombe_interval, roc_curve

__all__ = [
    "RATES",
    "AucTest",
    "CalibrationCurve",
    "Estimate",
    "Reliability",
    "auc",
    "bootstrap_auc",
    "brier",
    "calibration_curve",
    "calibration_line",
    "delong",
    "delong_interval",
    "delong_test",
    "holm",
    "icc",
    "integrated_calibration_index",
    "logit",
    "lowess",
    "midranks",
    "net_benefit",
    "newcombe_interval",
    "percentile_interval",
    "rate_sizes",
    "rates",
    "roc_curve",
    "sensitivity_threshold",
    "stratified_counts",
    "stratified_folds",
    "treat_all",
    "wilson_interval",
    "youden_threshold",
]
