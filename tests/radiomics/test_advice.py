"""Advice on settings: what it proposes for cohorts whose needs are known."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import numpy as np
import pytest
import SimpleITK as sitk
import yaml

from sarcofuse.cli import main
from sarcofuse.errors import ConfigError, StageError
from sarcofuse.radiomics import advise, extract_many, read_settings
from sarcofuse.records import Patient
from sarcofuse.runtime import Engine

SETTINGS = {"imageType": {"Original": {}, "LoG": {"sigma": [2.0]}, "Wavelet": {}, "LBP2D": {}}, "featureClass": {"firstorder": ["Mean"]}, "setting": {"binWidth": 25}}


def patient(folder, name, *, spacing=(1.0, 1.0, 1.0), gain=1.0, offset=200.0, shape=(12, 20, 20), seed=0):
    from scipy import ndimage

    rng = np.random.default_rng(seed)
    image = ((ndimage.gaussian_filter(rng.normal(size=shape), 1.0) * 200 + offset) * gain).astype(np.float32)
    mask = np.zeros(shape, np.uint8)
    mask[3:9, 4:16, 4:16] = 1
    for array, kind in ((image, "image"), (mask, "mask")):
        picture = sitk.GetImageFromArray(array)
        picture.SetSpacing(spacing)
        sitk.WriteImage(picture, str(folder / f"{name}-{kind}.nrrd"))
    return Patient(name, "external", folder / f"{name}-image.nrrd", folder / f"{name}-mask.nrrd")


def serial(folder):
    return Engine(folder, scheduler="serial", progress=False)


def test_one_grid_and_scale_need_neither_resampling_nor_normalisation(tmp_path):
    found = advise([patient(tmp_path, f"P-{k}", seed=k) for k in range(3)], SETTINGS, serial(tmp_path / "cache"))
    text = " ".join(found.reasons)
    assert "No resampling" in text
    assert "No normalisation" in text
    assert "resampledPixelSpacing" not in found.settings["setting"]
    assert found.patients == 3
    assert {r.image for r in found.levels} >= {"original", "log-sigma-2-0-mm-3D", "wavelet-LLL", "wavelet-HHH", "lbp-2D"}


def test_thick_slices_of_differing_spacing_and_gain(tmp_path):
    grids = [((0.6, 0.6, 5.0), 1.0), ((0.8, 0.8, 5.0), 3.0), ((0.9, 0.9, 5.5), 0.5)]
    patients = [patient(tmp_path, f"P-{k}", spacing=s, gain=g, seed=k) for k, (s, g) in enumerate(grids)]
    found = advise(patients, SETTINGS, serial(tmp_path / "cache"))
    setting = found.settings["setting"]
    assert setting["resampledPixelSpacing"] == [0.8, 0.8, 0.0]
    assert setting["force2D"] is True
    assert setting["normalize"] is True
    assert any("6.2 times as thick" in r for r in found.reasons)


def test_cubes_where_slices_are_thin(tmp_path):
    patients = [patient(tmp_path, f"P-{k}", spacing=s, seed=k) for k, s in enumerate([(1.0, 1.0, 1.5), (0.9, 0.9, 1.2)])]
    found = advise(patients, SETTINGS, serial(tmp_path / "cache"))
    assert found.settings["setting"]["resampledPixelSpacing"] in ([1.2, 1.2, 1.2], [1.5, 1.5, 1.5])


def test_proposed_bins_are_kept_to_and_counted_right(tmp_path):
    """The settings can be used as they are, and give just as many grey levels as was told."""
    from sarcofuse.radiomics import describe_case

    patients = [patient(tmp_path, f"P-{k}", spacing=(1.0, 1.0, 1.0 + k / 4), seed=k) for k in range(2)]
    found = advise(patients, SETTINGS, serial(tmp_path / "cache"))
    settings = yaml.safe_load(found.to_yaml())
    assert settings == found.settings
    notes = [describe_case(p.image, p.mask, settings) for p in patients]
    for row in found.levels:
        seen = [n[f"diagnostics_Levels_{row.image}"] for n in notes]
        assert max(seen) <= row.proposed[2], row.image
        assert min(seen) > row.proposed[0] / 3, row.image  # of the levels between the lowest and the highest, some are empty
    table, aside = extract_many(patients, read_settings(settings), serial(tmp_path / "other"))
    assert aside == []
    assert np.isfinite(table.values).all()


def test_a_width_that_fits_no_more_is_a_count(tmp_path):
    patients = [patient(tmp_path, f"P-{k}", seed=k) for k in range(2)]
    found = advise(patients, {"imageType": {"Wavelet": {}}, "setting": {"binWidth": 5}}, serial(tmp_path / "cache"))
    assert found.settings["imageType"]["Wavelet"]["binCount"] == 32
    assert any("as one width" in r and "anything from" in r for r in found.reasons)
    assert all(r.proposed == (32, 32, 32) for r in found.levels)


def test_small_regions_are_named(tmp_path):
    small = patient(tmp_path, "P-small")
    mask = np.zeros((12, 20, 20), np.uint8)
    mask[5:8, 5:8, 5:8] = 1
    sitk.WriteImage(sitk.GetImageFromArray(mask), str(small.mask))
    found = advise([patient(tmp_path, "P-1"), small], SETTINGS, serial(tmp_path / "cache"))
    assert any("1 have fewer than 200, too few for texture: P-small" in r for r in found.reasons)


def test_nobody_to_look_at(tmp_path):
    with pytest.raises(StageError, match=r"no patient of 1 can be looked at; the first: P-1: none.nrrd: file does not exist"):
        advise([Patient("P-1", "external", tmp_path / "none.nrrd", tmp_path / "none.nrrd")], SETTINGS, serial(tmp_path / "cache"))


def test_of_the_other_dialect(tmp_path):
    with pytest.raises(ConfigError, match="advice is for the dialect pyradiomics, found ibsi"):
        advise([], {"dialect": "ibsi"}, serial(tmp_path / "cache"))


def test_command(tmp_path, capsys):
    for k in range(2):
        patient(tmp_path, f"P-{k}", seed=k)
    (tmp_path / "cohort.csv").write_text("patient_id,image,mask\n" + "".join(f"P-{k},P-{k}-image.nrrd,P-{k}-mask.nrrd\n" for k in range(2)), encoding="utf8")
    (tmp_path / "settings.yaml").write_text(yaml.safe_dump(SETTINGS), encoding="utf8")
    out = tmp_path / "radiomics.yaml"
    with pytest.raises(SystemExit) as caught:
        main(["radiomics", "--advise", str(tmp_path / "cohort.csv"), "--settings", str(tmp_path / "settings.yaml"), "--out", str(out), "--workers", "1"])
    assert caught.value.code == 0
    told = capsys.readouterr().out
    assert "levels proposed" in told
    assert "wavelet-HHH" in told
    assert read_settings(out).image_settings
    picture = ET.parse(tmp_path / "radiomics.svg").getroot()  # noqa: S314 - our own file
    assert len(picture.findall("{http://www.w3.org/2000/svg}circle")) == 2 * 11
