"""803 phantoms with true masks: how much of the Bayes AUC's excess over 0.5 do the models recover on the 144 external patients?

    python benchmarks/recovery.py [--patients 803] [--seed 0] [--out FOLDER] [--docs]

Ends with one line of JSON. `--docs` puts the table into docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from common import markdown, put_in_docs
from demo import recovered

from sarcofuse.config import write_study
from sarcofuse.phantom import make_cohort
from sarcofuse.runtime import Engine
from sarcofuse.study import demo_study, run


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, default=803)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=None, help="keep the run here")
    parser.add_argument("--docs", action="store_true", help="put the table into docs/benchmarks.md")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as room:
        home = arguments.out or Path(room)
        home.mkdir(parents=True, exist_ok=True)
        with Engine(home / "run" / "cache") as engine:
            make_cohort(home / "cohort", patients=arguments.patients, seed=arguments.seed, engine=engine)
        write_study(demo_study(arguments.seed, masks="given"), home / "study.yaml")
        result = run(home / "study.yaml", home / "run")
        metrics = json.loads((result.folder / "metrics.json").read_text())
        timings = json.loads((result.folder / "run.json").read_text())["timings"]
    rows = [{"split": split, **row} for split in ("internal", "external") for row in recovered(metrics, split)]
    print(markdown(rows))
    if arguments.docs:
        put_in_docs("recovery", markdown(rows))
    best = max(r["share"] for r in rows if r["split"] == "external" and r["features"] == "dlr")
    print(json.dumps({"patients": arguments.patients, "seed": arguments.seed, "best_dlr_share_external": best, "models": rows, "timings": timings}))


if __name__ == "__main__":
    main()
