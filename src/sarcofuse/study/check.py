"""Preflight of a study as a whole: what `sarcofuse.cohort.check_study` finds, and whether the network of the deep stage is there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sarcofuse.config import StudyConfig

if TYPE_CHECKING:
    from sarcofuse.cohort import Problem
    from sarcofuse.runtime import Engine


def check_study(config: StudyConfig, folder: Path, engine: Engine) -> list[Problem]:
    """Find every problem of a study: of the table, of its rows, of each image, mask and feature table, which are really opened, and of the network that looks at the tumours.

    Parameters
    ----------
    config : StudyConfig
        The study.
    folder : Path
        Folder of study.yaml.
    engine : Engine
        Opens the images in parallel; what was opened once is not opened again.

    Returns
    -------
    list of Problem
        Problems of the study first, then by patient; empty where all is well.
    """
    from sarcofuse import cohort, deep

    found = cohort.check_study(config, folder, engine)
    weights = None if config.deep.weights is None else folder / config.deep.weights
    if config.features or (weights is not None and not weights.exists()):  # no network is asked, or it was told already
        return found
    problem, fatal = deep.foresee(config.deep, weights, segmenter=config.segment.masks == "model")
    return [cohort.Problem("error" if fatal else "warning", "", None, problem), *found] if problem else found
