"""LightGBM and XGBoost as scikit-learn classifiers that keep their fitted trees as text, so that a bundle needs no pickle."""

from __future__ import annotations

import functools
import importlib
import json
from abc import ABC, abstractmethod
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin

from sarcofuse.errors import ConfigError
from sarcofuse.models.record import Floats

_LEAST_LEAF = 0.02


class _Boosted(ClassifierMixin, BaseEstimator, ABC):  # type: ignore[misc]
    """What both have in common.

    Parameters
    ----------
    trees : int
        Trees.
    depth : int
        Depth of each.
    rate : float
        Learning rate.
    seed : int
        Seed.
    monotone : bool
        Whether more of a column can only mean more risk.

    Attributes
    ----------
    model_ : str
        The fitted trees, in the library's own text format.
    classes_ : ndarray of int
        0 and 1.
    """

    def __init__(self, trees: int = 100, depth: int = 1, rate: float = 0.05, seed: int = 0, *, monotone: bool = False) -> None:
        self.trees = trees
        self.depth = depth
        self.rate = rate
        self.seed = seed
        self.monotone = monotone

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Learn the trees.

        Parameters
        ----------
        X : array-like, shape (patients, columns)
            What it learns from.
        y : array-like of 0 and 1, shape (patients,)
            Outcome.

        Returns
        -------
        Self
            Itself.
        """
        values, outcome = np.ascontiguousarray(X, dtype=np.float64), np.asarray(y, dtype=np.float64)
        self.classes_, self.n_features_in_ = np.array([0, 1]), values.shape[1]
        self.model_ = self._learn(values, outcome)
        return self

    @abstractmethod
    def _learn(self, values: Floats, y: Floats) -> str:
        """Learn; give the model as text."""

    def decision_function(self, X: ArrayLike) -> Floats:
        """Give the log-odds.

        Parameters
        ----------
        X : array-like, shape (patients, columns)
            As in `fit`.

        Returns
        -------
        ndarray, shape (patients,)
            Log-odds.
        """
        return self._odds(np.ascontiguousarray(X, dtype=np.float64))

    @abstractmethod
    def _odds(self, values: Floats) -> Floats:
        """Give the log-odds by the model's text."""

    def predict(self, X: ArrayLike) -> NDArray[np.int64]:
        """Give the more probable class.

        Parameters
        ----------
        X : array-like, shape (patients, columns)
            As in `fit`.

        Returns
        -------
        ndarray of int, shape (patients,)
            0 or 1.
        """
        return (self.decision_function(X) >= 0.0).astype(np.int64)


class LightGBMText(_Boosted):
    """Gradient boosting by LightGBM [1]_ (extra ``lightgbm``); parameters and attributes as in XGBoostText.

    Parameters
    ----------
    trees : int
        Trees.
    depth : int
        Depth of each.
    rate : float
        Learning rate.
    seed : int
        Seed.
    monotone : bool
        Whether more of a column can only mean more risk.

    References
    ----------
    .. [1] Ke G et al. LightGBM: a highly efficient gradient boosting decision tree. NeurIPS 2017.
    """

    def _learn(self, values: Floats, y: Floats) -> str:
        library = _library("lightgbm")
        settings = {
            "objective": "binary",
            "learning_rate": self.rate,
            "max_depth": self.depth,
            "num_leaves": 2**self.depth,
            "min_data_in_leaf": max(2, round(_LEAST_LEAF * y.size)),
            "monotone_constraints": [int(self.monotone)] * values.shape[1],
            "seed": self.seed,
            "deterministic": True,
            "force_row_wise": True,
            "num_threads": 1,
            "verbosity": -1,
        }
        return str(library.train(settings, library.Dataset(values, y, params={"verbosity": -1}), num_boost_round=self.trees).model_to_string())

    def _odds(self, values: Floats) -> Floats:
        return np.asarray(_lightgbm(self.model_).predict(values, raw_score=True, num_threads=1), dtype=np.float64)


class XGBoostText(_Boosted):
    """Gradient boosting by XGBoost [1]_ (extra ``xgboost``).

    Parameters
    ----------
    trees : int
        Trees.
    depth : int
        Depth of each.
    rate : float
        Learning rate.
    seed : int
        Seed.
    monotone : bool
        Whether more of a column can only mean more risk.

    References
    ----------
    .. [1] Chen T, Guestrin C. XGBoost: a scalable tree boosting system. KDD 2016;785-794.
    """

    def _learn(self, values: Floats, y: Floats) -> str:
        library = _library("xgboost")
        settings = {
            "objective": "binary:logistic",
            "eta": self.rate,
            "max_depth": self.depth,
            "base_score": float(y.mean()),
            "monotone_constraints": "(" + ",".join([str(int(self.monotone))] * values.shape[1]) + ")",
            "tree_method": "hist",
            "seed": self.seed,
            "nthread": 1,
            "verbosity": 0,
        }
        booster = library.train(settings, library.DMatrix(values, y, nthread=1), num_boost_round=self.trees)
        return json.dumps(json.loads(booster.save_raw("json").decode("utf8")), sort_keys=True)

    def _odds(self, values: Floats) -> Floats:
        library = _library("xgboost")
        return np.asarray(_xgboost(self.model_).predict(library.DMatrix(values, nthread=1), output_margin=True), dtype=np.float64)


def _library(name: str) -> Any:  # noqa: ANN401 - an optional module
    try:
        return importlib.import_module(name)
    except ImportError as error:
        message = f"{name} is not installed, and this model needs it: pip install sarcofuse[{name}]"
        raise ConfigError(message) from error


@functools.lru_cache(maxsize=32)
def _lightgbm(text: str) -> Any:  # noqa: ANN401 - a class of the library
    return _library("lightgbm").Booster(model_str=text)


@functools.lru_cache(maxsize=32)
def _xgboost(text: str) -> Any:  # noqa: ANN401 - a class of the library
    booster = _library("xgboost").Booster({"nthread": 1})
    booster.load_model(bytearray(text.encode("utf8")))
    return booster
