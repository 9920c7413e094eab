"""What is true of the synthetic patients: latent components, how recurrence follows from them, and the best AUC that follows.

Every patient has three independent standard normal components: *texture* of the tumour, *shape* and margin, and *oedema* around it.
Aggressiveness is their weighted sum (variance 1), and recurrence is drawn with probability
``1 / (1 + exp(-(ALPHA + BETA * aggressiveness)))``.

The risk is the same at both hospitals. Each split holds a fixed number of events: components are drawn together with the outcome until the outcome is the one that
the split still needs, so that those with and those without the event follow exactly the distributions of the model, whatever the share of events. The AUC
depends on these two distributions alone [1]_, and is therefore the same for every split.

References
----------
.. [1] Pepe MS. The Statistical Evaluation of Medical Tests for Classification and Prediction. Oxford University Press, 2003; chapter 4.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sarcofuse.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

WEIGHTS: dict[str, float] = {"texture": 0.36**0.5, "shape": 0.25**0.5, "oedema": 0.39**0.5}
"""Weight of each component in the aggressiveness; their squares add up to 1."""
ALPHA = -2.180
"""Intercept of the risk: 200 of 803 recur, as in the study."""
BETA = 2.7
"""Slope of the risk in the aggressiveness."""
CAUSES = ("texture", "shape", "oedema")
"""The components that the risk depends on, unless a cohort is made with fewer."""
SOURCES: dict[str, tuple[str, ...]] = {
    "radiomic": ("texture", "shape"),
    "deep": ("texture", "shape", "oedema"),
    "dlr": ("texture", "shape", "oedema"),
    "clinical": (),
}
"""What each feature set can see: radiomics measures inside the mask, the networks see the tumour with its surroundings, and the clinical columns are noise."""


@dataclass(frozen=True, slots=True)
class Latents:
    """The hidden components of one patient, each a draw from a standard normal distribution.

    Attributes
    ----------
    texture : float
        Contrast and coarseness of the tumour's inside.
    shape : float
        Lobulation and blurred margin.
    oedema : float
        Extent and brightness of the oedema around the tumour.
    """

    texture: float
    shape: float
    oedema: float

    @property
    def aggressiveness(self) -> float:
        """Weighted sum of the components; variance 1 over patients."""
        return WEIGHTS["texture"] * self.texture + WEIGHTS["shape"] * self.shape + WEIGHTS["oedema"] * self.oedema

    @property
    def risk(self) -> float:
        """Probability of recurrence."""
        return float(risk_of(np.asarray(self.aggressiveness)))


def risk_of(aggressiveness: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the probability of recurrence.

    Parameters
    ----------
    aggressiveness : ndarray of float64
        Weighted sums of the components.

    Returns
    -------
    ndarray of float64
        Probabilities, 0 to 1.
    """
    return np.asarray(1.0 / (1.0 + np.exp(-(ALPHA + BETA * aggressiveness))))


def aggressiveness_of(latents: Latents, causes: Iterable[str] = CAUSES) -> float:
    """Give the aggressiveness of a patient where the risk depends on some components alone.

    Parameters
    ----------
    latents : Latents
        The patient's components.
    causes : iterable of str
        Components that the risk depends on; the others show in the image and mean nothing.

    Returns
    -------
    float
        Weighted sum of the causes, scaled to variance 1 over patients.

    Raises
    ------
    ConfigError
        If a cause is unknown, or there is none.
    """
    known = check_causes(causes)
    if known == CAUSES:
        return latents.aggressiveness
    return float(sum(WEIGHTS[c] * getattr(latents, c) for c in known) / sum(WEIGHTS[c] ** 2 for c in known) ** 0.5)


def check_causes(causes: Iterable[str]) -> tuple[str, ...]:
    """Put causes in order.

    Parameters
    ----------
    causes : iterable of str
        Any of `CAUSES`, at least one.

    Returns
    -------
    tuple of str
        Each once.

    Raises
    ------
    ConfigError
        If a cause is unknown, or there is none.
    """
    given = set(causes)
    if not given or given - set(CAUSES):
        message = f"the risk of a synthetic cohort must depend on one or more of {', '.join(CAUSES)}, found {', '.join(sorted(given)) or 'none'}"
        raise ConfigError(message)
    return tuple(c for c in CAUSES if c in given)


def draw_latents(rng: np.random.Generator, recurrence: int, causes: Iterable[str] = CAUSES) -> Latents:
    """Draw a patient whose outcome is given: components and outcome are drawn until the outcome is that one.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of the draws.
    recurrence : int
        1 or 0.
    causes : iterable of str
        Components that the risk depends on.

    Returns
    -------
    Latents
        A draw from the model's distribution given the outcome.
    """
    while True:
        latents = Latents(*(float(v) for v in rng.standard_normal(3)))
        if (rng.random() < float(risk_of(np.asarray(aggressiveness_of(latents, causes))))) == bool(recurrence):
            return latents


def bayes_auc(sources: Iterable[str], causes: Iterable[str] = CAUSES) -> float:
    """Give the AUC of the best possible risk that knows some of the components: no model can do better on average.

    With u the weighted sum of the known components, divided by its standard deviation r, the probability of recurrence q(u) is the mean of the risk over the rest (normal, variance
    1 - r**2; Gauss-Hermite quadrature with 96 nodes). It rises with u, so ranking by u is optimal (Neyman-Pearson), and
    AUC = double integral over v < u of phi(u) q(u) phi(v) (1 - q(v)) / (P (1 - P)), taken on a regular grid where the density phi falls to
    1e-18 at the ends.

    Parameters
    ----------
    sources : iterable of str
        Any of ``texture``, ``shape``, ``oedema``.
    causes : iterable of str
        Components that the risk depends on.

    Returns
    -------
    float
        Population AUC; 0.5 where nothing that matters is known.

    Raises
    ------
    ConfigError
        If a source is unknown.

    Examples
    --------
    >>> round(bayes_auc(["texture", "shape", "oedema"]), 3), round(bayes_auc(["texture", "shape"]), 3), bayes_auc([])
    (0.912, 0.818, 0.5)
    """
    known = set(sources)
    if unknown := known - set(WEIGHTS):
        message = f"unknown source {min(unknown)!r} of the Bayes AUC; expected any of {', '.join(WEIGHTS)}"
        raise ConfigError(message)
    of = check_causes(causes)
    known &= set(of)
    if not known:
        return 0.5
    r = min(1.0, (sum(WEIGHTS[s] ** 2 for s in sorted(known)) / (1.0 if of == CAUSES else sum(WEIGHTS[c] ** 2 for c in of))) ** 0.5)
    nodes, weights = np.polynomial.hermite_e.hermegauss(96)
    u = np.linspace(-9.0, 9.0, 6001)
    q = risk_of(r * u[:, None] + (1.0 - r * r) ** 0.5 * nodes) @ (weights / weights.sum())
    density = np.exp(-0.5 * u * u)
    events, others = density * q, density * (1.0 - q)
    events, others = events / events.sum(), others / others.sum()
    return float(events @ (np.cumsum(others) - 0.5 * others))
