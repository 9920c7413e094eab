"""Where a classifier's parameters are looked for: a grid, random draws, or Optuna's sampler; always within the training set."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sarcofuse.errors import ConfigError
from sarcofuse.models.classifiers import Classifier, Range
from sarcofuse.models.record import Floats

if TYPE_CHECKING:
    from sarcofuse.config import ModelsConfig


@dataclass(frozen=True, slots=True)
class Search:
    """How parameters are looked for.

    Attributes
    ----------
    kind : {'none', 'grid', 'random', 'optuna'}
        ``none`` takes the default parameters.
    budget : int
        Trials of ``random`` and ``optuna``, the default parameters being the first.
    fixed : tuple of (str, object)
        Parameters to take instead of the default ones, with ``none``.
    """

    kind: str = "grid"
    budget: int = 20
    fixed: tuple[tuple[str, Any], ...] = ()

    @classmethod
    def of(cls, config: ModelsConfig) -> Search:
        """Read the settings.

        Parameters
        ----------
        config : ModelsConfig
            Settings.

        Returns
        -------
        Search
            What they ask for.

        Raises
        ------
        ConfigError
            If Optuna is asked for and not installed.
        """
        if not config.tuning:
            return cls("none", 1)
        if config.search == "optuna":
            _optuna()
        return cls(config.search, config.budget if config.search != "grid" else 1)


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """Parameters and how well they did on the inner folds.

    Attributes
    ----------
    parameters : mapping
        What was tried.
    losses : ndarray, shape (patients,)
        Log-loss of each patient's calibrated out-of-fold score.
    line : tuple of float
        Slope and offset of the sigmoid that calibrated them.
    """

    parameters: Mapping[str, Any]
    losses: Floats
    line: tuple[float, float]


def look(kind: Classifier, name: str, judge: Callable[[Mapping[str, Any]], Trial], search: Search, seed: int) -> Trial:
    """Try parameters and give the best trial.

    On the grid, the plainest candidate that is hardly worse than the best is taken (see `Classifier.patience`); otherwise the one of least loss.

    Parameters
    ----------
    kind : Classifier
        Which classifier.
    name : str
        Its name, of which the draws depend.
    judge : callable
        Gives the trial of some parameters.
    search : Search
        How to look.
    seed : int
        Seed of the draws.

    Returns
    -------
    Trial
        The chosen one.
    """
    if search.fixed:
        return judge(dict(search.fixed))
    if search.kind in ("none", "grid"):
        trials = [judge(parameters) for parameters in kind.candidates(tuning=search.kind == "grid")]
        return trials[plainest([t.losses for t in trials], kind.patience)]
    source = _random if search.kind == "random" else _sampled
    trials = list(source(kind, judge, search.budget, zlib.crc32(name.encode()) % 10_000 + 10_000 * seed))
    return trials[plainest([t.losses for t in trials], 0.0)]


def plainest(losses: list[Floats], patience: float) -> int:
    """Choose the plainest candidate that is hardly worse than the best.

    Parameters
    ----------
    losses : list of ndarray, shape (patients,)
        Losses of each candidate, plainest first.
    patience : float
        Standard errors of the difference by which a plainer one may be worse.

    Returns
    -------
    int
        Its place.
    """
    best = int(np.argmin([round(float(loss.mean()), 9) for loss in losses]))
    for i, loss in enumerate(losses):
        gap = loss - losses[best]
        if float(gap.mean()) <= patience * float(gap.std()) / np.sqrt(gap.size):
            return i
    return best


def _random(kind: Classifier, judge: Callable[[Mapping[str, Any]], Trial], budget: int, seed: int) -> Iterator[Trial]:
    rng = np.random.default_rng(seed)
    yield judge(kind.default)
    for _ in range(budget - 1):
        yield judge({**kind.default, **{name: draw(values, float(rng.random())) for name, values in kind.space.items()}})


def draw(values: Range, share: float) -> float | int:
    """Give the value at a share of a range.

    Parameters
    ----------
    values : Range
        The range.
    share : float
        0 for its low end, 1 for its high end.

    Returns
    -------
    float or int
        A number of three digits, so that it can be written down.

    Examples
    --------
    >>> draw(Range(0.01, 100.0, log=True), 0.5), draw(Range(1, 3, whole=True), 0.99)
    (1.0, 3)
    """
    if values.whole:
        return min(int(values.high), int(values.low) + int(share * (values.high - values.low + 1)))
    raw = values.low * (values.high / values.low) ** share if values.log else values.low + share * (values.high - values.low)
    return float(round(raw, 2 - math.floor(math.log10(raw)))) if raw > 0.0 else 0.0


def _sampled(kind: Classifier, judge: Callable[[Mapping[str, Any]], Trial], budget: int, seed: int) -> Iterator[Trial]:
    """Let Optuna's tree-structured Parzen estimator propose shares of each range."""
    optuna = _optuna()
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed % 2**32, n_startup_trials=min(10, max(1, budget // 2))))
        first = judge(kind.default)
        yield first
        for _ in range(budget - 1):
            asked = study.ask()
            trial = judge({**kind.default, **{name: draw(values, asked.suggest_float(name, 0.0, 1.0)) for name, values in kind.space.items()}})
            study.tell(asked, float(trial.losses.mean()))
            yield trial
    finally:
        optuna.logging.set_verbosity(before)


def _optuna() -> Any:  # noqa: ANN401 - an optional module
    try:
        import optuna
    except ImportError as error:
        message = "models.search: optuna is not installed; pip install sarcofuse[optuna], or set models.search to grid or random"
        raise ConfigError(message) from error
    return optuna
