"""The dialect as one asks for it: settings, names, files; regions at the edge of what is defined."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import SimpleITK as sitk

from sarcofuse.cli.app import make_app
from sarcofuse.config import RadiomicsConfig
from sarcofuse.errors import ConfigError
from sarcofuse.radiomics import compute_features, extract_many, extract_radiomics, feature_names, read_settings
from sarcofuse.radiomics.ibsi import IBSI_FEATURES
from sarcofuse.records import Patient
from sarcofuse.runtime import Engine

ISOTROPIC = (1.0, 1.0, 1.0)


def case(shape=(8, 9, 10), seed=0):
    mask = np.zeros(shape, np.uint8)
    mask[2:6, 2:7, 2:8] = 1
    return np.random.default_rng(seed).normal(300, 80, shape), mask


def measured(mask, image=None, **settings):
    return compute_features(case()[0] if image is None else image, mask, ISOTROPIC, {"dialect": "ibsi", "ibsi": settings})


def undefined(found):
    return {name for name, value in found.items() if math.isnan(value)}


def of_family(*families):
    return {column for feature in IBSI_FEATURES if feature.family in families for column in feature.columns()}


def test_every_feature_has_a_code_of_its_own():
    codes = [feature.code for feature in IBSI_FEATURES]
    assert len(set(codes)) == len(codes) == 174
    assert all((len(code) == 4 and code.isupper()) or code.isdigit() for code in codes)
    assert len({tag for feature in IBSI_FEATURES for tag in feature.columns().values()}) == 487


def test_names_are_codes_with_those_of_the_aggregation():
    assert list(measured(case()[1])) == list(feature_names(RadiomicsConfig(dialect="ibsi")))
    chosen = RadiomicsConfig(dialect="ibsi", ibsi={"families": ("local", "ngtdm"), "aggregations": ("IAZD", "KOBO")})
    assert feature_names(chosen) == ("VJGA", "0F91", "QCDE_KOBO", "65HE_KOBO", "NQ30_KOBO", "HDEZ_KOBO", "1X9X_KOBO")


@pytest.mark.parametrize("family", ["morphology", "statistics", "glcm", "glrlm", "glszm", "gldzm", "ngtdm", "ngldm", "histogram", "ivh", "local"])
def test_a_family_alone_gives_what_it_gives_among_others(family):
    _, mask = case()
    whole, alone = measured(mask), measured(mask, families=(family,))
    assert set(alone) == of_family(family)
    assert alone == {name: whole[name] for name in alone}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"binWidth": 5}, r"binWidth is a setting of the dialect pyradiomics and says nothing in the dialect ibsi; set ibsi\.bin_width"),
        ({"normalize": True}, r"normalize is a setting of the dialect pyradiomics and says nothing in the dialect ibsi; leave it out"),
        ({"ibsi": {"binwidth": 5}}, r"ibsi\.binwidth: Extra inputs are not permitted"),
        ({"ibsi": {"spacing": (1, -1, 1)}}, r"ibsi: .*spacing must be three lengths in mm, or 0 to keep an axis"),
        ({"ibsi": {"resegment_range": (5, 5)}}, r"ibsi: .*resegment_range must go from a lower to a higher intensity"),
        ({"ibsi": {"aggregations": ("3D",)}}, r"ibsi\.aggregations\.0: Input should be 'BTW3'"),
    ],
)
def test_settings_that_say_nothing_are_refused(settings, words):
    with pytest.raises(ConfigError, match=words):
        read_settings({"dialect": "ibsi"} | settings)


def test_one_voxel():
    mask = np.zeros((8, 9, 10), np.uint8)
    mask[3, 4, 5] = 1
    found = measured(mask)
    assert found["RNU0"] == pytest.approx(1 / 6)  # an octahedron
    assert found["C0JK"] == pytest.approx(math.sqrt(3))
    assert [found["L0JK"], found["PBX1"] * 6, found["R3ER"]] == pytest.approx([1.0, 1.0, 1.0])
    assert found["22OV_IAZD"] == found["P30P_KOBO"] == found["IMOQ_KOBO"] == found["MB4I_8QNN"] == 1.0
    axes = {"TDIC", "P9VJ", "7J51", "Q3CK", "N17B", "6BDE", "RDD2", "N365", "NPT7"}
    assert undefined(found) == axes | of_family("glcm", "ngtdm")


def test_one_slice():
    mask = np.zeros((8, 9, 10), np.uint8)
    mask[3, 2:6, 2:7] = 1
    found = measured(mask)
    assert undefined(found) == {"6BDE"}  # the ellipsoid is flat
    assert found["7J51"] == found["N17B"] == 0.0
    # The surface of a flat ellipsoid is that of its two sides, by a series that comes within a per cent.
    sides = 2 * math.pi * found["TDIC"] * found["P9VJ"] / 4
    assert found["RDD2"] == pytest.approx(found["C0JK"] / sides, rel=0.3)


@pytest.mark.parametrize("settings", [{}, {"discretisation": "FBS"}])
def test_one_grey_level(settings):
    image, mask = case()
    found = measured(mask, np.full(image.shape, 40.0), **settings)
    expected = {"N365", "NPT7"} | {c for f in IBSI_FEATURES if f.code in ("NI2N", "R8DG") for c in f.columns()}
    assert undefined(found) == expected | ({"12CE", "8E6O", "VQB3", "RHQZ"} if settings else set())
    level = 1 if settings else 32
    assert found["X6K6"] == found["60VM_IAZD"] == level
    defined = {"ECT3": 0, "KE2A": 0, "IPH6": 0, "BJ5W": 1, "TLU2": 0, "GYBY_BTW3": 1, "ACUI_ITBB": 0, "JN9H_IAZD": 0, "NDRX_IAZD": 1}
    defined |= {"P30P_KOBO": 1 / 120, "QCDE_KOBO": 1e6, "65HE_KOBO": 0, "NQ30_KOBO": 0, "HDEZ_KOBO": 0, "1X9X_KOBO": 0, "VJGA": 40}
    assert {name: found[name] for name in defined} == pytest.approx(defined, abs=1e-12)


def test_voxels_that_do_not_touch():
    mask = np.zeros((8, 9, 10), np.uint8)
    mask[1, 1, 1] = mask[6, 7, 8] = 1
    found = measured(mask)
    # Two points lie on a line, and none of two intensities between their percentiles.
    assert undefined(found) == of_family("glcm", "ngtdm") | {"6BDE", "RDD2", "1128", "WRZB"}


def test_mask_that_fills_the_image():
    image, _ = case()
    found = measured(np.ones(image.shape), image)
    assert not undefined(found)
    assert found["0F91"] <= image.max()


def write(folder, seed=0):
    for name, array in zip(("image", "mask"), case(seed=seed), strict=True):
        sitk.WriteImage(sitk.GetImageFromArray(array), str(folder / f"{name}{seed}.nii.gz"))
    return folder / f"image{seed}.nii.gz", folder / f"mask{seed}.nii.gz"


def test_settings_from_a_file(tmp_path):
    (tmp_path / "ibsi.yaml").write_text("dialect: ibsi\nibsi:\n  families: [statistics, glcm]\n  aggregations: [IAZD]\n  spacing: [1.5, 1.5, 0]\n  resegment_range: [100, null]\n")
    image, mask = write(tmp_path)
    table = extract_radiomics(image, mask, tmp_path / "ibsi.yaml")
    assert table.names[0] == "Q4LE"
    assert table.names[-1] == "JN9H_IAZD"
    settings = {"families": ("statistics", "glcm"), "aggregations": ("IAZD",), "spacing": (1.5, 1.5, 0), "resegment_range": (100, None)}
    assert table.values[0] == pytest.approx(list(measured(case()[1], **settings).values()), rel=1e-12)


def test_command(tmp_path):
    from typer.testing import CliRunner

    (tmp_path / "ibsi.yaml").write_text("dialect: ibsi\nibsi: {families: [local, morphology]}\n")
    image, mask = write(tmp_path)
    done = CliRunner().invoke(make_app(), ["radiomics", str(image), str(mask), "--settings", str(tmp_path / "ibsi.yaml"), "--out", str(tmp_path / "features.json")])
    assert done.exit_code == 0, done.output
    assert '"RNU0"' in (tmp_path / "features.json").read_text()
    assert json.loads((tmp_path / "features.json").read_text())


def test_many_cases(tmp_path):
    patients = [Patient(f"P-{seed}", "train", *write(tmp_path, seed)) for seed in range(2)]
    table, aside = extract_many(patients, {"dialect": "ibsi"}, Engine(tmp_path / "cache", scheduler="serial", progress=False))
    assert not aside
    assert table.values.shape == (2, 487)
    assert table.values[1] == pytest.approx(list(measured(case()[1], case(seed=1)[0]).values()), rel=1e-12)


@pytest.mark.parametrize("turn", [lambda a: a[::-1], lambda a: a[:, ::-1], lambda a: a[:, :, ::-1], lambda a: a.transpose(0, 2, 1)], ids=["z", "y", "x", "swap"])
def test_features_do_not_depend_on_how_the_patient_lies(turn):
    rng = np.random.default_rng(5)
    image, mask = rng.normal(300, 80, (9, 12, 11)), np.zeros((9, 12, 11), np.uint8)
    mask[2:7, 2:10, 2:9] = rng.random((5, 8, 7)) < 0.9
    settings = {"dialect": "ibsi", "ibsi": {"resegment_sigma": 2.0, "bin_count": 8, "spacing": (0.8, 0.8, 2.0), "image_interpolation": "cubic"}}
    plain = compute_features(image, mask, (1.0, 1.0, 3.0), settings)
    turned = compute_features(turn(image), turn(mask), (1.0, 1.0, 3.0), settings)
    approximate = {"ZH1A": 1e-3, "IQYR": 1e-2, "SWZ1": 1e-5, "BRI8": 1e-5}  # found by search or iteration
    for name, value in plain.items():
        assert turned[name] == pytest.approx(value, rel=approximate.get(name, 1e-9), abs=1e-9), name
