"""CPU time of one network's prediction for a 320x320x32 image, beside upstream's windows, and the Dice of both with the truth.

    python benchmarks/inference.py [--size 320x320x32] [--filters 32] [--patients 80] [--epochs 60] [--no-dice] [--docs]

Time: a network of 32 filters as planned for a GPU, one thread, each way in a process of its own. Upstream's way is MONAI's `sliding_window_inference` as the SegResNet template of Auto3DSeg
calls it: windows of at most 224x224x144, overlap 0.625, Gaussian weights, one window at a time, torch's own layers.
Dice: a network of 8 filters learns from patches of phantoms; fresh phantoms, each larger than the patches, are predicted with every overlap.
Ends with one line of JSON. `--docs` puts the tables into docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import numpy as np
from common import markdown, put_in_docs

from sarcofuse.config.segment import InferenceConfig
from sarcofuse.segment.plan import Plan

UPSTREAM = (144, 224, 224)
OVERLAPS = (0.75, 0.625, 0.5, 0.375, 0.25, 0.0)
SPACING = (4.0, 4.0, 5.0)


def network_plan(shape: tuple[int, int, int], filters: int, device: str = "cuda") -> Plan:
    """Give the plan of a network as MONAI's SegResNet has it (filters 32), or as ours for a processor has it (filters 8)."""
    down, up = ([1, 2, 2, 4], [1, 1, 1]) if device == "cuda" else ([0, 1, 1, 1], [0, 1, 1])
    arguments = {"spatial_dims": 3, "init_filters": filters, "in_channels": 1, "out_channels": 1, "norm": "instance", "blocks_down": down, "blocks_up": up, "dsdepth": 1, "resolution": [1.0, 1.0, 1.0]}
    return Plan((1.0, 1.0, 1.0), shape, (8, 8, 8), arguments, 1, 2, 4e-3, "cpu", 2, 0, {})


def one_way(way: str, shape: tuple[int, int, int], filters: int) -> dict[str, float]:
    """Predict once without flips; give CPU seconds, seconds and the growth of memory in GB."""
    import torch
    from monai.inferers.utils import sliding_window_inference

    from sarcofuse.segment.inference import probability
    from sarcofuse.segment.network import build_network

    torch.set_num_threads(1)
    window = tuple(min(a, b) for a, b in zip(shape, UPSTREAM, strict=True))
    plan = network_plan(shape if way == "one pass" else window, filters)
    network = build_network(plan.network).eval()
    image = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    settings = InferenceConfig(memory_gb=64.0)
    if way.startswith("openvino"):
        from sarcofuse.segment.openvino import compiled

        network = compiled(network)
        plan = replace(plan, shape=shape) if way.endswith("one pass") else plan
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start, cpu = time.perf_counter(), time.process_time()
    if way == "upstream":
        plain = network.to(memory_format=torch.contiguous_format)
        with torch.inference_mode():
            torch.sigmoid(sliding_window_inference(torch.from_numpy(image)[None, None], window, 1, plain, overlap=0.625, mode="gaussian"))
    else:
        probability(network, image, plan, flips=False, settings=settings)
    spent = {"cpu seconds": time.process_time() - cpu, "seconds": time.perf_counter() - start}
    return {**spent, "memory gb": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1e6}


def times(arguments: argparse.Namespace) -> list[dict[str, object]]:
    """Time each way in a process of its own."""
    ways = ["upstream", "windows", "one pass"] + (["openvino windows", "openvino one pass"] if importlib.util.find_spec("openvino") else [])
    rows: list[dict[str, object]] = []
    for way in ways:
        command = [sys.executable, __file__, "--size", arguments.size, "--filters", str(arguments.filters), "--way", way]
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
        rows.append({"way": way, **found, "times as fast": (float(rows[0]["cpu seconds"]) if rows else found["cpu seconds"]) / found["cpu seconds"]})  # type: ignore[arg-type]
        print(rows[-1], flush=True)
    return rows


