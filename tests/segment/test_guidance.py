"""Plans of networks that can be guided: cropped images known from their analysis, frames around prompts, weights to start from, plans of before."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sarcofuse.config import RefineConfig, SegmentConfig
from sarcofuse.errors import StageError
from sarcofuse.imaging import content_digest, read_mask, to_index, write_mask, write_volume
from sarcofuse.records import Case, Geometry, Mask, Prompt, Volume
from sarcofuse.runtime import Engine, digest, digest_file, read_json, write_json
from sarcofuse.segment import Segmenter, guidance, load_segmenter, segment, train, transfer
from sarcofuse.segment.auto3dseg import analyse_case, summarise
from sarcofuse.segment.grid import restore
from sarcofuse.segment.network import build_network, save_weights
from sarcofuse.segment.plan import Plan, read_plan, write_plan
from sarcofuse.segment.planning import make_plan
from sarcofuse.segment.prompting import network_input, work_image, work_prompt
from tests.segment.conftest import QUICK, make_case
from tests.segment.test_parts import stats
from tests.segment.test_round_trip import oblique

NEW = ("prompts", "radius_mm", "voxels", "repaint")


def plan_of(middle: float = 0.0, device: str = "cpu", start: str = "", cases: int = 23, **settings: object) -> Plan:
    return make_plan({**stats(cases=cases), "middle_dice": middle}, SegmentConfig(**settings), device, 0, start)


# --- the plan


def ball(centre: tuple[float, float, float], radius: float) -> tuple[Volume, Mask]:
    """In a cube of 120 mm, voxels of 5 mm."""
    z, y, x = np.indices((24, 24, 24)) * 5.0 + 2.5
    inside = (z - centre[0]) ** 2 + (y - centre[1]) ** 2 + (x - centre[2]) ** 2 < radius**2
    grid = Geometry((24, 24, 24), (5.0, 5.0, 5.0))
    return Volume((100 + 50 * inside + np.random.default_rng(0).normal(0, 5, inside.shape)).astype(np.float32), grid), Mask(inside.astype(np.uint8), grid)


def test_the_analysis_knows_images_cropped_around_the_tumour():
    """A ball of radius 28 in the ellipsoid of radius 60 - 25 = 35: Dice 2 * 28**3 / (28**3 + 35**3) = 0.677."""
    found = [analyse_case(*ball(*where), "P") for where in (((60.0, 60.0, 60.0), 28.0), ((22.0, 22.0, 22.0), 20.0))]
    assert [case["middle_dice"] for case in found] == [pytest.approx(0.677, abs=0.03), 0.0]
    around, corner, both = (summarise(cases) for cases in ([found[0]] * 3, [found[1]] * 3, [*found, found[1]]))
    assert both["middle_dice"] == pytest.approx(found[0]["middle_dice"] / 3)
    plans = [make_plan(some, SegmentConfig(folds=2), "cpu", 0) for some in (around, corner, both)]
    assert [plan.voxels for plan in plans] == [20_000, 0, 0]
    assert plans[0].reasons["cropped"] == f"yes: an ellipsoid in the middle of each image has a mean Dice of {around['middle_dice']:.2f} with the masks"
    assert plans[0].spacing == pytest.approx([(120.0**3 / 20_000) ** (1 / 3)] * 3)
    assert plans[0].radius_mm == pytest.approx(28.0, abs=0.5)


def test_plan_of_cropped_images():
    plan, wide = plan_of(0.6), plan_of(0.2)
    assert (plan.channels, plan.network["guide"], plan.prompts) == (5, {"gain": 4.0, "bound": 3.0}, 0.5)
    assert (wide.channels, wide.network["guide"], wide.prompts) == (5, {"gain": 4.0, "bound": 3.0}, 0.5)
    assert (plan.shape, plan.factor, plan.network["resolution"]) == ((64, 64, 64), (8, 8, 8), [1.0, 1.0, 1.0])
    assert (plan.epochs, plan.learning_rate, plan.early_stopping) == (guidance.EPOCHS, guidance.LEARNING_RATE, False)
    assert plan.spacing_for((10, 100, 100), (1.0, 1.0, 8.0)) == pytest.approx([(800_000 / 20_000) ** (1 / 3)] * 3)
    assert wide.spacing_for((10, 100, 100), (1.0, 1.0, 8.0)) == wide.spacing
    assert plan_of(0.6, device="cuda", cases=23).voxels == 20_000  # few patients: the small network on a GPU, too
    large = plan_of(0.6, device="cuda", cases=400)
    assert (large.voxels, large.network["init_filters"], large.shape) == (160_000, 32, (128, 128, 128))


def test_settings_overrule_the_analysis():
    assert plan_of(0.6, cropped=False).voxels == 0
    assert plan_of(0.6, cropped=False).reasons["cropped"] == "no: segment.cropped says so"
    assert plan_of(0.1, cropped=True).voxels == 20_000
    fixed = plan_of(0.6, spacing=(3.0, 3.0, 3.0))
    assert (fixed.voxels, fixed.spacing, fixed.reasons["cropped"]) == (0, (3.0, 3.0, 3.0), "no: segment.spacing says so")
    flat = make_plan({**stats(extent=(190.0, 190.0, 5.0)), "middle_dice": 0.6}, SegmentConfig(), "cpu", 0)  # one slice, or two
    assert (flat.voxels, flat.factor[0], flat.reasons["cropped"]) == (0, 1, "no: images of so few slices are seen slice by slice")
    plain = plan_of(0.1, prompts=0)
    assert (plain.channels, plain.prompts, "guide" in plain.network) == (1, 0, False)
    middle = plan_of(0.6, prompts=0)  # cropped images guide networks that no prompt steers
    assert (middle.channels, middle.prompts) == (5, 0)
    chosen = plan_of(0.6, epochs=7, learning_rate=0.002, filters=12, early_stopping=True)
    assert (chosen.epochs, chosen.learning_rate, chosen.network["init_filters"], chosen.early_stopping) == (7, 0.002, 12, True)
    assert plan_of(0.6, epochs=1000).reasons["early_stopping"] == "no: few passes as it is"


def test_plans_are_written_and_read_again_also_those_of_before(tmp_path: Path):
    for plan in (plan_of(0.6), plan_of(0.0), plan_of(0.0, prompts=0)):
        write_plan(plan, tmp_path / "plan.json")
        assert read_plan(tmp_path / "plan.json") == plan
    content = read_json(tmp_path / "plan.json")
    write_json({k: v for k, v in content.items() if k not in NEW}, tmp_path / "old.json")
    old = read_plan(tmp_path / "old.json")
    assert (old.channels, *(getattr(old, name) for name in NEW)) == (1, 0.0, 0.0, 0, 0.0)
    assert old.spacing_for((3, 4, 5), (1.0, 1.0, 1.0)) == old.spacing


# --- weights to start from


def test_where_training_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    own, given = tmp_path / "own.safetensors", tmp_path / "given.safetensors"
    own.write_bytes(b"own")
    given.write_bytes(b"given")
    for module in (guidance, transfer):
        monkeypatch.setattr(module, "OWN_WEIGHTS", own)
    assert transfer.start_of(None) == ""
    assert transfer.start_of("nothing") == "nothing"
    assert transfer.start_of("phantoms") == transfer.start_digest(own) != transfer.start_of(given) == transfer.start_digest(given)
    decided = plan_of(0.6, start=transfer.start_of(None))
    assert decided.start == transfer.start_digest(own)
    assert decided.reasons["start"] == "from the package's own weights, learnt on synthetic patients"
    assert transfer.start_file(None, decided) == transfer.start_file("phantoms", decided) == own
    nothing = plan_of(0.6, start="nothing")
    assert (nothing.start, "start" in nothing.reasons, transfer.start_file("nothing", nothing)) == ("", False, None)
    assert plan_of(0.0, start="nothing").start == plan_of(0.0, start="nothing", prompts=0).start == ""
    assert plan_of(0.0).start == plan_of(0.6, filters=12).start == ""  # other networks than the weights belong to
    other = plan_of(0.6, start=transfer.start_of(given))
    assert other.start == transfer.start_digest(given)
    assert transfer.start_file(given, other) == given
    own.unlink()
    assert plan_of(0.6).start == ""


# --- frames


OBLIQUE = Geometry((60, 50, 24), (1.5, 1.8, 4.0), (-40.0, 25.0, -60.0), tuple(oblique().ravel()))
CENTRE = np.array(OBLIQUE.origin) + oblique() @ (np.array([38.0, 17.0, 14.0]) * OBLIQUE.spacing)


def oblique_ball() -> Volume:
    """A bright ball of 13 mm, its centre on voxel (z 14, y 17, x 38)."""
    z, y, x = np.indices(OBLIQUE.shape)
    inside = ((z - 14) * 4.0) ** 2 + ((y - 17) * 1.8) ** 2 + ((x - 38) * 1.5) ** 2 < 13.0**2
    return Volume((100 + 100 * inside).astype(np.float32), OBLIQUE)


@pytest.mark.parametrize("kind", ["box", "rough"])
def test_what_is_seen_in_a_frame_comes_back_to_its_place(tmp_path: Path, kind: str):
    plan, volume = plan_of(0.6), oblique_ball()
    box = (tuple(CENTRE - 13.0), tuple(CENTRE + 13.0))
    if kind == "rough":
        write_mask(Mask((volume.array > 150).astype(np.uint8), OBLIQUE), tmp_path / "rough.nii.gz")
    prompt = Prompt(box=box) if kind == "box" else Prompt(rough=tmp_path / "rough.nii.gz")
    work = work_image(volume, plan, prompt)
    assert work.whole == OBLIQUE.shape
    assert work.start[1:] != (0, 0)
    assert all(size < full for size, full in zip(work.shape[1:], OBLIQUE.shape[1:], strict=True))
    assert work.array.size == pytest.approx(20_000, rel=0.2)
    inside = (work.array - work.array.min()) / (work.array.max() - work.array.min())
    back = restore(inside, work)
    assert back.shape == OBLIQUE.shape
    assert np.average(np.indices(back.shape).reshape(3, -1), axis=1, weights=np.where(back > 0.3, back, 0).ravel()) == pytest.approx([14, 17, 38], abs=0.3)
    assert to_index(OBLIQUE, [CENTRE])[0] == pytest.approx([38, 17, 14])
    closeness = restore(network_input(work, work_prompt(prompt, OBLIQUE, work), plan).array[1], work)
    seen = tuple(slice(first, first + size) for first, size in zip(work.start, work.shape, strict=True))
    top = np.argwhere(closeness == closeness[seen].max())[0]
    assert top == pytest.approx([14, 17, 38], abs=1)
    without = closeness.copy()
    without[seen] = 0
    assert not without.any()


def test_frames_reach_twenty_millimetres_around_a_box():
    """A straight grid of 2 x 2 x 5 mm; the box's faces lie at voxels 9.5 and 19.5 in the plane, 3.5 and 5.5 through it."""
    grid = Geometry((60, 60, 30), (2.0, 2.0, 5.0))
    volume = Volume(np.random.default_rng(0).normal(100, 10, grid.shape).astype(np.float32), grid)
    prompt = Prompt(box=((19.0, 39.0, 17.5), (39.0, 79.0, 27.5)))
    part = work_image(volume, plan_of(0.6), prompt)
    assert (part.start, part.shape) == ((0, 10, 0), (10, 40, 30))  # z: 3.5 - 4 is before the first slice; 5.5 + 4 = 9.5; y: 19.5 - 10 to 39.5 + 10; x: 9.5 - 10 to 19.5 + 10
    whole = work_image(volume, plan_of(0.6))
    assert whole.whole is None
    assert whole.shape == grid.shape
    assert part.array.mean() == pytest.approx(0.0, abs=0.1)  # normalised as the whole image is
    assert work_image(volume, plan_of(0.0), prompt).whole is None  # of images that are not cropped all is seen
    assert work_image(volume, plan_of(0.6), Prompt(click=((20.0, 40.0, 20.0),))).whole is None  # a click does not say how large the tumour is


