"""The classifiers, by name: each one an entry of a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

from sarcofuse.errors import ConfigError

TREES = 300
TUNING_TREES = 100


@dataclass(frozen=True, slots=True)
class Classifier:
    """A kind of classifier.

    Attributes
    ----------
    build : callable
        ``build(seed, **settings)`` gives an unfitted scikit-learn classifier.
    default : mapping
        Settings without tuning.
    grid : mapping of str to tuple
        Values that tuning tries, plainest first: of equally good settings the first is taken.
    light : mapping
        Settings while tuning that only save time.
    """

    build: Callable[..., Any]
    default: Mapping[str, Any]
    grid: Mapping[str, tuple[Any, ...]]
    light: Mapping[str, Any]

    def candidates(self, *, tuning: bool) -> list[dict[str, Any]]:
        """List the settings to try.

        Parameters
        ----------
        tuning : bool
            Whether to try more than the default.

        Returns
        -------
        list of dict
            Settings, plainest first.
        """
        if not tuning:
            return [dict(self.default)]
        return [{**self.default, **dict(zip(self.grid, values, strict=True))} for values in product(*self.grid.values())]


def _extratrees(seed: int, **settings: object) -> object:
    from sklearn.ensemble import ExtraTreesClassifier

    return ExtraTreesClassifier(**{"n_estimators": TREES, "random_state": seed, "n_jobs": 1, **settings})


def _randomforest(seed: int, **settings: object) -> object:
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(**{"n_estimators": TREES, "random_state": seed, "n_jobs": 1, **settings})


def _svm(seed: int, **settings: Any) -> object:  # noqa: ANN401 - handed on
    from sarcofuse.models.platt import PlattSVC

    return PlattSVC(seed=seed, **settings)


def _logistic(seed: int, **settings: object) -> object:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(**{"max_iter": 5000, "tol": 1e-8, "random_state": seed, **settings})


def _gradientboosting(seed: int, **settings: object) -> object:
    from sklearn.ensemble import GradientBoostingClassifier

    return GradientBoostingClassifier(**{"random_state": seed, **settings})


def _knn(_seed: int, **settings: Any) -> object:  # noqa: ANN401 - handed on
    from sarcofuse.models.neighbours import NeighbourShare

    return NeighbourShare(**settings)


def _naivebayes(_seed: int, **settings: object) -> object:
    from sklearn.naive_bayes import GaussianNB

    return GaussianNB(**settings)


def _mlp(seed: int, **settings: object) -> object:
    from sklearn.neural_network import MLPClassifier

    return MLPClassifier(**{"hidden_layer_sizes": (8,), "solver": "lbfgs", "max_iter": 300, "random_state": seed, **settings})


_LEAVES = (0.2, 0.1, 0.05, 0.02)
_FOREST = {"min_samples_leaf": 0.05, "max_features": "sqrt"}

CLASSIFIERS: dict[str, Classifier] = {
    "extratrees": Classifier(_extratrees, _FOREST, {"min_samples_leaf": _LEAVES}, {"n_estimators": TUNING_TREES}),
    "svm": Classifier(_svm, {"C": 1.0, "gamma": 0.3}, {"gamma": (0.03, 0.1, 0.3, 1.0), "C": (0.1, 1.0, 10.0)}, {}),
    "logistic": Classifier(_logistic, {"C": 1.0}, {"C": (0.001, 0.01, 0.1, 1.0, 10.0)}, {}),
    "randomforest": Classifier(_randomforest, _FOREST, {"min_samples_leaf": _LEAVES}, {"n_estimators": TUNING_TREES}),
    "gradientboosting": Classifier(_gradientboosting, {"n_estimators": 100, "learning_rate": 0.05, "max_depth": 1, "subsample": 0.7}, {"max_depth": (1, 2), "n_estimators": (50, 100, 200)}, {}),
    "knn": Classifier(_knn, {"share": 0.1}, {"share": (0.3, 0.2, 0.1, 0.05)}, {}),
    "naivebayes": Classifier(_naivebayes, {"var_smoothing": 1e-9}, {"var_smoothing": (1.0, 0.1, 1e-9)}, {}),
    "mlp": Classifier(_mlp, {"alpha": 1.0}, {"alpha": (10.0, 1.0, 0.1)}, {}),
}


def find_classifier(name: str) -> Classifier:
    """Look a classifier up.

    Parameters
    ----------
    name : str
        Its name.

    Returns
    -------
    Classifier
        The entry.

    Raises
    ------
    ConfigError
        If there is none of that name; those that there are, are listed.
    """
    if name not in CLASSIFIERS:
        message = f"models.classifiers: there is no classifier {name!r}; known are {', '.join(CLASSIFIERS)}"
        raise ConfigError(message)
    return CLASSIFIERS[name]