def phantoms(folder: Path, patients: int, seed: int) -> list[Path]:
    """Draw phantoms on the working grid."""
    from sarcofuse.phantom import draw_patient, plan_cohort
    from sarcofuse.segment.grid import shrink, to_working

    files = []
    for number, plan in enumerate(plan_cohort(patients, seed)):
        volume, mask, _ = draw_patient(plan)
        work = to_working(volume.array.astype(np.float32), volume.geometry.spacing, SPACING)
        share = shrink(mask.array.astype(np.float32), work.steps)
        files.append(folder / f"{seed}-{number}.npz")
        np.savez(files[-1], image=work.array.astype(np.float16), label=np.rint(share * 255.0).astype(np.uint8), spacing=np.array(SPACING))
    return files


def dices(arguments: argparse.Namespace) -> list[dict[str, object]]:
    """Train on patches, predict fresh and larger images with every overlap, and in one pass."""
    import torch

    from sarcofuse.metrics.overlap import dice
    from sarcofuse.segment.batches import read_sample
    from sarcofuse.segment.inference import probability
    from sarcofuse.segment.network import load_network
    from sarcofuse.segment.training import WEIGHTS, train_fold

    torch.set_num_threads(1)
    patch = tuple(int(n) for n in reversed(arguments.patch.split("x")))
    plan = replace(network_plan(patch, 8, "cpu"), epochs=arguments.epochs, spacing=SPACING)
    with tempfile.TemporaryDirectory() as room:
        folder = Path(room)
        training, fresh = phantoms(folder, arguments.patients, 11), phantoms(folder, arguments.patients, 12)
        start = time.process_time()
        train_fold(folder, plan, 0, training, [])
        print(f"trained in {time.process_time() - start:.0f} CPU seconds", flush=True)
        network = load_network(plan.network, folder / WEIGHTS)
        samples = [read_sample(file) for file in fresh]
    samples = [s for s in samples if any(n > p for n, p in zip(s.image.shape, patch, strict=True))]
    rows: list[dict[str, object]] = []
    for overlap in (*OVERLAPS, None):
        start = time.process_time()
        known = plan if overlap is not None else replace(plan, shape=(999, 999, 999))
        settings = InferenceConfig(overlap=overlap or 0.0, memory_gb=8.0)
        found = [dice(probability(network, s.image.astype(np.float32), known, flips=False, settings=settings)[0] > 0.5, s.label > 127) for s in samples]
        seen = {"overlap": "one pass" if overlap is None else overlap, "dice mean": float(np.mean(found)), "dice median": float(np.median(found))}
        rows.append({**seen, "cpu seconds an image": (time.process_time() - start) / len(samples), "images": len(samples)})
        print(rows[-1], flush=True)
    return rows


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="320x320x32", help="voxels along x, y, z")
    parser.add_argument("--filters", type=int, default=32)
    parser.add_argument("--patients", type=int, default=80, help="phantoms to learn from, and fresh ones")
    parser.add_argument("--patch", default="40x32x16", help="training patch along x, y, z, at 4 x 4 x 5 mm")
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--no-dice", action="store_true", help="time only")
    parser.add_argument("--no-time", action="store_true", help="Dice only")
    parser.add_argument("--docs", action="store_true", help="put the tables into docs/benchmarks.md")
    parser.add_argument("--way", default=None, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    z, y, x = (int(n) for n in reversed(arguments.size.split("x")))
    if arguments.way is not None:
        print(json.dumps(one_way(arguments.way, (z, y, x), arguments.filters)))
        return
    result: dict[str, object] = {}
    if not arguments.no_time:
        rows = times(arguments)
        print(markdown(rows))
        result |= {"cpu_seconds": {str(r["way"]): round(float(r["cpu seconds"]), 1) for r in rows}, "times_as_fast": {str(r["way"]): round(float(r["times as fast"]), 2) for r in rows}}  # type: ignore[arg-type]
        if arguments.docs:
            put_in_docs("inference-time", markdown(rows))
    if not arguments.no_dice:
        rows = dices(arguments)
        print(markdown(rows))
        result["dice"] = {str(r["overlap"]): round(float(r["dice mean"]), 4) for r in rows}  # type: ignore[arg-type]
        if arguments.docs:
            put_in_docs("inference-dice", markdown(rows))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
