"""The demo on several seeds: time, memory, Dice on external patients, and how much of the Bayes AUC each model recovers.

    python benchmarks/demo.py --seeds 0 1 2 3 [--out FOLDER] [--docs]

Ends with one line of JSON. `--docs` puts the tables into docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from common import markdown, put_in_docs, timed


def one_seed(seed: int, patients: int, out: Path) -> dict[str, object]:
    """Run the demo with one seed and read its figures."""
    seconds, cpu, memory = timed([sys.executable, "-m", "sarcofuse", "demo", str(out), "--seed", str(seed), "--patients", str(patients)])
    metrics = json.loads((out / "run" / "metrics.json").read_text())
    record = json.loads((out / "run" / "run.json").read_text())
    dice = next(row for row in metrics["segmentation"] if row["split"] == "external")
    return {
        "seed": seed,
        "minutes": seconds / 60,
        "cpu_minutes": cpu / 60,
        "memory_gb": memory,
        "dice_mean": dice["dice_mean"],
        "dice_median": dice["dice_median"],
        "external_patients": dice["patients"],
        "set_aside": len(record["set_aside"]),
        "models": recovered(metrics),
    }


def recovered(metrics: dict[str, list[dict]], split: str = "external") -> list[dict[str, object]]:
    """For each model: AUC with interval, Bayes AUC of its sources, share of the excess over 0.5 recovered."""
    bayes = {row["features"]: row["auc"] for row in metrics["bayes"]}
    return [
        {
            "features": row["features"],
            "classifier": row["classifier"],
            "auc": row["auc"]["value"],
            "low": row["auc"]["low"],
            "high": row["auc"]["high"],
            "bayes": bayes[row["features"]],
            "share": (row["auc"]["value"] - 0.5) / (bayes[row["features"]] - 0.5) if bayes[row["features"]] > 0.5 else float("nan"),
        }
        for row in metrics["models"]
        if row["split"] == split and row["features"] in bayes
    ]


def tables(results: list[dict[str, object]]) -> str:
    """Give the results as two Markdown tables."""
    first = markdown([{k.replace("_", " "): v for k, v in r.items() if k != "models"} for r in results])
    rows = []
    for index, model in enumerate(results[0]["models"]):
        row: dict[str, object] = {"features": model["features"], "classifier": model["classifier"], "Bayes AUC": model["bayes"]}
        for result in results:
            m = result["models"][index]
            row[f"seed {result['seed']}"] = f"{m['auc']:.3f} ({m['low']:.3f} to {m['high']:.3f}), {m['share']:.0%}"
        row["mean share"] = f"{statistics.mean(r['models'][index]['share'] for r in results):.0%}"
        rows.append(row)
    return f"{first}\n\nExternal AUC (95 % interval), share of the Bayes AUC's excess over 0.5 recovered:\n\n{markdown(rows)}"


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3])
    parser.add_argument("--patients", type=int, default=120)
    parser.add_argument("--out", type=Path, default=None, help="keep the runs here")
    parser.add_argument("--docs", action="store_true", help="put the tables into docs/benchmarks.md")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as room:
        home = arguments.out or Path(room)
        results = [one_seed(seed, arguments.patients, home / f"seed-{seed}") for seed in arguments.seeds]
    print(tables(results))
    if arguments.docs:
        put_in_docs("demo", tables(results))
    print(json.dumps({"seeds": results}))


if __name__ == "__main__":
    main()
