"""How good are the segmentation networks?

    python benchmarks/segmentation.py [--minutes 5] [--seeds 10 11] [--docs]      synthetic patients of another hospital
    python benchmarks/segmentation.py --data FOLDER [--draws 3] [--docs]          23 real patients, five folds, out of fold

Synthetic: the demo's cohort with fresh seeds; a training is made longer by more epochs, to fill the minutes on two cores.
Real (FOLDER is sts_t1 of the reference data): automatic masks, and masks steered by a box whose faces are each off by up to 8 mm at random, beside two baselines that know nothing of
the image: an ellipsoid in the image's middle with the margin that suits each patient best, chosen with hindsight, and the ellipsoid in the same box.
Prints every patient, and ends with one line of JSON. `--docs` puts the tables into docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))

from common import markdown, put_in_docs

from sarcofuse import segment
from sarcofuse.config import PreprocessConfig, SegmentConfig
from sarcofuse.imaging import read_mask
from sarcofuse.imaging.places import index_box
from sarcofuse.metrics.overlap import dice
from sarcofuse.phantom import make_cohort
from sarcofuse.preprocess import prepare
from sarcofuse.records import Case, MaskQuality, Patient, Prompt
from sarcofuse.runtime import Engine
from sarcofuse.segment.drawing import JITTER_MM
from sarcofuse.segment.guide import closeness_to_box

FOLDS = 5
MARGINS_MM = range(5, 60, 5)


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=None, help="folder sts_t1 of the reference data")
    parser.add_argument("--draws", type=int, default=3, help="boxes a patient")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--minutes", type=float, default=5.0, help="of training on two cores, all folds together")
    parser.add_argument("--epochs", type=int, default=None, help="of the real patients; by default as the plan says")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--keep", type=Path, default=None, help="keep finished work here, and go on from it; the minutes of training are then those of what was still to do")
    parser.add_argument("--docs", action="store_true", help="put the tables into docs/benchmarks.md")
    arguments = parser.parse_args()
    found = real(arguments) if arguments.data else synthetic(arguments)
    print(json.dumps(found))


def real(arguments: argparse.Namespace) -> dict[str, object]:
    """Train on four fifths of the real patients, five times, and draw the others' masks."""
    data, draws, seed = arguments.data, arguments.draws, arguments.seeds[0]
    names = sorted(folder.name for folder in data.glob("STS_*"))
    patients = [Patient(n, "train", data / n / "MR_T1_image.nii.gz", data / n / "MR_T1_mask.nii.gz") for n in names]
    config = SegmentConfig(masks="model", folds=FOLDS, epochs=arguments.epochs)
    with tempfile.TemporaryDirectory() as room, Engine(Path(room) / "cache", workers=arguments.workers) as engine:
        cases, _ = prepare(patients, PreprocessConfig(n4=False, spacing=None), engine)
        before = _cpu()
        segmenter = segment.train(cases, config, engine, seed)
        minutes = (_cpu() - before) / 60.0
        quality = {q.patient_id: q for q in _masks(segmenter, cases, config, engine)}
        steered = [_steered(segmenter, cases, config, engine, seed, draw) for draw in range(draws)]
        _, judged = segment.learn_quality(segmenter, [q for q in quality.values() if q.signs], config, engine)
        baselines = {c.patient_id: [max(_middle(c, m) for m in MARGINS_MM), float(np.mean([_box(c, seed, d) for d in range(draws)]))] for c in cases}
    rows = []
    for q in judged:
        mean = float(np.mean([found[q.patient_id] for found in steered]))
        middle, box = baselines[q.patient_id]
        rows.append({"patient": q.patient_id, "automatic": q.dice, "ellipsoid in the middle (hindsight)": middle, "prompted": mean, "ellipsoid in the box": box, "predicted": q.predicted_dice})
    rows.append({"patient": "mean", **{k: float(np.mean([r[k] for r in rows])) for k in list(rows[0])[1:]}})
    table = markdown([{k: v if isinstance(v, str) else f"{v:.3f}" for k, v in row.items()} for row in rows])
    print(table)
    error = float(np.mean([abs(q.predicted_dice - q.dice) for q in judged]))
    constant = float(np.mean([abs(q.dice - np.mean([o.dice for o in judged if o is not q])) for q in judged]))
    found = {"cpu_minutes": round(minutes, 1), "automatic": rows[-1]["automatic"], "prompted": rows[-1]["prompted"], "mae_predicted": error, "mae_of_the_mean": constant}
    if arguments.docs:
        errors = f"Predicted against true Dice: mean absolute error {error:.3f}; of the other patients' mean, {constant:.3f}."
        put_in_docs("segmentation-real", f"{table}\n\nTraining took {minutes:.1f} CPU minutes for all {FOLDS} folds. {errors}")
    return found


def _masks(segmenter: segment.Segmenter, cases: Sequence[Case], config: SegmentConfig, engine: Engine) -> list[MaskQuality]:
    """Draw everybody's mask out of fold; a patient in whom no tumour is found counts 0."""
    _, quality, aside = segment.segment(segmenter, cases, config, engine, out_of_fold=True)
    for lost in aside:
        print(f"{lost.patient_id}: {lost.reason}; counts as 0", file=sys.stderr)
    return [*quality, *(MaskQuality(a.patient_id, "train", "out-of-fold", 0.0, None, 0.0, 0.0) for a in aside)]


def _steered(segmenter: segment.Segmenter, cases: Sequence[Case], config: SegmentConfig, engine: Engine, seed: int, draw: int) -> dict[str, float]:
    prompted = [replace(c, prompt=Prompt(box=jittered(c, seed, draw)), prompt_digest=f"{seed}-{draw}") for c in cases]
    return {q.patient_id: q.dice for q in _masks(segmenter, prompted, config, engine)}


