"""Prompts on the command line and through a bundle, up to the stages."""

from __future__ import annotations

import csv
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import sarcofuse.bundle
from sarcofuse.bundle import Bundle, Risk
from sarcofuse.bundle.predict import IDLE
from sarcofuse.cli import main
from sarcofuse.errors import BundleError
from sarcofuse.imaging import write_volume
from sarcofuse.records import Case, Geometry, MaskQuality, Patient, Prompt, Volume
from sarcofuse.runtime import digest_file, read_json, write_json

CLICK = Prompt(click=((1.0, 2.0, 3.0),))


def leave(*arguments: str) -> int:
    with pytest.raises(SystemExit, match=r"\d") as caught:
        main(arguments)
    return int(str(caught.value.code))


class Stub:
    """A bundle that keeps what it is asked."""

    def __init__(self) -> None:
        self.patients: list[Patient] = []

    def segment(self, patients: list[Patient], masks: Path) -> tuple[list[MaskQuality], list[object]]:
        self.patients = patients
        kinds = [p.prompt.kind if p.prompt else "" for p in patients]
        return [MaskQuality(p.patient_id, "external", "ensemble", 12.34, 0.9, 0.8, prompted=k, automatic_ml=5.5 if k else None) for p, k in zip(patients, kinds, strict=True)], []  # type: ignore[arg-type]

    def predict(self, patients: list[Patient], **how: object) -> tuple[list[Risk], list[object]]:
        self.patients = patients
        return [Risk(p.patient_id, 0.25, False, 0.5, "dlr-svm", (), p.prompt.kind if p.prompt else "") for p in patients], []


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Stub:
    made = Stub()
    monkeypatch.setattr(sarcofuse.bundle, "load_bundle", lambda folder: made)
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        write_volume(Volume(np.zeros((2, 3, 4), np.float32), Geometry((4, 3, 2), (1.0, 1.0, 1.0))), tmp_path / f"{name}.nii.gz")
    return made


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--box", "-10 -20 30 40 5 60"], Prompt(box=((-10, -20, 30), (40, 5, 60)))),
        (["--box", "RAS -10 -20 30 40 5 60"], Prompt(box=((-40, -5, 30), (10, 20, 60)))),
        (["--click", "-1 2 3", "--click", "4 5 6"], Prompt(click=((-1, 2, 3), (4, 5, 6)))),
        (["--rough", "b.nii.gz"], Prompt(rough=Path("b.nii.gz"))),
        ([], None),
    ],
)
def test_options_become_prompts(stub: Stub, options: list[str], expected: Prompt | None, capsys: pytest.CaptureFixture[str]) -> None:
    assert leave("segment", "a.nii.gz", "--bundle", "x", *options) == 0
    assert [p.prompt for p in stub.patients] == [expected]
    said = capsys.readouterr().out
    assert ("steered by a" in said) == (expected is not None)
    if expected is not None:
        assert f"12.3 ml, agreement of the networks 0.90, steered by a {'rough mask' if expected.rough else expected.kind} (5.5 ml without)" in said
    assert leave("predict", "x", "a.nii.gz", *options, "--out", "risk.json") == 0
    assert [p.prompt for p in stub.patients] == [expected]
    (row,) = read_json(Path("risk.json"))
    assert row.get("prompted") == (None if expected is None else expected.kind)


