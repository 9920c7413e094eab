"""Predict a mask's Dice from what can be seen without a truth: a small model, learned on out-of-fold masks, as plain numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from sarcofuse.errors import BundleError
from sarcofuse.segment.folds import assign_folds
from sarcofuse.segment.quality import SIGNS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

FORMAT = 1
LEAST = 10
"""Fewest masks of known Dice to learn from."""
PENALTIES = (3.0, 10.0, 30.0, 1e6)
"""Ridge penalties to choose from, in patients without relation between signs and Dice; the last leaves the constant."""
FOLDS = 10
COVERAGE = 0.9
ROOM = 0.5
"""How far beyond the learned range, in ranges, a sign still moves the prediction."""
LOGITS = frozenset({"expected_dice", "confidence", "flip_dice"})
LOGS = frozenset({"entropy", "network_ml"})


@dataclass(frozen=True, slots=True)
class Forecast:
    """A linear model of Dice on transformed signs.

    Attributes
    ----------
    names : tuple of str
        Signs.
    centre, scale : tuple of float
        Mean and deviation of the transformed signs in learning.
    low, high : tuple of float
        Smallest and largest transformed sign in learning.
    weights : tuple of float
        Change of Dice with a deviation of each sign.
    intercept : float
        Dice at the centre.
    penalty : float
        Ridge penalty that was chosen.
    errors : tuple of float or None
        Ends of the interval: errors of cross-validated predictions, over `spread`; None where there were too few to say.
    coverage : float
        Share of such patients within the interval.
    evidence : mapping
        What cross-validation over patients says: ``patients``, ``mae``, ``correlation``, ``constant_mae`` (of the mean Dice as everybody's prediction).
    """

    names: tuple[str, ...]
    centre: tuple[float, ...]
    scale: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    weights: tuple[float, ...]
    intercept: float
    penalty: float
    errors: tuple[float, float] | None
    coverage: float
    evidence: Mapping[str, float | None]

    def predict(self, signs: Mapping[str, float]) -> float:
        """Predict the Dice of a mask.

        Parameters
        ----------
        signs : mapping of str to float
            What `sarcofuse.segment.quality.signs` gave.

        Returns
        -------
        float
            0 to 1.
        """
        terms = [self.intercept]
        for k, name in enumerate(self.names):
            room = ROOM * (self.high[k] - self.low[k])
            value = min(max(transformed(name, signs[name]), self.low[k] - room), self.high[k] + room)
            terms.append(self.weights[k] * (value - self.centre[k]) / self.scale[k])
        return min(max(math.fsum(terms), 0.0), 1.0)

    def interval(self, predicted: float) -> tuple[float, float]:
        """Give the interval of a prediction.

        Parameters
        ----------
        predicted : float
            What `predict` gave.

        Returns
        -------
        low, high : float
            Within which the Dice of `coverage` of such patients is expected; 0 and 1 where there were too few to say.
        """
        if self.errors is None:
            return 0.0, 1.0
        low, high = (min(max(predicted + e * spread(predicted), 0.0), 1.0) for e in self.errors)
        return low, high


def spread(predicted: float) -> float:
    """Give the size of errors to expect at a prediction: a doubtful mask may be good or bad, a good one leaves little room.

    Parameters
    ----------
    predicted : float
        Predicted Dice.

    Returns
    -------
    float
        0.05 at a Dice of 1, and as much more as the Dice is less.
    """
    return 1.05 - predicted


def transformed(name: str, value: float) -> float:
    """Put a sign on the scale that it works on: shares as logits (cut at 0.02 and 0.98), entropy and volume as logarithms.

    Parameters
    ----------
    name : str
        Which sign.
    value : float
        Its value.

    Returns
    -------
    float
        The transformed value.
    """
    if name in LOGITS:
        share = min(max(value, 0.02), 0.98)
        return math.log(share / (1.0 - share))
    return math.log(max(value, 1e-3)) if name in LOGS else value


def learn_forecast(signs: Mapping[str, Mapping[str, float]], dice: Mapping[str, float], seed: int) -> tuple[Forecast, dict[str, float]] | None:
    """Learn the model, and predict every patient by one that was learned without the patient.

    A linear model with Huber's loss [1]_ (a confident mask of the wrong structure must not bend it) and a ridge penalty that is chosen by cross-validation of the mean absolute error;
    the error itself is by an outer cross-validation in which the choice is made again.

    Parameters
    ----------
    signs : mapping of str to mapping
        Signs of each patient's out-of-fold mask.
    dice : mapping of str to float
        Its Dice with the given mask.
    seed : int
        Seed of the folds, which are dealt by name.

    Returns
    -------
    (Forecast, dict of str to float) or None
        The model, and the cross-validated prediction of each patient; None of fewer than 10 patients.

    References
    ----------
    .. [1] Huber PJ. Robust estimation of a location parameter. Ann Math Stat 1964;35(1):73-101.
    """
    names = sorted(dice)
    if len(names) < LEAST:
        return None
    x = np.array([[transformed(n, signs[p][n]) for n in SIGNS] for p in names])
    y = np.array([dice[p] for p in names])
    fold = np.array(list(assign_folds(names, min(FOLDS, len(names)), seed).values()))
    held_out = np.empty(len(names))
    constant = np.empty(len(names))
    for k in np.unique(fold):
        inside = fold != k
        part = _fit(x[inside], y[inside], _choose(x[inside], y[inside]))
        held_out[~inside] = [part.predict(signs[p]) for p in np.array(names)[~inside].tolist()]
        constant[~inside] = y[inside].mean()
    model = _fit(x, y, _choose(x, y))
    errors = (y - held_out) / np.array([spread(p) for p in held_out])
    evidence = {
        "patients": float(len(names)),
        "mae": float(np.abs(y - held_out).mean()),
        "correlation": float(np.corrcoef(y, held_out)[0, 1]) if np.ptp(y) > 0 and np.ptp(held_out) > 0 else None,
        "constant_mae": float(np.abs(y - constant).mean()),
    }
    return replace(model, errors=_tails(errors), evidence=evidence), dict(zip(names, held_out.tolist(), strict=True))


def _choose(x: Floats, y: Floats) -> float:
    """Choose the penalty of least cross-validated absolute error; the stronger one where two are equal."""
    fold = np.arange(len(y)) % min(FOLDS, len(y))
    found = []
    for penalty in PENALTIES:
        total = 0.0
        for k in range(int(fold.max()) + 1):
            inside = fold != k
            centre, scale = x[inside].mean(axis=0), _deviation(x[inside])
            beta = _huber((x[inside] - centre) / scale, y[inside], penalty)
            total += float(np.abs(np.clip(beta[0] + (x[~inside] - centre) / scale @ beta[1:], 0.0, 1.0) - y[~inside]).sum())
        found.append(total)
    best = min(found)
    return max(p for p, e in zip(PENALTIES, found, strict=True) if e <= best * (1.0 + 1e-9))


def _fit(x: Floats, y: Floats, penalty: float) -> Forecast:
    centre, scale = x.mean(axis=0), _deviation(x)
    beta = _huber((x - centre) / scale, y, penalty)
    return Forecast(SIGNS, _floats(centre), _floats(scale), _floats(x.min(axis=0)), _floats(x.max(axis=0)), _floats(beta[1:]), float(beta[0]), penalty, None, COVERAGE, {})


def _floats(row: Floats) -> tuple[float, ...]:
    return tuple(float(v) for v in row)


def _deviation(x: Floats) -> Floats:
    found = x.std(axis=0)
    return np.where(found > 1e-9, found, 1.0)


def _huber(z: Floats, y: Floats, penalty: float) -> Floats:
    """Minimise Huber's loss at 1.345 deviations of the residuals plus the penalty on all but the intercept, by reweighting."""
    design = np.column_stack([np.ones(len(y)), z])
    ridge = np.diag([0.0] + [penalty] * z.shape[1])
    weights, beta = np.ones(len(y)), np.zeros(z.shape[1] + 1)
    for _ in range(50):
        before = beta
        weighted = design * weights[:, None]
        beta = np.linalg.solve(weighted.T @ design + ridge, weighted.T @ y)
        away = np.abs(y - design @ beta)
        weights = np.minimum(1.0, 1.345 * max(1.4826 * float(np.median(away)), 0.01) / np.maximum(away, 1e-12))
        if float(np.abs(beta - before).max()) < 1e-6:
            break
    return np.asarray(beta)


def _tails(errors: Floats) -> tuple[float, float] | None:
    """Give the ends between which a new error lies with the coverage, by rank [1]_; None where the sample is too small for that.

    References
    ----------
    .. [1] Vovk V, Gammerman A, Shafer G. Algorithmic learning in a random world. Springer 2005 (conformal prediction).
    """
    ranked, out = np.sort(errors), math.floor((len(errors) + 1) * (1.0 - COVERAGE) / 2.0 + 1e-9)
    return (float(ranked[out - 1]), float(ranked[-out])) if out else None


def to_plain(model: Forecast) -> dict[str, Any]:
    """Give a model as JSON holds it.

    Parameters
    ----------
    model : Forecast
        The model.

    Returns
    -------
    dict
        Plain numbers.
    """
    return {"format": FORMAT, **asdict(model)}


def from_plain(content: Mapping[str, Any]) -> Forecast:
    """Make a model of what JSON holds.

    Parameters
    ----------
    content : mapping
        What `to_plain` gave.

    Returns
    -------
    Forecast
        The model.

    Raises
    ------
    BundleError
        If it is of another format, or names signs that this version does not know.
    """
    if content.get("format") != FORMAT or not set(content["names"]) <= set(SIGNS):
        message = f"the model that predicts the Dice of masks is of format {content.get('format')!r}; expected {FORMAT}. Use the version that wrote it, or a newer one"
        raise BundleError(message)
    given: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in content.items() if k != "format"}
    return Forecast(**given)
