"""Learn the package's own starting weights on synthetic patients: how to make src/sarcofuse/segment/weights/phantoms.safetensors again.

    python benchmarks/starting_weights.py [--patients 200] [--epochs 24] [--seed 1803] [--workers 2] [--out FILE]

Each phantom is cropped around its tumour as somebody might have, twice; training crops it further, inverts its grey scale or gives its tumour another brightness,
and draws prompts. The seed is that of no benchmark. Ends with one line of JSON.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from sarcofuse.config.segment import SegmentConfig
from sarcofuse.imaging import read_mask, read_volume
from sarcofuse.phantom import make_cohort
from sarcofuse.runtime import Engine, digest_file
from sarcofuse.segment.drawing import FINER
from sarcofuse.segment.grid import cubic, shrink, to_working
from sarcofuse.segment.guidance import OWN_WEIGHTS
from sarcofuse.segment.plan import Plan
from sarcofuse.segment.planning import make_plan
from sarcofuse.segment.training import WEIGHTS, train_fold

MARGINS_MM = 12.0, 50.0
HELD_OUT = 10


def main() -> None:
    """Parse, train, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, default=200)
    parser.add_argument("--epochs", type=int, default=24)
    parser.add_argument("--seed", type=int, default=1803)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, default=OWN_WEIGHTS)
    arguments = parser.parse_args()
    plan = starting_plan(arguments.epochs, arguments.seed)
    with tempfile.TemporaryDirectory() as room:
        home = Path(room)
        with Engine(home / "cache", workers=arguments.workers) as engine:
            make_cohort(home / "cohort", patients=arguments.patients, seed=arguments.seed, engine=engine)
        files = crops(home, plan, arguments.seed)
        (home / "network").mkdir()
        start = time.process_time()
        dice = train_fold(home / "network", plan, 0, files[2 * HELD_OUT :], files[: 2 * HELD_OUT])
        seconds = time.process_time() - start
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(home / "network" / WEIGHTS, arguments.out)
    print(json.dumps({"patients": arguments.patients, "epochs": plan.epochs, "seed": arguments.seed, "cpu_s": round(seconds), "held_out_dice": round(dice, 3), "sha256": digest_file(arguments.out)}))


def starting_plan(epochs: int, seed: int) -> Plan:
    """Give the plan of few patients with cropped images, for longer training and of many appearances."""
    size = {"mean": [150.0] * 3, "max": [150.0] * 3, "percentile_90_0": [150.0] * 3}
    tumour = {"foreground_percentage": {"mean": 0.1}}
    stats = {"image_stats": {"sizemm": size, "spacing": {"median": [1.0] * 3}}, "label_stats": {"labels": [1], "label": [tumour]}, "n_cases": 20, "middle_dice": 1.0}
    config = SegmentConfig(epochs=epochs, learning_rate=2e-3, start_from="nothing")
    return replace(make_plan(stats, config, "cpu", seed, "nothing"), repaint=0.5)


def crops(home: Path, plan: Plan, seed: int) -> list[Path]:
    """Crop every phantom twice around its tumour, with margins of 12 to 50 mm."""
    rng, files = np.random.default_rng(seed), []
    with (home / "cohort" / "cohort.csv").open(encoding="utf8") as stream:
        rows = list(csv.DictReader(stream))
    for row in rows:
        volume, mask = read_volume(home / "cohort" / row["image"], row["patient_id"]), read_mask(home / "cohort" / row["mask"], row["patient_id"]).array
        inside, spacing = np.argwhere(mask), volume.geometry.spacing
        for k in range(2):
            margins = rng.uniform(*MARGINS_MM, size=(2, 3)) / np.array(spacing[::-1])
            low, high = np.maximum(inside.min(axis=0) - margins[0], 0).astype(int), np.minimum(inside.max(axis=0) + 1 + margins[1], mask.shape).astype(int)
            part = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
            side = cubic(mask[part].shape, spacing, plan.voxels * FINER)
            work = to_working(volume.array[part], spacing, (side,) * 3)
            file = home / f"{row['patient_id']}_{k}.npz"
            label = np.rint(shrink(mask[part].astype(np.float32), work.steps) * 255.0).astype(np.uint8)
            np.savez(file, image=work.array.astype(np.float16), label=label, spacing=np.array(work.spacing))
            files.append(file)
    return files


if __name__ == "__main__":
    main()
