"""Feature tables whose truth is known."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from sarcofuse.models import CLASSIFIERS
from sarcofuse.records import FeatureTable
from sarcofuse.runtime import Engine


@dataclass(frozen=True)
class Simulated:
    """Tables of two blocks, in which a few latent factors drive the outcome."""

    tables: dict[str, FeatureTable]
    outcome: dict[str, int]
    log_odds: dict[str, float]
    train: tuple[str, ...]
    test: tuple[str, ...]

    def training(self) -> dict[str, int]:
        return {p: self.outcome[p] for p in self.train}


def simulate(train: int, test: int, features: int, *, effect: float = 1.2, factors: int = 10, seed: int = 0) -> Simulated:
    """Each block: `factors` factors, of which two matter; every feature is a factor with noise of the same size."""
    rng = np.random.default_rng(seed)
    total = train + test
    ids = tuple(f"P{i:04d}" for i in rng.permutation(total))
    eta, tables = np.full(total, -0.8), {}
    for block in ("radiomic", "deep"):
        latent = rng.normal(size=(total, factors))
        values = latent[:, np.arange(features) % factors] + rng.normal(size=(total, features))
        eta = eta + effect * (latent[:, 0] - latent[:, 1]) / np.sqrt(2)
        tables[block] = FeatureTable(block, ids, tuple(f"{block}_{j}" for j in range(features)), values)
    y = (rng.random(total) < 1 / (1 + np.exp(-eta))).astype(int)
    return Simulated(tables, dict(zip(ids, map(int, y), strict=True)), dict(zip(ids, map(float, eta), strict=True)), ids[:train], ids[train:])


@pytest.fixture(scope="session")
def simulated() -> Simulated:
    return simulate(150, 100, 24, effect=2.0, factors=6)


@pytest.fixture(scope="module", autouse=True)
def small_forests() -> Iterator[None]:
    """Forests of few trees, in this process and for the tests of this folder alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sarcofuse.models.classifiers.TREES", 40)
        for name in ("extratrees", "randomforest"):
            patch.setitem(CLASSIFIERS[name].light, "n_estimators", 40)
        yield


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with Engine(tmp_path / "cache", scheduler="serial", progress=False) as found:
        yield found


@pytest.fixture(scope="session")
def simulation() -> Callable[..., Simulated]:
    return simulate


@pytest.fixture(scope="session")
def rearranged() -> Callable[[Mapping[str, FeatureTable], np.ndarray], dict[str, FeatureTable]]:
    """Give tables with their rows in another order, or only some of them."""

    def change(tables: Mapping[str, FeatureTable], rows: np.ndarray) -> dict[str, FeatureTable]:
        return {b: FeatureTable(b, tuple(t.patient_ids[i] for i in rows), t.names, t.values[rows]) for b, t in tables.items()}

    return change
