"""Commands for single images: segment, predict, dicom convert."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sarcofuse.bundle import Bundle, Risk
    from sarcofuse.records import SetAside

Images = Annotated[list[Path], typer.Argument(help="NIfTI files, DICOM folders, or one cohort.csv with patient_id and image.")]


def segment(
    images: Images,
    bundle: Annotated[Path, typer.Option(help="Bundle with segmentation networks.")],
    out: Annotated[Path, typer.Option(help="Folder for the masks.")] = Path("masks"),
) -> None:
    """Draw tumour masks for new images with a bundle's networks."""
    from sarcofuse.bundle import load_bundle
    from sarcofuse.cohort import new_patients

    quality, aside = load_bundle(bundle).segment(new_patients(images), out)
    for q in quality:
        agreement = "" if q.agreement is None else f", agreement of the networks {q.agreement:.2f}"
        typer.echo(f"{out / (q.patient_id + '.nii.gz')}: {q.volume_ml:.1f} ml{agreement}")
    _tell_aside(aside)


def predict(
    bundle: Annotated[Path, typer.Argument(help="The folder bundle/ of a finished run.")],
    images: Annotated[list[Path] | None, typer.Argument(help="NIfTI files, DICOM folders, or one cohort.csv with patient_id and image.")] = None,
    mask: Annotated[Path | None, typer.Option(help="The tumour's mask, for a single image; without it the bundle draws one.")] = None,
    given_masks: Annotated[bool, typer.Option("--given-masks", help="Use the masks of a cohort.csv even where the bundle's models learned from masks by its own networks.")] = False,
    table: Annotated[list[str] | None, typer.Option(help="For bundles made from feature tables: BLOCK=FILE, once a block.")] = None,
    all_models: Annotated[bool, typer.Option("--all-models", help="Risks of all models, not of the primary one alone.")] = False,
    masks: Annotated[Path | None, typer.Option(help="Folder to keep the masks in.")] = None,
    out: Annotated[Path, typer.Option(help="Where to: .json or .csv.")] = Path("risk.json"),
) -> None:
    """Give the risk of new patients by a frozen bundle."""
    import dataclasses

    from sarcofuse.bundle import load_bundle
    from sarcofuse.cohort import new_patients
    from sarcofuse.errors import CohortError

    frozen = load_bundle(bundle)
    if bool(images) == bool(table):
        message = "give images (files, DICOM folders or a cohort.csv), or --table BLOCK=FILE; not both"
        raise CohortError(message)
    aside: list[SetAside] = []
    if table:
        risks = _predict_tables(frozen, table, all_models)
    else:
        risks, aside = frozen.predict(new_patients(images or [], mask), masks=masks, all_models=all_models, given_masks=given_masks or mask is not None or None)
    _write_rows([dataclasses.asdict(r) for r in risks], out)
    for risk in risks:
        typer.echo(f"{risk.patient_id}: risk {risk.risk:.3f}, {'above' if risk.positive else 'below'} the threshold {risk.threshold:.3f} ({risk.model})")
        for warning in risk.warnings:
            typer.echo(f"  warning: {warning}", err=True)
    _tell_aside(aside)


def convert(
    folder: Annotated[Path, typer.Argument(help="Folder of DICOM series, with RTSTRUCT or SEG beside the images or below.", exists=True, file_okay=False)],
    out: Annotated[Path, typer.Option(help="Folder for image.nii.gz and mask.nii.gz.")] = Path("nifti"),
) -> None:
    """Turn a DICOM series, with its RTSTRUCT or SEG, into NIfTI image and mask."""
    from sarcofuse.imaging import convert_dicom

    files, aside = convert_dicom(folder, out)
    for file in files:
        typer.echo(f"wrote {file}")
    _tell_aside(aside)


def _predict_tables(frozen: Bundle, pairs: Sequence[str], all_models: bool) -> list[Risk]:
    from sarcofuse.errors import CohortError
    from sarcofuse.runtime import read_table

    tables = {}
    for pair in pairs:
        block, sign, file = pair.partition("=")
        if not sign or not Path(file).is_file():
            message = f"--table {pair}: expected BLOCK=FILE with a file that exists, radiomic=new.csv say"
            raise CohortError(message)
        tables[block] = read_table(Path(file), block)
    everyone = sorted(set.intersection(*[set(t.patient_ids) for t in tables.values()]))
    return frozen.predict_tables(tables, everyone, all_models=all_models)


def _tell_aside(aside: Sequence[SetAside]) -> None:
    for case in aside:
        typer.echo(f"set aside in {case.stage}: patient {case.patient_id}: {case.reason}", err=True)
    if aside:
        raise typer.Exit(1)


def _write_rows(rows: list[dict[str, object]], out: Path) -> None:
    from sarcofuse.runtime import atomic_file, write_json

    if out.suffix == ".csv":
        import pandas as pd

        with atomic_file(out) as part:
            pd.DataFrame(rows).to_csv(part, index=False)
    else:
        write_json(rows, out)
