"""Dice without a truth: signs worked by hand, a model against least squares, honest errors, and what happens at the edges."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from sarcofuse.config import RefineConfig
from sarcofuse.errors import BundleError
from sarcofuse.imaging import content_digest, read_mask, read_volume
from sarcofuse.records import Case, MaskQuality
from sarcofuse.runtime import Engine, digest_file, read_json
from sarcofuse.segment import Segmenter, fold_cases, learn_quality, load_segmenter, save_segmenter, segment
from sarcofuse.segment.forecast import LEAST, Forecast, _huber, from_plain, learn_forecast, to_plain
from sarcofuse.segment.grid import restore, to_working
from sarcofuse.segment.inference import probability
from sarcofuse.segment.network import load_network
from sarcofuse.segment.prompting import network_input
from sarcofuse.segment.quality import SIGNS, network_signs, signs
from sarcofuse.segment.rating import rated
from sarcofuse.segment.refine import refine
from tests.segment.conftest import QUICK


def invented(count: int, noise: float, seed: int = 0) -> tuple[dict[str, dict[str, float]], dict[str, float]]:
    """Masks whose Dice follows their confidence and volume, but for the noise."""
    rng = np.random.default_rng(seed)
    found, dice = {}, {}
    for i in range(count):
        sure, ml = rng.uniform(0.6, 0.95), rng.uniform(5, 400)
        found[f"P{i:03d}"] = {
            "expected_dice": sure - 0.05,
            "confidence": sure,
            "flip_dice": rng.uniform(0.7, 0.95),
            "entropy": 2 * (1 - sure),
            "network_ml": ml,
            "sphericity": rng.uniform(0.5, 0.7),
            "share_kept": 1.0,
        }
        dice[f"P{i:03d}"] = float(np.clip(1.6 * sure - 0.75 + 0.03 * np.log(ml / 50) + noise * rng.normal(), 0, 1))
    return found, dice


def test_signs_of_a_small_mask_by_hand():
    mean = np.full((2, 4, 5), 0.1, dtype=np.float32)
    mean[0, 1, 1:4] = 0.9  # the component of largest probability: three voxels in a row
    mean[1, 3, 4] = 0.6  # a speck, not joined to it
    once = mean.copy()
    once[0, 1, 3] = 0.4
    found = network_signs(once, mean, (2.0, 2.0, 5.0), RefineConfig())
    everything = 3 * 0.9 + 0.6 + 36 * 0.1
    assert found["confidence"] == pytest.approx(0.9)
    assert found["expected_dice"] == pytest.approx(2 * 2.7 / (everything + 3))
    assert found["flip_dice"] == pytest.approx(2 * 3 / (3 + 4))
    assert found["share_kept"] == pytest.approx(2.7 / 3.3)
    assert found["network_ml"] == pytest.approx(3 * 0.02)

    def entropy(p: float) -> float:
        return -(p * np.log(p) + (1 - p) * np.log(1 - p))

    assert found["entropy"] == pytest.approx((3 * entropy(0.9) + entropy(0.6) + 36 * entropy(0.1)) / 3, rel=1e-5)
    faces = 2 * (6 * 2) + 2 * (6 * 5) + 2 * (2 * 5)  # a bar of 6 x 2 x 5 mm
    assert found["sphericity"] == pytest.approx((36 * np.pi * 60.0**2) ** (1 / 3) / faces)


def test_signs_of_an_ensemble_are_the_mean_of_its_networks():
    rng = np.random.default_rng(0)
    each = rng.random((3, 2, 4, 9, 8)).astype(np.float32) ** 2
    alone = [signs(one[None], (3.0, 3.0, 5.0), RefineConfig()) for one in each]
    assert signs(each, (3.0, 3.0, 5.0), RefineConfig()) == {name: pytest.approx(np.mean([a[name] for a in alone])) for name in SIGNS}


def test_a_network_that_sees_nothing():
    dark = np.full((2, 3, 3), 0.2, dtype=np.float32)
    found = network_signs(dark, dark, (1.0, 1.0, 1.0), RefineConfig())
    assert (found["confidence"], found["expected_dice"], found["sphericity"], found["share_kept"]) == (0.0, 0.0, 0.0, 0.0)
    assert found["network_ml"] == pytest.approx(0.001)
    model, _ = learn_forecast(*invented(40, 0.02), 0)
    assert 0 <= model.predict(found) < 0.4


def test_without_outliers_it_is_ridge_regression():
    rng = np.random.default_rng(1)
    z, y = rng.normal(size=(30, 4)), rng.uniform(0.4, 0.6, 30)
    beta = _huber(z, np.full(30, 0.5) + 1e-9 * y, 5.0)
    assert beta == pytest.approx([0.5, 0, 0, 0, 0], abs=1e-6)
    exact = z @ np.array([0.02, -0.01, 0.03, 0.0]) + 0.5 + 0.004 * rng.choice([-1, 1], 30)  # all residuals within the bend of the loss
    reference = Ridge(alpha=5.0).fit(z, exact)
    assert _huber(z, exact, 5.0) == pytest.approx([reference.intercept_, *reference.coef_], abs=2e-3)


def test_one_confident_mask_of_the_wrong_structure_does_not_bend_it():
    found, dice = invented(40, 0.01)
    straight, _ = learn_forecast(found, dice, 0)
    wrong = max(found, key=lambda p: found[p]["confidence"])
    bent, _ = learn_forecast(found, {**dice, wrong: 0.0}, 0)
    others = [p for p in found if p != wrong]
    assert np.mean([abs(bent.predict(found[p]) - straight.predict(found[p])) for p in others]) < 0.02


def test_error_is_honest():
    found, dice = invented(60, 0.03)
    model, held_out = learn_forecast(found, dice, 0)
    assert model.evidence["mae"] == pytest.approx(np.mean([abs(held_out[p] - dice[p]) for p in dice]))
    assert model.evidence["mae"] < 0.05 < model.evidence["constant_mae"]
    assert model.evidence["correlation"] == pytest.approx(np.corrcoef(list(dice.values()), [held_out[p] for p in dice])[0, 1])
    # a patient's own Dice has no say in the patient's prediction
    _, again = learn_forecast(found, {**dice, "P000": 0.0}, 0)
    assert again["P000"] == held_out["P000"]
    assert again["P001"] != held_out["P001"]
    new, truth = invented(400, 0.03, seed=5)
    assert np.mean([abs(model.predict(new[p]) - truth[p]) for p in new]) < 1.3 * model.evidence["mae"]


def test_signs_that_say_nothing_leave_the_constant():
    found, _ = invented(40, 0.0)
    noise = {p: float(v) for p, v in zip(found, np.random.default_rng(3).uniform(0.2, 0.9, 40), strict=True)}
    model, held_out = learn_forecast(found, noise, 0)
    assert np.ptp(list(held_out.values())) < 0.35  # shrunk
    assert model.evidence["mae"] < 1.15 * model.evidence["constant_mae"]


def test_interval_covers_nine_in_ten_of_new_patients():
    covered = []
    for seed in range(8):
        model, _ = learn_forecast(*invented(60, 0.06, seed), 0)
        new, truth = invented(100, 0.06, seed + 100)
        for p in new:
            low, high = model.interval(model.predict(new[p]))
            covered.append(low <= truth[p] <= high)
    assert 0.85 < np.mean(covered) < 0.97


def test_order_of_patients_and_a_round_trip_change_no_bit():
    found, dice = invented(30, 0.05)
    model, held_out = learn_forecast(found, dice, 2)
    again, other = learn_forecast(dict(reversed(found.items())), dict(reversed(dice.items())), 2)
    assert (again, other) == (model, held_out)
    back = from_plain(json.loads(json.dumps(to_plain(model))))
    assert back == model
    assert [back.predict(found[p]) for p in found] == [model.predict(found[p]) for p in found]
    with pytest.raises(BundleError, match="format 7"):
        from_plain({**to_plain(model), "format": 7})


def test_too_few_to_learn_or_to_give_an_interval():
    found, dice = invented(LEAST, 0.05)
    model, _ = learn_forecast(found, dice, 0)
    assert model.interval(0.7) == (0.0, 1.0)  # ten errors say nothing of the outermost twentieth
    dice.pop("P000")
    assert learn_forecast(found, dice, 0) is None


@pytest.fixture(scope="module")
def judged(segmenter: Segmenter, cases: list[Case], engine: Engine) -> tuple[Segmenter, list[MaskQuality]]:
    training = [c for c in cases if c.split == "train"]
    _, quality, _ = segment(segmenter, training, QUICK, engine, out_of_fold=True)
    assert all(q.predicted_dice is None for q in quality)
    return learn_quality(segmenter, quality, QUICK, engine)


def test_every_mask_has_a_predicted_dice(judged: tuple[Segmenter, list[MaskQuality]], segmenter: Segmenter, cases: list[Case], engine: Engine):
    model, quality = judged
    assert model.content == segmenter.content  # masks do not depend on it
    assert model.folds == segmenter.folds
    assert len(quality) == 10
    assert all(0 <= q.predicted_low <= q.predicted_dice <= q.predicted_high <= 1 for q in quality)
    held_out = read_json(model.folder.parent / "held_out.json")
    assert {q.patient_id: q.predicted_dice for q in quality} == held_out
    bare = replace(cases[-1], mask=None, mask_digest=None, mask_source=None)
    for strict in (False, True):
        config = QUICK.model_copy(update={"review_below": 1.0 if strict else 0.0})
        _, (found,), _ = segment(model, [bare], config, engine, out_of_fold=False)
        assert found.dice is None
        assert found.predicted_dice == model.forecast.predict(found.signs)
        assert found.review is strict


def test_a_rival_structure_is_told(judged: tuple[Segmenter, list[MaskQuality]]):
    model, quality = judged
    sure = replace(quality[0], signs={**quality[0].signs, "share_kept": 0.76})
    (calm, doubted) = rated([sure, replace(sure, signs={**sure.signs, "share_kept": 0.7})], model.forecast, 0.0)
    assert not calm.review
    assert doubted.review
    assert doubted.predicted_low == 0.0


def test_saved_with_the_model_and_checked(judged: tuple[Segmenter, list[MaskQuality]], segmenter: Segmenter, tmp_path: Path):
    model, _ = judged
    save_segmenter(model, tmp_path / "saved")
    loaded = load_segmenter(tmp_path / "saved")
    assert isinstance(loaded.forecast, Forecast)
    assert loaded.forecast == model.forecast
    assert not any(p in (tmp_path / "saved" / "quality.json").read_text() for p in segmenter.folds)
    file = tmp_path / "saved" / "quality.json"
    file.write_text(file.read_text().replace("intercept", "Intercept"))
    with pytest.raises(BundleError, match=r"quality.json was altered"):
        load_segmenter(tmp_path / "saved")
    save_segmenter(segmenter, tmp_path / "old")  # as earlier versions wrote it
    assert load_segmenter(tmp_path / "old").forecast is None
    assert not (tmp_path / "old" / "quality.json").exists()


def test_few_patients_leave_all_as_it_is(segmenter: Segmenter, cases: list[Case], engine: Engine):
    training = [c for c in cases if c.split == "train"][:9]
    _, quality, _ = segment(segmenter, training, QUICK, engine, out_of_fold=True)
    same, found = learn_quality(segmenter, quality, QUICK, engine)
    assert same is segmenter
    assert found == quality


def test_every_networks_own_mask_is_kept_when_asked(segmenter: Segmenter, cases: list[Case], engine: Engine):
    case = cases[-1]
    config = QUICK.model_copy(update={"fold_masks": True})
    whole, _, _ = segment(segmenter, [case], QUICK, engine, out_of_fold=False)
    masked, quality, _ = segment(segmenter, [case], config, engine, out_of_fold=False)
    assert masked[0].mask_digest == whole[0].mask_digest
    assert quality[0].predicted_dice is None
    assert fold_cases(whole) == {}
    found = fold_cases(masked)
    assert sorted(found) == [0, 1]
    for k, (own,) in found.items():
        only, _, _ = segment(replace(segmenter, folds={case.patient_id: k}), [case], QUICK, engine, out_of_fold=True)
        assert own.mask_digest == only[0].mask_digest == content_digest(read_mask(own.mask))
        assert np.array_equal(read_mask(own.mask).array, read_mask(only[0].mask).array)


def test_out_of_fold_masks_are_by_networks_that_never_saw_the_patient(segmenter: Segmenter, cases: list[Case], engine: Engine):
    """From the disk alone: who trained each file of weights, and what mask that file gives."""
    trained_by = {digest_file(f.parent / "weights.safetensors"): read_json(f) for f in (engine.cache / "segment-train").glob("*/patients.json")}
    plan = segmenter.plan
    training = [c for c in cases if c.split == "train"]
    masked, _, _ = segment(segmenter, training, QUICK, engine, out_of_fold=True)
    assert len(masked) == len(training)
    for case in masked:
        blind = [f for f in segmenter.weights if case.patient_id not in trained_by[digest_file(f)]["training"]]
        assert len(blind) == 1
        assert case.patient_id in trained_by[digest_file(blind[0])]["held_out"]
        volume = read_volume(case.image)
        work = to_working(volume.array, volume.geometry.spacing, plan.spacing)
        _, mean = probability(load_network(plan.network, blind[0]), network_input(work, None, plan).array, plan, flips=True)
        *_, (_, expected) = refine(restore(mean, work), volume.geometry.spacing, QUICK.refine)
        assert np.array_equal(read_mask(case.mask).array != 0, expected)
