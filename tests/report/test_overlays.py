from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sarcofuse.report import write_report
from sarcofuse.report.run_folder import RunFolder
from sarcofuse.report.sections.segmentation import _slice, chosen
from sarcofuse.runtime import read_json, write_json


def cases(n: int) -> list[dict[str, object]]:
    return [{"patient_id": f"p{i:02d}", "image": "i", "mask": "m"} for i in range(n)]


def names(found: list) -> list[str]:
    return [c["patient_id"] for c, _ in found]


def test_worst_median_and_best_by_dice() -> None:
    quality = {f"p{i:02d}": {"dice": (7 * i % 20) / 20} for i in range(20)}
    ranked = sorted(quality, key=lambda p: quality[p]["dice"])
    found = chosen(cases(20), quality, 6)
    assert names(found) == ranked[:2] + ranked[9:11] + ranked[-2:]
    assert [why for _, why in found] == ["among the worst"] * 2 + ["around the median"] * 2 + ["among the best"] * 2


@pytest.mark.parametrize(("patients", "wanted", "expected"), [(0, 6, 0), (1, 6, 1), (4, 6, 4), (5, 4, 4), (20, 1, 1), (20, 0, 0), (13, 12, 12)])
def test_as_many_as_wanted_and_nobody_twice(patients: int, wanted: int, expected: int) -> None:
    for quality in ({f"p{i:02d}": {"dice": i / 20} for i in range(patients)}, {f"p{i:02d}": {"agreement": i / 20} for i in range(patients)}, {}):
        found = names(chosen(cases(patients), quality, wanted))
        assert len(found) == expected
        assert len(set(found)) == expected


def test_lowest_agreement_where_dice_is_not_known() -> None:
    quality = {"p00": {"agreement": 0.9}, "p01": {"agreement": 0.2}, "p02": {"agreement": None}, "p03": {"agreement": 0.5}}
    assert names(chosen(cases(4), quality, 2)) == ["p01", "p03"]


def test_the_slice_is_the_one_of_largest_area_and_holds_both_masks(finished: Path) -> None:
    import SimpleITK as sitk

    run = RunFolder(finished)
    for case in run.cases:
        mask, given = (sitk.GetArrayFromImage(sitk.ReadImage(str(finished / case[k]))) for k in ("mask", "reference"))
        z = int(np.argmax([layer.sum() for layer in mask]))
        image, cut, cut_given, spacing = _slice(run, case)
        assert image.shape == cut.shape == cut_given.shape
        assert spacing == (2.0, 2.0)
        assert cut.sum() == mask[z].sum() == max(layer.sum() for layer in mask)
        assert cut_given.sum() == given[z].sum()


def test_outlines_are_drawn_in_their_colours(finished: Path) -> None:
    with Image.open(finished / "figures" / "overlay-01.png") as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)
    assert pixels.shape == (750, 750, 3)
    for colour in ((255, 160, 28), (76, 195, 255)):
        near = np.abs(pixels - colour).max(axis=2) < 12
        assert near.sum() > 300
    red, blue = pixels[..., 0], pixels[..., 2]
    assert (np.abs(red - blue) < 12).mean() > 0.8


@pytest.mark.usefixtures("undrawn")
def test_an_image_that_cannot_be_read_costs_only_itself(finished: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(finished, tmp_path / "run"))
    entries = read_json(folder / "cases.json")
    (folder / entries[0]["image"]).write_bytes(b"no image")
    (folder / entries[1]["mask"]).unlink()
    write_report(folder)
    html = (folder / "report.html").read_text(encoding="utf8")
    assert html.count('class="card"') == 4
    assert "2 further images could not be read." in html
    assert not (folder / "figures" / "overlay-05.png").exists()


@pytest.mark.usefixtures("undrawn")
def test_one_outline_where_the_given_mask_was_used(finished: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(finished, tmp_path / "run"))
    entries = [e | {"reference": e["mask"]} for e in read_json(folder / "cases.json")]
    write_json(entries, folder / "cases.json")
    (folder / "quality.json").unlink()
    write_report(folder)
    html = (folder / "report.html").read_text(encoding="utf8")
    assert "Orange: the mask that was used. The white bar" in html
    assert "Chosen evenly over the patients in order." in html
