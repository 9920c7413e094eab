"""Prompts against prepared images."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from sarcofuse.config import PreprocessConfig
from sarcofuse.imaging import content_digest, read_mask, read_volume, resample_mask, write_mask
from sarcofuse.preprocess import prepare
from sarcofuse.records import Geometry, Mask, Prompt
from sarcofuse.runtime import Engine
from tests.preprocess.test_stage import GRID, mask, patient

PLAIN = PreprocessConfig(n4=False)


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(tmp_path / "cache", scheduler="serial", progress=False)


def test_prompts_go_with_the_case(tmp_path: Path, engine: Engine) -> None:
    bare = patient(tmp_path, drawn=False)
    write_mask(mask(), tmp_path / "rough.nii.gz")
    prompts = [Prompt(box=((10, -10, 110), (30, 10, 130))), Prompt(click=((29, -2, 120),)), Prompt(rough=tmp_path / "rough.nii.gz"), None]
    found = [prepare([dataclasses.replace(bare, prompt=p)], PLAIN, engine)[0][0] for p in prompts]
    assert len({c.image for c in found}) == 1, "another prompt prepares no image again"
    assert [c.prompt for c in found[:2]] == prompts[:2]
    assert len({c.prompt_digest for c in found}) == 4
    assert (found[3].prompt, found[3].prompt_digest, found[3].prompted) == (None, None, "")
    rough = read_mask(found[2].prompt.rough)
    assert content_digest(rough) == content_digest(resample_mask(mask(), read_volume(found[2].image).geometry))
    assert found[2].mask is None, "a rough mask is no mask"


def test_digests_follow_what_is_said_and_not_where(tmp_path: Path, engine: Engine) -> None:
    bare = patient(tmp_path, drawn=False)

    def digest_of(prompt: Prompt) -> str | None:
        return prepare([dataclasses.replace(bare, prompt=prompt)], PLAIN, engine)[0][0].prompt_digest

    write_mask(mask(), tmp_path / "a.nii.gz")
    write_mask(mask(), tmp_path / "b.nii.gz")
    first = digest_of(Prompt(rough=tmp_path / "a.nii.gz"))
    assert digest_of(Prompt(rough=tmp_path / "b.nii.gz")) == first
    smaller = mask().array.copy()
    smaller[:5] = 0
    write_mask(Mask(smaller, GRID), tmp_path / "b.nii.gz")
    assert digest_of(Prompt(rough=tmp_path / "b.nii.gz")) != first
    assert digest_of(Prompt(click=((29, -2, 120),))) != digest_of(Prompt(click=((29, -2, 121),)))


def test_prompts_that_miss_set_their_patient_aside(tmp_path: Path, engine: Engine) -> None:
    far = Geometry(GRID.size, GRID.spacing, (500.0, 0.0, 0.0))
    write_mask(Mask(mask().array, far), tmp_path / "far.nii.gz")
    prompts = {"P-1": Prompt(click=((29, -2, 120),)), "P-2": Prompt(click=((-29, 2, 120),)), "P-3": Prompt(rough=tmp_path / "far.nii.gz"), "P-4": Prompt(rough=tmp_path / "gone.nii.gz"), "P-5": None}
    people = [dataclasses.replace(patient(tmp_path, name, drawn=False), prompt=prompt) for name, prompt in prompts.items()]
    people[4] = dataclasses.replace(people[4], image=tmp_path / "none.nii.gz")
    cases, aside = prepare(people, PLAIN, engine)
    assert [c.patient_id for c in cases] == ["P-1"]
    assert [(s.patient_id, s.stage) for s in aside] == [("P-2", "prompts"), ("P-3", "prompts"), ("P-4", "prompts"), ("P-5", "preprocess")]
    assert "With the signs of x and y turned" in aside[0].reason
    assert aside[1].reason.startswith("far.nii.gz: the rough mask, on a grid from")
    assert "does not exist" in aside[2].reason


def test_a_thin_rough_mask_is_not_lost(tmp_path: Path, engine: Engine) -> None:
    thin = np.zeros(GRID.shape, np.uint8)
    thin[5, 18, 24] = 1
    write_mask(Mask(thin, GRID), tmp_path / "dot.nii.gz")
    (case,), aside = prepare([dataclasses.replace(patient(tmp_path, drawn=False), prompt=Prompt(rough=tmp_path / "dot.nii.gz"))], PLAIN, engine)
    assert aside == []
    assert read_mask(case.prompt.rough).array.any()
