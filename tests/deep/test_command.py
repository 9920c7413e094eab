"""The command `sarcofuse deep`: one case or many, resumable, with what the network saw."""

from __future__ import annotations

import csv
import json

import pandas as pd
import pytest
import torch

from sarcofuse import extract_deep
from sarcofuse.cli import main
from sarcofuse.imaging import write_mask, write_volume
from tests.deep.conftest import ball

SETTINGS = "cohort: {file: cohort.csv}\ndeep:\n  crop: largest\n  layer: last\n  pooling: average\n"


class Toy:
    """One feature: how bright the picture is."""

    asked = 0

    def maps(self, x, layer="last"):
        self.asked += 1
        return [torch.nn.functional.avg_pool2d(x[:, :1], 8)]


@pytest.fixture
def case(tmp_path, monkeypatch):
    volume, mask = ball(shape=(8, 32, 32), centre=(4, 16, 16))
    write_volume(volume, tmp_path / "image.nii.gz")
    write_mask(mask, tmp_path / "mask.nii.gz")
    (tmp_path / "study.yaml").write_text(SETTINGS, encoding="utf8")
    monkeypatch.chdir(tmp_path)
    network = Toy()
    monkeypatch.setattr("sarcofuse.deep.look.load", lambda *_: network)
    return network


def leave(*arguments: str) -> int:
    with pytest.raises(SystemExit, match=r"\d") as caught:
        main(arguments)
    return int(str(caught.value.code))


@pytest.mark.parametrize("ending", ["csv", "json", "parquet"])
def test_one_case_gives_what_the_call_gives(case, tmp_path, capsys, ending):
    assert leave("deep", "image.nii.gz", "mask.nii.gz", "--settings", "study.yaml", "--out", f"deep.{ending}", "--contact", "seen") == 0
    expected = extract_deep(tmp_path / "image.nii.gz", tmp_path / "mask.nii.gz", settings={"crop": "largest", "layer": "last", "pooling": "average"})
    if ending == "json":
        (row,) = json.loads((tmp_path / "deep.json").read_text())
    else:
        frame = pd.read_csv("deep.csv") if ending == "csv" else pd.read_parquet("deep.parquet").reset_index()
        row = frame.iloc[0].to_dict()
    assert row == {"patient_id": "image", "efficientnet-lite0_0001": expected.values[0, 0]}
    assert "1 case, 1 features of efficientnet-lite0: deep." in capsys.readouterr().out
    with (tmp_path / "seen" / "contact.csv").open(encoding="utf8", newline="") as stream:
        assert [r["patient_id"] for r in csv.DictReader(stream)] == ["image"]
    assert (tmp_path / "seen" / "contact-01.png").is_file()


def test_a_cohort_goes_on_where_it_was_and_says_who_was_set_aside(case, tmp_path, capsys, monkeypatch):
    from sarcofuse.runtime import Engine

    monkeypatch.setattr("sarcofuse.runtime.Engine", lambda cache, **_: Engine(cache, scheduler="serial", progress=False))
    (tmp_path / "cohort.csv").write_text("patient_id,image,mask\na,image.nii.gz,mask.nii.gz\nb,image.nii.gz,absent.nii.gz\nc,image.nii.gz,mask.nii.gz\n", encoding="utf8")
    assert leave("deep", "--cohort", "cohort.csv", "--settings", "study.yaml", "--backbone", "efficientnet-lite0") == 1
    told = capsys.readouterr()
    assert "2 cases, 1 features" in told.out
    assert "set aside in deep: patient b: absent.nii.gz: file does not exist" in told.err
    assert pd.read_csv("deep.csv")["patient_id"].tolist() == ["a", "c"]
    before = case.asked
    assert leave("deep", "--cohort", "cohort.csv", "--settings", "study.yaml") == 1
    assert case.asked == before


def test_smaller_batches_are_told_in_words(case, tmp_path, capsys, monkeypatch):
    own = Toy.maps

    def one_at_a_time(self, x, layer="last"):
        if len(x) > 1:
            raise MemoryError
        return own(self, x, layer)

    monkeypatch.setattr(Toy, "maps", one_at_a_time)
    (tmp_path / "batch.yaml").write_text("{crop: all, batch: 4, layer: last, pooling: average}", encoding="utf8")
    assert leave("deep", "image.nii.gz", "mask.nii.gz", "--settings", "batch.yaml") == 0
    told = capsys.readouterr().err.splitlines()
    assert [t for t in told if t] == ["warning: memory did not suffice for deep.batch 4 in 1 of 1 patients; down to 1 pictures went through the network at a time"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["image.nii.gz"], "give IMAGE and MASK, or --cohort TABLE"),
        (["image.nii.gz", "mask.nii.gz", "--cohort", "cohort.csv"], "not both"),
        (["image.nii.gz", "mask.nii.gz", "--out", "deep.txt"], "must end in .csv"),
        (["image.nii.gz", "mask.nii.gz", "--backbone", "resnet"], "is not in the registry"),
        (["image.nii.gz", "mask.nii.gz", "--settings", "none.yaml"], "none.yaml cannot be read"),
        (["image.nii.gz", "mask.nii.gz", "--settings", "bad.yaml"], "settings: deep.crop: Input should be 'largest'"),
        (["image.nii.gz", "mask.nii.gz", "--settings", "near.yaml"], "settings: deep.margin is not a setting; did you mean margin_mm?"),
        (["image.nii.gz", "mask.nii.gz", "--settings", "onnx.yaml"], "settings: deep: an ONNX file cannot learn (fine_tune.mode: last); set fine_tune.mode: probe, or another backbone\n"),
        (["image.nii.gz", "mask.nii.gz", "--settings", "list.yaml"], "holds no settings"),
        (["image.nii.gz", "mask.nii.gz", "--weights", "none.pth"], "does not exist"),
    ],
)
def test_wrong_requests_are_told(case, tmp_path, capsys, arguments, words):
    (tmp_path / "bad.yaml").write_text("crop: middle\n", encoding="utf8")
    (tmp_path / "near.yaml").write_text("margin: 3\n", encoding="utf8")
    (tmp_path / "onnx.yaml").write_text("{backbone: onnx, weights: e.onnx, fine_tune: {mode: last}}\n", encoding="utf8")
    (tmp_path / "list.yaml").write_text("- 1\n", encoding="utf8")
    assert leave("deep", *arguments) == 2
    assert words in capsys.readouterr().err
