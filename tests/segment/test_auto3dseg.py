"""Auto3DSeg's classes do the work, in silence and without leaving traces."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from sarcofuse.errors import MaskError
from sarcofuse.imaging import read_mask, read_volume
from sarcofuse.records import Case, Geometry, Mask, Volume
from sarcofuse.runtime import read_json
from sarcofuse.segment import Segmenter, auto3dseg
from sarcofuse.segment.grid import to_working
from sarcofuse.segment.network import load_network
from sarcofuse.segment.prompting import network_input

FULL = {"masks": "model", "folds": 3, "device": "cpu"}


def case() -> tuple[Volume, Mask]:
    grid = Geometry((20, 16, 6), (1.5, 2.0, 5.0))
    image = np.random.default_rng(0).normal(10, 2, grid.shape).astype(np.float32)
    mask = np.zeros(grid.shape, dtype=np.uint8)
    mask[1:4, 3:9, 5:15] = 1
    return Volume(image, grid), Mask(mask, grid)


def test_analysis_by_hand(capfd: pytest.CaptureFixture[str]):
    volume, mask = case()
    stats = auto3dseg.analyse_case(volume, mask, "P1")
    assert stats["image_stats"]["shape"] == [[20, 16, 6]]
    assert stats["image_stats"]["spacing"] == pytest.approx([1.5, 2.0, 5.0])
    assert stats["image_stats"]["sizemm"] == pytest.approx([30, 32, 30])
    assert stats["label_stats"]["labels"] == [0, 1]
    assert stats["label_stats"]["label"][1]["foreground_percentage"] == pytest.approx(180 / 1920)
    assert stats["image_foreground_stats"]["intensity"][0]["mean"] == pytest.approx(float(volume.array[mask.array > 0].mean()), rel=1e-5)
    summary = auto3dseg.summarise([stats, stats])
    assert summary["n_cases"] == 2
    assert summary["image_stats"]["spacing"]["median"] == pytest.approx([1.5, 2.0, 5.0])
    out, err = capfd.readouterr()
    assert out == err == ""


def test_empty_training_mask_is_told():
    volume, mask = case()
    with pytest.raises(MaskError, match="training mask holds no tumour: 0 voxels"):
        auto3dseg.analyse_case(volume, Mask(mask.array * 0, mask.geometry), "P1")


def test_bundles_are_made_from_our_own_template(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    volume, mask = case()
    summary = auto3dseg.summarise([auto3dseg.analyse_case(volume, mask, "P1")] * 4)
    folder, path = tmp_path / "with space", list(sys.path)
    folder.mkdir()
    level = logging.getLogger().level
    bundles = auto3dseg.generate_bundles(folder, summary, {"settings": FULL, "device": "cpu", "seed": 4}, 3)
    assert [b.name for b in bundles] == ["segresnetds_0", "segresnetds_1", "segresnetds_2"]
    for fold, bundle in enumerate(bundles):
        filled = yaml.safe_load((bundle / "configs" / "hyper_parameters.yaml").read_text())
        assert filled["fold"] == fold
        assert filled["plan"]["seed"] == 4
        assert filled["plan"]["spacing"] == read_json(bundle / "plan.json")["spacing"]
        assert (bundle / "scripts" / "algo.py").is_file()
    assert not [f for f in folder.rglob("*") if f.suffix in (".pkl", ".pickle") or f.name.startswith("algo_object")]
    assert sys.path == path
    assert logging.getLogger().level == level
    assert capfd.readouterr() == ("", "")


def test_ensemble_gives_what_each_network_says(segmenter: Segmenter, cases: list[Case]):
    volume, plan = read_volume(cases[-1].image), segmenter.plan
    work = network_input(to_working(volume.array, volume.geometry.spacing, plan.spacing), None, plan)
    assert work.array.shape[0] == plan.channels == 5
    found = auto3dseg.ensemble_probabilities(segmenter.folder, segmenter.weights, [0.9, 0.8], work, flips=True, device="cpu")
    z, y, x = work.array.shape[1:]
    assert found.shape == (2, 2, z, y, x)
    padded = np.pad(work.array, [(0, 0), *((0, -n % f) for n, f in zip((z, y, x), plan.factor, strict=True))], mode="edge")
    for fold, weights in enumerate(segmenter.weights):
        network = load_network(plan.network, weights)
        with torch.no_grad():
            once = torch.sigmoid(network(torch.from_numpy(padded)[None]))[0, 0, :z, :y, :x].numpy()
        assert found[fold, 0] == pytest.approx(once, abs=1e-4)
        mirrored = np.pad(work.array[..., ::-1], [(0, p - n) for n, p in zip(work.array.shape, padded.shape, strict=True)], mode="edge")
        with torch.no_grad():
            flipped = torch.sigmoid(network(torch.from_numpy(mirrored)[None]))[0, 0, :z, :y, :x].numpy()[:, :, ::-1]
        assert np.abs(found[fold, 1] - once).max() > 1e-6  # flips do something
        assert found[fold, 1].min() >= min(0.0, float(flipped.min()))
    alone = auto3dseg.ensemble_probabilities(segmenter.folder, segmenter.weights[1:], [0.8], work, flips=True, device="cpu")
    assert np.array_equal(alone[0], found[1])


def test_masks_of_the_fixture_are_sound(cases: list[Case]):
    assert all(read_mask(c.mask).array.any() for c in cases if c.mask)
