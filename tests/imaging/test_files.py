"""Reading and writing images and masks, and every way in which a file can be wrong."""

from __future__ import annotations

import gzip
import itertools
import math
import struct
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from sarcofuse.errors import GeometryError, ImageError, MaskError
from sarcofuse.imaging import check_geometry, content_digest, read_geometry, read_mask, read_volume, write_mask, write_volume
from sarcofuse.imaging.convert import from_sitk
from sarcofuse.imaging.nifti import look
from sarcofuse.records import Geometry, Mask, Volume

GRID = Geometry((7, 6, 5), (1.5, 1.25, 4.0), (-10.0, 20.0, 30.5))
OBLIQUE = Geometry((7, 6, 5), (1.5, 1.25, 4.0), (-10.0, 20.0, 30.5), (0.8, -0.6, 0.0, 0.6, 0.8, 0.0, 0.0, 0.0, 1.0))


def volume(grid: Geometry = GRID) -> Volume:
    return Volume(np.random.default_rng(1).normal(100, 20, grid.shape).astype(np.float32), grid)


def mask(grid: Geometry = GRID) -> Mask:
    array = np.zeros(grid.shape, np.uint8)
    array[1:4, 2:4, 3:6] = 1
    return Mask(array, grid)


def write_array(array: np.ndarray, file: Path) -> Path:
    sitk.WriteImage(sitk.GetImageFromArray(array), str(file))
    return file


@pytest.mark.parametrize("ending", [".nii.gz", ".nii", ".nrrd", ".mha"])
@pytest.mark.parametrize("grid", [GRID, OBLIQUE], ids=["straight", "oblique"])
def test_what_is_written_is_read_again(tmp_path: Path, ending: str, grid: Geometry) -> None:
    write_volume(volume(grid), tmp_path / f"image{ending}")
    write_mask(mask(grid), tmp_path / f"mask{ending}")
    image, region = read_volume(tmp_path / f"image{ending}"), read_mask(tmp_path / f"mask{ending}")
    np.testing.assert_array_equal(image.array, volume().array)
    np.testing.assert_array_equal(region.array, mask().array)
    assert image.array.dtype == np.float32
    assert region.array.dtype == np.uint8
    assert grid.differences(image.geometry, 1e-5) == []
    assert read_geometry(tmp_path / f"image{ending}") == image.geometry
    assert [f.name for f in sorted(tmp_path.iterdir())] == [f"image{ending}", f"mask{ending}"]


def test_nibabel_sees_the_same_places(tmp_path: Path) -> None:
    """Nibabel counts in RAS: x and y have the other sign."""
    write_volume(volume(OBLIQUE), tmp_path / "image.nii.gz")
    other = nib.load(tmp_path / "image.nii.gz")
    np.testing.assert_array_equal(np.asarray(other.dataobj).T, volume().array)
    index = np.array([3, 2, 4])
    axes = np.asarray(OBLIQUE.direction).reshape(3, 3) * np.asarray(OBLIQUE.spacing)
    lps = np.asarray(OBLIQUE.origin) + axes @ index
    np.testing.assert_allclose(other.affine @ [*index, 1], [-lps[0], -lps[1], lps[2], 1], atol=1e-4)


def test_the_same_volume_gives_the_same_bytes_at_another_time(tmp_path: Path) -> None:
    write_volume(volume(), tmp_path / "a.nii.gz")
    write_volume(volume(), tmp_path / "b.nii.gz")
    raw = (tmp_path / "a.nii.gz").read_bytes()
    assert raw == (tmp_path / "b.nii.gz").read_bytes()
    assert raw[4:8] == b"\x00\x00\x00\x00", "gzip's time stamp"
    assert raw[3] == 0, "gzip's flags: no file name"


def test_another_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"cannot write image\.png"):
        write_volume(volume(), tmp_path / "image.png")


def test_whole_numbers_become_float(tmp_path: Path) -> None:
    file = write_array(np.arange(60, dtype=np.int16).reshape(3, 4, 5), tmp_path / "a.nii.gz")
    assert read_volume(file).array[2, 3, 4] == 59.0


