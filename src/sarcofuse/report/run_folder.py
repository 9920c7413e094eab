"""What a run left on disk, read file by file, as it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sarcofuse.errors import RequestError
from sarcofuse.records import SPLITS, block_alone
from sarcofuse.report.privacy import Numbering
from sarcofuse.runtime import read_json

if TYPE_CHECKING:
    import pandas as pd

SPLIT_NAMES = {"train": "Training", "internal": "Internal test", "external": "External test"}
FEATURE_NAMES = {"radiomic": "Radiomic", "deep": "Deep", "dlr": "DLR", "clinical": "Clinical"}
CLASSIFIER_NAMES = {
    "extratrees": "ExtraTrees",
    "svm": "SVM",
    "logistic": "logistic regression",
    "randomforest": "random forest",
    "gradientboosting": "gradient boosting",
    "knn": "k-nearest neighbours",
    "naivebayes": "naive Bayes",
    "mlp": "multilayer perceptron",
}


@dataclass(frozen=True, slots=True)
class Score:
    """A figure with its interval; None where it is not defined."""

    value: float | None = None
    low: float | None = None
    high: float | None = None

    @classmethod
    def read(cls, content: object) -> Score:
        """Read ``{"value", "low", "high"}``, a bare number, or nothing.

        Parameters
        ----------
        content : object
            As metrics.json has it.

        Returns
        -------
        Score
            With None for whatever is absent.
        """
        if isinstance(content, Mapping):
            return cls(*(number(content.get(k)) for k in ("value", "low", "high")))
        return cls(number(content))


@dataclass(frozen=True, slots=True)
class ModelScores:
    """One model on one split: a row of metrics.json.

    Attributes
    ----------
    features, classifier, split
        Which model, on whom.
    patients, events : int or None
        How many.
    scores : mapping of str to Score
        ``auc``, ``sensitivity`` ... as far as the file has them.
    """

    features: str
    classifier: str
    split: str
    patients: int | None
    events: int | None
    scores: Mapping[str, Score]

    @property
    def auc(self) -> Score:
        """Area under the ROC curve."""
        return self.scores.get("auc", Score())

    @property
    def name(self) -> str:
        """Feature set and classifier in words."""
        return model_name(self.features, self.classifier)


class RunFolder:
    """A run, read-only.

    Parameters
    ----------
    path : Path
        The run's folder.

    Raises
    ------
    RequestError
        If it holds no run.json, or one that cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not (path / "run.json").is_file():
            message = f"{path} is not a run: run.json is missing; expected the folder that `sarcofuse run` wrote"
            raise RequestError(message)
        self.run: dict[str, Any] = self._json("run.json", {})
        self.numbering = Numbering(self._everybody(), identifiers=bool(self.setting("report", "identifiers", default=False)))

    def has(self, name: str) -> bool:
        """Say whether a file, or a filled list of metrics.json (``metrics.json:bayes``), is there.

        Parameters
        ----------
        name : str
            Path relative to the run, with an optional key after a colon.

        Returns
        -------
        bool
            True if it is.
        """
        file, _, key = name.partition(":")
        return (self.path / file).is_file() and (not key or bool(self._json(file, {}).get(key)))

    def setting(self, *names: str, default: Any = None) -> Any:  # noqa: ANN401 - settings are of any kind
        """Give a setting of the study.

        Parameters
        ----------
        *names : str
            Section and name, as deep as need be.
        default : object
            What to give where run.json does not say.

        Returns
        -------
        object
            The setting.
        """
        found: Any = self.run.get("config") or {}
        for name in names:
            if not isinstance(found, Mapping) or found.get(name) is None:
                return default
            found = found[name]
        return found

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """Content of metrics.json; empty if absent."""
        return dict(self._json("metrics.json", {}))

    @cached_property
    def curves(self) -> list[dict[str, Any]]:
        """Curves of every model and split; empty if absent."""
        return list(self._json("curves.json", {}).get("models") or [])

    @cached_property
    def lines(self) -> list[dict[str, Any]]:
        """Follow-up of the risk groups of every model and split; empty if absent."""
        return list(self._json("curves.json", {}).get("survival") or [])

    @cached_property
    def fitted(self) -> list[dict[str, Any]]:
        """Content of models.json; empty if absent."""
        return self._rows("models.json", "models")

    @cached_property
    def cases(self) -> list[dict[str, Any]]:
        """Content of cases.json; empty if absent."""
        return self._rows("cases.json", "cases")

    @cached_property
    def quality(self) -> list[dict[str, Any]]:
        """Content of quality.json; empty if absent."""
        return self._rows("quality.json", "quality")

    @cached_property
    def cohort(self) -> pd.DataFrame | None:
        """Content of cohort.parquet; None if absent."""
        import pandas as pd

        if not self.has("cohort.parquet"):
            return None
        frame = pd.read_parquet(self.path / "cohort.parquet")
        return frame.reset_index() if frame.index.name == "patient_id" else frame

    @cached_property
    def scores(self) -> list[ModelScores]:
        """The rows of metrics.json, in its order."""
        return [_model_scores(row) for row in self.metrics.get("models") or []]

    @property
    def primary(self) -> tuple[str, str]:
        """Feature set and classifier that the study leads with: as metrics.json marks it, else as the settings name it."""
        for row in self.metrics.get("models") or []:
            if row.get("primary") is True:
                return str(row.get("features", "")), str(row.get("classifier", ""))
        named = self.setting("models", "primary", default=None)
        return (str(named[0]), str(named[1])) if named else ("dlr", "extratrees")

    @property
    def splits(self) -> list[str]:
        """The splits that the scores speak of, training first."""
        there = {row.split for row in self.scores}
        return [s for s in SPLITS if s in there]

    @property
    def models(self) -> list[tuple[str, str]]:
        """Feature sets in the order of metrics.json, and within each the classifiers in the order of the settings; no signatures by themselves, which are there for comparison."""
        wanted, lead = [str(c) for c in self.setting("models", "classifiers", default=())], self.primary[0]
        found = list(dict.fromkeys((row.features, row.classifier) for row in self.scores if block_alone(row.features) is None or row.features == lead))
        sets = list(dict.fromkeys(features for features, _ in found))
        return sorted(found, key=lambda m: (sets.index(m[0]), wanted.index(m[1]) if m[1] in wanted else len(wanted)))

    @property
    def outcome(self) -> str:
        """Name of the outcome, in words."""
        return str(self.setting("cohort", "outcome", default="the event")).replace("_", " ")

    @property
    def coverage(self) -> str:
        """Coverage of the intervals, as ``95%``."""
        return f"{100 * float(self.setting('evaluation', 'confidence', default=0.95)):g}%"

    def score(self, features: str, classifier: str, split: str) -> ModelScores | None:
        """Find one model's row.

        Parameters
        ----------
        features, classifier, split : str
            Which.

        Returns
        -------
        ModelScores or None
            None if it was not evaluated.
        """
        return next((r for r in self.scores if (r.features, r.classifier, r.split) == (features, classifier, split)), None)

    def curve(self, features: str, classifier: str, split: str, kind: str) -> dict[str, Any]:
        """Find one curve.

        Parameters
        ----------
        features, classifier, split : str
            Whose.
        kind : {'roc', 'pr', 'calibration', 'decision', 'reduction'}
            Which.

        Returns
        -------
        dict
            Its points by name; empty if there is none.
        """
        for row in self.curves:
            if (row.get("features"), row.get("classifier"), row.get("split")) == (features, classifier, split):
                return dict(row.get(kind) or {})
        return {}

    def _json(self, name: str, absent: Any) -> Any:  # noqa: ANN401 - JSON is what it is
        file = self.path / name
        if not file.is_file():
            return absent
        try:
            return read_json(file)
        except ValueError as error:
            message = f"{file} cannot be read as JSON ({error}); run the study again to write it anew"
            raise RequestError(message) from error

    def _rows(self, name: str, key: str) -> list[dict[str, Any]]:
        content = self._json(name, [])
        return list(content.get(key) or [] if isinstance(content, Mapping) else content)

    def _everybody(self) -> set[str]:
        frame = self.cohort
        named = set() if frame is None else set(frame["patient_id"].astype(str))
        for rows in (self.cases, self.quality, self.run.get("set_aside") or []):
            named |= {str(row.get("patient_id", "")) for row in rows}
        return named


