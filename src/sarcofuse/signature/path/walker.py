"""One training set and how far along its path of penalties it has come."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from sarcofuse.signature.path.descent import follow, gradients
from sarcofuse.signature.path.families import BINOMIAL, COX, ETA, GAUSSIAN, PULL, ROWS, Floats, Sample, weigh

_FAMILIES = {"gaussian": GAUSSIAN, "binomial": BINOMIAL, "cox": COX}
_LEAST_RATIO = 1e-3
_FLAT = 1e-12


@dataclass(frozen=True, slots=True)
class PathSettings:
    """What is fitted along a path, and how exactly.

    Attributes
    ----------
    family : {'gaussian', 'binomial', 'cox'}
        Least squares, logistic regression, or the Cox model.
    l1_ratio : float
        1 for the LASSO, 0 for ridge regression, between them the elastic net (glmnet's alpha).
    count : int
        Penalties on the path, where none are given.
    ratio : float, optional
        Smallest penalty as a share of the largest; as in glmnet 0.01 with fewer patients than features and 0.0001 otherwise.
    ties : {'breslow', 'efron'}
        Cox: how tied events are handled. glmnet knows Breslow's way alone.
    tolerance : float
        Coordinate descent ends when no step changes the objective by more than this share of the null deviance.
    explained : float
        The path ends when this share of the null deviance is explained.
    """

    family: Literal["gaussian", "binomial", "cox"] = "binomial"
    l1_ratio: float = 1.0
    count: int = 100
    ratio: float | None = None
    ties: Literal["breslow", "efron"] = "breslow"
    tolerance: float = 1e-9
    explained: float = 0.999

    def __post_init__(self) -> None:
        """Refuse what no path can be made of."""
        for name, value, known in (("family", self.family, tuple(_FAMILIES)), ("ties", self.ties, ("breslow", "efron"))):
            if value not in known:
                message = f"{name} must be one of {', '.join(known)}, found {value!r}"
                raise ValueError(message)
        if not 0.0 <= self.l1_ratio <= 1.0:
            message = f"l1_ratio must lie between 0 and 1, found {self.l1_ratio}"
            raise ValueError(message)
        if self.count < 1 or (self.ratio is not None and not 0.0 < self.ratio < 1.0):
            message = f"a path needs at least one penalty and a ratio between 0 and 1, found {self.count} and {self.ratio}"
            raise ValueError(message)

    def grid(self, largest: float, patients: int, features: int) -> Floats:
        """Give the penalties of a path.

        Parameters
        ----------
        largest : float
            The first penalty.
        patients, features : int
            Shape of the data.

        Returns
        -------
        ndarray, shape (count,)
            Falling penalties, equally spaced in their logarithm.
        """
        ratio = self.ratio or (0.01 if patients < features else 0.0001)
        path: Floats = largest * np.geomspace(1.0, ratio, self.count)
        return path


class Walker:
    """A training set, standardised, and the solution that it has come to.

    Parameters
    ----------
    columns : ndarray, shape (features, patients)
        Features without gaps, one row a feature. They are standardised with the observation weights, deviations by the number of patients; constant ones become 0.
    y : ndarray, shape (patients,) or (patients, 2)
        Outcome: numbers, 0 and 1, or time and event (Cox).
    settings : PathSettings
        What to fit.
    weights : array-like, shape (patients,), optional
        Observation weights; only their proportions matter. Patients of weight 0 are as if they were not there.
    factors : array-like, shape (features,), optional
        Share of the penalty that each feature bears, 0 for none; scaled to a mean of 1.

    Attributes
    ----------
    mean, scale : ndarray, shape (features,)
        Centre and deviation of each feature; the deviation of a constant one is infinite.
    gradient : ndarray, shape (features,)
        Derivative of half the mean deviance by each standardised coefficient (times -1), where only unpenalised features are in the model.
    largest : float
        The smallest penalty that keeps all penalised features out; for an l1_ratio below 0.001 the one for 0.001.
    null : float
        Mean deviance of the model without features.
    intercept : float
        Intercept of the model of unpenalised features.
    """

    def __init__(self, columns: Floats, y: Floats, settings: PathSettings, weights: ArrayLike | None = None, factors: ArrayLike | None = None) -> None:
        self.settings = settings
        share = shares(weights, y.shape[0])
        chosen = np.flatnonzero(share > 0.0)
        if settings.family == "cox":
            chosen = chosen[np.argsort(-y[chosen, 0], kind="stable")]
        share = share[chosen]
        Z = columns[:, chosen]
        self.mean = Z @ share
        Z -= self.mean[:, None]
        self.scale = np.sqrt(np.square(Z) @ share)
        self.scale[self.scale <= _FLAT * np.maximum(np.abs(self.mean), _FLAT)] = np.inf
        Z /= self.scale[:, None]
        self._sample = sample_of(Z, y[chosen], share, settings)
        self._factors = scaled(factors, len(columns))
        self._begin()

    def _begin(self) -> None:
        sample, p = self._sample, len(self._factors)
        intercept, state, self.gradient = _intercept(sample), np.zeros((ROWS, sample.y.size)), np.zeros(p)
        state[ETA] = intercept
        self.null = float(weigh(sample, state))
        if sample.family == GAUSSIAN and self.null <= (_FLAT * float(np.abs(sample.y).max())) ** 2:
            self.null = 0.0
        free = np.flatnonzero(self._factors == 0.0)
        beta = np.zeros(p)
        if free.size and self.null > 0.0:
            alone = sample._replace(columns=np.ascontiguousarray(sample.columns[free]))
            found, intercepts, _ = follow(alone, np.zeros(free.size), np.zeros(1), 1.0, self._limit, -1.0, (np.zeros(free.size), intercept, 0.0))
            beta[free], intercept = found[0], float(intercepts[0])
            state[ETA] = intercept + found[0] @ alone.columns
            weigh(sample, state)
        gradients(sample, state[PULL], self.gradient)
        held = self._factors > 0.0
        entry = np.abs(self.gradient[held]) / self._factors[held]
        self.largest = float(entry.max(initial=0.0)) / max(self.settings.l1_ratio, _LEAST_RATIO)
        self.intercept = intercept
        self._start = (beta, intercept, self.largest)

    @property
    def _limit(self) -> float:
        return self.settings.tolerance * self.null

    def advance(self, penalties: Floats) -> tuple[Floats, Floats, Floats]:
        """Follow the path over the next penalties.

        Parameters
        ----------
        penalties : ndarray, shape (penalties,)
            Falling penalties, none larger than those before.

        Returns
        -------
        coefficients : ndarray, shape (penalties, features)
            For standardised features.
        intercepts : ndarray, shape (penalties,)
            Intercepts; without meaning for Cox.
        deviances : ndarray, shape (penalties,)
            Mean deviance of the training set.
        """
        beta, intercept, _ = self._start
        if self.null <= 0.0:
            return np.zeros((penalties.size, beta.size)), np.full(penalties.size, intercept), np.zeros(penalties.size)
        floor = (1.0 - self.settings.explained) * self.null
        found: tuple[Floats, Floats, Floats] = follow(self._sample, self._factors, penalties, self.settings.l1_ratio, self._limit, floor, self._start)
        self._start = (found[0][-1], float(found[1][-1]), float(penalties[-1]))
        return found


def shares(weights: ArrayLike | None, patients: int) -> Floats:
    """Check observation weights and scale them to a sum of 1.

    Parameters
    ----------
    weights : array-like, shape (patients,), or None
        Weights; None for equal ones.
    patients : int
        How many there must be.

    Returns
    -------
    ndarray, shape (patients,)
        Shares.

    Raises
    ------
    ValueError
        If there are not as many as patients, if one is negative or not finite, or if all are 0.
    """
    given = np.ones(patients) if weights is None else np.asarray(weights, dtype=np.float64)
    if given.shape != (patients,) or not np.isfinite(given).all() or given.min(initial=0.0) < 0.0 or not given.any():
        message = f"weights must be {patients} finite numbers of at least 0, one a patient, not all 0; found shape {given.shape}, least {given.min(initial=np.inf):g}"
        raise ValueError(message)
    share: Floats = given / given.sum()
    return share


def scaled(factors: ArrayLike | None, features: int) -> Floats:
    """Check penalty factors and scale them to a mean of 1, as glmnet does.

    Parameters
    ----------
    factors : array-like, shape (features,), or None
        Factors; None for equal ones.
    features : int
        How many there must be.

    Returns
    -------
    ndarray, shape (features,)
        Factors; all 0 where none is more.

    Raises
    ------
    ValueError
        If there are not as many as features, or if one is negative or not finite.
    """
    given = np.ones(features) if factors is None else np.asarray(factors, dtype=np.float64)
    if given.shape != (features,) or not np.isfinite(given).all() or given.min(initial=0.0) < 0.0:
        message = f"penalty factors must be {features} finite numbers of at least 0, one a feature; found shape {given.shape}, least {given.min(initial=np.inf):g}"
        raise ValueError(message)
    even: Floats = given * (features / given.sum()) if given.any() else given
    return even


def sample_of(columns: Floats, y: Floats, share: Floats, settings: PathSettings) -> Sample:
    """Put together what the kernels take.

    Parameters
    ----------
    columns : ndarray, shape (features, patients)
        Features, standardised.
    y : ndarray, shape (patients,) or (patients, 2)
        Outcome; for Cox sorted by falling time.
    share : ndarray, shape (patients,)
        Observation weights that sum to 1.
    settings : PathSettings
        Family and ties.

    Returns
    -------
    Sample
        For the kernels.
    """
    ends = np.zeros(0, dtype=np.int64)
    if settings.family == "cox":
        time, y = y[:, 0], y[:, 1]
        ends = np.append(np.flatnonzero(np.diff(time)) + 1, time.size).astype(np.int64)
    return Sample(np.ascontiguousarray(columns), np.ascontiguousarray(y, dtype=np.float64), share, ends, _FAMILIES[settings.family], settings.ties == "efron")


def _intercept(sample: Sample) -> float:
    if sample.family == COX:
        return 0.0
    mean = float(sample.share @ sample.y)
    if sample.family == GAUSSIAN:
        return mean
    if sample.y.min() == sample.y.max():
        message = f"logistic regression needs outcomes of both 0 and 1, found only {mean:.0f}"
        raise ValueError(message)
    return float(np.log(mean / (1.0 - mean)))


def outcome_of(y: ArrayLike, family: str, patients: int) -> Floats:
    """Check an outcome.

    Parameters
    ----------
    y : array-like
        Outcome: numbers, 0 and 1, or time and event in two columns (Cox).
    family : {'gaussian', 'binomial', 'cox'}
        Family.
    patients : int
        How many there must be.

    Returns
    -------
    ndarray, shape (patients,) or (patients, 2)
        Outcome as numbers.

    Raises
    ------
    ValueError
        If the shape or a value is wrong.
    """
    found = np.asarray(y, dtype=np.float64)
    wanted = (patients, 2) if family == "cox" else (patients,)
    if found.shape != wanted or not np.isfinite(found).all():
        message = f"the outcome must be finite and of shape {wanted}, found {found.shape}"
        raise ValueError(message)
    labels = found[:, 1] if family == "cox" else found
    if family != "gaussian" and not np.isin(labels, (0.0, 1.0)).all():
        message = f"{'events' if family == 'cox' else 'outcomes'} must be 0 or 1, found {np.unique(labels)[:5]}"
        raise ValueError(message)
    if family == "cox" and not labels.any():
        message = "the Cox model needs at least one event, found none"
        raise ValueError(message)
    return found