# --- all together


def test_cropped_images_from_training_to_prompted_masks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(guidance, "VOXELS", {"cpu": 1500})
    config = QUICK.model_copy(update={"spacing": None, "cropped": True, "epochs": 1, "start_from": "nothing", "prompts": 0.5, "filters": None, "refine": RefineConfig(flips=False, minimum_ml=0)})
    engine = Engine(tmp_path / "cache", scheduler="serial", progress=False)
    cases = [make_case(tmp_path / "prepared", i) for i in range(5)]
    found = train(cases[:4], config, engine, 0)
    assert (found.plan.voxels, found.plan.channels, found.takes_prompts) == (1500, 5, True)
    places = np.argwhere(read_mask(cases[4].mask).array)[:, ::-1] * [2.0, 2.0, 5.0] + [-30.0, -40.0, 12.0]
    prompt = Prompt(box=(tuple(places.min(axis=0) - 1), tuple(places.max(axis=0) + 1)))
    case = replace(cases[4], split="external", prompt=prompt, prompt_digest=digest(prompt.box))
    (masked,), (quality,), aside = segment(found, [case], config, engine, out_of_fold=False)
    assert aside == []
    assert (masked.prompted, quality.prompted) == ("box", "box")
    assert quality.dice > 0.5  # the ellipsoid in the box, whatever the network says
    assert read_mask(masked.mask).array.shape == read_mask(case.mask).array.shape


