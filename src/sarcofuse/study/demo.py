"""The demo: a synthetic cohort of two hospitals through the whole pipeline."""

from __future__ import annotations

from pathlib import Path

from sarcofuse.config import CohortConfig, EvaluationConfig, ModelsConfig, ReportConfig, SegmentConfig, SignatureConfig, StudyConfig, write_study
from sarcofuse.runtime import Engine
from sarcofuse.study.run import RunResult, run

DEMO_PATIENTS = 120
STUDY = "study.yaml"
FOLDS = 5


def demo_study(seed: int = 0, *, masks: str = "model", folds: int = FOLDS) -> StudyConfig:
    """Give the settings of the demo.

    Parameters
    ----------
    seed : int
        Seed of the study.
    masks : {'model', 'given'}
        Whether masks come from the segmentation networks or from the truth.
    folds : int
        Outer and inner folds of the models.

    Returns
    -------
    StudyConfig
        Paths are meant from the demo's folder.
    """
    return StudyConfig(
        seed=seed,
        cohort=CohortConfig(file=Path("cohort/cohort.csv"), clinical=("age", "grade")),
        segment=SegmentConfig.model_validate({"masks": masks}),
        models=ModelsConfig(folds=folds, signature=SignatureConfig(folds=folds)),
        evaluation=EvaluationConfig(truth=Path("cohort/truth.json")),
        report=ReportConfig(title="Sarcofuse demo: synthetic cohort of two hospitals"),
    )


def demo(out: Path | str = "sarcofuse-demo", *, patients: int = DEMO_PATIENTS, seed: int = 0, scheduler: str = "processes", workers: int | None = None, progress: bool = True) -> RunResult:
    """Make a synthetic cohort of two hospitals and run the whole pipeline on it.

    Parameters
    ----------
    out : Path or str
        Folder for the cohort (``cohort/``), the study (``study.yaml``) and the run (``run/``).
    patients : int
        24 to 803 patients; 803 has the published study's splits.
    seed : int
        Seed of cohort and study; the same seed gives the same bytes.
    scheduler : str
        ``processes``, ``serial``, or the address of a dask scheduler.
    workers : int, optional
        Processes; by default the cores there are.
    progress : bool
        Whether to show progress bars on a terminal.

    Returns
    -------
    RunResult
        Where the results are.

    Raises
    ------
    ConfigError
        If the number of patients is out of range.
    """
    from sarcofuse.phantom import make_cohort, plan_cohort

    home = Path(out)
    home.mkdir(parents=True, exist_ok=True)
    with Engine(home / "run" / "cache", scheduler=scheduler, workers=workers, progress=progress) as engine:
        make_cohort(home / "cohort", patients=patients, seed=seed, engine=engine)
    events = sum(p.recurrence for p in plan_cohort(patients, seed) if p.split == "train")
    write_study(demo_study(seed, folds=min(FOLDS, events)), home / STUDY)
    return run(home / STUDY, home / "run", scheduler=scheduler, workers=workers, progress=progress)
