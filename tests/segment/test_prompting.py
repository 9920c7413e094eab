"""Prompts from patient millimetres to the working grid, by numbers worked by hand."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from sarcofuse.errors import GeometryError, MaskError, PromptError
from sarcofuse.imaging import check_prompt, content_digest, extent_mm, index_box, place_rough, regrid, reorient, to_index, to_sitk, write_mask
from sarcofuse.records import Geometry, Mask, Prompt, Volume
from sarcofuse.segment.grid import WorkImage, to_working
from sarcofuse.segment.prompting import heed, work_prompt

GRID = Geometry((32, 40, 10), (2.0, 2.0, 5.0), (-30.0, -40.0, 12.0))
HALF = math.sqrt(0.5)
TURNED = Geometry((60, 60, 10), (1.0, 1.0, 1.0), (0.0, -30.0, 0.0), (HALF, -HALF, 0.0, HALF, HALF, 0.0, 0.0, 0.0, 1.0))


def working(grid: Geometry = GRID, spacing: tuple[float, float, float] = (4.0, 4.0, 5.0)) -> WorkImage:
    return to_working(np.zeros(grid.shape, np.float32), grid.spacing, spacing)


def test_a_prompt_is_one_of_three() -> None:
    assert Prompt(click=((1.0, 2.0, 3.0),)).kind == "click"
    assert Prompt(rough=Path("a.nii.gz")).kind == "rough"
    box = Prompt(box=((5.0, -1.0, 9.0), (1.0, 2.0, 3.0)))
    assert (box.kind, box.box) == ("box", ((1.0, -1.0, 3.0), (5.0, 2.0, 9.0)))
    with pytest.raises(ValueError, match="exactly one of them, found 0"):
        Prompt()
    with pytest.raises(ValueError, match="exactly one of them, found 2"):
        Prompt(click=((1.0, 2.0, 3.0),), rough=Path("a.nii.gz"))
    with pytest.raises(ValueError, match="three finite numbers"):
        Prompt(click=((1.0, math.nan, 3.0),))
    with pytest.raises(ValueError, match="same x and z"):
        Prompt(box=((5.0, -1.0, 9.0), (5.0, 2.0, 9.0)))


def test_box_on_a_straight_grid() -> None:
    """x from -31 to -21: from the outer face of voxel 0 (-0.5) to that of voxel 4 (4.5); in working voxels of twice the size (4.5 + 0.5) / 2 - 0.5 = 2."""
    found = work_prompt(Prompt(box=((-31.0, -41.0, 9.5), (-21.0, -25.0, 24.5))), GRID, working())
    assert found.kind == "box"
    assert found.box is not None
    assert found.box[0] == pytest.approx((-0.5, -0.5, -0.5))
    assert found.box[1] == pytest.approx((2.5, 3.5, 2.0))
    assert (found.points, found.rough) == ((), None)


def test_clicks_on_a_straight_grid() -> None:
    """(-26, -40, 22): voxel (2, 0, 2); in working voxels x = 2.5 / 2 - 0.5 = 0.75, y = 0.5 / 2 - 0.5 = -0.25, z = 2."""
    found = work_prompt(Prompt(click=((-26.0, -40.0, 22.0), (-30.0, -40.0, 12.0))), GRID, working())
    assert found.points == (pytest.approx((2.0, -0.25, 0.75)), pytest.approx((0.0, -0.25, -0.25)))


def test_box_on_a_grid_turned_by_45_degrees() -> None:
    """The square from (0, 0) to (2, 2), less the origin (0, -30), has corners at (0, 30) ... (2, 32).

    Along the turned axes, (x + y) / sqrt(2) runs from 30 / sqrt(2) to 34 / sqrt(2), and (y - x) / sqrt(2) from 28 / sqrt(2) to 32 / sqrt(2).
    """
    low, high = index_box(TURNED, ((0.0, 0.0, 0.0), (2.0, 2.0, 4.0)))
    assert low == pytest.approx([30 * HALF, 28 * HALF, 0.0])
    assert high == pytest.approx([34 * HALF, 32 * HALF, 4.0])
    found = work_prompt(Prompt(box=((0.0, 0.0, 0.0), (2.0, 2.0, 4.0))), TURNED, working(TURNED, (1.0, 1.0, 1.0)))
    assert found.box == (pytest.approx((0.0, 28 * HALF, 30 * HALF)), pytest.approx((4.0, 32 * HALF, 34 * HALF)))


def test_places_agree_with_simpleitk() -> None:
    c, s = math.cos(0.4), math.sin(0.4)
    oblique = Geometry((9, 8, 7), (0.9, 1.1, 4.0), (-22.0, 35.0, 8.0), (c, -s, 0.0, s * c, c * c, -s, s * s, s * c, c))
    image = to_sitk(Mask(np.zeros(oblique.shape, np.uint8), oblique))
    points = np.random.default_rng(0).uniform(-60, 60, (20, 3))
    expected = [image.TransformPhysicalPointToContinuousIndex(p.tolist()) for p in points]
    assert to_index(oblique, points.tolist()) == pytest.approx(np.asarray(expected), abs=1e-9)


def test_a_place_stays_in_place_through_preparation() -> None:
    """A bright voxel of an image stored in another orientation, on the prepared and on the working grid."""
    stored = Geometry((20, 24, 8), (1.5, 1.5, 5.0), (-10.0, 30.0, 60.0), (0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, -1.0))
    array = np.zeros(stored.shape, np.float32)
    array[5, 17, 4] = 1.0
    place = to_sitk(Volume(array, stored)).TransformIndexToPhysicalPoint((4, 17, 5))
    prepared = reorient(Volume(array, stored))
    work = to_working(prepared.array, prepared.geometry.spacing, prepared.geometry.spacing)
    found = work_prompt(Prompt(click=(place,)), prepared.geometry, work)
    assert found.points[0] == pytest.approx(np.argwhere(prepared.array == 1.0)[0])


def test_rough_masks_become_shares_of_working_voxels(tmp_path: Path) -> None:
    array = np.zeros(GRID.shape, np.uint8)
    array[3, 4:7, 10:14] = 1  # in blocks of 2 x 2: two full rows of blocks less half of the second
    write_mask(Mask(array, GRID), tmp_path / "rough.nii.gz")
    found = work_prompt(Prompt(rough=tmp_path / "rough.nii.gz"), GRID, working())
    assert found.kind == "rough"
    assert found.rough is not None
    assert found.rough.shape == (10, 20, 16)
    assert found.rough[3, 2, 5:7].tolist() == [1.0, 1.0]
    assert found.rough[3, 3, 5:7].tolist() == [0.5, 0.5]
    assert found.rough.sum() == pytest.approx(3.0)
    with pytest.raises(GeometryError, match="does not lie on the prepared image's grid: spacing"):
        work_prompt(Prompt(rough=tmp_path / "rough.nii.gz"), regrid(GRID, (2.0, 2.0, 5.5)), working())


def test_extent_in_the_patient() -> None:
    assert extent_mm(GRID) == ((-31.0, -41.0, 9.5), (33.0, 39.0, 59.5))
    low, high = extent_mm(TURNED)  # a square of side 60 standing on its corner, whose first voxel's outer corner is (0, -30 - sqrt(0.5))
    assert low == pytest.approx((-60 * HALF, -30 - HALF, -0.5))
    assert high == pytest.approx((60 * HALF, -30 - HALF + 120 * HALF, 9.5))


def test_prompts_inside_are_fine() -> None:
    check_prompt(Prompt(click=((-30.9, -40.9, 9.6), (32.9, 38.9, 59.4))), GRID)
    check_prompt(Prompt(box=((-80.0, -41.0, 9.5), (60.0, 39.0, 59.5))), GRID)  # reaches beyond, its middle does not


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        (Prompt(click=((0.0, 0.0, 20.0), (50.0, 0.0, 20.0))), r"patient P-7: the click \(50, 0, 20\) mm lies outside the image, .* from \(-31, -41, 9.5\) to \(33, 39, 59.5\) mm .*voxel numbers"),
        (Prompt(click=((-32.5, 20.0, 20.0),)), r"With the signs of x and y turned .*RAS"),
        (Prompt(box=((-52.0, 20.0, 20.0), (-12.0, 40.5, 30.0))), r"the middle \(-32, 30.2, 25\) of the box .*With the signs"),
        (Prompt(box=((0.0, 0.0, 70.0), (5.0, 5.0, 75.0))), r"the middle .*voxel numbers"),
    ],
)
def test_prompts_outside_the_image(prompt: Prompt, words: str) -> None:
    with pytest.raises(PromptError, match=words):
        check_prompt(prompt, GRID, "P-7")


def test_rough_masks_of_any_grid(tmp_path: Path) -> None:
    coarse = Geometry((8, 8, 5), (8.0, 10.0, 10.0), (-27.0, -36.0, 14.5))
    array = np.zeros(coarse.shape, np.uint8)
    array[2, 3, 4] = 1  # from (1, -11, 29.5) to (9, -1, 39.5) mm: 4 x 5 x 2 voxels of GRID
    write_mask(Mask(array, coarse), tmp_path / "rough.nii.gz")
    found = place_rough(tmp_path / "rough.nii.gz", GRID)
    image = sitk.Resample(sitk.Cast(to_sitk(Mask(array, coarse)), sitk.sitkFloat32), to_sitk(Mask(np.zeros(GRID.shape, np.uint8), GRID)), sitk.Transform(), sitk.sitkLinear)
    assert content_digest(found) == content_digest(Mask((sitk.GetArrayFromImage(image) > 0.5).astype(np.uint8), GRID))
    assert np.argwhere(found.array).mean(axis=0) == pytest.approx([4.5, 17.0, 17.5], abs=0.51)
    far = Geometry(coarse.size, coarse.spacing, (500.0, 0.0, 0.0))
    write_mask(Mask(array, far), tmp_path / "far.nii.gz")
    with pytest.raises(PromptError, match=r"far.nii.gz\): the rough mask, on a grid from \(496, -5, -5\) to \(560, 75, 45\) mm, marks nothing inside the image"):
        place_rough(tmp_path / "far.nii.gz", GRID, "P-7")


def test_labels_of_rough_masks(tmp_path: Path) -> None:
    """A file of one label is taken as it is; of several labels the tumour's counts."""
    array = np.zeros(GRID.shape, np.uint8)
    array[3, 4:7, 10:14] = 1
    image = to_sitk(Mask(array, GRID))
    sitk.WriteImage(image, str(tmp_path / "one.nrrd"))
    assert place_rough(tmp_path / "one.nrrd", GRID, label=2).array.sum() == 12
    array[6:8] = 2
    both = sitk.GetImageFromArray(array)
    both.CopyInformation(image)
    sitk.WriteImage(both, str(tmp_path / "two.nrrd"))
    assert place_rough(tmp_path / "two.nrrd", GRID, label=2).array.sum() == 2 * 40 * 32


