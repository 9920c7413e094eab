"""Many cases, masks and labels: the library's call and the command."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk

from sarcofuse.cli import main
from sarcofuse.cohort import new_patients
from sarcofuse.errors import ConfigError
from sarcofuse.radiomics import cohort, extract_cohort, extract_radiomics
from sarcofuse.runtime import Engine

SETTINGS = "imageType: {Original: {}, LoG: {sigma: [1.5]}}\nfeatureClass: {shape: [VoxelVolume], firstorder: [Mean, Entropy], glcm: [Contrast]}\nsetting: {binWidth: 20}\n"


def write(array, file):
    picture = sitk.GetImageFromArray(array)
    picture.SetSpacing((1.0, 1.0, 2.0))
    sitk.WriteImage(picture, str(file))


@pytest.fixture
def table(tmp_path):
    """Three patients: two masks and two labels; one mask of one label; a mask that is not there."""
    rng = np.random.default_rng(0)
    for name in ("a", "b", "c"):
        write((rng.normal(size=(8, 12, 12)) * 60).astype(np.float32), tmp_path / f"{name}.nrrd")
    tumour = np.zeros((8, 12, 12), np.uint8)
    tumour[1:5, 2:8, 2:8], tumour[5:7, 8:11, 8:11] = 1, 2
    write(tumour, tmp_path / "tumour.nrrd")
    write((tumour == 1).astype(np.uint8), tmp_path / "second.nrrd")
    (tmp_path / "settings.yaml").write_text(SETTINGS, encoding="utf8")
    rows = ["patient_id,image,mask,mask_reader2", "P-1,a.nrrd,tumour.nrrd;second.nrrd,", "P-2,b.nrrd,second.nrrd,second.nrrd", "P-3,c.nrrd,none.nrrd,", "P-4,c.nrrd,,tumour.nrrd"]
    (tmp_path / "cohort.csv").write_text("\n".join(rows) + "\n", encoding="utf8")
    return tmp_path / "cohort.csv"


def serial(folder):
    return Engine(folder, scheduler="serial", progress=False)


def leave(*arguments):
    with pytest.raises(SystemExit) as caught:
        main([str(a) for a in arguments])
    return caught.value.code


def test_masks_and_labels_are_rows(table, tmp_path):
    found = extract_cohort(new_patients([table]), tmp_path / "settings.yaml", serial(tmp_path / "cache"), labels="all", folder=tmp_path)
    assert [(r.patient_id, r.mask.name, r.label) for r in found.regions] == [
        ("P-1", "tumour.nrrd", 1),
        ("P-1", "tumour.nrrd", 2),
        ("P-1", "second.nrrd", 1),
        ("P-2", "second.nrrd", 1),
        ("P-4", "tumour.nrrd", 1),
        ("P-4", "tumour.nrrd", 2),
    ]
    assert [s.reason for s in found.set_aside] == ["none.nrrd: file does not exist"]
    volume = found.names.index("original_shape_VoxelVolume")
    assert found.values[:, volume].tolist() == [288, 36, 288, 288, 288, 36]
    assert found.to_table().patient_ids[1] == "P-1 tumour.nrrd 2"
    alone = extract_radiomics(tmp_path / "a.nrrd", tmp_path / "tumour.nrrd", {**_settings(tmp_path), "setting": {"binWidth": 20, "label": 2}})
    assert np.array_equal(found.values[1], alone.values[0])


def _settings(folder):
    import yaml

    return yaml.safe_load((folder / "settings.yaml").read_text(encoding="utf8"))


def test_a_label_that_one_mask_lacks_sets_that_mask_aside(table, tmp_path):
    found = extract_cohort(new_patients([table])[:2], tmp_path / "settings.yaml", serial(tmp_path / "cache"), labels=(2,), folder=tmp_path)
    assert [(r.patient_id, r.mask.name) for r in found.regions] == [("P-1", "tumour.nrrd")]
    assert [s.patient_id for s in found.set_aside] == ["P-1 (second.nrrd, label 2)", "P-2 (second.nrrd, label 2)"]
    assert "mask has no voxel of label 2; its labels are 1" in found.set_aside[0].reason


def test_labels_of_a_column(table, tmp_path):
    table.write_text("patient_id,image,mask,label\nP-1,a.nrrd,tumour.nrrd,2\nP-2,b.nrrd,tumour.nrrd,\n", encoding="utf8")
    found = extract_cohort(new_patients([table]), tmp_path / "settings.yaml", serial(tmp_path / "cache"))
    assert [r.label for r in found.regions] == [2, 1]
    table.write_text("patient_id,image,mask,label\nP-1,a.nrrd,tumour.nrrd,two\n", encoding="utf8")
    with pytest.raises(ConfigError, match="patient P-1: label must be a whole number of at least 1, found 'two'"):
        extract_cohort(new_patients([table]), tmp_path / "settings.yaml", serial(tmp_path / "cache"))


def test_a_table_as_pyradiomics_has_it(table, tmp_path):
    table.write_text("Image,Mask,Label\na.nrrd,tumour.nrrd,2\nb.nrrd,second.nrrd,1\n", encoding="utf8")
    found = extract_cohort(new_patients([table]), tmp_path / "settings.yaml", serial(tmp_path / "cache"))
    assert [(r.patient_id, r.label) for r in found.regions] == [("case-1", 2), ("case-2", 1)]
    table.write_text("ID,Image,Mask\nP-7,a.nrrd,tumour.nrrd\n", encoding="utf8")
    assert new_patients([table])[0].patient_id == "P-7"


def test_a_killed_extraction_goes_on(table, tmp_path, monkeypatch):
    done, original = [], cohort.measure_case

    def stopped(folder, image, mask, config, patient_id):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(patient_id)
        original(folder, image, mask, config, patient_id)

    patients = new_patients([table])
    monkeypatch.setattr(cohort, "measure_case", stopped)
    with pytest.raises(KeyboardInterrupt):
        extract_cohort(patients, tmp_path / "settings.yaml", serial(tmp_path / "cache"), labels="all", folder=tmp_path)
    seen = []
    monkeypatch.setattr(cohort, "measure_case", lambda *args: seen.append(args[4]) or original(*args))
    found = extract_cohort(patients, tmp_path / "settings.yaml", serial(tmp_path / "cache"), labels="all", folder=tmp_path)
    assert len(found.regions) == 6
    assert len(done) == 2
    assert len(seen) == 4


@pytest.mark.parametrize("ending", ["csv", "parquet", "json"])
def test_command_with_diagnostics(ending, table, tmp_path, capsys):
    out = tmp_path / f"features.{ending}"
    assert leave("radiomics", "--cohort", table, "--settings", tmp_path / "settings.yaml", "--out", out, "--label", "all", "--diagnostics", "--workers", 1) == 1
    written = capsys.readouterr()
    assert "6 regions of 3 cases, 7 features" in written.out
    assert "set aside in radiomics: patient P-3: none.nrrd: file does not exist" in written.err
    assert (tmp_path / f"features.{ending}.cache").is_dir()
    if ending == "json":
        frame = pd.DataFrame(json.loads(out.read_text(encoding="utf8")))
        assert frame["diagnostics_Image-original_Spacing"][0] == [1.0, 1.0, 2.0]
    else:
        frame = pd.read_csv(out) if ending == "csv" else pd.read_parquet(out)
        assert frame["diagnostics_Image-original_Spacing"][0] == "(1.0, 1.0, 2.0)"
        assert frame["diagnostics_Configuration_EnabledImageTypes"][0] == "{'Original': {}, 'LoG': {'sigma': [1.5]}}"
    assert frame["label"].tolist() == [1, 2, 1, 1, 1, 2]
    assert frame["diagnostics_Mask-original_VoxelNum"].tolist() == [144, 18, 144, 144, 144, 18]
    assert frame["diagnostics_Levels_original"].between(5, 30).all()
    medians = {image: np.median(frame[f"diagnostics_Levels_{image}"]) for image in ("original", "log-sigma-1-5-mm-3D")}
    fewest, most = sorted(medians, key=medians.__getitem__)
    assert f"grey levels, median of the regions: from {medians[fewest]:g} ({fewest}) to {medians[most]:g} ({most})" in written.out


def test_levels_are_known_without_diagnostics(table, tmp_path):
    """Counted by hand: bins of 20 that the region's intensities fall into."""
    found = extract_cohort(new_patients([table]), tmp_path / "settings.yaml", serial(tmp_path / "cache"), folder=tmp_path)
    own = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "a.nrrd")))[1:5, 2:8, 2:8]
    assert found.diagnostics == ()
    assert found.levels["original"][0] == len(np.unique(np.floor(own / 20)))
    assert len(found.levels["log-sigma-1-5-mm-3D"]) == len(found.regions)


