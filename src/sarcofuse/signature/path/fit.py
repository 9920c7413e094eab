"""A path of penalised regressions in the units of the features."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from sarcofuse.signature.path.families import Floats
from sarcofuse.signature.path.walker import PathSettings, Walker, outcome_of


@dataclass(frozen=True, slots=True, eq=False)
class Path:
    """Solutions along a path.

    Attributes
    ----------
    penalties : ndarray, shape (penalties,)
        Falling penalties.
    coefficients : ndarray, shape (penalties, features)
        In the units of the features.
    intercepts : ndarray, shape (penalties,)
        Intercepts; 0 for Cox.
    deviances : ndarray, shape (penalties,)
        Mean deviance on the data; for Cox twice the difference of the saturated and the partial log-likelihood.
    null_deviance : float
        That of the model without features.
    """

    penalties: Floats
    coefficients: Floats
    intercepts: Floats
    deviances: Floats
    null_deviance: float

    @property
    def explained(self) -> Floats:
        """Share of the null deviance that each solution explains."""
        share: Floats = 1.0 - self.deviances / self.null_deviance if self.null_deviance > 0.0 else np.zeros(self.deviances.size)
        return share

    def at(self, penalty: float) -> tuple[Floats, float]:
        """Give coefficients and intercept at a penalty, interpolated between its neighbours on the path as glmnet does.

        Parameters
        ----------
        penalty : float
            Penalty; beyond either end of the path that end is taken.

        Returns
        -------
        coefficients : ndarray, shape (features,)
            Coefficients.
        intercept : float
            Intercept.
        """
        rising = self.penalties[::-1]
        high = int(np.clip(np.searchsorted(rising, penalty), 1, max(rising.size - 1, 1)))
        if rising.size == 1:
            return self.coefficients[0], float(self.intercepts[0])
        low = high - 1
        share = float(np.clip((penalty - rising[low]) / (rising[high] - rising[low]), 0.0, 1.0))
        above, below = rising.size - 1 - high, rising.size - 1 - low
        coefficients: Floats = share * self.coefficients[above] + (1.0 - share) * self.coefficients[below]
        return coefficients, float(share * self.intercepts[above] + (1.0 - share) * self.intercepts[below])


def fit_path(X: ArrayLike, y: ArrayLike, settings: PathSettings, *, penalties: ArrayLike | None = None, weights: ArrayLike | None = None, factors: ArrayLike | None = None) -> Path:
    """Fit a path of elastic nets.

    Minimises half the mean deviance (for the Gaussian family half the mean squared error, otherwise minus the mean log-likelihood) + penalty x sum of factor x (l1_ratio x abs(b) +
    (1 - l1_ratio) / 2 x b²), b the coefficients of the standardised features, by coordinate descent [1]_. The objective is glmnet's.

    Parameters
    ----------
    X : array-like, shape (patients, features)
        Features without gaps.
    y : array-like, shape (patients,) or (patients, 2)
        Outcome: numbers, 0 and 1, or time and event in two columns (Cox).
    settings : PathSettings
        What to fit.
    penalties : array-like, shape (penalties,), optional
        Falling penalties; by default those of the settings, from the one at which the first feature enters.
    weights : array-like, shape (patients,), optional
        Observation weights of at least 0; only their proportions matter.
    factors : array-like, shape (features,), optional
        Share of the penalty that each feature bears, 0 for none; scaled to a mean of 1.

    Returns
    -------
    Path
        Solutions. Once the share `settings.explained` of the deviance is explained, the last solution is repeated.

    Raises
    ------
    ValueError
        If shapes do not fit, a value is not finite or not what the family asks for, or the penalties do not fall.

    References
    ----------
    .. [1] Friedman J, Hastie T, Tibshirani R. Regularization paths for generalized linear models via coordinate descent. J Stat Softw 2010;33(1).

    Examples
    --------
    >>> X = np.array([[0.0, 1.0], [1.0, 0.0], [2.0, 1.0], [3.0, 0.0]])
    >>> path = fit_path(X, [0.0, 1.0, 2.0, 3.0], PathSettings("gaussian"), penalties=[0.5])
    >>> path.coefficients.round(3).tolist()
    [[0.553, 0.0]]
    """
    values = np.asarray(X, dtype=np.float64)
    if values.ndim != 2 or not values.size or not np.isfinite(values).all():
        message = f"features must be a table of finite numbers, (patients, features), found shape {values.shape}"
        raise ValueError(message)
    outcome = outcome_of(y, settings.family, len(values))
    walker = Walker(values.T, outcome, settings, weights, factors)
    # A hair above the penalty at which the first feature enters, so that rounding lets nothing in.
    grid = settings.grid(walker.largest * (1.0 + 1e-9), *values.shape) if penalties is None else falling(penalties)
    standard, intercepts, deviances = walker.advance(grid)
    coefficients = standard / walker.scale
    intercepts = np.zeros(grid.size) if settings.family == "cox" else intercepts - coefficients @ walker.mean
    return Path(grid, coefficients, intercepts, deviances, walker.null)


def falling(penalties: ArrayLike) -> Floats:
    """Check penalties.

    Parameters
    ----------
    penalties : array-like, shape (penalties,)
        Penalties.

    Returns
    -------
    ndarray, shape (penalties,)
        The same.

    Raises
    ------
    ValueError
        If there are none, one is negative or not finite, or they do not fall.
    """
    grid = np.atleast_1d(np.asarray(penalties, dtype=np.float64))
    if grid.ndim != 1 or not grid.size or not np.isfinite(grid).all() or grid.min() < 0.0 or (np.diff(grid) >= 0.0).any():
        message = f"penalties must be finite, of at least 0, and fall from one to the next; found {grid[:5]}"
        raise ValueError(message)
    return grid

