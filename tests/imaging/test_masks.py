"""Masks of other programs: files written here byte by byte as those programs write them, and masks on a part of the image's grid."""

from __future__ import annotations

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from sarcofuse.config import PreprocessConfig
from sarcofuse.errors import GeometryError, MaskError
from sarcofuse.imaging import place_mask, read_mask, write_volume
from sarcofuse.preprocess.stage import prepare_one
from sarcofuse.records import Geometry, Mask, Patient, Volume
from tests.imaging.dicom_files import write_contours, write_segments, write_series

GRID = Geometry((9, 8, 6), (1.5, 1.25, 4.0), (-10.0, 20.0, 30.5))
OBLIQUE = Geometry((9, 8, 6), (1.5, 1.25, 4.0), (-10.0, 20.0, 30.5), (0.8, -0.6, 0.0, 0.6, 0.8, 0.0, 0.0, 0.0, 1.0))


def write_slicer(file: Path, layers: list[np.ndarray], segments: list[dict[str, object]], grid: Geometry = GRID, offset: str = "0 0 0", **fields: str) -> Path:
    """Write a .seg.nrrd: one layer as three dimensions, several with a list axis in front (3D Slicer's developer guide, Segmentations)."""
    axes = np.asarray(grid.direction).reshape(3, 3) * np.asarray(grid.spacing)
    z, y, x = layers[0].shape
    many = len(layers) > 1
    vectors = " ".join("(" + ",".join(repr(float(v)) for v in column) + ")" for column in axes.T)
    lines = [
        "NRRD0004",
        "# Complete NRRD file format specification at:",
        "# http://teem.sourceforge.net/nrrd/format.html",
        "type: unsigned char",
        f"dimension: {3 + many}",
        "space: left-posterior-superior",
        f"sizes: {f'{len(layers)} ' * many}{x} {y} {z}",
        f"space directions: {'none ' * many}{vectors}",
        f"kinds: {'list ' * many}domain domain domain",
        "encoding: gzip",
        f"space origin: ({','.join(map(repr, grid.origin))})",
        *(f"Segment{k}_{key}:={value}" for k, segment in enumerate(segments) for key, value in segment.items()),
        "Segmentation_ContainedRepresentationNames:=Binary labelmap|Closed surface|",
        *(f"{key}:={value}" for key, value in ({"Segmentation_MasterRepresentation": "Binary labelmap"} | fields).items()),
        f"Segmentation_ReferenceImageExtentOffset:={offset}",
    ]
    data = np.stack(layers, axis=-1) if many else layers[0]
    file.write_bytes(("\n".join(lines) + "\n\n").encode() + gzip.compress(np.ascontiguousarray(data, dtype=np.uint8).tobytes()))
    return file


def box(value: int, z: slice, y: slice, x: slice, shape: tuple[int, int, int] = GRID.shape) -> np.ndarray:
    array = np.zeros(shape, dtype=np.uint8)
    array[z, y, x] = value
    return array


TUMOUR = box(1, slice(1, 4), slice(2, 6), slice(3, 7))
OEDEMA = box(2, slice(1, 4), slice(6, 8), slice(3, 7))
NAMED = [{"ID": "Segment_1", "Name": "Tumour", "LabelValue": 1, "Layer": 0}, {"ID": "Segment_2", "Name": "Oedema", "LabelValue": 2, "Layer": 0}]


@pytest.mark.parametrize("grid", [GRID, OBLIQUE], ids=["straight", "oblique"])
@pytest.mark.parametrize(("wanted", "array"), [("Tumour", TUMOUR), ("tumour", TUMOUR), (1, TUMOUR), ("Oedema", OEDEMA), ("Segment_2", OEDEMA), (2, OEDEMA)])
def test_slicer_segments_in_one_layer(tmp_path: Path, grid: Geometry, wanted: int | str, array: np.ndarray) -> None:
    mask = read_mask(write_slicer(tmp_path / "s.seg.nrrd", [TUMOUR + OEDEMA], NAMED, grid), "P-1", wanted)
    np.testing.assert_array_equal(mask.array, array != 0)
    assert grid.differences(mask.geometry, 1e-6) == []


