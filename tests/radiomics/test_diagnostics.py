"""What is reported beside the features, against PyRadiomics' baseline and its current code."""

from __future__ import annotations

import ast
import csv

import numpy as np
import pytest
import SimpleITK as sitk

from sarcofuse.radiomics import describe_case, extract_many
from sarcofuse.records import Patient
from sarcofuse.runtime import Engine, read_json


def write_case(folder, seed=0):
    rng = np.random.default_rng(seed)
    mask = np.zeros((9, 10, 11), np.uint8)
    mask[2:6, 3:8, 2:9] = 1
    mask[8, 9, 10] = 1
    files = []
    for name, array in (("image", (rng.normal(size=mask.shape) * 40).astype(np.float32)), ("mask", mask)):
        picture = sitk.GetImageFromArray(array)
        picture.SetSpacing((1.0, 1.5, 2.0))
        picture.SetOrigin((10.0, -5.0, 3.0))
        files.append(folder / f"{name}.nrrd")
        sitk.WriteImage(picture, str(files[-1]))
    return files


@pytest.mark.parametrize("image", ["brain1", "breast1"])
def test_baseline(image, reference_data):
    folder = reference_data / "pyradiomics"
    with (folder / "baseline" / "baseline_firstorder.csv").open(encoding="utf8") as stream:
        rows = list(csv.reader(stream))
    column = rows[0].index(image)
    expected = {row[0]: row[column] for row in rows[1:] if row[0].startswith(("diagnostics_Image", "diagnostics_Mask")) and row[column]}
    found = describe_case(folder / f"{image}_image.nrrd", folder / f"{image}_label.nrrd", {"setting": ast.literal_eval({r[0]: r[column] for r in rows}["diagnostics_Configuration_Settings"])})
    assert expected
    for name, text in expected.items():
        if name.endswith("_Hash"):
            assert found[name] == text
        else:
            assert np.atleast_1d(found[name]) == pytest.approx(np.atleast_1d(ast.literal_eval(text)), rel=1e-6), name


def test_every_step_is_noted(tmp_path):
    settings = {
        "imageType": {"Original": {}, "LoG": {"sigma": [2.0]}, "LBP2D": {"binWidth": 1}},
        "setting": {"resampledPixelSpacing": [1.2, 1.2, 2.0], "resegmentRange": [-1.5, 1.5], "resegmentMode": "sigma", "binWidth": 10},
    }
    found = describe_case(*write_case(tmp_path), settings)
    assert found["diagnostics_Mask-original_BoundingBox"] == (2, 3, 2, 9, 7, 7)
    assert found["diagnostics_Mask-original_VoxelNum"] == 141
    assert found["diagnostics_Mask-original_VolumeNum"] == 2
    centre = found["diagnostics_Mask-original_CenterOfMassIndex"]
    assert found["diagnostics_Mask-original_CenterOfMass"] == pytest.approx([10 + centre[0], -5 + 1.5 * centre[1], 3 + 2 * centre[2]])
    assert found["diagnostics_Image-interpolated_Spacing"] == (1.2, 1.2, 2.0)
    assert found["diagnostics_Mask-resegmented_VoxelNum"] < found["diagnostics_Mask-interpolated_VoxelNum"]
    assert found["diagnostics_Configuration_EnabledImageTypes"] == {"Original": {}, "LoG": {"sigma": [2.0]}, "LBP2D": {"binWidth": 1}}
    assert found["diagnostics_Configuration_Settings"]["binWidth"] == 10
    assert 5 < found["diagnostics_Levels_original"] < 30
    assert {n for n in found if "Levels" in n} == {f"diagnostics_Levels_{i}" for i in ("original", "log-sigma-2-0-mm-3D", "lbp-2D")}
    assert found["diagnostics_Levels_lbp-2D"] <= 10


def test_kept_beside_the_features_where_asked_for(tmp_path):
    image, mask = write_case(tmp_path)
    for wanted in (True, False):
        with Engine(tmp_path / f"cache-{wanted}", scheduler="serial", progress=False) as engine:
            extract_many([Patient("P-1", "external", image, mask)], {"setting": {"additionalInfo": wanted}}, engine)
        kept = list((tmp_path / f"cache-{wanted}").rglob("diagnostics.json"))
        assert len(kept) == wanted
        assert not kept or read_json(kept[0])["diagnostics_Image-original_Size"] == [11, 10, 9]


def test_as_pyradiomics_reports_them(oracle, tmp_path):
    rng = np.random.default_rng(3)
    image, mask = (rng.normal(size=(9, 10, 11)) * 40).astype(np.float32), np.zeros((9, 10, 11), np.uint8)
    mask[2:6, 3:8, 2:9] = 1
    setting = {"resampledPixelSpacing": [1.2, 1.2, 2.0], "resegmentRange": [-1.5, 1.5], "resegmentMode": "sigma", "additionalInfo": True}
    wanted = {"imageType": {"Original": {}}, "featureClass": {"firstorder": None}, "setting": setting}
    theirs = oracle.ask(image, mask, (1.0, 1.5, 2.0), wanted)["values"]
    files = []
    for name, array in (("image", image), ("mask", mask)):
        picture = sitk.GetImageFromArray(array)
        picture.SetSpacing((1.0, 1.5, 2.0))
        files.append(tmp_path / f"{name}.nrrd")
        sitk.WriteImage(picture, str(files[-1]))
    ours = describe_case(*files, wanted)
    names = [n for n in theirs if n.startswith(("diagnostics_Image", "diagnostics_Mask"))]
    assert len(names) > 25
    for name in names:
        expected = theirs[name]
        assert ours[name] == (expected if isinstance(expected, str) else pytest.approx(expected, rel=1e-6)), name
    assert {n for n in theirs if n.startswith("diagnostics")} <= set(ours)
