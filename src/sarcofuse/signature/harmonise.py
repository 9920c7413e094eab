"""ComBat: take the effect of sites out of features, learned from training patients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

RULES = ("refuse", "reference", "location-scale")
UNKNOWN = ""
_FLAT = 1e-8
_MOST = 10_000


class ComBat(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Harmonise features of several sites by location and scale with empirical Bayes [1]_ [2]_.

    A feature is modelled as mean + covariates + site's shift + site's scale x error. Shifts and scales are learned from the patients given to `fit`, shrunk towards what the site's other features
    say, and taken out. The outcome is not looked at; a site of one class may lose part of what tells the classes apart, which `notes_` says.

    Sites come as a column of X (`site`), so that the estimator can stand in a pipeline, or as an argument of `fit` and `transform`. With neither, everybody is of one site and values pass as they are.

    Parameters
    ----------
    site : int, optional
        Column of X that holds the site: the site's place in `labels`, or any other number; NaN for a site unknown. It is not among the columns given back. Where `fit` finds NaN alone, values pass as
        they are.
    covariates : sequence of int
        Columns of X that hold covariates, whose effect is preserved. They are not harmonised nor given back.
    labels : sequence of str, optional
        Names of the sites.
    reference : str, optional
        Site to harmonise to, whose values stay as they are. Without it, the mean of all.
    unseen : {'refuse', 'reference', 'location-scale'}
        What becomes of a patient of a site that `fit` did not see: an error; treated like the reference site, so that values stay as they are; or harmonised with the site's own shift and scale,
        which are learned from the patients given to `transform` together, without their outcomes.
    least : int
        Fewest patients of an unseen site to learn from (location-scale).
    bayes : bool
        Whether to shrink shifts and scales by empirical Bayes.
    tolerance : float
        The iteration ends when no value changes by more than this share; the published implementations take 0.0001.

    Attributes
    ----------
    sites_ : tuple of str
        Sites of training, in order of their names.
    shift_, scale_ : ndarray, shape (sites, features)
        Each site's shift, in pooled standard deviations, and factor of the variance.
    mean_, spread_ : ndarray, shape (features,)
        Mean, and pooled standard deviation; features without variance have a spread of 0 and pass as they are.
    effects_ : ndarray, shape (covariates, features)
        Effects of the covariates.
    kept_ : ndarray of bool, shape (columns,)
        Columns of X that are given back.
    notes_ : tuple of str
        What a careful reader should know.

    References
    ----------
    .. [1] Johnson WE, Li C, Rabinovic A. Adjusting batch effects in microarray expression data using empirical Bayes methods. Biostatistics 2007;8:118-127.
    .. [2] Fortin JP, Cullen N, Sheline YI, et al. Harmonization of cortical thickness measurements across scanners and sites. NeuroImage 2018;167:104-120.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X, sites = rng.normal(size=(40, 5)), np.repeat(["A", "B"], 20)
    >>> X[20:] += 10.0
    >>> Z = ComBat().fit(X, sites=sites).transform(X, sites=sites)
    >>> bool(np.abs(Z[:20].mean() - Z[20:].mean()) < 0.1)
    True
    """

    def __init__(
        self,
        site: int | None = None,
        covariates: Sequence[int] = (),
        labels: Sequence[str] | None = None,
        reference: str | None = None,
        unseen: str = "refuse",
        least: int = 10,
        *,
        bayes: bool = True,
        tolerance: float = 1e-4,
    ) -> None:
        self.site = site
        self.covariates = covariates
        self.labels = labels
        self.reference = reference
        self.unseen = unseen
        self.least = least
        self.bayes = bayes
        self.tolerance = tolerance

    def fit(self, X: ArrayLike, y: ArrayLike | None = None, sites: ArrayLike | None = None) -> Self:
        """Learn the sites' shifts and scales.

        Parameters
        ----------
        X : array-like, shape (patients, columns)
            Features, NaN where missing.
        y : array-like, shape (patients,), optional
            Outcome; only to note sites of one class.
        sites : array-like of str, shape (patients,), optional
            Each patient's site, where it is not a column of X.

        Returns
        -------
        ComBat
            Itself.

        Raises
        ------
        ValueError
            If there is one site only, a site has a single patient, the reference is not among them, a setting is unknown, or covariates cannot be told apart from the sites.
        """
        table = validate_data(self, X, dtype=np.float64, ensure_all_finite="allow-nan")
        width = table.shape[1]
        aside = [c % width for c in (*self.covariates, *(() if self.site is None else (self.site,)))]
        self.kept_: Bools = ~np.isin(np.arange(width), aside)
        values, given, names = self._split(table, sites)
        self.notes_: tuple[str, ...] = ()
        self.sites_ = tuple(str(s) for s in np.unique(names)) if names is not None else ()
        width = values.shape[1]
        self.shift_, self.scale_ = np.zeros((len(self.sites_), width)), np.ones((len(self.sites_), width))
        self.mean_, self.spread_, self.effects_ = np.zeros(width), np.zeros(width), np.zeros((given.shape[1], width))
        if names is None:
            return self
        self._check(names, given)
        member = np.array([names == s for s in self.sites_])
        self._locate(values, given, member)
        standard = self._standardise(values, given)
        for k, rows in enumerate(member):
            if self.sites_[k] != self.reference:
                self.shift_[k], self.scale_[k] = self._site(standard[rows])
        if y is not None:
            alone = [s for s, rows in zip(self.sites_, member, strict=True) if np.unique(np.asarray(y)[rows]).size == 1]
            self.notes_ = tuple(f"site {s} has patients of one outcome alone: its site effect and the outcome cannot be told apart" for s in alone)
        return self

    def _split(self, table: Floats, sites: ArrayLike | None) -> tuple[Floats, Floats, NDArray[np.str_] | None]:
        """Give features, covariates, and the name of each patient's site."""
        names: NDArray[np.str_] | None = None
        if self.site is not None and not np.isnan(table[:, self.site]).all():
            names = np.array([self._name(c) for c in table[:, self.site]], dtype=str)
        elif self.site is None and sites is not None:
            names = np.array([UNKNOWN if s is None else str(s) for s in np.asarray(sites, dtype=object)], dtype=str)
        if names is not None and names.shape != (len(table),):
            message = f"sites must be one a patient, {len(table)} in all, found shape {names.shape}"
            raise ValueError(message)
        return table[:, self.kept_], table[:, list(self.covariates)], names

    def _name(self, code: float) -> str:
        if np.isnan(code):
            return UNKNOWN
        labels = self.labels or ()
        return labels[int(code)] if 0 <= code < len(labels) and code == int(code) else f"{'number ' if labels else ''}{code:g}"

    def _check(self, names: NDArray[np.str_], given: Floats) -> None:
        if self.unseen not in RULES or (self.unseen == "reference" and self.reference is None):
            message = f"unseen must be one of {', '.join(RULES)}, and `reference` needs the name of a reference site; found unseen {self.unseen} and reference {self.reference}"
            raise ValueError(message)
        counts = {s: int((names == s).sum()) for s in self.sites_}
        listed = ", ".join(f"{s or '(none)'} {n}" for s, n in counts.items())
        if UNKNOWN in counts:
            message = f"harmonisation needs the site of every training patient; {counts[UNKNOWN]} of {names.size} have none"
            raise ValueError(message)
        if len(counts) < 2:
            message = f"harmonisation needs patients of two sites or more, found {listed}; leave it out for one site"
            raise ValueError(message)
        few = [s for s, n in counts.items() if n < 2]
        if few:
            message = f"site {few[0]} has a single patient among these {names.size} training patients ({listed}); its scale cannot be learned: merge it with another site, or leave its patient out"
            raise ValueError(message)
        if self.reference is not None and self.reference not in counts:
            message = f"the reference site {self.reference} is not among those of the training patients: {listed}"
            raise ValueError(message)
        if np.isnan(given).any():
            message = f"{int(np.isnan(given).any(axis=1).sum())} of {names.size} patients lack a covariate of the harmonisation; fill it in, or leave the covariate out"
            raise ValueError(message)

    def _locate(self, values: Floats, given: Floats, member: Bools) -> None:
        """Learn mean, covariates' effects and pooled spread of each feature."""
        design = np.hstack([member.T.astype(np.float64), given])
        if np.linalg.matrix_rank(design) < design.shape[1]:
            message = "the covariates of the harmonisation cannot be told apart from the sites (or from one another); leave one out"
            raise ValueError(message)
        known = ~np.isnan(values)
        pure = member[self.sites_.index(self.reference)] if self.reference is not None else np.ones(len(values), dtype=bool)
        weight = np.array([float(rows[pure].sum()) for rows in member]) / pure.sum()
        count = len(self.sites_)
        whole = np.flatnonzero(known.all(axis=0))
        beta = np.full((design.shape[1], values.shape[1]), np.nan)
        beta[:, whole] = np.linalg.lstsq(design, values[:, whole], rcond=None)[0]
        for j in np.flatnonzero(~known.all(axis=0)):
            rows = known[:, j]
            if all((rows & m).sum() >= 2 for m in member) and np.linalg.matrix_rank(design[rows]) == design.shape[1]:
                beta[:, j] = np.linalg.lstsq(design[rows], values[rows, j], rcond=None)[0]
        able = np.isfinite(beta).all(axis=0)
        self.mean_[able] = weight @ beta[:count, able]
        self.effects_[:, able] = beta[count:, able]
        rest = values[np.ix_(pure, able)] - design[pure] @ beta[:, able]
        spread = np.sqrt(np.nanmean(rest**2, axis=0))
        # A feature without variance, or without two patients of each site, is left as it is.
        self.spread_[able] = np.where(spread > _FLAT * np.nanmax(np.abs(values[:, able]), axis=0, initial=0.0), spread, 0.0)

    def _standardise(self, values: Floats, given: Floats) -> Floats:
        """Give values in pooled deviations from what mean and covariates expect; NaN where a feature is left alone."""
        expected = self._expected(given)
        result: Floats = (values - expected) / np.where(self.spread_ > 0.0, self.spread_, np.nan)
        return result

    def _expected(self, given: Floats) -> Floats:
        total = np.repeat(self.mean_[None], len(given), axis=0)
        for k, effect in enumerate(self.effects_):
            total = total + given[:, k : k + 1] * effect
        return total

    def _site(self, standard: Floats) -> tuple[Floats, Floats]:
        """Learn one site's shift and scale from its standardised values; 0 and 1 where there are not two."""
        shift, scale = np.zeros(standard.shape[1]), np.ones(standard.shape[1])
        able = (~np.isnan(standard)).sum(axis=0) >= 2
        own = np.sort(standard[:, able], axis=0)  # so that the order of patients means nothing
        if own.shape[1]:
            found = np.nanmean(own, axis=0), np.nanvar(own, axis=0, ddof=1)
            found = found[0], np.where(found[1] == 0.0, 1.0, found[1])
            shift[able], scale[able] = _shrink(own, *found, self.tolerance) if self.bayes and own.shape[1] > 1 else found
        return shift, scale

    def transform(self, X: ArrayLike, sites: ArrayLike | None = None) -> Floats:
        """Take the sites' effects out.

        Parameters
        ----------
        X : array-like, shape (patients, columns)
            Features, NaN where missing.
        sites : array-like of str, shape (patients,), optional
            Each patient's site, where it is not a column of X.

        Returns
        -------
        ndarray, shape (patients, kept columns)
            Harmonised features. A patient of a known site has the same bits alone and among others.

        Raises
        ------
        ValueError
            If a patient is of an unseen site and the rule is to refuse, if there are too few patients to learn an unseen site from, if a site is not said, or a covariate is missing.
        """
        check_is_fitted(self)
        table = validate_data(self, X, reset=False, dtype=np.float64, ensure_all_finite="allow-nan", ensure_min_samples=0)
        values, given, names = self._split(table, sites)
        if not self.sites_:
            return values
        if names is None and self.site is not None:
            names = np.full(len(values), UNKNOWN)
        if names is None:
            message = f"harmonisation needs each patient's site, one of {', '.join(self.sites_)}; give sites"
            raise ValueError(message)
        if np.isnan(given).any():
            message = f"row {int(np.argmax(np.isnan(given).any(axis=1)))} lacks a covariate of the harmonisation; fill it in"
            raise ValueError(message)
        result = values.copy()
        for name in np.unique(names):
            rows = np.flatnonzero(names == name)
            found = self._parameters(str(name), values[rows], given[rows], rows)
            if found is not None:
                expected, shift, scale = self._expected(given[rows]), *found
                moved = (((values[rows] - expected) / np.where(self.spread_ > 0.0, self.spread_, 1.0)) - shift) / np.sqrt(scale) * self.spread_ + expected
                result[rows] = np.where((self.spread_ > 0.0) & ((shift != 0.0) | (scale != 1.0)), moved, values[rows])
        return result

    def _parameters(self, name: str, values: Floats, given: Floats, rows: NDArray[np.int64]) -> tuple[Floats, Floats] | None:
        """Give a site's shift and scale; None for the reference and what counts as it."""
        if name in self.sites_:
            k = self.sites_.index(name)
            return None if name == self.reference else (self.shift_[k], self.scale_[k])
        if self.unseen == "reference":
            return None
        who = f"site {name}" if name != UNKNOWN else "a patient without a site"
        if self.unseen == "refuse" or name == UNKNOWN:
            where = ", ".join(map(str, rows[:5].tolist()))
            message = f"{who} (rows {where}{' ...' if rows.size > 5 else ''}) was not harmonised in training, which had sites {', '.join(self.sites_)}; its patients are refused (unseen: refuse)"
            raise ValueError(message)
        if rows.size < self.least:
            message = f"{who} has {rows.size} patients here; its own shift and scale need at least {self.least} of them at once (unseen: location-scale)"
            raise ValueError(message)
        return self._site(self._standardise(values, given))

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:  # noqa: ANN401 - scikit-learn's interface
        """Name the columns that `transform` gives.

        Parameters
        ----------
        input_features : array-like of str, optional
            Names of the columns given; by default those seen by `fit`.

        Returns
        -------
        ndarray of str
            Names of features, without site and covariates.
        """
        from sklearn.utils.validation import _check_feature_names_in

        check_is_fitted(self)
        names: NDArray[np.object_] = _check_feature_names_in(self, input_features)[self.kept_]
        return names

    def __sklearn_tags__(self) -> Any:  # noqa: ANN401 - scikit-learn's interface
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags


def _shrink(own: Floats, shift: Floats, scale: Floats, tolerance: float) -> tuple[Floats, Floats]:
    """Shrink a site's shifts and scales towards those of its other features: posterior means under a normal and an inverse gamma prior (Johnson 2007, section 3)."""
    count = (~np.isnan(own)).sum(axis=0)
    centre, between = shift.mean(), shift.var(ddof=1)
    average, around = scale.mean(), scale.var(ddof=1)
    if between == 0.0 or around == 0.0:
        return shift, scale
    a, b = (2.0 * around + average**2) / around, (average * around + average**3) / around
    g, d = shift, scale
    for _ in range(_MOST):
        g_new = (between * count * shift + d * centre) / (between * count + d)
        d_new = (0.5 * np.nansum((own - g_new) ** 2, axis=0) + b) / (count / 2.0 + a - 1.0)
        # The change is relative to the signed shift, as in the published implementations, so that the iteration ends where theirs does.
        with np.errstate(divide="ignore", invalid="ignore"):
            change = max(float(np.nanmax(np.abs(g_new - g) / g)), float((np.abs(d_new - d) / d).max()))
        g, d = g_new, d_new
        if not change > tolerance:
            break
    return g, d
