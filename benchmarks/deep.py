"""Deep features: what a patient costs beside the bare forward passes, and whether the batch matters.

    python benchmarks/deep.py [--patients 12] [--backbone resnet50 ...] [--turns 7] [--seconds 20] [--device cpu] [--batch 1] [--docs]

Synthetic patients on the default working grid, default settings (nine slices), one thread, networks with random weights but for efficientnet-lite0. `bare` is the network as its module has it, alone,
on the very same pictures, one at a time; `as run` the form of it that the package asks (the same, where it has no quicker one); `whole` a patient's whole task (files read, crops cut, forward, pooled,
written). CPU seconds of one process; everything is measured in turns, patient by patient, and the least of the turns counts, which is nearest to what it takes undisturbed.

`wall` is the clock of all patients in a row, the next one being made ready in a thread meanwhile, over that of the bare forward passes, again in turns, the least of each; it means what it says only
where two cores were free in some turn. `thread` is the CPU time of the thread that asks the network in such a row, over that of the bare passes: what the clock shows where the other thread has a core
for itself and the disk is quick, whatever else runs. `in the network` is the share of the clock in the forward passes, by the GPU's own events where there is one: `--device cuda --batch 9`, say,
measures the clocks alone. `two at a time` is the clock of two processes, half of the patients each, over that of two bare loops. Ends with one line of JSON.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parent))

import numpy as np
from common import markdown, put_in_docs

from sarcofuse.config import DeepConfig
from sarcofuse.deep import extract, stage
from sarcofuse.deep.backbones import normalise
from sarcofuse.deep.crops import make_crops
from sarcofuse.deep.look import Source, entry_of, load, torch_ready
from sarcofuse.deep.look import measure as look_at
from sarcofuse.deep.networks import build
from sarcofuse.deep.quick import quick
from sarcofuse.imaging import content_digest, read_mask, read_volume, regrid, reorient, resample_mask, resample_volume, write_mask, write_volume
from sarcofuse.phantom import make_cohort
from sarcofuse.records import Case
from sarcofuse.runtime import Engine, available_cores

SPACING = (1.5, 1.5, 5.0)
REAL = "efficientnet-lite0"  # has its weights in a package


class Watched:
    """A network whose forward passes are clocked: by the GPU's events there, by the clock elsewhere."""

    def __init__(self, network: Any, device: str) -> None:
        self.network, self.device, self.spans = network, device, list[Any]()

    def mark(self) -> Any:
        if self.device == "cpu":
            return time.perf_counter()
        import torch

        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def maps(self, x: Any, layer: str) -> Any:
        start = self.mark()
        found = self.network.maps(x, layer)
        self.spans.append((start, self.mark()))
        return found

    def seconds(self) -> float:
        """Give the time in the network since last asked."""
        spans, self.spans = self.spans, []
        if self.device == "cpu":
            return sum(end - start for start, end in spans)
        import torch

        torch.cuda.synchronize()
        return sum(start.elapsed_time(end) for start, end in spans) / 1000.0


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


def shown(cases: list[Case], config: DeepConfig) -> list[np.ndarray]:
    """Give the pictures of each patient."""
    return [make_crops(read_volume(c.image), read_mask(c.mask), config, entry_of(config).size).pictures for c in cases]


def inputs(pictures: np.ndarray, config: DeepConfig, device: str) -> list[Any]:
    """Give what the network takes, `batch` pictures at a time, where it takes it."""
    return [normalise(pictures[i : i + config.batch], entry_of(config), device) for i in range(0, len(pictures), config.batch)]


def bare(network: Any, given: list[Any], config: DeepConfig) -> None:
    """Do the forward passes, and wait for them."""
    for x in given:
        found = network.maps(x, config.layer)
    if given[0].device.type == "cuda":
        import torch

        torch.cuda.synchronize()
    assert found


def fresh(cases: list[Case], turn: int) -> list[Case]:
    """Give the same patients under other digests, so that no cache knows them."""
    return [dataclasses.replace(c, image_digest=f"{c.image_digest}-{turn}") for c in cases]


