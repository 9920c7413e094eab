"""Start a study from a folder of images."""

from __future__ import annotations

import csv
import io
import os
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sarcofuse.config import CohortConfig, StudyConfig, write_study
from sarcofuse.errors import CohortError
from sarcofuse.runtime import write_text

COLUMNS = ("patient_id", "image", "mask", "site", "split", "recurrence")
MASK_WORDS = frozenset(
    {"mask", "masks", "seg", "segs", "segmentation", "segmentations", "label", "labels", "labelstr", "labelsts", "roi", "rois", "gtv", "tumor", "tumour", "contour", "annotation", "annotations"}
)
IMAGE_WORDS = frozenset({"image", "images", "img", "imgs", "imagestr", "imagests", "scan", "mr", "mri", "0000", "vol", "volume"})
_PARTS = re.compile(r"[_\-. ]+")
_ROLES = re.compile(rf"(?:^|[_\-. ]+)(?:{'|'.join(sorted(IMAGE_WORDS | MASK_WORDS))})(?=$|[_\-. ])", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class StudyFiles:
    """What `make_study` wrote.

    Attributes
    ----------
    cohort : Path
        The table to fill in.
    study : Path
        The study file, every setting explained.
    patients : int
        Rows of the table.
    masks : int
        Rows that have a mask.
    notes : tuple of str
        What to look at or to do next.
    """

    cohort: Path
    study: Path
    patients: int
    masks: int
    notes: tuple[str, ...]


def make_study(folder: Path, out: Path | None = None, *, image: str = "") -> StudyFiles:
    """Look at a folder of NIfTI files or DICOM folders, and write cohort.csv and a commented study.yaml for it.

    Masks are told from images by words in their names (mask, seg, label, roi, gtv, tumour ...) or in those of their folders. A patient is a folder
    that holds one image, or a file name without the words for image and mask. Outcome and split are left empty, to be filled in.

    Parameters
    ----------
    folder : Path
        Where the images are; searched with all that is below it.
    out : Path, optional
        Where to write; by default `folder` itself.
    image : str
        Pattern that names of images (or DICOM folders) must match, such as ``*T2*``, where patients have several.

    Returns
    -------
    StudyFiles
        What was written and found.

    Raises
    ------
    CohortError
        If the folder does not exist or holds no image, or if cohort.csv or study.yaml are there already.
    """
    folder, out = Path(folder), Path(out or folder)
    if not folder.is_dir():
        message = f"{folder} is not a folder; expected one of NIfTI files or DICOM folders"
        raise CohortError(message)
    cohort, study = out / "cohort.csv", out / "study.yaml"
    for file in (cohort, study):
        if file.exists():
            message = f"{file} is there already; nothing was written. Move it away, or choose another folder"
            raise CohortError(message)
    rows, notes = _nifti_rows(folder, image)
    if not rows:
        rows, notes = _dicom_rows(folder, image)
    if not rows:
        message = f"{folder} holds no image{' that matches ' + image if image else ''}; expected NIfTI, NRRD or MetaImage files, or folders of DICOM files"
        raise CohortError(message)
    write_text(_table(rows, out), cohort)
    write_study(StudyConfig(cohort=CohortConfig(file=Path("cohort.csv"))), study)
    masks = sum(mask is not None for _, _, mask in rows)
    notes.append("fill in recurrence (0 or 1) and split (train, internal, external), or let cohort.split draw it; then run `sarcofuse check study.yaml`")
    return StudyFiles(cohort, study, len(rows), masks, tuple(notes))


_Row = tuple[str, Path | None, Path | None]


def _nifti_rows(folder: Path, pattern: str) -> tuple[list[_Row], list[str]]:
    from sarcofuse.imaging import SUFFIXES

    files = sorted(f for f in folder.rglob("*") if f.name.lower().endswith(SUFFIXES) and not f.name.startswith(".") and f.is_file())
    drawn_files = [f for f in files if _is_mask(f, folder)]
    wanted = [f for f in files if f not in set(drawn_files) and (not pattern or f.match(pattern))]
    name = _naming(wanted, folder)
    images, masks = _grouped(wanted, name), _grouped(drawn_files, name)
    rows: list[_Row] = []
    notes = []
    several = sorted(p for p, found in images.items() if len(found) > 1)
    doubtful = sorted(p for p, found in masks.items() if len(found) > 1 and p in images)
    for patient, found in sorted(images.items()):
        drawn = masks.get(patient, [])
        rows.append((patient, found[0] if len(found) == 1 else None, drawn[0] if len(drawn) == 1 else None))
    if several:
        names = ", ".join(f.name for f in images[several[0]][:4])
        notes.append(f"{len(several)} patients have several images (the first, {several[0]}: {names}); their image cells are empty. Fill them in, or start again with a pattern such as --image '*T2*'")
    if doubtful:
        notes.append(f"{len(doubtful)} patients have several masks (the first: {doubtful[0]}); their mask cells are empty. Fill them in")
    alone = sorted(set(masks) - set(images))
    if alone:
        notes.append(f"{len(alone)} masks belong to no image (the first: {masks[alone[0]][0].name})")
    return rows, notes


def _dicom_rows(folder: Path, pattern: str) -> tuple[list[_Row], list[str]]:
    from sarcofuse.imaging import list_series

    found: dict[str, list[Path]] = {}
    contours = 0
    for series in list_series(folder):
        if not series.is_image:
            contours += 1
            continue
        home = series.files[0].parent
        if not pattern or home.match(pattern) or Path(series.description).match(pattern):
            within = home.relative_to(folder).parts
            found.setdefault(within[0] if within else folder.name, []).append(home)
    rows: list[_Row] = [(p, homes[0] if len(homes) == 1 else None, None) for p, homes in sorted(found.items())]
    notes = []
    several = [p for p, homes in sorted(found.items()) if len(homes) > 1]
    if several:
        notes.append(f"{len(several)} patients have several series (the first: {several[0]}); their image cells are empty. Fill them in, or start again with a pattern such as --image '*T2*'")
    if contours:
        notes.append(f"{contours} DICOM series are masks (RTSTRUCT, SEG): `sarcofuse dicom convert` turns image and mask into NIfTI")
    return rows, notes


def _words(name: str) -> set[str]:
    return set(_PARTS.split(name.lower()))


def _stem(file: Path) -> str:
    name = file.name
    for suffix in (".gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd"):
        name = name[: -len(suffix)] if name.lower().endswith(suffix) else name
    return name


def _is_mask(file: Path, folder: Path) -> bool:
    inner = file.relative_to(folder).parts[:-1]
    return bool((_words(_stem(file)) | {p.lower() for p in inner[-1:]}) & MASK_WORDS)


def _inner(file: Path, folder: Path) -> tuple[str, ...]:
    """Give the folders on the way to a file, without those that only say image or mask."""
    return tuple(p for p in file.relative_to(folder).parts[:-1] if p.lower() not in IMAGE_WORDS | MASK_WORDS)


def _by_stem(file: Path) -> str:
    return _ROLES.sub("", _stem(file)).strip("_-. ") or _stem(file)


def _naming(images: list[Path], folder: Path) -> Callable[[Path], str]:
    """Decide what names a patient: the first folder in which images differ, or the file's own name."""
    ways = [_inner(f, folder) for f in images]
    shared = next((i for i, names in enumerate(zip(*ways, strict=False)) if len(set(names)) > 1), min(map(len, ways), default=0))

    def by_folder(file: Path) -> str:
        rest = _inner(file, folder)[shared:]
        return rest[0] if rest else _by_stem(file)

    folders, stems = Counter(by_folder(f) for f in images), Counter(_by_stem(f) for f in images)
    crowded = 2 * sum(n > 1 for n in folders.values()) > len(folders)
    return _by_stem if len(set(ways)) < 2 or (crowded and max(stems.values()) == 1) else by_folder


def _grouped(files: list[Path], name: Callable[[Path], str]) -> dict[str, list[Path]]:
    groups: dict[str, list[Path]] = {}
    for file in files:
        groups.setdefault(name(file), []).append(file)
    return groups


def _table(rows: list[_Row], out: Path) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    for patient, image, mask in rows:
        writer.writerow([patient, *(("" if f is None else _relative(f, out)) for f in (image, mask)), "", "", ""])
    return stream.getvalue()


def _relative(file: Path, out: Path) -> str:
    try:
        return Path(os.path.relpath(file.resolve(), out.resolve())).as_posix()
    except ValueError:
        return file.resolve().as_posix()
