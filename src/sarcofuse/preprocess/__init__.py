"""From the scanner's image to the working image: orientation, grid, bias field, intensities."""

from sarcofuse.preprocess.intensity import body_mask, correct_bias, normalise
from sarcofuse.preprocess.stage import prepare, prepare_one

__all__ = ["body_mask", "correct_bias", "normalise", "prepare", "prepare_one"]
