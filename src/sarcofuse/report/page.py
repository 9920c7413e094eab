"""Put the report together: sections to blocks, blocks to HTML."""

from __future__ import annotations

import itertools
from pathlib import Path

from sarcofuse.report.blocks import Table
from sarcofuse.report.plotting import Studio
from sarcofuse.report.run_folder import RunFolder
from sarcofuse.report.spec import SECTIONS, Part, built


def write_report(run: Path) -> Path:
    """Write RUN/report.html and RUN/figures/*.png from what the run folder holds.

    The same run gives the same bytes: neither the time of day nor the durations of stages are in the report.

    Parameters
    ----------
    run : Path
        Folder that `sarcofuse run` wrote. Only run.json must be there; what other files would show is left out where they are absent.

    Returns
    -------
    Path
        The HTML file, which needs no other file.

    Raises
    ------
    RequestError
        If the folder is not a run, or one of its JSON files cannot be read.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    from sarcofuse.runtime import write_text

    folder = RunFolder(Path(run))
    studio = Studio(folder.path / "figures")
    chapters, missing = [], list[Part]()
    for section in SECTIONS:
        blocks, absent = built(section, folder, studio)
        missing += absent
        if blocks:
            chapters.append((section, blocks))
    environment = Environment(loader=PackageLoader("sarcofuse.report", "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.tests["wide"] = lambda blocks: any(isinstance(b, Table) and b.wide for b in blocks)
    numbers = {kind: itertools.count(1) for kind in ("Figure", "Table")}
    html = environment.get_template("report.html").render(
        title=folder.run.get("title") or folder.setting("report", "title", default="Sarcofuse study"),
        version=(folder.run.get("versions") or {}).get("sarcofuse", ""),
        chapters=chapters,
        following=lambda kind: next(numbers[kind]),
        missing=[(part.what, ", ".join(_absence(folder, n) for n in part.needs if not folder.has(n))) for part in missing],
    )
    _forget_old_pictures(studio)
    file = folder.path / "report.html"
    write_text(html, file)
    return file


def _absence(folder: RunFolder, name: str) -> str:
    file, _, key = name.partition(":")
    return f"{key} in {file}" if key and folder.has(file) else file


def _forget_old_pictures(studio: Studio) -> None:
    """Remove overlays that an earlier report showed and this one does not."""
    for file in sorted(studio.folder.glob("overlay-[0-9]*.png")):
        if file.name not in studio.written:
            file.unlink()
