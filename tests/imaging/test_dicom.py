"""DICOM series, contours and segmentations."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from sarcofuse.errors import ImageError, MaskError, RequestError
from sarcofuse.imaging import convert_dicom, list_series, read_mask, read_rtstruct, read_seg, read_volume
from sarcofuse.imaging.dicom import fill_polygon
from tests.imaging.dicom_files import write_contours, write_segments, write_series, write_slice

ARRAY = np.random.default_rng(3).integers(0, 2000, (6, 8, 10))


def box(z: float, x0: float, x1: float, y0: float, y1: float) -> np.ndarray:
    """A rectangle in voxel indices, as points in mm on the grid of `write_series`."""
    corners = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])
    return np.column_stack([-10.0 + 1.25 * corners[:, 0], 20.0 + 1.5 * corners[:, 1], np.full(4, 30.0 + 4.0 * z)])


def test_slices_come_in_order_of_position(tmp_path: Path) -> None:
    write_series(tmp_path / "P-1", ARRAY)
    volume = read_volume(tmp_path / "P-1", "P-1")
    np.testing.assert_array_equal(volume.array, ARRAY.astype(np.float32))
    assert volume.array.dtype == np.float32
    assert volume.geometry.size == (10, 8, 6)
    np.testing.assert_allclose(volume.geometry.spacing, (1.25, 1.5, 4.0))
    np.testing.assert_allclose(volume.geometry.origin, (-10.0, 20.0, 30.0))
    assert volume.geometry.direction == (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)


def test_values_are_rescaled_slice_by_slice(tmp_path: Path) -> None:
    for k in range(3):
        write_slice(tmp_path / f"{k}.dcm", ARRAY[k], (0.0, 0.0, 4.0 * k), RescaleSlope=0.5 + k, RescaleIntercept=-10.0, RescaleType="US")
    expected = np.stack([ARRAY[k] * (0.5 + k) - 10.0 for k in range(3)])
    np.testing.assert_allclose(read_volume(tmp_path).array, expected, rtol=1e-6)


def test_coronal_slices_keep_their_place(tmp_path: Path) -> None:
    for k in range(4):
        write_slice(tmp_path / f"{k}.dcm", ARRAY[k], (-50.0, 100.0 - 5.0 * k, 200.0), ImageOrientationPatient=[1.0, 0.0, 0.0, 0.0, 0.0, -1.0])
    volume = read_volume(tmp_path)
    np.testing.assert_allclose(volume.geometry.spacing, (1.25, 1.5, 5.0))
    np.testing.assert_array_equal(volume.array, ARRAY[:4][::-1])
    np.testing.assert_allclose(volume.geometry.direction, (1, 0, 0, 0, 0, 1, 0, -1, 0), atol=1e-12)
    np.testing.assert_allclose(volume.geometry.origin, (-50.0, 85.0, 200.0))


def test_contours_and_other_files_beside_the_images_do_not_matter(tmp_path: Path) -> None:
    write_series(tmp_path, ARRAY)
    write_contours(tmp_path / "contours.dcm", {"GTV": [box(1, 1.5, 4.5, 1.5, 4.5)]})
    (tmp_path / "readme.txt").write_text("not DICOM")
    np.testing.assert_array_equal(read_volume(tmp_path).array, ARRAY)


def test_several_series_are_named_and_refused(tmp_path: Path) -> None:
    write_series(tmp_path / "a", ARRAY)
    write_series(tmp_path / "b", ARRAY, series="T1")
    with pytest.raises(ImageError, match=r"patient P-1 .*folder holds 2 image series: T2 fat sat \(MR, 6 files, from a/.*\); T1 \(MR, 6 files, from b/.*expected one"):
        read_volume(tmp_path, "P-1")


def test_the_mr_series_among_others_is_taken(tmp_path: Path) -> None:
    write_series(tmp_path / "a", ARRAY)
    write_series(tmp_path / "b", ARRAY * 2, series="CT", Modality="CT")
    np.testing.assert_array_equal(read_volume(tmp_path).array, ARRAY)


def test_a_missing_slice(tmp_path: Path) -> None:
    write_series(tmp_path, ARRAY)[2].unlink()
    with pytest.raises(ImageError, match=r"1 slices are missing: gaps of 4 mm, but of 8 mm after position 34\.0 mm"):
        read_volume(tmp_path, "P-1")


def test_uneven_gaps(tmp_path: Path) -> None:
    for k, z in enumerate((0.0, 4.0, 8.0, 13.0, 17.0)):
        write_slice(tmp_path / f"{k}.dcm", ARRAY[k], (0.0, 0.0, z))
    with pytest.raises(ImageError, match=r"slice gaps vary from 4 to 5 mm; expected even ones"):
        read_volume(tmp_path)


def test_slices_at_the_same_place(tmp_path: Path) -> None:
    write_series(tmp_path, ARRAY)
    write_slice(tmp_path / "second_echo.dcm", ARRAY[0], (-10.0, 20.0, 30.0))
    with pytest.raises(ImageError, match=r"1 of 7 slices lie where another one lies"):
        read_volume(tmp_path)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"ImageOrientationPatient": [0.0, 1.0, 0.0, 0.0, 0.0, -1.0]}, "slices differ in ImageOrientationPatient"),
        ({"PixelSpacing": [1.0, 1.0]}, "slices differ in PixelSpacing"),
        ({"ImagePositionPatient": None}, "1 of 7 slices have no ImagePositionPatient"),
    ],
)
def test_slices_that_do_not_belong_together(tmp_path: Path, changes: dict[str, object], told: str) -> None:
    write_series(tmp_path, ARRAY)
    write_slice(tmp_path / "odd.dcm", ARRAY[0], (-10.0, 20.0, 54.0), **changes)
    with pytest.raises(ImageError, match=told):
        read_volume(tmp_path)


def test_a_sheared_stack(tmp_path: Path) -> None:
    for k in range(4):
        write_slice(tmp_path / f"{k}.dcm", ARRAY[k], (1.0 * k, 0.0, 4.0 * k))
    with pytest.raises(ImageError, match=r"slices are shifted against each other by up to 3 mm"):
        read_volume(tmp_path)


def test_one_slice_and_no_slice(tmp_path: Path) -> None:
    write_slice(tmp_path / "one" / "0.dcm", ARRAY[0], (0.0, 0.0, 0.0))
    with pytest.raises(ImageError, match="series has 1 slice"):
        read_volume(tmp_path / "one")
    (tmp_path / "none").mkdir()
    with pytest.raises(ImageError, match=r"patient P-1 \(none\): folder holds no DICOM image series"):
        read_volume(tmp_path / "none", "P-1")


def test_a_film_without_positions(tmp_path: Path) -> None:
    write_slice(tmp_path / "film.dcm", ARRAY[:2].reshape(16, 10), (0.0, 0.0, 0.0), NumberOfFrames=2, Rows=8)
    with pytest.raises(ImageError, match="multi-frame file whose frames have no positions"):
        read_volume(tmp_path, "P-1")


def test_cut_pixels(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = write_series(tmp_path, ARRAY)[3]
    file.write_bytes(file.read_bytes()[:-60])
    with pytest.raises(ImageError, match=r"DICOM series cannot be read|cut short"):
        read_volume(tmp_path, "P-1")
    assert capfd.readouterr().out == ""


def test_a_polygon_is_filled_as_points_are_tested_one_by_one() -> None:
    """Against the ray-crossing test of every pixel centre, for a star whose arms cross."""
    angle = np.linspace(0, 4 * np.pi, 6)[:-1]
    star = np.column_stack([10.3 + 8.7 * np.cos(angle), 9.6 + 8.1 * np.sin(angle)])
    filled = fill_polygon(star, (20, 22))
    for y in range(20):
        for x in range(22):
            crossings = 0
            for (x0, y0), (x1, y1) in zip(star, np.roll(star, -1, axis=0), strict=True):
                if (y0 <= y) != (y1 <= y) and x >= x0 + (y - y0) * (x1 - x0) / (y1 - y0):
                    crossings += 1
            assert filled[y, x] == crossings % 2, (x, y)
    assert filled[10, 10] == 0, "the star's middle is enclosed twice"
    assert 0.1 < filled.mean() < 0.2


def test_contours_make_masks_with_holes(tmp_path: Path) -> None:
    write_series(tmp_path / "image", ARRAY)
    volume = read_volume(tmp_path / "image")
    file = write_contours(tmp_path / "c.dcm", {"GTV": [box(1, 0.5, 7.5, 0.5, 6.5), box(1, 2.5, 4.5, 2.5, 4.5), box(3, 0.5, 2.5, 0.5, 2.5)], "skin": [box(0, -2.0, 20.0, -2.0, 20.0)]})
    masks = read_rtstruct(file, volume.geometry)
    expected = np.zeros(ARRAY.shape, np.uint8)
    expected[1, 1:7, 1:8] = 1
    expected[1, 3:5, 3:5] = 0
    expected[3, 1:3, 1:3] = 1
    np.testing.assert_array_equal(masks["GTV"].array, expected)
    assert masks["skin"].array[0].all()
    assert masks["skin"].array[1:].sum() == 0


def test_contours_between_slices_are_refused(tmp_path: Path) -> None:
    write_series(tmp_path / "image", ARRAY)
    volume = read_volume(tmp_path / "image")
    with pytest.raises(MaskError, match=r"a contour lies 0\.4 slices off slice 1 of 6"):
        read_rtstruct(write_contours(tmp_path / "c.dcm", {"GTV": [box(1.4, 0.5, 7.5, 0.5, 6.5)]}), volume.geometry, "P-1")
    with pytest.raises(MaskError, match=r"slice 9 of 6"):
        read_rtstruct(write_contours(tmp_path / "d.dcm", {"GTV": [box(9, 0.5, 7.5, 0.5, 6.5)]}), volume.geometry, "P-1")
    with pytest.raises(MaskError, match="file is no DICOM RTSTRUCT"):
        read_rtstruct(next((tmp_path / "image").iterdir()), volume.geometry)


def test_segments_go_to_their_own_positions(tmp_path: Path) -> None:
    write_series(tmp_path / "image", ARRAY)
    volume = read_volume(tmp_path / "image")
    frames = np.random.default_rng(4).random((3, 8, 10)) < 0.5
    positions = [(-10.0, 20.0, 30.0 + 4.0 * k) for k in (4, 1, 4)]
    masks = read_seg(write_segments(tmp_path / "s.dcm", frames, positions, [1, 1, 2], ["Lesion", "Oedema"]), volume.geometry)
    expected = np.zeros(ARRAY.shape, np.uint8)
    expected[4], expected[1] = frames[0], frames[1]
    np.testing.assert_array_equal(masks["Lesion"].array, expected)
    np.testing.assert_array_equal(masks["Oedema"].array[4], frames[2])
    with pytest.raises(MaskError, match="do not lie on the image's grid"):
        read_seg(write_segments(tmp_path / "t.dcm", frames[:1], [(-10.0, 20.0, 32.0)], [1], ["Lesion"]), volume.geometry)
    with pytest.raises(MaskError, match="file is no DICOM SEG"):
        read_seg(next((tmp_path / "image").iterdir()), volume.geometry)


def test_a_folder_is_converted_and_one_bad_series_does_not_stop_it(tmp_path: Path) -> None:
    source = tmp_path / "dicom"
    write_series(source / "P-1" / "mr", ARRAY)
    write_contours(source / "P-1" / "rt" / "c.dcm", {"GTV": [box(1, 0.5, 7.5, 0.5, 6.5)]})
    write_segments(source / "P-1" / "seg" / "s.dcm", np.ones((2, 8, 10), bool), [(-10.0, 20.0, 30.0)] * 2, [1, 2], ["Lesion", "lesion"])
    write_series(source / "P-2", ARRAY, series="T1")[2].unlink()
    files, aside = convert_dicom(source, tmp_path / "out")
    names = [f.relative_to(tmp_path / "out").as_posix() for f in files]
    assert names == ["P-1/T2-fat-sat_image.nii.gz", "P-1/T2-fat-sat_mask.nii.gz", "P-1/T2-fat-sat_mask_Lesion-1.nii.gz", "P-1/T2-fat-sat_mask_lesion-2.nii.gz"]
    assert [(s.patient_id, s.stage) for s in aside] == [("P-2", "convert")]
    assert "1 slices are missing" in aside[0].reason
    np.testing.assert_array_equal(read_volume(files[0]).array, ARRAY)
    assert read_mask(files[1]).array.sum() == 42
    (tmp_path / "empty").mkdir()
    with pytest.raises(RequestError, match="holds no DICOM image series"):
        convert_dicom(tmp_path / "empty", tmp_path / "out")


def test_real_contours_become_the_published_masks(tmp_path: Path, reference_data: Path) -> None:
    """Two sarcomas that were published both as DICOM with RTSTRUCT and as NIfTI."""
    files, aside = convert_dicom(reference_data / "sts_dicom", tmp_path)
    assert aside == []
    assert len(files) == 4
    for patient in ("STS_002", "STS_003"):
        image, drawn = (next(f for f in files if f.parent.name == patient and f.name.endswith(f"_{kind}.nii.gz")) for kind in ("image", "mask"))
        published = reference_data / "sts_t1" / patient
        mine, theirs = read_volume(image), read_volume(published / "MR_T1_image.nii.gz")
        assert mine.geometry.differences(theirs.geometry, 1e-3) == []
        np.testing.assert_array_equal(mine.array, theirs.array)
        a, b = read_mask(drawn).array, read_mask(published / "MR_T1_mask.nii.gz").array
        assert 2.0 * (a & b).sum() / (int(a.sum()) + int(b.sum())) > 0.999


def test_a_real_segmentation_lands_inside_its_organ(tmp_path: Path, reference_data: Path) -> None:
    shutil.copytree(reference_data / "dicom_seg" / "QIN-PROSTATE-001", tmp_path / "in")
    assert sorted(s.modality for s in list_series(tmp_path / "in")) == ["MR", "SEG"]
    files, aside = convert_dicom(tmp_path / "in", tmp_path / "out")
    assert aside == []
    masks = {f.name.split("_mask_")[1].removesuffix(".nii.gz"): read_mask(f) for f in files if "_mask_" in f.name}
    assert {"Prostate", "Lesion"} < set(masks)
    assert 10 < masks["Prostate"].volume_ml < 60
    inside = (masks["Lesion"].array & masks["Prostate"].array).sum() / masks["Lesion"].array.sum()
    assert inside > 0.9
