"""Steered masks in the report: marked, and beside what networks drew alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from sarcofuse.report import write_report
from sarcofuse.report.blocks import Cell, Table
from sarcofuse.report.run_folder import RunFolder
from sarcofuse.report.sections.prompted import side_by_side, split_cell, steered
from sarcofuse.runtime import read_json, write_json
from tests.report.conftest import RunWriter
from tests.report.test_report import page_of, text_of


def steer(folder: Path) -> None:
    """Steer the masks of the first three training patients (the third without truth) and of the first external patient."""
    quality = read_json(folder / "quality.json")
    training = [q for q in quality if q["split"] == "train"]
    for entry, kind, dice, alone in zip(training, ("box", "box", "click"), (0.9, 0.4, None), (0.5, 0.6, None), strict=False):
        entry |= {"prompted": kind, "dice": dice, "automatic_dice": alone, "automatic_ml": 40.0, "volume_ml": 80.0}
    first = next(q for q in quality if q["split"] == "external")
    first |= {"prompted": "rough", "dice": 0.8, "automatic_dice": 0.0, "automatic_ml": 0.0, "volume_ml": 80.0}
    write_json(quality, folder / "quality.json")


def test_words() -> None:
    assert [steered(e) for e in (None, {}, {"prompted": ""}, {"prompted": "box"}, {"prompted": "rough"})] == ["", "", "", "steered by a box", "steered by a rough mask"]


def test_rows_of_a_split_say_how_many_were_steered() -> None:
    assert split_cell({"split": "internal", "prompted": 3}) == Cell("Internal test", "3 of them steered")
    assert split_cell({"split": "train"}) == Cell("Training")


def test_side_by_side(writer) -> None:
    folder = writer.write()
    assert side_by_side(RunFolder(folder), None) == []
    steer(folder)
    (table,) = side_by_side(RunFolder(folder), None)
    assert isinstance(table, Table)
    assert [list(row) for row in table.rows] == [
        ["Training", "box 2, click 1", "3 of 60", "2", "0.550", "0.650", "1", "40.0", "80.0"],
        ["External test", "rough mask 1", "1 of 30", "1", "0.000", "0.800", "0", "0.0", "80.0"],
    ]


@pytest.mark.usefixtures("undrawn")
def test_the_report_says_so(tmp_path: Path) -> None:
    folder = RunWriter(tmp_path / "run", images=4).write()  # the fourth is of the first external patient
    steer(folder)
    write_report(folder)
    text = text_of(page_of(folder))
    assert "Masks steered by a person" in text
    assert "steered by a rough mask" in text
