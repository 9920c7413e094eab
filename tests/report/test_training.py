"""The plan of the networks in the report."""

from __future__ import annotations

from sarcofuse.report import write_report
from sarcofuse.report.blocks import Bullets
from sarcofuse.report.run_folder import RunFolder
from sarcofuse.report.sections.training import plan
from sarcofuse.runtime import read_json, write_json


def test_plan_is_listed_with_its_reasons(writer) -> None:
    folder = writer.write()
    assert "How the networks were trained" not in write_report(folder).read_text(encoding="utf8")
    run = read_json(folder / "run.json")
    run["segmentation_plan"] = ["spacing: 4 mm in the plane: a middling tumour, 56 mm across, spans 14 voxels", "levels: 4 (as many as on cpu at most)"]
    write_json(run, folder / "run.json")
    (details,) = plan(RunFolder(folder), None)
    (bullets,) = details.blocks
    assert isinstance(bullets, Bullets)
    assert bullets.items[0] == ("spacing", "4 mm in the plane: a middling tumour, 56 mm across, spans 14 voxels")
    page = write_report(folder).read_text(encoding="utf8")
    assert "How the networks were trained" in page
    assert "a middling tumour, 56 mm across, spans 14 voxels" in page
