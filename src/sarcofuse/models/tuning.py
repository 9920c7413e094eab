"""One classifier on one training set: tuned on inner folds, trained, applied to the fold that was left out."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sarcofuse.models.blocks import Integers, View, assemble, inner_folds
from sarcofuse.models.classifiers import Classifier, find_classifier
from sarcofuse.models.record import Floats

VERSION = "models classifiers 1"
_LEAST_RISK = 1e-3


def learn_classifier(folder: Path, classifier: str, view: str, signatures: Sequence[Path], y: Floats, inner: int, seed: int, tuning: bool) -> None:
    """Train a classifier on what signatures show of a training set.

    Writes the trained classifier (``classifier.skops``, if nobody was left out), the risks of the patients left out and the settings (``result.json``).

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
    inner : int
        Inner folds.
    seed : int
        Seed of folds and classifier.
    tuning : bool
        Whether to tune.
    """
    from sarcofuse.models.persist import save_estimator
    from sarcofuse.runtime import write_json

    kind, fold = find_classifier(classifier), inner_folds(y, inner, seed)
    seen = assemble(signatures, view, fold)
    settings, loss, decision = tune(kind, seen, y, fold, seed, tuning=tuning)
    tail = train(kind, settings, seen.train, y, seed, decision)
    if len(seen.test) == 0:
        save_estimator(tail, folder / "classifier.skops")
    write_json({"risks": tail.predict_proba(seen.test)[:, 1], "parameters": {**settings, "inner_log_loss": loss}, "columns": seen.train.shape[1]}, folder / "result.json")


def train(kind: Classifier, settings: dict[str, Any], X: Floats, y: Floats, seed: int, decision: Floats | None = None) -> Any:  # noqa: ANN401 - a lazily imported class
    """Train a scaler and a classifier.

    Parameters
    ----------
    kind : Classifier
        Which.
    settings : dict
        Its settings.
    X : ndarray, shape (patients, columns)
        What it sees.
    y : ndarray of 0 and 1, shape (patients,)
        Outcome.
    seed : int
        Seed of the classifier.
    decision : ndarray, shape (patients,), optional
        Out-of-fold decision values, for a classifier that calibrates itself on them.

    Returns
    -------
    ScaledClassifier
        Fitted.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.preprocessing import StandardScaler

    from sarcofuse.models.estimator import ScaledClassifier

    scaler, machine = StandardScaler().fit(X), kind.build(seed, **settings)
    extra = {} if decision is None else {"decision": decision}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        machine.fit(scaler.transform(X), y.astype(np.int64), **extra)
    return ScaledClassifier(scaler, machine)


def tune(kind: Classifier, seen: View, y: Floats, fold: Integers | None, seed: int, *, tuning: bool) -> tuple[dict[str, Any], float | None, Floats | None]:
    """Choose settings by the log-loss on inner folds, whose features were selected without them.

    Parameters
    ----------
    kind : Classifier
        Which classifier.
    seen : View
        What it sees.
    y : ndarray of 0 and 1, shape (patients,)
        Outcome of the training set.
    fold : ndarray of int, shape (patients,), or None
        Inner folds; without them the default settings are taken.
    seed : int
        Seed of the classifier.
    tuning : bool
        Whether to try more than the default settings.

    Returns
    -------
    settings : dict
        The best.
    loss : float or None
        Their mean log-loss on the inner folds.
    decision : ndarray or None
        Their out-of-fold decision values, from a classifier that has some.
    """
    from sarcofuse.models.platt import PlattSVC, fit_sigmoid

    candidates, calibrates = kind.candidates(tuning=tuning), isinstance(kind.build(seed, **kind.default), PlattSVC)
    if fold is None or (len(candidates) == 1 and not calibrates):
        return dict(kind.default), None, None
    best: tuple[dict[str, Any], float | None, Floats | None] = (dict(kind.default), None, None)
    for settings in candidates:
        score = np.empty(y.size)
        for k, (learn, check) in enumerate(seen.inner):
            tail = train(kind, {**settings, **(kind.light if tuning else {})}, learn, y[fold != k], seed, np.zeros(len(learn)) if calibrates else None)
            scaled = tail.scaler.transform(check)
            score[fold == k] = tail.classifier.decision_function(scaled) if calibrates else tail.classifier.predict_proba(scaled)[:, 1]
        risk = score
        if calibrates:
            slope, offset = fit_sigmoid(score, y)
            risk = 1.0 / (1.0 + np.exp(-(slope * score + offset)))
        loss = log_loss(y, risk)
        if best[1] is None or loss < best[1] - 1e-9:
            best = (settings, loss, score if calibrates else None)
    return best


def log_loss(y: NDArray[Any], risk: Floats) -> float:
    """Mean log-loss, with risks held within 0.001 and 0.999 so that one certain error does not decide alone.

    Parameters
    ----------
    y : ndarray of 0 and 1, shape (patients,)
        Outcome.
    risk : ndarray, shape (patients,)
        Risks.

    Returns
    -------
    float
        The loss.
    """
    held = np.clip(risk, _LEAST_RISK, 1.0 - _LEAST_RISK)
    return float(-(y * np.log(held) + (1 - y) * np.log1p(-held)).mean())
