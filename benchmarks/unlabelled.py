"""What images without masks are worth to the segmentation, on synthetic patients of another hospital.

    python benchmarks/unlabelled.py                    # 12 with masks, 40 without, two dealings, short trainings
    python benchmarks/unlabelled.py --masks 30 --bare 200 --visits 1750 --seeds 0 1 2

Three ways of the same study: images without masks ignored; the same with training as long as the two rounds together; images without masks learned from by pseudo-labels
(segment.unlabelled: pseudo). Every way is judged by the ensemble's masks of fresh patients; `ceiling` is what the networks reach when all training patients have masks.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import tempfile
import time
from pathlib import Path

import numpy as np
from common import markdown, put_in_docs

from sarcofuse.config import PreprocessConfig, SegmentConfig
from sarcofuse.imaging import read_mask, write_mask, write_volume
from sarcofuse.metrics.overlap import dice
from sarcofuse.phantom import draw_patient, plan_cohort
from sarcofuse.preprocess import prepare
from sarcofuse.records import Case, Patient
from sarcofuse.runtime import Engine, read_json
from sarcofuse.segment import segment, train


def draw(folder: Path, count: int, tests: int, seed: int, engine: Engine) -> tuple[list[Case], list[Case]]:
    """Give prepared training and external cases, all with their true masks."""
    plans = plan_cohort(2 * (count + tests) + 60, seed)
    chosen = [*[p for p in plans if p.split == "train"][:count], *[p for p in plans if p.split == "external"][:tests]]
    patients = []
    for plan in chosen:
        image, mask, _ = draw_patient(plan)
        files = folder / f"{plan.patient_id}.nii.gz", folder / f"{plan.patient_id}_mask.nii.gz"
        write_volume(image, files[0])
        write_mask(mask, files[1])
        patients.append(Patient(plan.patient_id, plan.split, *files))
    cases, _ = prepare(patients, PreprocessConfig(n4=False), engine)
    return [c for c in cases if c.split == "train"], [c for c in cases if c.split == "external"]


def judge(cases: list[Case], tests: list[Case], config: SegmentConfig, engine: Engine, seed: int) -> tuple[list[float], dict[str, object]]:
    """Train, draw the test patients, and give their Dice (0 where nothing was found) and what the card says of pseudo-labels."""
    segmenter = train(cases, config, engine, seed)
    masked, _, _ = segment(segmenter, tests, config, engine, out_of_fold=False)
    truth = {c.patient_id: read_mask(c.mask).array for c in tests}
    found = {c.patient_id: dice(read_mask(c.mask).array, truth[c.patient_id]) for c in masked}
    card = read_json(segmenter.folder / "segmenter.json")
    return [found.get(c.patient_id, 0.0) for c in tests], {str(k): f.get("pseudo") for k, f in enumerate(card["folds"])}


def run(options: argparse.Namespace, seed: int, room: Path) -> list[dict[str, object]]:
    """Give a row a way."""
    engine = Engine(room / "cache", scheduler="serial", progress=False)
    cases, tests = draw(room, options.masks + options.bare, options.tests, seed, engine)
    bare = [*cases[: options.masks], *(dataclasses.replace(c, mask=None, mask_digest=None, mask_source=None) for c in cases[options.masks :])]
    per_fold = options.masks * (options.folds - 1) / options.folds
    epochs = max(1, round(options.visits / per_fold))
    base = SegmentConfig(masks="model", folds=options.folds, device="cpu", spacing=(4.0, 4.0, 5.0), filters=8, epochs=epochs, unlabelled_agreement=options.agreement)
    ways = {
        "ignored": (bare, base),
        "ignored, as long as two rounds": (bare, base.model_copy(update={"epochs": round(1.5 * epochs)})),
        "pseudo-labels": (bare, base.model_copy(update={"unlabelled": "pseudo"})),
    }
    if options.ceiling:
        ways["ceiling: all with masks"] = (cases, base.model_copy(update={"epochs": max(1, round(1.5 * epochs * options.masks / len(cases)))}))
    rows = []
    for name, (training, config) in ways.items():
        start = time.process_time()
        scores, told = judge(training, tests, config, engine, seed)
        used = [t["used"] for t in told.values() if t]
        row = {"seed": seed, "images without masks": name, "mean Dice": float(np.mean(scores)), "median": float(np.median(scores)), "learned from, a fold": f"{np.mean(used):.0f}" if used else ""}
        rows.append({**row, "CPU seconds": round(time.process_time() - start)})
        print(rows[-1], flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--masks", type=int, default=12)
    parser.add_argument("--bare", type=int, default=40)
    parser.add_argument("--tests", type=int, default=30)
    parser.add_argument("--folds", type=int, default=2)
    parser.add_argument("--visits", type=int, default=400, help="volumes that each network sees in the first round")
    parser.add_argument("--agreement", type=float, default=0.9)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--ceiling", action="store_true")
    parser.add_argument("--docs", action="store_true", help="put the table into docs/benchmarks.md")
    options = parser.parse_args()
    rows = []
    for seed in options.seeds:
        with tempfile.TemporaryDirectory() as room:
            rows += run(options, seed, Path(room))
    ways = dict.fromkeys(str(r["images without masks"]) for r in rows)
    rows += [{**dict.fromkeys(rows[0], ""), "seed": "mean", "images without masks": w, "mean Dice": float(np.mean([r["mean Dice"] for r in rows if r["images without masks"] == w]))} for w in ways]
    if options.docs:
        put_in_docs("unlabelled", markdown(rows))
    print(json.dumps({r["images without masks"]: r["mean Dice"] for r in rows if r["seed"] == "mean"}))


if __name__ == "__main__":
    main()