def test_levels_of_the_standards_dialect(table, tmp_path):
    settings = {"dialect": "ibsi", "ibsi": {"families": ["histogram"], "discretisation": "FBN", "bin_count": 8}}
    found = extract_cohort(new_patients([table]), settings, serial(tmp_path / "cache"), folder=tmp_path)
    assert found.levels == {"original": [8] * len(found.regions)}
    none = extract_cohort(new_patients([table]), settings | {"ibsi": {"families": ["statistics"]}}, serial(tmp_path / "cache"), folder=tmp_path)
    assert none.levels == {}


def test_a_table_of_one_region_each_can_go_into_a_study(table, tmp_path, capsys):
    from sarcofuse.runtime import read_table

    table.write_text("patient_id,image,mask\nP-1,a.nrrd,tumour.nrrd\nP-2,b.nrrd,second.nrrd\n", encoding="utf8")
    assert leave("radiomics", "--cohort", table, "--settings", tmp_path / "settings.yaml", "--out", tmp_path / "f.csv", "--workers", 1) == 0
    assert "2 cases, 7 features" in capsys.readouterr().out
    assert read_table(tmp_path / "f.csv", "radiomic").patient_ids == ("P-1", "P-2")


def test_one_case(table, tmp_path, capsys):
    assert leave("radiomics", tmp_path / "a.nrrd", tmp_path / "tumour.nrrd", "--settings", tmp_path / "settings.yaml", "--out", tmp_path / "f.json", "--label", "2") == 0
    rows = json.loads((tmp_path / "f.json").read_text(encoding="utf8"))
    assert rows[0]["patient_id"] == "a"
    assert rows[0]["original_shape_VoxelVolume"] == 36
    assert not (tmp_path / "f.json.cache").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["a.nrrd"], "give IMAGE and MASK, or --cohort TABLE"),
        (["a.nrrd", "tumour.nrrd", "--out", "features.xls"], "must end in .csv, .parquet, .json"),
        (["a.nrrd", "tumour.nrrd", "--label", "all", "--label", "2"], "--label all: expected a whole number of at least 1, or all by itself"),
    ],
)
def test_wrong_requests(arguments, words, table, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert leave("radiomics", *arguments) == 2
    assert words in capsys.readouterr().err
