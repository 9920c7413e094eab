"""One feature at a time: tests with control of false discoveries, and pruning of features that say the same."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d

from sarcofuse.signature.gaps import Floats, Selector, filled

TESTS = ("mannwhitney", "t", "anova")
_PIECE = 512


class OutcomeSelector(Selector):
    """What selectors that look at the outcome share."""

    def _table_and_classes(self, X: ArrayLike, y: ArrayLike | None) -> tuple[Floats, NDArray[np.int64]]:
        """Give the training patients' values, and their classes numbered from 0."""
        from sklearn.utils.validation import check_consistent_length

        values = self._table(X)
        name = type(self).__name__
        if y is None:
            message = f"{name} needs the outcome: requires y to be passed, but the target y is None"
            raise ValueError(message)
        outcome = column_or_1d(y, warn=True)
        check_consistent_length(values, outcome)
        check_classification_targets(outcome)
        classes, numbered = np.unique(outcome, return_inverse=True)
        if classes.size < 2:
            message = f"{name} needs an outcome of two classes or more, found 1 class: {classes.tolist()}"
            raise ValueError(message)
        return values, numbered.astype(np.int64)

    def __sklearn_tags__(self) -> Any:  # noqa: ANN401 - scikit-learn's interface
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags


def association(values: Floats, classes: NDArray[np.int64], test: str) -> tuple[Floats, Floats]:
    """Test each feature for an association with the outcome.

    Parameters
    ----------
    values : ndarray, shape (patients, features)
        Features; patients without one are passed over in its test.
    classes : ndarray of int, shape (patients,)
        Outcome as classes from 0.
    test : {'mannwhitney', 't', 'anova'}
        Mann and Whitney's test [1]_ (normal approximation with corrections for ties and continuity; Kruskal and Wallis' where there are more than two classes), Welch's t-test (two classes),
        or the F-test of an analysis of variance.

    Returns
    -------
    strength : ndarray, shape (features,)
        ``|AUC - 0.5|`` (Kruskal and Wallis' H for more classes), ``|t|`` or F; 0 for a feature that cannot be tested because it is constant or too few patients have it.
    p : ndarray, shape (features,)
        Two-sided p-values; 1 for a feature that cannot be tested.

    Raises
    ------
    ValueError
        If the test is unknown, or a t-test meets more than two classes.

    References
    ----------
    .. [1] Mann HB, Whitney DR. On a test of whether one of two random variables is stochastically larger than the other. Ann Math Stat 1947;18:50-60.
    """
    count = int(classes.max()) + 1
    if test not in TESTS or (test == "t" and count > 2):
        message = f"the univariate test must be one of {', '.join(TESTS)}, and t of two classes; found {test} of {count} classes"
        raise ValueError(message)
    strength, p = np.zeros(values.shape[1]), np.ones(values.shape[1])
    gaps = np.isnan(values)
    whole = np.flatnonzero(~gaps.any(axis=0) & (values != values[:1]).any(axis=0))
    for begin in range(0, whole.size, _PIECE):
        piece = whole[begin : begin + _PIECE]
        strength[piece], p[piece] = _compare(values[:, piece], classes, test)
    for j in np.flatnonzero(gaps.any(axis=0)):
        known = ~gaps[:, j]
        column, own = values[known, j : j + 1], classes[known]
        if known.any() and (column != column[0]).any() and np.bincount(own, minlength=count).min() >= 2:
            strength[j : j + 1], p[j : j + 1] = _compare(column, own, test)
    unclear = ~np.isfinite(p)
    strength[unclear], p[unclear] = 0.0, 1.0
    return strength, p


def _compare(values: Floats, classes: NDArray[np.int64], test: str) -> tuple[Floats, Floats]:
    from scipy import stats

    groups = [values[classes == k] for k in range(int(classes.max()) + 1)]
    with np.errstate(divide="ignore", invalid="ignore"):
        if test == "mannwhitney" and len(groups) == 2:
            found = stats.mannwhitneyu(groups[1], groups[0], axis=0, method="asymptotic")
            return np.abs(found.statistic / (len(groups[0]) * len(groups[1])) - 0.5), found.pvalue
        if test == "mannwhitney":
            found = stats.kruskal(*groups, axis=0)
        elif test == "t":
            found = stats.ttest_ind(groups[1], groups[0], axis=0, equal_var=False)
        else:
            from sklearn.feature_selection import f_classif

            return f_classif(values, classes)  # type: ignore[no-any-return]
    return np.abs(found.statistic), found.pvalue