def islands() -> np.ndarray:
    """Three components of 8 voxels each around voxels (5, 8), (5, 20), (25, 20) along x, y, slices 4 and 5."""
    p = np.full(GRID.shape, 0.1, np.float32)
    for x, y in ((5, 8), (5, 20), (25, 20)):
        p[4:6, y : y + 2, x : x + 2] = 0.8
    return p


def places(x: int, y: int, z: int = 4) -> tuple[float, float, float]:
    return -30.0 + 2 * x, -40.0 + 2 * y, 12.0 + 5 * z


@pytest.mark.parametrize(
    ("prompt", "kept"),
    [
        (Prompt(click=(places(5, 8),)), [(5, 8)]),
        (Prompt(click=(places(9, 20),)), [(5, 20)]),  # 3 voxels of 2 mm beside it
        (Prompt(click=(places(25, 20), places(5, 8))), [(5, 8), (25, 20)]),
        (Prompt(click=(places(15, 35), places(5, 8))), [(5, 8)]),
        (Prompt(box=(places(0, 19, 0), places(31, 39, 9))), [(5, 20), (25, 20)]),
        (Prompt(box=(places(6, 9, 5), (50.0, 50.0, 80.0))), [(5, 8), (5, 20), (25, 20)]),
    ],
)
def test_what_a_prompt_means_stays(prompt: Prompt, kept: list[tuple[int, int]]) -> None:
    before = islands()
    after = heed(before, prompt, GRID, 0.5)
    assert [(x, y) for x, y in ((5, 8), (5, 20), (25, 20)) if after[4, y, x] == np.float32(0.8)] == kept
    assert (after[before < 0.5] == before[before < 0.5]).all()
    assert (after >= 0.5).sum() == 8 * len(kept)


