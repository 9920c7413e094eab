"""Masks by other programs, each played by a script that knows no more than their documented options."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sarcofuse.bundle.manifest import Manifest
from sarcofuse.config import NnunetConfig, RefineConfig, SegmentConfig, TotalSegmentatorConfig, write_study
from sarcofuse.errors import ConfigError
from sarcofuse.imaging import content_digest, read_mask, read_volume, write_mask, write_volume
from sarcofuse.metrics.overlap import dice
from sarcofuse.records import Case, Geometry, Mask, Volume
from sarcofuse.runtime import Engine, digest, digest_file, read_json
from sarcofuse.segment import identify, portable, segment_external
from sarcofuse.study import run
from tests.segment.conftest import make_case

# Plays both programs with the standard library alone: what is brighter than 150 becomes the mask. It reads and writes plain NIfTI-1 as the standard lays it out.
PROGRAM = """
import argparse, gzip, json, os, pathlib, struct, subprocess, sys, time
HERE = pathlib.Path(__file__).parent
MOOD = json.loads((HERE / "mood.json").read_text()) if (HERE / "mood.json").exists() else {}

def note(**what):
    with (HERE / "log.jsonl").open("a") as stream:
        stream.write(json.dumps(what) + "\\n")

def mask_of(file):
    raw = gzip.decompress(file.read_bytes())
    assert struct.unpack_from("<h", raw, 70)[0] == 16, "expected float32"
    dims = struct.unpack_from("<8h", raw, 40)
    voxels = dims[1] * dims[2] * dims[3]
    values = struct.unpack_from(f"<{voxels}f", raw, int(struct.unpack_from("<f", raw, 108)[0]))
    head = bytearray(raw[:352])
    struct.pack_into("<2h", head, 70, 2, 8)
    if "shift" in MOOD:
        for at in (268, 292):  # quaternion and affine offset along x
            struct.pack_into("<f", head, at, struct.unpack_from("<f", head, at)[0] + MOOD["shift"])
    return head, values

def write(file, head, values, label):
    file.write_bytes(gzip.compress(bytes(head) + bytes(label if v > 150 else 0 for v in values)))

def trouble(values):
    if max(values) > MOOD.get("fails_above", 1e9):
        print("Traceback: cannot allocate", file=sys.stderr)
        print(f"RuntimeError: out of memory in {HERE}", file=sys.stderr)
        sys.exit(3)
    if "sleeps" in MOOD:
        child = subprocess.Popen([sys.executable, "-c", f"import time; time.sleep({MOOD['sleeps']})"])
        note(child=child.pid)
        time.sleep(MOOD["sleeps"])

parser = argparse.ArgumentParser()
if "nnunet" in sys.argv[1]:
    for name in ("-i", "-o", "-d", "-c", "-tr", "-p", "-chk", "-npp", "-nps", "-device"):
        parser.add_argument(name, required=True)
    parser.add_argument("-f", nargs="+", required=True)
    parser.add_argument("--disable_tta", action="store_true")
    parser.add_argument("--disable_progress_bar", action="store_true")
    given = parser.parse_args(sys.argv[2:])
    images = sorted(pathlib.Path(given.i).iterdir())
    note(argv=sys.argv[2:], images=[f.name for f in images], results=os.environ["nnUNet_results"])
    head, values = mask_of(images[0])
    trouble(values)
    if not MOOD.get("forgets"):
        write(pathlib.Path(given.o) / images[0].name.replace("_0000", ""), head, values, MOOD.get("label", 2))
else:
    parser.add_argument("--version", action="version", version=MOOD.get("version", "2.11.0"))
    for name in ("-i", "-o", "-ta", "-d", "-nr", "-ns"):
        parser.add_argument(name, required=True)
    parser.add_argument("-rs", nargs="+")
    parser.add_argument("--fast", action="store_true")
    parser.add_argument("-q", action="store_true")
    given = parser.parse_args(sys.argv[2:])
    note(argv=sys.argv[2:])
    head, values = mask_of(pathlib.Path(given.i))
    half = len(values) // 2
    for number, name in enumerate(given.rs or ["quadriceps_femoris_left", "sartorius_left"]):
        own = [v if (k < half) == (number == 0) else 0 for k, v in enumerate(values)]
        write(pathlib.Path(given.o) / f"{name}.nii.gz", head, own, 1)
