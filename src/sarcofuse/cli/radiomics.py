"""The command radiomics: features of one case or many, and advice on settings."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sarcofuse.cli.study import Workers

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sarcofuse.config import RadiomicsConfig
    from sarcofuse.radiomics import Extraction, Labels
    from sarcofuse.records import Patient, SetAside
    from sarcofuse.runtime import Engine

ENDINGS = (".csv", ".parquet", ".json")


def radiomics(
    image: Annotated[Path | None, typer.Argument(help="NIfTI or NRRD file, or DICOM folder.")] = None,
    mask: Annotated[Path | None, typer.Argument(help="Mask on the image's grid.")] = None,
    cohort: Annotated[Path | None, typer.Option(help="Many cases: a table with patient_id, image, mask; several masks parted by semicolons, or in further columns mask...")] = None,
    settings: Annotated[Path | None, typer.Option(help="A PyRadiomics parameter file (YAML).")] = None,
    out: Annotated[Path | None, typer.Option(help="Where to: .csv, .json or .parquet; by default features.csv. A cohort's finished work is kept beside it in OUT.cache.")] = None,
    label: Annotated[list[str] | None, typer.Option(help="Value of the region in the mask; several times for several, or `all` for those that each mask holds.")] = None,
    diagnostics: Annotated[bool, typer.Option("--diagnostics", help="Add PyRadiomics' diagnostics columns, and the number of grey levels of every image.")] = False,
    fix_geometry: Annotated[bool, typer.Option("--fix-geometry", help="Give masks the image's grid where the two differ by rounding alone.")] = False,
    advise: Annotated[Path | None, typer.Option(metavar="COHORT", help="Extract nothing: look at this cohort, propose resampling and bins, write settings and picture to OUT (.yaml, .svg).")] = None,
    workers: Workers = None,
    perturb: Annotated[int, typer.Option(min=0, help="Also measure under so many perturbations of image and mask, beside OUT; of two cases or more, how stable each feature is.")] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the perturbations.")] = 0,
) -> None:
    """Extract radiomic features with PyRadiomics' names from one case or many; or advise on settings."""
    from sarcofuse.errors import CohortError
    from sarcofuse.radiomics import extract_cohort

    if sum((cohort is not None, advise is not None, image is not None or mask is not None)) != 1 or (image is None) != (mask is None):
        message = "give IMAGE and MASK, or --cohort TABLE, or --advise TABLE; not both"
        raise CohortError(message)
    config = _settings(settings, diagnostics=diagnostics, fix_geometry=fix_geometry)
    if advise is not None:
        _advise(advise, config, out or Path("radiomics.yaml"), workers)
        return
    out = out or Path("features.csv")
    if out.suffix not in ENDINGS:
        message = f"--out {out} must end in {', '.join(ENDINGS)}"
        raise CohortError(message)
    patients, table = _patients(image, mask, cohort)
    with _engine(out, patients, workers, kept=cohort is not None) as engine:
        found = extract_cohort(patients, config, engine, labels=_labels(label), folder=table)
        if perturb:
            from sarcofuse.cli.perturb import write_perturbed

            write_perturbed(patients, config, label or [], engine, (perturb, seed), out)
    if found.regions:
        _write(found, out)
        what = f"case{'s' * (len(found.regions) > 1)}" if found.one_each else f"regions of {len({r.patient_id for r in found.regions})} cases"
        typer.echo(f"{len(found.regions)} {what}, {len(found.names)} features: {out}")
        _tell_levels(found)
    _tell_aside(found.set_aside)


def _advise(cohort: Path, config: RadiomicsConfig, out: Path, workers: int | None) -> None:
    from sarcofuse.radiomics import advise
    from sarcofuse.runtime import write_text

    patients, folder = _patients(None, None, cohort)
    with _engine(out, patients, workers, kept=False) as engine:
        advice = advise(patients, config, engine, folder=folder)
    write_text(advice.to_yaml(), out)
    write_text(advice.to_svg(), out.with_suffix(".svg"))
    typer.echo(advice.to_text())
    typer.echo(f"wrote {out} and {out.with_suffix('.svg')}")
    _tell_aside(advice.set_aside)


def _settings(file: Path | None, *, diagnostics: bool, fix_geometry: bool) -> RadiomicsConfig:
    from sarcofuse.radiomics import read_settings

    config = read_settings(file)
    return config.model_copy(update={"additionalInfo": config.additionalInfo or diagnostics, "fixGeometry": config.fixGeometry or fix_geometry})


def _patients(image: Path | None, mask: Path | None, cohort: Path | None) -> tuple[list[Patient], Path | None]:
    from sarcofuse.cohort import new_patients

    if cohort is not None:
        return new_patients([cohort]), cohort.parent
    return new_patients([image] if image is not None else [], mask), None


@contextmanager
def _engine(out: Path, patients: Sequence[Patient], workers: int | None, *, kept: bool) -> Iterator[Engine]:
    """Give the one engine to work with: its cache lies beside a cohort's result, so that a stopped extraction goes on."""
    import tempfile

    from sarcofuse.runtime import Engine

    scheduler = "serial" if len(patients) == 1 else "processes"
    with tempfile.TemporaryDirectory(prefix="sarcofuse-") as room, Engine(out.with_name(f"{out.name}.cache") if kept else Path(room), scheduler=scheduler, workers=workers) as engine:
        yield engine


def _labels(given: list[str] | None) -> Labels:
    from sarcofuse.errors import CohortError

    if given == ["all"]:
        return "all"
    wrong = [label for label in given or () if not label.isdigit() or int(label) < 1]
    if wrong:
        message = f"--label {wrong[0]}: expected a whole number of at least 1, or all by itself"
        raise CohortError(message)
    return [int(label) for label in given or ()]


def _write(found: Extraction, out: Path) -> None:
    from sarcofuse.runtime import atomic_file, write_json

    if out.suffix == ".json":
        write_json(list(found.rows()), out)
        return
    frame = found.to_frame()
    with atomic_file(out) as part:
        if out.suffix == ".parquet":
            frame.to_parquet(part, index=False)
        else:
            frame.to_csv(part, index=False, lineterminator="\n")


def _tell_levels(found: Extraction) -> None:
    """Say how many grey levels the bins give, which one bin width makes very different from image to image."""
    from statistics import median

    medians = {image: median(counts) for image, counts in found.levels.items()}
    if medians:
        low, high = min(medians, key=medians.__getitem__), max(medians, key=medians.__getitem__)
        spread = f"{medians[low]:g} ({low})" if len(medians) == 1 else f"from {medians[low]:g} ({low}) to {medians[high]:g} ({high})"
        typer.echo(f"grey levels{', median of the regions' * (len(found.regions) > 1)}: {spread}; --diagnostics lists them, --advise proposes bins")


def _tell_aside(aside: Sequence[SetAside]) -> None:
    for case in aside:
        typer.echo(f"set aside in {case.stage}: patient {case.patient_id}: {case.reason}", err=True)
    if aside:
        raise typer.Exit(1)
