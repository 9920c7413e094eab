"""Commands for single images: segment, predict, dicom convert."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sarcofuse.bundle import Bundle, Risk
    from sarcofuse.records import Prompt, SetAside

Box = Annotated[str | None, typer.Option(help='Box around the tumour of a single image: "x y z x y z", two opposite corners in patient mm (LPS), or "RAS x y z x y z".')]
Click = Annotated[list[str] | None, typer.Option(help='Point inside the tumour of a single image: "x y z" in patient mm (LPS), or "RAS x y z". May be given several times.')]
Rough = Annotated[Path | None, typer.Option(help="Rough mask of the tumour of a single image.")]
Images = Annotated[list[Path], typer.Argument(help="NIfTI files, DICOM folders, or one cohort.csv with patient_id and image.")]


PROMPT_NAMES = {"box": "box", "click": "click", "rough": "rough mask"}


def segment(
    images: Images,
    bundle: Annotated[Path, typer.Option(help="Bundle with segmentation networks.")],
    box: Box = None,
    click: Click = None,
    rough: Rough = None,
    out: Annotated[Path, typer.Option(help="Folder for the masks.")] = Path("masks"),
) -> None:
    """Draw tumour masks for new images with a bundle's networks, and tell how good they are likely to be (quality.csv); a box, clicks or a rough mask steer them."""
    from sarcofuse.bundle import load_bundle
    from sarcofuse.cohort import new_patients

    quality, aside = load_bundle(bundle).segment(new_patients(images, prompt=read_options(box, click, rough)), out)
    for q in quality:
        agreement = "" if q.agreement is None else f", agreement of the networks {q.agreement:.2f}"
        steered = f", steered by a {PROMPT_NAMES[q.prompted]} ({q.automatic_ml:.1f} ml without)" if q.prompted else ""
        guess = "" if q.predicted_dice is None else f", predicted Dice {q.predicted_dice:.2f} ({q.predicted_low:.2f} to {q.predicted_high:.2f}){': look at it' if q.review else ''}"
        typer.echo(f"{out / (q.patient_id + '.nii.gz')}: {q.volume_ml:.1f} ml{agreement}{guess}{steered}")
    if quality:
        _write_rows([dict(q.row) for q in quality], out / "quality.csv")
    _tell_aside(aside)


def predict(
    bundle: Annotated[Path, typer.Argument(help="The folder bundle/ of a finished run.")],
    images: Annotated[list[Path] | None, typer.Argument(help="NIfTI files, DICOM folders, or one cohort.csv with patient_id and image.")] = None,
    mask: Annotated[Path | None, typer.Option(help="The tumour's mask, for a single image; without it the bundle draws one.")] = None,
    box: Box = None,
    click: Click = None,
    rough: Rough = None,
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
    prompt = read_options(box, click, rough, mask=mask, table=table)
    aside: list[SetAside] = []
    if table:
        risks = _predict_tables(frozen, table, all_models)
    else:
        risks, aside = frozen.predict(new_patients(images or [], mask, prompt), masks=masks, all_models=all_models, given_masks=given_masks or mask is not None or None)
    rows = [dataclasses.asdict(r) for r in risks]
    if not any(r.prompted for r in risks):
        rows = [{k: v for k, v in row.items() if k != "prompted"} for row in rows]
    _write_rows(rows, out)
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


def read_options(box: str | None, click: Sequence[str] | None, rough: Path | None, *, mask: Path | None = None, table: Sequence[str] | None = None) -> Prompt | None:
    """Read the options that steer a mask.

    Parameters
    ----------
    box, click, rough : str, list of str, Path
        As typed.
    mask : Path, optional
        A mask that was given as well, which leaves nothing to steer.
    table : list of str, optional
        Tables of features that were given as well.

    Returns
    -------
    Prompt or None
        None where none of the three was given.

    Raises
    ------
    CohortError
        If they cannot be read, or go with nothing to steer.
    """
    from sarcofuse.cohort import read_prompt
    from sarcofuse.errors import CohortError

    prompt = read_prompt((box or "", ";".join(click or ()), "" if rough is None else str(rough)), Path())
    if prompt is not None and (table or mask is not None):
        message = f"a {PROMPT_NAMES[prompt.kind]} steers the mask that networks draw of an image; it does not go with {'--table' if table else '--mask'}"
        raise CohortError(message)
    return prompt


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
