"""PyRadiomics' own baseline values, every feature class and configuration, within 1e-6 relative."""

from __future__ import annotations

import ast
import csv
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from sarcofuse.radiomics import compute_features, extract_radiomics

PLAIN = ("", "_2d", "_FBN", "_flatRegion", "_normalization", "_resampling", "_resegmentation")
COLUMNS = {
    "firstorder": ("", "_normalization", "_resampling", "_resegmentation"),
    "glcm": (*PLAIN, "_combined"),
    "gldm": PLAIN,
    "glrlm": (*PLAIN, "_combined"),
    "glszm": PLAIN,
    "ngtdm": PLAIN,
    "shape": ("", "_resampling"),
}
CASES = [(family, f"{image}{column}") for family, columns in COLUMNS.items() for image in ("brain1", "breast1") for column in columns]

# brain1's mesh was measured by version 2.0.1b1; PyRadiomics' current code (3.1, run through pyradiomics-cuda 1.0.4 on the CPU) gives these values on the same file.
# All other values of the column, and all of the newer columns, agree with the baseline.
CURRENT = {
    ("shape", "brain1", "original_shape_MeshVolume"): 16147.51180013021,
    ("shape", "brain1", "original_shape_SurfaceArea"): 6438.821603779402,
    ("shape", "brain1", "original_shape_SurfaceVolumeRatio"): 0.3987500788652454,
    ("shape", "brain1", "original_shape_Sphericity"): 0.4798234536231475,
}


def read_baseline(folder: Path, family: str) -> dict[str, dict[str, str]]:
    with (folder / "baseline" / f"baseline_{family}.csv").open(encoding="utf8") as stream:
        rows = list(csv.reader(stream))
    return {column: {row[0]: row[k] for row in rows[1:]} for k, column in enumerate(rows[0]) if k}


@pytest.mark.parametrize(("family", "column"), CASES, ids=["-".join(case) for case in CASES])
def test_baseline(family, column, reference_data):
    folder = reference_data / "pyradiomics"
    rows = read_baseline(folder, family)[column]
    settings = {"imageType": {"Original": {}}, "featureClass": {family: None}, "setting": ast.literal_eval(rows["diagnostics_Configuration_Settings"])}
    image = column.split("_")[0]
    table = extract_radiomics(folder / f"{image}_image.nrrd", folder / f"{image}_label.nrrd", settings)
    found = dict(zip(table.names, table.values[0], strict=True))
    expected = {name: CURRENT.get((family, column, name), float(value)) for name, value in rows.items() if not name.startswith("diagnostics")}
    assert set(found) == set(expected)
    wrong = {name: (found[name], value) for name, value in expected.items() if found[name] != pytest.approx(value, rel=1e-6, abs=0 if value else 1e-12)}
    assert not wrong


@pytest.mark.parametrize("family", COLUMNS)
def test_no_column_is_left_out(family, reference_data):
    columns = {c for c in read_baseline(reference_data / "pyradiomics", family) if c.startswith(("brain1", "breast1"))}
    assert columns == {c for f, c in CASES if f == family}


@pytest.mark.parametrize(("image", "level"), [("brain1", 16), ("breast1", 9)])
def test_baseline_of_shape_in_a_plane(image, level, reference_data):
    folder = reference_data / "pyradiomics"
    rows = read_baseline(folder, "shape2D")[f"{image}_shape2D"]
    picture, mask = (sitk.ReadImage(str(folder / f"{image}_{kind}.nrrd")) for kind in ("image", "label"))
    inside = sitk.GetArrayFromImage(mask)
    inside[np.arange(len(inside)) != level] = 0
    assert inside.sum() == int(rows["diagnostics_Mask-original_VoxelNum"])
    settings = {"imageType": {"Original": {}}, "featureClass": {"shape2D": None}, "setting": ast.literal_eval(rows["diagnostics_Configuration_Settings"])}
    found = compute_features(sitk.GetArrayFromImage(picture), inside, picture.GetSpacing(), settings)
    expected = {name: float(value) for name, value in rows.items() if not name.startswith("diagnostics")}
    assert found == pytest.approx(expected, rel=1e-6)
