"""How many patients a model of a binary outcome needs, and how much it will overfit with those there are (Riley's criteria)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_MARGIN = 0.05


@dataclass(frozen=True, slots=True)
class SampleSize:
    """Minimum size of a development cohort.

    Attributes
    ----------
    shrinkage : int
        Patients for an expected shrinkage of at least 0.9.
    optimism : int
        Patients for an optimism of Nagelkerke's R-squared of at most 0.05.
    prevalence : int
        Patients for an overall risk known to within 0.05.
    minimum : int
        The largest of the three.
    r2 : float
        Cox-Snell R-squared that was expected.
    r2_max : float
        Its largest possible value at this prevalence.
    """

    shrinkage: int
    optimism: int
    prevalence: int
    minimum: int
    r2: float
    r2_max: float


def cox_snell_max(prevalence: float) -> float:
    """Largest possible Cox-Snell R-squared of a binary outcome.

    Parameters
    ----------
    prevalence : float
        Share of events, between 0 and 1.

    Returns
    -------
    float
        One less the squared geometric mean likelihood of a model without predictors [1]_.

    References
    ----------
    .. [1] Riley RD, Snell KIE, Ensor J, et al. Minimum sample size for developing a multivariable prediction model: part II. Stat Med 2019;38:1276-1296.

    Examples
    --------
    >>> round(cox_snell_max(0.5), 4)
    0.75
    """
    _check(prevalence)
    return float(-np.expm1(2.0 * (prevalence * np.log(prevalence) + (1.0 - prevalence) * np.log1p(-prevalence))))


def cox_snell_of_auc(area: float, prevalence: float) -> float:
    """Cox-Snell R-squared of a model of known c-statistic, whose linear predictor is normal with equal variances in both classes [1]_.

    Parameters
    ----------
    area : float
        The c-statistic (AUC); at or below 0.5 gives 0.
    prevalence : float
        Share of events, between 0 and 1.

    Returns
    -------
    float
        By Gauss-Hermite integration of what [1]_ simulates; `cox_snell_max` at an area of 1.

    References
    ----------
    .. [1] Riley RD, Van Calster B, Collins GS. A note on estimating the Cox-Snell R2 from a reported C statistic (AUROC) to inform sample size calculations for developing
       a prediction model with a binary outcome. Stat Med 2021;40:859-864.
    """
    from scipy.special import ndtri

    _check(prevalence)
    if area <= 0.5:
        return 0.0
    if area >= 1.0:
        return cox_snell_max(prevalence)
    shift = float(np.sqrt(2.0) * ndtri(area))
    nodes, weights = np.polynomial.hermite_e.hermegauss(120)
    weights = weights / weights.sum()
    base = float(np.log(prevalence) - np.log1p(-prevalence))
    odds = {kind: base - shift**2 / 2.0 + shift * (nodes + shift * kind) for kind in (0, 1)}
    model = -prevalence * float(weights @ np.logaddexp(0.0, -odds[1])) - (1.0 - prevalence) * float(weights @ np.logaddexp(0.0, odds[0]))
    null = prevalence * float(np.log(prevalence)) + (1.0 - prevalence) * float(np.log1p(-prevalence))
    return float(-np.expm1(-2.0 * (model - null)))


def minimum_sample_size(parameters: int, prevalence: float, r2: float, shrinkage: float = 0.9) -> SampleSize:
    """Patients needed to develop a model of a binary outcome [1]_ [2]_.

    Parameters
    ----------
    parameters : int
        Candidate predictors, as parameters (a variable of three levels counts twice); all that were looked at, not those that were kept.
    prevalence : float
        Share of events, between 0 and 1.
    r2 : float
        Expected Cox-Snell R-squared, corrected for optimism; `cox_snell_of_auc` gives it for an AUC.
    shrinkage : float
        Least expected shrinkage (calibration slope in new patients).

    Returns
    -------
    SampleSize
        Patients by each criterion, and the largest.

    Raises
    ------
    ValueError
        If the R-squared is not above 0 and below its possible maximum, or the prevalence is not between 0 and 1.

    References
    ----------
    .. [1] Riley RD, Snell KIE, Ensor J, et al. Minimum sample size for developing a multivariable prediction model: part II. Stat Med 2019;38:1276-1296.
    .. [2] Riley RD, Ensor J, Snell KIE, et al. Calculating the sample size required for developing a clinical prediction model. BMJ 2020;368:m441.
    """
    most = cox_snell_max(prevalence)
    if not 0.0 < r2 < min(most, shrinkage):
        message = f"expected Cox-Snell R-squared must lie between 0 and {min(most, shrinkage):.3f} at a prevalence of {prevalence:.3f}, found {r2:.3f}"
        raise ValueError(message)
    close = r2 / (r2 + _MARGIN * most)
    first, second = (int(np.ceil(parameters / _information(s, r2) - 1e-9)) for s in (shrinkage, close))
    third = int(np.ceil((1.96 / _MARGIN) ** 2 * prevalence * (1.0 - prevalence)))
    return SampleSize(first, second, third, max(first, second, third), r2, most)


def expected_shrinkage(patients: int, parameters: int, r2: float) -> float:
    """Shrinkage (calibration slope in new patients) to expect of a model developed on so many patients.

    Parameters
    ----------
    patients : int
        Patients it is developed on.
    parameters : int
        Candidate predictors, as parameters.
    r2 : float
        Expected Cox-Snell R-squared, corrected for optimism.

    Returns
    -------
    float
        The shrinkage at which the first criterion of `minimum_sample_size` asks for just these patients; 0 for a model without signal.
    """
    if r2 <= 0.0 or patients < 1:
        return 0.0
    low, high = r2, 1.0
    for _ in range(80):
        middle = (low + high) / 2.0
        low, high = (middle, high) if patients * _information(middle, r2) > parameters else (low, middle)
    return (low + high) / 2.0


def affordable_parameters(patients: int, prevalence: float, r2: float, shrinkage: float = 0.9) -> int:
    """Most candidate predictors for which so many patients are enough.

    Parameters
    ----------
    patients : int
        Patients there are.
    prevalence : float
        Share of events, between 0 and 1.
    r2 : float
        Expected Cox-Snell R-squared, corrected for optimism.
    shrinkage : float
        Least expected shrinkage.

    Returns
    -------
    int
        0 where even one is too many, as where the overall risk alone is not known well enough.
    """
    if minimum_sample_size(1, prevalence, r2, shrinkage).prevalence > patients:
        return 0
    close = r2 / (r2 + _MARGIN * cox_snell_max(prevalence))
    return int(min(patients * _information(s, r2) for s in (shrinkage, close)) + 1e-9)


def _information(shrinkage: float, r2: float) -> float:
    """Parameters that one patient pays for at this shrinkage."""
    return float((shrinkage - 1.0) * np.log1p(-r2 / shrinkage)) if shrinkage > r2 else float("inf")


def _check(prevalence: float) -> None:
    if not 0.0 < prevalence < 1.0:
        message = f"prevalence must lie between 0 and 1, found {prevalence}"
        raise ValueError(message)