def test_what_a_rough_mask_means_stays(tmp_path: Path) -> None:
    rough = np.zeros(GRID.shape, np.uint8)
    rough[5, 20:22, 3:6] = 1
    write_mask(Mask(rough, GRID), tmp_path / "rough.nii.gz")
    after = heed(islands(), Prompt(rough=tmp_path / "rough.nii.gz"), GRID, 0.5)
    assert (after[4, 20, 5], after[4, 8, 5], after[4, 20, 25]) == (np.float32(0.8), 0.0, 0.0)


def test_nothing_where_the_prompt_says() -> None:
    with pytest.raises(MaskError, match="no tumour found at the click: the networks see 3 elsewhere and none there"):
        heed(islands(), Prompt(click=(places(15, 35),)), GRID, 0.5)
    with pytest.raises(MaskError, match="no tumour found at the box"):
        heed(islands(), Prompt(box=(places(10, 0, 0), places(20, 39, 9))), GRID, 0.5)
    assert not (heed(islands(), Prompt(click=(places(15, 35),)), GRID, 0.5, refuse=False) >= 0.5).any()
    assert (heed(islands(), None, GRID, 0.5) == islands()).all()
    faint = islands() * np.float32(0.5)
    assert heed(faint, Prompt(click=(places(15, 35),)), GRID, 0.5) is faint, "the refinement says that there is none at all"
