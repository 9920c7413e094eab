"""CPU time of the evaluation: nine models on three splits of 803 patients, 2,000 bootstrap samples, all statistics.

    python benchmarks/evaluation.py [--patients 527 130 146] [--bootstrap 2000]

Prints the seconds of the figures alone, and of all with subgroups by three columns and follow-up; last line one JSON object.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time

import numpy as np

from sarcofuse.config import EvaluationConfig
from sarcofuse.evaluation import PatientData, evaluate
from sarcofuse.records import SPLITS, Outcomes, Prediction

SKILL = {"radiomic": 0.8, "deep": 0.6, "dlr": 1.2}


def drawn(sizes: list[int]) -> tuple[list[Prediction], dict, dict, PatientData]:
    rng = np.random.default_rng(0)
    split = {f"{s}-{i:06d}": s for s, n in zip(SPLITS, sizes, strict=True) for i in range(n)}
    truth = {p: int(rng.random() < 0.3) for p in split}
    rows = []
    for features, skill in SKILL.items():
        for classifier in ("extratrees", "svm", "logistic"):
            for p, s in split.items():
                risk = float(1 / (1 + np.exp(1.2 - rng.normal() - skill * truth[p])))
                rows.append(Prediction(p, s, features, classifier, (features, classifier) == ("dlr", "extratrees"), risk, risk > 0.35))
    clinical = {p: {"age": float(rng.integers(20, 90)), "grade": float(rng.integers(1, 4)), "sex": str(rng.choice(["f", "m"]))} for p in split}
    return rows, truth, split, PatientData(clinical, {p: float(np.ceil(rng.exponential(20))) for p in split})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patients", type=int, nargs=3, default=[527, 130, 146], help="training, internal, external")
    parser.add_argument("--bootstrap", type=int, default=2000)
    asked = parser.parse_args()
    rows, truth, split, data = drawn(asked.patients)
    evaluate(rows, Outcomes(truth, split), EvaluationConfig(bootstrap=100), 0, patients=data)  # compiles
    seconds = {}
    for name, patients, columns in (("figures", None, ()), ("all", data, ("age", "grade", "sex"))):
        start = time.process_time()
        evaluate(rows, Outcomes(truth, split), EvaluationConfig(bootstrap=asked.bootstrap, subgroups=columns), 0, patients=patients)
        seconds[name] = time.process_time() - start
        print(f"{name}: {seconds[name]:.1f} s of one core")
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e9 if sys.platform == "darwin" else 1e6)
    found = {"cpu_seconds": round(seconds["figures"], 2), "cpu_seconds_all": round(seconds["all"], 2), "memory_gb": round(memory, 3)}
    print(json.dumps({"patients": sum(asked.patients), "bootstrap": asked.bootstrap, **found}))


if __name__ == "__main__":
    main()
