"""The models: classifiers on signatures and selected features, their honest training risks and their operating points."""

from sarcofuse.models.classifiers import CLASSIFIERS, find_classifier
from sarcofuse.models.explain import explain, shapley_values
from sarcofuse.models.fit import fit_chosen, fit_models, out_of_fold, prepare, risks
from sarcofuse.models.leaky import leaky_risks
from sarcofuse.models.persist import dump_estimator, load_estimator, save_estimator
from sarcofuse.models.record import FittedModel, Learned, Repeats
from sarcofuse.models.sets import FeatureSet, feature_sets
from sarcofuse.models.work import Recipe, Work

__all__ = [
    "CLASSIFIERS",
    "FeatureSet",
    "FittedModel",
    "Learned",
    "Recipe",
    "Repeats",
    "Work",
    "dump_estimator",
    "explain",
    "feature_sets",
    "find_classifier",
    "fit_chosen",
    "fit_models",
    "leaky_risks",
    "load_estimator",
    "out_of_fold",
    "prepare",
    "risks",
    "save_estimator",
    "shapley_values",
]
