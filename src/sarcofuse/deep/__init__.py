"""Deep transfer learning: features of pretrained networks that look at the tumour with its surroundings."""

from sarcofuse.deep.registry import BACKBONES, Backbone, backbone
from sarcofuse.deep.stage import extract, extract_deep, pictures, report_dead

__all__ = ["BACKBONES", "Backbone", "backbone", "extract", "extract_deep", "pictures", "report_dead"]