"""


@pytest.fixture
def bench(tmp_path: Path) -> Path:
    """A folder whose name holds a space, with the program and a trained model as nnU-Net lays it out."""
    folder = tmp_path / "other programs"
    trained = folder / "results" / "Dataset501_Sarcoma" / "nnUNetTrainer__nnUNetPlans__3d_fullres"
    for fold in (0, 1):
        (trained / f"fold_{fold}").mkdir(parents=True)
        (trained / f"fold_{fold}" / "checkpoint_final.pth").write_bytes(bytes([fold] * 9))
    (trained / "plans.json").write_text("{}")
    (trained / "dataset.json").write_text(json.dumps({"channel_names": {"0": "T2"}, "labels": {"background": 0, "oedema": 1, "tumour": 2}, "file_ending": ".nii.gz"}))
    (folder / "program.py").write_text(PROGRAM)
    return folder


def nnunet(bench: Path, **changes: object) -> SegmentConfig:
    plain = {"command": (sys.executable, str(bench / "program.py"), "nnunet"), "dataset": "501", "folds": (0, 1), "results": bench / "results", "label": "tumour"}
    return SegmentConfig(masks="nnunet", device="cpu", nnunet=NnunetConfig.model_validate({**plain, **changes}))


def total(bench: Path, **changes: object) -> SegmentConfig:
    plain = {"command": (sys.executable, str(bench / "program.py"), "total"), "roi": ("quadriceps_femoris_left", "sartorius_left"), "task": "thigh_shoulder_muscles_mr"}
    return SegmentConfig(masks="totalsegmentator", device="cpu", totalsegmentator=TotalSegmentatorConfig.model_validate({**plain, **changes}))


def mood(bench: Path, **changes: object) -> None:
    (bench / "mood.json").write_text(json.dumps(changes))


def log(bench: Path) -> list[dict]:
    return [json.loads(line) for line in (bench / "log.jsonl").read_text().splitlines()]


@pytest.fixture
def engine_here(tmp_path: Path) -> Engine:
    return Engine(tmp_path / "cache", scheduler="serial", progress=False)


def test_nnunet_draws_and_is_told_nothing_of_the_patient(bench: Path, engine_here: Engine, case_maker: Callable[..., Case]) -> None:
    cases = [case_maker(1), replace(case_maker(2, "external"), mask=None, mask_digest=None)]
    masked, quality, aside = segment_external(cases, nnunet(bench), engine_here, Path())
    assert aside == []
    assert [c.mask_source for c in masked] == [q.source for q in quality] == ["nnunet", "nnunet"]
    truth, found = read_mask(cases[0].mask), read_mask(masked[0].mask)
    assert quality[0].dice == pytest.approx(dice(found.array, truth.array))
    assert quality[0].dice > 0.9
    assert list(quality[0].steps) == ["network", "gaps", "component", "islands", "holes"]
    assert (quality[0].agreement, quality[0].confidence, quality[1].dice) == (None, None, None)
    assert masked[0].mask_digest == content_digest(found)
    entries = log(bench)
    options = ["-d", "501", "-c", "3d_fullres", "-tr", "nnUNetTrainer", "-p", "nnUNetPlans", "-f", "0", "1", "-chk", "checkpoint_final.pth"]
    assert entries[0]["argv"][4:] == [*options, "-npp", "1", "-nps", "1", "-device", "cpu", "--disable_progress_bar"]
    assert entries[0]["images"] == ["case_0000.nii.gz"]
    assert entries[0]["results"] == str((bench / "results").resolve())
    assert "PERSON" not in json.dumps(entries)
    assert "nnUNet_results" not in os.environ
    # what is there is not drawn again, whatever the program is called and wherever its model lies
    (bench / "results").rename(bench / "elsewhere")
    again, _, _ = segment_external(cases[::-1], nnunet(bench, results=bench / "elsewhere", timeout_minutes=1), engine_here, Path())
    assert [c.mask_digest for c in again] == [c.mask_digest for c in masked[::-1]]
    assert len(log(bench)) == 2
    segment_external(cases[:1], nnunet(bench, results=bench / "elsewhere", folds=(1,)), engine_here, Path())
    assert len(log(bench)) == 3


def test_masks_come_from_the_native_image_to_the_prepared_grid(bench: Path, engine_here: Engine, case_maker: Callable[..., Case], tmp_path: Path) -> None:
    """The native image is twice as fine and runs the other way along z; every prepared voxel holds eight of its."""
    case = case_maker(3)
    prepared, truth = read_volume(case.image), read_mask(case.mask)
    grid = prepared.geometry
    fine = Geometry((64, 80, 20), (1.0, 1.0, 2.5), (grid.origin[0] - 0.5, grid.origin[1] - 0.5, grid.origin[2] + 5.0 * 9 + 1.25), (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, -1.0))
    array = np.kron(prepared.array, np.ones((2, 2, 2), np.float32))[::-1]
    write_volume(Volume(np.ascontiguousarray(array), fine), tmp_path / "native.nii.gz")
    masked, _, _ = segment_external([replace(case, native_image=tmp_path / "native.nii.gz")], nnunet(bench), engine_here, Path())
    found = read_mask(masked[0].mask)
    assert found.geometry.differences(grid) == []
    assert dice(found.array, truth.array) > 0.9
    assert np.abs(np.argwhere(found.array).mean(0) - np.argwhere(truth.array).mean(0)).max() < 0.3


def test_one_bad_case_is_set_aside_with_the_programs_last_words(bench: Path, engine_here: Engine, case_maker: Callable[..., Case], tmp_path: Path) -> None:
    bright = case_maker(5)
    loud = read_volume(bright.image)
    loud.array[0, 0, 0] = 5000
    write_volume(loud, tmp_path / "loud.nii.gz")
    mood(bench, fails_above=4000)
    masked, _, aside = segment_external([case_maker(4), replace(bright, native_image=tmp_path / "loud.nii.gz")], nnunet(bench), engine_here, Path())
    assert [c.patient_id for c in masked] == ["PERSON-04"]
    assert [s.patient_id for s in aside] == ["PERSON-05"]
    assert aside[0].reason.startswith("nnU-Net failed with exit code 3: Traceback: cannot allocate | RuntimeError: out of memory")
    mood(bench)  # a failure is not kept
    assert segment_external([replace(bright, native_image=tmp_path / "loud.nii.gz")], nnunet(bench), engine_here, Path())[2] == []


@pytest.mark.parametrize(
    ("temper", "told"),
    [
        ({"forgets": True}, r"nnU-Net ended well, but wrote no case\.nii\.gz"),
        ({"shift": 2.0}, r"nnU-Net gave a mask on another grid: origin .*expected the image's own"),
        ({"label": 1}, r"nnU-Net found no tumour \(2\)"),
    ],
    ids=["no file", "grid", "empty"],
)
def test_what_the_program_writes_is_checked(bench: Path, engine_here: Engine, case_maker: Callable[..., Case], temper: dict, told: str) -> None:
    mood(bench, **temper)
    masked, _, aside = segment_external([case_maker(6)], nnunet(bench), engine_here, Path())
    assert masked == []
    assert re.search(told, aside[0].reason), aside[0].reason


def test_nothing_left_after_refinement(bench: Path, engine_here: Engine, case_maker: Callable[..., Case]) -> None:
    config = nnunet(bench).model_copy(update={"refine": RefineConfig(minimum_ml=900)})
    _, _, aside = segment_external([case_maker(6)], config, engine_here, Path())
    assert "nothing is left of the mask after islands: it had" in aside[0].reason


def test_a_program_that_takes_too_long_ends_with_all_it_started(bench: Path, engine_here: Engine, case_maker: Callable[..., Case]) -> None:
    mood(bench, sleeps=60)
    _, _, aside = segment_external([case_maker(7)], nnunet(bench, timeout_minutes=0.02), engine_here, Path())
    assert "nnU-Net took longer than 0.02 minutes and was stopped" in aside[0].reason
    child = Path("/proc") / str(log(bench)[-1]["child"])
    for _ in range(50):
        gone = not child.exists() or (child / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
        if gone:
            break
        time.sleep(0.05)
    assert gone


def test_missing_program_and_model(bench: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"nnU-Net v2 is not installed here: there is no program 'nnUNetv2_predict_x'\. Install it \(pip install nnunetv2.*segment\.masks: given"):
        identify(nnunet(bench, command=("nnUNetv2_predict_x",)), Path())
    with pytest.raises(ConfigError, match=r"TotalSegmentator is not installed here.*pip install TotalSegmentator"):
        identify(total(bench, command=("TotalSegmentator_x",)), Path())
    monkeypatch.delenv("nnUNet_results", raising=False)
    with pytest.raises(ConfigError, match=r"set segment\.nnunet\.results, or the environment variable nnUNet_results"):
        identify(nnunet(bench, results=None), Path())
    monkeypatch.setenv("nnUNet_results", str(bench / "results"))
    by_number, by_name = (identify(nnunet(bench, results=None, dataset=d), Path()).nnunet for d in ("501", "Dataset501_Sarcoma"))
    assert by_number.model == by_name.model is not None
    with pytest.raises(ConfigError, match=r"segment\.nnunet\.dataset is 7, and 0 trained models fit; expected 1\. There are: Dataset501_Sarcoma"):
        identify(nnunet(bench, dataset="7"), Path())
    with pytest.raises(ConfigError, match=r"has no Dataset501_Sarcoma/nnUNetTrainer__nnUNetPlans__3d_fullres/fold_4/checkpoint_final\.pth"):
        identify(nnunet(bench, folds=(0, 4)), Path())
    with pytest.raises(ConfigError, match=r"segment\.nnunet\.label is 'tumor', which the model does not know; its labels are background \(0\), oedema \(1\), tumour \(2\)"):
        identify(nnunet(bench, label="tumor"), Path())
    with pytest.raises(ConfigError, match=r"label is 3, which"):
        identify(nnunet(bench, label=3), Path())
    dataset = next((bench / "results").rglob("dataset.json"))
    dataset.write_text(json.dumps({**json.loads(dataset.read_text()), "channel_names": {"0": "T1", "1": "T2"}}))
    with pytest.raises(ConfigError, match=r"takes 2 images a patient as \.nii\.gz; expected 1"):
        identify(nnunet(bench), Path())


def test_a_run_notes_the_model_and_another_one_is_refused(bench: Path) -> None:
    noted = identify(nnunet(bench), Path())
    trained = next((bench / "results").rglob("dataset.json")).parent
    names = ("dataset.json", "plans.json", "fold_0/checkpoint_final.pth", "fold_1/checkpoint_final.pth")
    assert noted.nnunet.model == digest([digest_file(trained / n) for n in names])
    (trained / "fold_1" / "checkpoint_final.pth").write_bytes(b"trained again")
    with pytest.raises(ConfigError, match=r"the trained model has SHA-256 .* is expected \(segment\.nnunet\.model\)\. Use the model that the study used"):
        identify(noted, Path())


def test_totalsegmentator_joins_structures(bench: Path, engine_here: Engine, case_maker: Callable[..., Case]) -> None:
    case = case_maker(8)
    masked, quality, aside = segment_external([case], total(bench), engine_here, Path())
    assert aside == []
    assert (masked[0].mask_source, quality[0].source) == ("totalsegmentator", "totalsegmentator")
    assert quality[0].dice > 0.9  # each structure is half of it
    assert log(bench)[-1]["argv"][4:] == ["-ta", "thigh_shoulder_muscles_mr", "-d", "cpu", "-nr", "1", "-ns", "1", "-q"]
    segment_external([case], total(bench, task="total_mr", fast=True), engine_here, Path())
    assert log(bench)[-1]["argv"][4:] == ["-ta", "total_mr", "-rs", "quadriceps_femoris_left", "sartorius_left", "--fast", "-d", "cpu", "-nr", "1", "-ns", "1", "-q"]
    assert identify(total(bench), Path()).totalsegmentator.version == "2.11.0"
    mood(bench, version="3.0.0")
    with pytest.raises(ConfigError, match=r"the release is '3\.0\.0', and '2\.11\.0' is expected"):
        identify(total(bench, version="2.11.0"), Path())
    with pytest.raises(ConfigError, match=r"roi names no structure"):
        identify(total(bench, roi=()), Path())
    absent, _, aside = segment_external([case], total(bench, roi=("femur_left",)), engine_here, Path())
    assert (absent, "wrote no femur_left.nii.gz" in aside[0].reason) == ([], True)


def test_no_bundle_names_a_program_or_a_place(bench: Path) -> None:
    config = portable(identify(nnunet(bench), Path()))
    assert (config.nnunet.command, config.nnunet.results) == (("nnUNetv2_predict",), None)
    assert config.nnunet.model is not None
    assert str(bench) not in config.model_dump_json()
    assert Manifest.model_fields["segment"].annotation is SegmentConfig


def test_a_study_with_masks_by_nnunet(bench: Path, tmp_path: Path) -> None:
    from sarcofuse.config import ModelsConfig, PreprocessConfig, StudyConfig

    rows = ["patient_id,image,mask,split,recurrence"]
    for index in range(8):
        case = make_case(tmp_path / "images", index)
        rows.append(f"P{index},{case.image.relative_to(tmp_path)},{case.mask.relative_to(tmp_path) if index < 6 else ''},train,{index % 2}")
    (tmp_path / "cohort.csv").write_text("\n".join(rows))
    models, plain = ModelsConfig.model_validate({"folds": 3, "signature": {"folds": 3}}), PreprocessConfig(n4=False, normalise="none", spacing=None)
    study = StudyConfig(segment=nnunet(bench, results=Path("other programs/results")), models=models, preprocess=plain)
    write_study(study, tmp_path / "study.yaml")
    result = run(tmp_path / "study.yaml", tmp_path / "run", scheduler="serial", until="segment", progress=False)
    quality = read_json(tmp_path / "run" / "quality.json")
    assert [q["source"] for q in quality] == ["nnunet"] * 8
    assert [q["dice"] is not None for q in quality] == [True] * 6 + [False] * 2
    assert any("learned outside this study" in w for w in result.warnings)
    assert read_json(tmp_path / "run" / "run.json")["config"]["segment"]["nnunet"]["model"] == identify(study.segment, tmp_path).nnunet.model
    assert len(list((tmp_path / "run" / "masks").glob("*.nii.gz"))) == 8
    broken = study.model_copy(update={"segment": nnunet(bench, command=("nnUNetv2_predict_x",))})
    write_study(broken, tmp_path / "study.yaml")
    with pytest.raises(ConfigError, match="is not installed here"):  # at once, before anything is prepared
        run(tmp_path / "study.yaml", tmp_path / "run2", scheduler="serial", progress=False)
    assert not (tmp_path / "run2" / "cache" / "preprocess").exists()


def test_masks_are_written_as_they_are_judged(bench: Path, engine_here: Engine, case_maker: Callable[..., Case], tmp_path: Path) -> None:
    case = case_maker(9)
    masked, quality, _ = segment_external([case], nnunet(bench), engine_here, Path())
    kept = read_mask(masked[0].mask)
    write_mask(Mask(kept.array, kept.geometry), tmp_path / "again.nii.gz")
    assert quality[0].volume_ml == pytest.approx(kept.array.sum() * 2.0 * 2.0 * 5.0 / 1000)
    assert (tmp_path / "again.nii.gz").read_bytes() == masked[0].mask.read_bytes()
