"""The models: classifiers on signatures and selected features, their honest training risks and their operating points."""

from sarcofuse.models.classifiers import CLASSIFIERS, find_classifier
from sarcofuse.models.fit import FeatureSet, feature_sets, fit_models, risks
from sarcofuse.models.persist import dump_estimator, load_estimator, save_estimator
from sarcofuse.models.record import FittedModel, Repeats

__all__ = ["CLASSIFIERS", "FeatureSet", "FittedModel", "Repeats", "dump_estimator", "feature_sets", "find_classifier", "fit_models", "load_estimator", "risks", "save_estimator"]
