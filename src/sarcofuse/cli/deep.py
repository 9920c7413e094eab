"""The command deep: features of a pretrained network, of one case or many."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sarcofuse.cli.study import Workers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sarcofuse.config import DeepConfig
    from sarcofuse.records import FeatureTable
    from sarcofuse.runtime import Engine

ENDINGS = (".csv", ".parquet", ".json")


def deep(
    image: Annotated[Path | None, typer.Argument(help="NIfTI or NRRD file, or DICOM folder.")] = None,
    mask: Annotated[Path | None, typer.Argument(help="Mask on the image's grid.")] = None,
    cohort: Annotated[Path | None, typer.Option(help="Many cases: a table with patient_id, image, mask.")] = None,
    backbone: Annotated[str | None, typer.Option(help="Network by name, as `sarcofuse weights list` shows; by default that of the settings, else efficientnet-lite0.")] = None,
    settings: Annotated[Path | None, typer.Option(help="YAML file with the settings of `deep` in study.yaml, by themselves or under `deep:`; a study.yaml will do.")] = None,
    weights: Annotated[Path | None, typer.Option(help="Weights file; by default that of the settings, else a package, the cache or the network.")] = None,
    out: Annotated[Path, typer.Option(help="Where to: .csv, .json or .parquet. A cohort's finished work is kept beside it in OUT.cache.")] = Path("deep.csv"),
    contact: Annotated[Path | None, typer.Option(help="Folder for contact sheets: exactly what the network saw.")] = None,
    workers: Workers = None,
) -> None:
    """Extract features of a pretrained network from one case or many.

    The network is shown the tumour with its surroundings: by default nine slices, three in each of three planes, from which efficientnet-lite0 (which comes with the program) gives
    816 features: five layers, averaged over the tumour, its rim and what lies around it. A row a patient, columns named after the network.

    Images are taken as they are; for features that fit those of a study, prepare them as the study does. Stopped, the same command goes on where it was. Look at --contact before you
    trust the features: what is not in these pictures, no feature can know.

    For instance:

    sarcofuse deep image.nii.gz mask.nii.gz --contact seen

    sarcofuse deep --cohort cohort.csv --backbone resnet50 --out deep.parquet

    sarcofuse deep --cohort cohort.csv --settings study.yaml --backbone resnet50 --weights resnet50-0676ba61.pth
    """
    from sarcofuse.cli.apply import _tell_aside
    from sarcofuse.cohort import new_patients
    from sarcofuse.deep import extract_many
    from sarcofuse.errors import CohortError

    if (cohort is None) == (image is None and mask is None) or (image is None) != (mask is None):
        message = "give IMAGE and MASK, or --cohort TABLE; not both"
        raise CohortError(message)
    if out.suffix not in ENDINGS:
        message = f"--out {out} must end in {', '.join(ENDINGS)}"
        raise CohortError(message)
    config = _settings(settings, weights)
    patients = new_patients([cohort]) if cohort is not None else new_patients([image] if image is not None else [], mask)
    with _engine(out, len(patients), workers, kept=cohort is not None) as engine, _plain_warnings():
        table, aside = extract_many(patients, backbone, config, engine, contact=contact)
    if table.patient_ids:
        _write(table, out)
        typer.echo(f"{len(table.patient_ids)} case{'s' * (len(table.patient_ids) > 1)}, {len(table.names)} features of {backbone or config.backbone}: {out}")
        if contact is not None:
            typer.echo(f"what the network saw: {contact}")
    _tell_aside(aside)


def _settings(file: Path | None, weights: Path | None) -> DeepConfig:
    """Read settings, by themselves or as part of a study; a weights file named there is meant from there."""
    import yaml

    from sarcofuse.deep import read_config
    from sarcofuse.errors import ConfigError

    content: Any = {}
    if file is not None:
        try:
            content = yaml.safe_load(file.read_text(encoding="utf8")) or {}
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            message = f"--settings {file} cannot be read: {str(error).splitlines()[0]}; expected a YAML file"
            raise ConfigError(message) from error
        if isinstance(content, dict) and isinstance(content.get("deep"), dict):
            content = content["deep"]
        elif isinstance(content, dict) and "cohort" in content:
            content = {}
        if not isinstance(content, dict):
            message = f"--settings {file} holds no settings; expected names and values, such as `backbone: resnet50`"
            raise ConfigError(message)
    config = read_config(None, content)
    if config.weights is not None and file is not None:
        config = config.model_copy(update={"weights": file.parent / config.weights})
    return config if weights is None else config.model_copy(update={"weights": weights})


@contextmanager
def _engine(out: Path, patients: int, workers: int | None, *, kept: bool) -> Iterator[Engine]:
    """Give the engine: its cache lies beside a cohort's result, so that a stopped extraction goes on."""
    import tempfile

    from sarcofuse.runtime import Engine

    scheduler = "serial" if patients == 1 else "processes"
    with tempfile.TemporaryDirectory(prefix="sarcofuse-") as room, Engine(out.with_name(f"{out.name}.cache") if kept else Path(room), scheduler=scheduler, workers=workers) as engine:
        yield engine


@contextmanager
def _plain_warnings() -> Iterator[None]:
    """Tell warnings by their words alone."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("always", RuntimeWarning)
        warnings.showwarning = lambda message, *_args, **_named: typer.echo(f"warning: {message}", err=True)
        yield


def _write(table: FeatureTable, out: Path) -> None:
    from sarcofuse.runtime import write_json, write_table

    if out.suffix == ".json":
        write_json([{"patient_id": p, **dict(zip(table.names, row, strict=True))} for p, row in zip(table.patient_ids, table.values.tolist(), strict=True)], out)
    else:
        write_table(table, out)
