"""Auto3DSeg's own classes at work: DataAnalyzer, BundleGen and the ensemble by fold, without downloads, pickles, shells or chatter."""

from __future__ import annotations

import io
import logging
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sarcofuse.errors import MaskError
from sarcofuse.metrics.overlap import dice
from sarcofuse.runtime import plain, write_json
from sarcofuse.segment.grid import WorkImage
from sarcofuse.segment.guide import closeness_to_box, middle

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sarcofuse.config.segment import InferenceConfig
    from sarcofuse.records import Mask, Volume

MIDDLE = "middle_dice"
TEMPLATES = Path(__file__).parent / "template"
ALGORITHM = "segresnetds"  # no underscore: the ensemble by fold reads the fold after the first one
TARGET = "sarcofuse.segment.template.segresnetds.scripts.algo.SegresnetdsAlgo"


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Auto3DSeg from logging to standard output, drawing bars and leaving its templates on the import path.

    Yields
    ------
    None
        Nothing.
    """
    import monai.apps.auto3dseg  # noqa: F401 - its loggers exist from here on

    loggers = [logging.getLogger(name) for name in logging.root.manager.loggerDict if name.startswith("monai.apps")]
    before, path = [logger.disabled for logger in loggers], list(sys.path)
    try:
        for logger in loggers:
            logger.disabled = True
        with redirect_stderr(io.StringIO()), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Prediction returned in list")
            yield
    finally:
        for logger, was in zip(loggers, before, strict=True):
            logger.disabled = was
        sys.path[:] = path


def analyse_case(image: Volume, mask: Mask, patient_id: str) -> dict[str, Any]:
    """Give DataAnalyzer's statistics of one case.

    Parameters
    ----------
    image : Volume
        Prepared image.
    mask : Mask
        Its mask on the same grid.
    patient_id : str
        Whose they are, for error messages.

    Returns
    -------
    dict
        ``image_stats``, ``image_foreground_stats`` and ``label_stats``, as JSON knows them, axes being x, y, z; and ``middle_dice``, the Dice of the mask with the
        ellipsoid in the middle of the image.

    Raises
    ------
    MaskError
        If the mask is empty.
    """
    import torch
    from monai.apps.auto3dseg.data_analyzer import DataAnalyzer
    from monai.data.meta_tensor import MetaTensor

    if not mask.array.any():
        message = "training mask holds no tumour: 0 voxels; expected at least 1. Draw it, or leave the mask out"
        raise MaskError(patient_id, message)
    affine = torch.diag(torch.tensor([*image.geometry.spacing, 1.0], dtype=torch.float64))

    def load(item: Mapping[str, str]) -> dict[str, MetaTensor]:
        arrays: dict[str, NDArray[Any]] = {"image": image.array, "label": mask.array}
        return {
            key: MetaTensor(torch.from_numpy(np.ascontiguousarray(array.transpose(2, 1, 0), dtype=np.float32)[None]), affine=affine, meta={"filename_or_obj": item[key]})
            for key, array in arrays.items()
        }

    with quiet():
        analyser: Any = DataAnalyzer({"training": [{"image": "case", "label": "case"}]}, output_path="", device="cpu", worker=0)
        found = analyser.get_all_case_stats(transform_list=[load])["stats_by_cases"]
    if not found:
        message = "Auto3DSeg's data analysis cannot read image and mask together; expected finite numbers on one grid. Look at both"
        raise MaskError(patient_id, message)
    stats: dict[str, Any] = {str(key): plain(found[0][key]) for key in ("image_stats", "image_foreground_stats", "label_stats")}
    expected = closeness_to_box(mask.array.shape, *middle(mask.array.shape, image.geometry.spacing)) > 0
    return {**stats, MIDDLE: dice(expected, mask.array)}


def summarise(cases: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Sum the statistics of single cases up, as DataAnalyzer does.

    Parameters
    ----------
    cases : sequence of mapping
        What `analyse_case` gave.

    Returns
    -------
    dict
        ``stats_summary`` of DataAnalyzer, with the mean of ``middle_dice``.
    """
    from monai.auto3dseg.seg_summarizer import SegSummarizer

    with quiet():
        summary = SegSummarizer("image", "label", do_ccp=False, hist_bins=0).summarize([{k: v for k, v in case.items() if k != MIDDLE} for case in cases])
    return {**{str(key): plain(value) for key, value in summary.items()}, "n_cases": len(cases), MIDDLE: float(np.mean([case[MIDDLE] for case in cases]))}


