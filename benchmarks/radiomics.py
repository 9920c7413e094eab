"""Speed, memory and agreement of the radiomic engine beside PyRadiomics, in one interleaved run on one thread.

    python benchmarks/radiomics.py [--data FOLDER] [--pyradiomics PYTHON] [--rounds N]

PYTHON is an interpreter that has PyRadiomics (`pip install pyradiomics-cuda==1.0.4` in an environment of its own; its CPU code is used). Without it only this engine is
measured. FOLDER is the reference data; with it brain1 is measured beside the made tumour. The last line is JSON; ratios are PyRadiomics' median CPU time over ours.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FULL = {"imageType": {"Original": {}, "LoG": {"sigma": [1.0, 3.0, 5.0]}, "Wavelet": {}}}
ORIGINAL = {"imageType": {"Original": {}}}
CLASSES = ("shape", "firstorder", "glcm", "glrlm", "glszm", "gldm", "ngtdm")
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS")


def make_tumour(folder: Path) -> dict[str, str]:
    """Write an ellipsoid of 80,000 voxels of 1 mm with blurred noise of about 64 levels, in an image of 112 x 112 x 96."""
    import numpy as np
    import SimpleITK as sitk
    from scipy import ndimage

    rng = np.random.default_rng(0)
    texture = ndimage.gaussian_filter(rng.normal(size=(96, 112, 112)), 1.5)
    image = (texture - texture.min()) / np.ptp(texture) * 64 * 25
    z, y, x = np.indices(image.shape) - np.array([48, 56, 56])[:, None, None, None]
    mask = (z / 22.0) ** 2 + (y / 27.0) ** 2 + (x / 32.15) ** 2 < 1
    paths = {}
    for name, array in (("image", image.astype(np.float32)), ("mask", mask.astype(np.uint8))):
        paths[name] = str(folder / f"tumour-{name}.nrrd")
        sitk.WriteImage(sitk.GetImageFromArray(array), paths[name])
    return paths


def work(engine: str) -> None:
    """Answer requests on standard input, one JSON a line, with CPU seconds, peak memory and the features."""
    measure = _ours() if engine == "ours" else _theirs()
    for line in sys.stdin:
        request = json.loads(line)
        start = time.process_time()
        found = measure(request["image"], request["mask"], request["settings"])
        seconds = time.process_time() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        values = {k: float(v) for k, v in found.items() if not k.startswith("diagnostics")}
        sys.stdout.write(json.dumps({"cpu": seconds, "peak_mb": peak, "values": values}) + "\n")
        sys.stdout.flush()


def _ours():
    from sarcofuse.radiomics import extract_radiomics

    def measure(image: str, mask: str, settings: dict) -> dict[str, float]:
        table = extract_radiomics(image, mask, settings)
        return dict(zip(table.names, table.values[0], strict=True))

    return measure


def _theirs():
    import logging

    logging.disable(logging.CRITICAL)
    sys.path = [p for p in sys.path if Path(p).resolve() != Path(__file__).resolve().parent]  # this very file is named radiomics, too
    from radiomics import featureextractor

    def measure(image: str, mask: str, settings: dict) -> dict[str, float]:
        return featureextractor.RadiomicsFeatureExtractor(settings).execute(image, mask)

    return measure


class Worker:
    """An engine in a process of its own."""

    def __init__(self, python: str, engine: str) -> None:
        environment = os.environ | dict.fromkeys(THREADS, "1")
        self.process = subprocess.Popen([python, __file__, "--work", engine], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment)

    def ask(self, request: dict) -> dict:
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


def compare(case: str, request: dict, workers: dict[str, Worker], rounds: int) -> dict[str, float]:
    """Run the engines in turn; the first round, which compiles or loads, is not counted."""
    runs: dict[str, list[dict]] = {name: [] for name in workers}
    for k in range(rounds + 1):
        for name, worker in workers.items():
            runs[name] += [worker.ask(request)] if k or name == "ours" else []
    runs["ours"] = runs["ours"][1:]
    seconds = {name: statistics.median(r["cpu"] for r in found) for name, found in runs.items()}
    row = {"seconds": round(seconds["ours"], 4), "features": len(runs["ours"][-1]["values"]), "peak_mb": round(runs["ours"][-1]["peak_mb"])}
    if "pyradiomics" in workers:
        ours, theirs = runs["ours"][-1]["values"], runs["pyradiomics"][-1]["values"]
        both = [(ours[n], v) for n, v in theirs.items() if math.isfinite(v)]
        worst = max(abs(a - b) / max(abs(b), 1e-9) for a, b in both)
        row |= {"pyradiomics_seconds": round(seconds["pyradiomics"], 3), "ratio": round(seconds["pyradiomics"] / seconds["ours"], 1), "compared": len(both), "worst_relative": worst}
        row["pyradiomics_peak_mb"] = round(runs["pyradiomics"][-1]["peak_mb"])
    print(f"{case:<24}" + "  ".join(f"{k} {v:.3g}" for k, v in row.items()), flush=True)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--pyradiomics")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--work", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(options.work)
        return
    workers = {"ours": Worker(sys.executable, "ours")} | ({"pyradiomics": Worker(options.pyradiomics, "pyradiomics")} if options.pyradiomics else {})
    with tempfile.TemporaryDirectory() as folder:
        cases = {"tumour": make_tumour(Path(folder))}
        if options.data:
            brain = options.data / "pyradiomics"
            cases["brain1"] = {"image": str(brain / "brain1_image.nrrd"), "mask": str(brain / "brain1_label.nrrd")}
        rows = {}
        for case, paths in cases.items():
            for label, images in (("original", ORIGINAL), ("full", FULL)):
                settings = images | {"featureClass": dict.fromkeys(CLASSES), "setting": {"binWidth": 25, "additionalInfo": False}}
                rows[f"{case}_{label}"] = compare(f"{case}, {label}", {**paths, "settings": settings}, workers, options.rounds)
    tumour = rows["tumour_full"]
    summary = {
        "full_ratio": tumour.get("ratio"),
        "original_ratio": rows["tumour_original"].get("ratio"),
        "memory_ratio": tumour["peak_mb"] / tumour["pyradiomics_peak_mb"] if options.pyradiomics else None,
    }
    print(json.dumps(summary | {"cases": rows}))


if __name__ == "__main__":
    main()
