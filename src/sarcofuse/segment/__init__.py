"""Segmentation: SegResNet within MONAI's Auto3DSeg, over K folds, with out-of-fold masks for training patients."""

from sarcofuse.segment.external import FOREIGN, identify, portable, segment_external
from sarcofuse.segment.fitting import train
from sarcofuse.segment.masking import fold_cases, segment
from sarcofuse.segment.model import Segmenter, load_segmenter, save_segmenter
from sarcofuse.segment.native import restore_mask
from sarcofuse.segment.plan import explain
from sarcofuse.segment.rating import learn_quality
from sarcofuse.segment.upstream import segment_by_templates

__all__ = [
    "FOREIGN",
    "Segmenter",
    "explain",
    "fold_cases",
    "identify",
    "learn_quality",
    "load_segmenter",
    "portable",
    "restore_mask",
    "save_segmenter",
    "segment",
    "segment_by_templates",
    "segment_external",
    "train",
]