def test_big_endian_files_are_read_and_nifti_2_is_not(tmp_path: Path) -> None:
    array = np.arange(60, dtype=np.float32).reshape(5, 4, 3)
    nib.save(nib.Nifti2Image(array, np.diag([1.0, 1.0, 3.0, 1.0])), tmp_path / "two.nii.gz")
    with pytest.raises(ImageError, match="it is NIfTI-2, which is not read; save it as NIfTI-1"):
        read_volume(tmp_path / "two.nii.gz")
    header = nib.Nifti1Header(endianness=">")
    header.set_data_dtype(np.float32)
    nib.save(nib.Nifti1Image(array, np.diag([1.0, 1.0, 3.0, 1.0]), header), tmp_path / "big.nii")
    np.testing.assert_array_equal(read_volume(tmp_path / "big.nii").array, array.T)


@pytest.mark.parametrize("kind", [np.uint8, np.int8, np.int16, np.uint16, np.int32, np.uint32, np.float32, np.float64])
@pytest.mark.parametrize(("slope", "shift", "plain"), [(None, None, True), (0.0, 0.0, True), (1.0, 0.0, True), (2.0, 0.0, False), (1.0, -7.0, False), (0.0, 3.0, False)])
def test_a_plain_nifti_file_is_what_simpleitk_reads(tmp_path: Path, kind: type, slope: float | None, shift: float | None, plain: bool) -> None:
    """SimpleITK itself is the reference, to the last bit: of voxels, whatever the type and scale, and of the grid, whether the header gives it as a quaternion, a matrix or both."""
    rng = np.random.default_rng(0)
    array = rng.integers(0, 120, (4, 5, 6)).astype(kind) if np.dtype(kind).kind != "f" else rng.normal(0, 1e3, (4, 5, 6)).astype(kind)
    image = nib.Nifti1Image(array, None)
    image.header.set_data_dtype(kind)
    turned = np.array([[-1.2, 0.9, 0, 5], [1.6, 1.2 * 1.5 / 2, 0, -7], [0, 0, 4.0, 11], [0, 0, 0, 1]])
    turned[:2, :2] = np.array([[0.8, -0.6], [0.6, 0.8]]) * [1.5, 1.25]
    code = {np.uint8: (1, 0), np.int16: (0, 2), np.float32: (1, 1)}.get(kind, (2, 1))
    image.set_qform(turned, code[0])
    image.set_sform(np.diag([1.5, 1.25, 4, 1]) if kind is np.float64 else turned, code[1])
    image.to_filename(tmp_path / "a.nii")
    raw = bytearray((tmp_path / "a.nii").read_bytes())
    struct.pack_into("<2f", raw, 112, *(math.nan if v is None else v for v in (slope, shift)))
    (tmp_path / "a.nii").write_bytes(raw)
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(raw))
    for name in ("a.nii", "a.nii.gz"):
        assert (look(tmp_path / name).values is not None) is plain
        found, reference = read_volume(tmp_path / name), sitk.ReadImage(str(tmp_path / name), sitk.sitkFloat32)
        np.testing.assert_array_equal(found.array, sitk.GetArrayFromImage(reference))
        assert found.array.dtype == np.float32
        assert found.array.flags.writeable
        assert found.geometry == Geometry(reference.GetSize(), reference.GetSpacing(), reference.GetOrigin(), reference.GetDirection())
        assert content_digest(found) == content_digest(from_sitk(reference))


@pytest.mark.parametrize("axes", list(itertools.permutations(range(3))), ids=str)
def test_grids_are_those_of_simpleitk_to_the_sign_of_zero(tmp_path: Path, axes: tuple[int, ...]) -> None:
    """Digests tell 0 from -0, and decide whether work is done again."""
    for signs in itertools.product((1.0, -1.0), repeat=3):
        direction = (np.eye(3)[list(axes)] * signs).ravel()
        geometry = Geometry((3, 4, 5), (1.5, 1.25, 4.0), (0.0, -0.0, 7.0), tuple(float(d) for d in direction))
        write_volume(Volume(np.ones((5, 4, 3), np.float32), geometry), tmp_path / "a.nii")
        assert content_digest(read_volume(tmp_path / "a.nii")) == content_digest(from_sitk(sitk.ReadImage(str(tmp_path / "a.nii"))))


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"patient P-1 \(no\.nii\.gz\): image file does not exist"):
        read_volume(tmp_path / "no.nii.gz", "P-1")
    with pytest.raises(MaskError, match=r"patient P-1 \(no\.nii\.gz\): mask file does not exist"):
        read_mask(tmp_path / "no.nii.gz", "P-1")
    with pytest.raises(ImageError, match=r"^no\.nii\.gz: image file does not exist"):
        read_volume(tmp_path / "no.nii.gz")