def generate_bundles(folder: Path, stats: Mapping[str, Any], source: Mapping[str, Any], folds: int) -> list[Path]:
    """Let BundleGen make one bundle a fold from our own template.

    Parameters
    ----------
    folder : Path
        Where to; may hold spaces.
    stats : mapping
        What `summarise` gave; kept as datastats.json.
    source : mapping
        ``settings`` (SegmentConfig), ``device`` and ``seed``; kept as source.json.
    folds : int
        How many.

    Returns
    -------
    list of Path
        A folder a fold, with plan.json and configs/hyper_parameters.yaml.
    """
    from monai.apps.auto3dseg.bundle_gen import BundleGen

    write_json(stats, folder / "datastats.json")
    write_json(source, folder / "source.json")
    with quiet():
        generator = BundleGen(
            algo_path=str(folder),
            algos={ALGORITHM: {"_target_": TARGET, "template_path": str(TEMPLATES)}},
            data_stats_filename=str(folder / "datastats.json"),
            data_src_cfg_name=str(folder / "source.json"),
        )
        generator.generate(str(folder), num_fold=folds)
    bundles = [folder / f"{ALGORITHM}_{fold}" for fold in range(folds)]
    for bundle in bundles:
        for trace in bundle.glob("algo_object.*"):  # upstream's copy of the object: holds this machine's paths, and is a pickle in older versions
            trace.unlink()
    return bundles


class _Told(list[str]):
    """A list that stays one where upstream copies its parameters."""

    def __deepcopy__(self, memo: object) -> _Told:
        return self


def ensemble_probabilities(
    folder: Path,
    weights: Sequence[Path],
    scores: Sequence[float],
    image: WorkImage,
    *,
    flips: bool,
    device: str,
    inference: InferenceConfig | None = None,
    notes: list[str] | None = None,
) -> NDArray[np.float32]:
    """Let Auto3DSeg's ensemble by fold predict, and keep what every network says.

    Parameters
    ----------
    folder : Path
        Holds plan.json.
    weights : sequence of Path
        Weights of each fold.
    scores : sequence of float
        Mean Dice of each fold's held-out cases.
    image : WorkImage
        What to predict.
    flips : bool
        Whether to average over flips.
    device : str
        ``cpu`` or ``cuda``.
    inference : InferenceConfig, optional
        Windows and memory.
    notes : list of str, optional
        Takes up what had to be done otherwise for want of memory.

    Returns
    -------
    ndarray of float32, shape (folds, 2, z, y, x)
        Probability by each network: of the image as it is, and averaged over flips.
    """
    from monai.apps.auto3dseg.ensemble_builder import AlgoEnsembleBestByFold, AlgoEnsembleBuilder

    from sarcofuse.segment.template.segresnetds.scripts.algo import SegresnetdsAlgo

    class ByFold(AlgoEnsembleBestByFold):
        """Keeps probabilities where upstream keeps the class."""

        def ensemble_pred(self, preds: Sequence[Any], sigmoid: bool = False) -> NDArray[np.float32]:  # noqa: ARG002 - upstream's signature
            return np.stack([p.cpu().numpy() for p in preds])

    told = _Told()
    with quiet():
        builder: Any = AlgoEnsembleBuilder([])
        builder.data_src_cfg["dataroot"], builder.data_src_cfg["datalist"] = "", []
        for fold, (file, score) in enumerate(zip(weights, scores, strict=True)):
            algo = SegresnetdsAlgo(str(TEMPLATES))
            algo.output_path, algo.weights, algo.score = str(folder), file, score
            builder.add_inferer(f"{ALGORITHM}_{fold}", algo, score)
        builder.set_ensemble_method(ByFold(len(weights)))
        found = builder.get_ensemble()({"infer_files": [image], "flips": flips, "device": device, "inference": inference, "notes": told})
    if notes is not None:
        notes += told
    return np.asarray(found[0], dtype=np.float32)
