"""Images without masks: what a network draws teaches that network alone, and only where its flips agree."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sarcofuse.imaging import write_mask
from sarcofuse.imaging.convert import content_digest
from sarcofuse.metrics.overlap import dice
from sarcofuse.records import Case, Geometry, Mask
from sarcofuse.runtime import Engine, read_json
from sarcofuse.segment import Segmenter, segment, train
from sarcofuse.segment.plan import read_plan
from sarcofuse.segment.pseudo import flip_agreement, second_plan
from tests.segment.conftest import QUICK, make_case

PSEUDO = QUICK.model_copy(update={"unlabelled": "pseudo", "unlabelled_agreement": 0.6, "epochs": 24, "filters": 4})


def cohort(folder: Path) -> list[Case]:
    """Six training patients with a mask and five without."""
    cases = [make_case(folder, index) for index in range(11)]
    return [*cases[:6], *(replace(c, mask=None, mask_digest=None, mask_source=None) for c in cases[6:])]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("un labelled")


@pytest.fixture(scope="module")
def here(place: Path) -> Engine:
    return Engine(place / "cache", scheduler="serial", progress=False)


@pytest.fixture(scope="module")
def learned(place: Path, here: Engine) -> Segmenter:
    return train(cohort(place / "images"), PSEUDO, here, seed=0)


def records(engine: Engine) -> list[dict]:
    return [read_json(f) for f in (engine.cache / "segment-second").glob("*/patients.json")]


def test_no_network_sees_whom_it_is_to_draw(learned: Segmenter, here: Engine) -> None:
    found = records(here)
    assert {r["fold"] for r in found} == {0, 1}
    for record in found:
        assert all(learned.folds[p] != record["fold"] for p in record["training"])  # with a mask and without
        assert set(record["held_out"]) == {p for p, fold in learned.folds.items() if fold == record["fold"] and p < "PERSON-06"}
        assert record["pseudo"]
        assert set(record["pseudo"]) <= {f"PERSON-{i:02d}" for i in range(6, 11)}
    assert set(learned.folds) == {f"PERSON-{i:02d}" for i in range(11)}


def test_a_held_out_mask_changes_nothing_in_its_own_fold(learned: Segmenter, place: Path, tmp_path: Path) -> None:
    """The strict test of leakage: give a patient another mask; the networks of that patient's fold, second round and all, stay the same to the last byte."""
    cases = cohort(place / "images")
    own = learned.folds[cases[0].patient_id]
    spoiled = np.zeros((10, 40, 32), np.uint8)
    spoiled[2:7, 5:20, 5:20] = 1
    mask = Mask(spoiled, Geometry((32, 40, 10), (2.0, 2.0, 5.0), (-30.0, -40.0, 12.0)))
    write_mask(mask, tmp_path / "mask.nii.gz")
    changed = [replace(cases[0], mask=tmp_path / "mask.nii.gz", mask_digest=content_digest(mask)), *cases[1:]]
    plan = read_plan(learned.folder / "plan.json")
    # what the plan takes from all training masks together is fixed: spacing, patch, and how large a tumour a click means
    fixed = PSEUDO.model_copy(update={"prompts": 0, "spacing": plan.spacing, "patch": (plan.shape[2], plan.shape[1], plan.shape[0])})
    networks = []
    for some in (cases, changed):
        segmenter = train(some, fixed, Engine(tmp_path / str(len(networks)), scheduler="serial", progress=False), seed=0)
        networks.append([w.read_bytes() for w in segmenter.weights])
    assert networks[0][own] == networks[1][own]
    assert networks[0][1 - own] != networks[1][1 - own]


def test_card_tells_how_many_and_names_nobody(learned: Segmenter) -> None:
    card = read_json(learned.folder / "segmenter.json")
    for item in card["folds"]:
        assert set(item["pseudo"]) == {"images", "used", "agreement"}
        assert 0 < item["pseudo"]["used"] <= item["pseudo"]["images"] <= 5
    assert "PERSON" not in (learned.folder / "segmenter.json").read_text()
    used = [item["pseudo"]["used"] for item in card["folds"]]
    assert learned.notes == (f"segment: each network learned on from its own masks of {min(used)} to {max(used)} of the 5 training patients without one",)


def test_masks_are_no_worse_on_easy_images(learned: Segmenter, here: Engine, place: Path) -> None:
    tests = [make_case(place / "tests", index, "external") for index in (20, 21, 22)]
    masked, quality, aside = segment(learned, tests, PSEUDO, here, out_of_fold=False)
    assert (len(masked), aside) == (3, [])
    assert np.mean([q.dice for q in quality]) > 0.6
    bare = [c for c in cohort(place / "images") if c.mask is None]
    drawn, quality, _ = segment(learned, bare, PSEUDO, here, out_of_fold=True)
    assert {q.source for q in quality} == {"out-of-fold"}
    assert len(drawn) == 5


def test_without_trusted_masks_the_first_round_stays(place: Path, here: Engine, learned: Segmenter) -> None:
    cases = cohort(place / "images")
    strict = train(cases, PSEUDO.model_copy(update={"unlabelled_agreement": 1.0}), here, seed=0)
    ignored = train(cases, PSEUDO.model_copy(update={"unlabelled": "ignore"}), here, seed=0)
    assert [w.read_bytes() for w in strict.weights] == [w.read_bytes() for w in ignored.weights]
    assert [w.read_bytes() for w in learned.weights] != [w.read_bytes() for w in ignored.weights]
    assert strict.folder == ignored.folder  # and nothing was trained again
    assert ignored.folds == learned.folds


class Sided(torch.nn.Module):
    """Says what is bright, but nothing on the right-hand side of what it is shown."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = torch.nn.Parameter(torch.zeros(1))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        answer = 20.0 * (image[:, :1] - 0.5)
        answer[..., answer.shape[-1] // 2 :] = -9.0  # a little less sure than the other side, so that the mean of both is above 1/2
        return answer


def test_agreement_of_flips_by_hand(learned: Segmenter) -> None:
    """A block of 8 columns, the middle of 32: unflipped the left half is seen, mirrored the right one; the mean is 1/2 on each, so that both halves are in."""
    image = np.zeros((4, 8, 32), dtype=np.float32)
    image[1:3, 2:6, 12:20] = 1.0
    plan = replace(read_plan(learned.folder / "plan.json"), factor=(1, 1, 1), shape=(4, 8, 32))
    agreement, mean = flip_agreement(Sided(), image, plan)
    assert 0.5 < mean[1, 3, 13] < 0.501
    halves = np.zeros_like(image)
    halves[1:3, 2:6, 12:16] = 1
    assert agreement == pytest.approx(dice(halves, image))
    assert flip_agreement(Sided(), np.zeros_like(image), plan)[0] == 0.0


@pytest.mark.parametrize(("labelled", "pseudo", "epochs"), [(10, 10, 20), (10, 40, 5), (100, 7, 37)])
def test_second_round_sees_half_as_many_volumes(learned: Segmenter, labelled: int, pseudo: int, epochs: int) -> None:
    """By hand, of 80 epochs: 80 * 10 / 2 = 400 volumes of 20 are 20 epochs; of 4 * 10 + 40 are 5; 80 * 100 / 2 = 4000 of 107 are 37."""
    plan = replace(read_plan(learned.folder / "plan.json"), epochs=80, learning_rate=4e-3)
    second = second_plan(plan, labelled, pseudo)
    assert (second.epochs, second.learning_rate) == (epochs, 2e-3)
    assert second.seed != plan.seed