def test_slicer_segments_that_overlap_lie_in_layers_of_their_own(tmp_path: Path) -> None:
    whole = box(1, slice(0, 5), slice(1, 7), slice(2, 8))
    segments = [{"Name": "Whole", "LabelValue": 1, "Layer": 1}, {"Name": "Tumour", "LabelValue": 1, "Layer": 0}, {"Name": "Necrosis", "LabelValue": 3, "Layer": 0}]
    necrosis = box(3, slice(4, 5), slice(0, 2), slice(0, 2))
    file = write_slicer(tmp_path / "s.seg.nrrd", [TUMOUR + necrosis, whole], segments)
    for name, array in {"Whole": whole, "Tumour": TUMOUR, "Necrosis": necrosis}.items():
        np.testing.assert_array_equal(read_mask(file, label=name).array, array != 0)
    np.testing.assert_array_equal(read_mask(file, label=3).array, necrosis != 0)
    with pytest.raises(MaskError, match=r"tumour mask of P-1 has 2 segments 1; its segments are 'Whole' \(1, 180 voxels\), 'Tumour' \(1, 48 voxels\).* Set cohort\.mask_label to the name of one"):
        read_mask(file, "P-1", 1)


def test_slicer_files_before_layers_were_shared(tmp_path: Path) -> None:
    """Slicer before 4.11 wrote every segment into a layer of ones."""
    file = write_slicer(tmp_path / "s.seg.nrrd", [TUMOUR, OEDEMA // 2], [{"Name": "Tumour"}, {"Name": "Oedema"}])
    np.testing.assert_array_equal(read_mask(file, label="Oedema").array, OEDEMA != 0)


def test_slicer_files_without_a_choice(tmp_path: Path) -> None:
    one = write_slicer(tmp_path / "one.seg.nrrd", [TUMOUR], NAMED)
    np.testing.assert_array_equal(read_mask(one).array, TUMOUR)  # the other segment is empty
    two = write_slicer(tmp_path / "two.seg.nrrd", [TUMOUR + OEDEMA], NAMED)
    with pytest.raises(MaskError, match=r"P-7 holds 2 segments: 'Tumour' \(1, 48 voxels\), 'Oedema' \(2, 24 voxels\); expected 1\. Set cohort\.mask_label to the tumour's name or number"):
        read_mask(two, "P-7")
    with pytest.raises(MaskError, match=r"has no segment 'Tumor'; its segments are 'Tumour' .*name or number"):
        read_mask(two, "P-7", "Tumor")
    with pytest.raises(MaskError, match=r"segment 'Oedema' of one\.seg\.nrrd is empty; expected at least 1 voxel"):
        read_mask(one, "P-7", "Oedema")


def test_slicer_files_with_nothing_to_use(tmp_path: Path) -> None:
    blank = write_slicer(tmp_path / "blank.seg.nrrd", [np.ones((1, 1, 1), np.uint8)], NAMED, Geometry((1, 1, 1), (1, 1, 1)))
    with pytest.raises(MaskError, match=r"is empty: 0 voxels in blank\.seg\.nrrd"):  # a single voxel stands for no voxels
        read_mask(blank)
    soft = write_slicer(tmp_path / "soft.seg.nrrd", [TUMOUR], NAMED, Segmentation_MasterRepresentation="Fractional labelmap")
    with pytest.raises(MaskError, match="fractional segmentation of 3D Slicer; expected a binary label map"):
        read_mask(soft)
    vectors = write_slicer(tmp_path / "vectors.nrrd", [TUMOUR, OEDEMA], [])
    with pytest.raises(MaskError, match=r"mask has 2 values a voxel and names no segments"):
        read_mask(vectors)


def test_label_map_of_itk_snap(tmp_path: Path) -> None:
    """ITK-SNAP saves NIfTI label maps of 16 bits; names are in a file of their own, so that labels go by number."""
    array = (TUMOUR * 4 + OEDEMA).transpose(2, 1, 0).astype(np.int16)
    nib.save(nib.Nifti1Image(array, np.diag([-1.5, -1.25, 4.0, 1.0])), tmp_path / "snap.nii.gz")
    np.testing.assert_array_equal(read_mask(tmp_path / "snap.nii.gz", label=4).array, TUMOUR)
    with pytest.raises(MaskError, match=r"is a label map, which names nothing, and cohort\.mask_label asks for 'Tumour'; its labels are 2, 4\. Give the number"):
        read_mask(tmp_path / "snap.nii.gz", "P-1", "Tumour")


@pytest.mark.parametrize("grid", [GRID, OBLIQUE], ids=["straight", "oblique"])
def test_cropped_slicer_file_lands_in_its_place(tmp_path: Path, grid: Geometry) -> None:
    """Saved without the empty margin: the grid starts at voxel (3, 2, 1) of the image."""
    axes = np.asarray(grid.direction).reshape(3, 3) * np.asarray(grid.spacing)
    corner = np.asarray(grid.origin) + axes @ [3, 2, 1]
    part = Geometry((4, 6, 3), grid.spacing, tuple(map(float, corner)), grid.direction)
    file = write_slicer(tmp_path / "s.seg.nrrd", [(TUMOUR + OEDEMA)[1:4, 2:8, 3:7]], NAMED, part, "3 2 1")
    placed = place_mask(read_mask(file, label="Tumour"), grid, "P-1")
    assert placed.geometry == grid
    np.testing.assert_array_equal(placed.array, TUMOUR)


def test_mask_that_reaches_beyond_the_image() -> None:
    """Slicer's extents may start before the image, at slice -1."""
    low = Geometry((9, 8, 8), GRID.spacing, (-10.0, 20.0, 26.5))
    array = np.zeros(low.shape, dtype=np.uint8)
    array[1:7] = TUMOUR
    np.testing.assert_array_equal(place_mask(Mask(array, low), GRID).array, TUMOUR)
    array[0, 0, :3] = 1
    with pytest.raises(GeometryError, match=r"patient P-1: 3 of 51 voxels of the mask lie outside the image; expected none"):
        place_mask(Mask(array, low), GRID, "P-1")
    far = Geometry((4, 4, 4), GRID.spacing, (-10.0 + 1.5 * 40, 20.0, 30.5))
    with pytest.raises(GeometryError, match=r"64 of 64 voxels of the mask lie outside"):
        place_mask(Mask(np.ones(far.shape, np.uint8), far), GRID)


@pytest.mark.parametrize(
    "other",
    [
        Geometry((4, 4, 3), (1.5, 1.25, 4.0), (-9.3, 20.0, 30.5)),  # half a voxel off
        Geometry((4, 4, 3), (1.5, 1.3, 4.0), (-10.0, 20.0, 30.5)),
        Geometry((9, 8, 6), (1.5, 1.25, 4.0), (-8.5, 20.0, 30.5)),  # as large as the image, and a whole voxel off: a slip of an export, not a crop
        Geometry((4, 4, 3), (1.5, 1.25, 4.0), (-10.0, 20.0, 30.5), OBLIQUE.direction),
    ],
    ids=["between voxels", "spacing", "shifted", "turned"],
)
def test_other_grids_are_refused(other: Geometry) -> None:
    with pytest.raises(GeometryError, match="image and mask lie on different grids"):
        place_mask(Mask(np.ones(other.shape, np.uint8), other), GRID)


def test_rounded_spacing_adds_up_over_a_large_crop() -> None:
    image, part = Geometry((400, 1, 1), (0.75, 1.0, 1.0)), Geometry((300, 1, 1), (0.755, 1.0, 1.0))
    with pytest.raises(GeometryError, match="different grids"):  # within the tolerance voxel by voxel, 1.5 mm off at the far end
        place_mask(Mask(np.ones(part.shape, np.uint8), part), image)


def test_other_grids_are_resampled_where_asked() -> None:
    fine = Geometry((18, 16, 12), (0.75, 0.625, 2.0), (-10.375, 19.6875, 29.5))  # each voxel of the image in eight
    array = np.kron(TUMOUR, np.ones((2, 2, 2), np.uint8))
    np.testing.assert_array_equal(place_mask(Mask(array, fine), GRID, resample=True).array, TUMOUR)
    away = Geometry(fine.size, fine.spacing, (500.0, 0.0, 0.0))
    with pytest.raises(GeometryError, match="nothing of it is left"):
        place_mask(Mask(array, away), GRID, resample=True)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """The image that the DICOM masks below were drawn on: 6 slices of 8 x 9 pixels, 4 mm apart."""
    array = np.random.default_rng(0).integers(100, 200, (6, 8, 9))
    write_series(tmp_path / "image", array)
    return tmp_path / "image"


def test_dicom_segmentation_in_the_table(tmp_path: Path, image: Path) -> None:
    frames = np.zeros((4, 8, 9), dtype=np.uint8)
    frames[:2, 2:6, 3:7], frames[2:, 1:3, 1:3] = 1, 1
    places = [(-10.0, 20.0, 30.0 + 4 * k) for k in (1, 2, 3, 4)]
    file = write_segments(tmp_path / "s.dcm", frames, places, [1, 1, 2, 2], ["Lesion", "Oedema"])
    config = PreprocessConfig(n4=False, spacing=None)
    for wanted in ("lesion", 1):
        case = prepare_one(Patient("P-1", "train", image, file), config, tmp_path / str(wanted), wanted)
        expected = np.zeros((6, 8, 9))
        expected[1:3, 2:6, 3:7] = 1
        np.testing.assert_array_equal(read_mask(case.mask).array, expected)
    with pytest.raises(MaskError, match=r"holds 2 segments: 'Lesion' \(1, 32 voxels\), 'Oedema' \(2, 8 voxels\)"):
        prepare_one(Patient("P-1", "train", image, file), config, tmp_path / "none")
    with pytest.raises(MaskError, match="drawn only together with its image"):
        read_mask(file)


def test_dicom_contours_in_the_table(tmp_path: Path, image: Path) -> None:
    def square(slice_: int, low: float, high: float) -> np.ndarray:
        corners = np.array([[low, low], [high, low], [high, high], [low, high]])
        return np.column_stack([-10.0 + 1.25 * corners[:, 0], 20.0 + 1.5 * corners[:, 1], np.full(4, 30.0 + 4 * slice_)])

    file = write_contours(tmp_path / "c.dcm", {"Skin": [square(k, 0.5, 7.5) for k in range(6)], "GTV": [square(k, 1.5, 4.5) for k in (2, 3)]})
    case = prepare_one(Patient("P-1", "train", image, file), PreprocessConfig(n4=False, spacing=None), tmp_path / "out", "gtv")
    expected = np.zeros((6, 8, 9))
    expected[2:4, 2:5, 2:5] = 1
    np.testing.assert_array_equal(read_mask(case.mask).array, expected)
    with pytest.raises(MaskError, match=r"mask is a DICOM file of modality MR; expected SEG or RTSTRUCT"):
        prepare_one(Patient("P-1", "train", image, next(image.iterdir())), PreprocessConfig(), tmp_path / "out")


def test_prepare_places_and_resamples(tmp_path: Path) -> None:
    array = np.random.default_rng(1).normal(100, 20, GRID.shape).astype(np.float32)
    write_volume(Volume(array, GRID), tmp_path / "image.nii.gz")
    part = Geometry((4, 4, 3), GRID.spacing, (-10.0 + 1.5 * 3, 20.0 + 1.25 * 2, 34.5))
    file = write_slicer(tmp_path / "s.seg.nrrd", [TUMOUR[1:4, 2:6, 3:7]], NAMED, part, "3 2 1")
    config = PreprocessConfig(n4=False, spacing=None)
    case = prepare_one(Patient("P-1", "train", tmp_path / "image.nii.gz", file), config, tmp_path / "a")
    np.testing.assert_array_equal(read_mask(case.mask).array, TUMOUR)
    off = write_slicer(tmp_path / "off.seg.nrrd", [TUMOUR[1:4, 2:6, 3:7]], NAMED, Geometry(part.size, part.spacing, (-5.3, 22.5, 34.5)))
    with pytest.raises(GeometryError, match="different grids"):
        prepare_one(Patient("P-1", "train", tmp_path / "image.nii.gz", off), config, tmp_path / "b")
    loose = config.model_copy(update={"other_grids": "resample"})
    near = prepare_one(Patient("P-1", "train", tmp_path / "image.nii.gz", off), loose, tmp_path / "b")
    np.testing.assert_array_equal(read_mask(near.mask).array, TUMOUR)  # 0.2 mm of 1.5: linear interpolation keeps every voxel
