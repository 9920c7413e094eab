"""Radiomic features by the reference manual of the Image Biomarker Standardisation Initiative, with its codes as names."""

from sarcofuse.radiomics.ibsi.catalogue import AGGREGATIONS, IBSI_FEATURES, IbsiFeature, feature_names
from sarcofuse.radiomics.ibsi.compute import column_names, measure, measure_intensities
from sarcofuse.radiomics.ibsi.prepare import Masked, prepare

__all__ = ["AGGREGATIONS", "IBSI_FEATURES", "IbsiFeature", "Masked", "column_names", "feature_names", "measure", "measure_intensities", "prepare"]
