"""Figures of masks, each worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from sarcofuse.config import EvaluationConfig
from sarcofuse.evaluation import mask_figures
from sarcofuse.records import MaskQuality, Patient, Split

CONFIG = EvaluationConfig(bootstrap=200)
TRUTH_ML = (10.0, 20.0, 30.0, 40.0, 50.0, 60.0)


def mask(i: int, split: Split = "train", **changes: object) -> MaskQuality:
    """Patient i of dice 0.5, 0.6 ...; the volume is 10 % too large, one lesion of two is found where i is odd."""
    known = {
        "agreement": None,
        "confidence": 0.9,
        "dice": 0.5 + 0.1 * i,
        "surface_mm": 6.0 - i,
        "assd_mm": 2.0 + i,
        "surface_dice": 0.1 * i,
        "truth_ml": TRUTH_ML[i],
        "volume_ml": 1.1 * TRUTH_ML[i],
        "lesions": 2,
        "lesions_found": 1 + (i + 1) % 2,
        "lesions_false": i % 3,
        "predicted_dice": 0.6 + 0.05 * i,
        "predicted_low": 0.55,
        "predicted_high": 0.85,
        "review": i < 2,
    }
    return MaskQuality(f"{split}-{i}", split, "out-of-fold", **{**known, **changes})


@pytest.fixture
def quality() -> list[MaskQuality]:
    return [*(mask(i) for i in range(5)), mask(0, "external"), mask(5, "external", dice=0.9)]


@pytest.fixture
def patients(quality: list[MaskQuality]) -> list[Patient]:
    lost = Patient("lost", "external", site="B")
    return [*(Patient(q.patient_id, q.split, site="AB"[i % 2]) for i, q in enumerate(quality)), lost]


def test_a_row_by_hand(quality: list[MaskQuality], patients: list[Patient]):
    train, external = mask_figures(quality, patients, CONFIG, 0, missed=["lost"])["segmentation"]
    assert (train["split"], train["patients"], train["missed"]) == ("train", 5, 0)
    assert (external["split"], external["patients"], external["missed"]) == ("external", 2, 1)
    assert train["dice_mean"] == pytest.approx(0.7)
    assert train["dice_median"] == pytest.approx(0.7)
    for name, mean, median in (("dice", 0.7, 0.7), ("surface_dice", 0.2, 0.2), ("hd95_mm", 4.0, 4.0), ("assd_mm", 4.0, 4.0)):
        assert train[name]["value"] == pytest.approx(mean)
        assert train[name]["median"] == pytest.approx(median)
        assert train[name]["low"] < mean < train[name]["high"]
    assert train["detection"]["lesions"] == 10
    assert train["detection"]["found"] == 8  # 2 1 2 1 2
    assert train["detection"]["false"] == 4  # 0 1 2 0 1
    assert train["detection"]["sensitivity"]["value"] == pytest.approx(0.8)
    assert train["detection"]["false_per_patient"]["value"] == pytest.approx(0.8)
    assert train["volume_ml"]["bias"]["value"] == pytest.approx(3.0)  # a tenth of 10 to 50 ml
    assert train["volume_ml"]["upper"]["value"] == pytest.approx(3.0 + 1.959964 * np.std([1, 2, 3, 4, 5], ddof=1))
    assert train["volume_ratio"] == {part: {k: pytest.approx(1.1) for k in ("value", "low", "high")} for part in ("bias", "lower", "upper")}


def test_interval_of_a_mean_is_near_students(patients: list[Patient]):
    rng = np.random.default_rng(0)
    values = rng.normal(0.7, 0.05, 80)
    quality = [MaskQuality(f"p{i}", "train", "out-of-fold", 1.0, None, 0.9, float(v)) for i, v in enumerate(values)]
    (row,) = mask_figures(quality, patients, EvaluationConfig(bootstrap=2000), 0)["segmentation"]
    half = 1.96 * values.std(ddof=1) / np.sqrt(80)
    assert row["dice"]["high"] - row["dice"]["value"] == pytest.approx(half, rel=0.15)
    assert row["dice"]["value"] - row["dice"]["low"] == pytest.approx(half, rel=0.15)
    assert row["surface_dice"]["value"] is None
    assert row["detection"] is None


def test_groups_by_size_site_and_scanner(quality: list[MaskQuality], patients: list[Patient]):
    scanners = {q.patient_id: "Avanto" for q in quality if q.split == "external"}
    rows = mask_figures(quality, patients, CONFIG, 0, scanners=scanners)["segmentation_groups"]
    found = {(r["split"], r["column"], r["group"]): (r["patients"], round(r["dice_mean"], 3)) for r in rows}
    # thirds of the training tumours of 10 to 50 ml: up to 23.3 and up to 36.7
    assert found == {
        ("train", "size", "up to 23.3 ml"): (2, 0.55),
        ("train", "size", "23.3 to 36.7 ml"): (1, 0.7),
        ("train", "size", "above 36.7 ml"): (2, 0.85),
        ("train", "site", "A"): (3, 0.7),
        ("train", "site", "B"): (2, 0.7),
        ("external", "size", "up to 23.3 ml"): (1, 0.5),
        ("external", "size", "above 36.7 ml"): (1, 0.9),
        ("external", "site", "A"): (1, 0.9),
        ("external", "site", "B"): (1, 0.5),
        ("external", "scanner", "Avanto"): (2, 0.7),
    }
    one = next(r for r in rows if r["patients"] == 1)
    assert one["volume_ml"]["bias"]["low"] is None


def test_predicted_against_true_dice(quality: list[MaskQuality], patients: list[Patient]):
    train, external = mask_figures(quality, patients, CONFIG, 0)["predicted_dice"]
    # predictions 0.6 to 0.8 of 0.5 to 0.9: off by 0.1, 0.05, 0, 0.05, 0.1
    assert train["mae"]["value"] == pytest.approx(0.06)
    assert train["bias"]["value"] == pytest.approx(0.0, abs=1e-12)
    assert train["correlation"] == pytest.approx(1.0)
    # each by the mean of the other four: 0.75 for 0.5, 0.725 for 0.6 ...
    assert train["constant_mae"]["value"] == pytest.approx((0.25 + 0.125 + 0 + 0.125 + 0.25) / 5)
    assert train["within_interval"] == pytest.approx(0.6)
    assert (train["review"], train["review_dice_mean"], train["other_dice_mean"]) == (2, pytest.approx(0.55), pytest.approx(0.8))
    assert external["constant_mae"]["value"] == pytest.approx((0.2 + 0.2) / 2)  # of 0.5 and 0.9, by the training mean
    assert external["correlation"] is None


def test_all_found_has_wilsons_interval(quality: list[MaskQuality], patients: list[Patient]):
    every = [mask(i, lesions_found=2) for i in range(5)]
    (row,) = mask_figures(every, patients, CONFIG, 0)["segmentation"]
    assert row["detection"]["sensitivity"]["value"] == 1.0
    assert row["detection"]["sensitivity"]["low"] == pytest.approx(10 / (10 + 1.959964**2))  # Wilson's lower end of 10 in 10


def test_order_has_no_say_and_nothing_known_gives_nothing(quality: list[MaskQuality], patients: list[Patient]):
    assert mask_figures(list(reversed(quality)), list(reversed(patients)), CONFIG, 1) == mask_figures(quality, patients, CONFIG, 1)
    bare = [MaskQuality("a", "train", "ensemble", 1.0, None, 0.9)]
    assert mask_figures(bare, patients, CONFIG, 0) == {"segmentation": [], "segmentation_groups": [], "predicted_dice": []}
    unpredicted = [mask(i, predicted_dice=None) for i in range(5)]
    assert mask_figures(unpredicted, patients, CONFIG, 0)["predicted_dice"] == []
