"""What twenty perturbations of a case cost, in single extractions, and how stable features are.

Usage: python benchmarks/perturbations.py [--data FOLDER] [--cases N]

FOLDER holds patients' folders with MR_T1_image.nii.gz and MR_T1_mask.nii.gz; without it four balls of 80 ml in noise are made. Single thread, CPU time; the last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np

from sarcofuse.imaging import write_mask, write_volume
from sarcofuse.radiomics import extract_radiomics, robustness, stability
from sarcofuse.records import Geometry, Mask, Volume

PERTURBATIONS = 20


def made(folder: Path, count: int) -> list[tuple[Path, Path]]:
    """Balls of 80 ml on 1 mm voxels, brighter from case to case."""
    pairs = []
    for k in range(count):
        z, y, x = np.ogrid[-45:45, -45:45, -45:45]
        inside = z**2 + y**2 + x**2 < 26.7**2
        image = np.random.default_rng(k).normal(600 + 200 * k, 150, inside.shape).astype(np.float32)
        geometry = Geometry((90, 90, 90), (1.0, 1.0, 1.0))
        pairs.append((folder / f"{k}.nii.gz", folder / f"{k}-mask.nii.gz"))
        write_volume(Volume(image, geometry), pairs[-1][0])
        write_mask(Mask(inside.astype(np.uint8), geometry), pairs[-1][1])
    return pairs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--cases", type=int, default=8)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as room:
        if asked.data is None:
            pairs = made(Path(room), min(asked.cases, 4))
        else:
            found = sorted(asked.data.glob("*/MR_T1_image.nii.gz"))
            pairs = [(f, f.with_name("MR_T1_mask.nii.gz")) for f in found[:: max(1, len(found) // asked.cases)][: asked.cases]]
        extract_radiomics(*pairs[0])
        robustness(*pairs[0], perturbations=1)
        ratios, tables = [], []
        for pair in pairs:
            singles = []
            for _ in range(3):
                start = time.process_time()
                extract_radiomics(*pair)
                singles.append(time.process_time() - start)
            start = time.process_time()
            tables.append(robustness(*pair, perturbations=PERTURBATIONS))
            spent = time.process_time() - start
            ratios.append(spent / float(np.median(singles)))
            print(f"{pair[0].parent.name}/{pair[0].name}: one extraction {np.median(singles):.3f} s, {PERTURBATIONS} perturbations {spent:.2f} s, {ratios[-1]:.1f} extractions")
    frame = stability(tables).to_frame()
    stable = {"stable_share": float((frame["icc21"] >= 0.75).mean()), "surely_stable_share": float((frame["icc21_low"] >= 0.75).mean())}
    summary = {"cases": len(pairs), "ratio_median": float(np.median(ratios)), "ratio_worst": max(ratios), **stable}
    print(json.dumps(summary))


if __name__ == "__main__":
    main()
