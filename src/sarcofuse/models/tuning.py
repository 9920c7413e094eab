"""One classifier on one training set: tuned on inner folds, trained, applied to the fold that was left out."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sarcofuse.errors import ConfigError
from sarcofuse.metrics import auc
from sarcofuse.models.blocks import View, assemble
from sarcofuse.models.calibrate import fit_sigmoid
from sarcofuse.models.classifiers import Classifier, Setting, find_classifier
from sarcofuse.models.folds import Integers
from sarcofuse.models.record import Floats
from sarcofuse.models.resample import balanced
from sarcofuse.models.search import Search, Trial, look

if TYPE_CHECKING:
    from sarcofuse.models.estimator import CalibratedClassifier

VERSION = "models classifiers 2"


def learn_classifier(folder: Path, classifier: str, view: str, signatures: Sequence[Path], y: Floats, fold: Integers | None, seed: int, search: Search) -> None:
    """Train a classifier on what signatures show of a training set.

    Writes the trained classifier (``classifier.skops``, if nobody was left out), the risks of the patients left out and the parameters (``result.json``).

    Parameters
    ----------
    folder : Path
        Where to write.
    classifier : str
        Name of the classifier.
    view : {'signatures', 'features'}
        What it sees of each block.
    signatures : sequence of Path
        Folders by `sarcofuse.models.blocks.learn_signatures`, one a block.
    y : ndarray of 0 and 1, shape (patients,)
        Outcome of the training set.
    fold : ndarray of int, shape (patients,), or None
        Inner folds.
    seed : int
        Seed of the classifier and of the search.
    search : Search
        How to tune.
    """
    from sarcofuse.models.persist import save_estimator
    from sarcofuse.runtime import write_json

    seen = assemble(signatures, view, fold)
    tail, parameters = learn(classifier, seen, y, fold, seed, search=search, monotone=view == "signatures")
    if len(seen.test) == 0:
        save_estimator(tail, folder / "classifier.skops")
    write_json({"risks": tail.predict_proba(seen.test)[:, 1], "parameters": parameters}, folder / "result.json")


def learn(classifier: str, seen: View, y: Floats, fold: Integers | None, seed: int, *, search: Search, monotone: bool) -> tuple[CalibratedClassifier, dict[str, Any]]:
    """Choose parameters on inner folds, train on everybody, and calibrate on the inner folds' scores.

    Of each inner fold the classifier sees what was selected without it, so neither tuning nor calibration knows the patients they are judged on. Every candidate is
    judged by the log-loss of its calibrated scores.

    Parameters
    ----------
    classifier : str
        Name of the classifier.
    seen : View
        What it sees.
    y : ndarray of 0 and 1, shape (patients,)
        Outcome of the training set.
    fold : ndarray of int, shape (patients,), or None
        Inner folds; without them the default parameters are taken and the calibration rests on the training patients themselves.
    seed : int
        Seed of the classifier and of the search.
    search : Search
        How to tune.
    monotone : bool
        Whether more of a column can only mean more risk.

    Returns
    -------
    tail : CalibratedClassifier
        Trained and calibrated.
    parameters : dict
        What was chosen, and its log-loss on the inner folds.
    """
    kind = find_classifier(classifier)
    if fold is None:
        tail = train(kind, kind.default, seen.train, y, seed, monotone=monotone)
        line = fit_sigmoid(tail.scores(seen.train, singly=False), y)
        return tail.with_sigmoid(*line), {**kind.default, "inner_log_loss": None}

    def judge(parameters: Mapping[str, Any]) -> Trial:
        score = np.empty(y.size)
        for k, (known, unknown) in enumerate(seen.inner):
            score[fold == k] = train(kind, {**parameters, **kind.light}, known, y[fold != k], seed, monotone=monotone).scores(unknown, singly=False)
        slope, offset = fit_sigmoid(score, y)
        eta = slope * score + offset
        return Trial(parameters, np.logaddexp(0.0, eta) - y * eta, (slope, offset))

    best = look(kind, classifier, judge, search, seed)
    tail = train(kind, best.parameters, seen.train, y, seed, monotone=monotone)
    return tail.with_sigmoid(*best.line), {**best.parameters, "inner_log_loss": float(best.losses.mean())}


def train(kind: Classifier, parameters: Any, X: Floats, y: Floats, seed: int, *, monotone: bool) -> CalibratedClassifier:  # noqa: ANN401 - a mapping handed on
    """Train a scaler and a classifier; its sigmoid is still missing.

    Parameters
    ----------
    kind : Classifier
        Which.
    parameters : mapping
        Its parameters.
    X : ndarray, shape (patients, columns)
        What it sees.
    y : ndarray of 0 and 1, shape (patients,)
        Outcome.
    seed : int
        Seed of the classifier.
    monotone : bool
        Whether more of a column can only mean more risk. A column for which these patients show the contrary is then left out; without any column everybody has the
        mean risk.

    Returns
    -------
    CalibratedClassifier
        With the sigmoid of slope 1 and offset 0.

    Raises
    ------
    ConfigError
        If classes are to be weighed and the classifier takes no weights.
    """
    from sklearn.dummy import DummyClassifier
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.preprocessing import StandardScaler

    from sarcofuse.models.estimator import CalibratedClassifier

    scaler = StandardScaler().fit(X)
    used = np.array([float(not monotone or auc(y, column) > 0.5) for column in X.T])
    some = _some(y, kind.most, seed)
    rows, labels, weights = balanced(kind.balance, (scaler.transform(X) * used)[some], y[some], seed)
    size = y.size if kind.balance is None else labels.size
    machine: Any = kind.build(Setting(seed, size, X.shape[1], monotone), **parameters) if used.any() else DummyClassifier(strategy="prior")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        machine.fit(rows, labels.astype(np.int64), **_weighed(machine, weights))
    return CalibratedClassifier(scaler, used, machine)


def _some(y: Floats, most: int | None, seed: int) -> Integers | slice:
    """Draw so many patients, within each class; everybody where there are no more."""
    if most is None or y.size <= most:
        return slice(None)
    rng, chosen = np.random.default_rng([seed, 4]), []
    for event in (0.0, 1.0):
        group = np.flatnonzero(y == event)
        chosen.append(rng.permutation(group)[: max(1, round(most * group.size / y.size))])
    return np.sort(np.concatenate(chosen))


def _weighed(machine: Any, weights: Floats | None) -> dict[str, Floats]:  # noqa: ANN401 - any scikit-learn classifier
    """Give the arguments of `fit` that hand weights on; none where the classifier balances its classes by itself."""
    from sklearn.utils.validation import has_fit_parameter

    if weights is None or getattr(machine, "class_weight", None) is not None:
        return {}
    if not has_fit_parameter(machine, "sample_weight"):
        message = f"models.classifiers: {type(machine).__name__} takes no weights; balance its training rows with -under, -over or -smote"
        raise ConfigError(message)
    return {"sample_weight": weights}