def clocked(work: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """Time work."""
    start = clock()
    work()
    return clock() - start


def measure(backbone: str, cases: list[Case], folder: Path, arguments: argparse.Namespace) -> dict[str, object]:
    """Time one network on all cases."""
    device, turns = arguments.device, arguments.turns
    config, source = DeepConfig(backbone=backbone, batch=arguments.batch, device=device), Source(Path(), backbone, device)
    if backbone == REAL:
        source = stage.find_source(config)
        network = load(config, source)
    else:
        import torch

        torch.manual_seed(0)
        network = build(backbone).eval().requires_grad_(False).to(device)
    own = Watched(quick(network), device)
    import sarcofuse.deep.look as home

    home.load = stage.load = lambda *_: own  # type: ignore[assignment]
    stage.find_source = lambda *_: source  # type: ignore[assignment]
    room, pictures = folder / backbone, shown(cases, config)
    row: dict[str, object] = {"backbone": backbone, "patients": len(cases)}
    with torch_ready():
        given = [inputs(p, config, device) for p in pictures]
        bare(network, given[0], config)
        if device == "cpu":
            row |= cpu_seconds(network, own, given, cases, config, source, room, turns)
        row |= clocks(network, own, given, cases, config, room / "cache", turns, arguments.seconds)
    volume, mask = read_volume(cases[0].image), read_mask(cases[0].mask)
    rows = [look_at("", volume, mask, config.model_copy(update={"batch": b}), source).features for b in (1, 2, 4, 9)]
    row["batches differ by"] = f"{max(float(np.abs(r - rows[0]).max() / np.abs(rows[0]).max()) for r in rows):.1e}"
    return row


def cpu_seconds(network: Any, own: Watched, given: list[list[Any]], cases: list[Case], config: DeepConfig, source: Source, room: Path, turns: int) -> dict[str, object]:
    """Measure CPU time, in turns, patient by patient."""
    least = np.full((3, len(cases)), np.inf)
    for _ in range(turns):
        for k, case in enumerate(cases):
            folder = room / "task"
            folder.mkdir(parents=True)

            def task(case: Case = case, folder: Path = folder) -> None:
                stage._extract_case(folder, case.patient_id, case.image, case.mask, config, source)

            now = [clocked(work, time.process_time) for work in (lambda k=k: bare(network, given[k], config), lambda k=k: bare(own, given[k], config), task)]
            least[:, k] = np.minimum(least[:, k], now)
            shutil.rmtree(folder)
    forward, run, whole = least.mean(axis=1)
    return {"bare CPU s": forward, "as run CPU s": run, "whole CPU s": whole, "whole / bare": whole / forward, "whole / as run": whole / run}


def clocks(network: Any, own: Watched, given: list[list[Any]], cases: list[Case], config: DeepConfig, cache: Path, turns: int, seconds: float) -> dict[str, object]:
    """Measure the clock of all patients in a row, in turns with that of the bare forward passes, for so many turns and seconds at least."""
    loops, wholes, inside, threads = list[float](), list[float](), list[float](), list[tuple[float, float]]()
    begun = time.perf_counter()
    with Engine(cache, scheduler="serial", progress=False) as engine:
        while len(loops) < turns or time.perf_counter() - begun < seconds:
            start = time.thread_time()
            loops.append(clocked(lambda: [bare(network, x, config) for x in given]))
            middle = time.thread_time()
            own.seconds()
            wholes.append(clocked(lambda: extract(fresh(cases, len(loops)), config, engine)))
            threads.append((middle - start, time.thread_time() - middle))
            inside.append(own.seconds() / wholes[-1])
    row: dict[str, object] = {"bare wall s": min(loops) / len(cases), "whole wall s": min(wholes) / len(cases)}
    row |= {"thread": min(t[1] for t in threads) / min(t[0] for t in threads)} if own.device == "cpu" else {}
    return row | {"wall": min(wholes) / min(loops), "in the network": inside[int(np.argmin(wholes))]}


def bare_in_worker(files: list[Path], config: DeepConfig) -> int:
    """Do the bare forward passes of some patients in a worker, which keeps the network for the next turn."""
    with torch_ready():
        network = load(config, stage.find_source(config))
        for file in files:
            bare(network, inputs(np.load(file), config, "cpu"), config)
    return os.getpid()


def two_at_a_time(cases: list[Case], folder: Path, turns: int) -> dict[str, object]:
    """Measure the clock of two processes against that of two bare loops, both warm."""
    config = DeepConfig(backbone=REAL)
    folder.mkdir()
    files = [folder / f"{k}.npy" for k in range(len(cases))]
    for file, pictures in zip(files, shown(cases, config), strict=True):
        np.save(file, pictures)
    halves, loops, wholes = (files[::2], files[1::2]), list[float](), list[float]()
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool, Engine(folder / "cache", workers=2, progress=False) as engine:
        for turn in range(turns + 1):
            loops.append(clocked(lambda: list(pool.map(bare_in_worker, halves, [config] * 2))))
            wholes.append(clocked(lambda turn=turn: extract(fresh(cases, turn), config, engine)))
    return {"patients": len(cases), "bare wall s": min(loops[1:]) / len(cases), "whole wall s": min(wholes[1:]) / len(cases), "two at a time": min(wholes[1:]) / min(loops[1:])}


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, default=12)
    parser.add_argument("--backbone", nargs="+", default=[REAL, "resnet18", "resnet50"])
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=20.0, help="for the clocks of each network")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--docs", action="store_true", help="put the tables into docs/benchmarks.md")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        room = Path(place)
        cases = prepare(room, arguments.patients)
        pairs = [two_at_a_time(cases, room / "two", arguments.turns)] if arguments.device == "cpu" and available_cores() > 1 and REAL in arguments.backbone else []
        rows = [measure(name, cases, room, arguments) for name in arguments.backbone]
    text = "\n\n".join(markdown([{k: v for k, v in row.items() if not k.endswith("wall s")} for row in table]) for table in (rows, pairs) if table)
    print(text)
    if arguments.docs:
        put_in_docs("deep", text)
    print(json.dumps({"deep": rows, "two at a time": pairs}))


if __name__ == "__main__":
    main()
