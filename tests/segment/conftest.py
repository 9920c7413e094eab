"""Bright ellipsoids in grey limbs: small enough to learn in seconds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sarcofuse.config import SegmentConfig
from sarcofuse.imaging import content_digest, write_mask, write_volume
from sarcofuse.records import Case, Geometry, Mask, Split, Volume
from sarcofuse.runtime import Engine
from sarcofuse.segment import Segmenter, train

SHAPE, SPACING = (10, 40, 32), (2.0, 2.0, 5.0)
QUICK = SegmentConfig(masks="model", folds=2, filters=8, epochs=40, spacing=(4.0, 4.0, 5.0), learning_rate=6e-3, device="cpu")


def make_case(folder: Path, index: int, split: Split = "train", shape: tuple[int, int, int] = SHAPE, tumour: bool = True) -> Case:
    rng = np.random.default_rng([7, index])
    z, y, x = np.mgrid[: shape[0], : shape[1], : shape[2]]
    centre = [shape[0] * rng.uniform(0.35, 0.65), shape[1] * rng.uniform(0.35, 0.65), shape[2] * rng.uniform(0.35, 0.65)]
    radius = [max(1.0, shape[0] * rng.uniform(0.2, 0.3)), rng.uniform(6, 9), rng.uniform(6, 9)]
    inside = sum(((axis - c) / r) ** 2 for axis, c, r in zip((z, y, x), centre, radius, strict=True)) < 1
    inside &= tumour
    body = ((y - shape[1] / 2) / (shape[1] / 2 - 2)) ** 2 + ((x - shape[2] / 2) / (shape[2] / 2 - 2)) ** 2 < 1
    image = body * 100.0 + inside * 90.0 + rng.normal(0, 15, shape)
    grid = Geometry((shape[2], shape[1], shape[0]), SPACING, (-30.0, -40.0, 12.0))
    volume, mask = Volume(image.astype(np.float32), grid), Mask(inside.astype(np.uint8), grid)
    place = folder / f"PERSON-{index:02d}"
    write_volume(volume, place / "image.nii.gz")
    write_mask(mask, place / "mask.nii.gz")
    return Case(f"PERSON-{index:02d}", split, "A", place / "image.nii.gz", place / "mask.nii.gz", place / "image.nii.gz", content_digest(volume), content_digest(mask), "given")


@pytest.fixture(scope="session")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose name holds a space."""
    return tmp_path_factory.mktemp("seg ment")


@pytest.fixture(scope="session")
def cases(room: Path) -> list[Case]:
    """Ten training patients, one internal, two external."""
    splits: list[Split] = ["train"] * 10 + ["internal", "external", "external"]
    return [make_case(room / "prepared", i, split) for i, split in enumerate(splits)]


@pytest.fixture(scope="session")
def engine(room: Path) -> Engine:
    return Engine(room / "cache", scheduler="serial", progress=False)


@pytest.fixture(scope="session")
def segmenter(cases: list[Case], engine: Engine) -> Segmenter:
    return train(cases, QUICK, engine, seed=0)


@pytest.fixture
def case_maker(tmp_path: Path) -> Callable[..., Case]:
    return lambda index, *args, **kwargs: make_case(tmp_path / "made", index, *args, **kwargs)
