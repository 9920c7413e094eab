"""Real networks, trained in seconds, steered: what a prompt adds, and that it stays out-of-fold."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sarcofuse.imaging import read_mask
from sarcofuse.records import Case, Prompt
from sarcofuse.runtime import Engine, digest
from sarcofuse.segment import Segmenter, segment
from tests.segment.conftest import QUICK


def around(case: Case, *, off: float = 0.0) -> Prompt:
    """A box around the true tumour, each face off by some mm."""
    mask = read_mask(case.mask)
    inside = np.argwhere(mask.array)[:, ::-1]
    low, high = (np.asarray(mask.geometry.origin) + at * mask.geometry.spacing for at in (inside.min(axis=0) - 0.5, inside.max(axis=0) + 0.5))
    return Prompt(box=(tuple((low - off).tolist()), tuple((high + off).tolist())))  # type: ignore[arg-type]


def steered(case: Case, prompt: Prompt) -> Case:
    return replace(case, prompt=prompt, prompt_digest=digest(prompt.kind, prompt.box, prompt.click))


def test_a_box_and_a_click_steer_trained_networks(segmenter: Segmenter, cases: list[Case], engine: Engine) -> None:
    assert segmenter.takes_prompts
    training = [c for c in cases if c.split == "train"][:4]
    _, alone, _ = segment(segmenter, training, QUICK, engine, out_of_fold=True)
    boxed, found, aside = segment(segmenter, [steered(c, around(c, off=2.0)) for c in training], QUICK, engine, out_of_fold=True)
    assert aside == []
    assert [(c.prompted, c.mask_source) for c in boxed] == [("box", "out-of-fold")] * 4
    assert [(q.automatic_dice, q.automatic_ml) for q in found] == [(q.dice, q.volume_ml) for q in alone], "without the prompt the networks draw what they drew"
    assert np.mean([q.dice for q in found]) > 0.75
    clicks = [Prompt(click=(tuple(np.mean(around(c).box, axis=0).tolist()),)) for c in training]  # type: ignore[arg-type]
    _, clicked, aside = segment(segmenter, [steered(c, p) for c, p in zip(training, clicks, strict=True)], QUICK, engine, out_of_fold=True)
    assert aside == []
    assert {q.prompted for q in clicked} == {"click"}
    assert np.mean([q.dice for q in clicked]) > 0.5


def test_the_same_prompt_gives_the_same_bytes_for_other_networks_none(segmenter: Segmenter, cases: list[Case], engine: Engine) -> None:
    case = next(c for c in cases if c.split == "train")
    prompted = steered(case, around(case, off=2.0))
    (own,), _, _ = segment(segmenter, [prompted], QUICK, engine, out_of_fold=True)
    swapped = replace(segmenter, folds={case.patient_id: 1 - segmenter.folds[case.patient_id]})
    (other,), _, _ = segment(swapped, [prompted], QUICK, engine, out_of_fold=True)
    assert own.mask_digest != other.mask_digest, "the one network that held the patient out, and no other, saw the prompt"
    with Engine(engine.cache.parent / "again", scheduler="serial", progress=False) as second:
        (again,), _, _ = segment(segmenter, [prompted], QUICK, second, out_of_fold=True)
    assert again.mask.read_bytes() == own.mask.read_bytes()