def strongest(strength: Floats, p: Floats) -> NDArray[np.int64]:
    """Order features from the strongest association to the weakest.

    Parameters
    ----------
    strength, p : ndarray, shape (features,)
        As of `association`.

    Returns
    -------
    ndarray of int, shape (features,)
        Columns: by p-value, ties by strength, then in order of the table.
    """
    order: NDArray[np.int64] = np.lexsort((np.arange(p.size), -strength, p))
    return order


class UnivariateFilter(OutcomeSelector):
    """Keep features associated with the outcome by themselves, with control of the false discovery rate.

    Parameters
    ----------
    test : {'mannwhitney', 't', 'anova'}
        The test, see `sarcofuse.signature.univariate.association`.
    control : {'bh', 'by', 'none'}
        Benjamini and Hochberg's control [1]_, that of Benjamini and Yekutieli [2]_, which holds under any dependence, or none.
    level : float
        Largest false discovery rate (or p-value, without control) of a kept feature.
    count : int, optional
        Keep so many of the strongest instead, whatever their p-value.
    least : int
        Features to keep where fewer reach the level, the strongest ones.

    Attributes
    ----------
    p_, q_ : ndarray, shape (features,)
        p-values, and p-values adjusted by the control.
    strength_ : ndarray, shape (features,)
        Size of the test statistic.
    kept_ : ndarray of bool, shape (features,)
        Features that are kept.

    References
    ----------
    .. [1] Benjamini Y, Hochberg Y. Controlling the false discovery rate: a practical and powerful approach to multiple testing. J R Stat Soc B 1995;57:289-300.
    .. [2] Benjamini Y, Yekutieli D. The control of the false discovery rate in multiple testing under dependency. Ann Stat 2001;29:1165-1188.

    Examples
    --------
    >>> X = np.column_stack([np.arange(20.0), np.tile([1.0, 2.0], 10)])
    >>> UnivariateFilter().fit(X, np.repeat([0, 1], 10)).get_support().tolist()
    [True, False]
    """

    def __init__(self, test: str = "mannwhitney", control: str = "bh", level: float = 0.05, count: int | None = None, least: int = 1) -> None:
        self.test = test
        self.control = control
        self.level = level
        self.count = count
        self.least = least

    def fit(self, X: ArrayLike, y: ArrayLike | None = None) -> Self:
        """Choose the features.

        Parameters
        ----------
        X : array-like, shape (patients, features)
            Features, NaN where missing.
        y : array-like, shape (patients,)
            Outcome, as classes.

        Returns
        -------
        UnivariateFilter
            Itself.

        Raises
        ------
        ValueError
            If there is no outcome or only one class of it, or test or control is unknown.
        """
        from scipy.stats import false_discovery_control

        if self.control not in ("bh", "by", "none"):
            message = f"control must be bh, by or none, found {self.control}"
            raise ValueError(message)
        values, classes = self._table_and_classes(X, y)
        self.strength_, self.p_ = association(values, classes, self.test)
        self.q_: Floats = self.p_ if self.control == "none" else false_discovery_control(self.p_, method=self.control)
        order = strongest(self.strength_, self.p_)
        wanted = self.count if self.count is not None else max(self.least, int((self.q_ <= self.level).sum()))
        self.kept_ = np.zeros(self.p_.size, dtype=bool)
        self.kept_[order[:wanted]] = True
        return self


