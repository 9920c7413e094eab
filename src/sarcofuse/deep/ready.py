"""Is the network of a study there, and does it answer: asked before anything else is done, for its turn comes after hours."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from sarcofuse.config.deep import DeepConfig
from sarcofuse.deep.look import FEWEST, entry_of, feature_maps, load, torch_ready
from sarcofuse.deep.registry import backbone
from sarcofuse.deep.shelf import standing
from sarcofuse.deep.stage import find_source
from sarcofuse.errors import ConfigError, WeightsError


def try_network(config: DeepConfig, weights: Path | None = None, *, segmenter: bool = False) -> None:
    """Find the network of a configuration, verify its weights, and show it one blank picture or box.

    Parameters
    ----------
    config : DeepConfig
        Settings.
    weights : Path, optional
        Weights file; overrides ``config.weights``.
    segmenter : bool
        Whether there will be a segmentation network of the study's own.

    Raises
    ------
    WeightsError
        If weights are absent, altered, or of another network, or an ONNX file does not take such pictures.
    ConfigError
        If the backbone is unknown, is the study's own encoder and there will be none, needs a package that is not installed, or cannot be pooled as the settings say.
    """
    entry = entry_of(config)
    if entry.origin == "study":
        if not segmenter:
            find_source(config)  # tells that there is none
        return
    source = dataclasses.replace(find_source(config, weights), device="cpu")  # a GPU would stay taken in this process
    with torch_ready():
        network = load(config, source)
        if entry.dims == 3:
            import torch

            network.maps(torch.zeros((1, 1, FEWEST, FEWEST, FEWEST)), config.layer)
        else:
            feature_maps(network, np.zeros((1, entry.size, entry.size), dtype=np.uint8), config, entry, source)


def foresee(config: DeepConfig, weights: Path | None = None, *, segmenter: bool = False) -> tuple[str, bool]:
    """Say what will keep a configuration's network from its work; nothing is downloaded.

    Parameters
    ----------
    config : DeepConfig
        Settings.
    weights : Path, optional
        Weights file; overrides ``config.weights``.
    segmenter : bool
        Whether there will be a segmentation network of the study's own.

    Returns
    -------
    problem : str
        What is wrong and what to do; empty where all is well.
    fatal : bool
        False where the run itself will put it right, by a download.
    """
    try:
        entry = backbone(config.backbone)
        if weights is None and config.weights is None and entry.url and standing(entry).place == "absent":
            return f"deep.backbone {entry.name}: its weights are not here; the run will download them from {entry.url}, or fetch them now: `sarcofuse weights fetch {entry.name}`", False
        try_network(config, weights, segmenter=segmenter)
    except (ConfigError, WeightsError) as error:
        return str(error), True
    return "", False
