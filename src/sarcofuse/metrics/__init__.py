"""Pure statistics on arrays: discrimination, operating points, calibration, decision curves, reclassification, survival, resampling, reliability, overlap of masks."""

from sarcofuse.metrics.calibration import CalibrationCurve, brier, calibration_curve, calibration_line, integrated_calibration_index, logit, lowess
from sarcofuse.metrics.concordance import censoring, harrell_c, integrated_brier, timed_auc, timed_brier, uno_c
from sarcofuse.metrics.decision import net_benefit, net_reduction, treat_all
from sarcofuse.metrics.goodness import CalibrationErrors, GoodnessTest, calibration_errors, hosmer_lemeshow
from sarcofuse.metrics.grouped import group_outcomes, grouped_folds
from sarcofuse.metrics.hazard import Hazards, proportional_hazards
from sarcofuse.metrics.intervals import LeaveOut, acceleration, bca_ends, bca_interval, leave_out, percentile_ends
from sarcofuse.metrics.operating import RATES, rate_sizes, rates, sensitivity_threshold, wilson_interval, youden_threshold
from sarcofuse.metrics.precision import average_precision, precision_recall_curve
from sarcofuse.metrics.reclassification import Reclassification, heterogeneity, independent_auc, integrated_discrimination, net_reclassification, risk_categories
from sarcofuse.metrics.reliability import Reliability, icc
from sarcofuse.metrics.resampling import bootstrap_auc, holm, percentile_interval, stratified_counts, stratified_folds, weighted_auc
from sarcofuse.metrics.roc import AucTest, Estimate, auc, delong, delong_interval, delong_test, midranks, newcombe_interval, roc_curve
from sarcofuse.metrics.samplesize import SampleSize, affordable_parameters, cox_snell_max, cox_snell_of_auc, expected_shrinkage, minimum_sample_size
from sarcofuse.metrics.survival import StepCurve, cumulative_incidence, kaplan_meier, log_rank

__all__ = [
    "RATES",
    "AucTest",
    "CalibrationCurve",
    "CalibrationErrors",
    "Estimate",
    "GoodnessTest",
    "Hazards",
    "LeaveOut",
    "Reclassification",
    "Reliability",
    "SampleSize",
    "StepCurve",
    "acceleration",
    "affordable_parameters",
    "auc",
    "average_precision",
    "bca_ends",
    "bca_interval",
    "bootstrap_auc",
    "brier",
    "calibration_curve",
    "calibration_errors",
    "calibration_line",
    "censoring",
    "cox_snell_max",
    "cox_snell_of_auc",
    "cumulative_incidence",
    "delong",
    "delong_interval",
    "delong_test",
    "expected_shrinkage",
    "group_outcomes",
    "grouped_folds",
    "harrell_c",
    "heterogeneity",
    "holm",
    "hosmer_lemeshow",
    "icc",
    "independent_auc",
    "integrated_brier",
    "integrated_calibration_index",
    "integrated_discrimination",
    "kaplan_meier",
    "leave_out",
    "log_rank",
    "logit",
    "lowess",
    "midranks",
    "minimum_sample_size",
    "net_benefit",
    "net_reclassification",
    "net_reduction",
    "newcombe_interval",
    "percentile_ends",
    "percentile_interval",
    "precision_recall_curve",
    "proportional_hazards",
    "rate_sizes",
    "rates",
    "risk_categories",
    "roc_curve",
    "sensitivity_threshold",
    "stratified_counts",
    "stratified_folds",
    "timed_auc",
    "timed_brier",
    "treat_all",
    "uno_c",
    "weighted_auc",
    "wilson_interval",
    "youden_threshold",
]