def test_cropped_images_without_prompts_refuse_them(tmp_path: Path):
    write_plan(plan_of(0.6, prompts=0), tmp_path / "plan.json")
    assert not Segmenter(tmp_path).takes_prompts


def test_networks_of_one_channel_predict_as_before(tmp_path: Path):
    """A plan without the new fields, and a network that says tumour everywhere."""
    folder = tmp_path / "segmenter"
    folder.mkdir()
    plan = plan_of(0.0, prompts=0, spacing=(4.0, 4.0, 5.0), filters=4)
    write_plan(plan, folder / "plan.json")
    write_json({k: v for k, v in read_json(folder / "plan.json").items() if k not in NEW}, folder / "plan.json")
    network = build_network(plan.network)
    with torch.no_grad():
        network.up_layers[-1].head.bias.fill_(50.0)
    save_weights(network.state_dict(), folder / "fold_0.safetensors")
    item = {"file": "fold_0.safetensors", "sha256": digest_file(folder / "fold_0.safetensors"), "held_out_dice": 0.5}
    write_json({"format": 1, "network": {"arguments": plan.network}, "plan": digest_file(folder / "plan.json"), "folds": [item]}, folder / "segmenter.json")
    grid = Geometry((20, 18, 6), (2.0, 2.0, 5.0))
    volume = Volume(np.random.default_rng(0).normal(100, 10, grid.shape).astype(np.float32), grid)
    write_volume(volume, tmp_path / "image.nii.gz")
    case = Case("P", "external", "A", tmp_path / "image.nii.gz", None, tmp_path / "image.nii.gz", content_digest(volume), None)
    engine = Engine(tmp_path / "cache", scheduler="serial", progress=False)
    old = load_segmenter(folder)
    (masked,), _, aside = segment(old, [case], SegmentConfig(masks="model", device="cpu"), engine, out_of_fold=False)
    assert aside == []
    assert read_mask(masked.mask).array.all()
    with pytest.raises(StageError, match="trained without prompts"):
        segment(old, [replace(case, prompt=Prompt(click=((5.0, 5.0, 5.0),)), prompt_digest="1")], SegmentConfig(masks="model", device="cpu"), engine, out_of_fold=False)
