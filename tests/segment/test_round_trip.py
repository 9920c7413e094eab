"""From a scanner's image to a mask on its own grid: a sphere stays where it is in the patient, whatever the grid."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from sarcofuse.config import PreprocessConfig, SegmentConfig
from sarcofuse.config.segment import RefineConfig
from sarcofuse.imaging import write_mask
from sarcofuse.metrics.overlap import dice
from sarcofuse.preprocess import prepare
from sarcofuse.records import Geometry, Mask, Patient
from sarcofuse.runtime import Engine, write_json
from sarcofuse.segment import Segmenter, restore_mask, segment
from sarcofuse.segment.plan import write_plan
from sarcofuse.segment.planning import make_plan
from sarcofuse.segment.template.segresnetds.scripts import infer
from tests.segment.test_parts import stats

CENTRE, AWAY, RADIUS = np.array([12.3, -7.9, 31.4]), np.array([4.4, -3.1, 5.2]), 26.0
TURNS = {
    "straight": np.diag([1.0, 1.0, 1.0]),
    "flipped": np.diag([-1.0, -1.0, 1.0]),
    "mirrored": np.diag([-1.0, 1.0, -1.0]),
    "sagittal": np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, -1.0, 0.0]]),
}


def oblique() -> np.ndarray:
    """Twelve degrees about one axis, then twenty about another, then eight about the third."""
    turn = np.eye(3)
    for (a, b), degrees in (((0, 1), 12.0), ((1, 2), 20.0), ((0, 2), 8.0)):
        c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        one = np.eye(3)
        one[a, a] = one[b, b] = c
        one[a, b], one[b, a] = -s, s
        turn = one @ turn
    return turn


class Threshold(torch.nn.Module):
    """Says tumour where the image is brighter than half way from the body to the tumour: sees where things are, and nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = torch.nn.Parameter(torch.zeros(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        body, tumour = float(x.median()), float(x.max())
        return 4.0 * (2.0 * (x - body) / (tumour - body) - 1.0)


@pytest.fixture
def by_threshold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Segmenter:
    """An ensemble of stand-ins that work at 2.5 x 2.5 x 3 mm."""
    folder = tmp_path / "segmenter"
    folder.mkdir()
    plan = make_plan(stats(extent=(400.0, 400.0, 400.0)), SegmentConfig(spacing=(2.5, 2.5, 3.0), filters=4, prompts=0), "cpu", 0)
    write_plan(plan, folder / "plan.json")
    items = []
    for fold in range(2):
        (folder / f"fold_{fold}.safetensors").write_bytes(bytes([fold]))
        items.append({"file": f"fold_{fold}.safetensors", "sha256": "", "held_out_patients": 1, "held_out_dice": 1.0})
    write_json({"format": 1, "network": {}, "plan": "", "folds": items}, folder / "segmenter.json")
    monkeypatch.setattr(infer, "load_network", lambda *_: Threshold().eval())
    infer._network.cache_clear()
    return Segmenter(folder)


def sphere(turn: np.ndarray, spacing: tuple[float, float, float], size: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Image and affine of a grid whose middle is some way from the sphere's centre."""
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag(spacing)
    affine[:3, 3] = CENTRE + AWAY - affine[:3, :3] @ ((np.array(size) - 1) / 2)
    place = np.stack(np.meshgrid(*(np.arange(n) for n in size), indexing="ij"), axis=-1) @ affine[:3, :3].T + affine[:3, 3]
    return (np.linalg.norm(place - CENTRE, axis=-1) < RADIUS).astype(np.uint8), affine


@pytest.mark.parametrize("spacing", [(0.9, 0.9, 3.0), (1.2, 2.0, 2.6)], ids=["thick", "unlike"])
@pytest.mark.parametrize("turn", [*TURNS, "oblique"])
def test_a_sphere_stays_where_it_is(by_threshold: Segmenter, tmp_path: Path, turn: str, spacing: tuple[float, float, float]):
    axes = oblique() if turn == "oblique" else TURNS[turn]
    size = tuple(round(100.0 / s) for s in spacing)
    truth, affine = sphere(axes, spacing, size)
    nib.save(nib.Nifti1Image((100 + 100 * truth).astype(np.float32), affine), tmp_path / "native.nii.gz")
    with Engine(tmp_path / "cache", scheduler="serial", progress=False) as engine:
        cases, aside = prepare([Patient("P-1", "external", tmp_path / "native.nii.gz")], PreprocessConfig(n4=False, spacing=(1.5, 1.5, 1.5)), engine)
        assert aside == []
        masked, _, aside = segment(by_threshold, cases, SegmentConfig(masks="model", device="cpu", refine=RefineConfig(minimum_ml=0)), engine, out_of_fold=False)
    assert aside == []
    write_mask(restore_mask(masked[0].mask, tmp_path / "native.nii.gz"), tmp_path / "restored.nii.gz")
    back = nib.load(tmp_path / "restored.nii.gz")
    assert back.shape == size
    assert back.affine == pytest.approx(affine, abs=1e-4)
    found = np.asarray(back.dataobj) > 0
    assert dice(found, truth) > 0.95
    middle = [nib.affines.apply_affine(affine, np.argwhere(mask)).mean(axis=0) for mask in (found, truth)]
    assert np.abs(middle[0] - middle[1]).max() < 0.3  # mm: a tenth of the networks' voxels; half a voxel of any grid would be 0.45 and more


@pytest.mark.parametrize("slices", [1.5, 1.0, 0.6])
def test_slices_midway_between_two_do_not_move_the_mask(tmp_path: Path, slices: float):
    # native slices of 1.5 mm lie midway between the mask's of 3 mm: the linearly interpolated mask is one half there, and rounding would choose
    turn = oblique()
    size = (60, 60, round(102 / slices))
    _, affine = sphere(turn, (1.5, 1.5, slices), size)
    nib.save(nib.Nifti1Image(np.zeros(size, dtype=np.float32), affine), tmp_path / "native.nii.gz")
    to_lps = np.diag([-1.0, -1.0, 1.0])
    corner = to_lps @ (affine[:3, :3] @ np.array([0.0, 0.0, 1.5 / slices - 0.5]) + affine[:3, 3])  # both grids fill the same box
    grid = Geometry((60, 60, 34), (1.5, 1.5, 3.0), tuple(corner), tuple((to_lps @ turn).ravel()))
    z, y, x = np.indices(grid.shape)
    ball = ((x - 29.3) * 1.5) ** 2 + ((y - 30.8) * 1.5) ** 2 + ((z - 16.4) * 3.0) ** 2 < RADIUS**2
    write_mask(Mask(ball.astype(np.uint8), grid), tmp_path / "mask.nii.gz")
    back = restore_mask(tmp_path / "mask.nii.gz", tmp_path / "native.nii.gz")
    found = np.argwhere(back.array).mean(axis=0)[::-1]
    expected = np.argwhere(ball).mean(axis=0)[::-1]
    expected[2] = (expected[2] + 0.5) * 3.0 / slices - 0.5
    assert found == pytest.approx(expected, abs=0.1)
    assert back.volume_ml == pytest.approx(ball.sum() * 6.75e-3, rel=0.03)


def test_a_mask_at_the_border_stays_within_its_own_grid(tmp_path: Path):
    grid = Geometry((8, 8, 4), (2.0, 2.0, 4.0), (7.0, 9.0, 5.0))
    write_mask(Mask(np.ones(grid.shape, dtype=np.uint8), grid), tmp_path / "mask.nii.gz")
    nib.save(nib.Nifti1Image(np.zeros((40, 40, 40), dtype=np.float32), np.diag([-1.0, -1.0, 1.0, 1.0])), tmp_path / "native.nii.gz")
    back = restore_mask(tmp_path / "mask.nii.gz", tmp_path / "native.nii.gz").array
    # the mask's box: 6 to 22 mm, 8 to 24 mm, 3 to 19 mm; native voxel centres lie on whole millimetres
    assert [(int(np.flatnonzero(back.any(axis=over))[0]), int(np.flatnonzero(back.any(axis=over))[-1])) for over in ((1, 2), (0, 2), (0, 1))] == [(4, 18), (9, 23), (7, 21)]
