"""Small hand-made cases and networks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from sarcofuse.imaging import content_digest, write_mask, write_volume
from sarcofuse.records import Case, Geometry, Mask, Volume
from sarcofuse.runtime import digest_file, single_thread

NETWORK = {"spatial_dims": 3, "init_filters": 4, "in_channels": 1, "out_channels": 1, "norm": "batch", "blocks_down": [1, 1, 1], "dsdepth": 1, "resolution": [5.0, 2.0, 2.0]}


def ball(seed: int = 0, shape=(14, 40, 44), spacing=(2.0, 2.0, 5.0), centre=(7, 20, 22), radius_mm: float = 17.0, halo: float = 0.0, grain: float = 30.0) -> tuple[Volume, Mask]:
    """A bright grainy ball in a grey body, with a halo of 10 mm around it."""
    rng = np.random.default_rng(seed)
    z, y, x = np.ogrid[: shape[0], : shape[1], : shape[2]]
    distance = np.sqrt(((z - centre[0]) * spacing[2]) ** 2 + ((y - centre[1]) * spacing[1]) ** 2 + ((x - centre[2]) * spacing[0]) ** 2)
    inside = distance <= radius_mm
    image = np.where(inside, 200.0 + grain * rng.standard_normal(shape), 80.0 + halo * np.exp(-(((distance - radius_mm) / 8.0) ** 2)))
    image[:, :3] = image[:, :, :3] = 0.0
    image += 3.0 * rng.standard_normal(shape)
    geometry = Geometry((shape[2], shape[1], shape[0]), spacing)
    return Volume(image.astype(np.float32), geometry), Mask(inside.astype(np.uint8), geometry)


@pytest.fixture(autouse=True)
def one_thread():
    import torch

    assert torch.get_num_threads() >= 1
    with single_thread():
        yield


@pytest.fixture
def make_case(tmp_path):
    def make(patient_id: str, volume: Volume | None = None, mask: Mask | None = None, *, seed: int = 0, with_mask: bool = True) -> Case:
        own_volume, own_mask = ball(seed)
        volume, mask = volume or own_volume, mask or own_mask
        image_file, mask_file = tmp_path / f"{patient_id}_image.nii.gz", tmp_path / f"{patient_id}_mask.nii.gz"
        write_volume(volume, image_file)
        write_mask(mask, mask_file)
        return Case(
            patient_id, "train", "A", image_file, mask_file if with_mask else None, image_file, content_digest(volume), content_digest(mask) if with_mask else None, "given" if with_mask else None
        )

    return make


@pytest.fixture
def segmenter(tmp_path) -> Path:
    """A folder as segmentation training leaves it, with random weights."""
    return write_segmenter(tmp_path / "segmenter")


def write_segmenter(folder: Path, *, fill: float | None = None, network: dict = NETWORK) -> Path:
    import torch
    from monai.networks.nets.segresnet_ds import SegResNetDS
    from safetensors.torch import save_file

    folder.mkdir()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = SegResNetDS(**{k: tuple(v) if isinstance(v, list) else v for k, v in network.items()})
    state = {k: v.contiguous().clone() for k, v in module.state_dict().items()}
    if fill is not None:
        state["encoder.conv_init.weight"].fill_(fill)
    save_file(state, folder / "fold_0.safetensors")
    (folder / "plan.json").write_text(json.dumps({"format": 1, "spacing": [4.0, 4.0, 5.0], "network": network}), encoding="utf8")
    card = {
        "format": 1,
        "network": {"class": "monai.networks.nets.SegResNetDS", "arguments": network},
        "plan": digest_file(folder / "plan.json"),
        "folds": [{"file": "fold_0.safetensors", "sha256": digest_file(folder / "fold_0.safetensors")}],
    }
    (folder / "segmenter.json").write_text(json.dumps(card), encoding="utf8")
    return folder