def jittered(case: Case, seed: int, draw: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Give the box of a patient's tumour in patient mm, each face off by up to 8 mm; the images' axes are the patient's."""
    mask = read_mask(case.mask)
    geometry, rng = mask.geometry, np.random.default_rng([seed, draw, int(case.patient_id[-3:])])
    inside = np.argwhere(mask.array)[:, ::-1]
    ends = np.array([inside.min(axis=0) - 0.5, inside.max(axis=0) + 0.5])
    places = np.array(geometry.origin) + ends * np.array(geometry.spacing) @ np.array(geometry.direction).reshape(3, 3).T
    low, high = places.min(axis=0), places.max(axis=0)
    return tuple(low + rng.uniform(-JITTER_MM, JITTER_MM, 3)), tuple(np.maximum(high + rng.uniform(-JITTER_MM, JITTER_MM, 3), low + 1.0))


def _box(case: Case, seed: int, draw: int) -> float:
    mask = read_mask(case.mask)
    low, high = index_box(mask.geometry, Prompt(box=jittered(case, seed, draw)).box)
    return dice(closeness_to_box(mask.array.shape, low[::-1], high[::-1]) > 0, mask.array)


def _middle(case: Case, margin_mm: float) -> float:
    mask = read_mask(case.mask)
    margins = [min(margin_mm / s, 0.45 * n) for s, n in zip(mask.geometry.spacing[::-1], mask.array.shape, strict=True)]
    low, high = [m - 0.5 for m in margins], [n - m - 0.5 for m, n in zip(margins, mask.array.shape, strict=True)]
    return dice(closeness_to_box(mask.array.shape, low, high) > 0, mask.array)


def synthetic(arguments: argparse.Namespace) -> dict[str, object]:
    """Train on the demo's training patients and draw masks of the external ones."""
    minutes = arguments.minutes
    rows = [_cohort(seed, minutes, arguments.workers, arguments.keep) for seed in arguments.seeds]
    table = markdown([{k: v if isinstance(v, int | str) else f"{v:.3f}" for k, v in row.items()} for row in rows])
    print(table)
    if arguments.docs:
        put_in_docs(f"segmentation-{minutes:g}-minutes", table)
    return {"minutes": minutes, "cohorts": rows}


def _cohort(seed: int, minutes: float, workers: int, keep: Path | None) -> dict[str, object]:
    from sarcofuse.cohort import read_cohort
    from sarcofuse.study import demo_study

    with tempfile.TemporaryDirectory() as room:
        home, study = (keep / str(seed) if keep else Path(room)), demo_study(seed)
        with Engine(home / "cache", workers=workers) as engine:
            make_cohort(home / "cohort", patients=120, seed=seed, engine=engine)
            cohort = read_cohort(study.cohort, home, seed)
            cases, _ = prepare(cohort.patients, study.preprocess, engine)
            training = [c for c in cases if c.split == "train"]
            epochs = None if minutes <= 5 else _epochs(training, study.segment, engine, seed, minutes)
            config, start = study.segment.model_copy(update={"epochs": epochs}), time.perf_counter()
            segmenter = segment.train(training, config, engine, seed)
            taken = (time.perf_counter() - start) / 60.0
            own = _masks(segmenter, training, config, engine)
            segmenter, judged = segment.learn_quality(segmenter, [q for q in own if q.signs], config, engine)
            _, external, aside = segment.segment(segmenter, [c for c in cases if c.split == "external"], config, engine, out_of_fold=False)
            epochs = segmenter.plan.epochs
    scores = [q.dice for q in external] + [0.0] * len(aside)
    error = [abs(q.predicted_dice - q.dice) for q in judged if q.predicted_dice is not None]
    other = [abs(q.predicted_dice - q.dice) for q in external if q.predicted_dice is not None]
    return {
        "seed": seed,
        "epochs": epochs,
        "training min": taken,
        "external mean Dice": float(np.mean(scores)),
        "external median Dice": float(np.median(scores)),
        "out-of-fold mean Dice": float(np.mean([q.dice for q in own])),
        "error of predicted Dice, out of fold": float(np.mean(error)),
        "external": float(np.mean(other)),
    }


def _epochs(training: Sequence[Case], config: SegmentConfig, engine: Engine, seed: int, minutes: float) -> int:
    """Say how many epochs fill the minutes, from the time that two take."""
    seconds = []
    for epochs in (1, 3):
        start = time.perf_counter()
        segmenter = segment.train(training, config.model_copy(update={"epochs": epochs}), engine, seed)
        seconds.append(time.perf_counter() - start)
    each = max((seconds[1] - seconds[0]) / 2.0, 0.1)
    print(f"{each:.1f} s an epoch of all {segmenter.plan.folds} folds", file=sys.stderr)
    return max(1, round(0.95 * minutes * 60.0 / each))


def _cpu() -> float:
    """Give the CPU seconds of this process and those it started that have ended, and of the running workers."""
    own = sum(r.ru_utime + r.ru_stime for r in (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)))
    me, running = str(Path("/proc/self").resolve().name), 0.0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        running += (int(fields[11]) + int(fields[12])) / 100.0 if fields[1] == me or _parent(fields[1]) == me else 0.0
    return own + running


def _parent(pid: str) -> str:
    try:
        return (Path("/proc") / pid / "stat").read_text().rpartition(")")[2].split()[1]
    except OSError:
        return ""


if __name__ == "__main__":
    main()
