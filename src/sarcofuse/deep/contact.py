"""A contact sheet: exactly what the network saw, a row a patient."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from sarcofuse.runtime import atomic_file, write_text

ROWS = 24  # patients a sheet
GAP = 4  # pixels between patients


def write_contact(pictures: Mapping[str, Path], folder: Path) -> list[Path]:
    """Write contact sheets, and a table that says whose pictures are where.

    Parameters
    ----------
    pictures : mapping of str to Path
        PNG file by patient, as `sarcofuse.deep.pictures` gives them.
    folder : Path
        Where to write ``contact-01.png`` (8 bit grey, pixel for pixel what the network was shown) and so on, and ``contact.csv`` (patient_id, sheet, first row and number of rows and columns of
        pixels).

    Returns
    -------
    list of Path
        The sheets, 24 patients each; none if there are no pictures.
    """
    import SimpleITK as sitk

    patients, lines, sheets = list(pictures), ["patient_id,sheet,row,rows,columns"], list[Path]()
    for start in range(0, len(patients), ROWS):
        chosen, sheet = patients[start : start + ROWS], folder / f"contact-{start // ROWS + 1:02d}.png"
        strips = [sitk.GetArrayFromImage(sitk.ReadImage(str(pictures[p]))) for p in chosen]
        page = np.zeros((sum(len(s) + GAP for s in strips) - GAP, max(s.shape[1] for s in strips)), dtype=np.uint8)
        at = 0
        for patient, strip in zip(chosen, strips, strict=True):
            page[at : at + len(strip), : strip.shape[1]] = strip
            quoted = patient.replace('"', '""')
            lines.append(f'"{quoted}",{sheet.name},{at},{len(strip)},{strip.shape[1]}')
            at += len(strip) + GAP
        with atomic_file(sheet) as part:
            sitk.WriteImage(sitk.GetImageFromArray(page), str(part))
        sheets.append(sheet)
    write_text("\n".join(lines) + "\n", folder / "contact.csv")
    return sheets
