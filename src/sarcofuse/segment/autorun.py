"""What the process does in which upstream's AutoRunner works: it may log, change paths and start shells as it likes, for nothing else runs in it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sarcofuse.runtime import read_json, write_json
from sarcofuse.segment.distributed import follow_parent

if TYPE_CHECKING:
    from numpy.typing import NDArray

WORK = "auto"


def main(job_file: Path) -> None:
    """Analyse, generate, train and predict.

    Parameters
    ----------
    job_file : Path
        ``rows`` (``image``, and of training cases ``label`` and ``fold``; files beside it), ``folds``, ``templates``, ``device``, and ``out``: where masks go.
    """
    follow_parent()
    from monai.apps.auto3dseg.auto_runner import AutoRunner
    from monai.apps.auto3dseg.utils import import_bundle_algo_history

    job, home = read_json(job_file), job_file.parent
    training = [row for row in job["rows"] if row["fold"] is not None]
    testing = [{"image": row["image"]} for row in job["rows"] if row["fold"] is None]
    write_json({"training": training, "testing": testing}, home / "datalist.json")
    source = {"modality": "MRI", "datalist": str(home / "datalist.json"), "dataroot": str(home)}
    runner: Any = AutoRunner(work_dir=str(home / WORK), input=source, templates_path_or_url=job["templates"], ensemble=False, not_use_cache=True)
    runner.set_num_fold(job["folds"])
    runner.set_analyze_params({"do_ccp": False, "device": job["device"], "worker": 0})
    runner.run()
    history = import_bundle_algo_history(str(home / WORK), only_trained=True)
    found = np.zeros(len(job["rows"]))
    for fold in [*range(job["folds"]), None]:
        numbers = [k for k, row in enumerate(job["rows"]) if row["fold"] == fold]
        chosen = best_by_fold(history, job["folds"]) if fold is None else [best_by_fold(history, job["folds"])[fold]]
        for number, probability in zip(numbers, _predict(home, chosen, [home / job["rows"][k]["image"] for k in numbers]), strict=True):
            mask = probability >= 0.5
            np.save(Path(job["out"]) / f"{number}.npy", mask.astype(np.uint8))
            found[number] = float(probability[mask].mean()) if mask.any() else 0.0
    write_json([float(p) for p in found], Path(job["out"]) / "found.json")


def best_by_fold(history: Sequence[dict[Any, Any]], folds: int) -> list[dict[Any, Any]]:
    """Choose the trained algorithm of best score in each fold; names of algorithms may hold underscores.

    Parameters
    ----------
    history : sequence of dict
        What upstream trained, with ``identifier`` (ALGORITHM_FOLD) and ``best_metric``.
    folds : int
        How many folds.

    Returns
    -------
    list of dict
        One a fold.

    Raises
    ------
    ValueError
        If a fold has none.
    """
    from monai.utils.enums import AlgoKeys

    chosen = []
    for fold in range(folds):
        ours = [h for h in history if str(h[AlgoKeys.ID]).rsplit("_", 1)[-1] == str(fold)]
        if not ours:
            message = f"no algorithm was trained for fold {fold}; trained are {', '.join(str(h[AlgoKeys.ID]) for h in history) or 'none'}"
            raise ValueError(message)
        chosen.append(max(ours, key=lambda h: float(h[AlgoKeys.SCORE])))
    return chosen


def _predict(home: Path, chosen: Sequence[dict[Any, Any]], images: Sequence[Path]) -> list[NDArray[np.float32]]:
    """Let upstream's ensemble average the chosen algorithms; tumour probability, shape (z, y, x), of each image."""
    from monai.apps.auto3dseg.ensemble_builder import AlgoEnsembleBestN, AlgoEnsembleBuilder

    class Mean(AlgoEnsembleBestN):
        """Keeps the mean probability where upstream keeps the class."""

        def ensemble_pred(self, preds: Sequence[Any], sigmoid: bool = False) -> NDArray[np.float32]:  # noqa: ARG002 - upstream's signature
            return np.asarray(np.mean([tumour_probability(np.asarray(p.cpu())) for p in preds], axis=0), dtype=np.float32)

    builder: Any = AlgoEnsembleBuilder(chosen, str(home / WORK / "input.yaml"))
    builder.set_ensemble_method(Mean(len(chosen)))
    answers = builder.get_ensemble()({"infer_files": [{"image": str(image)} for image in images]})
    return [np.ascontiguousarray(answer.transpose(2, 1, 0)) for answer in answers]


def tumour_probability(answer: NDArray[np.float32]) -> NDArray[np.float32]:
    """Read the tumour off what an inferer answers.

    Parameters
    ----------
    answer : ndarray, shape (classes, x, y, z)
        One channel: probability of tumour; several: of background and classes, which add up to one.

    Returns
    -------
    ndarray of float32, shape (x, y, z)
        Probability of any class that is not background.
    """
    return np.asarray(answer[0] if len(answer) == 1 else 1.0 - answer[0], dtype=np.float32)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