def _model_scores(row: Mapping[str, Any]) -> ModelScores:
    features, classifier, split = (str(row.get(k, "")) for k in ("features", "classifier", "split"))
    scores = {k: Score.read(v) for k, v in row.items() if k not in ("features", "classifier", "split", "primary", "patients", "events")}
    return ModelScores(features, classifier, split, row.get("patients"), row.get("events"), scores)


def number(content: object) -> float | None:
    """Give a finite number as float, anything else as None.

    Parameters
    ----------
    content : object
        Number or not.

    Returns
    -------
    float or None
        The number.
    """
    if isinstance(content, bool) or not isinstance(content, int | float):
        return None
    return float(content) if abs(content) < float("inf") else None


def feature_name(features: str) -> str:
    """Give the printed name of a feature set.

    Parameters
    ----------
    features : str
        As in metrics.json.

    Returns
    -------
    str
        ``Radiomic``, say, or ``Radiomic signature``.
    """
    block = block_alone(features)
    return FEATURE_NAMES.get(features, features) if block is None else f"{FEATURE_NAMES.get(block, block)} signature"


def classifier_name(classifier: str) -> str:
    """Give the printed name of a classifier, to stand alone.

    Parameters
    ----------
    classifier : str
        As in metrics.json.

    Returns
    -------
    str
        ``Logistic regression``, say.
    """
    name = CLASSIFIER_NAMES.get(classifier, classifier)
    return name[:1].upper() + name[1:] if not classifier.startswith("k") else name


def model_name(features: str, classifier: str) -> str:
    """Give the printed name of a model.

    Parameters
    ----------
    features, classifier : str
        As in metrics.json.

    Returns
    -------
    str
        ``DLR with ExtraTrees``, say.
    """
    return f"{feature_name(features)} with {CLASSIFIER_NAMES.get(classifier, classifier)}"
