"""Deep features: what a patient costs beside the bare forward passes, and whether the batch matters.

    python benchmarks/deep.py [--patients 12] [--backbone resnet50 ...] [--docs]

Synthetic patients on the default working grid, default settings (nine slices), one thread, networks with random weights but for efficientnet-lite0. `forward` is the CPU time of the network alone
on the very same pictures, in turns with the whole task (files read, crops cut, forward, pooled, written). `wall` is the clock of all patients in a row with the next one loaded meanwhile, over that of
the bare forward passes; it needs a free core. Ends with one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parent))

import numpy as np
from common import markdown, put_in_docs

from sarcofuse.config import DeepConfig
from sarcofuse.deep import extract, stage
from sarcofuse.deep.backbones import normalise
from sarcofuse.deep.crops import make_crops
from sarcofuse.deep.look import Source, entry_of, load, look, torch_ready
from sarcofuse.deep.networks import build
from sarcofuse.imaging import content_digest, read_mask, read_volume, regrid, reorient, resample_mask, resample_volume, write_mask, write_volume
from sarcofuse.phantom import make_cohort
from sarcofuse.records import Case
from sarcofuse.runtime import Engine

SPACING = (1.5, 1.5, 5.0)


def prepare(folder: Path, patients: int) -> list[Case]:
    """Draw patients and put them on the default working grid."""
    with Engine(folder / "draw") as engine:
        make_cohort(folder / "cohort", patients=max(24, patients), seed=0, engine=engine)
    cases = []
    for file in sorted((folder / "cohort" / "images").glob("*.nii.gz"))[:patients]:
        image, mask = reorient(read_volume(file)), reorient(read_mask(folder / "cohort" / "masks" / file.name))
        grid = regrid(image.geometry, SPACING)
        image, mask = resample_volume(image, grid, "linear"), resample_mask(mask, grid)
        names = folder / f"image_{file.name}", folder / f"mask_{file.name}"
        write_volume(image, names[0])
        write_mask(mask, names[1])
        cases.append(Case(file.name, "train", "A", *names, names[0], content_digest(image), content_digest(mask), "given"))
    return cases


def measure(backbone: str, cases: list[Case], folder: Path) -> dict[str, object]:
    """Time one network on all cases."""
    config, source = DeepConfig(backbone=backbone), Source(Path(), backbone, "cpu")
    if backbone == "efficientnet-lite0":
        source = stage.find_source(config)
        network = load(config, source)
    else:
        import torch

        torch.manual_seed(0)
        network = build(backbone).eval().requires_grad_(False)
    import sarcofuse.deep.look as home

    home.load = stage.load = lambda *_: network  # type: ignore[assignment]
    stage.find_source = lambda *_: source  # type: ignore[assignment]
    entry, forward, whole, walls = entry_of(config), 0.0, 0.0, 0.0
    (folder / backbone).mkdir()
    for turn in range(2):  # the first warms up
        forward = whole = walls = 0.0
        for k, case in enumerate(cases if turn else cases[:2]):
            with torch_ready():
                crops = make_crops(read_volume(case.image), read_mask(case.mask), config, entry.size)
                pictures = [normalise(p[None], entry) for p in crops.pictures]
                clock, start = time.perf_counter(), time.process_time()
                for x in pictures:
                    network.maps(x, config.layer)
                forward, walls = forward + time.process_time() - start, walls + time.perf_counter() - clock
            room = folder / backbone / f"{turn}-{k}"
            room.mkdir()
            start = time.process_time()
            stage._extract_case(room, case.patient_id, case.image, case.mask, config, source)
            whole += time.process_time() - start
    clock = time.perf_counter()
    with Engine(folder / backbone / "cache", scheduler="serial", progress=False) as engine:
        extract(cases, config, engine)
    total = time.perf_counter() - clock
    volume, mask = read_volume(cases[0].image), read_mask(cases[0].mask)
    rows = [look(volume, mask, config.model_copy(update={"batch": b}), source).features for b in (1, 2, 4, 9)]
    gap = max(float(np.abs(r - rows[0]).max() / np.abs(rows[0]).max()) for r in rows)
    return {
        "backbone": backbone,
        "patients": len(cases),
        "forward CPU s a patient": forward / len(cases),
        "whole CPU s a patient": whole / len(cases),
        "CPU ratio": whole / forward,
        "wall ratio": total / walls,
        "batches differ by": f"{gap:.1e}",
    }


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, default=12)
    parser.add_argument("--backbone", nargs="+", default=["efficientnet-lite0", "resnet18", "resnet50"])
    parser.add_argument("--docs", action="store_true", help="put the table into docs/benchmarks.md")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as room:
        cases = prepare(Path(room), arguments.patients)
        rows = [measure(name, cases, Path(room)) for name in arguments.backbone]
    print(markdown(rows))
    if arguments.docs:
        put_in_docs("deep", markdown(rows))
    print(json.dumps({"deep": rows}))


if __name__ == "__main__":
    main()
