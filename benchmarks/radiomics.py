"""Speed, memory and agreement of the radiomic engine beside PyRadiomics, in one interleaved run on one thread.

    python benchmarks/radiomics.py [--data FOLDER] [--pyradiomics PYTHON] [--rounds N] [--scaling] [--docs]

PYTHON is an interpreter that has PyRadiomics (`pip install pyradiomics-cuda==1.0.4` in an environment of its own; its CPU code is used). Without it only this engine is
measured. FOLDER is the reference data; with it brain1 is measured beside the made tumour. The last line is JSON; ratios are PyRadiomics' median CPU time over ours, of
images that are in memory (full_ratio, original_ratio) and with reading both files (..._from_files). Memory is the peak of a fresh process that reads and measures once.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FULL = {"imageType": {"Original": {}, "LoG": {"sigma": [1.0, 3.0, 5.0]}, "Wavelet": {}}}
ORIGINAL = {"imageType": {"Original": {}}}
CLASSES = ("shape", "firstorder", "glcm", "glrlm", "glszm", "gldm", "ngtdm")
TITLES = {"ours": "ours", "pyradiomics": "PyRadiomics"}
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS")


def make_case(folder: Path, name: str, shape: tuple[int, int, int], radii: tuple[float, float, float]) -> dict[str, str]:
    """Write an ellipsoid of voxels of 1 mm in an image of blurred noise of about 64 bins of 25."""
    import numpy as np
    import SimpleITK as sitk
    from scipy import ndimage

    rng = np.random.default_rng(0)
    texture = ndimage.gaussian_filter(rng.standard_normal(shape, dtype=np.float32), 1.5)
    image = (texture - texture.min()) / np.ptp(texture) * 64 * 25
    mask = sum(((np.arange(n) - n // 2) / r).reshape([-1 if a == b else 1 for b in range(3)]) ** 2 for a, (n, r) in enumerate(zip(shape, radii, strict=True))) < 1
    paths = {}
    for kind, array in (("image", image.astype(np.float32)), ("mask", mask.astype(np.uint8))):
        paths[kind] = str(folder / f"{name}-{kind}.nrrd")
        sitk.WriteImage(sitk.GetImageFromArray(array), paths[kind])
    return paths


def work(engine: str) -> None:
    """Answer requests on standard input, one JSON a line, with CPU seconds, peak memory and the features."""
    prepare, measure, from_files = _ours() if engine == "ours" else _theirs()
    held: dict[str, object] = {}
    for line in sys.stdin:
        request = json.loads(line)
        image, mask, settings = request["image"], request["mask"], request["settings"]
        if not request["files"] and image not in held:
            held[image] = prepare(image, mask)
        start = time.process_time()
        found = from_files(image, mask, settings) if request["files"] else measure(held[image], settings)
        seconds = time.process_time() - start
        values = {k: float(v) for k, v in found.items() if not k.startswith("diagnostics")}
        sys.stdout.write(json.dumps({"cpu": seconds, "peak_mb": _peak_mb(), "values": values}) + "\n")
        sys.stdout.flush()


def _peak_mb() -> float:
    return int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text()).group(1)) / 1024


def _ours():
    import SimpleITK as sitk

    from sarcofuse.radiomics import extract_radiomics
    from sarcofuse.radiomics.compute import measure
    from sarcofuse.radiomics.settings import read_settings

    def from_files(image: str, mask: str, settings: dict) -> dict[str, float]:
        table = extract_radiomics(image, mask, settings)
        return dict(zip(table.names, table.values[0].tolist(), strict=True))

    return lambda image, mask: (sitk.ReadImage(image), sitk.ReadImage(mask)), lambda held, settings: measure(*held, read_settings(settings), "case"), from_files


def _theirs():
    import logging

    import SimpleITK as sitk

    logging.disable(logging.CRITICAL)
    sys.path = [p for p in sys.path if Path(p).resolve() != Path(__file__).resolve().parent]  # this very file is named radiomics, too
    from radiomics import featureextractor

    def measure(held, settings: dict) -> dict[str, float]:
        return featureextractor.RadiomicsFeatureExtractor(settings).execute(*held)

    return lambda image, mask: (sitk.ReadImage(image), sitk.ReadImage(mask)), measure, lambda image, mask, settings: measure((image, mask), settings)


class Worker:
    """An engine in a process of its own."""

    def __init__(self, python: str, engine: str, **variables: str) -> None:
        environment = os.environ | dict.fromkeys(THREADS, "1") | variables
        self.process = subprocess.Popen([python, __file__, "--work", engine], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment)

    def ask(self, request: dict) -> dict:
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()


def compare(case: str, request: dict, engines: dict[str, str], workers: dict[str, Worker], rounds: int) -> dict[str, object]:
    """Run the engines in turn; the first round, which compiles or loads, is not counted. Memory is that of fresh processes."""
    for worker in workers.values():
        worker.ask(request)
    runs: dict[str, list[dict]] = {name: [] for name in workers}
    for _ in range(rounds):
        for name, worker in workers.items():
            runs[name].append(worker.ask(request))
    seconds = {name: statistics.median(r["cpu"] for r in found) for name, found in runs.items()}
    peaks = {name: peak(python, name, request) for name, python in engines.items()}
    ours = runs["ours"][-1]["values"]
    row = {"case": case, "features": len(ours), "ours ms": f"{1000 * seconds['ours']:.1f}", "ours MB": round(peaks["ours"])}
    if "pyradiomics" in workers:
        both = [(ours[n], v) for n, v in runs["pyradiomics"][-1]["values"].items() if math.isfinite(v)]
        row["PyRadiomics ms"] = f"{1000 * seconds['pyradiomics']:.0f}"
        row["times as fast"] = f"{seconds['pyradiomics'] / seconds['ours']:.1f}"
        row["PyRadiomics MB"] = round(peaks["pyradiomics"])
        row["values compared"] = len(both)
        row["largest relative difference"] = f"{max(abs(a - b) / max(abs(b), 1e-9) for a, b in both):.1e}"
    print("  ".join(f"{k}: {v}" for k, v in row.items()), flush=True)
    return row


def peak(python: str, engine: str, request: dict) -> float:
    """Give the peak memory in MB of a fresh process that reads and measures once."""
    worker = Worker(python, engine)
    found = worker.ask(request | {"files": True})
    worker.close()
    return found["peak_mb"]


def compiling(request: dict) -> dict[str, float]:
    """Give CPU seconds of the first call with nothing compiled, and of a later process from its start to the end of its first call, each less a call that finds all in place."""
    with tempfile.TemporaryDirectory() as cache:
        found = []
        for _ in range(2):
            worker = Worker(sys.executable, "ours", NUMBA_CACHE_DIR=cache)
            first, again = worker.ask(request), worker.ask(request)
            found.append(first["cpu"] - again["cpu"])
            worker.close()
        return {"compile_seconds": round(found[0], 2), "start_seconds": round(found[1], 2)}


def scaling(paths: dict[str, str], settings: dict, cases: int = 24) -> float:
    """Give how many times as fast two workers measure a cohort as one."""
    from sarcofuse.radiomics import extract_many
    from sarcofuse.records import Patient
    from sarcofuse.runtime import Engine

    patients = [Patient(f"P-{k:02d}", "external", image=Path(paths["image"]), mask=Path(paths["mask"])) for k in range(cases)]
    seconds = []
    for workers in (1, 2):
        with tempfile.TemporaryDirectory() as cache, Engine(Path(cache), workers=workers, progress=False) as engine:
            extract_many(patients[:workers], settings | {"setting": settings["setting"] | {"voxelArrayShift": 1}}, engine)  # starts the workers
            start = time.perf_counter()
            extract_many(patients, settings, engine)
            seconds.append(time.perf_counter() - start)
    return seconds[0] / seconds[1]


def draw(rows: list[dict[str, object]]) -> None:
    """Draw CPU time of both engines, case by case, for the docs."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 0.42 * len(rows) + 0.9), layout="constrained")
    axes = figure.subplots()
    for shift, column, label, colour in ((-0.2, "ours ms", "Sarcofuse", "#0072b2"), (0.2, "PyRadiomics ms", "PyRadiomics", "#7b8794")):
        axes.barh([k + shift for k in range(len(rows))], [float(row[column]) for row in rows], 0.38, label=label, color=colour)
    for k, row in enumerate(rows):
        axes.annotate(f"{float(row['times as fast']):.0f} times as fast", (float(row["ours ms"]), k - 0.2), xytext=(4, 0), textcoords="offset points", va="center", fontsize=8)
    axes.set(xscale="log", xlabel="CPU time a case, ms (logarithmic)", yticks=range(len(rows)), yticklabels=[str(row["case"]) for row in rows])
    axes.invert_yaxis()
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    figure.savefig(Path(__file__).resolve().parents[1] / "docs" / "radiomics-speed.png", dpi=110, metadata={"Software": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--pyradiomics")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scaling", action="store_true", help="also two workers against one, which wants a quiet machine")
    parser.add_argument("--docs", action="store_true", help="put the tables into docs/benchmarks.md")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(options.work)
        return
    engines = {"ours": sys.executable} | ({"pyradiomics": options.pyradiomics} if options.pyradiomics else {})
    workers = {name: Worker(python, name) for name, python in engines.items()}
    common = {"featureClass": dict.fromkeys(CLASSES), "setting": {"binWidth": 25, "additionalInfo": False}}
    with tempfile.TemporaryDirectory() as folder:
        cases = {"tumour": make_case(Path(folder), "tumour", (96, 112, 112), (22.0, 27.0, 32.15))}
        if options.data:
            brain = options.data / "pyradiomics"
            cases["brain1"] = {"image": str(brain / "brain1_image.nrrd"), "mask": str(brain / "brain1_label.nrrd")}
        rows = {}
        for case, paths in cases.items():
            for label, images in (("original", ORIGINAL), ("full", FULL)):
                for files in (False, True):
                    name = f"{case}_{label}" + "_from_files" * files
                    rows[name] = compare(name.replace("_", " "), {**paths, "settings": images | common, "files": files}, engines, workers, options.rounds)
        for worker in workers.values():
            worker.close()
        large = {**make_case(Path(folder), "large", (48, 512, 512), (10.0, 12.0, 14.0)), "settings": FULL | common}
        memory = {f"{TITLES[name]} MB": round(peak(python, name, large)) for name, python in engines.items()}
        start = compiling({**cases["tumour"], "settings": FULL | common, "files": False})
        summary = {f"{label}_ratio{files}": float(rows[f"tumour_{label}{files}"].get("times as fast", "nan")) for label in ("full", "original") for files in ("", "_from_files")}
        tumour = rows["tumour_full"]
        summary["memory_ratio"] = round(tumour["ours MB"] / tumour["PyRadiomics MB"], 2) if options.pyradiomics else None
        summary |= {"large_volume_mb": memory["ours MB"], **start}
        if options.scaling:
            summary["two_workers"] = round(scaling(cases["tumour"], FULL | common), 2)
    if options.docs:
        from common import markdown, put_in_docs

        told = [{"what": "peak memory on 512 x 512 x 48 voxels with a small tumour, full", **memory}]
        first = [
            {"what": "CPU seconds to compile, once after installation", "seconds": f"{start['compile_seconds']:.1f}"},
            {"what": "to load what was compiled, in later processes", "seconds": f"{start['start_seconds']:.1f}"},
        ]
        if options.pyradiomics:
            draw(list(rows.values()))
        put_in_docs("radiomics", "\n\n".join(markdown(table) for table in (list(rows.values()), told, first)))
    print(json.dumps(summary | {"cases": rows}))


if __name__ == "__main__":
    main()
