"""A stand-in for upstream's templates: AutoRunner makes bundles of it, trains them by its own command and predicts; masks come back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sarcofuse.config import SegmentConfig
from sarcofuse.errors import ConfigError, StageError
from sarcofuse.imaging import read_mask
from sarcofuse.records import Case
from sarcofuse.runtime import Engine
from sarcofuse.segment import autorun, segment_by_templates, upstream
from tests.segment.conftest import make_case

ALGO = """
import os, yaml
from monai.apps.auto3dseg import BundleAlgo

class Grey_levelAlgo(BundleAlgo):
    def fill_template_config(self, data_stats_filename, algo_path, **kwargs):
        source = yaml.safe_load(open(self.data_list_file))
        config = {"root": algo_path, "datalist": source["datalist"], "dataroot": source["dataroot"], "fold": kwargs["fold"]}
        yaml.safe_dump(config, open(os.path.join(algo_path, "configs", "hyper_parameters.yaml"), "w"))
        return {}

    def get_score(self, *args, **kwargs):
        return yaml.safe_load(open(os.path.join(self.output_path, "score.yaml")))["dice"]
"""
TRAIN = """
import json, os, sys, yaml
import nibabel as nib

assert sys.argv[1] == "run", sys.argv
file = [a.split("=", 1)[1] for a in sys.argv if "config_file" in a][0].strip("[]'\\"").split(",")[0].strip("'\\"")
config = yaml.safe_load(open(file))
cases = [c for c in json.load(open(config["datalist"]))["training"] if c["fold"] != config["fold"]]
inside = [nib.load(os.path.join(config["dataroot"], c["image"])).get_fdata()[nib.load(os.path.join(config["dataroot"], c["label"])).get_fdata() > 0].mean() for c in cases]
yaml.safe_dump({"dice": 0.5, "level": float(min(inside)) * 0.8, "seen": len(cases)}, open(os.path.join(config["root"], "score.yaml"), "w"))
"""
INFER = """
import os, yaml
import torch
from monai.transforms import LoadImage

class InferClass:
    def __init__(self, config_file=None, **override):
        root = yaml.safe_load(open(config_file[0]))["root"]
        self.level = yaml.safe_load(open(os.path.join(root, "score.yaml")))["level"]

    def infer(self, image_file):
        image = LoadImage(image_only=True)(image_file["image"])
        bright = torch.nn.functional.avg_pool3d((image.as_tensor() > self.level).float()[None, None], 3, 1, 1)[0, 0]
        return torch.stack([1 - bright, bright])
"""


@pytest.fixture
def templates(tmp_path: Path) -> Path:
    folder = tmp_path / "algorithm templates"
    texts = {"__init__.py": "", "scripts/__init__.py": "", "scripts/algo.py": ALGO, "scripts/train.py": TRAIN, "scripts/infer.py": INFER, "configs/hyper_parameters.yaml": "{}\n"}
    for name, text in texts.items():
        file = folder / "grey_level" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return folder


def test_masks_of_upstreams_templates_come_back(cases: list[Case], templates: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    some = [*(c for c in cases if c.split == "train"), cases[-1]][-6:]
    config = SegmentConfig(masks="model", folds=2, device="cpu", templates=templates)
    engine = Engine(tmp_path / "a cache", scheduler="serial", progress=False)
    masked, quality, aside = segment_by_templates(some, config, engine, 0)
    assert aside == []
    assert [c.patient_id for c in masked] == [c.patient_id for c in some]
    assert [q.source for q in quality] == ["out-of-fold"] * 5 + ["ensemble"]
    for case, before, found in zip(masked, some, quality, strict=True):
        mask, truth = read_mask(case.mask), read_mask(before.mask)
        overlap = 2 * (mask.array & truth.array).sum() / (mask.array.sum() + truth.array.sum())
        assert found.dice == pytest.approx(overlap)
        assert found.dice > 0.6  # on the right place of the right patient
        assert 0.5 <= found.confidence <= 1
    assert capfd.readouterr().out == ""
    assert not [f for f in engine.cache.rglob("*") if f.suffix in (".pkl", ".py")]
    again, _, _ = segment_by_templates(list(reversed(some)), config, engine, 0)
    assert [c.mask for c in reversed(again)] == [c.mask for c in masked]  # nothing is done twice
    before = upstream.templates_digest(templates)
    (templates / "grey_level" / "scripts" / "train.py").write_text(TRAIN + "raise RuntimeError('no such loss')\n")
    assert upstream.templates_digest(templates) != before
    with pytest.raises(StageError, match=r"AutoRunner failed on the templates in algorithm templates: .*"):
        segment_by_templates(some, config, engine, 0)


def test_folder_without_templates(tmp_path: Path, cases: list[Case]):
    with pytest.raises(ConfigError, match=r"holds no Auto3DSeg algorithm; expected ALGORITHM/scripts/algo.py"):
        upstream.templates_digest(tmp_path)


def test_best_algorithm_of_each_fold_whatever_its_name():
    from monai.utils.enums import AlgoKeys

    history = [{AlgoKeys.ID: name, AlgoKeys.SCORE: score} for name, score in (("a_b_0", 0.5), ("c_0", 0.7), ("a_b_1", 0.4), ("c_1", 0.1))]
    assert [h[AlgoKeys.ID] for h in autorun.best_by_fold(history, 2)] == ["c_0", "a_b_1"]
    with pytest.raises(ValueError, match="no algorithm was trained for fold 2; trained are a_b_0, c_0"):
        autorun.best_by_fold(history, 3)


def test_probability_of_tumour_by_hand():
    assert autorun.tumour_probability(np.array([[[[0.3]]]])) == pytest.approx(0.3)
    assert autorun.tumour_probability(np.array([0.2, 0.5, 0.3]).reshape(3, 1, 1, 1)) == pytest.approx(0.8)


def test_mask_of_another_grid_is_set_aside(tmp_path: Path):
    case = make_case(tmp_path, 0)
    np.save(tmp_path / "0.npy", np.ones((3, 4, 5), dtype=np.uint8))
    with pytest.raises(upstream.MaskError, match=r"shape \(3, 4, 5\), expected \(10, 40, 32\)"):
        upstream.mask_task(tmp_path, case, tmp_path / "0.npy")