def test_a_file_that_is_no_image(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "bad.nii.gz"
    file.write_bytes(b"this is not an image")
    with pytest.raises(ImageError, match=r"patient P-2 \(bad\.nii\.gz\): image cannot be read: it is no image of a known kind") as caught:
        read_volume(file, "P-2")
    assert str(tmp_path) not in str(caught.value)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(("ending", "told"), [(".nii.gz", "cut short or damaged"), (".nii", "cut short or damaged"), (".mha", "cannot be read"), (".nrrd", "cannot be read")])
def test_a_file_cut_short(tmp_path: Path, ending: str, told: str, capfd: pytest.CaptureFixture[str]) -> None:
    write_volume(volume(), tmp_path / f"whole{ending}")
    file = tmp_path / f"half{ending}"
    raw = (tmp_path / f"whole{ending}").read_bytes()
    file.write_bytes(raw[: len(raw) * 2 // 3])
    with pytest.raises(ImageError, match=rf"patient P-3 \(half{ending}\): image .*{told}") as caught:
        read_volume(file, "P-3")
    assert str(tmp_path) not in str(caught.value)
    told = capfd.readouterr().err
    assert told == "" or ending == ".mha", "MetaIO has a voice of its own"


def test_a_nifti_with_a_flipped_byte(tmp_path: Path) -> None:
    write_volume(volume(), tmp_path / "a.nii.gz")
    raw = bytearray((tmp_path / "a.nii.gz").read_bytes())
    raw[-6] ^= 1
    (tmp_path / "a.nii.gz").write_bytes(bytes(raw))
    with pytest.raises(ImageError, match="cut short or damaged"):
        read_volume(tmp_path / "a.nii.gz")


def test_a_packed_file_shorter_than_its_header_says(tmp_path: Path) -> None:
    write_volume(volume(), tmp_path / "a.nii")
    raw = (tmp_path / "a.nii").read_bytes()
    (tmp_path / "b.nii.gz").write_bytes(gzip.compress(raw[:-40]))
    with pytest.raises(ImageError, match=rf"{len(raw) - 40} bytes of the {len(raw)} that its header announces"):
        read_volume(tmp_path / "b.nii.gz")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("ending", [".nii.gz", ".nii", ".nrrd", ".mha"])
def test_values_that_are_not_finite(tmp_path: Path, value: float, ending: str) -> None:
    array = volume().array.copy()
    array[0, 0, :3] = value
    write_volume(Volume(array, GRID), tmp_path / f"image{ending}")
    with pytest.raises(ImageError, match=r"image holds 3 voxels of 210 that are NaN or infinite"):
        read_volume(tmp_path / f"image{ending}", "P-4")


def test_two_four_and_many_valued_images(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"image has 2 dimensions \(5 x 4\); expected 3\. Export the whole series"):
        read_volume(write_array(np.zeros((4, 5), np.float32), tmp_path / "flat.nii.gz"))
    sitk.WriteImage(sitk.JoinSeries([sitk.GetImageFromArray(np.zeros((3, 4, 5), np.float32))] * 2), str(tmp_path / "film.nii.gz"))
    with pytest.raises(ImageError, match=r"image has 4 dimensions \(5 x 4 x 3 x 2\); expected 3\. Export one of its volumes"):
        read_volume(tmp_path / "film.nii.gz")
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((3, 4, 5, 3), np.float32), isVector=True), str(tmp_path / "colour.nii.gz"))
    with pytest.raises(ImageError, match=r"image has 3 values a voxel \(colour or vector\); expected 1"):
        read_volume(tmp_path / "colour.nii.gz")


def test_an_empty_mask(tmp_path: Path) -> None:
    write_mask(Mask(np.zeros(GRID.shape, np.uint8), GRID), tmp_path / "mask.nii.gz")
    with pytest.raises(MaskError, match=r"tumour mask of P-017 is empty: 0 voxels in mask\.nii\.gz; expected at least 1\. Draw the tumour, or set segment\.masks: model"):
        read_mask(tmp_path / "mask.nii.gz", "P-017")


def test_a_mask_of_several_labels(tmp_path: Path) -> None:
    array = np.zeros((4, 5, 6), np.uint8)
    array[1, :2, :3], array[2, 0, :2] = 1, 7
    file = write_array(array, tmp_path / "mask.nii.gz")
    with pytest.raises(MaskError, match=r"holds 2 labels: 1 \(6 voxels\), 7 \(2 voxels\); expected 1 label besides 0\. Set cohort\.mask_label"):
        read_mask(file, "P-5")
    assert read_mask(file, "P-5", 7).array.sum() == 2
    with pytest.raises(MaskError, match=r"has no voxel of label 3; its labels are 1, 7"):
        read_mask(file, "P-5", 3)


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.uint16, np.float32, np.float64])
def test_a_mask_of_any_kind_and_value(tmp_path: Path, kind: type) -> None:
    array = (mask().array * 255 if kind is not np.int16 else mask().array).astype(kind)
    region = read_mask(write_array(array, tmp_path / "mask.nii.gz"))
    np.testing.assert_array_equal(region.array, mask().array)


