"""Cases with a prompt: both masks, the prompted one used and marked; with networks that stand in for trained ones."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sarcofuse.config import RefineConfig, SegmentConfig
from sarcofuse.errors import StageError
from sarcofuse.imaging import content_digest, read_mask, write_mask, write_volume
from sarcofuse.metrics.overlap import dice
from sarcofuse.records import Case, Geometry, Mask, MaskQuality, Prompt, Volume
from sarcofuse.runtime import Engine, digest, digest_file, write_json
from sarcofuse.segment import Segmenter, auto3dseg, learn_quality, segment
from sarcofuse.segment.forecast import SIGNS
from sarcofuse.segment.masking import fold_cases
from sarcofuse.segment.plan import write_plan
from sarcofuse.segment.planning import make_plan
from tests.segment.test_parts import stats

GRID = Geometry((40, 40, 8), (2.0, 2.0, 5.0), (-40.0, -40.0, 0.0))
CONFIG = SegmentConfig(masks="model", folds=2, spacing=(2.0, 2.0, 5.0), device="cpu", refine=RefineConfig(flips=False))
LEFT, RIGHT = np.s_[2:6, 15:25, 5:15], np.s_[2:6, 15:24, 25:34]
"""Two bright blocks: the networks take the larger, the tumour is the other."""


def stand_in(folder: Path, weights: Sequence[Path], scores: Sequence[float], image: Any, **options: object) -> np.ndarray:
    """Bright voxels; where the channels beside the image say something, only those that closeness says it of. Every network is a little less sure than the one before."""
    channels = image.array if image.array.ndim == 4 else image.array[None]
    found = channels[0] > 0
    if channels[1:].any():
        found = found & (channels[1] > 0)
    numbers = [int(file.stem.rsplit("_", 1)[-1]) for file in weights]
    return np.stack([np.stack([found * np.float32(0.9 - 0.1 * n)] * 2) for n in numbers]).astype(np.float32)


@pytest.fixture(autouse=True)
def networks(monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(inspect.signature(stand_in).parameters)[:4] == list(inspect.signature(auto3dseg.ensemble_probabilities).parameters)[:4]
    monkeypatch.setattr(auto3dseg, "ensemble_probabilities", stand_in)


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(tmp_path / "cache", scheduler="serial", progress=False)


def segmenter(folder: Path, channels: int) -> Segmenter:
    plan = make_plan(stats(), CONFIG.model_copy(update={"prompts": 0.5 if channels > 1 else 0}), "cpu", 0)
    assert plan.channels == channels
    write_plan(plan, folder / "plan.json")
    items = []
    for fold in range(2):
        file = folder / f"fold_{fold}.safetensors"
        file.write_bytes(b"stand-in %d" % fold)
        items.append({"file": file.name, "sha256": digest_file(file), "held_out_dice": 0.8})
    write_json({"format": 1, "network": {}, "plan": digest_file(folder / "plan.json"), "folds": items}, folder / "segmenter.json")
    return Segmenter(folder, {"P-0": 0, "P-1": 1})


@pytest.fixture
def steered(tmp_path: Path) -> Segmenter:
    return segmenter(tmp_path / "model", 5)


def case(folder: Path, prompt: Prompt | None = None, name: str = "P-0", *, known: bool = True) -> Case:
    image, truth = np.zeros(GRID.shape, np.float32), np.zeros(GRID.shape, np.uint8)
    image[:, 3:37, 3:37] = 20.0
    image[LEFT] = image[RIGHT] = 100.0
    truth[RIGHT] = 1
    place = folder / name
    write_volume(Volume(image + 1.0, GRID), place / "image.nii.gz")
    write_mask(Mask(truth, GRID), place / "mask.nii.gz")
    said = None if prompt is None else digest(prompt.kind, prompt.box, prompt.click, "" if prompt.rough is None else digest_file(prompt.rough))
    mask, mask_digest = (place / "mask.nii.gz", content_digest(Mask(truth, GRID))) if known else (None, None)
    return Case(name, "train", "A", place / "image.nii.gz", mask, place / "image.nii.gz", content_digest(Volume(image + 1.0, GRID)), mask_digest, prompt=prompt, prompt_digest=said)


BOX = Prompt(box=((2.0, -18.0, 0.0), (34.0, 14.0, 35.0)))
"""Large enough for its ellipsoid to hold the whole block."""
CLICK = Prompt(click=((18.0, -2.0, 15.0),))


@pytest.mark.parametrize("kind", ["box", "click", "rough"])
def test_the_prompted_mask_is_used_and_marked(tmp_path: Path, steered: Segmenter, engine: Engine, kind: str) -> None:
    array = np.zeros(GRID.shape, np.uint8)
    array[2:5, 17:22, 27:32] = 1
    write_mask(Mask(array, GRID), tmp_path / "rough.nii.gz")
    prompt = {"box": BOX, "click": CLICK, "rough": Prompt(rough=tmp_path / "rough.nii.gz")}[kind]
    (masked,), (found,), aside = segment(steered, [case(tmp_path, prompt)], CONFIG, engine, out_of_fold=True)
    assert aside == []
    assert (masked.prompted, found.prompted) == (kind, kind)
    assert masked.mask_source == found.source == "out-of-fold"
    mask, truth = read_mask(masked.mask), read_mask(tmp_path / "P-0" / "mask.nii.gz")
    assert mask.array[RIGHT].any()
    assert not mask.array[LEFT].any()
    assert found.dice == pytest.approx(dice(mask.array, truth.array))
    assert found.volume_ml == pytest.approx(mask.volume_ml)
    without = read_mask(masked.mask.with_name("automatic.nii.gz"))
    assert without.array[LEFT].all(), "the larger of the two"
    assert found.automatic_ml == pytest.approx(without.volume_ml) == pytest.approx(4 * 10 * 10 * 0.02)
    assert found.automatic_dice == 0.0
    if kind == "box":
        assert found.dice == 1.0


def test_without_a_prompt_nothing_is_marked(tmp_path: Path, steered: Segmenter, engine: Engine) -> None:
    (masked,), (found,), _ = segment(steered, [case(tmp_path)], CONFIG, engine, out_of_fold=False)
    assert (masked.prompted, found.prompted, found.automatic_ml, found.automatic_dice) == ("", "", None, None)
    assert read_mask(masked.mask).array[LEFT].all()
    assert not masked.mask.with_name("automatic.nii.gz").exists()


def test_the_automatic_mask_beside_is_that_of_a_case_without_prompt(tmp_path: Path, steered: Segmenter, engine: Engine) -> None:
    (alone,), (plain,), _ = segment(steered, [case(tmp_path)], CONFIG, engine, out_of_fold=False)
    (both,), (found,), _ = segment(steered, [case(tmp_path, BOX)], CONFIG, engine, out_of_fold=False)
    assert both.mask.with_name("automatic.nii.gz").read_bytes() == alone.mask.read_bytes()
    assert (found.automatic_dice, found.automatic_ml) == (plain.dice, plain.volume_ml)
    assert both.mask_digest != alone.mask_digest
    assert found.agreement == 1.0, "of the prompted masks: both networks take the same voxels"


def test_a_prompt_finds_what_networks_alone_do_not(tmp_path: Path, steered: Segmenter, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    def blind(folder: Path, weights: Sequence[Path], scores: Sequence[float], image: Any, **options: object) -> np.ndarray:
        return stand_in(folder, weights, scores, image) * (0.0 if not image.array[1:].any() else 1.0)

    monkeypatch.setattr(auto3dseg, "ensemble_probabilities", blind)
    (masked,), (found,), aside = segment(steered, [case(tmp_path, BOX)], CONFIG, engine, out_of_fold=False)
    assert aside == []
    assert (found.dice, found.automatic_dice, found.automatic_ml) == (1.0, 0.0, 0.0)
    assert not masked.mask.with_name("automatic.nii.gz").exists()


def test_prompts_without_truth(tmp_path: Path, steered: Segmenter, engine: Engine) -> None:
    _, (found,), _ = segment(steered, [case(tmp_path, BOX, known=False)], CONFIG, engine, out_of_fold=False)
    assert (found.prompted, found.dice, found.automatic_dice) == ("box", None, None)
    assert found.automatic_ml == pytest.approx(8.0)


def test_another_prompt_is_another_task(tmp_path: Path, steered: Segmenter, engine: Engine) -> None:
    other = Prompt(box=((-39.0, -19.0, 0.0), (-3.0, 17.0, 35.0)))
    people = [case(tmp_path, BOX), case(tmp_path, other, "P-1"), case(tmp_path)]
    folders = [segment(steered, [c], CONFIG, engine, out_of_fold=False)[0][0].mask.parent.name for c in people]
    assert len(set(folders)) == 3
    together, _, _ = segment(steered, people[:2], CONFIG, engine, out_of_fold=False)
    assert [c.mask.parent.name for c in together] == folders[:2]
    assert read_mask(together[1].mask).array[LEFT].all()


def test_networks_of_one_channel_refuse_prompts(tmp_path: Path, engine: Engine) -> None:
    plain = segmenter(tmp_path / "plain", 1)
    assert not plain.takes_prompts
    people = [case(tmp_path, name="P-1"), case(tmp_path, BOX)]
    with pytest.raises(StageError, match=r"patient P-0 came with a box, click or rough mask, but these networks were trained without prompts"):
        segment(plain, people, CONFIG, engine, out_of_fold=False)
    masked, _, _ = segment(plain, people[:1], CONFIG, engine, out_of_fold=False)
    assert masked[0].prompted == ""


def test_every_networks_own_mask_heeds_the_prompt(tmp_path: Path, steered: Segmenter, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second network sees the other block alone: its own mask is left out, and nobody is set aside."""

    def divided(folder: Path, weights: Sequence[Path], scores: Sequence[float], image: Any, **options: object) -> np.ndarray:
        found = np.zeros((2, 2, *image.array.shape[1:]), np.float32)
        found[0][(slice(None), *RIGHT)] = 1.0
        found[1][(slice(None), *LEFT)] = 0.9
        found[1][(slice(None), *RIGHT)] = 0.1
        return found

    monkeypatch.setattr(auto3dseg, "ensemble_probabilities", divided)
    keeping = CONFIG.model_copy(update={"fold_masks": True})
    (masked,), (found,), aside = segment(steered, [case(tmp_path, CLICK)], keeping, engine, out_of_fold=False)
    assert (aside, found.dice) == ([], 1.0)
    own = fold_cases([masked])
    assert list(own) == [0]
    assert (read_mask(own[0][0].mask).array == read_mask(masked.mask).array).all()


def test_steered_masks_teach_no_forecast_and_get_none(tmp_path: Path, steered: Segmenter, engine: Engine) -> None:
    automatic = [MaskQuality(f"A-{i}", "train", "out-of-fold", 9.0, None, 0.9, 0.3 + i / 30, signs=dict.fromkeys(SIGNS, 0.5) | {"entropy": 0.01 + i / 20}) for i in range(12)]
    prompted = [replace(q, patient_id=f"P-{i}", dice=1.0 - i / 30, prompted="box") for i, q in enumerate(automatic)]
    alone, _ = learn_quality(steered, automatic, CONFIG, engine)
    both, judged = learn_quality(steered, [*automatic, *prompted], CONFIG, engine)
    assert both.folder == alone.folder
    assert all(q.predicted_dice is not None for q in judged[:12])
    assert all((q.predicted_dice, q.review) == (None, False) for q in judged[12:])
    few, untouched = learn_quality(steered, [*automatic[:5], *prompted], CONFIG, engine)
    assert few is steered
    assert all(q.predicted_dice is None for q in untouched)
