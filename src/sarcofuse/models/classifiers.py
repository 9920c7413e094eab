"""The classifiers, by name: each one an entry of a table."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

from sarcofuse.errors import ConfigError
from sarcofuse.models.resample import BALANCES

TREES = 300
TUNING_TREES = 80


@dataclass(frozen=True, slots=True)
class Setting:
    """What a classifier is built for.

    Attributes
    ----------
    seed : int
        Seed.
    patients : int
        Training patients.
    columns : int
        Columns that it sees.
    monotone : bool
        Whether more of a column can only mean more risk: so it is with signatures, which are log-odds already.
    """

    seed: int
    patients: int
    columns: int
    monotone: bool = False


@dataclass(frozen=True, slots=True)
class Range:
    """Values that a search may draw from.

    Attributes
    ----------
    low, high : float
        The ends.
    log : bool
        Whether to draw evenly on the logarithm.
    whole : bool
        Whether whole numbers alone are meant.
    """

    low: float
    high: float
    log: bool = False
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Classifier:
    """A kind of classifier.

    Attributes
    ----------
    build : callable
        ``build(setting, **parameters)`` gives an unfitted scikit-learn classifier.
    default : mapping
        Parameters without tuning.
    grid : mapping of str to tuple
        Values that tuning tries, plainest first.
    light : mapping
        Parameters while tuning that only save time.
    patience : float
        Tuning takes the plainest candidate whose loss exceeds the least by no more than this many standard errors of their difference.
    space : mapping of str to Range
        Values that the searches ``random`` and ``optuna`` draw from.
    most : int or None
        Patients beyond which it learns from that many of them, drawn within each class: its work grows with the square of their number.
    extra : str or None
        Optional dependency of Sarcofuse that it needs.
    balance : str or None
        How training rows are balanced between the classes: one of `sarcofuse.models.resample.BALANCES`, or not at all.
    """

    build: Callable[..., Any]
    default: Mapping[str, Any]
    grid: Mapping[str, tuple[Any, ...]]
    light: Mapping[str, Any] = field(default_factory=dict)
    patience: float = 0.0
    space: Mapping[str, Range] = field(default_factory=dict)
    most: int | None = None
    extra: str | None = None
    balance: str | None = None

    def candidates(self, *, tuning: bool) -> list[dict[str, Any]]:
        """List the parameters to try.

        Parameters
        ----------
        tuning : bool
            Whether to try more than the default.

        Returns
        -------
        list of dict
            Parameters, plainest first.
        """
        if not tuning:
            return [dict(self.default)]
        return [{**self.default, **dict(zip(self.grid, values, strict=True))} for values in product(*self.grid.values())]


def _forest(kind: Any, setting: Setting, parameters: Mapping[str, Any]) -> object:  # noqa: ANN401 - a scikit-learn class
    monotone = [1] * setting.columns if setting.monotone else None
    return kind(**{"n_estimators": TREES, "max_features": "sqrt", "random_state": setting.seed, "n_jobs": 1, "monotonic_cst": monotone, **parameters})


def _extratrees(setting: Setting, **parameters: object) -> object:
    from sklearn.ensemble import ExtraTreesClassifier

    return _forest(ExtraTreesClassifier, setting, parameters)


def _randomforest(setting: Setting, **parameters: object) -> object:
    from sklearn.ensemble import RandomForestClassifier

    return _forest(RandomForestClassifier, setting, parameters)


def _svm(setting: Setting, C: float, steepness: float) -> object:
    from sklearn.svm import SVC

    return SVC(C=C, gamma=steepness / setting.columns, class_weight="balanced", random_state=setting.seed)


def _logistic(setting: Setting, C: float) -> object:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=C, max_iter=5000, tol=1e-8, random_state=setting.seed)


def _gradientboosting(setting: Setting, **parameters: object) -> object:
    from sklearn.ensemble import GradientBoostingClassifier

    return GradientBoostingClassifier(**{"learning_rate": 0.05, "subsample": 0.7, "random_state": setting.seed, **parameters})


def _knn(setting: Setting, share: float) -> object:
    from sklearn.neighbors import KNeighborsClassifier

    return KNeighborsClassifier(n_neighbors=max(1, round(share * setting.patients)), algorithm="brute")


def _naivebayes(_setting: Setting, var_smoothing: float) -> object:
    from sklearn.naive_bayes import GaussianNB

    return GaussianNB(var_smoothing=var_smoothing)


def _mlp(setting: Setting, alpha: float) -> object:
    from sklearn.neural_network import MLPClassifier

    return MLPClassifier(hidden_layer_sizes=(8,), solver="lbfgs", max_iter=300, alpha=alpha, random_state=setting.seed)


def _lightgbm(setting: Setting, trees: int, depth: int, rate: float) -> object:
    from sarcofuse.models.boosters import LightGBMText

    return LightGBMText(trees, depth, rate, setting.seed, monotone=setting.monotone)


def _xgboost(setting: Setting, trees: int, depth: int, rate: float) -> object:
    from sarcofuse.models.boosters import XGBoostText

    return XGBoostText(trees, depth, rate, setting.seed, monotone=setting.monotone)


_LEAVES: dict[str, tuple[Any, ...]] = {"min_samples_leaf": (0.1, 0.04, 0.015)}
_SPREAD = {"min_samples_leaf": Range(0.005, 0.2, log=True)}
_BOOSTED = {"trees": Range(20, 300, whole=True), "depth": Range(1, 4, whole=True), "rate": Range(0.01, 0.3, log=True)}
_STEPS: dict[str, tuple[Any, ...]] = {"depth": (1, 2), "trees": (50, 100, 200)}
_SVM_MOST = 5000

CLASSIFIERS: dict[str, Classifier] = {
    "extratrees": Classifier(_extratrees, {"min_samples_leaf": 0.04}, _LEAVES, {"n_estimators": TUNING_TREES}, space=_SPREAD),
    "svm": Classifier(
        _svm,
        {"C": 1.0, "steepness": 0.1},
        {"steepness": (0.03, 0.1, 0.3), "C": (0.1, 1.0, 10.0)},
        patience=1.0,
        space={"steepness": Range(0.01, 1.0, log=True), "C": Range(0.01, 100.0, log=True)},
        most=_SVM_MOST,
    ),
    "logistic": Classifier(_logistic, {"C": 1.0}, {"C": (0.001, 0.01, 0.1, 1.0, 10.0)}, space={"C": Range(1e-4, 100.0, log=True)}),
    "randomforest": Classifier(_randomforest, {"min_samples_leaf": 0.04}, _LEAVES, {"n_estimators": TUNING_TREES}, space=_SPREAD),
    "gradientboosting": Classifier(
        _gradientboosting,
        {"n_estimators": 100, "max_depth": 1},
        {"max_depth": (1, 2), "n_estimators": (50, 100, 200)},
        space={"n_estimators": Range(20, 300, whole=True), "max_depth": Range(1, 4, whole=True), "learning_rate": Range(0.01, 0.3, log=True)},
    ),
    "knn": Classifier(_knn, {"share": 0.1}, {"share": (0.3, 0.2, 0.1, 0.05)}, space={"share": Range(0.02, 0.4, log=True)}),
    "naivebayes": Classifier(_naivebayes, {"var_smoothing": 0.1}, {"var_smoothing": (1.0, 0.1, 1e-9)}, space={"var_smoothing": Range(1e-9, 1.0, log=True)}),
    "mlp": Classifier(_mlp, {"alpha": 1.0}, {"alpha": (10.0, 1.0, 0.1)}, patience=1.0, space={"alpha": Range(0.01, 100.0, log=True)}),
    "lightgbm": Classifier(_lightgbm, {"trees": 100, "depth": 1, "rate": 0.05}, _STEPS, space=_BOOSTED, extra="lightgbm"),
    "xgboost": Classifier(_xgboost, {"trees": 100, "depth": 1, "rate": 0.05}, _STEPS, space=_BOOSTED, extra="xgboost"),
}


def find_classifier(name: str) -> Classifier:
    """Look a classifier up.

    Parameters
    ----------
    name : str
        Its name; after a hyphen how its training rows are balanced, as in ``logistic-smote``.

    Returns
    -------
    Classifier
        The entry.

    Raises
    ------
    ConfigError
        If there is none of that name, when those that there are, are listed; or if it needs an optional dependency that is not installed.
    """
    stem, _, balance = name.partition("-")
    if stem not in CLASSIFIERS or (name != stem and balance not in BALANCES):
        message = f"models.classifiers: there is no classifier {name!r}; known are {', '.join(CLASSIFIERS)}, each also with balanced training rows (-{', -'.join(BALANCES)})"
        raise ConfigError(message)
    found = CLASSIFIERS[stem]
    if found.extra is not None and importlib.util.find_spec(found.extra) is None:
        message = f"models.classifiers: {stem} is not installed; pip install sarcofuse[{found.extra}], or choose among {', '.join(n for n, c in CLASSIFIERS.items() if c.extra is None)}"
        raise ConfigError(message)
    return replace(found, balance=balance) if balance else found