def test_a_mask_that_is_an_image(tmp_path: Path) -> None:
    with pytest.raises(MaskError, match=r"mask holds 210 voxels whose values are not whole numbers"):
        read_mask(write_array(volume().array, tmp_path / "a.nii.gz"))
    nan = np.where(mask().array == 1, np.nan, 0).astype(np.float32)
    with pytest.raises(MaskError, match=r"mask holds 18 voxels of 210 that are NaN"):
        read_mask(write_array(nan, tmp_path / "nan.nii.gz"))
    with pytest.raises(MaskError, match=r"mask holds 18 voxels whose values are not whole numbers"):
        read_mask(write_array(nan, tmp_path / "nan.nrrd"))
    with pytest.raises(MaskError, match=r"mask holds negative values \(least -1000\)"):
        read_mask(write_array(np.full((3, 4, 5), -1000, np.int16), tmp_path / "b.nii.gz"))
    with pytest.raises(MaskError, match=r"mask is a folder; expected one file"):
        read_mask(tmp_path)


@pytest.mark.parametrize(
    ("other", "told"),
    [
        (Geometry((7, 6, 4), GRID.spacing, GRID.origin), r"size \(7, 6, 5\) against \(7, 6, 4\)"),
        (Geometry(GRID.size, (1.5, 1.25, 4.2), GRID.origin), r"spacing \(1\.5, 1\.25, 4\) against \(1\.5, 1\.25, 4\.2\) \(off by up to 0\.2\)"),
        (Geometry(GRID.size, GRID.spacing, (-10.0, 22.0, 30.5)), r"origin \(-10, 20, 30\.5\) against \(-10, 22, 30\.5\) \(off by up to 2\)"),
        (OBLIQUE, r"direction .* \(off by up to 0\.6\)"),
    ],
)
def test_image_and_mask_on_different_grids(other: Geometry, told: str) -> None:
    with pytest.raises(GeometryError, match=rf"patient P-6: image and mask lie on different grids: {told}"):
        check_geometry(volume(), mask(other), "P-6")


def test_rounding_is_no_difference() -> None:
    near = Geometry(GRID.size, (1.5004, 1.25, 4.0), (-10.004, 20.0, 30.5))
    with pytest.raises(GeometryError, match=r"off by up to 0\.004"):
        check_geometry(volume(), mask(near), "", 1e-3)
    check_geometry(volume(), mask(near), "", 0.01)
    assert content_digest(volume()) != content_digest(volume(near))


def test_the_digest_knows_voxels_grid_and_kind() -> None:
    assert content_digest(volume()) == content_digest(volume())
    assert content_digest(mask()) != content_digest(Volume(mask().array.astype(np.float32), GRID))
    changed = volume().array.copy()
    changed[0, 0, 0] += 1
    assert content_digest(Volume(changed, GRID)) != content_digest(volume())
    assert content_digest(Volume(np.asfortranarray(volume().array), GRID)) == content_digest(volume())


def test_axes_that_are_not_at_right_angles(tmp_path: Path) -> None:
    affine = np.diag([1.0, 1.0, 3.0, 1.0])
    affine[0, 1] = 0.4
    file = nib.Nifti1Image(np.arange(60, dtype=np.float32).reshape(5, 4, 3), None)
    file.set_sform(affine, 1)
    file.set_qform(None, 0)
    nib.save(file, tmp_path / "sheared.nii.gz")
    with pytest.raises(ImageError, match=r"image cannot be read: its axes are not at right angles"):
        read_volume(tmp_path / "sheared.nii.gz", "P-1")
