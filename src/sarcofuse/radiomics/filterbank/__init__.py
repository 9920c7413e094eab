"""Convolutional filters as the Image Biomarker Standardisation Initiative defines them: mean, Laplacian of Gaussian, Laws, Gabor, wavelets, Riesz transforms."""

from sarcofuse.radiomics.filterbank.images import filter_box, filter_image, filter_name, filter_reach

__all__ = ["filter_box", "filter_image", "filter_name", "filter_reach"]
