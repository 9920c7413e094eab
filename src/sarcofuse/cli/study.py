"""Commands that make a study: demo, init, check, run, report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from sarcofuse.study import RunResult

Scheduler = Annotated[str, typer.Option(help="`processes`, `serial`, or the address of a dask scheduler (tcp://host:8786).")]
Workers = Annotated[int | None, typer.Option(min=1, help="Processes; by default the cores there are.")]
StudyFile = Annotated[Path, typer.Argument(help="The study file; `sarcofuse init` writes one.")]


def demo(
    out: Annotated[Path, typer.Argument(help="Folder for cohort, run and report.")] = Path("sarcofuse-demo"),
    patients: Annotated[int, typer.Option(min=24, max=803, help="Patients of the two hospitals; 803 has the published study's splits.")] = 120,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same bytes.")] = 0,
    scheduler: Scheduler = "processes",
    workers: Workers = None,
) -> None:
    """Make a synthetic cohort of two hospitals and run everything on it: offline, on the CPU, in minutes."""
    from sarcofuse.study import demo as make

    typer.echo(f"Making {patients} synthetic patients of two hospitals in {out}/ and running the whole pipeline on them; expect some minutes.", err=True)
    _tell(make(out, patients=patients, seed=seed, scheduler=scheduler, workers=workers))


def init(
    folder: Annotated[Path, typer.Argument(help="Folder of NIfTI files or of DICOM folders.", exists=True, file_okay=False)],
    out: Annotated[Path, typer.Option(help="Where to write cohort.csv and study.yaml.")] = Path(),
    image: Annotated[str, typer.Option(help="Pattern of image names, such as '*T2*', where patients have several.")] = "",
) -> None:
    """Look at a folder of images and write cohort.csv and a commented study.yaml to fill in."""
    from sarcofuse.cohort import make_study

    made = make_study(folder, out, image=image)
    typer.echo(f"wrote {made.cohort} ({made.patients} patients, {made.masks} with a mask) and {made.study}")
    for note in made.notes:
        typer.echo(note)


def check(study: StudyFile, workers: Workers = None) -> None:
    """List every problem of the study at once, before hours are spent."""
    import tempfile

    from sarcofuse.config import read_study
    from sarcofuse.runtime import Engine
    from sarcofuse.study import check_study

    config = read_study(study)
    with tempfile.TemporaryDirectory(prefix="sarcofuse-") as room, Engine(Path(room), workers=workers) as engine:
        problems = check_study(config, study.parent, engine)
    for problem in problems:
        typer.echo(f"{problem.severity:<8} {problem}")
    errors = sum(p.severity == "error" for p in problems)
    typer.echo(f"{errors} errors, {len(problems) - errors} warnings." if problems else "No problems found.")
    if errors:
        raise typer.Exit(2)


def run(
    study: StudyFile,
    out: Annotated[Path | None, typer.Option(help="The run folder; by default run/ beside the study file.")] = None,
    until: Annotated[str, typer.Option(help="Stop after this stage: cohort, preprocess, segment, radiomics, deep, models, evaluation, report.")] = "report",
    scheduler: Scheduler = "processes",
    workers: Workers = None,
    templates: Annotated[Path | None, typer.Option(help="Folder of Auto3DSeg algorithm templates to train in place of our own; their scripts are run.", exists=True, file_okay=False)] = None,
) -> None:
    """Run all stages of a study; run again to go on where it was stopped."""
    from sarcofuse.study import run as work

    _tell(work(study, out, until=until, scheduler=scheduler, workers=workers, templates=templates))


def report(folder: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.", exists=True, file_okay=False)]) -> None:
    """Write the report of a run again."""
    from sarcofuse.report import write_report

    typer.echo(f"wrote {write_report(folder)}")


def _tell(result: RunResult) -> None:
    for warning in result.warnings:
        typer.echo(f"warning  {warning}", err=True)
    for case in result.set_aside:
        typer.echo(f"set aside in {case.stage}: patient {case.patient_id}: {case.reason}", err=True)
    if result.finished == "report":
        from sarcofuse.runtime import read_json

        rows = read_json(result.folder / "metrics.json")["models"]
        width = max((len(row["features"]) for row in rows), default=0)
        for row in rows:
            if row["split"] == "external" or (row["split"] == "internal" and not _has_external(result.folder)):
                typer.echo(f"{row['features']:<{width}}  {row['classifier']:<16}  {row['split']} AUC {_interval(row['auc'])}")
        typer.echo(f"report: {result.folder / 'report.html'}")
    else:
        typer.echo(f"done up to {result.finished}: {result.folder}")


def _has_external(folder: Path) -> bool:
    from sarcofuse.runtime import read_json

    return any(row["split"] == "external" for row in read_json(folder / "metrics.json")["models"])


def _interval(figure: dict[str, float | None]) -> str:
    value, low, high = (figure.get(k) for k in ("value", "low", "high"))
    return "not defined" if value is None else f"{value:.3f}" + (f" ({low:.3f} to {high:.3f})" if low is not None and high is not None else "")
