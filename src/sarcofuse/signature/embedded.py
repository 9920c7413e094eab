"""Features that a fitted model finds important: an L1-penalised regression, or a forest compared with shadows."""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sarcofuse.signature.gaps import Floats, filled
from sarcofuse.signature.univariate import OutcomeSelector

_SHADOWS = 5


class L1Selector(OutcomeSelector):
    """Keep the features of the largest absolute coefficients in an L1-penalised logistic regression at a fixed penalty.

    Features are taken as they are, without standardisation, as the published benchmark does that this serves to reproduce [1]_; `LassoSignature` is the better choice for new work.

    Parameters
    ----------
    count : int
        Features to keep. Of features without a coefficient the first ones fill up.
    C : float
        Inverse strength of the penalty, in scikit-learn's sense.
    iterations : int
        Most iterations of liblinear; reaching them is no error.
    seed : int
        Seed of liblinear.

    Attributes
    ----------
    strength_ : ndarray, shape (features,)
        Absolute coefficients; of several classes the largest.
    kept_ : ndarray of bool, shape (features,)
        Features that are kept.

    References
    ----------
    .. [1] Demircioglu A. radMLBench: a radiomics dataset collection for benchmarking in radiomics. Comput Biol Med 2024;182:109140.
    """

    def __init__(self, count: int = 16, C: float = 1.0, iterations: int = 100, seed: int = 42) -> None:
        self.count = count
        self.C = C
        self.iterations = iterations
        self.seed = seed

    def fit(self, X: ArrayLike, y: ArrayLike | None = None) -> Self:
        """Choose the features.

        Parameters
        ----------
        X : array-like, shape (patients, features)
            Features, NaN where missing (the median is taken).
        y : array-like, shape (patients,)
            Outcome, as classes; of more than two, each against the rest.

        Returns
        -------
        L1Selector
            Itself.

        Raises
        ------
        ValueError
            If there is no outcome or only one class of it.
        """
        import warnings

        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression

        values, classes = self._table_and_classes(X, y)
        complete, found = filled(values), []
        for k in range(1 if classes.max() == 1 else 0, int(classes.max()) + 1):
            machine = LogisticRegression(C=self.C, l1_ratio=1.0, solver="liblinear", max_iter=self.iterations, random_state=self.seed)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                found.append(np.abs(machine.fit(complete, classes == k).coef_[0]))
        self.strength_: Floats = np.max(found, axis=0)
        self.kept_ = np.zeros(values.shape[1], dtype=bool)
        self.kept_[np.argsort(-self.strength_, kind="stable")[: self.count]] = True
        return self


class BorutaSelector(OutcomeSelector):
    """Keep features that a forest finds more important than the best of shuffled copies, more often than chance would have it.

    In each round every feature that is still open or confirmed gets a shadow, its values in shuffled order, and a forest is grown on both. A feature scores a hit if its importance exceeds that
    of every shadow. Binomial tests of its hits, with Bonferroni's correction for the number of features, confirm or reject it [1]_. The importance is the forest's decrease of impurity.

    Parameters
    ----------
    forest : {'extratrees', 'randomforest'}
        Which forest.
    trees : int
        Trees in each forest.
    depth : int or None
        Depth of the trees; None for no limit.
    rounds : int
        Most rounds.
    level : float
        Level of the tests.
    tentative : bool
        Keep also features that are neither confirmed nor rejected at the end.
    least : int
        Features to keep where fewer are confirmed: those of most hits, ties by mean importance.
    seed : int
        Seed of shadows and forests.

    Attributes
    ----------
    hits_ : ndarray of int, shape (features,)
        Rounds in which the feature beat the shadows.
    importance_ : ndarray, shape (features,)
        Mean importance over the rounds that the feature took part in.
    decision_ : ndarray of int, shape (features,)
        1 confirmed, -1 rejected, 0 tentative.
    kept_ : ndarray of bool, shape (features,)
        Features that are kept.

    References
    ----------
    .. [1] Kursa MB, Rudnicki WR. Feature selection with the Boruta package. J Stat Softw 2010;36(11):1-13.
    """

    def __init__(self, forest: str = "extratrees", trees: int = 200, depth: int | None = 5, rounds: int = 50, level: float = 0.05, *, tentative: bool = False, least: int = 1, seed: int = 0) -> None:
        self.forest = forest
        self.trees = trees
        self.depth = depth
        self.rounds = rounds
        self.level = level
        self.tentative = tentative
        self.least = least
        self.seed = seed

    def fit(self, X: ArrayLike, y: ArrayLike | None = None) -> Self:
        """Choose the features.

        Parameters
        ----------
        X : array-like, shape (patients, features)
            Features, NaN where missing (the median is taken).
        y : array-like, shape (patients,)
            Outcome, as classes.

        Returns
        -------
        BorutaSelector
            Itself.

        Raises
        ------
        ValueError
            If there is no outcome or only one class of it, or the forest is unknown.
        """
        if self.forest not in ("extratrees", "randomforest"):
            message = f"forest must be extratrees or randomforest, found {self.forest}"
            raise ValueError(message)
        values, classes = self._table_and_classes(X, y)
        complete = filled(values)
        count = complete.shape[1]
        self.decision_, self.hits_ = np.zeros(count, dtype=np.int64), np.zeros(count, dtype=np.int64)
        total, part = np.zeros(count), np.zeros(count)
        rng = np.random.default_rng(self.seed)
        for done in range(1, self.rounds + 1):
            if not (self.decision_ == 0).any():
                break
            here = np.flatnonzero(self.decision_ >= 0)
            own, shadows = self._importances(complete[:, here], classes, rng)
            self.hits_[here] += own > shadows.max()
            total[here] += own
            part[here] += 1.0
            self._judge(done)
        self.importance_: Floats = total / np.maximum(part, 1.0)
        self.kept_ = (self.decision_ >= 0) if self.tentative else (self.decision_ == 1)
        if self.kept_.sum() < self.least:
            self.kept_[np.lexsort((np.arange(count), -self.importance_, -self.hits_))[: self.least]] = True
        return self

    def _importances(self, values: Floats, classes: NDArray[np.int64], rng: np.random.Generator) -> tuple[Floats, Floats]:
        """Grow one forest on features and shadows; give the importances of both."""
        from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier

        kind = ExtraTreesClassifier if self.forest == "extratrees" else RandomForestClassifier
        width = values.shape[1]
        shadows = rng.permuted(np.tile(values, (1, max(1, -(-_SHADOWS // width)))), axis=0)
        forest = kind(n_estimators=self.trees, max_depth=self.depth, max_features="sqrt", class_weight="balanced", random_state=int(rng.integers(2**31)), n_jobs=1)
        found: Floats = forest.fit(np.hstack([values, shadows]), classes).feature_importances_
        return found[:width], found[width:]

    def _judge(self, rounds: int) -> None:
        """Confirm and reject by binomial tests; what is decided stays."""
        from scipy.stats import binom

        free = self.decision_ == 0
        many = self.decision_.size
        better = binom.sf(self.hits_ - 1, rounds, 0.5) * many < self.level
        worse = binom.cdf(self.hits_, rounds, 0.5) * many < self.level
        self.decision_[free & better] = 1
        self.decision_[free & worse] = -1
