"""The bootstrap samples of one split, shared by all models, and the intervals they give."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from sarcofuse.config import EvaluationConfig
from sarcofuse.evaluation.groups import Floats, Integers
from sarcofuse.metrics import Estimate, LeaveOut, acceleration, bca_ends, leave_out, percentile_ends, stratified_counts

_ENTRIES = 4_000_000  # weights held at once, 32 MB


@dataclass(frozen=True, slots=True, eq=False)
class Sampling:
    """Bootstrap samples of some patients and, for BCa intervals, the samples with one of them left out.

    Attributes
    ----------
    y : ndarray of 0 and 1, shape (patients,)
        Outcome.
    config : EvaluationConfig
        Samples, kind of interval, coverage.
    seed : list of int
        Seed of the draw.
    plan : LeaveOut
        Who is left out.
    """

    y: Integers
    config: EvaluationConfig
    seed: list[int]
    plan: LeaveOut = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "plan", leave_out(self.y))

    def batches(self) -> Iterator[Floats]:
        """Give the samples, a batch at a time where there are many patients: first those of the bootstrap, then the leave-outs.

        Yields
        ------
        ndarray, shape (samples, patients)
            Weight of each patient in each sample.
        """
        most = max(1, _ENTRIES // max(1, self.y.size))
        for batch, start in enumerate(range(0, self.config.bootstrap, most)):
            yield stratified_counts(self.y, min(most, self.config.bootstrap - start), self.seed if not batch else [*self.seed, batch])
        if self.config.intervals == "bca":
            for start in range(0, self.plan.stratum.size, most):
                yield self.plan.weights(start, min(start + most, self.plan.stratum.size))

    def ends(self, values: ArrayLike, rows: Floats) -> tuple[Floats, Floats]:
        """Give the intervals of many figures.

        Parameters
        ----------
        values : array-like, shape (figures,)
            The figures themselves.
        rows : ndarray, shape (samples, figures)
            The figures in each sample, in the order of `batches`.

        Returns
        -------
        low, high : ndarray, shape (figures,)
            Ends of the intervals.
        """
        drawn, left = rows[: self.config.bootstrap], rows[self.config.bootstrap :]
        if self.config.intervals == "percentile":
            return percentile_ends(values, drawn, self.config.confidence)
        return bca_ends(values, drawn, acceleration(left, self.plan.stratum), self.config.confidence)

    def estimate(self, value: float, rows: Floats) -> Estimate:
        """Give one figure with its interval.

        Parameters
        ----------
        value : float
            The figure itself.
        rows : ndarray, shape (samples,)
            The figure in each sample, in the order of `batches`.

        Returns
        -------
        Estimate
            The figure and its interval.
        """
        low, high = self.ends(np.array([value]), rows[:, None])
        return Estimate(float(value), float(low[0]), float(high[0]))
