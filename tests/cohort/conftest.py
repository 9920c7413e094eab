"""A small cohort on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest

from sarcofuse.imaging import write_mask, write_volume
from sarcofuse.records import Geometry, Mask, Volume
from sarcofuse.runtime import Engine

GRID = Geometry((12, 11, 6), (1.5, 1.5, 5.0))
COLUMNS = ("patient_id", "image", "mask", "site", "split", "recurrence", "age", "grade")
Rows = list[dict[str, str]]


def make_rows(count: int = 24) -> Rows:
    """Two thirds training, the rest half internal and half external; every third has the event."""
    rows = []
    for i in range(count):
        split = "train" if i < 2 * count // 3 else "internal" if i < 5 * count // 6 else "external"
        name = f"P-{i:02d}"
        rows.append(
            {
                "patient_id": name,
                "image": f"images/{name}.nii.gz",
                "mask": f"masks/{name}.nii.gz",
                "site": "B" if split == "external" else "A",
                "split": split,
                "recurrence": str(int(i % 3 == 0)),
                "age": str(40 + i),
                "grade": ("Low", "High", "Intermediate")[i % 3],
            }
        )
    return rows


def write_rows(rows: Rows, file: Path, *, separator: str = ",", encoding: str = "utf-8", columns: Iterable[str] = COLUMNS) -> Path:
    names = list(columns)
    lines = [separator.join(names), *(separator.join(r.get(c, "") for c in names) for r in rows)]
    file.write_text("\n".join(lines) + "\n", encoding=encoding)
    return file


def box_mask() -> np.ndarray:
    array = np.zeros(GRID.shape, np.uint8)
    array[1:4, 3:7, 4:8] = 1
    return array


def write_patient(folder: Path, name: str, *, image: np.ndarray | None = None, mask: np.ndarray | None = None, mask_grid: Geometry = GRID) -> None:
    number = int(name.split("-")[1])
    array = np.random.default_rng(number).normal(100, 10, GRID.shape).astype(np.float32) if image is None else image
    write_volume(Volume(array, GRID), folder / "images" / f"{name}.nii.gz")
    write_mask(Mask(box_mask() if mask is None else mask, mask_grid), folder / "masks" / f"{name}.nii.gz")


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images and masks of 24 patients, not to be changed."""
    folder = tmp_path_factory.mktemp("cohort")
    for row in make_rows():
        write_patient(folder, row["patient_id"])
    return folder


@pytest.fixture
def folder(images: Path, tmp_path: Path) -> Path:
    """A folder of its own for each test, whose images and masks are links."""
    for part in ("images", "masks"):
        (tmp_path / part).mkdir()
        for file in (images / part).iterdir():
            (tmp_path / part / file.name).symlink_to(file)
    return tmp_path


@pytest.fixture
def table(folder: Path) -> Callable[..., Path]:
    """Write cohort.csv into the test's folder after changing its rows."""

    def write(change: Callable[[Rows], object] | None = None, **how: object) -> Path:
        rows = make_rows()
        if change is not None:
            changed = change(rows)
            rows = changed if isinstance(changed, list) else rows
        return write_rows(rows, folder / "cohort.csv", **how)  # type: ignore[arg-type]

    return write


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(tmp_path / "cache", scheduler="serial", progress=False)
