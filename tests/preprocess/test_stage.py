"""The stage as a whole: what comes out, what is set aside, and that the same goes in and out bit for bit."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from sarcofuse.config import PreprocessConfig
from sarcofuse.errors import GeometryError, ImageError, MaskError
from sarcofuse.imaging import content_digest, read_mask, read_volume, write_mask, write_volume
from sarcofuse.preprocess import prepare, prepare_one
from sarcofuse.records import Geometry, Mask, Patient, Volume
from sarcofuse.runtime import Engine, read_json

GRID = Geometry((40, 36, 10), (1.0, 1.0, 4.0), (5.0, -20.0, 100.0))
FAST = PreprocessConfig(n4_iterations=(5, 5))


def image(seed: int = 0) -> Volume:
    rng = np.random.default_rng(seed)
    z, y, x = np.mgrid[:10, :36, :40]
    tissue = np.where(np.hypot(y - 18, x - 20) < 15, 100.0 + 30.0 * np.sin(x / 3.0), 0.0) + np.where(np.hypot(np.hypot(y - 18, x - 24), 3.0 * (z - 5)) < 8, 120.0, 0.0)
    return Volume(np.hypot(tissue + rng.normal(0, 4, tissue.shape), rng.normal(0, 4, tissue.shape)).astype(np.float32), GRID)


def mask() -> Mask:
    z, y, x = np.mgrid[:10, :36, :40]
    return Mask((np.hypot(np.hypot(y - 18, x - 24), 3.0 * (z - 5)) < 8).astype(np.uint8), GRID)


def patient(folder: Path, name: str = "P-1", *, volume: Volume | None = None, region: Mask | None = None, drawn: bool = True) -> Patient:
    write_volume(volume or image(), folder / name / "image.nii.gz")
    if drawn:
        write_mask(region or mask(), folder / name / "mask.nii.gz")
    return Patient(name, "train", folder / name / "image.nii.gz", folder / name / "mask.nii.gz" if drawn else None, "A")


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(tmp_path / "cache", scheduler="serial", progress=False)


def test_image_and_mask_come_out_on_the_working_grid(tmp_path: Path, engine: Engine) -> None:
    (case,), aside = prepare([patient(tmp_path)], FAST, engine)
    assert aside == []
    volume, region = read_volume(case.image), read_mask(case.mask)
    assert volume.geometry.spacing == pytest.approx((1.5, 1.5, 5.0))
    assert volume.geometry.differences(region.geometry) == []
    assert region.volume_ml == pytest.approx(mask().volume_ml, rel=0.1)
    assert volume.array[region.array == 1].mean() > volume.array.mean() + 100, "the mask lies on the tumour"
    assert (case.image_digest, case.mask_digest) == (content_digest(read_volume(case.image)), content_digest(read_mask(case.mask)))
    assert (case.patient_id, case.split, case.site, case.mask_source) == ("P-1", "train", "A", "given")
    assert case.native_image == tmp_path / "P-1" / "image.nii.gz"
    info = read_json(case.image.parent / "info.json")
    assert info["native"]["size"] == [40, 36, 10]
    assert info["tumour"]["voxels"] == region.array.sum()
    assert info["tumour"]["slices"] == region.array.any(axis=(1, 2)).sum()


def test_a_missing_mask_is_fine_here(tmp_path: Path, engine: Engine) -> None:
    (case,), aside = prepare([patient(tmp_path, drawn=False)], FAST, engine)
    assert aside == []
    assert (case.mask, case.mask_digest, case.mask_source) == (None, None, None)
    assert not (case.image.parent / "mask.nii.gz").exists()


def test_the_own_grid_can_be_kept(tmp_path: Path, engine: Engine) -> None:
    (case,), _ = prepare([patient(tmp_path)], PreprocessConfig(spacing=None, n4=False), engine)
    assert read_volume(case.image).geometry == GRID
    np.testing.assert_array_equal(read_mask(case.mask).array, mask().array)


def test_other_orientations_come_out_the_same(tmp_path: Path) -> None:
    """The same patient, stored with x and y swapped and z downwards."""
    turned = Geometry((36, 40, 10), (1.0, 1.0, 4.0), (5.0, -20.0, 136.0), (0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, -1.0))
    config = PreprocessConfig(spacing=None, n4=False)
    other = Volume(np.ascontiguousarray(image().array.transpose(0, 2, 1)[::-1]), turned)
    region = Mask(np.ascontiguousarray(mask().array.transpose(0, 2, 1)[::-1]), turned)
    one = prepare_one(patient(tmp_path), config, tmp_path / "a")
    two = prepare_one(patient(tmp_path, "P-2", volume=other, region=region), config, tmp_path / "b")
    assert read_volume(one.image).geometry.differences(read_volume(two.image).geometry, 1e-4) == []
    np.testing.assert_array_equal(read_volume(one.image).array, read_volume(two.image).array)
    np.testing.assert_array_equal(read_mask(one.mask).array, read_mask(two.mask).array)


def test_the_same_bytes_alone_in_company_and_by_workers(tmp_path: Path) -> None:
    people = [patient(tmp_path, f"P-{i}", volume=image(i)) for i in range(3)]
    with Engine(tmp_path / "one", scheduler="serial", progress=False) as serial, Engine(tmp_path / "two", workers=2, progress=False) as parallel:
        alone = prepare([people[1]], FAST, serial)[0][0]
        together = prepare(people[::-1], FAST, parallel)[0]
    assert [c.patient_id for c in together] == ["P-2", "P-1", "P-0"]
    for name in ("image", "mask"):
        assert getattr(alone, name).read_bytes() == getattr(together[1], name).read_bytes()
    assert len({c.image_digest for c in together}) == 3


def test_what_is_done_is_not_done_again(tmp_path: Path, engine: Engine) -> None:
    people = [patient(tmp_path, f"P-{i}", volume=image(i)) for i in range(2)]
    first = prepare(people, FAST, engine)[0]
    made = [c.image.stat().st_mtime_ns for c in first]
    again = prepare(people, FAST, engine)[0]
    assert again == first
    assert [c.image.stat().st_mtime_ns for c in again] == made
    other = prepare(people, FAST.model_copy(update={"scale": 50.0}), engine)[0]
    assert {c.image for c in other}.isdisjoint({c.image for c in first})
    patient(tmp_path, "P-1", volume=image(7))
    changed = prepare(people, FAST, engine)[0]
    assert changed[0] == first[0]
    assert changed[1].image_digest != first[1].image_digest


def test_the_cache_does_not_know_where_files_lie(tmp_path: Path, engine: Engine) -> None:
    here, there = patient(tmp_path / "here"), patient(tmp_path / "there")
    assert prepare([here], FAST, engine)[0][0].image == prepare([there], FAST, engine)[0][0].image


def test_bad_patients_are_set_aside_and_the_rest_goes_on(tmp_path: Path, engine: Engine) -> None:
    thin, none, nan = mask().array.copy(), np.zeros(GRID.shape, np.uint8), image().array.copy()
    thin[:5], thin[6:] = 0, 0
    nan[3, 3, :5] = np.nan
    people = {
        "P-01": patient(tmp_path, "P-01"),
        "P-02": dataclasses.replace(patient(tmp_path, "P-02"), image=tmp_path / "gone.nii.gz"),
        "P-03": patient(tmp_path, "P-03", region=Mask(thin, GRID)),
        "P-04": patient(tmp_path, "P-04", region=Mask(none, GRID)),
        "P-05": patient(tmp_path, "P-05", volume=Volume(nan, GRID)),
        "P-06": patient(tmp_path, "P-06", region=Mask(mask().array, Geometry(GRID.size, GRID.spacing, (5.0, -20.0, 104.0)))),
        "P-07": patient(tmp_path, "P-07", region=Mask(mask().array + (image().array > 200), GRID)),
        "P-08": patient(tmp_path, "P-08", volume=Volume(np.full(GRID.shape, 9.0, np.float32), GRID)),
        "P-09": dataclasses.replace(patient(tmp_path, "P-09"), mask=tmp_path / "gone_mask.nii.gz"),
        "P-10": patient(tmp_path, "P-10"),
        "P-11": dataclasses.replace(patient(tmp_path, "P-11"), image=None),
    }
    broken = people["P-10"].image
    assert broken is not None
    broken.write_bytes(broken.read_bytes()[:500])
    cases, aside = prepare(list(people.values()), FAST, engine)
    assert [c.patient_id for c in cases] == ["P-01"]
    told = {s.patient_id: s.reason for s in aside}
    assert list(told) == sorted(told)
    assert {s.stage for s in aside} == {"preprocess"}
    expected = {
        "P-02": "gone.nii.gz: image does not exist",
        "P-03": "mask.nii.gz: tumour of P-03 lies in 1 slice; expected at least 2",
        "P-04": "mask.nii.gz: tumour mask of P-04 is empty: 0 voxels in mask.nii.gz",
        "P-05": "image.nii.gz: image holds 5 voxels of 14400 that are NaN or infinite",
        "P-06": "image and mask lie on different grids: origin (5, -20, 100) against (5, -20, 104)",
        "P-07": "mask.nii.gz: tumour mask of P-07 holds 2 labels",
        "P-08": "image.nii.gz: image is constant: every voxel is 9",
        "P-09": "gone_mask.nii.gz: mask file does not exist",
        "P-10": "image.nii.gz: image is cut short or damaged",
        "P-11": "no image is named in the table",
    }
    assert set(told) == set(expected)
    for name, words in expected.items():
        assert told[name].startswith(words), told[name]


def test_the_label_of_the_tumour_can_be_named(tmp_path: Path, engine: Engine) -> None:
    region = mask().array + (image().array > 200)
    (case,), _ = prepare([patient(tmp_path, region=Mask(region, GRID))], PreprocessConfig(spacing=None, n4=False), engine, mask_label=2)
    np.testing.assert_array_equal(read_mask(case.mask).array, region == 2)


def test_one_slice_is_enough_if_the_study_says_so(tmp_path: Path, engine: Engine) -> None:
    thin = mask().array.copy()
    thin[:5], thin[6:] = 0, 0
    person = patient(tmp_path, region=Mask(thin, GRID))
    (case,), aside = prepare([person], PreprocessConfig(spacing=None, n4=False, minimum_slices=1), engine)
    assert aside == []
    assert read_json(case.image.parent / "info.json")["tumour"]["slices"] == 1


def test_a_tumour_that_resampling_flattens_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(MaskError, match=r"lies in \d slices? after resampling to 1x1x20 mm; expected at least 2.*finer preprocess\.spacing"):
        prepare_one(patient(tmp_path), PreprocessConfig(spacing=(1.0, 1.0, 20.0), n4=False), tmp_path / "out")


def test_errors_by_direct_call(tmp_path: Path) -> None:
    person = patient(tmp_path, region=Mask(mask().array, Geometry(GRID.size, (1.0, 1.0, 4.1), GRID.origin)))
    with pytest.raises(GeometryError, match=r"patient P-1: image and mask lie on different grids: spacing .* \(off by up to 0\.1\)"):
        prepare_one(person, FAST, tmp_path / "out")
    prepare_one(person, FAST.model_copy(update={"geometry_tolerance": 0.2}), tmp_path / "out")
    with pytest.raises(ImageError, match=r"patient P-1 \(image\.nii\.gz\): image is constant"):
        prepare_one(patient(tmp_path, volume=Volume(np.zeros(GRID.shape, np.float32), GRID)), FAST, tmp_path / "out")


def test_real_patients(reference_data: Path, tmp_path: Path) -> None:
    """Two real sarcomas as NIfTI, and the same two as DICOM, come out the same."""
    with Engine(tmp_path / "cache", scheduler="serial", progress=False) as engine:
        names = ("STS_002", "STS_003")
        files = [Patient(n, "train", reference_data / "sts_t1" / n / "MR_T1_image.nii.gz", reference_data / "sts_t1" / n / "MR_T1_mask.nii.gz") for n in names]
        folders = [Patient(n, "external", reference_data / "sts_dicom" / n / "MR_T1" / "image") for n in names]
        cases, aside = prepare(files, PreprocessConfig(), engine)
        others, aside_too = prepare(folders, PreprocessConfig(), engine)
    assert aside == aside_too == []
    for case, other in zip(cases, others, strict=True):
        one, two = read_volume(case.image), read_volume(other.image)
        assert one.geometry.differences(two.geometry) == []
        np.testing.assert_allclose(one.array, two.array, atol=0.5)
        assert abs(read_mask(case.mask).volume_ml / read_mask(case.native_image.with_name("MR_T1_mask.nii.gz")).volume_ml - 1) < 0.03
