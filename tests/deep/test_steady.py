"""Deep features under perturbation: those of the perturbed images and masks themselves, and the ICC of the published formula."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch

from sarcofuse.config import DeepConfig, PerturbConfig, StabilityConfig
from sarcofuse.deep import extract, extract_deep
from sarcofuse.metrics import icc
from sarcofuse.radiomics.perturb import Scene, plan
from sarcofuse.records import Mask, Volume
from sarcofuse.runtime import Engine
from sarcofuse.study.steady import EVERYWHERE, perturb_deep
from tests.deep.conftest import ball

DEEP = DeepConfig(crop="largest", layer="last", pooling="average", margin_mm=8.0)
CHANGES = PerturbConfig(images=("none", "noise"), masks_an_image=2)
SETTINGS = StabilityConfig(deep=4, bound=False, changes=CHANGES)


class Toy:
    """How bright the picture is, which outlasts noise, and how it looks through a random plaid, which does not outlast a new crop."""

    def maps(self, x, layer="last"):
        plaid = torch.sin(0.9 * torch.arange(x.shape[-1]))
        return [torch.cat([torch.nn.functional.avg_pool2d(x[:, :1], 8), torch.nn.functional.avg_pool2d(x[:, :1] * plaid, 8)], 1)]


@pytest.fixture
def cases(make_case, monkeypatch):
    monkeypatch.setattr("sarcofuse.deep.look.load", lambda *_: Toy())
    found = []
    for i in range(6):
        volume, mask = ball(i, shape=(8, 32, 32), centre=(4, 16, 16), radius_mm=14.0, grain=5.0)
        tumour = np.where(mask.array > 0, volume.array * (0.5 + 0.2 * i), volume.array)
        found.append(make_case(f"P{i}", Volume(tumour.astype(np.float32), volume.geometry), mask))
    return [*found[:5], dataclasses.replace(found[5], split="external")]


def test_features_are_those_of_the_perturbed_images_and_icc_is_the_formula(cases, tmp_path):
    engine = Engine(tmp_path / "run" / "cache", scheduler="serial", progress=False)
    (tmp_path / "run" / "features").mkdir(parents=True)
    table, _ = extract(cases, DEEP, engine)
    (repeats,), note = perturb_deep(cases, table, DEEP, SETTINGS, engine, 3, tmp_path / "run", (None, None))
    assert repeats.patient_ids == ("P0", "P1", "P2", "P3", "P4")  # of the training alone
    values = np.load(repeats.file)
    assert values.shape == (5, 5, 2)
    np.testing.assert_array_equal(values[:, 0], table.values[:5])
    volume, mask = (Volume, Mask)
    from sarcofuse.imaging import read_mask, read_volume

    image, drawn = read_volume(cases[2].image), read_mask(cases[2].mask)
    x, y, z = image.geometry.spacing
    scene = Scene(image.array, drawn.array > 0, (z, y, x), (EVERYWHERE,) * 3, CHANGES, 3)
    for array, steps, masks in scene.groups(plan(4, CHANGES)):
        for step, inside in zip(steps, masks, strict=True):
            again = extract_deep(volume(array.astype(np.float32), image.geometry), mask(inside.astype(np.uint8), image.geometry), settings=DEEP)
            np.testing.assert_array_equal(values[2, 1 + step.index], again.values[0])
    found = pd.read_csv(tmp_path / "run" / "stability-deep.csv", index_col="feature")
    np.testing.assert_allclose(found["icc21"], icc(values).value, rtol=1e-9)
    assert found["stable"].tolist() == (found["icc21"] >= 0.75).tolist() == repeats.stable(repeats.patient_ids).tolist()
    assert note.startswith(f"{int(found['stable'].sum())} of 2 deep features outlast 4 perturbations in 5 training patients; that took 5 looks a patient")


def test_nothing_is_looked_at_again_and_dropped_features_stay_away(cases, tmp_path, monkeypatch):
    engine = Engine(tmp_path / "run" / "cache", scheduler="serial", progress=False)
    (tmp_path / "run" / "features").mkdir(parents=True)
    table, _ = extract(cases, DEEP, engine)
    first, _ = perturb_deep(cases, table, DEEP, SETTINGS, engine, 3, tmp_path / "run", (None, None))
    monkeypatch.setattr("sarcofuse.deep.look.measure", None)  # any new look would fail
    second = dataclasses.replace(table, names=table.names[:1], values=table.values[:, :1])
    again, _ = perturb_deep(cases, second, DEEP, SETTINGS, engine, 3, tmp_path / "run", (None, None))
    assert np.load(again[0].file).shape == (5, 5, 1)
    assert again[0].content != first[0].content