def apart(columns: Floats, order: NDArray[np.int64], limit: float) -> NDArray[np.bool_]:
    """Walk through features in an order and drop each that correlates too much with one kept before it.

    Parameters
    ----------
    columns : ndarray, shape (features, patients)
        Features, a row each, centred and of length 1 (or 0 for a constant one).
    order : ndarray of int, shape (features,)
        In which order to walk.
    limit : float
        Largest absolute correlation that two kept features may have; 1 keeps everything.

    Returns
    -------
    ndarray of bool, shape (features,)
        True for a kept feature. Memory grows with kept features times 512, not with the square of all.
    """
    kept = np.ones(len(columns), dtype=bool)
    if limit >= 1.0:
        return kept
    chosen = np.empty((0, columns.shape[1]))
    for begin in range(0, order.size, _PIECE):
        piece = order[begin : begin + _PIECE]
        own = columns[piece]
        free: NDArray[np.bool_] = ~np.any(np.abs(chosen @ own.T) > limit, axis=0)
        close = np.abs(own @ own.T) > limit
        for i in range(piece.size):
            if free[i]:
                free[i + 1 :] &= ~close[i, i + 1 :]
        kept[piece] = free
        chosen = np.vstack([chosen, own[free]])
    return kept


def unit_columns(values: Floats, method: str) -> Floats:
    """Give features whose dot products are their correlations.

    Parameters
    ----------
    values : ndarray, shape (patients, features)
        Features; gaps count as the median.
    method : {'pearson', 'spearman'}
        Of values or of ranks.

    Returns
    -------
    ndarray, shape (features, patients)
        A row a feature, centred, of length 1; 0 for a constant one.

    Raises
    ------
    ValueError
        If the method is unknown.
    """
    from scipy.stats import rankdata

    if method not in ("pearson", "spearman"):
        message = f"method must be pearson or spearman, found {method}"
        raise ValueError(message)
    complete = filled(values)
    rows = np.ascontiguousarray((rankdata(complete, axis=0) if method == "spearman" else complete).T)
    flat = (rows == rows[:, :1]).all(axis=1)
    rows = rows - rows.mean(axis=1, keepdims=True)
    length = np.sqrt((rows * rows).sum(axis=1, keepdims=True))
    result: Floats = np.where(flat[:, None] | (length == 0.0), 0.0, rows / np.where(length == 0.0, 1.0, length))
    return result


class CorrelationFilter(OutcomeSelector):
    """Of features that correlate too much keep one: the one of the stronger association with the outcome, or the first.

    Parameters
    ----------
    limit : float
        Largest absolute correlation of two kept features.
    keep : {'stronger', 'first'}
        Which one to keep; with `first` the outcome is not looked at.
    method : {'pearson', 'spearman'}
        Correlation of values or of ranks. Gaps count as the median.
    test : {'mannwhitney', 't', 'anova'}
        What tells the strength, see `sarcofuse.signature.univariate.association`.

    Attributes
    ----------
    kept_ : ndarray of bool, shape (features,)
        Features that are kept.

    Examples
    --------
    >>> X = np.column_stack([[1.0, 2, 3, 4], [2.0, 4, 6, 8.1], [1.0, -1, -1, 1]])
    >>> CorrelationFilter(keep="first").fit(X).get_support().tolist()
    [True, False, True]
    """

    def __init__(self, limit: float = 0.9, keep: str = "first", method: str = "pearson", test: str = "mannwhitney") -> None:
        self.limit = limit
        self.keep = keep
        self.method = method
        self.test = test

    def fit(self, X: ArrayLike, y: ArrayLike | None = None) -> Self:
        """Choose the features.

        Parameters
        ----------
        X : array-like, shape (patients, features)
            Features, NaN where missing.
        y : array-like, shape (patients,)
            Outcome, as classes; needed with `keep` ``stronger`` alone.

        Returns
        -------
        CorrelationFilter
            Itself.

        Raises
        ------
        ValueError
            If a setting is unknown, or the outcome is needed and absent.
        """
        if self.keep not in ("stronger", "first"):
            message = f"keep must be stronger or first, found {self.keep}"
            raise ValueError(message)
        if self.keep == "stronger":
            values, classes = self._table_and_classes(X, y)
            order = strongest(*association(values, classes, self.test))
        else:
            values = self._table(X)
            order = np.arange(values.shape[1])
        self.kept_ = apart(unit_columns(values, self.method), order, self.limit)
        return self

    def __sklearn_tags__(self) -> Any:  # noqa: ANN401 - scikit-learn's interface
        tags = super().__sklearn_tags__()
        tags.target_tags.required = self.keep == "stronger"
        return tags
