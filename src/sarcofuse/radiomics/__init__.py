"""Radiomic features with PyRadiomics' names and conventions: shape, first order and texture, of the image and of filtered images."""

from sarcofuse.radiomics.advice import Advice, Levels, advise
from sarcofuse.radiomics.catalogue import FEATURES, Feature
from sarcofuse.radiomics.cohort import Drawn, Extraction, Labels, extract_cohort, masks_of
from sarcofuse.radiomics.compute import compute_features, feature_names
from sarcofuse.radiomics.habitats import fit_codebook, learn_habitats, voxel_features
from sarcofuse.radiomics.regions import region_masks, region_names
from sarcofuse.radiomics.robust import Stability, mask_agreement, perturb_cases, robustness, robustness_many, stability
from sarcofuse.radiomics.settings import read_settings
from sarcofuse.radiomics.stage import describe_case, extract, extract_many, extract_radiomics, grey_levels

__all__ = [
    "FEATURES",
    "Advice",
    "Drawn",
    "Extraction",
    "Feature",
    "Labels",
    "Levels",
    "Stability",
    "advise",
    "compute_features",
    "describe_case",
    "extract",
    "extract_cohort",
    "extract_many",
    "extract_radiomics",
    "feature_names",
    "fit_codebook",
    "grey_levels",
    "learn_habitats",
    "mask_agreement",
    "masks_of",
    "perturb_cases",
    "read_settings",
    "region_masks",
    "region_names",
    "robustness",
    "robustness_many",
    "stability",
    "voxel_features",
]