def test_tables_with_prompts(stub: Stub, tmp_path: Path) -> None:
    (tmp_path / "new.csv").write_text("patient_id,image,click\nA,a.nii.gz,1 2 3\nB,b.nii.gz,\n")
    assert leave("predict", "x", "new.csv", "--out", "risk.csv") == 0
    assert [p.prompt for p in stub.patients] == [CLICK, None]
    with (tmp_path / "risk.csv").open(newline="") as stream:
        assert [(r["patient_id"], r["prompted"]) for r in csv.DictReader(stream)] == [("A", "click"), ("B", "")]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["segment", "a.nii.gz", "b.nii.gz", "--bundle", "x", "--click", "1 2 3"], "a click belongs to one image, found 2 images"),
        (["segment", "a.nii.gz", "--bundle", "x", "--click", "1 2"], "--click says '1 2'; expected three numbers"),
        (["segment", "a.nii.gz", "--bundle", "x", "--click", "1 2 3", "--box", "1 2 3 4 5 6"], "--box and --click are both given"),
        (["segment", "a.nii.gz", "--bundle", "x", "--rough", "none.nii.gz"], "rough mask none.nii.gz does not exist"),
        (["predict", "x", "a.nii.gz", "b.nii.gz", "--box", "1 2 3 4 5 6"], "a box belongs to one image"),
        (["predict", "x", "a.nii.gz", "--mask", "b.nii.gz", "--rough", "b.nii.gz"], "a rough mask steers the mask that networks draw of an image; it does not go with --mask"),
        (["predict", "x", "--table", "radiomic=t.csv", "--click", "1 2 3"], "it does not go with --table"),
        (["explain", "x", "a.nii.gz", "--mask", "b.nii.gz", "--click", "1 2 3"], "it does not go with --mask"),
        (["explain", "x", "a.nii.gz", "--click", "1 2"], "expected three numbers"),
    ],
)
def test_requests_that_cannot_be(stub: Stub, arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert leave(*arguments) == 2
    assert words in capsys.readouterr().err


def bundle(folder: Path, channels: int | None, masks: str = "model") -> Bundle:
    if channels is not None:
        plan = folder / "segmenter" / "plan.json"
        write_json(_plan(channels), plan)
        write_json({"format": 1, "network": {}, "plan": digest_file(plan), "folds": []}, folder / "segmenter" / "segmenter.json")
    manifest: Any = SimpleNamespace(imaging=True, segment=SimpleNamespace(masks=masks), harmonisation=None)
    folder.mkdir(exist_ok=True)
    return Bundle(folder, manifest)


def _plan(channels: int) -> dict[str, Any]:
    from dataclasses import asdict

    from sarcofuse.config import SegmentConfig
    from sarcofuse.segment.plan import FORMAT
    from sarcofuse.segment.planning import make_plan
    from tests.segment.test_parts import stats

    plan = make_plan(stats(), SegmentConfig(prompts=0.5 if channels > 1 else 0), "cpu", 0)
    assert plan.channels == channels
    return {"format": FORMAT, **asdict(plan)}


@pytest.mark.parametrize(("channels", "words"), [(1, "its networks were trained without prompts"), (None, "it has no segmentation networks")])
def test_bundles_that_know_no_prompts_refuse_them(tmp_path: Path, channels: int | None, words: str) -> None:
    people = [Patient("A", "external", tmp_path / "a.nii.gz"), Patient("B", "external", tmp_path / "b.nii.gz", prompt=CLICK)]
    old = bundle(tmp_path / "old", channels)
    with pytest.raises(BundleError, match=f"bundle old cannot heed the box, click or rough mask of patient B: {words}"):
        old.predict(people)
    with pytest.raises(BundleError, match=words):
        old._features(people, None)  # the way of all that need features, explain among them
    if channels is not None:
        with pytest.raises(BundleError, match=words):
            old.segment(people, tmp_path / "masks")


def test_risks_by_steered_masks_are_marked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Patient] = []

    def features(self: Bundle, patients: list[Patient], engine: object, *_: object) -> tuple[dict[str, object], list[Case], list[object]]:
        seen.extend(patients)
        kind = {p.patient_id: p.prompt.kind if p.prompt and p.mask is None else "" for p in patients}
        return {}, [Case(p.patient_id, "external", "", Path("i"), None, Path("n"), "0", prompted=kind[p.patient_id]) for p in patients], []

    monkeypatch.setattr(Bundle, "_features", features)
    monkeypatch.setattr(Bundle, "predict_tables", lambda self, tables, ids, **how: [Risk(p, 0.2, False, 0.5, "dlr-svm", ("odd",)) for p in ids])
    people = [Patient("A", "external", prompt=CLICK), Patient("B", "external"), Patient("C", "external", mask=Path("m.nii.gz"), prompt=CLICK)]
    risks, _ = bundle(tmp_path / "new", 5).predict(people, given_masks=True)
    assert [(r.patient_id, r.prompted) for r in risks] == [("A", "click"), ("B", ""), ("C", "")]
    assert risks[0].warnings == ("the mask was steered by a click: judge the risk by that mask", "odd")
    assert risks[1].warnings == ("odd",)
    assert risks[2].warnings[0] == IDLE
    assert [p.prompt for p in seen] == [CLICK, None, CLICK]


def test_a_given_mask_is_not_steered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Patient] = []
    monkeypatch.setattr("sarcofuse.preprocess.prepare", lambda patients, *a, **k: (seen.extend(patients), ([], []))[1])
    old = bundle(tmp_path / "old", 1)
    monkeypatch.setattr(old.manifest, "preprocess", None, raising=False)
    monkeypatch.setattr(old.manifest, "mask_label", None, raising=False)
    monkeypatch.setattr("sarcofuse.segment.segment", lambda *a, **k: ([], [], []))
    old._features([Patient("C", "external", mask=Path("m.nii.gz"), prompt=CLICK)], None)
    assert [p.prompt for p in seen] == [None]
